"""IDX files: bit for bit what was written, and a clear word on every way a file can be wrong."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from scenewise.data.containers.idx import read_digits, read_images, read_labels
from scenewise.errors import InputError

from ..digits_written import idx


@pytest.fixture
def digits():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (3, 28, 28), np.uint8), np.array([7, 0, 9], np.uint8)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_plain_and_gzipped_files_are_read_bit_for_bit(tmp_path, digits, pack):
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.write_bytes(pack(idx(digits[0])))
    labels.write_bytes(pack(idx(digits[1])))
    pictures, names = read_digits(images, str(labels))
    assert np.array_equal(pictures, digits[0])
    assert np.array_equal(names, digits[1])
    assert pictures.dtype == names.dtype == np.uint8


def test_other_sizes_than_28_are_read(tmp_path):
    path = tmp_path / "small"
    path.write_bytes(idx(np.arange(24, dtype=np.uint8).reshape(2, 3, 4)))
    assert read_images(path).shape == (2, 3, 4)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (idx(np.zeros(3, np.uint8)) + bytes(9), r"2051 \(images\), found 2049 \(labels\)"),
        (b"\x89PNG" + bytes(20), "magic number"),
        (b"\0\0\x08", "header of 16 bytes, found 3"),
        (b"", "found 0 bytes"),
        (idx(np.zeros((3, 28, 28), np.uint8))[:-1], "truncated.*2368 bytes, found 2367"),
        (idx(np.zeros((3, 28, 28), np.uint8)) + b"0", "too long"),
        (gzip.compress(idx(np.zeros((3, 28, 28), np.uint8)), mtime=0)[:-9], "unzipped"),
        (b"\x1f\x8b\x08nonsense, not a stream", "unzipped"),
    ],
)
def test_wrong_image_files_are_named_and_explained(tmp_path, data, says):
    path = tmp_path / "wrong-images"
    path.write_bytes(data)
    with pytest.raises(InputError, match=f"wrong-images.*{says}"):
        read_images(path)


def test_wrong_label_files_are_named_and_explained(tmp_path, digits):
    path = tmp_path / "wrong-labels"
    path.write_bytes(idx(digits[0]))
    with pytest.raises(InputError, match=r"wrong-labels.*2049 \(labels\), found 2051 \(images\)"):
        read_labels(path)
    path.write_bytes(idx(np.array([3, 10], np.uint8)))
    with pytest.raises(InputError, match=r"wrong-labels.*found 10"):
        read_labels(path)


def test_counts_that_differ_name_both_files(tmp_path, digits):
    images, labels = tmp_path / "some-images", tmp_path / "other-labels"
    images.write_bytes(idx(digits[0]))
    labels.write_bytes(idx(digits[1][:2]))
    with pytest.raises(InputError, match=r"other-labels.*2 labels.*some-images.*3 images"):
        read_digits(images, labels)
    images.write_bytes(idx(digits[0][:0]))
    labels.write_bytes(idx(digits[1][:0]))
    with pytest.raises(InputError, match="no images"):
        read_digits(images, labels)


def test_absent_files_and_folders_are_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere.*cannot be read"):
        read_images(tmp_path / "nowhere")
    with pytest.raises(InputError, match="cannot be read"):
        read_labels(tmp_path)


def test_the_real_files(shared_data):
    folder = shared_data / "mnist"
    if not (folder / "t10k-images-idx3-ubyte.gz").is_file():
        pytest.skip(f"no MNIST files at {folder}")
    images, labels = read_digits(folder / "t10k-images-idx3-ubyte.gz", folder / "t10k-labels-idx1-ubyte.gz")
    assert images.shape == (10_000, 28, 28)
    assert labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert images.mean() / 255 == pytest.approx(0.1325, abs=0.001)
    assert np.bincount(labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    with pytest.raises(InputError, match="60000 labels"):
        read_digits(folder / "t10k-images-idx3-ubyte.gz", folder / "train-labels-idx1-ubyte.gz")
