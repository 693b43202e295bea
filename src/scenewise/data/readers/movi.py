"""MOVi-A to E as TensorFlow Datasets stores them, without TensorFlow.

A folder holds `movi_a-train.tfrecord-00000-of-00xxx` and so on; a split is made of the files whose names say so.
Segmentation id i + 1 is instance i. What is known of instances and of the camera is in `extras`: per frame with T
first, e.g. `positions` (T, k, 3), else one row per instance. `boxes` (T, k, 4) are top, left, bottom, right as parts
of the whole image, NaN where an instance is not seen; `collisions` are those of the whole video. Optional layers are in
`extras` in their stored size.
"""

from __future__ import annotations

import io
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.config import setting
from scenewise.data.containers.tfrecord import RecordFile
from scenewise.data.contract import Description, ObjectKeys, register_source
from scenewise.data.readers.base import FilesConfig, FilesSource, Record, split_records
from scenewise.errors import InputError
from scenewise.media.files import reading

if TYPE_CHECKING:
    from scenewise.data.containers.tf_example import Example

_NAME = "movi"
_SHARD = re.compile(r"(.+)-(train|validation|test)\.tfrecord-(\d+)-of-(\d+)$")
_LAYERS = ("depth", "forward_flow", "backward_flow")
_PER_FRAME = {"positions": 3, "velocities": 3, "angular_velocities": 3, "quaternions": 4, "image_positions": 2}
_CORNERS = (8, 3)  # of bboxes_3d
_PER_FRAME_FLAT = ("visibility",)
_CAMERA = {"positions": 3, "quaternions": 4}
_MOST = {"movi_a": 10, "movi_b": 10, "movi_c": 10, "movi_d": 23, "movi_e": 23}  # instances, as published
_REMEDY = "Get or copy the file again."


@dataclass(frozen=True)
class MoviConfig(FilesConfig):
    """Settings of the reader of MOVi; `path` is the folder of the files, or one of them."""

    most_ids: int | None = setting(
        None,
        "instances above this become background, as in SAVi (10 for A to C, 23 for D, E); changes scores",
        minimum=1,
    )
    layers: tuple[str, ...] = setting((), "further layers to put into extras, in their units", choices=_LAYERS)
    partial: bool = setting(False, "use the files there are where some of a split are missing")
    check_crc: bool = setting(False, "compare checksums while reading")
    cache: str | None = setting(None, "folder for indices; none: next to the files")


@register_source(
    _NAME,
    Description(
        what="MOVi-A to E: rendered falling and thrown objects, with cameras and instances (TFRecord)",
        kind="files",
        paper="Kubric (Greff et al. 2022); SAVi, STEVE, SlotFormer",
        size="24 frames; 128 x 128 or 256 x 256",
        factors=(
            "positions",
            "velocities",
            "quaternions",
            "visibility",
            "boxes",
            "colour",
            "shape",
            "size",
            "material",
        ),
        licence="repository Apache-2.0",
        obtain="gsutil -m cp -r gs://kubric-public/tfds/movi_a/128x128/1.0.0 . (also movi_b to movi_e, 256x256), "
        "then path=1.0.0",
    ),
)
class MoviSource(FilesSource):
    """Videos of one split.

    Args:
        config: Folder and settings.
        split: "train", "validation" or "test" (MOVi-C, D and E: held-out objects and backgrounds).

    Raises:
        InputError: There is no file of the split, files are missing, damaged or of another layout.
    """

    config_class = MoviConfig
    config: MoviConfig
    object_keys = ObjectKeys(
        shape="shape|shape_label",
        colour="color|color_label",
        material="material|material_label",
        size="size|size_label",
        position="image_positions",
        place="positions",
        velocity="velocities",
        orientation="quaternions",
        visibility="visibility",
    )

    def __init__(self, config: MoviConfig, split: str = "train") -> None:
        super().__init__(config, split)
        self._shards = [
            RecordFile(file, config.cache, config.check_crc) for file in _shard_files(self.path, split, config.partial)
        ]
        self._ends = np.cumsum([len(shard) for shard in self._shards])
        total = int(self._ends[-1])
        first = self._example(0)
        time, size = _shape(first)
        span = split_records(config, split, total, {split: (0, total)})
        name = self._shards[0].path.name.partition("-")[0]
        self._settle(
            span,
            size,
            frames=time,
            max_objects=config.most_ids or _MOST.get(name),
            has_ids="segmentations" in first,
            origin=f"{name}, {split}",
        )

    def _files(self) -> list[Path]:
        return [shard.path for shard in self._shards]

    def _example(self, record: int) -> Example:
        shard = int(np.searchsorted(self._ends, record, "right"))
        return self._shards[shard].example(record - int(self._ends[shard]) + len(self._shards[shard]))

    def _read(self, record: int, first: int, stop: int) -> Record:
        example = self._example(record)
        _, size = _shape(example, self.facts.frames)
        images = _pictures(example, "video", first, stop, size)
        ids = None
        if self.facts.has_ids:
            ids = _pictures(example, "segmentations", first, stop, (*size[:2], 1))[..., 0].astype(np.int64)
            if self.config.most_ids is not None:
                ids[ids > self.config.most_ids] = 0
        extras = _known(example, int(self.facts.frames or 0), first, stop)
        for layer in self.config.layers:
            extras[layer] = _layer(example, layer, first, stop, int(self.facts.frames or 0), size[:2])
        if "metadata/video_name" in example:
            extras["video"] = bytes(example.strings("metadata/video_name")[0]).decode("utf-8", "replace")
        return Record(images, ids, {**extras, "record": record})


