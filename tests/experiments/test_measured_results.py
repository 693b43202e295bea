"""Results that come with the package, and the page that is made from them."""

import json
from pathlib import Path

import numpy as np
import pytest

from scenewise.config import plain
from scenewise.errors import InputError
from scenewise.experiments import experiment as experiments
from scenewise.experiments import measured_results
from scenewise.experiments.page import FIGURES, page, page_figures
from scenewise.experiments.pictures import LARGEST, drawn, keep_files, write_pictures
from scenewise.experiments.results import provenance


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Keep results elsewhere than in the package."""
    monkeypatch.setattr(measured_results, "file_of", lambda name: tmp_path / "package" / f"{name}.json")
    return tmp_path / "package"


@pytest.fixture
def experiment(table, content):
    return experiments.load(table(content), "smoke")


def scored(cell, out, value=0.5, each=(0.1, 0.5, 0.7, None)):
    """Write the scores of a cell as a campaign leaves them."""
    rows = [{"protocol": "savi", "metric": "F-ARI", "mean": value, "std": None, "values": [value], "videos": 4,
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
    assert measured_results.progress(experiment, out) == (3, 4)
    assert measured_results.progress(experiment) == (0, 4)
    assert measured_results.keep(experiment, out) == 3
    assert measured_results.progress(experiment) == (3, 4)
    shown = measured_results.results(experiment)
    assert [result.cell for result in shown] == list(experiment.cells[:3])
    assert shown[0].mean("savi", "F-ARI") == 0.5
    assert (package / "tiny.json").stat().st_size < 9000
    (row,) = shown[0].rows("savi", "F-ARI")
    assert "each" not in row
    assert measured_results.quartiles(row) == pytest.approx(np.percentile([0.1, 0.5, 0.7], (25, 50, 75)))
    table = provenance(shown)
    for told in ("c0ffee", "CPU", "savi (2)", "f" * 12, "0 1", "0.7", "1.00"):
        assert told in table


def test_what_the_folder_has_comes_first_and_other_cells_stay(experiment, package, tmp_path):
    first, second, *_ = experiment.cells
    scored(first, tmp_path / "a", 0.1)
    scored(second, tmp_path / "a", 0.2)
    measured_results.keep(experiment, tmp_path / "a")
    scored(first, tmp_path / "b", 0.9)
    found = measured_results.results(experiment, tmp_path / "b")
    assert [result.mean("savi", "F-ARI") for result in found] == [0.9, 0.2]
    assert measured_results.keep(experiment, tmp_path / "b") == 1
    assert [result.mean("savi", "F-ARI") for result in measured_results.results(experiment)] == [0.9, 0.2]


def test_cells_and_evaluations_that_are_no_more_are_left_out(experiment, package, table, content, tmp_path):
    scored(experiment.cells[0], tmp_path / "out")
    measured_results.keep(experiment, tmp_path / "out")
    content["sizes"]["smoke"]["scoring"][0]["samples"] = 3
    changed = experiments.load(table(content), "smoke")
    (result,) = measured_results.results(changed)
    assert [done["scoring"]["protocol"] for done in result.scores["scores"]] == ["lds"]
    assert not measured_results.is_whole(result)
    content["sizes"]["smoke"]["cells"][0]["model"] = "other"
    gone = experiments.load(table(content), "smoke")
    assert measured_results.results(gone) == []
    measured_results.keep(gone, tmp_path / "nothing")
    assert json.loads((package / "tiny.json").read_text()) == {"smoke": {}}


def test_scores_of_an_older_version_lack_settings_that_came_later(experiment, tmp_path):
    cell, out = experiment.cells[0], tmp_path / "out"
    scored(cell, out)
    file = out / cell.name / "scores.json"
    content = json.loads(file.read_text())
    for done in content["scores"]:
        del done["scoring"]["refinements"]
    file.write_text(json.dumps(content))
    (result,) = measured_results.results(experiment, out)
    assert measured_results.is_whole(result)


def test_numbers_of_weights_that_no_longer_ship_are_not_shown(package, table, content, tmp_path, monkeypatch):
    shipped = {"model": "provide", "data": "balls", "weights": "provide-balls-colour", "variants": {"shipped": {}}}
    content["sizes"]["smoke"]["cells"] = [{**shipped, "source": {"source": "balls-colour"}}]
    tiny = experiments.load(table(content), "smoke")
    (cell,) = tiny.cells
    scored(cell, tmp_path / "out")
    file = tmp_path / "out" / cell.name / "scores.json"
    told = json.loads(file.read_text()) | {"weights": measured_results.weights_hash("provide-balls-colour")}
    file.write_text(json.dumps(told))
    measured_results.keep(tiny, tmp_path / "out")
    assert len(measured_results.results(tiny)) == 1
    monkeypatch.setattr(measured_results, "weights_hash", lambda name: "another")
    assert measured_results.results(tiny) == []
    assert measured_results.keep(tiny, tmp_path / "nothing") == 0
    assert json.loads((package / "tiny.json").read_text()) == {"smoke": {}}


def test_a_broken_file_is_told(experiment, package):
    package.mkdir()
    (package / "tiny.json").write_text("{")
    with pytest.raises(InputError, match="Restore it from the repository"):
        measured_results.results(experiment)


def test_the_page_is_up_to_date():
    file, again = Path(__file__).parents[2] / "docs" / "results.md", "run: scenewise experiment --page docs/results.md"
    assert file.read_text() == page(), again
    folder, figures = file.parent / FIGURES, page_figures()
    on_page = {str(path.relative_to(folder)) for path in folder.glob("*/*")}
    assert on_page == {f"{name}/{one}" for name, files in figures.items() for one in files}, again
    for name, files in figures.items():
        for one, path in files.items():
            assert (folder / name / one).read_bytes() == path.read_bytes(), again
            assert path.stat().st_size <= LARGEST, "pictures are small"


def drawn_cells(experiment, out, grey=90):
    """Write scores of two cells, the first of which has a picture."""
    for cell in experiment.cells[:2]:
        scored(cell, out)
    first = out / experiment.cells[0].name
    names = write_pictures(first, {"masks": np.full((4, 6, 3), grey, np.uint8)})
    file = first / "scores.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"pictures": names}))


def test_pictures_and_figures_are_kept_shown_and_put_on_the_page(package, table, content, tmp_path, monkeypatch):
    content |= {"figures": {"masks": "Where slots are", "curves": "Over frames"}}
    content["sizes"]["smoke"]["scoring"] = [{"protocol": "savi", "samples": 2, "frames": [1, 2, 3]}]
    experiment = experiments.load(table(content), "smoke")
    drawn_cells(experiment, tmp_path / "out")
    first, second = measured_results.results(experiment, tmp_path / "out")
    assert [file.name for file in first.pictures] == ["masks.png"]
    assert second.pictures == ()
    monkeypatch.setattr(measured_results, "read_file", lambda name: experiments.read(table(content)))
    measured_results.keep(experiment, tmp_path / "out")
    name = f"{experiment.cells[0].name}.masks.png"
    folder = package / "figures" / "tiny-smoke"
    assert measured_results.figures(experiment) == {
        "curves.png": "Over frames",
        name: f"Where slots are ({experiment.cells[0].name})",
    }
    assert (folder / name).read_bytes() == (
        tmp_path / "out" / experiment.cells[0].name / "pictures/masks.png"
    ).read_bytes()
    (kept, _) = measured_results.results(experiment)
    assert kept.pictures == (folder / name,)
    measured_results.keep(experiment, tmp_path / "nothing")
    assert sorted(file.name for file in folder.iterdir()) == ["curves.png", name]
    drawn_cells(experiment, tmp_path / "again", grey=10)
    before = (folder / name).read_bytes()
    measured_results.keep(experiment, tmp_path / "again")
    assert (folder / name).read_bytes() != before


def test_figures_with_many_points_stay_small():
    rng = np.random.default_rng(0)

    def draw(figure):
        figure.subplots().scatter(*rng.random((2, 2000)), c=rng.random(2000), s=9)

    content = drawn(draw)
    assert content.startswith(b"\x89PNG")
    assert len(content) <= LARGEST


def test_large_pictures_become_jpegs_and_folders_hold_no_others(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    smooth = np.broadcast_to(np.arange(300, dtype=np.uint8)[:, None, None] // 2, noise.shape)
    assert write_pictures(tmp_path, {"noise": noise, "smooth": smooth}) == ["noise.jpg", "smooth.png"]
    assert (tmp_path / "pictures" / "noise.jpg").stat().st_size <= LARGEST
    keep_files(tmp_path / "pictures", {"smooth.png": b"new"})
    assert [file.name for file in (tmp_path / "pictures").iterdir()] == ["smooth.png"]
    assert (tmp_path / "pictures" / "smooth.png").read_bytes() == b"new"
    keep_files(tmp_path / "pictures", {})
    assert not (tmp_path / "pictures").exists()
    keep_files(tmp_path / "pictures", {})


def test_the_page_tells_of_every_experiment():
    text = page()
    for name in experiments.names():
        assert f"## {name}\n" in text
        assert f"`scenewise experiment {name} --size small`" in text


def test_earlier_files_are_read_in_todays_words(package, table, content):
    """Rows said `measure`, and an evaluation held several seeds of the noise with the values of all in one row."""
    content["sizes"]["smoke"]["scoring"] = [{"protocol": "savi", "samples": 2, "frames": 2, "seeds": [3, 5]}]
    experiment = experiments.load(table(content), "smoke")
    scoring = {key: value for key, value in plain(experiment.cells[0].scoring[0]).items() if key != "seed"}
    row = {"protocol": "savi", "measure": "F-ARI", "mean": 0.7, "std": 0.1414, "values": [0.6, 0.8], "videos": 2,
           "frames": 4, "empty": 0, "each": [[0.5, 0.7], [0.9, 0.7]], "quartiles": [0.65, 0.7, 0.75]}  # fmt: skip
    evaluation = {"scoring": {**scoring, "seeds": [3, 5]}, "data": "f", "rows": [row], "seconds": 2.0}
    package.mkdir()
    cells = {"smoke": {experiment.cells[0].name: {"step": 4, "scores": [evaluation]}}}
    (package / "tiny.json").write_text(json.dumps(cells))
    (result,) = measured_results.results(experiment)
    assert measured_results.is_whole(result)
    assert [one["scoring"]["seed"] for one in result.scores["scores"]] == [3, 5]
    assert [(row["mean"], row["values"], row["each"]) for row in result.rows("savi", "F-ARI")] == [
        (0.6, [0.6], [[0.5, 0.7]]),
        (0.8, [0.8], [[0.9, 0.7]]),
    ]
    assert result.mean("savi", "F-ARI") == pytest.approx(0.7)
    assert result.mean("savi", "F-ARI", seed=5) == 0.8
    assert measured_results.quartiles(result.rows("savi", "F-ARI", seed=5)[0]) == pytest.approx([0.75, 0.8, 0.85])


def test_all_results_of_the_package_are_read():
    """They are of several ages; none is lost on the way into today's words."""
    for name in experiments.names():
        if not measured_results.file_of(name).exists():  # nothing of it was measured so far
            continue
        content = json.loads(measured_results.file_of(name).read_text(encoding="utf-8"))
        for size, cells in measured_results.read(name).items():
            for cell, scores in cells.items():
                before = content[size][cell]["scores"]
                rows = [row for evaluation in scores["scores"] for row in evaluation["rows"]]
                assert [row["mean"] for row in rows] == [row["mean"] for one in before for row in one["rows"]]
                assert all(row["metric"] for row in rows)
