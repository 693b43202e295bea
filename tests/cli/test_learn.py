"""`scenewise decompose --learn`: training on the videos themselves, then taking them apart, in one command."""

import contextlib
import dataclasses
import io

import numpy as np
import pytest

from scenewise.cli import main
from scenewise.cli.learn import shortened
from scenewise.media import VideoWriter
from scenewise.training import proposals, recipes
from scenewise.training.folder import RunFolder
from scenewise.training.run import Run


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def train_little(patch):
    """Let what is proposed train the tiny preset for three steps, on one process."""
    propose = proposals.propose

    def propose_tiny(*args, **reading):
        values, reasons = propose(*args, **reading)
        values["model"]["preset"] = "tiny"
        values["model"]["settings"] |= {"area_entropy_weight": 0.0, "pooling": 2}
        values["training"] |= {"steps": 3, "batch": 2, "validation_videos": 1, "device": "cpu"}
        return values, reasons

    patch.setattr(proposals, "propose", propose_tiny)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    train_little(monkeypatch)


def write_clip(path):
    """Write a red square that goes to and fro before a smooth wall, 40 frames."""
    with VideoWriter(path, (48, 80), 10) as writer:
        for t in range(40):
            image = np.full((48, 80, 3), (90, 120, 150), np.uint8)
            left = abs(t % 56 - 28) * 2
            image[16:32, left : left + 16] = (220, 40, 40)
            writer.write(image)
    return path


@pytest.fixture
def clip(tmp_path):
    return write_clip(tmp_path / "clip.mp4")


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """A clip, the folder in which it was trained on and taken apart, and what was said of it."""
    folder = tmp_path_factory.mktemp("learnt")
    clip, out = write_clip(folder / "clip.mp4"), folder / "out"
    words = ["decompose", str(clip), "--out", str(out), "--learn", "5", "--formats", "tracks"]
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as told:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        train_little(patch)
        assert main(words) == 0
    return clip, out, told.getvalue()


def test_both_in_one_command_and_again(scenewise, learnt):
    clip, folder, told = learnt
    assert "1 objects in a busy frame" in told
    assert "background picture:" in told
    assert (folder / "training" / "model" / "config.json").is_file()
    assert (folder / "clip" / "run.json").is_file()
    assert "40 frames" in told
    words = ("decompose", clip, "--out", folder, "--learn", "5", "--formats", "tracks", "--overwrite")
    code, out, err = scenewise(*words)
    assert code == 0, err
    assert "objects in a busy frame" not in out, "the run is there and goes on"


def test_all_of_a_training_fits_into_the_minutes():
    proposed = recipes.load("footage", ["training.steps=600", "training.curriculum=[[0, 1], [150, 3]]"])
    training = shortened(proposed, 0.2).training
    assert (training.steps, training.curriculum) == (120, ((0, 1), (30, 3)))
    assert (training.warm_up, training.half_life, training.validate_every) == (40, 300, 50)
    assert training.learning_rate == proposed.training.learning_rate
    assert shortened(proposed, 1e-6).training.steps == 40


def test_a_training_that_does_not_fit_is_shortened_and_goes_on_when_asked_again(scenewise, clip, tmp_path, monkeypatch):
    estimate = Run.estimate
    monkeypatch.setattr(Run, "estimate", lambda run: [dataclasses.replace(each, hours=10.0) for each in estimate(run)])
    monkeypatch.setattr("scenewise.cli.learn.FEWEST_STEPS", 2)
    words = ("decompose", clip, "--out", tmp_path / "out", "--learn", "5", "--formats", "tracks")
    code, out, err = scenewise(*words)
    assert code == 0, err
    assert "steps = 2: about as many as fit into 5 minutes" in out
    code, out, err = scenewise(*words, "--overwrite")
    assert code == 0, err
    assert RunFolder(tmp_path / "out" / "training").steps_done() == 4


def test_slots_and_crop_reach_the_model(scenewise, clip, tmp_path):
    words = ("--learn", "5", "--slots", "4", "--crop", "0,0,48,64", "--formats", "slots")
    code, _, err = scenewise("decompose", clip, "--out", tmp_path / "out", *words)
    assert code == 0, err
    from scenewise.checkpoint import load_model

    loaded = load_model(tmp_path / "out" / "training" / "model")
    assert loaded.model.config.slots == 4
    assert (loaded.card.crop, loaded.card.source_size) == ((0, 0, 48, 64), (48, 80))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--learn", "0"), "more than 0 minutes"),
        (("--learn", "5", "--model", "runs/clip/model"), "a model of its own"),
        (("--learn", "5", "--background", "empty.png"), "--learn makes its own"),
    ],
)
def test_what_does_not_go_together(scenewise, clip, tmp_path, words, says):
    code, _, err = scenewise("decompose", clip, "--out", tmp_path / "out", *words)
    assert code == 2
    assert says in err
    assert not (tmp_path / "out").exists()


def test_sources_short_clips_and_other_files_are_refused(scenewise, learnt, tmp_path):
    clip, folder, _ = learnt
    code, _, err = scenewise("decompose", "balls-colour#3", "--out", tmp_path / "out", "--learn", "5")
    assert code == 2
    assert "not a file" in err
    with VideoWriter(tmp_path / "short.mp4", (48, 80), 10) as writer:
        for t in range(10):
            writer.write(np.full((48, 80, 3), 20 * t, np.uint8))
    code, _, err = scenewise("decompose", tmp_path / "short.mp4", "--out", tmp_path / "out", "--learn", "5")
    assert code == 2
    assert "has 10 frames" in err
    other = tmp_path / "other.mp4"
    other.write_bytes(clip.read_bytes())
    code, _, err = scenewise("decompose", other, "--out", folder, "--learn", "5")
    assert code == 2
    assert "clip.mp4" in err
    assert "another --out" in err
