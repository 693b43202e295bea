"""Recipes, words and runs with settings under old names."""

import shutil
from pathlib import Path

import pytest

from scenewise.cli import main
from scenewise.errors import InputError, RenamedSettingWarning
from scenewise.training import recipes
from scenewise.training.recipe import Recipe
from scenewise.training.run import train

from .runs import last_state, same

FORMAT1 = Path(__file__).parents[1] / "data" / "format1"
OLD = ["model.settings.decoder_channels=12", "model.settings.groups=2"]
NEW = ["model.settings.decoder.channels=12", "model.settings.decoder.groups=2", "model.settings.encoder.groups=2"]


def staged(*words: str) -> Recipe:
    return recipes.load("provide-tiny-staged", ["training.device=auto", *words])


def test_old_words_give_the_recipe_of_the_new_ones() -> None:
    with pytest.warns(RenamedSettingWarning, match=r"model\.settings\.decoder_channels=12 is now written") as told:
        old = staged(*OLD)
    assert any("decoder.groups=2 and model.settings.encoder.groups=2" in str(one.message) for one in told)
    assert old == staged(*NEW)


@pytest.mark.filterwarnings("ignore::scenewise.errors.RenamedSettingWarning")
def test_a_recipe_file_with_old_names_is_that_with_new_ones(tmp_path: Path) -> None:
    head = "data: {source: balls-colour, settings: {size: 16, max_balls: 2}}\ntraining: {steps: 3}\n"
    (tmp_path / "old.yaml").write_text(
        "name: mine\nmodel: {name: iodine, preset: tiny, settings: {decoder: coarse, decoder_factor: 8}}\n" + head
        + "stages: [{name: one}, {name: two, model: {settings: {encoder_pooling: 2}}},"
        " {name: three, model: {name: monet, preset: tiny, settings: {decoder: broadcast}}}]\n"
    )  # fmt: skip
    (tmp_path / "new.yaml").write_text(
        "name: mine\nmodel: {name: iodine, preset: tiny, settings: {decoder: {kind: coarse, factor: 8}}}\n" + head
        + "stages: [{name: one}, {name: two, model: {settings: {encoder: {pooling: 2}}}},"
        " {name: three, model: {name: monet, preset: tiny, settings: {decoder: {kind: unpadded}}}}]\n"
    )  # fmt: skip
    assert recipes.load(tmp_path / "old.yaml") == recipes.load(tmp_path / "new.yaml")
    words = ["stages.two.model.settings.decoder_factor=4"]
    assert recipes.load(tmp_path / "old.yaml", words).stages[1].model.settings["decoder"]["factor"] == 4


@pytest.mark.filterwarnings("ignore::scenewise.errors.RenamedSettingWarning")
@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("model.settings.decoder=corse", r"decoder\.kind is 'corse'; allowed: broadcast, unpadded, deconv, coarse"),
        ("model.settings.decoder.kind=corse", "Did you mean 'coarse'"),
        ("model.settings.decoder.chanels=3", "unknown key decoder.chanels. Did you mean 'channels'"),
        ("model.settings.decoder.channels=6", r"decoder\.channels must be divisible by groups = 4; found 6"),
        ("model.settings.mixture=pixl", "allowed: pixel, channel. Did you mean 'pixel'"),
    ],
)
def test_what_is_wrong_in_nested_settings_is_told_with_its_choices(word: str, message: str) -> None:
    from scenewise.training.plan import make_plan

    with pytest.raises(InputError, match=message):
        make_plan(recipes.load("provide-tiny", [word]))


def test_the_command_line_notes_each_old_word_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["train", "provide-tiny-staged", "--dry-run", "--out", str(tmp_path / "run")]
    assert main([*words, "model.settings.lds_weight=0.5", *OLD]) == 0
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert notes == [
        "note: model.settings.lds_weight=0.5 is now written model.settings.duplicates.weight=0.5",
        "note: model.settings.decoder_channels=12 is now written model.settings.decoder.channels=12",
        "note: model.settings.groups=2 is now written model.settings.decoder.groups=2 and "
        "model.settings.encoder.groups=2",
    ]
    assert main([*words, "--lds", "0.5"]) == 0
    output = capsys.readouterr()
    assert "note: " not in output.err
    assert "duplicates: {weight: 0.5}" in output.out


@pytest.mark.slow
def test_a_run_begun_with_old_names_ends_with_the_weights_of_one_begun_with_new_ones(tmp_path: Path) -> None:
    train(staged(*NEW), tmp_path / "whole")
    train(staged(*NEW), tmp_path / "old", until="single-frames")
    stage = tmp_path / "old" / "stages" / "1-single-frames"
    shutil.copy(FORMAT1 / "run.yaml", tmp_path / "old" / "recipe.yaml")
    shutil.copy(FORMAT1 / "stage.yaml", stage / "recipe.yaml")
    for model in (tmp_path / "old" / "model", stage / "model"):
        shutil.copy(FORMAT1 / "model.json", model / "config.json")
    begun = tmp_path / "begun"
    shutil.copytree(tmp_path / "old", begun)
    assert main(["train", "--resume", "--out", str(tmp_path / "old")]) == 0
    with pytest.warns(RenamedSettingWarning):
        train(staged(*OLD), begun, resume=True)
    for run in ("old", "begun"):
        for number in (1, 2):
            (folder,) = (tmp_path / run / "stages").glob(f"{number + 1}-*")
            assert same(last_state(folder), last_state(tmp_path / "whole" / "stages" / folder.name))
