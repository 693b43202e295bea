"""Files of experiments, and what lies in their folders, that were made or broken to harm: one clear line each."""

import copy
import json
import os

import pytest
import yaml
from tests.cli.refusals import refused, set_in
from tests.cli.test_experiment import CONTENT

from scenewise.cli import main

MANY = list(range(1, 120))


CELLS, GROUP_AT = ("sizes", "smoke"), ("sizes", "smoke", "cells", 0)
FILES = {
    "list for sizes": (set_in("sizes", [1]), "sizes must be a mapping"),
    "list for a size": (set_in(*CELLS, [1]), "must be a mapping"),
    "text for a size": (set_in(*CELLS, "x"), "must be a mapping"),
    "text for cells": (set_in(*CELLS, "cells", "x"), "cells must be a list"),
    "text for a cell": (set_in(*CELLS, "cells", ["x"]), "must be a mapping"),
    "text for an evaluation": (set_in(*CELLS, "scoring", ["x"]), "must be a mapping"),
    "combinations without end": (
        set_in(*CELLS, "scoring", [dict.fromkeys(("samples", "frames", "slots", "refinements", "seeds"), MANY)]),
        "evaluations; at most",
    ),
    "seeds without end": (set_in(*GROUP_AT, "seeds", list(range(6000))), "12000 cells; at most"),
    "a model that leaves": (set_in(*GROUP_AT, "model", "../../evil"), "cannot be the name"),
    "data of a place": (set_in(*GROUP_AT, "data", "/tmp/evil"), "cannot be the name"),
    "a variant that leaves": (set_in(*GROUP_AT, "variants", {"../../evil": {}}), "cannot be the name"),
    "a name of escape bytes": (set_in(*GROUP_AT, "model", "a\x1b[2J"), "cannot be the name"),
    "a long name": (set_in(*GROUP_AT, "model", "x" * 400), "cannot be the name"),
    "text for a variant": (set_in(*GROUP_AT, "variants", {"a": 5}), "must be a mapping"),
    "a protocol of nowhere": (set_in(*CELLS, "scoring", [{"protocol": "nowhere"}]), "is not a protocol"),
    "a split of nowhere": (
        set_in(*GROUP_AT, "made", {"source": "balls-colour", "samples": {"tst": 1}}),
        "tst is not a split",
    ),
    "a truth value for samples": (
        set_in(*GROUP_AT, "made", {"source": "balls-colour", "samples": {"test": True}}),
        "must be of type int",
    ),
    "a large seed": (set_in(*CELLS, "scoring", [{"protocol": "lds", "seeds": 1 << 63}]), "seed is"),
    "trained by itself": (set_in(*CELLS, "cells", [{"trained": "FILE/m.d", "variants": {}}]), "from itself"),
    "a module of a module": (set_in("module", "lds.x"), "shows nothing"),
    "a module that leaves": (set_in("module", "../../evil"), "shows nothing"),
    "a module of nothing": (set_in("module", ""), "shows nothing"),
    "a module that shows nothing": (set_in("module", "cell_folder"), "shows nothing"),
    "a module of zero bytes": (set_in("module", "a\0"), "shows nothing"),
}


