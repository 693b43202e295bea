"""Where the members of tar shards lie, so that one sample can be read without unpacking (datasets.md 10).

The members of a sample share the part of the name before the first dot, its key; the rest is the field. Shards are
searched once, header by header; the index is kept. Keys may repeat between shards.
"""

from __future__ import annotations

import io
import struct
import tarfile
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scenewise.data import fingerprints
from scenewise.data.containers.cache import cache_folder
from scenewise.errors import InputError
from scenewise.media.files import atomic_file, check_readable, reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_VERSION = 1  # raise when the same shards give another index
_BLOCK = 512  # bytes of tar
_EXPECTED = "a tar file"
_REMEDY = "It may be incomplete; get or copy it again."
_ARRAYS = ("fields", "keys", "shards", "places")


@dataclass(frozen=True)
class Member:
    """A file inside a shard.

    Attributes:
        path: The shard.
        name: Key and field.
        first: First byte of its content.
        size: Bytes of its content.
    """

    path: Path
    name: str
    first: int
    size: int

    @property
    def where(self) -> str:
        """Return shard and name, for messages."""
        return f"{self.path}, {self.name}"

    def content(self, most: int | None = None) -> bytes:
        """Return the bytes, or no more than `most` from the start.

        Raises:
            InputError: The shard has changed.
        """
        count = self.size if most is None else min(most, self.size)
        with reading(self.path, _EXPECTED, _REMEDY), self.path.open("rb") as file:
            file.seek(self.first)
            content = file.read(count)
        if len(content) < count:
            raise InputError(self.where, f"expected {count} bytes, found {len(content)}.", _REMEDY)
        return content


@dataclass(frozen=True)
class TarIndex:
    """Samples of several shards.

    Attributes:
        paths: The shards.
        fields: Names of all fields, as video.npy.
        keys: Key of each sample, shape (N,).
        shards: Which shard each is in, shape (N,).
        places: First byte, size, and unpacked size of each member, shape (N, fields, 3); -1 where there is none.
    """

    paths: tuple[Path, ...]
    fields: tuple[str, ...]
    keys: np.ndarray
    shards: np.ndarray
    places: np.ndarray

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.keys)

    def has(self, record: int) -> list[str]:
        """Return the fields of a sample."""
        return [field for field, place in zip(self.fields, self.places[record], strict=True) if place[0] >= 0]

    def member(self, record: int, field: str) -> Member:
        """Return a field of a sample."""
        first, size, _ = (int(number) for number in self.places[record, self.fields.index(field)])
        return Member(self.paths[int(self.shards[record])], f"{self.keys[record]}.{field}", first, size)


def index_shards(paths: Sequence[Path], cache: str | None = None) -> TarIndex:
    """Return the index of some shards, made once and kept for the next time.

    Args:
        paths: Tar files that are not compressed.
        cache: Folder for the index; None: next to the first, or the user's cache folder where that cannot be written.

    Raises:
        InputError: One is missing, breaks off or is no tar file, or there is no sample.
    """
    for path in paths:
        check_readable(path)
    states = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    place = cache_folder(paths[0], cache) / f"{paths[0].stem}.{fingerprints.of_values(_VERSION, states)}.members"
    index: dict[str, np.ndarray] | None = None  # a damaged one, in whatever way, counts as none
    with (
        suppress(Exception),
        np.load(place, allow_pickle=False) as arrays,
    ):
        index = {name: arrays[name] for name in _ARRAYS}
    if index is None:
        index = search(paths)
        with suppress(InputError), atomic_file(place) as file:  # where it cannot be kept, it is made again
            np.savez(file, **index)  # type: ignore[arg-type]
    fields, keys, shards, places = (index[name] for name in _ARRAYS)
    return TarIndex(tuple(paths), tuple(fields.tolist()), keys, shards, places)


def search(paths: Sequence[Path]) -> dict[str, np.ndarray]:
    """Return the arrays of an index, for which all shards are read.

    Raises:
        InputError: A field comes twice, or there is none.
    """
    samples: list[tuple[str, int, dict[str, tuple[int, int, int]]]] = []
    for number, path in enumerate(paths):
        known: dict[str, dict[str, tuple[int, int, int]]] = {}
        for key, field, place in _members(path):
            if field in known.setdefault(key, {}):
                raise InputError(path, f"expected {key}.{field} once, found it twice.", "Write the shard again.")
            known[key][field] = place
        samples += [(key, number, members) for key, members in known.items()]
    if not samples:
        raise InputError(paths[0], "expected members KEY.FIELD, found none.", "Give shards of WebDataset.")
    fields = sorted({field for _, _, members in samples for field in members})
    absent = (-1, -1, -1)
    return {
        "fields": np.array(fields),
        "keys": np.array([key for key, _, _ in samples]),
        "shards": np.array([number for _, number, _ in samples], np.int32),
        "places": np.array([[members.get(field, absent) for field in fields] for *_, members in samples], np.int64),
    }


def _members(path: Path) -> Iterator[tuple[str, str, tuple[int, int, int]]]:
    """Yield key, field, and place of each file; hidden ones and notes of the format (__name__) are left out."""
    with reading(path, _EXPECTED, _REMEDY), path.open("rb") as file:
        if file.read(2) == b"\x1f\x8b":
            raise InputError(path, "expected a plain tar file, found a compressed one.", "Unpack it by gunzip.")
        for member in _headers(path, file):
            folder, _, name = member.name.rpartition("/")
            key, dot, field = name.partition(".")
            if member.isreg() and key and dot and not name.startswith("__"):
                packed = member.size
                if field.endswith(".gz"):  # gzip notes the unpacked size at the end
                    file.seek(member.offset_data + max(member.size - 4, 0))
                    note = file.read(4)
                    packed = int(struct.unpack("<I", note)[0]) if len(note) == 4 else -1
                yield f"{folder}/{key}" if folder else key, field, (member.offset_data, member.size, packed)


def _headers(path: Path, file: io.BufferedReader) -> Iterator[tarfile.TarInfo]:
    file.seek(0)
    end = 0
    with tarfile.open(fileobj=file, mode="r:") as archive:
        while (member := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # it would hold all of them
            end = member.offset_data + -(-member.size // _BLOCK) * _BLOCK if member.isreg() else archive.offset
            yield member
    file.seek(end)
    # Python's reader takes half a header for the end.
    if file.read(_BLOCK).strip(b"\0"):
        raise InputError(path, f"breaks off at byte {end}.", _REMEDY)
