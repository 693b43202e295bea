"""Shards as `00000.h5`: the same arrays as of npy shards, one chunk per video, compressed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.data.shards.packing import Span, pack, unpack, unpack_extra
from scenewise.media.files import FileLength
from scenewise.media.hdf5 import created, open_h5

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from scenewise.data.contract import Sample

SUFFIXES = (".h5",)


def write(files: Mapping[str, Path], samples: Sequence[Sample], first: int, ragged: bool) -> None:
    """Write a shard; see `ShardLayout`."""
    with created(files[".h5"]) as file:
        for name, array in pack(samples, ragged).items():
            _create(file, name, array)


def _create(file: Any, name: str, array: np.ndarray) -> None:
    text = array.dtype.kind == "U"
    values = np.char.encode(array, "utf-8") if text and array.size else array
    values = np.zeros(array.shape, "S1") if values.dtype.kind == "U" else values
    values = values.astype("S1") if values.dtype == "S0" else values
    packed: dict[str, Any] = {}
    if values.ndim > 1 and values.size:
        packed = {"chunks": (1, *values.shape[1:]), "compression": "gzip", "compression_opts": 1, "shuffle": True}
    dataset = file.create_dataset(name, data=values, **packed)
    if text:
        dataset.attrs["dtype"] = array.dtype.str


class _Texts:
    """A dataset of encoded texts that reads as the array it was made from."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self.shape, self.dtype = dataset.shape, np.dtype(dataset.attrs["dtype"])

    def __getitem__(self, cut: Any) -> np.ndarray:
        values = np.asarray(self._dataset[cut])
        return np.char.decode(values, "utf-8").astype(self.dtype) if values.size else np.zeros(values.shape, self.dtype)


class _ShardArrays(Mapping[str, Any]):
    """Datasets of a file by name, opened when first asked for."""

    def __init__(self, path: Path) -> None:
        import h5py

        self._file, self.length = open_h5(path), FileLength(path)
        self._names: list[str] = []
        self._file.visititems(lambda name, item: self._names.append(name) if isinstance(item, h5py.Dataset) else None)
        self._known = set(self._names)

    def __getitem__(self, name: str) -> Any:
        dataset = self._file[name]
        return _Texts(dataset) if "dtype" in dataset.attrs else dataset

    def __contains__(self, name: object) -> bool:
        return name in self._known

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def read(files: Mapping[str, Path]) -> Hdf5Rows:
    """Open a shard, from its files by suffix; see `layouts.ShardLayout`."""
    return Hdf5Rows(files)


class Hdf5Rows:
    """A shard, opened for reading in this process; see `layouts.ShardRows`."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._path = files[".h5"]
        self._opened = (os.getpid(), _ShardArrays(self._path))

    def __len__(self) -> int:
        return int(self._here()["frames"].shape[0])

    def length(self, row: int) -> int:
        """Return the number of frames of a video."""
        arrays = self._here()
        return int(arrays["lengths"][row] if "lengths" in arrays else arrays["frames"].shape[1])

    def sample(self, row: int, span: Span) -> Sample:
        """Return one video or a part of it."""
        sample = unpack(self._here(), row, span)
        self._here().length.check()
        return sample

    def extra(self, row: int, name: str, span: Span) -> Any:
        """Return one extra of a video; see `layouts.ShardRows`."""
        extra = unpack_extra(self._here(), row, name, span)
        self._here().length.check()
        return extra

    def _here(self) -> _ShardArrays:
        """Return the arrays of a file that this process opened; HDF5 does not survive a fork."""
        if self._opened[0] != os.getpid():
            self._opened = (os.getpid(), _ShardArrays(self._path))
        return self._opened[1]
