"""The dSprites file: one white sprite per image, all combinations of six factors.

The images in the npz file are compressed as a whole (3 GB unpacked), so they are unpacked once into an npy file that
can be read anywhere. The HDF5 twin is read as it is. Records lie in the order of their factors; a split by blocks would
hold out shapes, so splits are blocks of a random order that `seed` decides. Ids are 0 and 1; `extras` hold `classes`
and `values` of colour, shape, scale, orientation, x and y. No pickled metadata are opened.
"""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scenewise.config import setting
from scenewise.data import fingerprints
from scenewise.data.containers.cache import cache_folder
from scenewise.data.containers.hdf5 import h5_array
from scenewise.data.containers.per_process import PerProcess
from scenewise.data.contract import Description, register_source
from scenewise.data.readers.base import FilesConfig, FilesSource, Record, check_array, split_records
from scenewise.errors import InputError
from scenewise.media.files import atomic_file, check_readable, reading
from scenewise.media.hdf5 import open_h5
from scenewise.media.npy import check_packing, read_header

_NAME = "dsprites-npz"
_SIZES = (1, 3, 6, 40, 32, 32)  # colour, shape, scale, orientation, x, y
_VALUES = (
    np.ones(1),
    np.arange(1.0, 4.0),
    np.linspace(0.5, 1.0, 6),
    np.linspace(0.0, 2 * np.pi, 40),
    np.linspace(0.0, 1.0, 32),
    np.linspace(0.0, 1.0, 32),
)
_LAYOUT = "imgs (N, 64, 64), 0 and 1"
_REMEDY = "Get or copy the file again."
_CHUNK = 1 << 20  # bytes


@dataclass(frozen=True)
class DSpritesConfig(FilesConfig):
    """Settings of the reader of dSprites; `train`, `validation` and `test` are places in the random order."""

    seed: int = setting(0, "decides the order that is divided among the splits", minimum=0, maximum=2**63 - 1)
    cache: str | None = setting(None, "folder for the unpacked images; none: next to the file")


@register_source(
    _NAME,
    Description(
        what="dSprites: one white square, ellipse or heart per image, all combinations of factors",
        kind="files",
        paper="beta-VAE (Higgins et al. 2017); GENESIS and others build scenes of it",
        size="1 frame, 64 x 64",
        factors=("shape", "scale", "orientation", "x", "y"),
        licence="zlib/libpng for the images; repository Apache-2.0",
        obtain="github.com/google-deepmind/dsprites-dataset: dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz (26 MB), "
        "then path=FILE.npz",
    ),
)
class DSpritesSource(FilesSource):
    """Images of one split, each a video of one frame.

    Args:
        config: File and settings.
        split: "train", "validation" or "test".

    Raises:
        InputError: The file is missing, damaged or of another layout.
    """

    config_class = DSpritesConfig
    config: DSpritesConfig

    def __init__(self, config: DSpritesConfig, split: str = "train") -> None:
        super().__init__(config, split)
        if self.path.suffix.lower() in (".h5", ".hdf5"):
            self._opened = PerProcess(_open_h5, config.path)
        else:
            self._opened = PerProcess(_open_npy, str(_unpacked(self.path, config.cache)))
        images = self._opened.get()
        check_array(self.path, "imgs", images, (None, None, None), "bu", _LAYOUT)
        self._whole = len(images) == int(np.prod(_SIZES))
        span = split_records(config, self.split, len(images))
        order = np.random.Generator(np.random.Philox(key=config.seed)).permutation(len(images))
        self._settle(
            order[span.start : span.stop].astype(np.int32),
            (*images.shape[1:], 1),
            frames=1,
            max_objects=1,
            binary=config.size is None,
            origin=f"{self.path.name}, places {span.start} to {span.stop - 1} of order {config.seed}",
        )

    def _read(self, record: int, first: int, stop: int) -> Record:
        with reading(f"{self.path}, record {record}", "an image that can be read", _REMEDY):
            image = np.asarray(self._opened.get()[record]) > 0
        extras: dict[str, Any] = {"record": record}
        if self._whole:
            classes = np.unravel_index(record, _SIZES)
            extras["classes"] = np.array(classes, np.int64)
            extras["values"] = np.array([values[place] for values, place in zip(_VALUES, classes, strict=True)])
        return Record(image[None, ..., None] * np.uint8(255), image[None].astype(np.int64), extras)


def _open_h5(path: str) -> Any:
    return h5_array(path, open_h5(path), "imgs", _LAYOUT)


def _open_npy(path: str) -> np.ndarray:
    with reading(path, "unpacked images", "Delete it; it is made again."):
        return np.load(path, mmap_mode="r", allow_pickle=False)


def _unpacked(path: Path, cache: str | None) -> Path:
    """Return an npy file with the images, unpacking them if that has not been done."""
    check_readable(path)
    if path.suffix == ".npy":
        return path
    state = path.stat()
    key = fingerprints.of_values(state.st_size, state.st_mtime_ns)
    place = cache_folder(path, cache) / f"{path.name}.{key}.npy"
    if place.is_file():
        return place
    with reading(path, "an npz file", _REMEDY), zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if "imgs.npy" not in names:
            raise InputError(path, f"expected an array imgs, found {', '.join(names) or 'nothing'}.", f"({_LAYOUT}.)")
        check_packing(archive.getinfo("imgs.npy"), path)
        with archive.open("imgs.npy") as packed:  # shape and type are checked before gigabytes are unpacked
            shape, _, dtype = read_header(packed)
        if len(shape) != 3 or dtype.kind not in "bu" or dtype.itemsize != 1:
            problem = f"imgs: expected {_LAYOUT}, found {dtype} {shape}."
            raise InputError(path, problem, "Is it a file of another set?")
        with archive.open("imgs.npy") as packed, atomic_file(place) as file:
            shutil.copyfileobj(packed, file, _CHUNK)
    return place
