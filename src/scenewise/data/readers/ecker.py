"""VMDS, SpMOT, VOR and texVMDS of the object-centric representation benchmark.

Videos lie in HDF5 files (one array per split, more in groups for the challenge sets) or in npy files, one per split;
all are (N, T, 3, 64, 64). Ground truth lies in JSON files next to them or in a folder `gt_jsons`: per video and frame
a list of run-length masks with ids, the last `num_bg` of them background. An id is one object in all of a video; here
objects are numbered 1, 2, ... in the order of their ids. Only the masks of a video that is asked for are decoded.
"""

from __future__ import annotations

import mmap
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.config import setting
from scenewise.data import fingerprints
from scenewise.data.containers.per_process import PerProcess
from scenewise.data.contract import Description, register_source
from scenewise.data.readers.base import (
    FilesConfig,
    FilesSource,
    Record,
    check_array,
    check_record,
    split_records,
)
from scenewise.documents import parse_json
from scenewise.errors import InputError, nearest
from scenewise.media.files import check_readable, reading
from scenewise.media.hdf5 import open_h5
from scenewise.media.npy import check_mapped

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAME = "ecker"
_SPLITS = {"train": "train", "validation": "val", "test": "test"}
_LAYOUT = "videos (N, T, 3, H, W) of values 0 to 255"
_MOST = {"vmds": 4, "spmot": 3, "vor": 4}  # objects, as published
_REMEDY = "It may be incomplete; get or copy it again."
_BRACKETS = re.compile(rb"[\[\]]")


@dataclass(frozen=True)
class EckerConfig(FilesConfig):
    """Settings of the reader; `path` is an hdf5 file, an npy file, or a folder of npy files."""

    key: str | None = setting(None, "array in the file, such as occl/test; none: that of the split")
    truth: str | None = setting(None, "JSON file of masks; none: SET_SPLIT.json next to the file or in gt_jsons")
    frames: int | None = setting(10, "frames of a video; the papers use the first 10; none: all there are", minimum=1)


@register_source(
    _NAME,
    Description(
        what="VMDS, SpMOT, VOR, texVMDS: short synthetic videos with tracked masks",
        kind="files",
        paper="Benchmarking unsupervised object representations for video sequences (Weis et al. 2021)",
        size="10 frames, 64 x 64",
        licence="MIT",
        obtain="osf.io/ua6sk has vmds.hdf5, spmot.hdf5, vor.hdf5 and gt_jsons; then path=vmds.hdf5",
    ),
)
class EckerSource(FilesSource):
    """Videos of one split.

    Args:
        config: Files and settings.
        split: "train", "validation" or "test".

    Raises:
        InputError: A file is missing, damaged or of another layout, or videos and masks do not match.
    """

    config_class = EckerConfig
    config: EckerConfig

    def __init__(self, config: EckerConfig, split: str = "train") -> None:
        super().__init__(config, split)
        self._opened = PerProcess(_open, config.path, self.split, config.key)
        name, videos = self._opened.get()
        check_array(self.path, name, videos, (None, None, None, None, None), "uif", _LAYOUT)
        total, time, channels, height, width = videos.shape
        if channels not in (1, 3):
            raise InputError(self.path, f"{name}: expected {_LAYOUT}, found {videos.shape}.", "Channels come third.")
        check_record(self.path, videos.shape[1:])
        if config.frames is not None and config.frames > time:
            raise InputError(self.path, f"has videos of {time} frames, {config.frames} asked for.", "Lower frames.")
        self._truth = _truth_file(self.path, self.split, config)
        self._spans = None if self._truth is None else _video_spans(self._truth)
        if self._spans is not None and len(self._spans) != total:
            problem = f"expected masks of {total} videos as in {self.path.name}, found {len(self._spans)}."
            raise InputError(self._truth, problem, "Give the file of this split as truth=FILE.json.")
        span = split_records(config, self.split, total, {self.split: (0, total)})
        self._settle(
            span,
            (height, width, channels),
            frames=config.frames or time,
            max_objects=next((most for start, most in _MOST.items() if self._files()[0].name.startswith(start)), None),
            has_ids=self._spans is not None,
            origin=f"{self.path.name}, {name}, records {span.start} to {span.stop - 1}",
        )

    def fingerprint(self) -> str:
        """Return a hash that also changes with the masks."""
        truth = None if self._truth is None else fingerprints.of_file(self._truth)
        return fingerprints.of_values(super().fingerprint(), truth)

    def _files(self) -> list[Path]:
        return [_npy_of(self.path, self.split, self.config.key)] if self.path.is_dir() else [self.path]

    def _read(self, record: int, first: int, stop: int) -> Record:
        name, videos = self._opened.get()
        check_mapped(videos)
        where = f"{self.path}, {name}, video {record}"
        with reading(where, "frames that can be read", _REMEDY):
            images = np.moveaxis(np.asarray(videos[record, first:stop]), 1, -1)
        if not (images.min() >= 0 and images.max() <= 255):
            raise InputError(where, f"expected values 0 to 255, found {images.min():g} to {images.max():g}.", _REMEDY)
        ids = None
        if self._truth is not None:
            ids = self._ids(record, images.shape[1:3])[first:stop]
        return Record(np.rint(images).astype(np.uint8), ids, {"record": record})

    def _ids(self, record: int, size: Sequence[int]) -> np.ndarray:
        """Return ids of all frames of a video, int64 (T, H, W)."""
        where = f"{self._truth}, video {record}"
        with reading(where, "a list of frames with masks, ids and num_bg", _REMEDY):
            start, stop = (int(place) for place in self._spans[record])  # type: ignore[index]
            with Path(str(self._truth)).open("rb") as file:
                file.seek(start)
                text = file.read(stop - start)
            frames = parse_json(text, where, "a list of frames", _REMEDY)
            time = int(self.facts.frames or 0)
            if len(frames) < time:
                raise InputError(where, f"expected masks of at least {time} frames, found {len(frames)}.", _REMEDY)
            objects = [frame["ids"][: len(frame["ids"]) - int(frame.get("num_bg", 0))] for frame in frames]
            # From 1 in the order of a video's ids, so that an object has one number in all frames.
            numbers = {identity: number for number, identity in enumerate(sorted(set().union(*objects)), 1)}
            painted = np.zeros((time, *size), np.int64)
            for frame, truth, own in zip(painted, frames, objects, strict=False):
                for text, identity in list(zip(truth["masks"], truth["ids"], strict=True))[: len(own)]:
                    frame[decode_row_rle(text, size, where)] = numbers[identity]
        return painted


