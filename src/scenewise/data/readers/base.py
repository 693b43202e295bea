"""What readers of files share: their settings, the records of a split, crop and scale."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from scenewise.config import plain, setting
from scenewise.data import fingerprints
from scenewise.data.contract import Facts, Sample, Source
from scenewise.data.splits import SPLITS, check_index, check_span, check_split, time_block
from scenewise.errors import InputError
from scenewise.media.files import reading
from scenewise.media.reader import Selection, fit_ids, fit_images

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

SHARES = (0.8, 0.1, 0.1)
"""Part of the records for train, validation, test, in this order, where a set has no split of its own."""

_PLACES = ("path", "cache", "truth", "masks", "proposals", "annotations")  # settings that say where, not what
_BRIGHT = 127  # a stored mask is 0 or 255; rewritten ones may have been through a lossy step


@dataclass(frozen=True)
class FilesConfig:
    """Settings of every reader of files; crop and size apply to frames and ids, never to what extras hold."""

    path: str = setting("", "the file, or the folder of files")
    crop: tuple[int, int, int, int] | None = setting(None, "top, left, height, width in stored pixels", minimum=0)
    size: tuple[int, int] | None = setting(None, "height and width to scale to (ids by nearest pixel)", minimum=1)
    scaling: Literal["bilinear", "area", "bicubic"] = setting("bilinear", "how frames are scaled; all are antialiased")
    channels: Literal[1, 3] | None = setting(None, "3 repeats a single stored channel; none keeps it")
    train: tuple[int, int] | None = setting(
        None, "first training record and the one after the last; none: as the source says", minimum=0
    )
    validation: tuple[int, int] | None = setting(None, "the same for validation", minimum=0)
    test: tuple[int, int] | None = setting(None, "the same for testing", minimum=0)


@dataclass(frozen=True)
class Record:
    """One record as it is in the file.

    Attributes:
        images: uint8, shape (T, H, W, C).
        ids: Integers, shape (T, H, W), or None.
        extras: Other ground truth by name.
    """

    images: np.ndarray
    ids: np.ndarray | None = None
    extras: dict[str, Any] = field(default_factory=dict)


class FilesSource(Source):
    """A source whose records lie in files; a subclass says how one is read.

    Class attributes:
        fitted: Whether `_read` crops and scales image by image, as these may be stored in several sizes.

    Args:
        config: Where the files are, and what is done to frames.
        split: "train", "validation" or "test".
    """

    config: FilesConfig
    fitted: ClassVar[bool] = False

    def __init__(self, config: FilesConfig, split: str) -> None:
        if not config.path:
            raise InputError("path", "is not given.", "Name the file or folder, as in path=/data/set.")
        self.config = config
        self.split = check_split(split)
        self.path = Path(config.path)
        self.records: Sequence[int] | np.ndarray = range(0)
        self._selection = Selection(config.size, config.crop)

    def _settle(self, records: Sequence[int] | np.ndarray, stored_size: Sequence[int], **facts: Any) -> None:
        """Note which records are this split's and what is true of them; `stored` is (H, W, C) of an image."""
        height, width, channels = (int(side) for side in stored_size)
        self.records = records
        self.facts = Facts(
            channels=self.config.channels if self.config.channels and channels == 1 else channels,
            size=self._selection.within((height, width), self.path),
            **facts,
        )

    def __len__(self) -> int:
        """Return the number of records of the split."""
        return len(self.records)

    def fingerprint(self) -> str:
        """Return a hash of the files' contents, the records and the settings that are not paths."""
        settings = {key: value for key, value in plain(self.config).items() if key not in _PLACES}
        few = self._files()[:: max(1, len(self._files()) // 16)][:16]
        span = [len(self), *(int(self.records[place]) for place in (0, -1))]
        return fingerprints.of_values(
            type(self).__name__, settings, self.split, span, [fingerprints.of_file(file) for file in few]
        )

    def sample(self, index: int, start: int = 0, frames: int | None = None) -> Sample:
        """Return one record; what extras hold depends on the set and is as stored, whatever crop and size are."""
        span = self._place(index, start, frames)
        with reading(self.path, f"record {index} as the layout has it", "It may be damaged; get the set again."):
            record = self._read(*span)
            images, ids = record.images, record.ids
            if not self.fitted:
                images = fit_images(images, self._selection, self.config.scaling)
                ids = None if ids is None else fit_ids(ids, self._selection)
            channels_first = np.ascontiguousarray(np.moveaxis(images, -1, 1))  # (T, H, W, C) -> (T, C, H, W)
            frames_first = np.repeat(channels_first, self.facts.channels // channels_first.shape[1], axis=1)
            return self.with_objects(Sample(frames_first, ids, record.extras))

    def length(self, index: int) -> int:
        """Return the number of frames of a record; the same for all unless a subclass knows better."""
        return int(self.facts.frames or 0)

    def _place(self, index: int, start: int, frames: int | None) -> tuple[int, int, int]:
        """Return the record of a sample, its first frame and the one after its last."""
        record = int(self.records[check_index(index, len(self), self.facts.origin)])
        return record, *check_span(start, frames, self.length(index), self.facts.origin)

    @abstractmethod
    def _read(self, record: int, first: int, stop: int) -> Record:
        """Return frames `first` to `stop` of a record, reading no more than needed."""

    def _files(self) -> list[Path]:
        """Return the files that the fingerprint looks at."""
        return [self.path]


def grown_settings(config: FilesConfig, older: Collection[str]) -> dict[str, Any]:
    """Return the plain settings for the fingerprint of a reader that had fewer before.

    Args:
        config: The settings.
        older: Names that have always counted; any other counts only where it is not as usual, so that data that were
            known before have the same fingerprint still. Paths never count.
    """
    usual = plain(type(config)())
    settings = {key: value for key, value in plain(config).items() if key not in _PLACES}
    return {key: value for key, value in settings.items() if key in older or value != usual[key]}


def split_records(
    config: FilesConfig, split: str, total: int, published: Mapping[str, tuple[int, int]] | None = None
) -> range:
    """Return which records of a file are a split's.

    Args:
        config: Its `train`, `validation` and `test` come first where they are given.
        split: One of `SPLITS`.
        total: Number of records of the file.
        published: First record and the one after the last by split, as papers have it; None: by `SHARES`.

    Raises:
        InputError: The records are not in the file, are none, or are another split's as well.
    """
    setting_of_split: tuple[int, int] | None = getattr(config, split)
    first, stop = setting_of_split or (published or {}).get(split) or time_block(split, total, SHARES)
    if not 0 <= first < stop <= total:
        span_text = f"records {first} to {stop - 1}" if stop > first else "no record"
        problem = f"split {split} has {span_text}; the file has {total} records."
        raise InputError(config.path, problem, f"Give {split}=[first, stop] inside, or choose another split.")
    for other in SPLITS:
        span = getattr(config, other)
        if other != split and span is not None and max(first, span[0]) < min(stop, span[1]):
            problem = f"splits {split} ({first} to {stop - 1}) and {other} ({span[0]} to {span[1] - 1}) share records."
            raise InputError(config.path, problem, f"Give both {split} and {other} as [first, stop].")
    return range(first, stop)


def whole_file_is(config: FilesConfig, split: str, total: int, name: str) -> range:
    """Return all records of a file whose name says which split it is.

    Raises:
        InputError: Another split is asked for, and the settings do not say which records it is to have.
    """
    if split != name and getattr(config, split) is None:
        remedy = f"Choose split {name}, or give {split}=[first, stop] if you mean these records."
        raise InputError(config.path, f"is a file of the {name} split by its name; {split} was asked for.", remedy)
    return split_records(config, split, total, {name: (0, total)})


def ids_from_masks(masks: np.ndarray) -> np.ndarray:
    """Turn one mask per entity into ids: the number of the brightest entity, -1 where none is bright.

    Args:
        masks: uint8 of 0 and 255 (or 0 and 1), shape (T, E, H, W), background first.

    Returns:
        int64, shape (T, H, W).
    """
    ids, highest = masks.argmax(1), masks.max(1)
    ids[highest <= (_BRIGHT if highest.max(initial=0) > 1 else 0)] = -1
    return ids


def mapped_npy(path: str, layout: str, remedy: str) -> np.ndarray:
    """Return the array of an npy file, mapped into memory instead of read.

    Args:
        path: The file.
        layout: What it should hold, in words for the error.
        remedy: What to do where it cannot be read.

    Raises:
        InputError: It is missing, damaged or no npy file.
    """
    with reading(path, layout, remedy):
        return np.lib.format.open_memmap(path, mode="r")


def check_array(path: object, name: str, array: Any, shape: Sequence[int | None], kinds: str, layout: str) -> None:
    """Check shape and element type of an array before it is read.

    Args:
        path: The file.
        name: Name of the array in the file.
        array: Whatever has `shape` and `dtype`.
        shape: Expected extents; None where any will do.
        kinds: Admitted kinds of elements: b truth values, i and u whole numbers, f floats.
        layout: What is expected in words, for the message.

    Raises:
        InputError: The array differs, or has no element.
    """
    actual = tuple(array.shape)
    fits = len(actual) == len(shape) and all(want in (None, have) for want, have in zip(shape, actual, strict=True))
    if not fits or 0 in actual:
        kinds_text = "(" + ", ".join("any" if want is None else str(want) for want in shape) + ")"
        raise InputError(path, f"{name}: expected shape {kinds_text}, found {actual}.", f"Expected is {layout}.")
    if array.dtype.kind not in kinds:
        words = {"b": "truth values", "i": "whole numbers", "u": "whole numbers", "f": "floats"}
        kinds_text = " or ".join(dict.fromkeys(words[kind] for kind in kinds))
        raise InputError(path, f"{name}: expected {kinds_text}, found type {array.dtype}.", f"Expected is {layout}.")
