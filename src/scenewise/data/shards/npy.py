"""Shards as `00000.npy`, the frames, and `00000.npz`, all else; nothing is compressed, so all of it can be mapped."""

from __future__ import annotations

import struct
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.data.shards.packing import Span, pack, unpack, unpack_extra
from scenewise.media.npy import check_mapped, read_header, write_array

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from scenewise.data.contract import Sample

SUFFIXES = (".npy", ".npz")

_LOCAL_HEADER = 30  # bytes before the name of a zip member, at its own place in the file


def write(files: Mapping[str, Path], samples: Sequence[Sample], first: int, ragged: bool) -> None:
    """Write a shard; see `ShardLayout`."""
    arrays = pack(samples, ragged)
    write_array(files[".npy"], arrays.pop("frames"))
    with zipfile.ZipFile(files[".npz"], "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy")  # its date is always the same, so equal arrays give equal bytes
            with archive.open(member, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)


def read(files: Mapping[str, Path]) -> NpyRows:
    """Open a shard, from its files by suffix; see `layouts.ShardLayout`."""
    return NpyRows(files)


class NpyRows:
    """A shard, mapped into memory; see `layouts.ShardRows`."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._arrays: dict[str, Any] = {"frames": np.load(files[".npy"], mmap_mode="r", allow_pickle=False)}
        self._ends = [self._arrays["frames"]]  # what lies last in each file
        self._arrays |= mapped(files[".npz"])
        maps = [array for array in self._arrays.values() if isinstance(array, np.memmap)]
        self._ends += maps[-1:]

    def __len__(self) -> int:
        return len(self._arrays["frames"])

    def length(self, row: int) -> int:
        """Return the number of frames of a video."""
        lengths = self._arrays.get("lengths")
        return int(self._arrays["frames"].shape[1] if lengths is None else lengths[row])

    def sample(self, row: int, span: Span) -> Sample:
        """Return one video or a part of it."""
        check_mapped(*self._ends)
        return unpack(self._arrays, row, span)

    def extra(self, row: int, name: str, span: Span) -> Any:
        """Return one extra of a video; see `layouts.ShardRows`."""
        check_mapped(*self._ends)
        return unpack_extra(self._arrays, row, name, span)


def mapped(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an npz file that is not compressed, mapped into memory instead of read."""
    arrays = {}
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        for member in archive.infolist():
            file.seek(member.header_offset)
            head = file.read(_LOCAL_HEADER)
            file.seek(sum(struct.unpack("<HH", head[26:30])), 1)  # name and extra field of the local header
            shape, fortran, kind = read_header(file)
            if 0 in shape or not kind.itemsize:  # nothing to map
                array = np.zeros(shape, kind)
            else:
                array = np.memmap(path, kind, "r", file.tell(), shape, "F" if fortran else "C")
            arrays[member.filename.removesuffix(".npy")] = array
    return arrays