@pytest.mark.parametrize("kind", FILES)
def test_files(tmp_path, capsys, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    change, message = FILES[kind]
    content = copy.deepcopy(CONTENT)
    change(content)
    (tmp_path / "odd.yaml").write_text(yaml.safe_dump(content).replace("FILE", "odd.yaml"))
    words = ("experiment", "odd.yaml", "--size", "smoke", "--out", "out")
    assert message in refused(capsys, *words, "--dry-run")
    assert [path.name for path in tmp_path.iterdir()] == ["odd.yaml"]


def result(change=None):
    """Return scores of the first cell as a campaign keeps them."""
    row = {"protocol": "lds", "metric": "F-ARI", "mean": 0.5, "std": None, "values": [0.5], "videos": 2, "frames": 2}
    values = {"fingerprint": "x", "step": 2, "scores": [{"scoring": {"protocol": "lds", "samples": 2, "frames": 1},
              "data": "d", "rows": [row | {"empty": 0}], "seconds": 1.0}]}  # fmt: skip
    return values if change is None else change(values)


SCORES = {
    "a list": lambda _: [1],
    "nothing": lambda _: None,
    "number for scores": lambda s: {**s, "scores": 5},
    "text for an evaluation": lambda s: {**s, "scores": ["x"]},
    "no rows": lambda s: {**s, "scores": [{"scoring": {}}]},
    "number for rows": lambda s: {**s, "scores": [{"scoring": {}, "rows": 5}]},
    "list for what was asked": lambda s: {**s, "scores": [{"scoring": [], "rows": []}]},
    "text for a score": lambda s: {**s, "scores": [{**s["scores"][0], "rows": [
        {"metric": "ARI", "protocol": "lds", "mean": "high"}]}]},
    "a row without a name": lambda s: {**s, "scores": [{**s["scores"][0], "rows": [{"mean": 1.0}]}]},
    "fewer values than seeds": lambda s: {**s, "scores": [{"scoring": {"seeds": [1, 2]}, "rows": [{"mean": 1.0}]}]},
}  # fmt: skip


@pytest.mark.parametrize("kind", SCORES)
def test_scores(tmp_path, capsys, kind):
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(CONTENT))
    folder = tmp_path / "out" / "iodine.balls.lds0.seed0"
    folder.mkdir(parents=True)
    (folder / "scores.json").write_text(json.dumps(result(SCORES[kind])))
    words = ("experiment", tmp_path / "tiny.yaml", "--size", "smoke", "--out", tmp_path / "out")
    assert "Remove it to score again" in refused(capsys, *words, "--show")
    (folder / "scores.json").unlink()
    assert "holds no cell with scores" in refused(capsys, *words, "--show")


def test_a_failure_that_does_not_say_why_is_listed(tmp_path, capsys):
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(CONTENT))
    folder = tmp_path / "out" / "iodine.balls.lds0.seed0"
    folder.mkdir(parents=True)
    (folder / "failure.json").write_text("{}")
    (folder / "usage.json").write_text('{"memory_gib": "much"}')
    words = ["experiment", str(tmp_path / "tiny.yaml"), "--size", "smoke", "--out", str(tmp_path / "out"), "--list"]
    assert main(words) == 0
    assert "FAILED: unknown" in capsys.readouterr().out


@pytest.mark.parametrize("device", ["cuda:99", "nonsense", "a\x1b[2J"])
def test_devices(tmp_path, capsys, device):
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(CONTENT))
    words = ("experiment", tmp_path / "tiny.yaml", "--size", "smoke", "--dry-run", "--device", device)
    assert "is not" in refused(capsys, *words)


@pytest.mark.parametrize("minutes", ["nan", "inf", "-inf", "-1"])
def test_minutes_are_a_number_that_can_pass(tmp_path, capsys, minutes):
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(CONTENT))
    words = ("experiment", tmp_path / "tiny.yaml", "--size", "smoke", "--out", tmp_path / "out")
    assert "--minutes" in refused(capsys, *words, f"--minutes={minutes}")
    assert "--minutes" in refused(capsys, "train", "provide-tiny", "--out", tmp_path / "run", f"--minutes={minutes}")


def test_a_file_that_is_none(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "circle.yaml").symlink_to("circle.yaml")
    (tmp_path / "zeros.yaml").symlink_to("/dev/zero")
    (tmp_path / "large.yaml").touch()
    os.truncate(tmp_path / "large.yaml", 1 << 40)
    for name in ("pipe", "circle", "zeros", "large"):
        refused(capsys, "experiment", tmp_path / f"{name}.yaml", "--list")
