"""Folders that `scenewise data make` wrote, as a source: the same videos as on the fly, bit for bit."""

from __future__ import annotations

import os
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.config import build, setting
from scenewise.data.contract import SOURCES, Description, Sample, Source, register_source, stacked
from scenewise.data.fingerprints import of_values
from scenewise.data.shards import manifest as made
from scenewise.data.shards.layouts import layout
from scenewise.data.shards.packing import Span
from scenewise.data.splits import check_index, check_span, check_split
from scenewise.errors import InputError
from scenewise.media.files import check_readable, reading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scenewise.data.contract import Progress
    from scenewise.data.shards.layouts import ShardRows
    from scenewise.data.shards.manifest import Manifest

_OPEN = 32  # shards at a time
_NAME = "made"


@dataclass(frozen=True)
class MadeConfig:
    """Settings of the reader of made folders."""

    path: str = setting("", "the folder, with a sub-folder per split, or one of these sub-folders")


@register_source(
    _NAME,
    Description(
        what="folders that `scenewise data make` wrote: the same videos, bit for bit, without making them again",
        kind="files",
        size="as made",
        factors=("as made",),
        licence="that of the source",
        obtain="scenewise data make SOURCE --samples 1000 --out DIR, then path=DIR",
    ),
)
class MadeSource(Source):
    """Videos of a made folder; only the video asked for is read.

    Args:
        path: The folder, with a sub-folder per split, or one of these sub-folders.
        split: "train", "validation" or "test".

    Raises:
        InputError: It is no made folder, is not whole, or does not have that split.
    """

    config_class = MadeConfig
    together = True

    @classmethod
    def create(cls, name: str, split: str, settings: Mapping[str, Any], progress: Progress | None = None) -> Source:
        """Return the reader of a folder; see `Source.create`."""
        config = build(MadeConfig, settings, f"source {name}")
        if not config.path:
            raise InputError("path", "is not given.", "Name the folder, as in path=data/balls.")
        return cls(config.path, split)

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Return whether a folder is one that was made or is being made, or the folder of one of its splits."""
        return path.is_dir() and (made.is_made(path) or bool(made.made_splits(path)))

    def __init__(self, path: str | Path, split: str = "train") -> None:
        self.split = check_split(split)
        self.folder = _folder_of(Path(path), split)
        self.manifest: Manifest = made.read_manifest(self.folder)
        self.plan = self.manifest.plan
        if self.plan.split != split:
            problem = f"is split {self.plan.split}; {split} was asked for."
            raise InputError(path, problem, f"Choose split {self.plan.split}, or give the folder above.")
        self.facts = made.facts_of(self.plan)
        if self.plan.source in SOURCES.names():  # what made it may not be installed here
            self.object_keys = SOURCES.get(self.plan.source).source_class.object_keys
        self._layout = layout(self.plan.layout)
        self._open: OrderedDict[int, ShardRows] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of videos that were made."""
        return self.plan.samples

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open shards behind when handed to another process."""
        return {**self.__dict__, "_open": OrderedDict()}

    def fingerprint(self) -> str:
        """Return a hash of the source's fingerprint and of all checksums."""
        sums = [[file["sha256"] for file in shard.files.values()] for shard in self.manifest.shards]
        return of_values(_NAME, self.plan.fingerprint, self.plan.samples, sums)

    def length(self, index: int) -> int:
        """Return the number of frames of a video."""
        if self.facts.frames is not None:
            return self.facts.frames
        number, row = self._place(index)
        return self.rows(number).length(row)

    def sample(self, index: int, start: int = 0, frames: int | None = None) -> Sample:
        """Return one video; extras hold what those of the source hold."""
        return self._read(index, start, frames, True)

    def batch(self, indices: Sequence[int], start: int = 0, frames: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return many videos of one length at once, without reading extras; see `Source.batch`."""
        return stacked([self._read(index, start, frames, False) for index in indices])

    def rows(self, number: int) -> ShardRows:
        """Return a shard, opened for reading.

        Raises:
            InputError: It is missing or damaged.
        """
        if number not in self._open:
            shard = self.manifest.shards[number]
            files = shard.paths(self.folder)
            with _reading(self.folder, shard.name):
                for file in files.values():
                    check_readable(file)
                self._open[number] = self._layout.read(files)
            while len(self._open) > _OPEN:
                self._open.popitem(last=False)
        self._open.move_to_end(number)
        return self._open[number]

    def _place(self, index: int) -> tuple[int, int]:
        return divmod(check_index(index, len(self), str(self.folder)), self.plan.shard)

    def _read(self, index: int, start: int, frames: int | None, extras: bool) -> Sample:
        number, row = self._place(index)
        span = self._span(index, start, frames, extras)
        with _reading(self.folder, self.manifest.shards[number].name):
            sample = self.rows(number).sample(row, span)
            time, height, width = (span.stop or 0) - span.first, *self.facts.size
            shape, ids = (time, self.facts.channels, height, width), sample.ids
            if sample.frames.dtype != np.uint8 or sample.frames.shape != shape:
                raise ValueError(f"frames of {sample.frames.dtype} {sample.frames.shape}")
            if ids is not None and (ids.dtype != np.int64 or ids.shape != (time, height, width)):
                raise ValueError(f"ids of {ids.dtype} {ids.shape}")
            return self.with_objects(sample)

    def _viewpoints(self, index: int, start: int, frames: int | None) -> Any:
        number, row = self._place(index)
        span = self._span(index, start, frames, True)
        with _reading(self.folder, self.manifest.shards[number].name):
            return self.rows(number).extra(row, "viewpoints", span)

    def _span(self, index: int, start: int, frames: int | None, extras: bool) -> Span:
        first, stop = check_span(start, frames, self.length(index), str(self.folder))
        return Span(first, stop, frozenset(self.plan.per_frame), extras)


def _reading(folder: Path, name: str) -> Any:
    """Turn what libraries raise over a damaged shard into a message for the user."""
    remedy = "See what is broken by `scenewise data check`; `scenewise data make` again repairs it."
    return reading(f"{folder}{os.sep}{name}", "a whole shard", remedy)


def _folder_of(path: Path, split: str) -> Path:
    """Return the folder of a split."""
    if made.is_made(path):
        return path
    splits = made.made_splits(path)
    if split in splits:
        return splits[split]
    if splits:
        raise InputError(path, f"has no split {split}; it has {', '.join(splits)}.", "Choose one of these, or make it.")
    raise InputError(path, "is not a folder of made data.", "Make one with `scenewise data make`.")


def made_split(path: Path) -> str | None:
    """Return which split a folder itself is, None where it is no split's folder that is whole."""
    return made.read_manifest(path).plan.split if (path / made.MANIFEST).is_file() else None
