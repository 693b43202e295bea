"""The run's folder: tables and checkpoints survive whatever happened to the process that wrote them."""

import pickle

import pytest
import torch

from scenewise.errors import InputError
from scenewise.training.folder import RunFolder, Table

STATE = {
    "seconds": 1.5,
    "best": -float("inf"),
    "model": {"weights": torch.zeros(2)},
    "optimizer": {"state": {0: {"step": torch.tensor(5.0)}}, "param_groups": [{"params": [0]}]},
    "trained": ["weights"],
}


@pytest.fixture
def folder(tmp_path):
    made = RunFolder(tmp_path)
    made.checkpoints.mkdir()
    return made


def test_rows_after_the_resumed_step_and_torn_rows_are_dropped(tmp_path):
    path = tmp_path / "metrics.csv"
    table = Table(path, 0)
    for step in range(1, 6):
        table.add({"step": step, "loss": 1 / 3})
    with path.open("a") as file:
        file.write("6,0.")
    resumed = Table(path, 3)
    resumed.add({"step": 4, "loss": 0.5})
    assert path.read_text().splitlines() == ["step,loss", *(f"{s},0.333333333" for s in (1, 2, 3)), "4,0.5"]


def test_a_torn_last_row_of_the_right_shape_is_dropped(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("step,loss\n1,0.25\n2,0.2")  # the line's end is missing
    Table(path, 5)
    assert path.read_text() == "step,loss\n1,0.25\n"


@pytest.mark.parametrize("content", ["", "step,lo", "step,loss\n"])
def test_a_table_without_rows_begins_anew(tmp_path, content):
    path = tmp_path / "metrics.csv"
    path.write_text(content)
    Table(path, 5).add({"step": 6, "gain": 1})
    assert path.read_text() == "step,gain\n6,1\n"


def test_the_last_two_checkpoints_are_kept(folder):
    for step in (5, 10, 15):
        folder.save({"step": step, **STATE})
    assert sorted(p.name for p in folder.checkpoints.iterdir()) == ["step_000000010.pt", "step_000000015.pt"]
    assert folder.latest()["step"] == 15


def test_a_damaged_checkpoint_gives_way_to_the_one_before(folder):
    for step in (5, 10):
        path = folder.save({"step": step, **STATE})
    path.write_bytes(path.read_bytes()[:100])
    assert folder.latest()["step"] == 5
    assert "cannot be read" in (folder.path / "events.log").read_text()


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was opened",))


def test_checkpoints_are_never_unpickled(folder):
    torch.save({"step": 1, "bomb": Bomb()}, folder.checkpoints / "step_000000001.pt")
    (folder.checkpoints / "step_000000002.pt").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InputError, match="no checkpoint that can be read"):
        folder.latest()


def test_no_checkpoint_yet(folder):
    assert folder.latest() is None


@pytest.mark.parametrize("content", [None, "", "[1]", "recipe: {}", "a: ["])
def test_a_folder_without_a_run_cannot_be_resumed(folder, content):
    if content is not None:
        (folder.path / "recipe.yaml").write_text(content)
    with pytest.raises(InputError):
        folder.recipe()
