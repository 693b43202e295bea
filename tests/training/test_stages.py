"""Recipes with stages: what each stage is, runs over them, and what happens at their boundaries."""

import dataclasses
import shutil

import pytest
import torch
from safetensors.torch import load_file

from scenewise.checkpoint import load_model
from scenewise.config import plain
from scenewise.errors import InputError
from scenewise.training import recipes
from scenewise.training.loop import carry_moments
from scenewise.training.plan import make_plan
from scenewise.training.reporter import Reporter
from scenewise.training.run import estimate, train

from .runs import last_state, rows, same

STAGES = ["1-single-frames", "2-slots-apart", "3-clips-of-2"]
CPU = "training.device=cpu"


class Listener(Reporter):
    """Remembers what it hears; may die at a step of a stage."""

    def __init__(self, die=None):
        self.forecasts, self.places, self.progress, self.die = [], [], [], die

    def planned(self, forecasts):
        self.forecasts = forecasts

    def begun(self, place, steps, first):
        self.places.append((str(place), steps, first))

    def progressed(self, progress):
        self.progress.append(progress)
        if self.die == (progress.place.number, progress.step):
            raise RuntimeError("power cut")


def staged(*words):
    return recipes.load("provide-tiny-staged", [CPU, *words])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    listener = Listener()
    return train(staged(), tmp_path_factory.mktemp("staged") / "run", reporter=listener), listener


# -- recipes --------------------------------------------------------------------------------------------------------


def write(path, text):
    path.write_text(text)
    return path


def test_changes_are_laid_over_what_came_before(tmp_path):
    text = """
    model: {name: provide, preset: tiny, settings: {sigma: 0.2, latent: 8}}
    data: {source: balls-colour, settings: {size: 16}}
    training: {steps: 9, learning_rate: 0.5}
    stages:
      - name: one
      - {name: two, model: {settings: {sigma: 0.3}}, training: {steps: 4}}
      - {name: three, data: {source: balls-binary}, training: {seed: 2}}
    """
    one, two, three = recipes.load(write(tmp_path / "mine.yaml", text)).parts()
    assert (one.training.steps, two.training.steps, three.training.steps) == (9, 4, 4)
    assert [part.model.settings["sigma"] for part in (one, two, three)] == [0.2, 0.3, 0.3]
    assert all(part.training.learning_rate == 0.5 and part.model.settings["latent"] == 8 for part in (one, two, three))
    assert (two.data.settings, three.data.settings) == ({"size": 16}, {})  # another source drops its settings
    assert (two.training.seed, three.training.seed, three.name) == (0, 2, "mine")


def test_stages_of_another_recipe_come_first_and_the_rest_is_laid_over_the_recipe_s_own(tmp_path):
    text = """
    model: {name: provide, preset: tiny}
    data: {source: balls-binary}
    training: {steps: 3}
    stages:
      - {recipe: provide-tiny-staged, until: slots apart}
      - {name: black and white}
    """
    recipe = recipes.load(write(tmp_path / "mine.yaml", text))
    assert [stage.name for stage in recipe.stages] == ["single frames", "slots apart", "black and white"]
    assert recipe.parts()[:2] == tuple(
        dataclasses.replace(part, name="mine", summary="") for part in recipes.load("provide-tiny-staged").parts()[:2]
    )
    assert recipe.final.model.settings == {}
    assert recipe.steps == 6 + 4 + 3
    assert recipes.from_plain(plain(recipe), "again") == recipe


def test_words_reach_all_stages_or_one():
    recipe = staged("training.batch=4", "stages.slots-apart.training.steps=5", "stages.clips-of-2.training.batch=2")
    assert [part.training.batch for part in recipe.parts()] == [4, 4, 2]
    assert [part.training.steps for part in recipe.parts()] == [6, 5, 4]
    plainly = staged("training.steps=3", "stages=null")
    assert plainly.stages == ()
    assert plainly.parts() == (plainly,)
    assert plainly.training.steps == 3


