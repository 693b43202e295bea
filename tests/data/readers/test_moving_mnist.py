"""The fixed Moving MNIST file, with either axis first."""

from __future__ import annotations

import pickle
import tracemalloc

import numpy as np
import pytest

from scenewise.data import SOURCES
from scenewise.errors import InputError


def read(path, split="test", **settings):
    return SOURCES.get("moving-mnist-npy")(split, path=str(path), **settings)


@pytest.fixture
def clips():
    return np.random.default_rng(0).integers(0, 256, (20, 7, 64, 64), dtype=np.uint8)


def test_either_axis_first_gives_the_same_clips(tmp_path, clips):
    np.save(tmp_path / "mnist_test_seq.npy", clips)
    np.save(tmp_path / "bouncing_mnist_test.npy", clips.swapaxes(0, 1))
    for name in ("mnist_test_seq.npy", "bouncing_mnist_test.npy"):
        source = read(tmp_path / name)
        assert (len(source), source.facts.frames, source.facts.size, source.facts.channels) == (7, 20, (64, 64), 1)
        assert not source.facts.has_ids
        for index in range(7):
            sample = source.sample(index)
            assert np.array_equal(sample.frames, clips[:, index, None])
            assert sample.ids is None
        assert np.array_equal(source.sample(3, 10).frames, clips[10:, 3, None])
        assert np.array_equal(pickle.loads(pickle.dumps(source)).sample(2).frames, clips[:, 2, None])


def test_twenty_of_both_is_time_first_and_said(tmp_path):
    both = np.random.default_rng(1).integers(0, 256, (20, 20, 64, 64), dtype=np.uint8)
    np.save(tmp_path / "a.npy", both)
    with pytest.warns(UserWarning, match="both ways"):
        source = read(tmp_path / "a.npy")
    assert np.array_equal(source.sample(4).frames[:, 0], both[:, 4])
    assert np.array_equal(read(tmp_path / "a.npy", axes="clip-first").sample(4).frames[:, 0], both[4])


def test_it_is_a_test_set_unless_settings_say_otherwise(tmp_path, clips):
    np.save(tmp_path / "mnist_test_seq.npy", clips)
    with pytest.raises(InputError, match="test split by its name; train was asked for"):
        read(tmp_path / "mnist_test_seq.npy", "train")
    source = read(tmp_path / "mnist_test_seq.npy", "train", train=[2, 5], test=[5, 7])
    assert len(source) == 3
    assert np.array_equal(source.sample(0).frames[:, 0], clips[:, 2])
    with pytest.raises(InputError, match="share records"):
        read(tmp_path / "mnist_test_seq.npy", "train", train=[2, 6], test=[5, 7])


@pytest.mark.parametrize(
    ("array", "problem"),
    [
        (np.zeros((20, 64, 64), np.uint8), r"expected shape \(any, any, any, any\), found \(20, 64, 64\)"),
        (np.zeros((10, 5, 64, 64), np.uint8), r"expected 20 frames .* found \(10, 5, 64, 64\)"),
        (np.zeros((20, 5, 8, 8), np.float32), "expected whole numbers, found type float32"),
        (np.zeros((20, 5, 8, 8), np.uint16), "expected uint8, found uint16"),
        (np.zeros((20, 0, 64, 64), np.uint8), r"found \(20, 0, 64, 64\)"),
    ],
)
def test_another_file(tmp_path, array, problem):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(InputError, match=problem):
        read(tmp_path / "a.npy")


def test_missing_and_truncated_file(tmp_path, clips):
    with pytest.raises(InputError, match="found nothing there"):
        read(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", clips)
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content[:-1000])
    with pytest.raises(InputError, match="may be incomplete"):
        read(tmp_path / "a.npy")
    (tmp_path / "a.npy").write_bytes(b"PK\x03\x04 an npz file")
    with pytest.raises(InputError, match=r"a\.npy: expected mnist_test_seq"):
        read(tmp_path / "a.npy")


def test_one_sample_of_a_large_file_needs_little_memory(tmp_path):
    """The file is sparse: 1 GB of which nothing is on the disk."""
    file = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.uint8, (20, 12_500, 64, 64))
    file[3, 9_000] = 7
    del file
    SOURCES.names()  # which imports all readers
    tracemalloc.start()
    sample = read(tmp_path / "a.npy").sample(9_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sample.frames[3].min() == 7
    assert peak < 4 * sample.frames.nbytes + (1 << 20)


def test_black_clips_are_clips(tmp_path, clips):
    clips[:, 3] = 0
    np.save(tmp_path / "a.npy", clips)
    sample = read(tmp_path / "a.npy").sample(3)
    assert sample.frames.shape == (20, 1, 64, 64)
    assert not sample.frames.any()
    assert sample.ids is None
