"""Recipes and schedules."""

import dataclasses
from itertools import pairwise

import pytest

from scenewise.config import plain
from scenewise.errors import InputError
from scenewise.training import recipes
from scenewise.training.plan import cautions, make_plan
from scenewise.training.recipe import TrainingPart, clip_length, differences, learning_rate, longest_clip, work


@pytest.mark.parametrize("name", sorted(set(recipes.names()) - {"footage"}))
def test_every_recipe_makes_plans_that_fit_their_data_and_each_other(name):
    recipe = recipes.load(name)
    plans = [make_plan(part) for part in recipe.parts()]
    for plan in plans:
        assert tuple(plan.config.size) == plan.train.facts.size
        if "slots" in plain(plan.config):  # a model of its own number of parts names it otherwise
            own = plan.recipe.model.settings.get("slots", (plan.train.facts.max_objects or 0) + 1)
            assert plan.config.slots == own
        assert plan.recipe.training.initial_model is None
    for before, plan in pairwise(plans):
        plan.check_start(before)
    assert recipe.name == name
    assert recipe.summary
    assert recipe.steps == sum(plan.recipe.training.steps for plan in plans)


def test_recipes_round_trip_and_take_overrides():
    recipe = recipes.load("provide-tiny", ["training.steps=7", "model.settings.sigma=0.2"])
    assert (recipe.training.steps, recipe.model.settings["sigma"]) == (7, 0.2)
    assert recipes.from_plain(plain(recipe), "again") == recipe


def test_a_recipe_file_is_read(tmp_path):
    (tmp_path / "mine.yaml").write_text("training: {steps: 3}\n")
    recipe = recipes.load(tmp_path / "mine.yaml")
    assert (recipe.name, recipe.training.steps) == ("mine", 3)


@pytest.mark.parametrize(("text", "message"), [("[1]", "mapping"), ("a: [", "not YAML"), (None, "nothing there")])
def test_a_bad_recipe_file_is_refused(tmp_path, text, message):
    file = tmp_path / "mine.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(InputError, match=message):
        recipes.load(file)


def test_unknown_recipes_name_the_nearest():
    with pytest.raises(InputError, match="Did you mean 'provide-tiny'"):
        recipes.load("provide-tny")


def test_all_errors_are_told_at_once():
    words = ["trainin.x=1", "training.steps=0", "data.settings.sed=1", "model.settings.slts=2"]
    with pytest.raises(InputError) as caught:
        recipes.load("provide-tiny", words)
    for part in ("unknown key trainin", "training.steps is 0", "'seed'", "'slots'"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["training.curriculum=[[1, 2]]"], "curriculum must be"),
        (["training.curriculum=[]"], "curriculum must be"),
        (["training.curriculum=[[0, 4], [0, 5]]"], "curriculum must be"),
        (["training.curriculum=[[0, 0]]"], "curriculum must be"),
        (["training.batch=5", "training.accumulation=2"], "divisible by devices"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(words, message):
    with pytest.raises(InputError, match=message):
        recipes.load("provide-tiny", words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model.name=provid"], "'provide'"),
        (["model.preset=tin"], "'tiny'"),
        (["data.source=bals"], "'balls'"),
        (["model.settings.size=[32, 32]"], "the data have"),
        (["training.curriculum=[[0, 60]]"], "need 60 frames"),
        (["training.max_frame=1"], "the videos have 1"),
        (["training.device=cuda", "training.devices=64", "training.batch=64"], "devices|CUDA"),
    ],
)
def test_plans_that_cannot_work_are_refused_before_anything_is_computed(words, message, tmp_path):
    from scenewise.training.run import train

    with pytest.raises(InputError, match=message):
        train(recipes.load("provide-tiny", words), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_differences_name_settings_and_leave_out_what_may_change():
    old = recipes.load("provide-tiny")
    new = recipes.load("provide-tiny", ["training.batch=8", "data.settings.seed=1", "training.minutes=3"])
    assert differences(old, new) == [
        "data.settings.seed: None in the run, 1 now",
        "training.batch: 4 in the run, 8 now",
    ]


def test_learning_rates():
    training = TrainingPart(steps=100, learning_rate=1.0, warm_up=10)
    assert [learning_rate(training, s) for s in (0, 4, 9, 50)] == [0.1, 0.5, 1.0, 1.0]
    cosine = dataclasses.replace(training, schedule="cosine")
    assert learning_rate(cosine, 10) == 1.0
    assert learning_rate(cosine, 55) == pytest.approx(0.5)
    assert learning_rate(cosine, 100) == pytest.approx(0.0)
    halving = dataclasses.replace(training, schedule="exponential", half_life=20)
    assert learning_rate(halving, 60) == pytest.approx(0.125)
    falling = dataclasses.replace(training, schedule="linear", decay_steps=1000)
    assert [learning_rate(falling, s) for s in (500, 1000, 5000)] == pytest.approx([0.55, 0.1, 0.1])


def test_curriculum_and_work():
    training = TrainingPart(steps=100, curriculum=((0, 1), (10, 3), (200, 9)))
    assert [clip_length(training, s) for s in (0, 9, 10, 99)] == [1, 1, 3, 3]
    assert longest_clip(training) == 3
    assert work(training, lambda n: n) == 10 * 1 + 90 * 3
    assert work(training, lambda n: n, first=50) == 50 * 3


def test_more_slots_than_latents_are_told_where_the_prior_cannot_part_them():
    words = ["model.settings.slots=10", "model.settings.latent=8", "model.settings.duplicates.weight=1"]
    (told,) = cautions(make_plan(recipes.load("provide-tiny", words)).config)
    assert "10 slots of 8 latents" in told
    assert f"{(10 / 8 - 1) / 9:.3f}" in told
    assert cautions(make_plan(recipes.load("provide-tiny", words[:2])).config) == []
    assert cautions(make_plan(recipes.load("provide-tiny", ["model.settings.latent=10", *words[::2]])).config) == []
