"""Real processes that are told to stop, or killed without being told."""

import os
import signal
import subprocess
import time

import pytest
from safetensors.torch import load_file

from .runs import COMMAND, SMALL, last_state, rows, same

pytestmark = pytest.mark.slow

WORDS = [*SMALL, "training.steps=60", "training.checkpoint_every=7", "training.validate_every=20"]


def start(*words):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    return subprocess.Popen(
        [*COMMAND, *map(str, words)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait_for_step(process, folder, step):
    """Wait until a run has logged a step."""
    for _ in range(2400):
        file = folder / "metrics.csv"
        if process.poll() is not None:
            pytest.fail(f"the run ended by itself: {process.communicate()[0]}")
        if file.exists() and len(file.read_text().splitlines()) > step:
            return
        time.sleep(0.05)
    pytest.fail("the run never got there")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    process = start("provide-tiny", "--out", folder, *WORDS)
    assert process.wait() == 0, process.communicate()[0]
    return folder


def check_same(folder, whole):
    assert same(last_state(folder), last_state(whole))
    assert same(load_file(folder / "model" / "model.safetensors"), load_file(whole / "model" / "model.safetensors"))
    for table in ("metrics.csv", "validation.csv"):
        assert rows(folder / table) == rows(whole / table)


def test_kill_9_twice_and_resume_gives_the_uninterrupted_run(whole, tmp_path):
    process = start("provide-tiny", "--out", tmp_path / "run", *WORDS)
    for step in (16, 40):
        wait_for_step(process, tmp_path / "run", step)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        process = start("--resume", "--out", tmp_path / "run")
    assert process.wait() == 0, process.communicate()[0]
    check_same(tmp_path / "run", whole)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_says_how_to_continue_and_continues(whole, tmp_path, number, code):
    process = start("provide-tiny", "--out", tmp_path / "run", *WORDS)
    wait_for_step(process, tmp_path / "run", 10)
    process.send_signal(number)
    told = process.communicate()[0]
    assert process.returncode == code
    assert f"scenewise train --resume --out {tmp_path / 'run'}" in told
    assert "Traceback" not in told
    assert last_state(tmp_path / "run")["step"] == len(rows(tmp_path / "run" / "metrics.csv"))
    process = start("--resume", "--out", tmp_path / "run")
    assert process.wait() == 0, process.communicate()[0]
    check_same(tmp_path / "run", whole)


def wait_for_stage(process, folder, name):
    """Wait until a stage of a run has begun."""
    for _ in range(60_000):
        if process.poll() is not None:
            pytest.fail(f"the run ended by itself: {process.communicate()[0]}")
        if (folder / "stages" / name).exists():
            return
        time.sleep(0.002)
    pytest.fail("the run never got there")


def test_kill_9_at_every_boundary_of_stages_and_resume_gives_the_uninterrupted_run(tmp_path):
    """The process is killed as soon as the folder of each next stage appears, and once as its model appears."""
    process = start("provide-tiny-staged", "--out", tmp_path / "whole", "training.device=cpu")
    assert process.wait() == 0, process.communicate()[0]
    process = start("provide-tiny-staged", "--out", tmp_path / "run", "training.device=cpu")
    for name in ("1-single-frames", "2-slots-apart", "2-slots-apart/model", "3-clips-of-2", "3-clips-of-2/model"):
        wait_for_stage(process, tmp_path / "run", name)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        process = start("--resume", "--out", tmp_path / "run")
    assert process.wait() == 0, process.communicate()[0]
    for name in ("1-single-frames", "2-slots-apart", "3-clips-of-2"):
        check_same(tmp_path / "run" / "stages" / name, tmp_path / "whole" / "stages" / name)
    models = [(tmp_path / run / "model" / "model.safetensors").read_bytes() for run in ("run", "whole")]
    assert models[0] == models[1]
