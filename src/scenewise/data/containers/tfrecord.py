"""TFRecord files without TensorFlow: any record at any time, plain or gzip (datasets.md 1.1).

A plain file is searched once for where its records begin. A gzip file cannot be read from the middle: its records are
copied once, one at a time, into a cache file of about the same size, in which each is compressed on its own.
"""

from __future__ import annotations

import functools
import gzip
import os
import struct
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from scenewise.data import fingerprints
from scenewise.data.containers.cache import cache_folder
from scenewise.data.containers.per_process import PerProcess
from scenewise.data.containers.tf_example import Example
from scenewise.errors import InputError
from scenewise.media.files import atomic_file, check_readable, reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_VERSION = 1  # raise when the same file gives another cache file
_MAGIC = b"scnwrec1"
_TAIL = struct.Struct("<8sQ")  # magic number, where the index begins
_HEAD = struct.Struct("<QI")  # length of the record and its checksum
_FOOT = 4  # bytes of the checksum behind a record
_LARGEST = 1 << 31  # bytes; more in one record is no TFRecord file
_LANE = 256  # bytes of a piece whose checksum is computed side by side with others
_POLYNOMIAL = np.uint32(0x82F63B78)  # CRC32C, bits reversed
_EXPECTED = "a TFRecord file, plain or gzip"
_REMEDY = "It may be incomplete; get or copy it again."


class RecordFile:
    """The records of a TFRecord file by number; safe to hand to other processes.

    Args:
        path: The file.
        cache: Folder for the index (of a plain file) or the copy (of a gzip file). None: next to the file, or the
            user's cache folder where that cannot be written.
        check: Compare the checksums of everything that is read from the TFRecord file.
        most: Look at no more than so many records.
        progress: Called with the file's name, records done and None while a gzip file is copied.

    Raises:
        InputError: The file is missing, breaks off, or is no TFRecord file.
    """

    def __init__(
        self,
        path: str | Path,
        cache: str | None = None,
        check: bool = False,
        most: int | None = None,
        progress: Callable[[str, int, int | None], None] | None = None,
    ) -> None:
        self.path = Path(path)
        check_readable(self.path)
        self.packed = is_gzip(self.path)
        self._check = check
        self._folder = cache_folder(self.path, cache)
        self._key = _key(self.path, most, check and self.packed)  # a copy made unchecked does not count as checked
        place = self._cached("records" if self.packed else "index")
        spans = _packed_spans(place) if self.packed else _load(place, 2)
        if spans is None and self.packed:
            spans = _pack(self.path, place, check, most, progress)
        elif spans is None:
            spans = _search(self.path, most)
            _save(place, spans)
        self._spans: np.ndarray = np.asarray(spans)
        self._opened = PerProcess(_open, str(place if self.packed else self.path))
        if not len(self._spans):
            raise InputError(self.path, "holds no record.", _REMEDY)

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self._spans)

    def read(self, record: int) -> bytes:
        """Return a record; of a gzip file in the form that `Example.compact` gives.

        Raises:
            InputError: The file has changed, or the checksum is wrong.
        """
        start, length = (int(number) for number in self._spans[record])
        content = os.pread(self._opened.get().fileno(), length + (0 if self.packed else _FOOT), start)
        if self.packed:
            with reading(self._folder, f"a cache of {self.path.name} that is whole", "Delete it; it is made again."):
                return zlib.decompress(content)
        if len(content) < length + _FOOT:
            raise InputError(f"{self.path}, record {record}", "breaks off.", _REMEDY)
        if self._check:
            _compare(content[:length], content[length:], self.path, record)
        return content[:length]

    def example(self, record: int) -> Example:
        """Return a record as a tf.train.Example.

        Raises:
            InputError: It is none, the file has changed, or the checksum is wrong.
        """
        return Example(self.read(record), f"{self.path}, record {record}")

    def table(self, name: str, of: Callable[[Example], int]) -> np.ndarray:
        """Return a whole number of every record, int64 (n,), kept in the cache folder for the next time.

        Args:
            name: What the numbers are, for the name of the file.
            of: Computes one.
        """
        place = self._cached(name)
        values = _load(place, 1)
        if values is None or len(values) != len(self):
            values = np.array([of(self.example(record)) for record in range(len(self))], np.int64)
            _save(place, values)
        return values

    def _cached(self, what: str) -> Path:
        return self._folder / f"{self.path.name}.{self._key}.{what}"


