"""The words of `scenewise experiment`, on the smallest experiment there is."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml

GROUP = {
    "model": "iodine", "data": "balls", "recipe": "iodine-balls-colour-found",
    "source": {"source": "balls-colour", "settings": {"min_balls": 2, "max_balls": 2, "size": 16, "frames": 2}},
    "settings": {
        "model.preset": "tiny",
        "model.settings": {"decoder_factor": 4, "encoder_pooling": 1},
        "training": {
            "steps": 2, "batch": 2, "validate_every": 2, "images_every": 9, "validation_videos": 1,
            "validation_frames": 1, "device": "cpu",
        },
    },
    "variants": {"lds0": {"model.settings.lds_weight": 0}, "lds1": {"model.settings.lds_weight": 0.5}},
}  # fmt: skip
CONTENT = {
    "summary": "Nothing",
    "module": "lds",
    "sizes": {"smoke": {"cells": [GROUP], "scoring": [{"protocol": "lds", "samples": 2, "frames": 1}]}},
}


@pytest.fixture
def words(tmp_path):
    """Return the words of the experiment, and the folder it goes to."""
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(CONTENT))
    return ["experiment", file, "--size", "smoke", "--out", tmp_path / "out"], tmp_path / "out"


def test_cells_are_trained_once_and_shown_from_what_there_is(scenewise, words):
    command, out = words
    code, told, _ = scenewise(*command, "--only", "variant=lds0")
    assert code == 0
    assert "Finished" not in told
    assert "1 of 2 cells" in told
    assert sorted(p.name for p in out.iterdir()) == ["iodine.balls.lds0.seed0", "tiny.json", "tiny.md"]
    stamp = (out / "iodine.balls.lds0.seed0" / "model" / "model.safetensors").stat().st_mtime_ns
    code, told, _ = scenewise(*command)
    assert code == 0
    assert "with - without" in told
    assert (out / "tiny-figure3.png").stat().st_size > 1000
    assert (out / "iodine.balls.lds0.seed0" / "model" / "model.safetensors").stat().st_mtime_ns == stamp
    rows = json.loads((out / "tiny.json").read_text())["rows"]
    assert {row["variant"] for row in rows} == {"lds0", "lds1"}
    code, told, _ = scenewise(*command, "--list")
    assert told.count("trained 2/2") == 2
    assert told.count("scored 1/1") == 2
    code, told, _ = scenewise(*command, "--dry-run")
    assert told.count("nothing, it is done") == 2
    assert scenewise(*command, "--show")[0] == 0


def test_before_anything_is_done_all_is_said_and_nothing_written(scenewise, words):
    command, out = words
    code, told, _ = scenewise(*command, "--dry-run", "training.steps=5")
    assert code == 0
    assert told.count("train iodine-balls-colour-found from step 0 to 5; score by lds") == 2
    assert "to train, 2 steps" in scenewise(*command, "--list")[1]
    code, told, _ = scenewise(*command, "--score")
    assert code == 2
    assert "no model yet" in told
    assert not out.exists()


def test_weights_that_are_ready_are_told(scenewise, tmp_path):
    words = ["experiment", "provide-prediction", "--only", "model=provide", "--out", tmp_path / "out"]
    assert scenewise(*words, "--list")[1].count("weights are ready     scored 0/1") == 2
    code, told, _ = scenewise(*words, "--dry-run")
    assert code == 0
    assert told.count("shipped.seed0: score by prediction") == 2
    assert not (tmp_path / "out").exists()


def test_experiments_are_listed(scenewise):
    code, told, _ = scenewise("experiment")
    assert code == 0
    for name in ("lds", "lds-sigma", "lds-slots"):
        assert name in told
    assert "--size smoke" in told


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--only", "variant=lds7"], "no cell has variant=lds7"),
        (["--only", "colour=red"], "'colour=red' is not of the form"),
        (["--size", "smal"], "'smal' is not one of"),
        (["--show"], "holds no cell with scores"),
        (["model.settings.sigmma=1"], "sigmma"),
        (["training.steps=0"], "training.steps is 0"),
    ],
)
def test_what_cannot_work_is_said(scenewise, words, more, message):
    command, out = words
    code, _, told = scenewise(*command, *more)
    assert code == 2
    assert message in told
    assert not out.exists()


def test_unknown_experiments_are_said(scenewise):
    code, _, told = scenewise("experiment", "ldss")
    assert code == 2
    assert "Did you mean 'lds'" in told


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_an_experiment_that_was_stopped_goes_on(scenewise, words, number, code):
    command, out = words
    command = [*map(str, command), "training.steps=60", "training.checkpoint_every=5"]
    start = [sys.executable, "-c", "import sys; from scenewise.cli import main; sys.exit(main(sys.argv[1:]))"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([*start, *command], env=environment, stdout=subprocess.PIPE, text=True)
    checkpoints = out / "iodine.balls.lds0.seed0" / "checkpoints"
    while not list(checkpoints.glob("step_*.pt")) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(number)
    told = process.communicate()[0]
    assert process.returncode == code
    assert code < 0 or "goes on from here" in told
    code, told, _ = scenewise(*command)
    assert code == 0
    assert "resumed at step" in (checkpoints.parent / "events.log").read_text()
    assert "2 of 2 cells" in told
