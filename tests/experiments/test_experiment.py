import pytest

from scenewise.checkpoint import find
from scenewise.data import SOURCES
from scenewise.errors import InputError
from scenewise.experiments import experiment as experiments
from scenewise.training.plan import examine


def cells(table):
    return experiments.load(table(), "smoke").cells


def test_cells_are_every_variant_with_every_seed(table):
    names = [cell.name for cell in cells(table)]
    assert names == [f"provide.balls.{v}.seed{s}" for v in ("lds0", "lds1") for s in (0, 1)]


def test_settings_lie_over_the_recipe_in_order(table, content):
    group = content["sizes"]["smoke"]["cells"][0]
    group["settings"]["model.settings.duplicates.weight"] = 9
    group["settings"]["training"]["seed"] = 9
    last = cells(table)[-1]
    recipe = last.recipe()
    assert (recipe.model.settings["duplicates"]["weight"], recipe.training.seed, recipe.training.steps) == (0.5, 1, 4)
    assert recipe.data.settings["max_balls"] == 2
    assert last.recipe(["training.steps=7", "training.seed=3"]).training.steps == 7
    assert last.recipe(["training.seed=3"]).training.seed == 3


def test_a_source_takes_the_place_of_the_recipes(table, content):
    content["sizes"]["smoke"]["cells"][0] |= {"source": {"source": "tetrominoes"}, "settings": {}}
    data = cells(table)[0].recipe().data
    assert (data.source, data.settings) == ("tetrominoes", {})


def test_a_cell_may_start_from_another(table, content):
    content["sizes"]["smoke"]["cells"][0]["start"] = "iodine.balls.{variant}.seed{seed}"
    recipe = cells(table)[-1].recipe(out="there")
    assert recipe.training.initial_model == "there/iodine.balls.lds1.seed1/model"


def test_groups_may_be_scored_in_their_own_way(table, content):
    content["sizes"]["smoke"]["cells"][0]["scoring"] = [{"protocol": "rnem"}]
    assert [scoring.protocol for scoring in cells(table)[0].scoring] == ["rnem"]


@pytest.mark.parametrize(
    ("only", "count"), [(None, 4), ("", 4), ("seed=1", 2), ("variant=lds1,seed=0", 1), ("seed=0, seed=1", 4)]
)
def test_a_subset_is_chosen_by_keys(table, only, count):
    found = experiments.choose(cells(table), only)
    assert len(found) == count
    if only == "variant=lds1,seed=0":
        assert found[0].name == "provide.balls.lds1.seed0"


