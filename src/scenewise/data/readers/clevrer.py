"""CLEVRER as published: mp4 files, annotations, and the masks that a frame parser predicted.

`path` is the folder that holds `video_train` and so on (as unzipped) or `videos/train` (as SlotFormer has it);
annotations are looked for in `annotation_train` or `annotations/train` beside. Video 0 to 9999 are for training, 10000
to 14999 for validation, 15000 to 19999 (without annotations) for testing; the folder decides.

With `trim` videos are cut as for the tests of PROVIDE (AISTATS 2022), which are of the validation split: to the first
run of frames in which the annotation has all objects inside the view, of which the first `trim` frames count; videos
with a shorter run are left out. `min_objects` and `max_objects` choose by the number of annotated objects, such as 3
to 5, or 6. The view is that of 480 x 320 pixels, so a crop may still cut an object off. Either reads all annotations of
the split at the start, about 6 ms each.

There are NO masks in CLEVRER. With `proposals` a folder of `sim_%05d.json` or `proposal_%05d.json`, predicted masks are
put into `extras["predicted_ids"]`; only with `predictions_as_ids` do they count as ids, and `facts.origin` says so.
Objects have no track there; colour, material and shape, which no two objects share, tell which is which: id i + 1 is
entry i of the annotation's objects, or of the objects in order of appearance where there is no annotation. Where
detections overlap the first counts; those that are missed are background.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scenewise.config import setting
from scenewise.data import fingerprints
from scenewise.data.contract import Description, Sample, register_source
from scenewise.data.readers.base import FilesConfig, FilesSource, Record, split_records
from scenewise.data.splits import check_index, check_span, shared_span
from scenewise.errors import InputError
from scenewise.media.annotations import decode_rle
from scenewise.media.files import read_json, reading
from scenewise.media.reader import Selection, fit_ids, fit_images
from scenewise.media.video import VideoFileReader

_NAME = "clevrer-files"
_FOLDERS = {
    "train": ("video_train", "videos/train"),
    "validation": ("video_validation", "videos/val", "videos/validation"),
    "test": ("video_test", "videos/test"),
}
_ANNOTATIONS = {
    "train": ("annotation_train", "annotations/train"),
    "validation": ("annotation_validation", "annotations/val", "annotations/validation"),
    "test": ("annotation_test", "annotations/test"),
}
_NUMBER = re.compile(r"(\d+)$")
_KEY = ("color", "material", "shape")
_REMEDY = "Get or copy the file again, or add the number of the video to skip."
_MOVING = ("location", "orientation", "velocity", "angular_velocity")


@dataclass(frozen=True)
class ClevrerFilesConfig(FilesConfig):
    """Settings of the reader of CLEVRER; `train`, `validation` and `test` are places among a split's files."""

    frames: int = setting(128, "frames of a video", minimum=1)
    annotations: str | None = setting(
        None, "folder of annotation_%05d.json; none: beside the videos, where there is one"
    )
    proposals: str | None = setting(None, "folder of predicted masks, sim_%05d.json or proposal_%05d.json")
    predictions_as_ids: bool = setting(False, "take predicted masks for ground truth; scores are then no true scores")
    trim: int = setting(0, "frames of a video cut to where all objects are in view; 0: whole", minimum=0)
    min_objects: int = setting(0, "smallest number of annotated objects", minimum=0)
    max_objects: int | None = setting(None, "largest number of annotated objects; none: any", minimum=0)
    skip: tuple[int, ...] = setting((10_800,), "numbers of videos to leave out; the annotation of 10800 is broken")


