"""Multi-view scenes of MulMON: CLE-MV, CLE-Aug and the like, packaged or as the generator writes them.

A video is one scene; its frames are the views. Three layouts are told apart by what `path` is:

- packaged: a JSON file `clevr_mv_train.json` (or its folder); every scene names a file of `images` and `masks`;
- raw: a folder with `images/CLEVR_new_%06d_%02d.png`, `masks/` of npy files and `scenes/` of JSON files;
- GQN-Jaco: an HDF5 file with `images` and `viewpoints`, without masks.

The stored label of a pixel is the rank of its object by NEARNESS in that view, so the same label is another object in
another view. Ids here go through `depth_orders` to the number of the object in the JSON file plus one, and mean the
same object in all views; an object that is hidden in a view has no pixel there. `extras` hold `viewpoints` (V, 3) as
the model is fed ((cx, cy, 0) / |(cx, cy)| - (1, 0, 0)), `cameras` (V, 3) and the factors of the objects.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.config import build, setting
from scenewise.data import fingerprints
from scenewise.data.containers.hdf5 import h5_array
from scenewise.data.containers.per_process import PerProcess
from scenewise.data.contract import Description, ObjectKeys, register_source
from scenewise.data.readers.base import FilesConfig, FilesSource, Record, check_array, split_records
from scenewise.errors import InputError
from scenewise.media.files import check_readable, is_below, read_json_mapping, reading
from scenewise.media.frames import load_image
from scenewise.media.hdf5 import open_h5
from scenewise.media.pixels import to_uint8

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scenewise.data.contract import Progress, Source


_NAME = "mulmon"
_PACKED = "a scene file with images (V, H, W, 3 or more) and masks (V, H, W, 1 + N)"
_RAW = "a folder with images/CLEVR_new_%06d_%02d.png, masks and scenes"
_JACO = "images (N, V, H, W, 3) and viewpoints (N, V, 7)"
_LARGEST = 1 << 30  # bytes of a JSON file: that of a packaged set lists all scenes
_REMEDY = "Get or copy the file again."
_PER_VIEW = ("cameras", "viewpoints")
_FACTORS = ("shape", "size", "color", "material", "rotation", "3d_coords")


@dataclass(frozen=True)
class MulmonFileConfig(FilesConfig):
    """Settings of the reader of multi-view scenes."""

    silhouettes: bool = setting(False, "put the full outline of every object into extras, (V, N, H, W) in stored size")
    allow_pickle: bool = setting(
        False, "unpickle scene files that are no plain arrays; only for files you trust, since they can run programs"
    )


@register_source(
    _NAME,
    Description(
        what="CLE-MV, CLE-Aug, GQN-Jaco: scenes seen from several places, views as frames",
        kind="files",
        paper="MulMON (Li et al. 2020)",
        size="10 views (Jaco 11), 64 x 64",
        factors=("shape", "size", "colour", "material", "rotation", "place", "viewpoint"),
        licence="not stated; the generator's code is MIT",
        obtain="github.com/NanboLi/MulMON tells where mulmon_datasets lie; github.com/NanboLi/CLEVR-Object-Centric "
        "makes more; then path=mulmon_datasets/clevr/clevr_mv, or the generator's folder, or gqn_jaco_train.h5",
    ),
)
class MulmonSource(FilesSource):
    """Packaged or raw scenes of one split, views as frames.

    Args:
        config: Files and settings.
        split: "train", "validation" or "test"; a packaged set without a file for validation has none.

    Raises:
        InputError: A file is missing, damaged or of another layout.
    """

    config_class = MulmonFileConfig
    object_keys = ObjectKeys(
        shape="shape",
        colour="color",
        material="material",
        size="size",
        position="pixel_coords",
        place="3d_coords",
        orientation="rotation",
    )

    @classmethod
    def create(cls, name: str, split: str, settings: Mapping[str, Any], progress: Progress | None = None) -> Source:
        """Return the reader of the file or folder, GQN-Jaco's where it is HDF5; see `Source.create`."""
        config = build(MulmonFileConfig, settings, f"source {name}")
        kind = JacoSource if Path(config.path).suffix.lower() in (".h5", ".hdf5") else MulmonSource
        return kind(config, split)

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Return whether a folder or a JSON file looks like one of these layouts."""
        if path.is_file():
            return path.suffix == ".json"
        raw = (path / "images").is_dir() and (path / "scenes").is_dir()
        return raw or any(any(path.glob(f"*_{name}.json")) for name in ("train", "val*", "test"))

    config: MulmonFileConfig

    def __init__(self, config: MulmonFileConfig, split: str = "train") -> None:
        super().__init__(config, split)
        raw = (self.path / "images").is_dir()
        index = None if raw else _index_file(self.path, split)
        self._raw = raw
        self._scenes: list[Any] = (
            sorted((self.path / "scenes").glob("*.json")) if index is None else _packed_scenes(index)
        )
        if raw and not self._scenes:
            problem = f"expected {_RAW}; found no JSON file in scenes."
            raise InputError(self.path, problem, "Give the folder above images.")
        self._index = index
        total = len(self._scenes)
        span = split_records(config, self.split, total, None if raw else {self.split: (0, total)})
        images, _ = self._arrays(span.start)
        self._settle(
            span,
            (*images.shape[1:3], 3),
            frames=len(images),
            max_objects=max(self._known(record)["count"] for record in (span if not raw else span[:64])),
            origin=f"{self.path.name}, {self.split}, scenes {span.start} to {span.stop - 1}, views as frames",
        )

    def fingerprint(self) -> str:
        """Return a hash that changes with the scenes' names and with the contents of up to 16 of them."""
        names = [str(scene.name if isinstance(scene, Path) else scene["data_path"]) for scene in self._scenes]
        return fingerprints.of_values(super().fingerprint(), names)

    def _files(self) -> list[Path]:
        if self._raw:
            return [self._scenes[record] for record in self.records]
        return [self._data_file(record) for record in self.records]

    def _read(self, record: int, first: int, stop: int) -> Record:
        images, masks = self._arrays(record, first, stop)
        facts = self._known(record)
        where, objects = self._where(record), facts["count"]
        if masks.shape[3] <= objects:
            problem = f"expected masks of 1 + {objects} channels as the JSON file has objects, found {masks.shape}."
            raise InputError(where, problem, "Do the JSON file and the scene belong together?")
        orders = facts.pop("depth_orders")[first:stop]
        facts = {key: value[first:stop] if key in _PER_VIEW else value for key, value in facts.items()}
        if not len(images) == len(masks) == len(orders) == len(facts["cameras"]) == stop - first:
            counts = f"{len(images)} images, {len(orders)} depth orders and {len(facts['cameras'])} cameras"
            raise InputError(where, f"views {first} to {stop - 1}: expected one each, found {counts}.", _REMEDY)
        ids = np.stack([_ids(view[..., 0], order, where) for view, order in zip(masks, orders, strict=True)])
        extras = {**facts, "views": np.arange(first, stop), "record": record}
        if self.config.silhouettes:
            extras["silhouettes"] = np.moveaxis(masks[..., 1 : 1 + objects], 3, 1) > 0
        return Record(to_uint8(np.ascontiguousarray(images[..., :3]), where), ids, extras)

    def _viewpoints(self, index: int, start: int, frames: int | None) -> Any:
        record, first, stop = self._place(index, start, frames)
        return self._known(record)["viewpoints"][first:stop]

    def _where(self, record: int) -> Path:
        return Path(self._scenes[record]) if self._raw else self._data_file(record)

    def _data_file(self, record: int) -> Path:
        """Return the file of a packaged scene, beside the JSON file where the folder written there is gone."""
        name = Path(self._scenes[record]["data_path"])
        name = name if is_below(str(name)) else Path(name.name)  # elsewhere nothing is opened
        base = Path(str(self._index)).parent
        places = (base / name, base / "data" / name.name, base / name.name, base.parent / name)
        return next((place for place in places if place.is_file()), base / name)

    def _arrays(self, record: int, first: int = 0, stop: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return images (V, H, W, C) and masks (V, H, W, 1 + N) of some views, uint8 and whole numbers."""
        path = self._where(record)
        if self._raw:
            views = _views(self.path, path)[first:stop]
            images = _stacked(path, [load_image(view) for view, _ in views])
            masks = _stacked(path, [_raw_mask(mask) for _, mask in views])
        else:
            images, masks = (values[first:stop] for values in load_packaged(path, self.config.allow_pickle))
        check_array(path, "images", images, (None, None, None, None), "u", _PACKED)
        check_array(path, "masks", masks, (*images.shape[:3], None), "buif", _PACKED)
        if images.shape[3] < 3:
            raise InputError(
                path, f"images: expected 3 or more channels, found {images.shape}.", f"Expected is {_PACKED}."
            )
        return images, masks

    def _known(self, record: int) -> dict[str, Any]:
        """Return what the JSON file knows of a scene."""
        scene = _json(self._scenes[record]) if self._raw else self._scenes[record]
        where = self._where(record)
        with reading(where, "a scene with camera.location, depth_orders and objects", _REMEDY):
            cameras = np.array(
                scene["camera"]["location"] if "camera" in scene else scene["camera.location"], np.float64
            )
            objects = scene["objects"]
            factors = {key: [thing[key] for thing in objects] for key in _FACTORS if all(key in t for t in objects)}
            facts = {"cameras": cameras, "viewpoints": viewpoints(cameras), "count": len(objects)}
            return {**facts, "depth_orders": scene["depth_orders"], **factors}


class JacoSource(FilesSource):
    """Scenes of the GQN-Jaco subset, views as frames, without masks.

    Args:
        config: File and settings.
        split: "train", "validation" or "test".

    Raises:
        InputError: The file is missing, damaged or of another layout.
    """

    def __init__(self, config: MulmonFileConfig, split: str = "train") -> None:
        super().__init__(config, split)
        self._opened = PerProcess(open_h5, config.path)
        images, _ = self._arrays()
        total, count, height, width, _ = images.shape
        split_of_name = next((name for name in ("train", "test") if self.path.stem.endswith(f"_{name}")), self.split)
        if split_of_name != self.split and getattr(config, self.split) is None:
            raise InputError(
                self.path, f"is the {split_of_name} file; {self.split} was asked for.", f"Choose split {split_of_name}."
            )
        self._settle(
            split_records(config, self.split, total, {self.split: (0, total)}),
            (height, width, 3),
            frames=count,
            max_objects=None,
            has_ids=False,
            origin=f"{self.path.name}, views as frames",
        )

    def _arrays(self) -> tuple[Any, Any]:
        file = self._opened.get()
        images, views = (h5_array(self.path, file, name, _JACO) for name in ("images", "viewpoints"))
        check_array(self.path, "images", images, (None, None, None, None, 3), "uf", _JACO)
        check_array(self.path, "viewpoints", views, (*images.shape[:2], None), "f", _JACO)
        return images, views

    def _read(self, record: int, first: int, stop: int) -> Record:
        images, views = self._arrays()
        with reading(f"{self.path}, scene {record}", "images that can be read", _REMEDY):
            pictures = to_uint8(np.asarray(images[record, first:stop]), f"{self.path}, scene {record}")
            return Record(pictures, None, {"viewpoints": np.asarray(views[record, first:stop]), "record": record})

    def _viewpoints(self, index: int, start: int, frames: int | None) -> Any:
        record, first, stop = self._place(index, start, frames)
        with reading(f"{self.path}, scene {record}", "viewpoints that can be read", _REMEDY):
            return np.asarray(self._arrays()[1][record, first:stop])


def viewpoints(cameras: np.ndarray) -> np.ndarray:
    """Return the vectors that MulMON is fed: the direction of each camera in the ground plane, less (1, 0, 0).

    Args:
        cameras: Places of the cameras, shape (V, 3).

    Returns:
        float64, shape (V, 3); the third is 0.
    """
    flat = cameras * np.array([1.0, 1.0, 0.0])
    return flat / np.linalg.norm(flat, axis=1, keepdims=True) - np.array([1.0, 0.0, 0.0])


def _ids(labels: np.ndarray, order: list[int], where: object) -> np.ndarray:
    """Turn ranks by nearness (0 background, 1 nearest) into object numbers plus one."""
    table = np.array([0, *(number + 1 for number in order)], np.int64)
    if sorted(table[1:].tolist()) != list(range(1, len(table))):
        raise InputError(where, f"depth_orders: expected every object once, found {order}.", _REMEDY)
    labels = labels.astype(np.int64)
    if labels.min() < 0 or labels.max() >= len(table):
        problem = f"masks: expected labels 0 to {len(order)}, found {labels.min()} to {labels.max()}."
        raise InputError(where, problem, "Do the JSON file and the scene belong together?")
    return table[labels]


def _index_file(path: Path, split: str) -> Path:
    """Return the JSON file of a split."""
    if path.is_file():
        other = next((name for name in ("train", "test") if path.stem.endswith(f"_{name}") and name != split), None)
        if other and split in ("train", "test"):
            raise InputError(
                path, f"is the {other} file; {split} was asked for.", f"Choose split {other}, or the folder."
            )
        return path
    names = {"train": "train", "validation": "val*", "test": "test"}
    files = sorted(path.glob(f"*_{names[split]}.json"))
    if len(files) != 1:
        listing = ", ".join(file.name for file in sorted(path.glob("*.json"))) or "no JSON file"
        problem = f"expected one *_{names[split]}.json, or {_RAW}; found {listing}."
        raise InputError(path, problem, "Choose another split, or name one file as path.")
    return files[0]


def _packed_scenes(index: Path) -> list[dict[str, Any]]:
    """Return the scenes of a JSON file, checked as far as names of keys go."""
    scenes = _json(index).get("scenes")
    if not isinstance(scenes, list) or not scenes:
        raise InputError(index, "expected a list of scenes, found none.", "Is it a file of another set?")
    for number, scene in enumerate(scenes):
        missing = [key for key in ("data_path", "depth_orders", "objects") if key not in scene]
        if missing:
            keys = ", ".join(scene)
            raise InputError(
                f"{index}, scene {number}",
                f"expected {missing[0]}, found {keys}.",
                f"Expected is {_PACKED} per scene.",
            )
    return scenes


def _json(path: Path) -> dict[str, Any]:
    return read_json_mapping(path, "a JSON file of scenes", _REMEDY, _LARGEST)


def _views(root: Path, scene: Path) -> list[tuple[Path, Path]]:
    """Return image and mask of every view of a raw scene in order, without looking at those of other scenes."""
    views = []
    for view in itertools.count():
        name = f"{scene.stem}_{view:02d}"
        image = root / "images" / f"{name}.png"
        if not image.is_file():
            break
        views.append((image, root / "masks" / f"{name}.npy"))
    if not views:
        raise InputError(scene, f"expected images {scene.stem}_00.png and so on, found none.", f"Expected is {_RAW}.")
    return views


def _stacked(scene: Path, views: list[np.ndarray]) -> np.ndarray:
    shapes = dict.fromkeys(view.shape for view in views)
    if len(shapes) > 1:
        shapes_text = " and ".join(str(shape) for shape in shapes)
        raise InputError(scene, f"expected images and masks of one shape in all views, found {shapes_text}.", _REMEDY)
    return np.stack(views)


def _raw_mask(path: Path) -> np.ndarray:
    check_readable(path)
    with reading(path, "a plain npy array of masks (H, W, 1 + N)", _REMEDY):
        mask = np.load(path, allow_pickle=False)
    if mask.ndim != 3:
        raise InputError(path, f"expected masks (H, W, 1 + N), found {mask.shape}.", "Is it of another set?")
    return mask


def load_packaged(path: Path, allow_pickle: bool) -> tuple[np.ndarray, np.ndarray]:
    """Load a packaged scene, whatever its name ends in: an npz archive, or a pickled mapping if that is allowed."""
    check_readable(path)
    with path.open("rb") as file:
        pickled = file.read(2) != b"PK"
    if pickled and not allow_pickle:
        remedy = "Set allow_pickle=true if you trust the file, since it can run programs; or save it with np.savez."
        raise InputError(path, "expected an npz archive, found what may be a pickled mapping.", remedy)
    with reading(path, _PACKED, _REMEDY):
        content = np.load(path, allow_pickle=pickled)
        table = content.item() if isinstance(content, np.ndarray) else dict(content)
        missing = [name for name in ("images", "masks") if name not in table]
        if missing:
            listing = ", ".join(table) or "nothing"
            raise InputError(path, f"expected {missing[0]}, found {listing}.", f"Expected is {_PACKED}.")
        return np.asarray(table["images"]), np.asarray(table["masks"])
