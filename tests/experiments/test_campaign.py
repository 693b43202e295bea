"""Campaigns on tiny cells: locks, kills, failures, budgets; and processes that end with the one that started them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from scenewise.errors import InputError
from scenewise.experiments import experiment as experiments
from scenewise.experiments.campaign import Campaign, CellTask, check
from scenewise.experiments.cell_folder import CellFolder
from scenewise.media.folders import BusyError, lock
from scenewise.training.run import train


@pytest.fixture
def tasks(table, content, tmp_path):
    """Return the cells of the smallest experiment, changed by `change(content)`, as tasks."""

    def make(change=None, words=()):
        if change is not None:
            change(content["sizes"]["smoke"])
        file = table(content)
        tiny, out = experiments.load(file, "smoke"), tmp_path / "out"
        return [CellTask(tiny, CellFolder(cell, out, words, tmp_path)) for cell in tiny.cells]

    return make


def one_variant(size):
    size["cells"][0]["variants"] = {"lds0": {"model.settings.duplicates.weight": 0}}
    size["scoring"] = [{"protocol": "savi", "samples": 1, "frames": 2}]


def one_cell(size):
    one_variant(size)
    size["cells"][0]["seeds"] = [0]


def campaign(tasks, tmp_path, **options):
    return Campaign(tasks, tmp_path / "log.txt", device="cpu", **options)


def held(path):
    """Start a process that holds a lock until its input ends."""
    code = (
        "import sys; from pathlib import Path; from scenewise.media.folders import lock\n"
        "with lock(Path(sys.argv[1])):\n print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    return process


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_lock_is_held_by_one_process_and_goes_with_it_when_it_is_killed(tmp_path):
    path = tmp_path / "deep" / "cell.lock"
    process = held(path)
    with pytest.raises(BusyError), lock(path):
        pass
    process.kill()
    process.wait()
    with lock(path), pytest.raises(BusyError), lock(path):
        pass
    with lock(path):
        pass


def test_cells_are_trained_and_scored_side_by_side_and_lines_are_told(tasks, tmp_path):
    lines = []
    outcome = campaign(tasks(one_variant), tmp_path, jobs=2, tell=lines.append).run()
    assert [len(outcome.done), len(outcome.failed), len(outcome.left), len(outcome.busy)] == [2, 0, 0, 0]
    logged = (tmp_path / "log.txt").read_text().splitlines()
    assert [line[20:] for line in logged] == lines
    assert sum("begins" in line for line in lines) == sum("done in" in line for line in lines) == 2
    for task in outcome.done:
        scores = task.folder.scores()
        assert len(scores["scores"]) == 1
        assert 0.05 < scores["memory_gib"] < 8
        assert "evaluations made" in (tmp_path / "out" / "campaign" / f"{task.folder.cell.name}.log").read_text()
        assert scores["hardware"] == "CPU, 1 thread"


@pytest.mark.slow
def test_a_cell_that_fails_is_told_passed_over_and_tried_again(tasks, tmp_path):
    found = tasks(one_variant)
    path = found[0].folder.path
    path.mkdir(parents=True)
    (path / "stranger").write_text("")  # a training refuses the folder
    outcome = campaign(found, tmp_path).run()
    assert [task.folder.cell.seed for task in outcome.done] == [1]
    ((failed, reason),) = outcome.failed
    assert failed is found[0]
    assert "holds files already" in reason
    kept = json.loads((path / "failure.json").read_text())
    assert "holds files already" in kept["error"]
    assert "Traceback" in kept["traceback"]
    (path / "stranger").unlink()
    again = campaign(found[:1], tmp_path).run()
    assert len(again.done) == 1
    assert not (path / "failure.json").exists()


def test_recipes_that_cannot_work_are_told_before_anything_is_computed(tasks, tmp_path):
    def break_one(size):
        one_variant(size)
        size["cells"][0]["variants"]["lds1"] = {"model.settings.slots": 0}

    found = tasks(break_one)
    broken = check(found)
    assert {task.folder.cell.variant for task, _ in broken} == {"lds1"}
    assert all("slots" in reason for _, reason in broken)
    with pytest.raises(InputError, match="slots"):
        check([task for task, _ in broken])
    assert not (tmp_path / "out").exists()


def test_a_cell_that_another_process_holds_is_passed_over(tasks, tmp_path):
    found = tasks(one_variant)
    process = held(tmp_path / "out" / "campaign" / f"{found[0].folder.cell.name}.lock")
    outcome = campaign(found, tmp_path).run()
    assert outcome.busy == [found[0]]
    assert outcome.done == [found[1]]
    process.communicate()


@pytest.mark.slow
def test_a_budget_of_minutes_stops_training_in_time_and_the_rest_goes_on(tasks, tmp_path):
    def long(size):
        one_cell(size)
        size["cells"][0]["settings"]["training"] |= {"steps": 100_000, "checkpoint_every": 50_000}

    found, began = tasks(long), time.monotonic()
    outcome = campaign(found, tmp_path, minutes=40 / 60).run()
    assert time.monotonic() - began < 90
    ((left, seconds),) = outcome.left
    assert left is found[0]
    assert outcome.seconds == seconds > 100
    assert not outcome.signal
    step = left.folder.state().step
    assert 0 < step < 100_000
    assert "stopped by " in (tmp_path / "out" / "campaign" / f"{left.folder.cell.name}.log").read_text()
    campaign(found, tmp_path, minutes=20 / 60).run()
    assert left.folder.state().step > step


def test_a_stop_ends_the_processes_cleanly(tasks, tmp_path):
    def long(size):
        one_cell(size)
        size["cells"][0]["settings"]["training"] |= {"steps": 100_000, "checkpoint_every": 50_000}

    found = tasks(long)
    metrics = found[0].folder.path / "metrics.csv"
    outcome = campaign(found, tmp_path, stop=metrics.is_file).run()
    assert outcome.signal
    assert [task for task, _ in outcome.left] == found
    assert found[0].folder.state().step > 0


def weights(folder):
    return load_file(folder.run.model / "model.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["cell", "campaign"])
def test_whatever_is_killed_nothing_is_lost(tasks, tmp_path, victim):
    def longer(size):
        one_cell(size)
        size["cells"][0]["settings"]["training"] |= {"steps": 40, "validate_every": 40, "checkpoint_every": 3}

    (task,) = tasks(longer)
    whole = tmp_path / "whole"
    train(task.folder.recipe(), whole)
    code = (
        "import sys; from pathlib import Path; from scenewise.experiments.campaign import Campaign, CellTask\n"
        "from scenewise.experiments import experiment as e; from scenewise.experiments.cell_folder import CellFolder\n"
        "file, out = sys.argv[1:]\n"
        "tiny = e.load(file, 'smoke'); folder = CellFolder(tiny.cells[0], out, (), Path(out).parent)\n"
        "Campaign([CellTask(tiny, folder)], Path(out) / 'log.txt', device='cpu').run()"
    )
    start = [sys.executable, "-c", code, str(tmp_path / "tiny.yaml"), str(task.folder.out)]
    process = subprocess.Popen(start, stdout=subprocess.DEVNULL)
    checkpoints = task.folder.path / "checkpoints"
    wait_for(lambda: list(checkpoints.glob("step_*.pt")) or process.poll() is not None)
    if victim == "campaign":
        process.kill()
        process.wait()
    else:
        os.kill(_child_of(process.pid, task), signal.SIGKILL)
        process.wait()
        assert "ended with code -9" in task.folder.failure()["error"]
    wait_for(lambda: not _is_held(task))  # the cell's own process has noticed
    assert task.folder.state().step < 40
    outcome = campaign([task], tmp_path).run()
    assert outcome.done == [task]
    for name, tensor in load_file(whole / "model" / "model.safetensors").items():
        assert torch.equal(tensor, weights(task.folder)[name])


def _is_held(task):
    try:
        with task.folder.locked():
            return False
    except BusyError:
        return True


def _child_of(pid, task):
    """Return the process that works on a cell: the one that has its log open for output."""
    log = task.folder.out / "campaign" / f"{task.folder.cell.name}.log"
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if int(folder.name) != pid and (folder / "fd" / "1").resolve() == log.resolve():
                return int(folder.name)
        except OSError:
            continue
    raise AssertionError("no process works on the cell")


@pytest.mark.slow
def test_cells_that_start_from_another_wait_for_it(tasks, tmp_path):
    def chain(size):
        one_cell(size)
        first = size["cells"][0]
        second = {**first, "model": "second", "start": "provide.balls.{variant}.seed{seed}"}
        size["cells"] = [{**second, "settings": {**first["settings"], "training": {
            **first["settings"]["training"], "steps": 1, "validate_every": 1}}}, first]  # fmt: skip

    lines = []
    outcome = campaign(tasks(chain), tmp_path, jobs=2, tell=lines.append).run()
    assert len(outcome.done) == 2
    begun = [line.split(":")[0] for line in lines if "begins" in line]
    assert begun == ["out/provide.balls.lds0.seed0", "out/second.balls.lds0.seed0"]


def test_the_cheapest_comes_first_and_a_model_is_trained_once_for_two_experiments(
    table, content, tmp_path, monkeypatch
):
    one_cell(content["sizes"]["smoke"])
    content["sizes"]["smoke"]["cells"].append(
        {**content["sizes"]["smoke"]["cells"][0], "model": "cheap", "settings": {
            **content["sizes"]["smoke"]["cells"][0]["settings"], "training.steps": 2, "training.validate_every": 1}}
    )  # fmt: skip
    file = table(content)
    monkeypatch.setattr(experiments, "definitions_folder", lambda: tmp_path)
    other = {"summary": "Another", "sizes": {"smoke": {"cells": [
        {"model": "same", "data": "balls", "trained": "tiny/provide.balls", "scoring": [
            {"protocol": "rnem", "samples": 1, "frames": 2}]}]}}}  # fmt: skip
    (tmp_path / "other.yaml").write_text(json.dumps(other))
    tiny = experiments.load(file, "smoke")
    first = [CellTask(tiny, CellFolder(cell, tmp_path / "tiny-smoke", (), tmp_path)) for cell in tiny.cells]
    (cell,) = experiments.load("other", "smoke").cells
    folder = CellFolder(cell, tmp_path / "other-smoke", (), tmp_path)
    assert folder.run.path == first[0].folder.path
    assert folder.recipe() == first[0].folder.recipe()
    lines = []
    campaign(first, tmp_path, tell=lines.append).run()
    begun = [line.split(".")[0] for line in lines if "begins" in line]
    assert begun == ["tiny-smoke/cheap", "tiny-smoke/provide"]
    assert folder.state().trained
    assert folder.score() == 1
    assert not (folder.path / "model").exists()
    assert folder.scores()["fingerprint"] == first[0].folder.scores()["fingerprint"]
