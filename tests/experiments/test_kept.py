"""Results that come with the package, and the page that is made from them."""

import json
from pathlib import Path

import numpy as np
import pytest

from scenewise.config import plain
from scenewise.errors import InputError
from scenewise.experiments import experiment as experiments
from scenewise.experiments import kept
from scenewise.experiments.page import page
from scenewise.experiments.results import provenance


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Keep results elsewhere than in the package."""
    monkeypatch.setattr(kept, "file_of", lambda name: tmp_path / "package" / f"{name}.json")
    return tmp_path / "package"


@pytest.fixture
def experiment(table, content):
    return experiments.load(table(content), "smoke")


def scored(cell, out, value=0.5, each=(0.1, 0.5, 0.7, None)):
    """Write the scores of a cell as a campaign leaves them."""
    rows = [{"protocol": "savi", "measure": "F-ARI", "mean": value, "std": None, "values": [value], "videos": 4,
             "frames": 4, "empty": 1, "each": [list(each)], "length": 2}]  # fmt: skip
    done = [{"scoring": plain(s), "data": "f" * 64, "rows": rows, "seconds": 1.0} for s in cell.scoring]
    facts = {"name": cell.name, "fingerprint": "abc", "step": 4, "kept_step": 2, "hours": 0.5, "hardware": "CPU",
             "versions": {"torch": "2"}, "commit": "c0ffee", "memory_gib": 0.7}  # fmt: skip
    (out / cell.name).mkdir(parents=True, exist_ok=True)
    (out / cell.name / "scores.json").write_text(json.dumps({**facts, "scores": done}))


def test_scores_are_taken_over_and_shown_without_the_folder(experiment, package, tmp_path):
    out = tmp_path / "out"
    for cell in experiment.cells[:3]:
        scored(cell, out, 0.5 + 0.1 * cell.seed)
    assert kept.counted(experiment, out) == (3, 4)
    assert kept.counted(experiment) == (0, 4)
    assert kept.keep(experiment, out) == 3
    assert kept.counted(experiment) == (3, 4)
    shown = kept.results(experiment)
    assert [result.cell for result in shown] == list(experiment.cells[:3])
    assert shown[0].mean("savi", "F-ARI") == 0.5
    assert (package / "tiny.json").stat().st_size < 9000
    row = shown[0].row("savi", "F-ARI")
    assert "each" not in row
    assert kept.quartiles(row) == pytest.approx(np.percentile([0.1, 0.5, 0.7], (25, 50, 75)))
    table = provenance(shown)
    for told in ("c0ffee", "CPU", "savi (2)", "f" * 12, "0 1", "0.7", "1.00"):
        assert told in table


def test_what_the_folder_has_comes_first_and_other_cells_stay(experiment, package, tmp_path):
    first, second, *_ = experiment.cells
    scored(first, tmp_path / "a", 0.1)
    scored(second, tmp_path / "a", 0.2)
    kept.keep(experiment, tmp_path / "a")
    scored(first, tmp_path / "b", 0.9)
    found = kept.results(experiment, tmp_path / "b")
    assert [result.mean("savi", "F-ARI") for result in found] == [0.9, 0.2]
    assert kept.keep(experiment, tmp_path / "b") == 1
    assert [result.mean("savi", "F-ARI") for result in kept.results(experiment)] == [0.9, 0.2]


def test_cells_and_evaluations_that_are_no_more_are_left_out(experiment, package, table, content, tmp_path):
    scored(experiment.cells[0], tmp_path / "out")
    kept.keep(experiment, tmp_path / "out")
    content["sizes"]["smoke"]["scoring"][0]["samples"] = 3
    changed = experiments.load(table(content), "smoke")
    (result,) = kept.results(changed)
    assert [done["scoring"]["protocol"] for done in result.scores["scores"]] == ["lds"]
    assert not kept.is_whole(result)
    content["sizes"]["smoke"]["cells"][0]["model"] = "other"
    gone = experiments.load(table(content), "smoke")
    assert kept.results(gone) == []
    kept.keep(gone, tmp_path / "nothing")
    assert json.loads((package / "tiny.json").read_text()) == {"smoke": {}}


def test_scores_of_an_older_version_lack_settings_that_came_later(experiment, tmp_path):
    cell, out = experiment.cells[0], tmp_path / "out"
    scored(cell, out)
    file = out / cell.name / "scores.json"
    content = json.loads(file.read_text())
    for done in content["scores"]:
        del done["scoring"]["refinements"]
    file.write_text(json.dumps(content))
    (result,) = kept.results(experiment, out)
    assert kept.is_whole(result)


def test_numbers_of_weights_that_no_longer_ship_are_not_shown(package, table, content, tmp_path, monkeypatch):
    shipped = {"model": "provide", "data": "balls", "weights": "provide-balls-colour", "variants": {"shipped": {}}}
    content["sizes"]["smoke"]["cells"] = [{**shipped, "source": {"source": "balls-colour"}}]
    tiny = experiments.load(table(content), "smoke")
    (cell,) = tiny.cells
    scored(cell, tmp_path / "out")
    file = tmp_path / "out" / cell.name / "scores.json"
    told = json.loads(file.read_text()) | {"weights": kept.weights_hash("provide-balls-colour")}
    file.write_text(json.dumps(told))
    kept.keep(tiny, tmp_path / "out")
    assert len(kept.results(tiny)) == 1
    monkeypatch.setattr(kept, "weights_hash", lambda name: "another")
    assert kept.results(tiny) == []
    assert kept.keep(tiny, tmp_path / "nothing") == 0
    assert json.loads((package / "tiny.json").read_text()) == {"smoke": {}}


def test_a_broken_file_is_told(experiment, package):
    package.mkdir()
    (package / "tiny.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        kept.results(experiment)


def test_the_page_is_up_to_date():
    file = Path(__file__).parents[2] / "docs" / "results.md"
    assert file.read_text() == page(), "run: scenewise experiment --page docs/results.md"


def test_the_page_tells_of_every_experiment():
    text = page()
    for name in experiments.names():
        assert f"## {name}\n" in text
        assert f"`scenewise experiment {name} --size small`" in text
