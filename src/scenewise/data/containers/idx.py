"""Reading of MNIST's IDX files, plain or gzipped.

A file begins with two zero bytes, a byte for the type (8: unsigned bytes) and one for the number of dimensions; a
big-endian 32-bit size of every dimension follows, then the values, row by row.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from scenewise.errors import InputError

_GZIP = b"\x1f\x8b"
_MAGIC = {3: 2051, 1: 2049}  # by the number of dimensions
_KIND = {2051: "images", 2049: "labels"}
_OBTAIN = "Give MNIST's own files, such as t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz."


def read_images(path: str | Path) -> np.ndarray:
    """Return the images of a file, uint8, shape (N, H, W).

    Raises:
        InputError: The file cannot be read, is no file of images or is not as long as its header says.
    """
    return _read(Path(path), 3)


def read_labels(path: str | Path) -> np.ndarray:
    """Return the labels of a file, uint8, 0 to 9, shape (N,).

    Raises:
        InputError: The file cannot be read, is no file of labels or is not as long as its header says.
    """
    labels = _read(Path(path), 1)
    if labels.max(initial=0) > 9:
        raise InputError(path, f"expected labels 0 to 9, found {labels.max()}.", _OBTAIN)
    return labels


def read_digits(images: str | Path, labels: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Return images (N, H, W) and labels (N,) of two files that belong together, both uint8.

    Raises:
        InputError: As of `read_images` and `read_labels`; or there are not as many labels as images, or none.
    """
    pictures, digits = read_images(images), read_labels(labels)
    if len(pictures) != len(digits):
        raise InputError(
            labels, f"has {len(digits)} labels, {images} has {len(pictures)} images.", "Give files of one set."
        )
    if not len(digits):
        raise InputError(images, "has no images.", _OBTAIN)
    return pictures, digits


def _read(path: Path, dimensions: int) -> np.ndarray:
    data = _bytes(path)
    head = 4 + 4 * dimensions
    if len(data) < head:
        raise InputError(path, f"expected a header of {head} bytes, found {len(data)} bytes.", _OBTAIN)
    magic, *shape = struct.unpack_from(f">{1 + dimensions}I", data)
    if magic != _MAGIC[dimensions]:
        magic_text = f"{magic} ({_KIND[magic]})" if magic in _KIND else f"{magic}"
        right = f"{_MAGIC[dimensions]} ({_KIND[_MAGIC[dimensions]]})"
        raise InputError(path, f"expected the magic number {right}, found {magic_text}.", _OBTAIN)
    expected = head + math.prod(shape)
    if len(data) != expected:
        what = "is truncated" if len(data) < expected else "is too long"
        raise InputError(
            path, f"{what}: its header {tuple(shape)} asks for {expected} bytes, found {len(data)}.", "Get it anew."
        )
    return np.frombuffer(data, np.uint8, offset=head).reshape(shape)


def _bytes(path: Path) -> bytes:
    """Return what a file holds, unzipped if it is gzipped."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror or error}.", "Check the path.") from error
    if data[:2] != _GZIP:
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(path, f"cannot be unzipped: {error}.", "Get it anew.") from error