def _shard_files(path: Path, split: str, partial: bool) -> list[Path]:
    """Return the files of a split in order; all of them, unless a part will do."""
    if path.is_file():
        match = _SHARD.search(path.name)
        if match and match[2] != split:
            raise InputError(path, f"is a file of split {match[2]}, {split} was asked for.", "Choose that split.")
        return [path]
    if not path.is_dir():
        raise InputError(
            path, "no such file or folder.", "Give the folder of movi_a-train.tfrecord-00000-of-... files."
        )
    shards: dict[tuple[str, str, int], list[Path]] = defaultdict(list)
    for file in sorted(path.iterdir()):
        if match := _SHARD.match(file.name):
            shards[match[1], match[2], int(match[4])].append(file)
    sets = {key: files for key, files in shards.items() if key[1] == split}
    if len(sets) != 1:
        kinds = (
            ", ".join(f"{name}-{which} ({len(files)} files)" for (name, which, _), files in shards.items()) or "none"
        )
        problem = f"expected files of one set like movi_a-{split}.tfrecord-00000-of-00xxx; found {kinds}."
        raise InputError(path, problem, "Choose a split that is there, one set per folder.")
    (_, _, count), files = next(iter(sets.items()))
    if len(files) != count and not partial:
        remedy = "Get the missing ones, or set partial=true."
        raise InputError(path, f"expected {count} files of split {split}, found {len(files)}.", remedy)
    return files


def _shape(example: Example, frames: int | None = None) -> tuple[int, tuple[int, int, int]]:
    """Return the number of frames and (H, W, 3), as its first picture tells."""
    videos = example.strings("video")
    if not videos or frames not in (None, len(videos)):
        problem = f"video: expected {frames or 'some'} pictures, found {len(videos)}."
        raise InputError(example.where, problem, "Is it a file of another set?")
    height, width, _ = _picture(example, "video", videos[0]).shape
    return len(videos), (height, width, 3)


def _pictures(example: Example, name: str, first: int, stop: int, shape: tuple[int, int, int]) -> np.ndarray:
    """Decode some frames of a list of PNG pictures, shape (T, H, W, C)."""
    encoded = example.strings(name)
    if len(encoded) < stop:
        problem = f"{name}: expected at least {stop} pictures, found {len(encoded)}."
        raise InputError(example.where, problem, _REMEDY)
    pictures = [_picture(example, name, content) for content in encoded[first:stop]]
    for picture in pictures:
        if picture.shape != shape:
            problem = f"{name}: expected pictures of shape {shape}, found {picture.shape}."
            raise InputError(example.where, problem, "Is it a file of another set?")
    return np.stack(pictures)


