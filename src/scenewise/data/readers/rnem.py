"""The HDF5 layout of R-NEM's bouncing balls: a lazy reader (datasets.md 2, provide.md 14.1).

A file has some of the groups `training`, `validation`, `test`. Each holds, time first, `features` (T, N, H, W, C) and
mostly `groups` (T, N, H, W, 1), 0 for background; `collisions`, `events`, `positions` and `velocities` may follow. The
element type is not fixed: truth values, whole numbers and floats in [0, 1] are all read.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import h5py
import numpy as np

from scenewise.config import setting
from scenewise.data import fingerprints
from scenewise.data.containers.per_process import PerProcess
from scenewise.data.contract import Description, ObjectKeys, register_source
from scenewise.data.generated.balls.world import paint
from scenewise.data.readers.base import FilesConfig, FilesSource, Record, grown_settings
from scenewise.data.readers.video import own_records
from scenewise.errors import InputError
from scenewise.media.hdf5 import open_h5

if TYPE_CHECKING:
    from collections.abc import Iterator

GROUPS = {"train": "training", "validation": "validation", "test": "test"}
"""Names of the groups by split."""

_OPTIONAL = ("collisions", "events", "positions", "velocities")
_SETTINGS = ("mode", "colours", "palette_order", "colour_by", "channels", "frames")
_LAYOUT = "the R-NEM layout has groups training, validation, test with features (T, N, H, W, C)"


@dataclass(frozen=True)
class RnemFileConfig(FilesConfig):
    """Settings of the R-NEM reader; `train`, `validation` and `test` are places in the group of that split."""

    mode: Literal["stored", "colour"] = setting("stored", "stored: frames as they are; colour: paint the ids")
    colours: Literal[4, 8] = setting(4, "colours in use when painting")
    palette_order: Literal["bgr", "rgb"] = setting("bgr", "bgr: as PROVIDE's model saw them; rgb: as written")
    colour_by: Literal["id", "rank"] = setting("id", "id: constant colours; rank: PROVIDE's, per frame")
    channels: Literal[1, 3] | None = setting(3, "3 repeats a single stored channel; 1 keeps it")
    frames: int | None = setting(None, "frames of a video; a file of one frame repeats it", minimum=1)


@register_source(
    "rnem-h5",
    Description(
        what="bouncing balls and others in R-NEM's HDF5 layout, as published or by "
        "`scenewise data make SOURCE --samples 1000 --out X.h5`",
        kind="files",
        paper="R-NEM (van Steenkiste et al. 2018); PROVIDE (Zablotskaia et al. 2021)",
        size="51 frames of 64 x 64, or others",
        factors=("position", "velocity", "event", "collision"),
        licence="as the file's; none is stated for R-NEM's",
        obtain="links in the README of github.com/sjoerdvansteenkiste/Relational-NEM, then path=FILE.h5",
    ),
)
class RnemSource(FilesSource):
    """Videos of one group of a file; only the slices asked for are read.

    Extras hold what the file has of collisions, events, positions and velocities.

    Args:
        config: File and settings.
        split: "train", "validation" or "test".

    Raises:
        InputError: The file is missing, damaged or of another layout.
    """

    config_class = RnemFileConfig
    config: RnemFileConfig
    default_split = "test"
    object_keys = ObjectKeys(
        position="positions",
        velocity="velocities",
    )

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Return whether a file is named as HDF5 files are; which arrays it has is seen when it is opened."""
        return path.suffix.lower() in (".h5", ".hdf5")

    def __init__(self, config: RnemFileConfig, split: str = "test") -> None:
        super().__init__(config, split)
        self._opened = PerProcess(_open, config.path)
        with _reading(config.path):
            arrays = self._arrays()
            self._check(arrays)
            features = arrays["features"]
            self._stored, videos, height, width, channels = features.shape
            first = features[:, 0]
            self._scale = _scale(first)
            binary = config.mode == "stored" and config.size is None
            most = None  # objects: by the positions, or else in the first frames of up to 64 videos
            if "positions" in arrays and arrays["positions"].ndim == 4:
                most = int(arrays["positions"].shape[2])
            elif "groups" in arrays:
                most = int(np.max(arrays["groups"][0, :64]))
            self._settle(
                own_records(config, split, int(videos)),
                (height, width, 3 if config.mode == "colour" else channels),
                frames=config.frames or int(self._stored),
                max_objects=most,
                binary=binary and bool(np.isin(first * self._scale, (0, 255)).all()),
                has_ids="groups" in arrays,
                origin=f"R-NEM file {self.path.name}",
            )

    def fingerprint(self) -> str:
        """Return a hash of the file, the split and the settings other than its path."""
        settings = grown_settings(self.config, _SETTINGS)
        return fingerprints.of_values(fingerprints.of_file(self.path), self.split, settings)

    def _read(self, record: int, first: int, stop: int) -> Record:
        config = self.config
        with _reading(config.path):
            arrays = self._arrays()
            ids = None
            if self.facts.has_ids:
                groups = self._slice(arrays["groups"], record, first, stop)
                ids = groups[..., 0].astype(np.int64)
                if ids.min() < 0 or ids.max() > 255 or (groups.dtype.kind == "f" and (ids != groups[..., 0]).any()):
                    raise InputError(config.path, "groups: expected whole numbers 0 to 255.")
            if config.mode == "colour":
                painted = paint(np.asarray(ids), config.colours, config.palette_order, config.colour_by)
                images = np.moveaxis(painted, 1, -1)
            else:
                scaled = self._slice(arrays["features"], record, first, stop).astype(np.float32) * self._scale
                if not (scaled.min() >= 0 and scaled.max() <= 255):
                    raise InputError(config.path, "features: expected values from 0 to 1 (or to 255, whole numbers).")
                images = np.rint(scaled).astype(np.uint8)
            extras = {name: self._slice(arrays[name], record, first, stop) for name in _OPTIONAL if name in arrays}
        if "collisions" in extras:  # axes of length one that the layout adds
            extras["collisions"] = extras["collisions"][..., 0]
        if "events" in extras and extras["events"].size == len(extras["events"]):
            extras["events"] = extras["events"].reshape(len(extras["events"]))
        return Record(images, ids, extras)

    def _arrays(self) -> h5py.Group:
        """Return the group of this split in a file opened by this process."""
        file = self._opened.get()
        if GROUPS[self.split] not in file:
            listing = ", ".join(file) or "nothing"
            remedy = "Choose another split." if set(file) & set(GROUPS.values()) else f"({_LAYOUT}.)"
            raise InputError(self.config.path, f"expected group {GROUPS[self.split]!r}, found {listing}.", remedy)
        return file[GROUPS[self.split]]

    def _slice(self, array: h5py.Dataset, record: int, first: int, stop: int) -> np.ndarray:
        if self._stored == 1:
            return np.repeat(array[:1, record], stop - first, axis=0)
        return array[first:stop, record]

    def _check(self, arrays: h5py.Group) -> None:
        """Check keys and shapes before anything is read."""
        path, name = self.config.path, GROUPS[self.split]
        _expect(path, arrays, f"{name}/features", None)
        shape = arrays["features"].shape
        if len(shape) != 5 or shape[4] not in (1, 3) or 0 in shape:
            raise InputError(path, f"{name}/features: expected (T, N, H, W, 1 or 3), found {shape}.", f"({_LAYOUT}.)")
        if self.config.mode == "colour" and "groups" not in arrays:
            raise InputError(path, f"colours are painted by id, but {name}/groups is missing.", "Set mode=stored.")
        if "groups" in arrays:
            _expect(path, arrays, f"{name}/groups", (*shape[:4], 1))
        if "collisions" in arrays:
            _expect(path, arrays, f"{name}/collisions", (*shape[:4], 1))
        for optional in ("events", "positions", "velocities"):
            if optional in arrays:
                _expect(path, arrays, f"{name}/{optional}", shape[:2])
        if self.config.frames is not None and shape[0] not in (1, *range(self.config.frames, shape[0] + 1)):
            raise InputError(path, f"has videos of {shape[0]} frames, {self.config.frames} asked for.", "Lower frames.")


