"""The verbs that list what can be set and trained, and what the command line answers to words it does not know."""

import json

import pytest

from scenewise.data import SOURCES
from scenewise.models import MODELS
from scenewise.training import recipes


def rows(scenewise, *words):
    code, out, _ = scenewise("settings", *words, "--json")
    assert code == 0
    return {row["key"]: row for row in json.loads(out)}


def test_recipes(scenewise):
    code, out, _ = scenewise("recipes", "--json")
    assert code == 0
    listed = {row["name"]: row for row in json.loads(out)}
    assert list(listed) == recipes.names()
    flagship = listed["provide-balls-colour"]
    assert [stage["steps"] for stage in flagship["stages"]] == [
        part.training.steps for part in recipes.load("provide-balls-colour").parts()
    ]
    assert flagship["steps"] == sum(stage["steps"] for stage in flagship["stages"])
    code, out, _ = scenewise("recipes")
    assert code == 0
    assert all(name in out for name in recipes.names())


@pytest.mark.parametrize("name", [*MODELS.names(), "balls-colour", "clevrer", "davis", *recipes.names(), "training"])
def test_every_setting_is_told_with_its_meaning(scenewise, name):
    for key, row in rows(scenewise, name).items():
        assert row["meaning"], key


def test_what_is_told_of_a_setting(scenewise):
    plain, fast = rows(scenewise, "provide"), rows(scenewise, "provide", "--preset", "fast")
    assert plain["refinements"]["minimum"] == 1
    assert "triangular" in plain["budget.grid"]["choices"]
    assert fast["latent"]["value"] == 32
    recipe = rows(scenewise, "provide-balls-colour")
    assert recipe["training.steps"]["value"] == recipes.load("provide-balls-colour").parts()[-1].training.steps
    assert recipe["model.settings.latent"]["value"] == 32
    images = rows(scenewise, "monet-multi-dsprites")  # its data and precision decide too
    assert images["model.settings.slots"]["value"] == 1 + SOURCES.get("multi-dsprites")("train").facts.max_objects
    assert recipes.load("monet-multi-dsprites").parts()[-1].training.precision == "bf16"
    assert images["model.settings.bf16_convolutions"]["value"] is True
    code, out, _ = scenewise("settings", "provide")
    assert code == 0
    assert "refinements = " in out
    assert "1 to 64" in out


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("settings", "provid"), "Did you mean 'provide'?"),
        (("settings", "balls-colour", "--preset", "fast"), "--preset: is for models"),
        (("settings", "provide", "--preset", "fats"), "Did you mean 'fast'?"),
        (("decompos",), "Did you mean 'decompose'?"),
        (("data", "shw"), "Did you mean 'show'?"),
        (("decompose", "a.mp4", "--out", "x", "--modle", "y"), "Did you mean '--model'?"),
        (("decompose", "a.mp4", "--out", "x", "--modle", "y"), "usage: scenewise decompose"),
    ],
)
def test_words_that_are_unknown(scenewise, words, answer):
    code, _, error = scenewise(*words)
    assert code == 2
    assert answer in error


def test_a_name_that_is_several(scenewise):
    code, _, error = scenewise("settings", "mulmon")
    assert code == 0
    assert "mulmon is a model and a source" in error
    assert "refinements" in rows(scenewise, "mulmon")
    assert "path" in rows(scenewise, "mulmon", "--of", "source")
    assert scenewise("settings", "provide", "--of", "source")[0] == 2
