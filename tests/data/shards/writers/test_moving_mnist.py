"""Clips written as `mnist_test_seq.npy` come back as they were made; nothing else fits the layout."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from scenewise.data import SOURCES
from scenewise.data.contract import Facts, Sample, Source
from scenewise.data.shards.writers.moving_mnist import write_mnist_test_seq
from scenewise.errors import InputError


def read(path):
    return SOURCES.get("moving-mnist-npy")("test", path=str(path))


def test_what_is_read_back_is_what_was_made(tmp_path):
    source = SOURCES.get("moving-mnist")("test", seed=3)
    told = []
    path = write_mnist_test_seq(source, tmp_path / "a.npy", range(5, 24), progress=lambda *done: told.append(done))
    assert told == [(16, 19), (19, 19)]
    array = np.load(path)
    assert (array.dtype, array.shape, array.flags.c_contiguous) == (np.uint8, (20, 19, 64, 64), True)
    back = read(path)
    assert (len(back), back.facts.frames, back.facts.size) == (19, 20, (64, 64))
    for row, index in enumerate(range(5, 24)):
        frames = source.sample(index).frames
        np.testing.assert_array_equal(array[:, row], frames[:, 0])
        np.testing.assert_array_equal(back.sample(row).frames, frames)


def test_the_standard_name_and_header_are_those_of_numpy(tmp_path):
    source = SOURCES.get("moving-mnist")("test")
    path = write_mnist_test_seq(source, tmp_path / "mnist_test_seq.npy", range(3))
    np.save(tmp_path / "other.npy", np.load(path))
    assert path.read_bytes() == (tmp_path / "other.npy").read_bytes()


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        ("moving-mnist-colour", {}, "channels: mnist_test_seq.npy has 1; the source has 3"),
        ("moving-mnist", {"frames": 10}, "frames: mnist_test_seq.npy has 20; the source has 10"),
        ("moving-mnist", {"size": 32, "digit": 14}, r"height and width: .* has \(64, 64\); the source has \(32, 32\)"),
        ("moving-mnist", {"max_digits": 3}, "objects at most: mnist_test_seq.npy has 2; the source has 3"),
    ],
)
def test_other_clips_are_refused(tmp_path, name, changes, says):
    source = SOURCES.get(name)("test", **changes)
    with pytest.raises(InputError, match=says):
        write_mnist_test_seq(source, tmp_path / "a.npy", range(2))
    assert list(tmp_path.iterdir()) == []


class Breaking(Source):
    """Grey clips, of which one cannot be made."""

    def __init__(self, broken=None):
        self.facts = Facts(channels=1, size=(64, 64), frames=20, max_objects=2)
        self.broken = broken

    def __len__(self):
        return 10_000

    def fingerprint(self):
        return "grey"

    def sample(self, index, start=0, frames=None):
        if index == self.broken:
            raise InputError("clip", "is broken.")
        return Sample(np.full((20, 1, 64, 64), index % 256, np.uint8))


def test_a_file_is_whole_or_absent_and_replaced_only_on_request(tmp_path):
    path = tmp_path / "a.npy"
    with pytest.raises(InputError, match="broken"):
        write_mnist_test_seq(Breaking(4), path, range(6))
    assert list(tmp_path.iterdir()) == []
    write_mnist_test_seq(Breaking(), path, range(2))
    before = path.read_bytes()
    with pytest.raises(InputError, match="there already"):
        write_mnist_test_seq(Breaking(), path, range(3))
    with pytest.raises(InputError, match="broken"):
        write_mnist_test_seq(Breaking(4), path, range(6), overwrite=True)
    assert path.read_bytes() == before
    assert np.load(write_mnist_test_seq(Breaking(), path, range(3), overwrite=True)).shape[1] == 3
    for wrong, indices, says in ((tmp_path, range(1), "folder"), (tmp_path / "b.npy", range(0), "no clip")):
        with pytest.raises(InputError, match=says):
            write_mnist_test_seq(Breaking(), wrong, indices)


def test_memory_does_not_grow_with_the_number_of_clips(tmp_path):
    peaks = []
    for count in (40, 400):
        tracemalloc.start()
        write_mnist_test_seq(Breaking(), tmp_path / f"{count}.npy", range(count))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 100_000 < 2_000_000  # 400 clips are 33 MB
    assert (np.load(tmp_path / "400.npy", mmap_mode="r")[:, 300] == 300 % 256).all()