def is_gzip(path: Path) -> bool:
    """Return whether a file begins as gzip files do."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def records(path: str | Path, check: bool = False) -> Iterator[bytes]:
    """Yield all records of a plain or gzip file in order, holding one at a time.

    Args:
        path: The file.
        check: Compare checksums.

    Raises:
        InputError: The file breaks off, is no TFRecord file, or a checksum is wrong.
    """
    path = Path(path)
    with reading(path, _EXPECTED, _REMEDY), gzip.open(path) if is_gzip(path) else path.open("rb") as file:
        number = 0
        while head := file.read(_HEAD.size):
            yield _next(file, head, path, number, check)
            number += 1


def crc32c(content: bytes | memoryview) -> int:
    """Return the CRC32C (Castagnoli) checksum of some bytes."""
    table = _byte_table()
    state = 0xFFFFFFFF
    ragged = len(content) % _LANE
    for byte in bytes(content[:ragged]):
        state = int(table[(state ^ byte) & 255]) ^ (state >> 8)
    lanes = np.frombuffer(content, np.uint8)[ragged:].reshape(-1, _LANE)
    states = np.zeros(len(lanes), np.uint32)  # that each lane leaves when it is begun at 0
    for column in lanes.T:
        states = table[(states ^ column) & 255] ^ (states >> 8)
    advance = _lane_tables()
    for lane in states.tolist():
        # A checksum is linear: that of two pieces is the first's, moved on over the length of the second, and its own.
        moved = [int(advance[place][(state >> (8 * place)) & 255]) for place in range(4)]
        state = moved[0] ^ moved[1] ^ moved[2] ^ moved[3] ^ lane
    return state ^ 0xFFFFFFFF


def masked_crc32c(content: bytes | memoryview) -> int:
    """Return the checksum as TFRecord files store it."""
    crc = crc32c(content)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _next(file: IO[bytes] | gzip.GzipFile, head: bytes, path: Path, number: int, check: bool) -> bytes:
    """Return the record behind a head."""
    where = f"{path}, record {number}"
    if len(head) < _HEAD.size:
        raise InputError(where, "breaks off.", _REMEDY)
    length, head_crc = _HEAD.unpack(head)
    if length > _LARGEST:
        raise InputError(where, f"expected {_EXPECTED}; found a record of {length} bytes.", _REMEDY)
    if not length:
        raise InputError(where, "is empty.", _REMEDY)
    content = file.read(length)
    foot = file.read(_FOOT)
    if len(content) < length or len(foot) < _FOOT:
        raise InputError(where, f"breaks off: expected {length} bytes, found {len(content)}.", _REMEDY)
    if check:
        _compare(head[:8], struct.pack("<I", head_crc), path, number)
        _compare(content, foot, path, number)
    return content


def _compare(content: bytes, checksum: bytes, path: Path, number: int) -> None:
    expected, actual = int.from_bytes(checksum, "little"), masked_crc32c(content)
    if expected != actual:
        problem = f"its checksum is {actual:08x}, the file says {expected:08x}."
        raise InputError(f"{path}, record {number}", problem, "Get or copy the file again, or set check_crc=false.")


def _search(path: Path, most: int | None) -> np.ndarray:
    """Return where every record of a plain file begins and how long it is, int64 (n, 2)."""
    spans: list[tuple[int, int]] = []
    size, place = path.stat().st_size, 0
    with path.open("rb") as file:
        while place < size and len(spans) != most:
            head = os.pread(file.fileno(), _HEAD.size, place)
            length = _HEAD.unpack(head)[0] if len(head) == _HEAD.size else _LARGEST + 1
            end = place + _HEAD.size + length + _FOOT
            if not length:  # as of a file of zeros, which would have millions
                raise InputError(path, f"expected {_EXPECTED}; record {len(spans)} is empty.", _REMEDY)
            if length > _LARGEST or end > size:
                problem = f"expected {_EXPECTED}; record {len(spans)} would end at byte {end}, the file has {size}."
                raise InputError(path, problem, _REMEDY)
            spans.append((place + _HEAD.size, length))
            place = end
    return np.array(spans, np.int64).reshape(-1, 2)


def _pack(
    path: Path, place: Path, check: bool, most: int | None, progress: Callable[[str, int, int | None], None] | None
) -> np.ndarray:
    """Copy the records of a gzip file, each compressed on its own, with an index behind; return the index."""
    spans: list[tuple[int, int]] = []
    start = 0
    with atomic_file(place) as file:
        for number, content in enumerate(records(path, check)):
            if number == most:
                break
            packed = zlib.compress(Example(content, f"{path}, record {number}").compact(), 1)
            file.write(packed)
            spans.append((start, len(packed)))
            start += len(packed)
            if progress is not None:
                progress(path.name, number + 1, None)
        index = np.array(spans, "<i8").reshape(-1, 2)
        file.write(index.tobytes() + _TAIL.pack(_MAGIC, start))
    return index


def _packed_spans(place: Path) -> np.ndarray | None:
    """Return the index of a copy, or None where there is no copy that is whole."""
    try:
        with place.open("rb") as file:
            size = file.seek(-_TAIL.size, os.SEEK_END)
            magic, start = _TAIL.unpack(file.read())
            if magic != _MAGIC or not 0 <= start <= size:
                return None
            file.seek(start)
            return np.frombuffer(file.read(size - start), "<i8").reshape(-1, 2)
    except (OSError, ValueError):
        return None


def _open(path: str) -> IO[bytes]:
    with reading(path, "a file that can be opened", "Check the path."):
        return Path(path).open("rb", buffering=0)


def _key(path: Path, most: int | None, checked: bool) -> str:
    state = path.stat()
    return fingerprints.of_values(_VERSION, state.st_size, state.st_mtime_ns, most, checked)


def _load(place: Path, axes: int) -> np.ndarray | None:
    try:
        array = np.load(place, allow_pickle=False)
    except (OSError, ValueError):
        return None
    return array if isinstance(array, np.ndarray) and array.dtype == np.int64 and array.ndim == axes else None


def _save(place: Path, values: np.ndarray) -> None:
    """Keep an index for the next time; where that cannot be, it is made again."""
    try:
        with atomic_file(place) as file:
            np.save(file, values)
    except InputError:
        return


@functools.cache
def _byte_table() -> np.ndarray:
    """Return what a byte of the state becomes when it is shifted out, uint32 (256,)."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ _POLYNOMIAL, table >> 1)
    return table


@functools.cache
def _lane_tables() -> list[Any]:
    """Return what each of the four bytes of a state becomes over `_LANE` zeros, four lists of 256."""
    states = (np.arange(256, dtype=np.uint32)[None] << (8 * np.arange(4, dtype=np.uint32))[:, None]).astype(np.uint32)
    for _ in range(_LANE):
        states = _byte_table()[states & 255] ^ (states >> 8)
    return states.tolist()
