"""The head of an array in NumPy's own format, read without its values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path


def read_header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read the head of an npy file or member of an archive; the file is then where the values begin.

    Args:
        file: Open for reading bytes, at the magic number.

    Returns:
        Shape, whether the first axis runs fastest (Fortran's order), and type of the elements.

    Raises:
        ValueError: It is no such head; callers tell which file was read.
    """
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)


def write_array(path: Path, array: np.ndarray) -> None:
    """Write an npy file, the same bytes as of `np.save`, which cannot tell that a disk is full.

    Raises:
        OSError: As the operating system said it.
    """
    with path.open("wb") as file:
        np.lib.format.write_array(_Stream(file), np.asanyarray(array), allow_pickle=False)


class _Stream:
    """A file of which NumPy knows only `write`; into others it writes past Python, and loses the reason of an error."""

    def __init__(self, file: Any) -> None:
        self.write = file.write
