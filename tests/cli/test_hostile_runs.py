"""Run folders that were made or broken to harm: every kind is refused in one clear line, and nothing is overwritten."""

import hashlib
import shutil

import pytest
import torch
import yaml
from tests.cli.refusals import refused

from scenewise.cli import main
from scenewise.training import recipes, run
from scenewise.training.run import train


@pytest.fixture(scope="module")
def run_once(tmp_path_factory):
    """A run of two of four steps."""
    out = tmp_path_factory.mktemp("runs") / "run"
    words = ["training.batch=2", "training.device=cpu", "training.curriculum=[[0, 1]]", "training.checkpoint_every=1"]
    train(recipes.load("provide-tiny", [*words, "training.steps=2", "data.settings.max_balls=2"]), out)
    for checkpoint in sorted((out / "checkpoints").iterdir())[:-1]:
        checkpoint.unlink()
    return out


@pytest.fixture(autouse=True, scope="module")
def one_forecast():
    """Tell of all runs what is foreseen of the first: that is half of what a refusal takes, and comes before it."""
    foreseen, forecast = {}, run.forecast

    def once(plan, model, device, step, folder, place):
        if place not in foreseen:
            foreseen[place] = forecast(plan, model, device, step, folder, place)
        return foreseen[place]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "forecast", once)
        yield


def field(name, value):
    return lambda state: {**state, name: value}


CHECKPOINTS = {
    **{f"no {name}": lambda state, name=name: {k: v for k, v in state.items() if k != name} for name in
       ("step", "model", "optimizer", "seconds", "best", "trained")},
    **{f"step is {value!r:.20}": field("step", value) for value in (None, "x", [], {}, -1, 10**30, 3.5)},
    **{f"seconds are {value!r}": field("seconds", value) for value in (None, "x", [], {}, float("nan"), -1.0)},
    **{f"best is {value!r}": field("best", value) for value in (None, "x", float("nan"))},
    **{f"model is {value!r}": field("model", value) for value in (None, "x", [], 5, {}, {"a": 1})},
    "model is another": field("model", {"initial": torch.zeros(3)}),
    **{f"optimizer is {value!r}": field("optimizer", value) for value in (None, "x", [], {}, {"state": {}})},
    "optimizer is another": lambda s: {**s, "optimizer": {"state": {}, "param_groups": [{"params": [0]}]}},
    "moments are others": lambda s: {**s, "optimizer": {**s["optimizer"], "state": {
        0: {"step": torch.tensor(1.0), "exp_avg": torch.zeros(3), "exp_avg_sq": torch.zeros(3)}}}},
    "a list": lambda _: [1, 2],
    "a tensor": lambda _: torch.zeros(3),
    "nothing": lambda _: None,
}  # fmt: skip


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_checkpoints(run_once, tmp_path, capsys, kind):
    run = shutil.copytree(run_once, tmp_path / "run")
    (path,) = (run / "checkpoints").iterdir()
    torch.save(CHECKPOINTS[kind](torch.load(path, weights_only=True)), path)
    refused(capsys, "train", "--resume", "--out", run, "training.steps=3")


def test_every_field_of_a_checkpoint_is_checked(run_once, tmp_path, capsys):
    run = shutil.copytree(run_once, tmp_path / "run")
    (path,) = (run / "checkpoints").iterdir()
    whole = torch.load(path, weights_only=True)
    for name in whole:
        for value in ([{}], "x", -1):
            torch.save(whole | {name: value}, path)
            if (name, value) != ("best", -1):  # which it may be
                refused(capsys, "train", "--resume", "--out", run, "training.steps=3")


RUNS = {
    "list": lambda _: [1, 2],
    "text": lambda _: "x",
    "nothing for data": lambda s: {**s, "data": None},
    "list for data": lambda s: {**s, "data": [1]},
    "no fingerprint": lambda s: {**s, "data": {"source": "balls-colour"}},
    "nothing for the recipe": lambda s: {**s, "recipe": None},
    "list for the recipe": lambda s: {**s, "recipe": [1]},
    "nothing for the model": lambda s: {**s, "model": None},
    "number for stages": lambda s: {**s, "recipe": {**s["recipe"], "stages": 5}},
    "number for a start": lambda s: {**s, "start": 5},
    "text for lengthened": lambda s: {**s, "lengthened": "abc"},
}


@pytest.mark.parametrize("kind", RUNS)
def test_recipes_of_runs(run_once, tmp_path, capsys, kind):
    run = shutil.copytree(run_once, tmp_path / "run")
    file = run / "recipe.yaml"
    file.write_text(yaml.safe_dump(RUNS[kind](yaml.safe_load(file.read_text()))))
    refused(capsys, "train", "--resume", "--out", run, "training.steps=3")


def test_a_table_of_a_run_that_is_no_text_loses_its_rows_only(run_once, tmp_path):
    run = shutil.copytree(run_once, tmp_path / "run")
    (run / "metrics.csv").write_bytes(b"step,loss\n1,\xff\xfe\n" + b"9" * 5000 + b",1\n")
    assert main(["train", "--resume", "--out", str(run), "training.steps=3"]) == 0
    assert (run / "metrics.csv").read_text().splitlines()[-1].startswith("3,")


def test_two_processes_do_not_train_in_one_folder(run_once, tmp_path, capsys):
    from scenewise.training.folder import RunFolder

    run = shutil.copytree(run_once, tmp_path / "run")
    with RunFolder(run).claimed(True):
        said = refused(capsys, "train", "--resume", "--out", run, "training.steps=3")
    assert "another process" in said
    before = hashlib.sha256((run / "metrics.csv").read_bytes()).hexdigest()
    assert main(["train", "--resume", "--out", str(run), "training.steps=3"]) == 0
    assert hashlib.sha256((run / "metrics.csv").read_bytes()).hexdigest() != before
