"""DAVIS 2016 and 2017: JPEG frames with a PNG mask each (datasets.md 9).

`JPEGImages/480p/SEQUENCE/%05d.jpg` and `Annotations/480p/SEQUENCE/%05d.png`; lists of sequences are in
`ImageSets/{2016,2017}`: train, val (validation) and test-dev (test; without masks of all frames). The masks of 2017 are
palette images whose index is the id, 255 is -1; those of 2016 are 0 and 255 for one object. A mask may differ from its
image by a pixel; it is scaled, with a warning.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from scenewise.config import setting
from scenewise.data.contract import Description, register_source
from scenewise.data.readers.base import split_records
from scenewise.data.readers.video import ClipsConfig, TreesSource, own_records
from scenewise.errors import InputError
from scenewise.media.files import check_readable, read_text, reading
from scenewise.media.frames import image_names, natural_order
from scenewise.media.images import image_file

_NAME = "davis"
_LISTS = {"train": "train", "validation": "val", "test": "test-dev"}
_VOID = 255
_REMEDY = "Unpack or get the set again."


@dataclass(frozen=True)
class DavisConfig(ClipsConfig):
    """Settings of the reader of DAVIS."""

    year: Literal[2016, 2017] = setting(2017, "2017: an id per object; 2016: one object, id 1")
    track: Literal["semi-supervised", "unsupervised"] = setting(
        "semi-supervised",
        "which masks: Annotations or Annotations_unsupervised",
    )
    resolution: Literal["480p", "Full-Resolution"] = setting("480p", "which images and masks")
    subset: str | None = setting(None, "name of the list in ImageSets, as val; none: train, val, test-dev by split")


@register_source(
    _NAME,
    Description(
        what="DAVIS: short real videos with a mask of every object in every frame",
        kind="files",
        paper="Perazzi et al. 2016, Pont-Tuset et al. 2017; VideoSAUR and other work on real video",
        size="25 to 100 frames, mostly 480 x 854; set size",
        licence="not in the files; see the terms on its site (understood as non-commercial research)",
        obtain="davischallenge.org: DAVIS-2017-trainval-480p.zip (and -Unsupervised-), then path=DAVIS size=[240,432]",
    ),
)
class DavisSource(TreesSource):
    """Sequences of one split.

    Args:
        config: Folder and settings.
        split: "train", "validation" or "test".

    Raises:
        InputError: Folders, the list or sequences are missing.
    """

    config_class = DavisConfig
    config: DavisConfig

    def __init__(self, config: DavisConfig, split: str = "train") -> None:
        super().__init__(config, split)
        images = _folder(self.path, "JPEGImages", config.resolution)
        listed = _listed(self.path, config, split)
        names = listed or [place.name for place in natural_order([p for p in images.iterdir() if p.is_dir()])]
        if not names:
            raise InputError(images, "expected folders of images, found none.", _REMEDY)
        videos = [images / name for name in names]
        missing = [video.name for video in videos if not video.is_dir()]
        if missing:
            raise InputError(images, f"expected sequences {', '.join(missing[:3])}, found none of the name.", _REMEDY)
        shared = listed is None or config.subset is not None  # then all splits count the same list
        if shared and config.subset is None:
            records = split_records(config, split, len(videos))
        else:
            records = own_records(config, split, len(videos))
        masks = self._twins(videos[records.start : records.stop], videos)
        origin = f"DAVIS {config.year}, {config.track}, {split}, {len(records)} sequences"
        self._settle_trees(videos, masks, records, False, origin=origin)

    def _twins(self, files: list[Path], videos: list[Path]) -> list[Path] | None:
        """Return the folders of masks; None for a test list, of which at most the first frames have one."""
        top = "Annotations_unsupervised" if self.config.track == "unsupervised" else "Annotations"
        hidden = (self.config.subset or _LISTS[self.split]).startswith("test")
        folder = self.path / top / self.config.resolution
        if hidden:
            masks = [folder / video.name for video in files]
            counts = [len(image_names(mask)) if mask.is_dir() else 0 for mask in masks]
            if counts != [len(image_names(video)) for video in files]:
                return None
        folder = _folder(self.path, top, self.config.resolution)
        missing = [video.name for video in files if not (folder / video.name).is_dir()]
        if missing:
            raise InputError(folder, f"expected masks of {', '.join(missing[:3])}, found none.", _REMEDY)
        return [folder / video.name for video in videos]

    def _mask(self, file: Path) -> np.ndarray:
        check_readable(file)
        with reading(file, "a PNG mask", _REMEDY), image_file(file) as image:
            values, mode = np.asarray(image), image.mode  # no palette is applied
        if self.config.year == 2016:
            colours = values.reshape(*values.shape[:2], -1)[..., :3]
            return np.asarray((colours > 0).any(-1), np.int64)
        if values.ndim != 2:
            problem = f"expected a palette image of ids, found colours (mode {mode})."
            raise InputError(file, problem, "Get the original files; other programs lose the palette.")
        if mode != "P" and values.max(initial=0) == _VOID and not ((values > 0) & (values < _VOID)).any():
            problem = "expected a palette image of ids, found 0 and 255 as DAVIS 2016 has."
            raise InputError(file, problem, "Set year=2016, or get the masks of 2017.")
        ids = values.astype(np.int64)
        ids[ids == _VOID] = -1
        return ids


def _folder(root: Path, top: str, resolution: str) -> Path:
    folder = root / top / resolution
    if not folder.is_dir():
        base = root / top if (root / top).is_dir() else root
        listing = ", ".join(sorted(p.name for p in base.iterdir() if p.is_dir())[:5]) if base.is_dir() else "nothing"
        problem = f"expected folder {top}/{resolution}, found {listing or 'nothing'}."
        raise InputError(base, problem, "Give the folder DAVIS that holds JPEGImages and Annotations.")
    return folder


def _listed(root: Path, config: DavisConfig, split: str) -> list[str] | None:
    """Return the sequences of a list in order; None where the copy has no lists at all."""
    name = config.subset or _LISTS[split]
    places = [root / "ImageSets" / str(config.year)]
    if config.year == 2016:
        places.append(root / "ImageSets" / config.resolution)  # as the set of 2016 had it
    file = next((place / f"{name}.txt" for place in places if (place / f"{name}.txt").is_file()), None)
    if file is not None:
        check_readable(file)
        names = [line.split()[0] for line in read_text(file).split("\n") if line.strip()]
        # A sequence's name, or (2016) the path of an image in its folder.
        return list(dict.fromkeys(Path(name).parent.name if "/" in name else name for name in names))
    if config.subset is None and not (root / "ImageSets").is_dir():
        return None
    listing = ", ".join(sorted(p.stem for place in places if place.is_dir() for p in place.glob("*.txt"))) or "none"
    raise InputError(places[0], f"expected list {name}.txt, found {listing}.", "Set subset to one of these, or get it.")
