"""YouTube-VIS and sets of its layout: frames with masks in one JSON file or in palette images (datasets.md 9).

`ROOT/{train,valid,test}/JPEGImages/VIDEO/%05d.jpg`. Masks are in a JSON file (`train/instances.json`, `train.json` or
`annotations/instances_train.json`) as COCO RLE, polygons or null of every frame; or they are
`train/Annotations/VIDEO/%05d.png` with the id as palette index (255 is -1), as YouTube-VOS has them. Id i + 1 is entry
i among the file's annotations of the video. The JSON file, which may be large, is searched once; a sample reads its own
annotations only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scenewise.config import build, setting
from scenewise.data.containers.json_index import VideoIndex, index_videos
from scenewise.data.contract import Description, register_source
from scenewise.data.readers.base import split_records, whole_file_is
from scenewise.data.readers.video import (
    OVERLAPS,
    ClipsConfig,
    ClipsSource,
    TreesSource,
    own_records,
    paint_masks,
    stored_mask,
)
from scenewise.data.splits import check_split
from scenewise.errors import InputError
from scenewise.media.files import is_below
from scenewise.media.frames import load_image, natural_order
from scenewise.media.palette import read_palette_png

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scenewise.data.contract import Progress, Source

_NAME = "youtube-vis"
_FOLDERS = {"train": ("train",), "validation": ("valid", "val", "validation"), "test": ("test",)}
_VOID = 255
_REMEDY = "Get or copy the file again."
_LAYOUT = "ROOT/train/JPEGImages/VIDEO/00000.jpg with train/instances.json or train/Annotations"


@dataclass(frozen=True)
class YoutubeVisConfig(ClipsConfig):
    """Settings of the reader of YouTube-VIS."""

    subset: str | None = setting(
        None, "folder to read, as train: the masks of valid and test are not public; give spans then; none: by split"
    )
    masks: Literal["found", "json", "png"] = setting("found", "json, png, or whichever there is")
    annotations: str | None = setting(None, "the JSON file, where it is elsewhere")
    overlap: str = setting(
        "ignore", "pixels of several masks: -1, the later annotation's, or the smaller mask's", choices=OVERLAPS
    )
    unannotated: Literal["drop", "ignore"] = setting(
        "drop", "frames without a palette image: left out, or kept with ids of -1"
    )
    cache: str | None = setting(None, "folder for the index of the JSON file; none: next to it")


@dataclass(frozen=True)
class _Place:
    """The folder of a subset, its name, and which split it is by its name (None: any)."""

    folder: Path
    name: str
    split: str | None


@register_source(
    _NAME,
    Description(
        what="YouTube-VIS (and YouTube-VOS): real videos with a mask of every object of 40 kinds",
        kind="files",
        paper="Yang et al. 2019; VideoSAUR and other work on real video",
        size="up to 36 frames, sizes differ; set size",
        factors=("category",),
        licence="not in the files; see the terms on its site",
        obtain="youtube-vos.org/dataset/vis: train.zip and instances.json; then path=ROOT subset=train train=[0,2000] "
        "size=[240,432] (the masks of valid and test are not public)",
    ),
)
class InstancesSource(ClipsSource):
    """Videos whose masks are in a JSON file.

    Args:
        config: Folder and settings.
        split: "train", "validation" or "test".
        place: The folder of the subset.
        file: The JSON file.

    Raises:
        InputError: The file or folders are missing, damaged or of another layout.
    """

    config_class = YoutubeVisConfig

    @classmethod
    def create(cls, name: str, split: str, settings: Mapping[str, Any], progress: Progress | None = None) -> Source:
        """Return the reader of the masks there are, in a JSON file or as images; see `Source.create`."""
        config = build(YoutubeVisConfig, settings, f"source {name}")
        if not config.path:
            raise InputError("path", "is not given.", "Name the folder, as in path=/data/ytvis.")
        place = _place(Path(config.path), check_split(split), config.subset)
        file = _json_file(config, place)
        return PalettesSource(config, split, place) if file is None else InstancesSource(config, split, place, file)

    config: YoutubeVisConfig

    def __init__(self, config: YoutubeVisConfig, split: str, place: _Place, file: Path) -> None:
        super().__init__(config, split)
        self._index: VideoIndex = index_videos(file, config.cache)
        self._folder = place.folder / "JPEGImages"
        for video in self._index.videos:
            names = video.get("file_names")
            whole = all(type(video.get(side)) is int for side in ("height", "width"))
            if "id" not in video or not whole or not isinstance(names, list) or not names:
                problem = f"videos: expected id, height, width and file_names, found {', '.join(video)}."
                raise InputError(file, problem, "Is it a file of YouTube-VIS?")
            if not all(isinstance(name, str) and is_below(name) for name in names):
                raise InputError(file, "file_names: expected names of images below JPEGImages, found others.", _REMEDY)
        records = _records(config, split, len(self._index.videos), place)
        few = self._index.videos[records.start]
        self._categories = {entry.get("id"): entry.get("name") for entry in self._index.categories}
        self._settle_clips(
            records,
            (few["height"], few["width"]),
            max_objects=max(map(len, self._index.spans.values()), default=None),
            has_ids=bool(self._index.spans),
            overlap="ignore" if config.overlap == "ignore" else "top",
            origin=f"YouTube-VIS {place.name}, {file.name}, {split}, {len(records)} videos",
        )

    def _files(self) -> list[Path]:
        few = np.unique(self._clips[:, 0])[:8]
        return [self._index.path, *(self._folder / self._entry(video)["file_names"][0] for video in few)]

    def _entry(self, video: int) -> dict[str, Any]:
        return self._index.videos[int(video)]

    def _name(self, video: int) -> str:
        return str(Path(self._entry(video)["file_names"][0]).parent)

    def _count(self, video: int) -> int:
        return len(self._entry(video)["file_names"])

    def _images(self, video: int, span: range) -> Iterator[np.ndarray]:
        names = self._entry(video)["file_names"]
        return (load_image(self._folder / names[place]) for place in span)

    def _labels(self, video: int, span: range) -> Iterator[np.ndarray]:
        entry = self._entry(video)
        size, listed = (entry["height"], entry["width"]), self._segmentations(video)
        for frame in span:
            masks = (
                (number, stored_mask(parts[frame], size, f"{self._index.path}, video {entry['id']}"))
                for number, parts in enumerate(listed, 1)
            )
            yield paint_masks([(number, mask) for number, mask in masks if mask is not None], size, self.config.overlap)

    def _segmentations(self, video: int) -> list[list[Any]]:
        found = []
        for entry in self._index.annotations(self._entry(video)["id"]):
            parts = entry.get("segmentations")
            if not isinstance(parts, list) or len(parts) != self._count(video):
                count = len(parts) if isinstance(parts, list) else parts
                problem = f"segmentations: expected one for each of {self._count(video)} frames, found {count}."
                raise InputError(f"{self._index.path}, annotation {entry.get('id')}", problem, _REMEDY)
            found.append(parts)
        return found

    def _more(self, video: int, span: range) -> dict[str, Any]:
        entries = self._index.annotations(self._entry(video)["id"])
        kinds = [entry.get("category_id") for entry in entries]
        return {
            "annotation_ids": [entry.get("id") for entry in entries],
            "categories": [self._categories.get(kind, kind) for kind in kinds],
            "crowd": [bool(entry.get("iscrowd")) for entry in entries],
        }


class PalettesSource(TreesSource):
    """Videos whose masks are palette images, or that have none.

    Args:
        config: Folder and settings.
        split: "train", "validation" or "test".
        place: The folder of the subset.

    Raises:
        InputError: Folders are missing.
    """

    config: YoutubeVisConfig

    def __init__(self, config: YoutubeVisConfig, split: str, place: _Place) -> None:
        super().__init__(config, split)
        images, masks = place.folder / "JPEGImages", place.folder / "Annotations"
        videos = natural_order([item for item in images.iterdir() if item.is_dir()])
        if not videos:
            raise InputError(images, "expected folders of images, found none.", f"Expected is {_LAYOUT}.")
        if config.masks == "png" and not masks.is_dir():
            raise InputError(place.folder, "expected folder Annotations, found none.", f"Expected is {_LAYOUT}.")
        twins = [masks / video.name for video in videos] if masks.is_dir() else None
        records = _records(config, split, len(videos), place)
        origin = f"YouTube-VIS {place.name}, palette masks, {split}, {len(records)} videos"
        self._settle_trees(videos, twins, records, config.unannotated == "drop", origin=origin)

    def _mask(self, file: Path) -> np.ndarray:
        ids = read_palette_png(file)
        ids[ids == _VOID] = -1
        return ids

    def _without_mask(self, video: int, image: Path) -> np.ndarray:
        return np.full(load_image(image).shape[:2], -1, np.int64)


def _place(root: Path, split: str, subset: str | None) -> _Place:
    """Return the folder with JPEGImages."""
    names = _FOLDERS[split] if subset is None else (subset,)
    for name in names:
        if (root / name / "JPEGImages").is_dir():
            return _Place(root / name, name, split if subset is None else None)
    if subset is None and (root / "JPEGImages").is_dir():
        splits = [key for key, aliases in _FOLDERS.items() if root.name in aliases]
        return _Place(root, root.name, splits[0] if splits else None)
    folders = ", ".join(sorted(p.name for p in root.iterdir() if p.is_dir())[:5]) if root.is_dir() else "no folder"
    problem = f"expected {' or '.join(names)} with JPEGImages in it, found {folders or 'nothing'}."
    raise InputError(root, problem, f"Expected is {_LAYOUT}.")


def _records(config: YoutubeVisConfig, split: str, total: int, place: _Place) -> range:
    if place.split is None:
        published = {split: (0, total)} if config.subset is not None else None
        return split_records(config, split, total, published)
    if place.split == split:
        return own_records(config, split, total)
    return whole_file_is(config, split, total, place.split)


def _json_file(config: YoutubeVisConfig, place: _Place) -> Path | None:
    """Return the JSON file of a subset, None where there is none and none is asked for."""
    if config.masks == "png":
        return None
    if config.annotations is not None:
        return Path(config.annotations)
    above, name = place.folder.parent, place.name
    candidates = [place.folder / "instances.json", above / f"{name}.json", above / f"instances_{name}.json"]
    candidates += [above / "annotations" / f"instances_{name}.json", above / "annotations" / f"{name}.json"]
    candidates += [place.folder / f"{name}.json"]
    file = next((file for file in candidates if file.is_file()), None)
    if file is None and config.masks == "json":
        problem = f"expected {', '.join(str(file.relative_to(above)) for file in candidates)}, found none of these."
        raise InputError(above, problem, "Give annotations=FILE, or set masks=png.")
    return file
