"""HDF5 files of the grouping papers: Shapes of Binding and Tagger, textured MNIST of Tagger.

Shapes are unions of three black and white figures; where figures overlap no id is right, and ids are -1. The file of
Binding has groups `train_single`, `train_multi` and `test`; a tenth of the training group is for validation. The flat
files of Tagger hold all splits one after another, with a table of them in attribute `split`. Frames are rounded to 8
bits. Shapes in the layout of N-EM (`features`, `groups`, time first) are read by source rnem-h5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from scenewise.config import setting
from scenewise.data.containers.hdf5 import h5_array
from scenewise.data.containers.per_process import PerProcess
from scenewise.data.contract import Description, register_source
from scenewise.data.readers.base import FilesConfig, FilesSource, Record, check_array, split_records
from scenewise.errors import InputError
from scenewise.media.files import reading
from scenewise.media.hdf5 import open_h5
from scenewise.media.pixels import to_uint8

_BINDING = "Binding's layout: groups train_single, train_multi, test with default and groups, both (1, N, H, W, 1)"
_TAGGER = "Tagger's layout: features (N, 400) and mask (N, 3, 400), or (N, 1, H, W) and (N, K, 1, H, W)"
_VALIDATION = 0.1  # of Binding's training group
_FUEL_NAMES = {"train": "train", "validation": "valid", "test": "test"}
_TAGGER_ROWS = {"train": (0, 50_000), "validation": (50_000, 60_000), "test": (60_000, 70_000)}
_SINGLE_ROWS = (70_000, 80_000)
_TAGGER_TOTALS = (70_000, 80_000)
_LOOKED_AT = 64  # rows that tell which mask is the background
_REMEDY = "It may be incomplete; get or copy it again."


@dataclass(frozen=True)
class GroupingConfig(FilesConfig):
    """Settings of the readers of Shapes and textured MNIST."""

    single: bool = setting(False, "images of a single figure, where the file has them")


@register_source(
    "shapes-h5",
    Description(
        what="Shapes: three overlapping squares and triangles in black and white (Binding's file)",
        kind="files",
        paper="Binding via reconstruction clustering (Greff et al. 2015), after Reichert and Serre (2014)",
        size="1 frame, 28 x 28",
        licence="not stated",
        obtain="github.com/Qwlouse/Binding tells where its data lie, then path=shapes.h5",
    ),
)
class ShapesFileSource(FilesSource):
    """Shapes in Binding's file, each image a video of one frame.

    Args:
        config: File and settings.
        split: "train", "validation" or "test".

    Raises:
        InputError: The file is missing, damaged or of another layout.
    """

    config_class = GroupingConfig
    config: GroupingConfig

    def __init__(self, config: GroupingConfig, split: str = "train") -> None:
        super().__init__(config, split)
        self._group = "test" if split == "test" else "train_single" if config.single else "train_multi"
        self._opened = PerProcess(open_h5, config.path)
        images, groups = self._arrays()
        total = images.shape[1]
        train = total - max(1, round(total * _VALIDATION)) if total > 1 else total
        blocks = {"train": (0, train), "validation": (train, total), "test": (0, total)}
        span = split_records(config, self.split, total, blocks)
        self._settle(
            span,
            images.shape[2:],
            frames=1,
            max_objects=int(np.max(groups[0, span.start : span.start + _LOOKED_AT])),
            overlap="ignore",
            binary=config.size is None,
            origin=f"{self.path.name}, {self._group}, records {span.start} to {span.stop - 1}",
        )

    def _arrays(self) -> tuple[Any, Any]:
        file = self._opened.get()
        if self._group not in file:
            listing = ", ".join(file) or "nothing"
            remedy = "Use source rnem-h5." if "training" in file else f"Expected is {_BINDING}."
            raise InputError(self.path, f"expected group {self._group!r}, found {listing}.", remedy)
        group = file[self._group]
        images = h5_array(self.path, group, "default", _BINDING)
        groups = h5_array(self.path, group, "groups", _BINDING)
        check_array(self.path, f"{self._group}/default", images, (1, None, None, None, 1), "buif", _BINDING)
        check_array(self.path, f"{self._group}/groups", groups, images.shape, "buif", _BINDING)
        return images, groups

    def _read(self, record: int, first: int, stop: int) -> Record:
        images, groups = self._arrays()
        with reading(f"{self.path}, record {record}", "arrays that can be read", _REMEDY):
            on, ids = np.asarray(images[:, record]) > 0, np.asarray(groups[:, record, ..., 0]).astype(np.int64)
        ids[on[..., 0] & (ids == 0)] = -1
        return Record(on * np.uint8(255), ids, {"record": record})


@register_source(
    "tagger-h5",
    Description(
        what="Shapes and textured MNIST in Tagger's flat files",
        kind="files",
        paper="Tagger (Greff et al. 2016); IODINE uses the textured MNIST",
        size="1 frame; 20 x 20 (Shapes) or 28 x 28 (MNIST)",
        factors=("class", "texture"),
        licence="not stated",
        obtain="github.com/CuriousAI/tagger tells where its data lie: shapes50k_20x20_compressed.h5, "
        "freq20-2MNIST_compressed.h5; then path=FILE",
    ),
)
class TaggerSource(FilesSource):
    """Shapes or textured MNIST in Tagger's file, each image a video of one frame.

    Args:
        config: File and settings.
        split: "train", "validation" or "test".

    Raises:
        InputError: The file is missing, damaged or of another layout.
    """

    config_class = GroupingConfig
    config: GroupingConfig

    def __init__(self, config: GroupingConfig, split: str = "train") -> None:
        super().__init__(config, split)
        self._opened = PerProcess(open_h5, config.path)
        file = self._opened.get()
        features, mask = (h5_array(self.path, file, name, _TAGGER) for name in ("features", "mask"))
        self._flat = features.ndim == 2
        self._size = _size(self.path, features, mask)
        total, entities = mask.shape[:2]
        span = split_records(config, self.split, total, self._rows(file, total))
        self._background = None if self._flat else _background(mask, span)
        self._settle(
            span,
            (*self._size, 1),
            frames=1,
            max_objects=entities if self._flat else entities - 1,
            overlap="ignore" if self._flat else "top",
            binary=self._flat and config.size is None,
            origin=f"{self.path.name}, {self.split}, rows {span.start} to {span.stop - 1}",
        )

    def _rows(self, file: Any, total: int) -> dict[str, tuple[int, int]] | None:
        """Return the rows of every split: from the table in the file, or else as published."""
        table = file.attrs.get("split")
        if table is not None and table.dtype.names and {"split", "source", "start", "stop"} <= set(table.dtype.names):
            rows = {_text(row["split"]): row for row in table if _text(row["source"]) == "features"}
            name = "single" if self.config.single else _FUEL_NAMES[self.split]
            if name not in rows:
                raise InputError(self.path, f"expected split {name}, found {', '.join(rows)}.", "Choose one of these.")
            return {self.split: (int(rows[name]["start"]), int(rows[name]["stop"]))}
        if self.config.single:
            return {self.split: _SINGLE_ROWS}
        return _TAGGER_ROWS if total in _TAGGER_TOTALS else None

    def _read(self, record: int, first: int, stop: int) -> Record:
        file, where = self._opened.get(), f"{self.path}, row {record}"
        with reading(where, "arrays that can be read", _REMEDY):
            image = to_uint8(np.asarray(file["features"][record]).reshape(self._size), where)
            mask = np.asarray(file["mask"][record]).reshape(-1, *self._size)
            others = ("targets", "codes")
            extras = {name: np.asarray(file[name][record]) for name in others if name in file}
        if self._background is None:  # one mask per figure; where none is sure, -1 on what is drawn and else 0
            ids = np.where(image == 0, 0, np.where(mask.max(0) > 0.5, mask.argmax(0) + 1, -1))
        else:  # one of the masks is the background; the others are numbered in their order
            numbers = np.arange(len(mask)) + 1
            numbers[self._background], numbers[self._background + 1 :] = 0, numbers[self._background + 1 :] - 1
            ids = numbers[mask.argmax(0)]
        return Record(image[None, ..., None], ids[None].astype(np.int64), {**extras, "record": record})


def _size(path: object, features: Any, mask: Any) -> tuple[int, int]:
    """Check both arrays and return (H, W)."""
    if features.ndim == 2:
        check_array(path, "features", features, (None, None), "f", _TAGGER)
        pixels = features.shape[1]
        check_array(path, "mask", mask, (len(features), None, pixels), "f", _TAGGER)
        side = math.isqrt(pixels)
        if side * side != pixels:
            raise InputError(
                path, f"features: expected square images, found {pixels} pixels.", f"Expected is {_TAGGER}."
            )
        return side, side
    check_array(path, "features", features, (None, 1, None, None), "f", _TAGGER)
    height, width = features.shape[2:]
    check_array(path, "mask", mask, (len(features), None, 1, height, width), "f", _TAGGER)
    return height, width


def _background(mask: Any, span: range) -> int:
    """Return which of the masks covers most, on the first rows of a split."""
    return int(np.asarray(mask[span.start : min(span.stop, span.start + _LOOKED_AT)]).sum((0, 2, 3, 4)).argmax())


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
