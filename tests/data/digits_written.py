"""Digits of our own in MNIST's layout, and MNIST's, for tests of what shows or reads them."""

from __future__ import annotations

import hashlib
import struct

import numpy as np
import pytest


def idx(values):
    """The bytes of an IDX file."""
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()


def made_up(count, offset=0):
    """Digits of our own: bars with soft edges whose place tells the number."""
    images = np.zeros((count, 28, 28), np.uint8)
    numbers = np.arange(offset, offset + count)
    for image, number in zip(images, numbers, strict=True):
        image[4:24, 5 + number % 10] = 100
        image[4:24, 6 + number % 10 : 11 + number % 10] = 255
        image[4 + number % 17] = number % 256
    return images, (numbers % 10).astype(np.uint8)


def write(folder, prefix, count, offset=0):
    """Write two IDX files and return them as settings."""
    images, labels = made_up(count, offset)
    paths = {f"{prefix}{what}": str(folder / f"{prefix}{what}") for what in ("images", "labels")}
    for path, values in zip(paths.values(), (images, labels), strict=True):
        with open(path, "wb") as file:
            file.write(idx(values))
    return paths


def real(shared_data):
    """MNIST's test files as settings; the test is skipped where they are absent."""
    folder = shared_data / "mnist"
    if not (folder / "t10k-images-idx3-ubyte.gz").is_file():
        pytest.skip(f"no MNIST files at {folder}")
    return {what: str(folder / f"t10k-{what}-idx{n}-ubyte.gz") for what, n in (("images", 3), ("labels", 1))}


def digest(source):
    """What the first three videos are."""
    frames, ids = source.batch([0, 1, 2])
    return hashlib.sha256(frames.tobytes() + ids.tobytes()).hexdigest()[:16]
