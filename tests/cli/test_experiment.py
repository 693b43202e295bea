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
    "model": "iodine", "data": "balls",
    "source": {"source": "balls-colour", "settings": {"min_balls": 2, "max_balls": 2, "size": 16, "frames": 2}},
    "settings": {
        "model": {"name": "iodine", "preset": "tiny", "settings": {}},
        "training": {
            "steps": 2, "batch": 2, "validate_every": 2, "images_every": 9, "validation_videos": 1,
            "validation_frames": 1, "device": "cpu", "curriculum": [[0, 1]],
        },
    },
    "variants": {"lds0": {"model.settings.duplicates.weight": 0}, "lds1": {"model.settings.duplicates.weight": 0.5}},
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
    assert sorted(p.name for p in out.iterdir()) == ["campaign", "iodine.balls.lds0.seed0", "tiny.json", "tiny.md"]
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
    assert told.count("train iodine from step 0 to 5; score by lds") == 2
    assert "to train, 2 steps" in scenewise(*command, "--list")[1]
    code, told, _ = scenewise(*command, "--score")
    assert code == 0
    assert told.count("no model yet, left out") == 2
    assert not out.exists()


def test_weights_that_are_ready_are_told(scenewise, tmp_path):
    words = ["experiment", "provide-prediction", "--only", "model=provide,variant=shipped", "--out", tmp_path / "out"]
    assert scenewise(*words, "--list")[1].count("weights are ready     scored 0/1") == 2
    code, told, _ = scenewise(*words, "--dry-run")
    assert code == 0
    assert told.count("shipped.seed0: score by prediction") == 2
    assert "2 cells, about " in told
    assert not (tmp_path / "out").exists()


def test_experiments_are_listed_with_what_is_done_of_each(scenewise, tmp_path):
    code, told, _ = scenewise("experiment", "--out", tmp_path)
    assert code == 0
    lines = told.splitlines()
    for name in ("lds", "lds-sigma", "lds-slots", "provide-prediction", "provide-decomposition"):
        assert any(line.startswith(f"{name}  ") for line in lines)
    assert any("--size smoke" in line and "0 of   8 cells scored" in line for line in lines)
    assert all(line.startswith(" ") or "  " in line for line in lines)


def test_a_cell_that_fails_makes_the_exit_code_one_and_the_others_are_done(scenewise, words):
    command, out = words
    (out / "iodine.balls.lds0.seed0").mkdir(parents=True)
    (out / "iodine.balls.lds0.seed0" / "stranger").write_text("")
    code, told, _ = scenewise(*command)
    assert code == 1
    assert "out/iodine.balls.lds0.seed0: FAILED" in told
    assert "1 of 2 cells" in told
    assert "FAILED: " in scenewise(*command, "--list")[1]


def test_out_of_time_is_told_with_what_is_left_and_the_exit_code_is_zero(scenewise, words):
    command, out = words
    code, told, _ = scenewise(*command, "--minutes", "0.01", "--only", "variant=lds0", "training.steps=100000")
    assert code == 0
    assert "left:" in told
    assert " h of one core" in told
    assert "0 done, 0 failed, 1 left" in (out / "campaign" / "campaign.log").read_text()


def test_all_experiments_are_done_kept_and_put_on_a_page(scenewise, words, tmp_path, monkeypatch):
    from scenewise.experiments import experiment as experiments
    from scenewise.experiments import measured_results

    folder = tmp_path / "tables"
    folder.mkdir()
    cheap = {**CONTENT, "sizes": {"small": {**CONTENT["sizes"]["smoke"], "summary": "seconds"}}, "claim": "Nothing."}
    (folder / "one.yaml").write_text(yaml.safe_dump(cheap))
    (folder / "two.yaml").write_text(yaml.safe_dump({"summary": "Two", "sizes": {"small": {"cells": [
        {"model": "again", "data": "balls", "trained": "one/iodine.balls", "variants": {"lds1": {}},
         "scoring": [{"protocol": ["provide", "bound"], "samples": 2, "frames": [1, 2]}]}]}}}))  # fmt: skip
    monkeypatch.setattr(experiments, "definitions_folder", lambda: folder)
    monkeypatch.setattr(measured_results, "file_of", lambda name: tmp_path / "package" / f"{name}.json")
    root = tmp_path / "root"
    code, told, _ = scenewise("experiment", "all", "--jobs", "2", "--out", root)
    assert code == 0
    assert sorted(p.name for p in root.iterdir()) == ["campaign", "one-small", "two-small"]
    assert (root / "one-small" / "one.md").is_file()
    assert "one: 2 of 2 cells" in told
    assert "two: 1 of 1 cells" in told
    assert not (root / "two-small" / "again.balls.lds1.seed0" / "model").exists()
    assert scenewise("experiment", "all", "--keep", "--out", root)[0] == 0
    code, told, _ = scenewise("experiment", "two", "--show", "--out", tmp_path / "elsewhere")
    assert code == 0
    assert "## NLL (protocol bound)" in told
    assert "1 of 1 cells" in told
    assert scenewise("experiment", "--page", tmp_path / "page.md")[0] == 0
    page = (tmp_path / "page.md").read_text()
    assert "*The paper:* Nothing." in page
    assert "### two, size small: 1 of 1 cells" in page
    assert "#### KL (protocol bound)" in page
    assert "  1 of   1 cells scored" in scenewise("experiment")[1]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--only", "variant=lds7"], "no cell has variant=lds7"),
        (["--only", "colour=red"], "'colour=red' is not of the form"),
        (["--size", "smal"], "'smal' is not one of"),
        (["--show"], "holds no cell with scores"),
        (["model.settings.sigmma=1"], "sigmma"),
        (["training.steps=0"], "training.steps is 0"),
        (["--minutes", "0"], "--minutes: must be above 0"),
        (["--jobs", "-1"], "--jobs: must be above 0"),
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
    time.sleep(1)  # a cell's own process notices that the campaign was killed
    code, told, _ = scenewise(*command)
    assert code == 0
    assert "resumed at step" in (checkpoints.parent / "events.log").read_text()
    assert "2 of 2 cells" in told
