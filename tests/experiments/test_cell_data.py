"""Data that an experiment makes for itself: once, shared, also while another process makes them."""

import subprocess
import sys
import threading
import time

import pytest

from scenewise.errors import InputError
from scenewise.experiments import experiment as experiments
from scenewise.experiments.cell_data import CellData
from scenewise.experiments.cell_folder import CellFolder
from scenewise.training.reporter import Reporter

MADE = {"source": "balls-colour", "settings": {"size": 16, "max_balls": 2, "min_balls": 2, "frames": 4},
        "samples": {"train": 6, "validation": 2, "test": 3}}  # fmt: skip


@pytest.fixture
def folder(table, content, tmp_path):
    group = content["sizes"]["smoke"]["cells"][0]
    group["made"] = MADE
    group["settings"].pop("data.settings.max_balls")
    group |= {"variants": {"plain": {}}, "seeds": [0]}
    content["sizes"]["smoke"]["scoring"] = [{"protocol": "savi", "samples": 2, "frames": 2}]
    (cell,) = experiments.load(table(content), "smoke").cells
    return CellFolder(cell, tmp_path / "out", (), tmp_path)


def test_a_cell_is_checked_without_its_data_makes_them_and_reads_them(folder, tmp_path):
    folder.check()
    assert folder.state().steps == 4
    assert not (tmp_path / "data").exists()
    lines = []

    class Lines(Reporter):
        def noted(self, text):
            lines.append(text)

    assert folder.train(Lines()).step == 4
    assert sum("makes 6 of balls-colour (train)" in line for line in lines) == 1
    (made,) = [path for path in (tmp_path / "data").iterdir() if path.is_dir()]
    recipe = folder.run.recipe()
    assert (recipe.data.source, recipe.data.settings) == ("made", {"path": str(made)})
    folder.check()
    assert folder.score() == 1
    assert folder.scores()["scores"][0]["data"]
    stamps = {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    folder.prepare()
    assert stamps == {path: path.stat().st_mtime_ns for path in made.rglob("*")}


def test_a_run_whose_data_were_removed_gets_them_again(folder, tmp_path):
    import shutil

    folder.train(Reporter())
    shutil.rmtree(tmp_path / "data")
    folder.check()
    folder.prepare()
    assert folder.train(Reporter()) is None
    assert folder.score() == 1


def test_equal_data_share_a_folder_and_others_do_not():
    made = CellData(**MADE)
    assert made.name == CellData(**MADE).name
    assert made.name != CellData(**{**MADE, "samples": {**MADE["samples"], "train": 7}}).name
    with pytest.raises(InputError, match=r"samples\.train"):
        CellData("balls-colour", {}, {"train": 0})


def test_a_second_process_waits_for_the_first(tmp_path):
    made, lines = CellData(**MADE), []
    code = (
        "import sys; from pathlib import Path; from scenewise.media.folders import lock\n"
        "with lock(Path(sys.argv[1])):\n print('held', flush=True); sys.stdin.read()"
    )
    lock = tmp_path / f"{made.name}.lock"
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout.readline() == "held\n"
    waiting = threading.Thread(target=made.make, args=(tmp_path, lines.append))
    waiting.start()
    time.sleep(0.7)
    assert not made.is_whole(tmp_path)
    assert len(lines) == 1
    assert "another process" in lines[0]
    other.communicate()
    waiting.join()
    assert made.is_whole(tmp_path)