@pytest.mark.parametrize(
    ("only", "words"),
    [
        ("sed=1", "Did you mean 'seed'"),
        ("model", "Write for example"),
        ("variant=lds2", "no cell has variant=lds2. Did you mean 'lds1'"),
        ("seed=7", "Known: 0, 1"),
    ],
)
def test_a_subset_that_is_none_is_told(table, only, words):
    with pytest.raises(InputError) as error:
        experiments.choose(cells(table), only)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.update(summry=""), "Did you mean 'summary'"),
        (lambda c: c["sizes"]["smoke"].update(cels=[]), "Did you mean 'cells'"),
        (lambda c: c["sizes"]["smoke"]["cells"][0].update(varants={}), "Did you mean 'variants'"),
        (lambda c: c["sizes"]["smoke"]["scoring"][0].update(split="tset"), "split is 'tset'"),
        (lambda c: c["sizes"]["smoke"]["scoring"][0].update(samples=0), "samples is 0"),
        (lambda c: c["sizes"]["smoke"]["cells"].append(c["sizes"]["smoke"]["cells"][0]), "twice"),
        (lambda c: c["sizes"]["smoke"].update(cells=[]), "has no cells"),
        (
            lambda c: c["sizes"]["smoke"]["cells"][0].update(weights="provide-balls-colour"),
            r"taken as they are; found recipe, settings, variants\.lds0, variants\.lds1 too",
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_told(table, content, change, words):
    change(content)
    with pytest.raises(InputError, match=words):
        experiments.load(table(content), "smoke")


def test_unknown_names_are_told(table, content):
    with pytest.raises(InputError, match="Did you mean 'smoke'"):
        experiments.load(table(), "smok")
    with pytest.raises(InputError, match=r"lsd: is neither an experiment nor a YAML file\. Did you mean 'lds'"):
        experiments.load("lsd")
    with pytest.raises(InputError, match="found nothing there"):
        experiments.load("nowhere.yaml")
    content["module"] = "nonsense"
    with pytest.raises(InputError, match="'nonsense', which is not there"):
        experiments.load(table(content), "smoke").hooks()


@pytest.mark.parametrize("name", experiments.names())
def test_every_cell_of_every_experiment_can_be_built(name):
    pytest.importorskip("mujoco")
    checked = set()
    for size in experiments.read(name).sizes:
        loaded = experiments.load(name, size)
        assert loaded.hooks().show
        for cell in loaded.cells:
            if cell.weights is not None:
                assert find(cell.weights).is_dir()
                assert cell.data_part().source in SOURCES.names()
                continue
            recipe = cell.recipe()
            assert recipe.training.seed == cell.seed
            if recipe.data.source != "made" and (size, cell.model, cell.variant) not in checked:
                checked.add((size, cell.model, cell.variant))
                for part in recipe.parts():
                    assert examine(part)[0] == []


def test_an_evaluation_that_lists_is_one_for_each_combination(table, content):
    content["sizes"]["smoke"]["scoring"] = [
        {"protocol": ["provide", "bound"], "samples": [2, 4], "frames": [1, 2, 3], "slots": 3, "refinements": [1, 2]}
    ]
    content["sizes"]["smoke"]["cells"][0]["scoring"] = [{"protocol": "savi", "slots": [3, 5], "seeds": [0, 1]}]
    (first, *_) = experiments.load(table(content), "smoke").cells
    assert [(s.slots, s.seed) for s in first.scoring] == [(3, 0), (3, 1), (5, 0), (5, 1)]
    content["sizes"]["smoke"]["cells"][0]["scoring"] = [{"protocol": "savi", "seeds": 4}]
    assert [s.seed for s in experiments.load(table(content), "smoke").cells[0].scoring] == [4]
    del content["sizes"]["smoke"]["cells"][0]["scoring"]
    (first, *_) = experiments.load(table(content), "smoke").cells
    found = {(s.protocol, s.samples, s.frames, s.slots, s.refinements) for s in first.scoring}
    assert len(found) == len(first.scoring) == 2 * 2 * 3 * 2
    content["sizes"]["smoke"]["scoring"][0]["frames"] = [1, "two"]
    with pytest.raises(InputError, match="frames must be of type int, found 'two'"):
        experiments.load(table(content), "smoke")


def test_settings_reach_every_stage_of_a_recipe_and_stages_can_be_taken_away(table, content):
    group = content["sizes"]["smoke"]["cells"][0]
    group |= {"recipe": "provide-tiny-staged", "variants": {"plain": {}}, "settings": {"training.steps": 3}}
    (first, *_) = experiments.load(table(content), "smoke").cells
    recipe = first.recipe(["model.settings.sigma=0.4"])
    assert len(recipe.stages) > 1
    assert recipe.steps == 3 * len(recipe.stages)
    assert {part.model.settings["sigma"] for part in recipe.parts()} == {0.4}
    assert {part.training.seed for part in recipe.parts()} == {0}
    group["settings"] = {"stages": None, "training.steps": 3}
    (first, *_) = experiments.load(table(content), "smoke").cells
    assert first.recipe().stages == ()
    assert first.recipe().steps == 3


def test_data_of_a_cell_are_those_of_every_stage(table, content):
    group = content["sizes"]["smoke"]["cells"][0]
    source = {"source": "balls-binary", "settings": {"size": 16}}
    group |= {"recipe": "provide-tiny-staged", "variants": {"plain": {}}, "settings": {}, "source": source}
    (first, *_) = experiments.load(table(content), "smoke").cells
    assert all(
        (part.data.source, part.data.settings) == ("balls-binary", {"size": 16}) for part in first.recipe().parts()
    )
    assert first.data_part().source == "balls-binary"


def test_a_cell_may_be_a_recipe_of_its_own(table, content):
    group = content["sizes"]["smoke"]["cells"][0]
    del group["recipe"]
    group["settings"] = {"model": {"name": "iodine", "preset": "tiny", "settings": {}}, "training.steps": 3}
    group["source"] = {"source": "balls-colour", "settings": {"size": 16}}
    (first, *_) = experiments.load(table(content), "smoke").cells
    recipe = first.recipe()
    assert (recipe.name, recipe.model.name, recipe.training.steps) == ("provide.balls", "iodine", 3)
    assert recipe.data.settings == {"size": 16}


@pytest.fixture
def two(table, content, tmp_path, monkeypatch):
    """Two experiments, of which `other` has the models of `tiny`."""
    import yaml

    table(content)
    monkeypatch.setattr(experiments, "definitions_folder", lambda: tmp_path)
    group = {"model": "same", "data": "balls-678", "trained": "tiny/provide.balls",
             "scoring": [{"protocol": "savi", "source": "balls-colour-678", "settings": {"size": 16}}]}  # fmt: skip

    def write(**changes):
        other = {"summary": "Another", "sizes": {"smoke": {"cells": [{**group, **changes}]}}}
        (tmp_path / "other.yaml").write_text(yaml.safe_dump(other))
        return experiments.load("other", "smoke")

    return write


def test_models_of_another_experiment_have_its_variants_and_seeds(two):
    cells = two().cells
    assert [(c.name, c.origin.name, c.home) for c in cells] == [
        (f"same.balls-678.{v}.seed{s}", f"provide.balls.{v}.seed{s}", "tiny-smoke")
        for v in ("lds0", "lds1")
        for s in (0, 1)
    ]
    assert cells[0].recipe() == cells[0].origin.recipe()
    assert [c.name for c in two(variants={"lds1": {}}, seeds=[1]).cells] == ["same.balls-678.lds1.seed1"]
    with pytest.raises(InputError, match=r"Did you mean 'tiny/provide\.balls'"):
        two(trained="tiny/provide.bals")
    with pytest.raises(InputError, match="leave trained out and train"):
        two(recipe="provide-tiny")


def test_metrics_may_have_the_name_they_had(table, content):
    assert experiments.load(table({**content, "metrics": ["ARI"]}), "smoke").metrics == ("ARI",)
    assert experiments.load(table({**content, "measures": ["MSE"]}), "smoke").metrics == ("MSE",)
