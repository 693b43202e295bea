"""The head of an array in NumPy's own format, read without its values."""

from __future__ import annotations

from typing import Any

import numpy as np


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
