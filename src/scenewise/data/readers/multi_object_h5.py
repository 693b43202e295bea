"""The Multi-Object Datasets as others have converted them: HDF5 files and folders of npy files.

Three layouts are told apart by what is there:

- EfficientMORL (zenodo 4895643): groups train, val, test with `imgs` (N, H, W, C), `masks` (N, E, H, W, 1), `factors`.
- object-centric-library: `image` (N, H, W, C) and `mask` (N, H, W, 1), a map of ids, at the root; factors next to them.
- GENESIS: a folder with `{training,validation,test}_{images,masks}_rand4[_unique].npy`.

The second has no splits: of 100,000 images 90,000 are for training and 5,000 each for validation and testing, as its
authors have it; other numbers are divided 80:10:10 in order. Factors are in `extras` as stored. The pickled
`-metadata.npy` next to the second is not needed and never opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scenewise.config import setting
from scenewise.data.containers.hdf5 import h5_array
from scenewise.data.containers.per_process import PerProcess
from scenewise.data.contract import Description, ObjectKeys, register_source
from scenewise.data.readers.base import FilesConfig, FilesSource, Record, check_array, ids_from_masks, split_records
from scenewise.errors import InputError
from scenewise.media.files import reading
from scenewise.media.hdf5 import open_h5
from scenewise.media.npy import check_mapped

_NAME = "multi-object-hdf5"
_GROUPS = {"train": "train", "validation": "val", "test": "test"}
_PREFIXES = {"train": "training", "validation": "validation", "test": "test"}
_MORL = "EfficientMORL's layout: groups train, val, test with imgs (N, H, W, C) and masks (N, E, H, W, 1)"
_LIBRARY = "object-centric-library's layout: image (N, H, W, C) and mask (N, H, W, 1)"
_GENESIS = "GENESIS's layout: {training,validation,test}_{images,masks}_rand4[_unique].npy"
_LIBRARY_SPLITS = {"train": (0, 90_000), "validation": (90_000, 95_000), "test": (95_000, 100_000)}
_ROOM_BACKGROUNDS = 4
_LOOKED_AT = 64  # records whose ids are looked at where nothing tells the number of objects
_REMEDY = "It may be incomplete; get or copy it again."


@dataclass(frozen=True)
class MultiObjectH5Config(FilesConfig):
    """Settings of the reader of converted Multi-Object Datasets."""

    masks: str | None = setting(None, "npy file of masks where path is an npy file of images")
    background_ids: tuple[int, ...] | None = setting(
        None, "ids that are background; none: 0, and 0 to 3 where the file's name says Objects Room", minimum=0
    )


@dataclass(frozen=True)
class _ImageArrays:
    """The arrays of a split: images (N, H, W, C), masks or ids, and all others of the same N."""

    images: Any
    masks: Any
    others: dict[str, Any]


@register_source(
    _NAME,
    Description(
        what="CLEVR, Multi-dSprites, Objects Room, Tetrominoes, ClevrTex, ShapeStacks as others converted them",
        kind="files",
        paper="EfficientMORL (Emami et al. 2021), object-centric-library (Dittadi et al. 2022), GENESIS",
        size="1 frame of any size",
        factors=("whatever the file has", "visibility"),
        licence="that of the set converted",
        obtain="EfficientMORL: zenodo.org/record/4895643; object-centric-library: github.com/addtt/"
        "object-centric-library downloads and converts; GENESIS: github.com/applied-ai-lab/genesis makes "
        "Multi-dSprites; then path=FILE or path=FOLDER",
    ),
)
class MultiObjectH5Source(FilesSource):
    """Images of one split, each a video of one frame.

    Args:
        config: File or folder, and settings.
        split: "train", "validation" or "test".

    Raises:
        InputError: The file is missing, damaged or of another layout.
    """

    config_class = MultiObjectH5Config
    config: MultiObjectH5Config
    object_keys = ObjectKeys(
        shape="shape",
        colour="color|colour",
        material="material",
        size="size",
        position="pixel_coords",
        place="x+y",
        orientation="rotation|orientation",
        visibility="visibility",
    )

    def __init__(self, config: MultiObjectH5Config, split: str = "train") -> None:
        super().__init__(config, split)
        self._opened = PerProcess(_open, config.path, config.masks, self.split)
        arrays = self._opened.get()
        total = len(arrays.images)
        whole = _is_library(arrays) and total == _LIBRARY_SPLITS["test"][1]
        alone = {self.split: (0, total)} if not _is_library(arrays) else None
        span = split_records(config, self.split, total, _LIBRARY_SPLITS if whole else alone)
        if arrays.masks.ndim == 5:
            largest = int(arrays.masks.shape[1]) - 1
        elif "visibility" in arrays.others and arrays.others["visibility"].ndim > 1:
            largest = int(arrays.others["visibility"].shape[1]) - 1
        else:  # as seen in the first records
            largest = int(np.max(arrays.masks[span.start : min(span.stop, span.start + _LOOKED_AT)]))
        room = "objects_room" in self.path.name.lower()
        backgrounds = config.background_ids or tuple(range(_ROOM_BACKGROUNDS if room else 1))
        self._settle(
            span,
            arrays.images.shape[1:],
            frames=1,
            max_objects=largest - len(backgrounds) + 1,
            background_ids=backgrounds,
            origin=f"{self.path.name}, {self.split}, records {span.start} to {span.stop - 1}",
        )

    def _read(self, record: int, first: int, stop: int) -> Record:
        arrays = self._opened.get()
        check_mapped(arrays.images, arrays.masks)
        with reading(f"{self.config.path}, record {record}", "arrays that can be read", _REMEDY):
            image, mask = np.asarray(arrays.images[record]), np.asarray(arrays.masks[record])
            extras = {name: np.asarray(values[record]) for name, values in arrays.others.items()}
        where = f"{self.config.path}, record {record}"
        return Record(_bytes(image, where)[None], _ids(mask), {**extras, "record": record})

    def _files(self) -> list[Path]:
        if self.path.is_dir():
            return sorted(self.path.glob("*_rand4*.npy"))
        return [self.path, _twin(self.path, self.config.masks)] if self.path.suffix == ".npy" else [self.path]


def _open(path: str, masks: str | None, split: str) -> _ImageArrays:
    """Open the arrays of a split and check them; nothing of them is read."""
    place = Path(path)
    if place.is_dir() or place.suffix == ".npy":
        return _open_npy(place, masks, split)
    file = open_h5(path)
    if any(name in file for name in _GROUPS.values()):
        if _GROUPS[split] not in file:
            raise InputError(path, f"expected group {_GROUPS[split]!r}, found {', '.join(file)}.", "Choose that split.")
        group = file[_GROUPS[split]]
        return _checked(path, group, "imgs", "masks", _MORL)
    if "image" in file or "mask" in file:
        return _checked(path, file, "image", "mask", _LIBRARY)
    listing = ", ".join(file) or "nothing"
    raise InputError(path, f"expected {_MORL}, or {_LIBRARY}; found {listing}.", "Is it a file of another set?")


def _checked(path: str, group: Any, images: str, masks: str, layout: str) -> _ImageArrays:
    import h5py

    pictures, masked = h5_array(path, group, images, layout), h5_array(path, group, masks, layout)
    total, height, width = _image_shape(path, images, pictures, layout)
    shape = (total, None, height, width, 1) if masks == "masks" else (total, height, width, 1)
    check_array(path, masks, masked, shape, "buif", layout)
    others: dict[str, Any] = {}  # all arrays of the group and of groups in it, by their path

    def add(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and name not in (images, masks) and item.shape[:1] == (total,):
            others[name] = item

    group.visititems(add)
    return _ImageArrays(pictures, masked, others)


def _image_shape(path: object, name: str, array: Any, layout: str) -> tuple[int, int, int]:
    check_array(path, name, array, (None, None, None, None), "uif", layout)
    if array.shape[3] not in (1, 3):
        raise InputError(path, f"{name}: expected 1 or 3 channels last, found {array.shape}.", f"Expected is {layout}.")
    return array.shape[0], array.shape[1], array.shape[2]


def _open_npy(path: Path, masks: str | None, split: str) -> _ImageArrays:
    """Open GENESIS's files, or two files that are named, as memory maps."""
    if path.is_dir():
        files = sorted(path.glob(f"{_PREFIXES[split]}_images_rand4*.npy"))
        if len(files) != 1:
            names = ", ".join(sorted(file.name for file in path.glob("*.npy"))) or "none"
            problem = f"expected one {_PREFIXES[split]}_images_rand4*.npy; of npy files it has {names}."
            raise InputError(path, problem, "Choose another split, or keep one kind of files in the folder.")
        images, twin = files[0], _twin(files[0], None)
    else:
        images, twin = path, _twin(path, masks)
    arrays = []
    for file in (images, twin):
        if not file.is_file():
            raise InputError(file, "no such file.", "Images and masks lie next to each other.")
        with reading(file, "a plain npy array; pickled objects are never loaded", _REMEDY):
            arrays.append(np.load(file, mmap_mode="r", allow_pickle=False))
    total, height, width = _image_shape(images, "images", arrays[0], _GENESIS)
    check_array(twin, "masks", arrays[1], (total, height, width, 1), "bui", _GENESIS)
    return _ImageArrays(arrays[0], arrays[1], {})