def _picture(example: Example, name: str, content: memoryview) -> np.ndarray:
    """Decode a picture, shape (H, W, C); 16 bits stay as they are."""
    from PIL import Image

    with reading(f"{example.where}, {name}", "a PNG picture", _REMEDY), Image.open(io.BytesIO(content)) as image:
        values = np.asarray(image)
    return values[..., None] if values.ndim == 2 else values


def _known(example: Example, time: int, first: int, stop: int) -> dict[str, Any]:
    """Return what is known of instances and of the camera."""
    count = int(example.ints("metadata/num_instances")[0]) if "metadata/num_instances" in example else None
    facts: dict[str, Any] = {}
    for key in example.names():
        group, _, name = key.partition("/")
        if group == "instances" and "/" not in name and count:
            facts[name] = _of_instances(example, key, name, count, time, first, stop)
        elif group == "camera":
            values, width = example.array(key), _CAMERA.get(name)
            moving = width is not None and len(values) == time * width
            facts[f"camera_{name}"] = values.reshape(time, -1)[first:stop] if moving else values
        elif key.startswith("events/collisions/"):
            values, events = example.array(key), len(example.array("events/collisions/frame"))
            many = events and len(values) > events and len(values) % events == 0
            row_each = values.reshape(events, -1) if many else values  # instance 65535 is the floor
            facts.setdefault("collisions", {})[key.rpartition("/")[2]] = row_each
    if count and "instances/bboxes/ragged_flat_values" in example:
        facts["boxes"] = _boxes(example, count, time)[first:stop]
    if count is not None:
        facts["instances"] = count
    return facts


def _of_instances(example: Example, key: str, name: str, count: int, time: int, first: int, stop: int) -> Any:
    """Return (T, k, n) of what changes, else one row per instance; texts as a list."""
    try:
        return [bytes(text).decode("utf-8", "replace") for text in example.strings(key)]
    except InputError:  # numbers
        values = example.array(key)
    width = _PER_FRAME.get(name, 1 if name in _PER_FRAME_FLAT else 0)
    if name == "bboxes_3d" and len(values) == count * time * _CORNERS[0] * _CORNERS[1]:
        return np.moveaxis(values.reshape(count, time, *_CORNERS), 1, 0)[first:stop]
    if width and len(values) == count * time * width:
        moving = np.moveaxis(values.reshape(count, time, width), 1, 0)[first:stop]
        return moving if name in _PER_FRAME else moving[..., 0]
    return values.reshape(count, -1) if len(values) > count and len(values) % count == 0 else values


def _boxes(example: Example, count: int, time: int) -> np.ndarray:
    """Lay the boxes of every instance into the frames in which it is seen, (T, k, 4)."""
    flat = example.floats("instances/bboxes/ragged_flat_values").reshape(-1, 4)
    frames = example.ints("instances/bbox_frames/ragged_flat_values")
    lengths = example.ints("instances/bboxes/ragged_row_lengths_0")
    whole = len(flat) == len(frames) == lengths.sum() and len(lengths) == count
    if not whole or (len(frames) and not 0 <= frames.min() <= frames.max() < time):
        problem = f"instances/bboxes: {len(flat)} boxes, {len(frames)} frames and row lengths {lengths} do not agree."
        raise InputError(example.where, problem, _REMEDY)
    boxes = np.full((time, count, 4), np.nan, np.float32)
    boxes[frames, np.repeat(np.arange(count), lengths)] = flat
    return boxes


def _layer(example: Example, name: str, first: int, stop: int, time: int, size: tuple[int, int]) -> np.ndarray:
    """Return depth (T, H, W) or flow (T, H, W, 2: rows, columns), float32 in the units of its range."""
    if name == "depth":
        raw = _pictures(example, name, first, stop, (*size, 1))[..., 0]
    else:
        values = example.array(name)
        values = values.view("<u2") if values.dtype == np.uint8 else values
        if values.size != time * size[0] * size[1] * 2:
            problem = f"{name}: expected {time} x {size[0]} x {size[1]} x 2 values, found {values.size}."
            raise InputError(example.where, problem, "Leave it out of layers.")
        raw = values.reshape(time, *size, 2)[first:stop]
    low, high = example.floats(f"metadata/{name}_range")
    return (raw.astype(np.float32) / 65535 * (high - low) + low).astype(np.float32)
