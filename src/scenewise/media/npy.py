"""The head of an array in NumPy's own format, read without its values."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

LOOK_AFTER = 0.02
"""Seconds after which the length of a file that is mapped into memory is looked at again."""


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


def check_mapped(*arrays: Any) -> None:
    """Check that files mapped into memory are still as long: the system kills a process that reads beyond their end.

    A file is looked at not more often than every few milliseconds, as a look can take as long as a read.

    Args:
        *arrays: As they were opened; those that are no maps are passed over.

    Raises:
        InputError: A file has become shorter.
    """
    now = time.monotonic()
    for array in arrays:
        if isinstance(array, np.memmap) and now - array.__dict__.get("looked_at", -LOOK_AFTER) >= LOOK_AFTER:
            array.__dict__["looked_at"] = now
            with suppress(FileNotFoundError):  # what was removed stays whole for who has it open
                if os.stat(str(array.filename)).st_size < array.offset + array.nbytes:
                    problem = "has become shorter since it was opened."
                    raise InputError(array.filename, problem, "Get or make the file again.")


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
