"""SA-V: real videos with masks of objects and parts on every fourth frame (datasets.md 9).

`NAME.mp4` with `NAME_manual.json` and `NAME_auto.json`, in `path` or folders in it. Only frames with masks are read. Id
i + 1 is masklet i of the file, in all frames. Masklets may overlap, in the automatic ones a part lies on its whole;
`overlap` says what becomes of such pixels. An object that is not visible has an empty mask.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scenewise.config import setting
from scenewise.data.contract import Description, register_source
from scenewise.data.readers.base import split_records
from scenewise.data.readers.video import OVERLAPS, ClipsConfig, ClipsSource, paint_masks, stored_mask
from scenewise.errors import InputError
from scenewise.media.files import read_json, reading
from scenewise.media.frames import natural_order
from scenewise.media.reader import Selection
from scenewise.media.video import VideoFileReader

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = "sa-v"
_STEP = 4  # frames of the video from one with masks to the next
_HEAD = 4096  # bytes in which the number of frames is mostly found
_FRAMES = re.compile(rb'"video_frame_count"\s*:\s*(\d+)')
_KEYS = ("masklet", "masklet_id", "video_height", "video_width")
_REMEDY = "Get or copy the file again."


@dataclass(frozen=True)
class SavConfig(ClipsConfig):
    """Settings of the reader of SA-V."""

    masklets: Literal["manual", "auto"] = setting("manual", "which masks")
    overlap: str = setting(
        "ignore", "pixels of several masks: -1, the later masklet's, or the smaller mask's", choices=OVERLAPS
    )
    ids_only: bool = setting(False, "read ids of videos whose mp4 is not there; their frames are black")


@register_source(
    _NAME,
    Description(
        what="SA-V: real videos with masks of objects and parts, drawn by people or found automatically",
        kind="files",
        paper="SAM 2 (Ravi et al. 2024)",
        size="every fourth frame of 4 to 140 s at 24 per second, sizes differ; set size and clip",
        factors=("masklet_id",),
        licence="CC BY 4.0",
        obtain="ai.meta.com/datasets/segment-anything-video: sav_000.tar and so on; unpack, then path=sav_train "
        "size=[240,424] clip=24",
    ),
)
class SavSource(ClipsSource):
    """Videos of one split.

    Args:
        config: Folder and settings.
        split: "train", "validation" or "test".

    Raises:
        InputError: There are no files, or a video is missing.
    """

    config_class = SavConfig
    config: SavConfig

    def __init__(self, config: SavConfig, split: str = "train") -> None:
        super().__init__(config, split)
        self._masks = _mask_files(self.path, config.masklets)
        self._last: tuple[int, dict[str, Any]] | None = None
        records = split_records(config, split, len(self._masks))
        absent = [self._name(video) for video in records if not self._film(video).is_file()]
        if absent and not config.ids_only:
            problem = f"expected {absent[0]}.mp4 beside its masks, found none ({len(absent)} are missing)."
            raise InputError(self._masks[records.start].parent, problem, "Get them, or set ids_only=true.")
        annotation = self._known(records.start)
        black = f"; {len(absent)} without frames (black): ids only" if absent else ""
        self._settle_clips(
            records,
            (annotation["video_height"], annotation["video_width"]),
            max_objects=None,
            overlap="ignore" if config.overlap == "ignore" else "top",
            origin=f"SA-V {self.path.name}, {config.masklets}, {split}, {len(records)} videos{black}",
        )

    def __getstate__(self) -> dict[str, Any]:
        """Leave masks behind when handed to another process."""
        return {**self.__dict__, "_last": None}

    def _files(self) -> list[Path]:
        few = [int(video) for video in np.unique(self._clips[:, 0])[:8]]
        return [self._masks[video] for video in few] + [f for video in few if (f := self._film(video)).is_file()]

    def _name(self, video: int) -> str:
        return self._masks[video].stem.rpartition("_")[0]

    def _film(self, video: int) -> Path:
        return self._masks[video].with_name(f"{self._name(video)}.mp4")

    def _count(self, video: int) -> int:
        """Return the number of frames with masks, from the head of the file where it tells."""
        with reading(self._masks[video], "a file of masklets", _REMEDY), self._masks[video].open("rb") as file:
            match = _FRAMES.search(file.read(_HEAD))
        return math.ceil(int(match[1]) / _STEP) if match else len(self._known(video)["masklet"])

    def _known(self, video: int) -> dict[str, Any]:
        """Return what the JSON file of a video holds; that of the last video is kept."""
        if self._last is None or self._last[0] != video:
            self._last = (video, _masklets(self._masks[video]))
        return self._last[1]

    def _images(self, video: int, span: range) -> Iterator[np.ndarray]:
        if not self._film(video).is_file():
            annotation = self._known(video)
            for _ in span:
                yield np.zeros((int(annotation["video_height"]), int(annotation["video_width"]), 3), np.uint8)
            return
        selection = Selection(every=_STEP, start=_STEP * span.start, stop=_STEP * (span.stop - 1) + 1)
        with VideoFileReader(self._film(video), selection) as reader:
            for frame in reader:
                yield frame.image

    def _labels(self, video: int, span: range) -> Iterator[np.ndarray]:
        annotation = self._known(video)
        size = (int(annotation["video_height"]), int(annotation["video_width"]))
        for frame in span:
            if frame >= len(annotation["masklet"]):
                problem = f"masklet: expected frames to {span.stop - 1}, found {len(annotation['masklet'])}."
                raise InputError(self._masks[video], problem, _REMEDY)
            masks = [
                (place + 1, stored_mask(rle, size, f"{self._masks[video]}, masklet[{frame}]"))
                for place, rle in enumerate(annotation["masklet"][frame])
            ]
            yield paint_masks([(number, mask) for number, mask in masks if mask is not None], size, self.config.overlap)

    def _more(self, video: int, span: range) -> dict[str, Any]:
        annotation = self._known(video)
        return {
            "masklet_id": list(annotation["masklet_id"]),
            "film_frames": np.array(span) * _STEP,
            "has_frames": self._film(video).is_file(),
        }


def _mask_files(root: Path, kind: str) -> list[Path]:
    """Return the files of masks in a folder and the folders in it."""
    if root.is_file():
        root_files, root = [root], root.parent
    elif root.is_dir():
        root_files = natural_order([*root.glob(f"*_{kind}.json"), *root.glob(f"**/*/*_{kind}.json")])
    else:
        raise InputError(root, "no such file or folder.", "Give the folder with NAME.mp4 and NAME_manual.json.")
    if not root_files or not root_files[0].name.endswith(f"_{kind}.json"):
        listing = ", ".join(sorted(place.name for place in root.iterdir())[:3]) or "nothing"
        problem = f"expected files NAME_{kind}.json, found {listing}."
        raise InputError(
            root, problem, "Set masklets to manual or auto, or unpack the set (of val and test: as davis)."
        )
    return root_files


def _masklets(path: Path) -> dict[str, Any]:
    annotation = read_json(path, "a JSON file of masklets", _REMEDY)
    missing = [key for key in _KEYS if not isinstance(annotation, dict) or key not in annotation]
    if missing:
        listing = ", ".join(list(annotation)[:6]) if isinstance(annotation, dict) else type(annotation).__name__
        raise InputError(path, f"expected keys {', '.join(missing)}, found {listing}.", "Is it a file of SA-V?")
    frames = annotation["masklet"]
    if not isinstance(frames, list) or not frames or not all(isinstance(frame, list) for frame in frames):
        raise InputError(path, "masklet: expected a list of masks for every fourth frame, found none.", _REMEDY)
    return annotation
