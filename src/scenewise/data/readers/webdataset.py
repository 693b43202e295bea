"""Tar shards of WebDataset, as OCLF and VideoSAUR write them, read at random without unpacking (datasets.md 10).

`path` is a folder with train, val and test of shards, a folder of shards with the split in their names
(`movi_c-train-000000.tar`), or a shard. Frames are the field `video` or `image` (npy, npy.gz, png, jpg, mp4). Ids are
`segmentations`, (T, H, W, 1) of ids or (T, H, W, instances) of category numbers, or `mask`, one-hot with the
background first: (E, H, W, 1) or (H, W, E, 1), with a leading T for video. Extras hold key and shard, and all other
fields that are small; pickled members are never read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from scenewise.config import setting
from scenewise.data import fingerprints
from scenewise.data.containers.tar_index import Member, index_shards
from scenewise.data.containers.tar_members import ENCODINGS, array_head, decode, film_length, named
from scenewise.data.contract import Description, ObjectKeys, register_source
from scenewise.data.readers.base import FilesConfig, FilesSource, Record, ids_from_masks, split_records, whole_file_is
from scenewise.data.readers.video import OVERLAPS, own_records, paint_masks
from scenewise.data.splits import check_index, check_split
from scenewise.errors import InputError
from scenewise.media.frames import natural_order

_NAME = "webdataset"
_FOLDERS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
_IN_NAME = re.compile(r"(?:^|[-_.])(training|train|validation|valid|val|testing|test)(?=[-_.])")
_FRAMES = ("video", "image", "images", "jpg", "jpeg", "png", "mp4")
_IDS = ("segmentations", "segmentation", "mask", "masks")
_PER_FRAME = ("depth", "forward_flow", "backward_flow", "normal", "object_coordinates")
_SMALL = 1 << 16  # bytes of a member that goes into extras unasked
_REMEDY = "Name the field by the setting, or give shards of OCLF or VideoSAUR."


@dataclass(frozen=True)
class WebdatasetConfig(FilesConfig):
    """Settings of the reader of shards; `train`, `validation` and `test` are places among the samples."""

    images: str | None = setting(None, "field of the frames; none: video or image")
    ids: str | None = setting(None, "field of the ids; none: segmentations or mask, where there is one; off: no ids")
    ids_are: Literal["found", "ids", "one-hot", "instances"] = setting(
        "found",
        "ids: one per pixel; one-hot: a mask per entity, background first; instances: a mask per object on the last "
        "axis; found: by name and shape",
    )
    overlap: str = setting(
        "ignore", "pixels of several instances: -1, the later one's, or the smaller one's", choices=OVERLAPS
    )
    void: int | None = setting(None, "stored id that becomes -1, such as 255", minimum=0)
    extras: tuple[str, ...] | None = setting(None, "fields for extras; none: all of at most 64 KiB")
    frames: int | None = setting(
        None, "frames of a video, where they are mp4 files; none: as each file says", minimum=1
    )
    cache: str | None = setting(None, "folder for the index; none: next to the shards")


@register_source(
    _NAME,
    Description(
        what="tar shards of WebDataset with video or image and segmentations or mask, read at random",
        kind="files",
        paper="OCLF (object-centric learning framework), VideoSAUR (Zadaianchuk et al. 2023)",
        size="as stored",
        factors=("as stored",),
        licence="that of the set",
        obtain="make them by the scripts of amazon-science/object-centric-learning-framework or martius-lab/videosaur; "
        "then path=FOLDER",
    ),
)
class WebdatasetSource(FilesSource):
    """Samples of one split.

    Args:
        config: Shards and settings.
        split: "train", "validation" or "test".

    Raises:
        InputError: Shards are missing or damaged, or fields are absent or of another layout.
    """

    config_class = WebdatasetConfig
    config: WebdatasetConfig
    object_keys = ObjectKeys(
        shape="shape",
        colour="color|colour",
        material="material",
        size="size",
        position="pixel_coords|image_positions",
        place="positions|3d_coords|x+y",
        visibility="visibility",
    )

    def __init__(self, config: WebdatasetConfig, split: str = "train") -> None:
        super().__init__(config, split)
        shards, of_split = _shards(self.path, split)
        self._index = index_shards(shards, config.cache)
        total = len(self._index)
        if of_split == split:
            records = own_records(config, split, total)
        elif of_split is None:
            records = split_records(config, split, total)
        else:
            records = whole_file_is(config, split, total, of_split)
        first = records.start
        self._stored_size = self._shape(first)[1:]
        has_ids = self._ids_field(first, config.ids is not None) is not None
        self._settle(
            records,
            self._stored_size,
            frames=self._frames(records),
            max_objects=None,
            has_ids=has_ids,
            overlap="ignore" if config.overlap == "ignore" else "top",
            origin=f"shards {self.path.name}, {split}, {len(records)} samples",
        )

    def fingerprint(self) -> str:
        """Return a hash that also changes with keys and sizes of members."""
        few = np.asarray(self.records)
        keys = [str(key) for key in self._index.keys[few]]
        return fingerprints.of_values(super().fingerprint(), keys, self._index.places[few, :, 1].tolist())

    def length(self, index: int) -> int:
        """Return the number of frames of a sample."""
        record = int(self.records[check_index(index, len(self), self.facts.origin)])
        return self.facts.frames or self._shape(record)[0]

    def _files(self) -> list[Path]:
        return [self._index.paths[number] for number in np.unique(self._index.shards[np.asarray(self.records)])]

    def _field(self, record: int, names: tuple[str, ...]) -> str | None:
        """Return the field of a sample that has the first of some names."""
        fields = {named(field)[0]: field for field in self._index.has(record) if named(field)[1] in ENCODINGS}
        return next((fields[name] for name in names if name in fields), None)

    def _frames_field(self, record: int) -> str:
        names = _FRAMES if self.config.images is None else (named(self.config.images)[0],)
        field = self._field(record, names)
        if field is None:
            listing = ", ".join(self._index.has(record)[:8]) or "none"
            problem = f"expected field {' or '.join(names[:2])}, found {listing}."
            remedy = "What `scenewise data make` wrote is read by source made."
            raise InputError(self._where(record), problem, f"{_REMEDY} {remedy}")
        return field

    def _ids_field(self, record: int, required: bool) -> str | None:
        if self.config.ids == "off":
            return None
        names = _IDS if self.config.ids is None else (named(self.config.ids)[0],)
        field = self._field(record, names)
        if field is None and required:
            listing = ", ".join(self._index.has(record)[:8]) or "none"
            problem = f"expected field {' or '.join(names[:3])}, found {listing}."
            raise InputError(self._where(record), problem, "Set ids to one of these, or ids=off.")
        return field

    def _where(self, record: int) -> str:
        return f"{self._index.paths[int(self._index.shards[record])]}, sample {self._index.keys[record]}"

    def _member(self, record: int, field: str) -> Member:
        return self._index.member(record, field)

    def _shape(self, record: int) -> tuple[int, int, int, int]:
        """Return (T, H, W, C) of the frames of a sample, reading as little as is possible."""
        field = self._frames_field(record)
        member, encoding = self._member(record, field), named(field)[1]
        if encoding == "mp4":
            height, width, channels = decode(member, range(1)).shape[1:]
            return self.config.frames or film_length(member), height, width, channels
        if encoding not in ("npy", "npy.gz"):
            return 1, *decode(member).shape  # type: ignore[return-value]
        shape, dtype = array_head(member)
        if len(shape) not in (3, 4) or shape[-1] not in (1, 3) or dtype != np.uint8 or 0 in shape:
            problem = f"expected uint8 (T, H, W, 1 or 3) or (H, W, 1 or 3), found {dtype} {shape}."
            raise InputError(member.where, problem, _REMEDY)
        return (1, *shape) if len(shape) == 3 else shape  # type: ignore[return-value]

    def _frames(self, records: range) -> int | None:
        """Return the number of frames of all samples, None where they differ: arrays of one size have one shape."""
        field = self._frames_field(records.start)
        if named(field)[1] == "mp4":
            return self.config.frames
        sizes = self._index.places[np.asarray(records), self._index.fields.index(field), 2]
        image = not self._is_video(records.start, field)
        return self._shape(records.start)[0] if image or (sizes == sizes[0]).all() else None

    def _read(self, record: int, first: int, stop: int) -> Record:
        self._check_size(record)
        field = self._frames_field(record)
        span = range(first, stop) if self._is_video(record, field) else None
        images = decode(self._member(record, field), span)
        images = images if span is not None else images[None]
        shard = self._index.paths[int(self._index.shards[record])].name
        extras: dict[str, Any] = {"key": str(self._index.keys[record]), "shard": shard}
        ids, ids_field = None, None
        if self.facts.has_ids:
            ids_field = str(self._ids_field(record, True))
            ids, more = self._ids(self._member(record, ids_field), images, span)
            extras.update(more)
        return Record(images, ids, {**extras, **self._more(record, (field, ids_field), span)})

    def _is_video(self, record: int, field: str) -> bool:
        """Return whether a field has an axis of time."""
        if named(field)[1] in ("npy", "npy.gz"):
            return len(array_head(self._member(record, field))[0]) == 4
        return named(field)[1] == "mp4"

    def _check_size(self, record: int) -> None:
        shape = self._shape(record)
        if self.config.size is None and self.config.crop is None and shape[1:3] != self._stored_size[:2]:
            problem = f"expected height and width {self._stored_size[:2]} as in the first sample, found {shape[1:3]}."
            raise InputError(self._where(record), problem, "Set size to scale all to one size.")
        if shape[3] != self._stored_size[2]:
            problem = f"expected {self._stored_size[2]} channels as in the first sample, found {shape[3]}."
            raise InputError(self._where(record), problem, _REMEDY)
        self._selection.within(shape[1:3], self._where(record))

    def _ids(self, member: Member, images: np.ndarray, span: range | None) -> tuple[np.ndarray, dict[str, Any]]:
        """Return ids (T, H, W) and what is known of instances."""
        array = decode(member, span)
        array = array if span is not None else array[None]
        kind = _kind(member, array, images) if self.config.ids_are == "found" else self.config.ids_are
        size = images.shape[:3]
        if array.dtype.kind not in "bui":
            raise InputError(member.where, f"expected whole numbers, found type {array.dtype}.", _REMEDY)
        if kind == "ids" and array.shape in (size, (*size, 1)):
            ids = array.reshape(size).astype(np.int64)
            return np.where(ids == self.config.void, -1, ids) if self.config.void is not None else ids, {}
        if kind == "instances" and array.ndim == 4 and array.shape[:3] == size:
            # Numbered by their place; the value of a mask is its category (0 where it is in no frame read).
            instances = [[(n + 1, frame[..., n] > 0) for n in range(array.shape[3])] for frame in array]
            ids = np.stack([paint_masks(frame, size[1:], self.config.overlap) for frame in instances])
            return ids, {"categories": array.max((0, 1, 2)).astype(np.int64)}
        if kind == "one-hot" and (masks := _entities_first(array, size)) is not None:
            return ids_from_masks(masks), {"entities": masks.shape[1]}
        problem = f"expected {kind} of frames {size}, found shape {array.shape}."
        raise InputError(member.where, problem, "Set ids_are, or ids to another field.")

    def _more(self, record: int, fields: tuple[str | None, ...], span: range | None) -> dict[str, Any]:
        """Decode other fields than the taken ones: those that are asked for, or all that are small."""
        names, extras = self.config.extras, {}
        for field in self._index.has(record):
            name, encoding = named(field)
            explicit = names is not None and (name in names or field in names)
            small = names is None and encoding in ENCODINGS and self._member(record, field).size <= _SMALL
            if field not in fields and (explicit or small):
                part = span if name in _PER_FRAME and encoding in ("npy", "npy.gz") else None
                extras[name] = decode(self._member(record, field), part)
        missing = [name for name in names or () if named(name)[0] not in extras]
        if missing:
            listing = ", ".join(self._index.has(record))
            raise InputError(self._where(record), f"expected field {missing[0]}, found {listing}.", "Correct extras.")
        return extras


def _kind(member: Member, array: np.ndarray, images: np.ndarray) -> str:
    """Return what a field of ids is, by its name and number of axes."""
    if array.ndim == 5:
        return "one-hot"
    name = named(member.name.rpartition("/")[2].partition(".")[2])[0]
    many = array.ndim == images.ndim and array.shape[-1] > 1
    return "instances" if many and not name.startswith("mask") else "ids"


def _entities_first(masks: np.ndarray, size: tuple[int, ...]) -> np.ndarray | None:
    """Return one mask per entity, (T, E, H, W), from (T, E, H, W, 1) or (T, H, W, E, 1)."""
    if masks.ndim != 5 or masks.shape[4] != 1 or masks.shape[0] != size[0]:
        return None
    if masks.shape[2:4] == size[1:]:
        return masks[..., 0]
    return np.moveaxis(masks[..., 0], 3, 1) if masks.shape[1:3] == size[1:] else None


def _shards(root: Path, split: str) -> tuple[list[Path], str | None]:
    """Return the shards to read, and which split they are by folder or name (None: any)."""
    check_split(split)
    if root.is_file():
        return [root], _split_in(root.name)
    inside = next((root / name for name in _FOLDERS[split] if (root / name).is_dir()), None)
    if inside is not None:
        return _tars(inside), split
    shards = _tars(root)
    by_name = {path: _split_in(path.name) for path in shards}
    if any(by_name.values()):
        of_split = [path for path, name in by_name.items() if name == split]
        if not of_split:
            listing = ", ".join(sorted({str(name) for name in by_name.values()}))
            raise InputError(root, f"expected shards of split {split}, found {listing}.", "Choose one of these.")
        return of_split, split
    return shards, next((split_name for split_name, names in _FOLDERS.items() if root.name in names), None)


def _split_in(name: str) -> str | None:
    match = _IN_NAME.search(name)
    return next((split for split, names in _FOLDERS.items() if match and match[1] in names), None)


def _tars(folder: Path) -> list[Path]:
    shards = natural_order(list(folder.glob("*.tar"))) if folder.is_dir() else []
    if not shards:
        listing = ", ".join(sorted(p.name for p in folder.iterdir())[:5]) if folder.is_dir() else "no folder"
        raise InputError(folder, f"expected shards *.tar, found {listing or 'nothing'}.", "Unpack or get them.")
    return shards
