"""Plans: model settings that fit the data, and errors before anything is computed."""

from itertools import pairwise

import pytest

from scenewise.config import plain
from scenewise.errors import InputError
from scenewise.training import recipes
from scenewise.training.plan import cautions, make_plan


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


def test_more_slots_than_latents_are_told_where_the_prior_cannot_part_them():
    words = ["model.settings.slots=10", "model.settings.latent=8", "model.settings.duplicates.weight=1"]
    (told,) = cautions(make_plan(recipes.load("provide-tiny", words)).config)
    assert "10 slots of 8 latents" in told
    assert f"{(10 / 8 - 1) / 9:.3f}" in told
    assert cautions(make_plan(recipes.load("provide-tiny", words[:2])).config) == []
    assert cautions(make_plan(recipes.load("provide-tiny", ["model.settings.latent=10", *words[::2]])).config) == []
