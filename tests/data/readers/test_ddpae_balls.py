"""DDPAE's balls: discs where the states say, splits by folder, and what is refused."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from scenewise.data import SOURCES
from scenewise.errors import InputError


def read(path, split="train", **settings):
    return SOURCES.get("ddpae-balls-npy")(split, path=str(path), **settings)


@pytest.fixture
def root(tmp_path):
    """Balls on a line of 160 units, 25.6 pixels, apart, moving by 6.25 units, a pixel, a frame."""
    for clips, shift in ((50_000, 0), (2_000, 100)):
        states = np.ones((5, 60, 4, 4))
        states[..., 0] = 100 + 160 * np.arange(4) + 0.1 * np.arange(5)[:, None, None]
        states[..., 1] = 100 + shift + 6.25 * np.arange(60)[:, None]
        (tmp_path / f"balls_n4_t60_ex{clips}").mkdir()
        np.save(tmp_path / f"balls_n4_t60_ex{clips}" / "dataset_info.npy", states)
    return tmp_path


def test_discs_are_where_the_states_say(root):
    source = read(root)
    assert (len(source), source.facts.frames, source.facts.size, source.facts.max_objects) == (5, 60, (128, 128), 4)
    assert source.facts.binary
    sample = source.sample(1)
    assert sample.frames.shape == (60, 1, 128, 128)
    assert np.array_equal(sample.frames[:, 0] > 0, sample.ids > 0)
    assert set(np.unique(sample.frames)) == {0, 255}
    rows, columns = np.nonzero(sample.ids[3] == 2)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (19 - 9, 19 + 9, 42 - 9, 42 + 9)
    assert (sample.ids[3] == 2).sum() == 253  # whole points in a circle of radius 9
    assert np.array_equal(sample.extras["positions"][:, 0, 1], 100 + 6.25 * np.arange(60))
    part = source.sample(1, 40, 20)
    assert np.array_equal(part.ids, sample.ids[40:])
    assert np.array_equal(part.extras["positions"], sample.extras["positions"][40:])
    assert np.array_equal(pickle.loads(pickle.dumps(source)).sample(1).ids, sample.ids)


def test_splits_by_folder(root):
    assert read(root, "test").fingerprint() != read(root).fingerprint()
    assert len(read(root / "balls_n4_t60_ex2000", "test")) == 5
    with pytest.raises(InputError, match="test split by its name; train was asked for"):
        read(root / "balls_n4_t60_ex2000")
    with pytest.raises(InputError, match="expected dataset_info.npy of split validation".replace(".", r"\.")):
        read(root, "validation")
    assert len(read(root / "balls_n4_t60_ex50000", "validation", train=[0, 4], validation=[4, 5])) == 1


def test_crop_and_size_keep_ids_whole(root):
    sample = read(root, crop=[0, 0, 64, 64], size=[32, 32]).sample(0)
    assert sample.frames.shape == (60, 1, 32, 32)
    assert set(np.unique(sample.ids)) <= set(range(5))


def test_what_is_wrong_is_named(root, tmp_path_factory):
    file = root / "balls_n4_t60_ex50000" / "dataset_info.npy"
    content = file.read_bytes()
    file.write_bytes(content[:-100])
    with pytest.raises(InputError, match="may be incomplete"):
        read(root)
    for array, problem in (
        (np.zeros((5, 60, 4, 3)), r"expected shape \(any, any, any, 4\), found \(5, 60, 4, 3\)"),
        (np.zeros((5, 60, 4, 4), "U3"), "expected floats or whole numbers"),
        (np.array([{}], object), "dataset_info"),
        (np.full((5, 60, 4, 4), np.nan), "expected finite numbers"),
    ):
        np.save(file, array)
        with pytest.raises(InputError, match=problem):
            read(root).sample(0)
    with pytest.raises(InputError, match="found nothing"):
        read(tmp_path_factory.mktemp("none"))
