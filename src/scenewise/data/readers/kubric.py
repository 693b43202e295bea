"""Raw scenes of Kubric: folders of rendered layers, as its workers write them (datasets.md 8).

`ROOT/[split/]SCENE/rgba_%05d.png` with `segmentation_%05d.png` and `metadata.json` beside, which is put into extras, as
is `events.json`. A segmentation is a palette image whose index is the id, or one colour per object: the colours of the
whole scene are numbered by their value in ascending order, black 0, so that an id holds in all frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.config import setting
from scenewise.data.contract import Description, register_source
from scenewise.data.readers.base import split_records
from scenewise.data.readers.video import ClipsConfig, ClipsSource, own_records
from scenewise.errors import InputError
from scenewise.media.files import check_readable, read_json, reading
from scenewise.media.frames import load_image, natural_order
from scenewise.media.images import image_file

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = "kubric-folders"
_FOLDERS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
_MOST_COLOURS = 256
_REMEDY = "Render or copy the scene again."


@dataclass(frozen=True)
class KubricConfig(ClipsConfig):
    """Settings of the reader of Kubric's scenes."""

    masks: bool = setting(True, "read segmentations; off where there are none")


@register_source(
    _NAME,
    Description(
        what="scenes that Kubric rendered, as folders of layers",
        kind="files",
        paper="Kubric (Greff et al. 2022)",
        size="as rendered",
        factors=("as in metadata.json",),
        licence="of what you render, yours; Kubric is Apache-2.0",
        obtain="render scenes with github.com/google-research/kubric, then path=FOLDER_OF_SCENES",
    ),
)
class KubricSource(ClipsSource):
    """Scenes of one split.

    Args:
        config: Folder and settings.
        split: "train", "validation" or "test".

    Raises:
        InputError: There is no scene, or layers are missing.
    """

    config_class = KubricConfig
    config: KubricConfig

    def __init__(self, config: KubricConfig, split: str = "train") -> None:
        super().__init__(config, split)
        folder = next((self.path / name for name in _FOLDERS[split] if (self.path / name).is_dir()), None)
        self._scenes = _scenes(folder or self.path)
        self._colours: dict[int, np.ndarray] = {}
        total = len(self._scenes)
        records = own_records(config, split, total) if folder else split_records(config, split, total)
        self._settle_clips(
            records,
            load_image(_layer(self._scenes[records.start], "rgba")[0]).shape[:2],
            max_objects=None,
            has_ids=config.masks,
            origin=f"Kubric scenes {self.path.name}, {split}, {len(records)} scenes",
        )

    def _files(self) -> list[Path]:
        few = [self._scenes[int(video)] for video in np.unique(self._clips[:, 0])[:8]]
        return [file for scene in few for kind in ("rgba", "segmentation") for file in _layer(scene, kind)[:1]]

    def _name(self, video: int) -> str:
        return self._scenes[video].name

    def _count(self, video: int) -> int:
        return len(_layer(self._scenes[video], "rgba"))

    def _images(self, video: int, span: range) -> Iterator[np.ndarray]:
        files = _layer(self._scenes[video], "rgba")
        return (load_image(files[frame]) for frame in span)

    def _labels(self, video: int, span: range) -> Iterator[np.ndarray]:
        files = {_number(file): file for file in _layer(self._scenes[video], "segmentation")}
        for file in _layer(self._scenes[video], "rgba")[span.start : span.stop]:
            mask = files.get(_number(file))
            if mask is None:
                problem = f"expected segmentation_{_number(file)}.png, found none."
                raise InputError(self._scenes[video], problem, "Render the scene again, or set masks=false.")
            values = _values(mask)
            if values.ndim == 2:
                yield values.astype(np.int64)
                continue
            if video not in self._colours:  # the colours of the whole scene are numbered; those of the last one stay
                self._colours = {video: _all_colours(_layer(mask.parent, "segmentation"))}
            table, codes = self._colours[video], _codes(values)
            yield np.where(codes == 0, 0, np.searchsorted(table, codes) + 1).astype(np.int64)

    def _more(self, video: int, span: range) -> dict[str, Any]:
        facts = {}
        for name in ("metadata", "events"):
            file = self._scenes[video] / f"{name}.json"
            if file.is_file():
                facts[name] = read_json(file, "a JSON file", _REMEDY)
        return facts


def _scenes(root: Path) -> list[Path]:
    """Return the folders that hold a scene: those in a folder, or it itself."""
    if not root.is_dir():
        raise InputError(root, "no such folder.", "Give a folder of Kubric's scenes.")
    if _layer(root, "rgba"):
        return [root]
    videos = natural_order([place for place in root.iterdir() if place.is_dir() and _layer(place, "rgba")])
    if not videos:
        listing = ", ".join(sorted(place.name for place in root.iterdir())[:5]) or "nothing"
        problem = f"expected SCENE/rgba_00000.png, found {listing}."
        raise InputError(root, problem, "Of MOVi as published (TFRecord files), use source movi.")
    return videos


def _layer(scene: Path, kind: str) -> list[Path]:
    return natural_order(list(scene.glob(f"{kind}_*.png")))


def _number(file: Path) -> str:
    return file.stem.rpartition("_")[2]


def _values(file: Path) -> np.ndarray:
    """Return palette indices or grey values (H, W), else colours (H, W, 3)."""
    check_readable(file)
    with reading(file, "a segmentation image", _REMEDY), image_file(file) as image:
        if image.mode in ("P", "L", "1", "I") or image.mode.startswith("I;16"):
            return np.asarray(image)
        return np.asarray(image.convert("RGB"))


def _codes(colours: np.ndarray) -> np.ndarray:
    return colours.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])


def _all_colours(files: list[Path]) -> np.ndarray:
    """Return the sorted codes of all colours other than black in the segmentations of a scene."""
    codes: set[int] = set()
    for file in files:
        values = _values(file)
        if values.ndim != 3:
            raise InputError(file, "expected colours as in the scene's other segmentations, found ids.", _REMEDY)
        codes |= set(np.unique(_codes(values)).tolist())
        if len(codes) > _MOST_COLOURS:
            problem = f"expected one colour per object, found more than {_MOST_COLOURS} in the scene."
            raise InputError(file, problem, "Compression has changed the colours; render it again.")
    return np.array(sorted(codes - {0}), np.int64)
