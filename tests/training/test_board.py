"""A run is the same with and without TensorBoard."""

import sys

import numpy as np

from scenewise.training.books import Board


def test_without_tensorboard_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    board = Board(tmp_path / "board", 0)
    board.add_scalar("loss", 1.0, 1)
    board.add_image("picture", np.zeros((4, 4, 3), np.uint8), 1)
    board.flush()
    board.close()
    assert not list(tmp_path.iterdir())


def test_with_it_there_are_files(tmp_path):
    board = Board(tmp_path / "board", 0)
    board.add_scalar("loss", 1.0, 1)
    board.close()
    assert list((tmp_path / "board").iterdir())