@register_source(
    _NAME,
    Description(
        what="CLEVRER's mp4 files with annotations; masks are a parser's predictions and marked so",
        kind="files",
        paper="CLEVRER (Yi et al. 2020); PROVIDE, SlotFormer, ALOE",
        size="128 frames, 320 x 480",
        factors=("colour", "material", "shape", "location", "velocity", "orientation", "collisions"),
        licence="CC0",
        obtain="clevrer.csail.mit.edu: video_train.zip, annotation_train.zip and so on; unzip each into a folder of "
        "its name, then path=FOLDER",
    ),
)
class ClevrerFilesSource(FilesSource):
    """Videos of one split; only frames that are asked for are kept.

    Args:
        config: Folders and settings.
        split: "train", "validation" or "test".

    Raises:
        InputError: There is no video, or a folder that was named is not there.
    """

    config_class = ClevrerFilesConfig
    config: ClevrerFilesConfig

    def __init__(self, config: ClevrerFilesConfig, split: str = "train") -> None:
        super().__init__(config, split)
        self._videos = _videos(self.path, split, config.skip)
        self._numbers = [_number(video) for video in self._videos]
        places = (self.path / name for name in _ANNOTATIONS[split])
        annotations = next((place for place in places if place.is_dir()), None)
        if config.annotations is not None:
            annotations = Path(config.annotations)
        self._annotations = _numbered(annotations, "*.json")
        self._proposals = _numbered(None if config.proposals is None else Path(config.proposals), "*.json")
        if config.predictions_as_ids and config.proposals is None:
            raise InputError("predictions_as_ids", "needs masks.", "Give proposals=FOLDER.")
        span = split_records(config, self.split, len(self._videos), {split: (0, len(self._videos))})
        self._begins = self._chosen(span)
        first = VideoFileReader(self._videos[span.start], Selection())
        self._stored = first.source_size
        masks = "; ids are PREDICTIONS of a frame parser (pseudo-labels)" if config.predictions_as_ids else ""
        self._settle(
            list(self._begins),
            (*first.source_size, 3),
            frames=config.trim or config.frames,
            max_objects=config.max_objects,
            has_ids=config.predictions_as_ids,
            origin=f"CLEVRER {self.path.name}, {split}, {len(self._begins)} videos{masks}",
        )

    def _chosen(self, span: range) -> dict[int, int]:
        """Return the first frame of every video of a span that the settings ask for, by its place among the files.

        Raises:
            InputError: An annotation that tells it is missing or damaged, or no video is left.
        """
        config = self.config
        if not config.trim and not config.min_objects and config.max_objects is None:
            return dict.fromkeys(span, 0)
        most = math.inf if config.max_objects is None else config.max_objects
        files = {}
        for record in span:
            number = self._numbers[record]
            if number not in self._annotations:
                problem = f"expected an annotation of video {number}, found none; trim and numbers of objects need it."
                raise InputError(self.path, problem, f"Give annotations=FOLDER, or skip {number}.")
            in_view = _annotation(self._annotations[number], 0, config.frames)["seen"]
            first, stop = shared_span(in_view) if config.trim else (0, config.frames)
            if config.min_objects <= in_view.shape[1] <= most and stop - first >= config.trim:
                files[record] = first
        if not files:
            demand = f"{config.min_objects} to {most} objects, all in view for {config.trim} frames"
            raise InputError(self.path, f"no video has {demand}.", "Set a smaller trim or other numbers.")
        return files

    def fingerprint(self) -> str:
        """Return a hash that also changes with the masks."""
        numbers = [self._numbers[record] for record in self.records]
        few = [self._proposals[number] for number in numbers if number in self._proposals][:4]
        return fingerprints.of_values(super().fingerprint(), numbers, [fingerprints.of_file(file) for file in few])

    def sample(self, index: int, start: int = 0, frames: int | None = None) -> Sample:
        """Return one video, cropped and scaled while it is decoded, and what its annotation knows, as stored."""
        record = int(self.records[check_index(index, len(self), self.facts.origin)])
        first, stop = (
            self._begins[record] + at for at in check_span(start, frames, self.length(index), self.facts.origin)
        )
        pictures = self._read(record, first, stop)
        ids = None if pictures.ids is None else fit_ids(pictures.ids, self._selection)
        extras = dict(pictures.extras)
        if ids is not None and not self.config.predictions_as_ids:
            extras["predicted_ids"] = ids
        frames_first = np.ascontiguousarray(np.moveaxis(pictures.images, -1, 1))
        return Sample(frames_first, ids if self.config.predictions_as_ids else None, extras)

    def _files(self) -> list[Path]:
        return [self._videos[record] for record in self.records]

    def _read(self, record: int, first: int, stop: int) -> Record:
        video, number = self._videos[record], self._numbers[record]
        scaled = Selection(self.config.size)  # fitted one by one, so that no frame stays in full size
        with VideoFileReader(video, Selection(None, self.config.crop, start=first, stop=stop)) as reader:
            frames = [fit_images(frame.image[None], scaled, self.config.scaling) for frame in reader]
        images = np.concatenate(frames)  # fewer where the video ends before
        if len(images) != stop - first:
            problem = f"expected frames {first} to {stop - 1}, found {len(images)} of them."
            raise InputError(video, problem, f"Set frames to what the videos have, or skip {number}.")
        extras: dict[str, Any] = {"video": number, "frames": np.arange(first, stop)}
        if number in self._annotations:
            extras.update(_annotation(self._annotations[number], first, stop))
        ids = None
        if self.config.proposals is not None:
            if number not in self._proposals:
                problem = f"expected masks of video {number}, found none."
                raise InputError(self.config.proposals, problem, f"Get the missing file, or skip {number}.")
            keys = [tuple(thing[key] for key in _KEY) for thing in extras.get("objects", [])]
            ids, extras["objects_by_id"] = _predicted(self._proposals[number], keys, self._stored, first, stop)
        return Record(images, ids, extras)