def decode_row_rle(text: str, size: Sequence[int], where: object = "RLE") -> np.ndarray:
    """Return the mask of a run-length text "start length start length ..."; starts count from 1, row by row.

    Args:
        text: The runs; empty where there is no pixel.
        size: (H, W).
        where: What is read, for messages.

    Returns:
        bool, shape (H, W).

    Raises:
        InputError: The runs do not lie inside the image in order.
    """
    runs = np.array(text.split(), np.int64).reshape(-1, 2)
    starts, ends = runs[:, 0] - 1, runs[:, 0] - 1 + runs[:, 1]
    pixels = int(size[0]) * int(size[1])
    if len(runs) and (starts[0] < 0 or ends[-1] > pixels or (ends < starts).any() or (starts[1:] < ends[:-1]).any()):
        problem = f"expected runs in order inside {size[0]} x {size[1]} pixels, counted from 1; found {text[:40]!r}."
        raise InputError(where, problem, "The masks are of another size or kind.")
    steps = np.zeros(pixels + 1, np.int64)
    np.add.at(steps, starts, 1)
    np.add.at(steps, ends, -1)
    return steps.cumsum()[:-1].reshape(size[0], size[1]) > 0


def _open(path: str, split: str, key: str | None) -> tuple[str, Any]:
    """Return the array of a split, not read, and its name."""
    place = Path(path)
    if place.is_dir() or place.suffix == ".npy":
        file = _npy_of(place, split, key) if place.is_dir() else place
        check_readable(file)
        with reading(file, "a plain npy array; pickled objects are never loaded", _REMEDY):
            return file.stem, np.load(file, mmap_mode="r", allow_pickle=False)
    return _h5_array(path, split, key)


def _h5_array(path: str, split: str, key: str | None) -> tuple[str, Any]:
    """Return the array called as the split, whatever stands before it in its name."""
    import h5py

    file = open_h5(path)
    arrays: dict[str, Any] = {}
    file.visititems(lambda name, item: arrays.update({name: item}) if isinstance(item, h5py.Dataset) else None)
    target = key.strip("/") if key else _SPLITS[split]
    matches = [name for name in arrays if name == target] or [
        name for name in arrays if not key and "/" not in name and name.endswith(f"_{target}")
    ]
    if len(matches) != 1:
        listing = ", ".join(f"{name} {item.shape}" for name, item in arrays.items()) or "nothing"
        raise InputError(path, f"expected array {target!r}; found {listing}.", f"Set key. {nearest(target, arrays)}")
    return matches[0], arrays[matches[0]]


def _npy_of(folder: Path, split: str, key: str | None) -> Path:
    """Return the npy file of a split (or of a challenge set) in a folder."""
    ending = key or _SPLITS[split]
    files = sorted(file for file in folder.glob("*.npy") if file.stem == ending or file.stem.endswith(f"_{ending}"))
    if len(files) != 1:
        names = ", ".join(file.name for file in sorted(folder.glob("*.npy"))) or "none"
        raise InputError(
            folder, f"expected one file SET_{ending}.npy; of npy files it has {names}.", "Set key or path."
        )
    return files[0]


def _truth_file(path: Path, split: str, config: EckerConfig) -> Path | None:
    """Return the JSON file of masks: the one given, or the one with the name of the set and split, or none."""
    if config.truth is not None:
        check_readable(Path(config.truth))
        return Path(config.truth)
    if path.is_dir() or path.suffix == ".npy":
        file = _npy_of(path, split, config.key) if path.is_dir() else path
        stem, folder = file.stem, file.parent
    else:
        stem, folder = "_".join([path.stem, *(config.key or _SPLITS[split]).strip("/").split("/")]), path.parent
    places = [place / f"{stem}.json" for place in (folder, folder / "gt_jsons", folder.parent / "gt_jsons")]
    return next((place for place in places if place.is_file()), None)


def _video_spans(path: Path) -> np.ndarray:
    """Return where in a JSON file each video begins and ends, int64 (N, 2), without reading its masks.

    Run-length texts hold digits only, so every bracket in the file is one of a list.
    """
    spans, depth, start = [], 0, 0
    check_readable(path)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for match in _BRACKETS.finditer(content):
            if content[match.start()] == ord("["):
                depth += 1
                start = match.start() if depth == 2 else start
            else:
                depth -= 1
                if depth == 1:
                    spans.append((start, match.end()))
    if depth or not spans:
        raise InputError(path, "expected a list of videos with masks; it breaks off or is another file.", _REMEDY)
    return np.array(spans, np.int64)
