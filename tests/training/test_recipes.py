"""Files of recipes."""

import pytest

from scenewise.config import plain
from scenewise.errors import InputError
from scenewise.training import recipes


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
