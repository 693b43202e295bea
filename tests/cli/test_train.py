"""The words of `scenewise train`."""

import numpy as np
import pytest

from scenewise.cli import command_parser, main
from scenewise.cli.train import words_of
from scenewise.media import VideoWriter
from scenewise.training import recipes


@pytest.fixture
def parse():
    parser = command_parser(["train"])
    return lambda words: words_of(parser.parse_args(["train", *words.split()]))


@pytest.mark.parametrize(
    "words",
    [
        "provide-tiny a.b=1 c=2 --out there",
        "provide-tiny --out there a.b=1 c=2",
        "provide-tiny a.b=1 --out there c=2",
        "--out there provide-tiny a.b=1 c=2",
        "provide-tiny --out there --minutes 3 --a.b=1 c=2",
    ],
)
def test_settings_may_stand_anywhere(parse, words):
    recipe, files, settings = parse(words)
    assert (recipe, files) == ("provide-tiny", [])
    assert [word.removeprefix("--") for word in settings] == ["a.b=1", "c=2"]


def test_settings_after_files_are_no_files(parse):
    assert parse("footage --data one.mp4 two.mp4 a=1") == ("footage", ["one.mp4", "two.mp4"], ["a=1"])


def test_the_recipe_may_be_left_out(parse):
    assert parse("--resume --out there a=1") == (None, [], ["a=1"])


def test_an_unknown_option_is_refused(parse):
    with pytest.raises(SystemExit):
        parse("provide-tiny --nonsense")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train", "RECIPE: is missing"),
        ("train provide-tny", "Did you mean 'provide-tiny'"),
        ("train provide-tiny training.stps=3", "'steps'"),
        ("train footage", "--data: is missing"),
        ("train footage --data no-such-file.mp4", "no-such-file.mp4"),
        ("train --resume --out no-such-run", "no run to resume"),
    ],
)
def test_what_cannot_work_is_said_without_a_traceback(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_run_tells_before_during_and_after(capsys, tmp_path):
    words = ["training.steps=2", "training.batch=2", "training.device=cpu", "training.images_every=9"]
    assert main(["train", "provide-tiny", "--out", str(tmp_path / "run"), *words]) == 0
    told = capsys.readouterr().out
    for part in ("parameters", "GiB", "cells", "step 2/2", "validation at step 2", "Finished 2 steps", "--model"):
        assert part in told
    assert "provide-tiny" in recipes.names()


def test_a_moving_camera_is_told_once_and_at_once(scenewise, tmp_path, monkeypatch):
    """Before the file is decoded; the look still proposes something, for who wants to try."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    wall = np.random.default_rng(0).integers(0, 256, (12, 60, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    with VideoWriter(tmp_path / "panned.mp4", (96, 160), 25) as writer:
        for t in range(120):
            writer.write(np.ascontiguousarray(wall[:, 2 * t : 2 * t + 160]))
    code, out, err = scenewise("train", "footage", "--data", tmp_path / "panned.mp4", "--dry-run")
    assert code == 0
    assert "the camera moves" in err
    assert "vidstab" in err
    assert "warning" not in out
    assert "camera moves" in out


def test_frames_cut_at_half_are_told_once(capsys, tmp_path):
    words = ["--samples", "1", "--out", tmp_path / "films", "--format", "mp4", "--set", "frames=40", "size=28"]
    assert main(["data", "make", "balls-binary", *map(str, words)]) == 0
    settings = (
        f"data.settings={{files: [{tmp_path}/films/00000.mp4], clip_length: 3, size: [28, 28], shares: [.6, .2, .2]}}"
    )
    tiny = [
        "model.preset=tiny",
        "model.settings.channels=3",
        "model.settings.size=[28, 28]",
        "model.settings.grey=refuse",
    ]
    steps = ["training.steps=2", "training.batch=1", "training.curriculum=[[0, 3]]", "training.device=cpu"]
    words = ["data.source=footage", settings, *tiny, *steps, "training.validation_videos=1"]
    assert main(["train", "rnem-balls", *words, "--out", str(tmp_path / "run")]) == 0, capsys.readouterr().err
    said = "".join(capsys.readouterr())
    assert said.count("nearly black and white, as compressed ones are") == 1