@pytest.mark.parametrize("order", [1, -1])
def test_another_source_brings_its_own_settings_wherever_its_word_stands(order):
    words = ["data.source=balls-binary", "data.settings.size=16"][::order]
    recipe = recipes.load("provide-tiny", words)
    assert (recipe.data.source, recipe.data.settings) == ("balls-binary", {"size": 16})
    assert recipes.load("provide-tiny", ["data.source=balls-colour"]).data.settings["max_balls"] == 2


def test_settings_are_replaced_as_a_whole_or_one_by_one():
    own = recipes.load("provide-tiny").data.settings
    assert recipes.load("provide-tiny", ["data.settings={size: 32}"]).data.settings == {"size": 32}
    assert recipes.load("provide-tiny", ["data.settings.size=32"]).data.settings == own | {"size": 32}
    assert staged("model.settings={latent: 4}").final.model.settings == {"latent": 4}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stages: 3", "stages must be a list"),
        ("stages: [a]", "stages must be a list"),
        ("stages: [{name: a}, {name: A}]", "'a' is the name of several"),
        ("stages: [{training: {steps: 3}}]", "each needs a name"),
        ("stages: [{name: a, trainng: {}}]", "trainng"),
        ("training: {steps: 0}\nstages: [{name: a, model: {settings: {slts: 3}}}, {name: b}]", "steps is 0.*'slots'"),
        ("stages: [{recipe: provide-tiny-staged, until: nothing}]", "no stage 'nothing'.*single-frames"),
        ("stages: [{recipe: provide-tiny-staged, training: {steps: 3}}]", "stand as they are; found training too"),
        ("stages: [{recipe: mine.yaml}]", "mine.yaml: takes stages from itself"),
        ("stages: [{name: a, training: {batch: 5, accumulation: 2}}]", "divisible by devices"),
    ],
)
def test_what_is_wrong_in_stages_is_said(tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    file = write(tmp_path / "mine.yaml", f"data: {{source: balls-colour}}\n{text}\n")
    with pytest.raises(InputError, match=message):
        recipes.load(file)


def test_a_word_for_a_stage_that_is_not_there_lists_the_stages():
    with pytest.raises(InputError, match="single-frames, slots-apart, clips-of-2"):
        staged("stages.full-size.training.steps=3")


def test_stages_whose_weights_do_not_fit_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match=r"must be .* found"):
        train(staged("stages.slots-apart.model.settings.hidden=8"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


# -- runs -----------------------------------------------------------------------------------------------------------


def test_a_run_over_stages_leaves_one_model_and_the_books_of_each(whole):
    outcome, listener = whole
    assert (outcome.step, outcome.steps, outcome.stopped) == (14, 14, None)
    assert sorted(path.name for path in (outcome.folder / "stages").iterdir()) == STAGES
    for name, steps in zip(STAGES, (6, 4, 4), strict=True):
        assert len(rows(outcome.folder / "stages" / name / "metrics.csv")) == steps
    assert outcome.model == outcome.folder / "model"
    final = outcome.folder / "stages" / STAGES[-1] / "model" / "model.safetensors"
    assert (outcome.model / "model.safetensors").read_bytes() == final.read_bytes()
    assert listener.places == [
        ("stage 1 of 3, single frames", 6, 0), ("stage 2 of 3, slots apart", 4, 0), ("stage 3 of 3, clips of 2", 4, 0),
    ]  # fmt: skip
    assert [forecast.steps for forecast in listener.forecasts] == [6, 4, 4]
    first = next(p for p in listener.progress if p.place.number == 1 and p.step == 6)
    assert first.seconds_left >= 3600 * sum(f.hours for f in listener.forecasts[1:]) > 0


def test_each_stage_begins_with_the_best_model_of_the_one_before(whole):
    folder = whole[0].folder / "stages"
    plans = [make_plan(part) for part in staged().parts()]
    for before, name, plan in zip(STAGES, STAGES[1:], plans[1:], strict=False):
        start = dataclasses.replace(plan.recipe, training=dataclasses.replace(plan.recipe.training, steps=1, ema=None))
        begun = make_plan(start, folder / before / "model").make_model().state_dict()
        kept = load_file(folder / before / "model" / "model.safetensors")
        assert all(torch.equal(begun[key], kept[key]) for key in kept if key != "progress"), name


def test_the_card_lists_the_stages(whole):
    card = load_model(whole[0].model).card
    assert [(stage.name, stage.steps, stage.seed) for stage in card.stages] == [
        ("single frames", 6, 0), ("slots apart", 4, 1), ("clips of 2", 4, 2),
    ]  # fmt: skip
    assert (card.steps, card.seeds) == (14, (0, 1, 2))
    assert card.hours == pytest.approx(sum(stage.hours for stage in card.stages))
    assert all(0 < stage.best_step <= stage.steps and stage.mse > 0 for stage in card.stages)
    readme = (whole[0].model / "README.md").read_text()
    assert "| slots apart | 4 |" in readme
    assert "14 steps" in readme


def test_a_run_that_died_anywhere_and_is_resumed_is_the_uninterrupted_one(whole, tmp_path):
    for die in ((1, 5), (1, 6), (2, 4), (3, 1)):
        with pytest.raises(RuntimeError, match="power cut"):
            train(staged(), tmp_path / "run", resume=(tmp_path / "run").exists(), reporter=Listener(die))
    outcome = train(staged(), tmp_path / "run", resume=True)
    check_same(outcome.folder, whole[0].folder)


def check_same(folder, expected):
    for name in STAGES:
        ours, theirs = folder / "stages" / name, expected / "stages" / name
        assert same(last_state(ours), last_state(theirs)), name
        for table in ("metrics.csv", "validation.csv"):
            assert rows(ours / table) == rows(theirs / table), name
    assert (folder / "model" / "model.safetensors").read_bytes() == (
        expected / "model" / "model.safetensors"
    ).read_bytes()


@pytest.fixture(scope="module")
def two_stages(tmp_path_factory):
    """What came of a run that was to stop after its second stage."""
    return train(staged(), tmp_path_factory.mktemp("until") / "run", until="slots-apart")


@pytest.fixture
def begun(two_stages, tmp_path):
    """A folder of a run of two of three stages."""
    return shutil.copytree(two_stages.folder, tmp_path / "run")


def test_until_stops_after_a_stage_and_resume_goes_on(whole, two_stages, begun):
    assert (two_stages.step, two_stages.stopped) == (10, "--until")
    assert (begun / "model" / "config.json").is_file()
    assert not (begun / "stages" / STAGES[2]).exists()
    (begun / "stages" / STAGES[2] / "images").mkdir(parents=True)  # by a process that died then
    outcome = train(staged(), begun, resume=True)
    assert outcome.stopped is None
    check_same(outcome.folder, whole[0].folder)


def test_from_begins_with_a_stage_on_a_model_s_weights(whole, tmp_path):
    kept = whole[0].folder / "stages" / STAGES[1] / "model"
    recipe = staged("training.carry_moments=false")
    outcome = train(recipe, tmp_path / "run", start=("clips of 2", kept))
    assert [path.name for path in (tmp_path / "run" / "stages").iterdir()] == [STAGES[2]]
    assert outcome.stopped is None
    card = load_model(outcome.model).card
    assert [stage.name for stage in card.stages] == ["single frames", "slots apart", "clips of 2"]
    again = train(recipe, tmp_path / "run", resume=True)
    assert (again.step, again.stopped) == (4, None)
    with pytest.raises(InputError, match="comes before"):
        train(recipe, tmp_path / "other", until="single frames", start=("clips of 2", kept))


def test_a_finished_run_can_be_lengthened_and_its_card_tells(whole, tmp_path):
    short = ["training.checkpoint_every=3"]
    train(recipes.load("provide-tiny", [CPU, "training.steps=4", *short]), tmp_path / "run")
    outcome = train(recipes.load("provide-tiny", [CPU, "training.steps=7", *short]), tmp_path / "run", resume=True)
    assert (outcome.step, outcome.stopped) == (7, None)
    assert [row["step"] for row in rows(tmp_path / "run" / "metrics.csv")] == [str(n) for n in range(1, 8)]
    (stage,) = load_model(outcome.model).card.stages
    assert (stage.steps, stage.lengthened) == (7, (4,))
    assert "planned with 4, lengthened" in (outcome.model / "README.md").read_text()
    with pytest.raises(InputError, match=r"training\.steps: 7 in the run, 5 now"):
        train(recipes.load("provide-tiny", [CPU, "training.steps=5", *short]), tmp_path / "run", resume=True)


def test_only_the_newest_stage_is_lengthened(begun):
    with pytest.raises(InputError, match=r"training\.steps: 6 in the run, 8 now"):
        train(staged("stages.single-frames.training.steps=8"), begun, resume=True)
    longer = staged("stages.slots-apart.training.steps=6")
    outcome = train(longer, begun, resume=True)
    assert outcome.step == 6 + 6 + 4
    assert [stage.lengthened for stage in load_model(outcome.model).card.stages] == [(), (4,), ()]


def test_resuming_with_other_stages_is_refused(begun):
    with pytest.raises(InputError, match="stages: single-frames, slots-apart, clips-of-2 in the run, none now"):
        train(staged("stages=null"), begun, resume=True)
    with pytest.raises(InputError, match=r"training\.seed: 2 in the run, 9 now"):
        train(staged("stages.clips-of-2.training.seed=9"), begun, resume=True)


def test_an_estimate_writes_nothing(tmp_path):
    estimates = estimate(staged(), tmp_path / "run")
    assert [str(e.place) for e in estimates] == [
        "stage 1 of 3, single frames", "stage 2 of 3, slots apart", "stage 3 of 3, clips of 2",
    ]  # fmt: skip
    assert all(e.hours > 0 for e in estimates)
    assert not (tmp_path / "run").exists()


# -- moments --------------------------------------------------------------------------------------------------------


class Two(torch.nn.Module):
    """Two weights; the shape of the second can be chosen."""

    def __init__(self, size):
        super().__init__()
        self.first, self.second = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(size))


def trained(size, kind=torch.optim.Adam):
    model = Two(size)
    optimizer = kind(model.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        (model.first.square().sum() + model.second.pow(3).sum()).backward()
        optimizer.step()
    return {"trained": ["first", "second"], "optimizer": optimizer.state_dict()}


def test_moments_go_on_where_shapes_allow():
    before, model = trained(2), Two(4)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.5)
    carry_moments(optimizer, model, before)
    old = before["optimizer"]["state"][0]
    assert torch.equal(optimizer.state[model.first]["exp_avg"], old["exp_avg"])
    assert float(optimizer.state[model.first]["step"]) == 2
    assert not optimizer.state[model.second]  # another shape begins anew
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_moments_of_another_kind_of_optimiser_are_left():
    model = Two(2)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=0.5)
    carry_moments(optimizer, model, trained(2))
    assert not any(optimizer.state.values())


def test_stages_carry_moments_only_where_the_recipe_says_so(whole, tmp_path):
    folder = tmp_path / "run"
    train(staged("training.carry_moments=false"), folder, until="slots apart")
    state, carried = (last_state(f / "stages" / STAGES[1])["optimizer"]["state"][0] for f in (folder, whole[0].folder))
    assert float(state["step"]) == 4
    assert float(carried["step"]) == 6 + 4