def _open(path: str) -> h5py.File:
    if not Path(path).is_file():
        raise InputError(path or "path", "no such file.", "Give an HDF5 file of the R-NEM layout.")
    return open_h5(path)


@contextmanager
def _reading(path: str) -> Iterator[None]:
    """Turn what h5py raises on damaged files into a message for the user."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise InputError(path, f"cannot be read as HDF5: {error}.", "The file may be incomplete.") from error


def _expect(path: str, arrays: h5py.Group, key: str, shape: tuple[int, ...] | None) -> None:
    """Check that an array is there and that its leading shape is the expected one."""
    array = arrays.get(key.rpartition("/")[2])
    if not isinstance(array, h5py.Dataset):
        raise InputError(path, f"expected array {key}, found {', '.join(arrays) or 'nothing'}.", f"({_LAYOUT}.)")
    if shape is not None and array.shape[: len(shape)] != shape:
        raise InputError(path, f"{key}: expected leading shape {shape}, found {array.shape}.")
    if array.dtype.kind not in "biuf":
        raise InputError(path, f"{key}: expected numbers, found type {array.dtype}.")


def _scale(features: np.ndarray) -> float:
    """Return what stored values are multiplied by to lie in [0, 255]; whole numbers may be 0/1 or 0 to 255."""
    return 1.0 if features.dtype.kind in "iu" and int(features.max()) > 1 else 255.0