def _twin(images: Path, masks: str | None) -> Path:
    """Return the file of masks that belongs to a file of images."""
    twin = Path(masks or images.with_name(images.name.replace("_images_", "_masks_")))
    if images == twin:
        raise InputError(images, "needs masks.", "Give masks=FILE.npy.")
    return twin


def _is_library(arrays: _ImageArrays) -> bool:
    """Return whether the arrays hold all splits."""
    return hasattr(arrays.masks, "parent") and arrays.masks.name.rpartition("/")[2] == "mask"


def _ids(mask: np.ndarray) -> np.ndarray:
    """Return ids (1, H, W) of masks (E, H, W, 1) or of a map of ids (H, W, 1)."""
    if mask.ndim == 3:
        return mask[None, ..., 0].astype(np.int64)
    masks = mask[None, ..., 0]
    if masks.dtype.kind == "b" or (masks.dtype.kind == "f" and masks.max(initial=0) <= 1):
        masks = (masks > 0.5).astype(np.uint8) * np.uint8(255)
    return ids_from_masks(masks)


def _bytes(image: np.ndarray, where: str) -> np.ndarray:
    """Return an image whose values are 0 to 255, whatever their type, as uint8."""
    if image.dtype == np.uint8:
        return image
    if not (image.min() >= 0 and image.max() <= 255):
        values_text = f"{image.min():g} to {image.max():g}"
        raise InputError(where, f"expected values from 0 to 255, found {values_text}.", "Is it a file of another set?")
    if image.dtype.kind == "f" and (image != np.rint(image)).any():
        if image.max() > 1:
            raise InputError(
                where, "expected whole numbers or floats up to 1, found other floats.", "Convert the file."
            )
        image = image * 255
    return np.rint(image).astype(np.uint8)