def _videos(root: Path, split: str, skip: tuple[int, ...]) -> list[Path]:
    """Return the videos of a split by their numbers."""
    if not root.is_dir():
        raise InputError(root, "no such folder.", "Give the folder that holds video_train and so on.")
    folder = next((root / name for name in _FOLDERS[split] if (root / name).is_dir()), None)
    if folder is None:
        folders = ", ".join(sorted(place.name for place in root.iterdir() if place.is_dir())) or "no folder"
        problem = f"expected {' or '.join(_FOLDERS[split])}, found {folders}."
        raise InputError(root, problem, "Choose another split, or give the folder that holds these.")
    videos = {number: file for number, file in sorted(_numbered(folder, "*.mp4").items()) if number not in skip}
    if not videos:
        raise InputError(
            folder, "expected video_00000.mp4 and so on, in it or in folders in it; found none.", "Unzip it."
        )
    return list(videos.values())


def _numbered(folder: Path | None, pattern: str) -> dict[int, Path]:
    """Return the files in a folder and the folders in it by the number at the end of their names."""
    if folder is None:
        return {}
    if not folder.is_dir():
        raise InputError(folder, "no such folder.", "Check the path.")
    files = sorted((*folder.glob(pattern), *folder.glob(f"*/{pattern}")))
    return {_number(file): file for file in files if _NUMBER.search(file.stem)}


def _number(file: Path) -> int:
    number = _NUMBER.search(file.stem)
    return int(number[1]) if number else -1


def _annotation(path: Path, first: int, stop: int) -> dict[str, Any]:
    """Return objects, their motion (T, n, 3 or 4; NaN where it is not told), whether they are seen, and collisions."""
    content = read_json(path, "a JSON annotation", _REMEDY)
    with reading(path, "object_property, motion_trajectory and collision", _REMEDY):
        objects = sorted(content["object_property"], key=lambda thing: int(thing["object_id"]))
        rows = {int(thing["object_id"]): row for row, thing in enumerate(objects)}
        by_frame = {int(entry["frame_id"]): entry["objects"] for entry in content["motion_trajectory"]}
        collisions = content.get("collision", content.get("collisions", []))
        facts: dict[str, Any] = {"objects": objects, "collisions": collisions}
        facts["seen"] = np.zeros((stop - first, len(objects)), bool)
        for place, frame in enumerate(range(first, stop)):
            for thing in by_frame.get(frame, []):
                _note_motion(facts, thing, place, rows[int(thing["object_id"])])
        return facts


def _note_motion(facts: dict[str, Any], thing: dict[str, Any], place: int, row: int) -> None:
    """Enter where an object is in a frame; arrays are made when a key is first met."""
    facts["seen"][place, row] = bool(thing.get("inside_camera_view", True))
    for key in _MOVING:
        if key in thing:
            if key not in facts:
                facts[key] = np.full((*facts["seen"].shape, len(thing[key])), np.nan)
            facts[key][place, row] = thing[key]


def _predicted(
    path: Path, identities: list[tuple[Any, ...]], size: tuple[int, int], first: int, stop: int
) -> tuple[np.ndarray, list[tuple[Any, ...]]]:
    """Return predicted ids (T, H, W) and what object each id from 1 is: (colour, material, shape)."""
    frames = read_json(path, "a JSON file of predicted masks", _REMEDY)
    with reading(path, "frames of objects with color, material, shape and mask", _REMEDY):
        listed = {_frame_number(frame, place): frame["objects"] for place, frame in enumerate(frames["frames"])}
        keys = list(identities)
        for _, things in sorted(listed.items()):
            keys += [key for thing in things if (key := tuple(thing[part] for part in _KEY)) not in keys]
        ids = np.zeros((stop - first, *size), np.int64)
        for place, frame in enumerate(range(first, stop)):
            for thing in listed.get(frame, []):
                mask = decode_rle(thing["mask"])
                if mask.shape != tuple(size):
                    problem = f"frame {frame}: expected masks of {tuple(size)} as the video, found {mask.shape}."
                    raise InputError(path, problem, "Do masks and videos belong together?")
                free = mask & (ids[place] == 0)
                ids[place][free] = keys.index(tuple(thing[part] for part in _KEY)) + 1
    return ids, keys


def _frame_number(frame: dict[str, Any], place: int) -> int:
    """Return which frame an entry is about: its index, or the number in its file's name, or its place."""
    if "frame_index" in frame:
        return int(frame["frame_index"])
    number = _NUMBER.search(Path(str(frame.get("frame_filename", ""))).stem)
    return int(number[1]) if number else place
