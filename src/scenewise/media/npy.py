"""The head of an array in NumPy's own format, read without its values."""

from __future__ import annotations

import gzip
import io
import os
import time
import zipfile
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from scenewise.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

MOST_PACKED = 200
"""Bytes of an array that one packed byte may stand for beyond what is unpacked anyway: pictures pack to a tenth."""
UNPACKED_ANYWAY = 1 << 28
"""Bytes that are unpacked however small they were packed."""
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


def check_packing(info: zipfile.ZipInfo, where: object) -> None:
    """Check, before any of it is unpacked, that a member of an npz file is packed as NumPy does it.

    Others that Python knows (bzip2, LZMA) make gigabytes of some hundred bytes, all at once.

    Raises:
        InputError: It is not.
    """
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        problem = f"{info.filename[:80]} is compressed in another way than NumPy's."
        raise InputError(where, problem, "Save it with np.savez_compressed.")


def check_archive(file: Path | IO[bytes], where: object) -> None:
    """Check, before `np.load` unpacks it, that an npz file holds what NumPy writes, and no more than it is worth.

    Raises:
        InputError: It does not.
    """
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
    for info in members:
        check_packing(info, where)
    check_worth(sum(info.file_size for info in members), sum(info.compress_size for info in members), where)


def check_worth(unpacked: int, packed: int, where: object) -> None:
    """Check that no more bytes come of packed ones than of pictures and masks.

    Raises:
        InputError: They do.
    """
    if unpacked > max(UNPACKED_ANYWAY, MOST_PACKED * packed):
        sizes = f"{unpacked >> 20} MiB of {packed >> 10} KiB"
        raise InputError(where, f"unpacks to more than it can be worth: {sizes}.", "Store it without compression.")


def unpacked_gzip(content: bytes, where: object) -> bytes:
    """Return what is packed by gzip.

    Raises:
        InputError: It is far more than such data are worth.
    """
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
        unpacked = file.read(max(UNPACKED_ANYWAY, MOST_PACKED * len(content)) + 1)
    check_worth(len(unpacked), len(content), where)
    return unpacked


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
