"""A folder of images and a folder of masks, each image a video of one frame (datasets.md 6 and 1.4).

`ROOT/[split/]images/NAME.png` with `ROOT/[split/]masks/NAME.png` or `.npy`; re-implementations of IODINE keep CLEVR and
dSprites so. A mask image holds ids (grey, palette) or one colour per object, of which `background` is id 0 and the
others are numbered by their value in ascending order. An array holds ids, (H, W), or a mask per entity, (E, H, W) or
(H, W, E), background first. Dumps with one image per entity, `CLEVR_image_7.png` and `CLEVR_mask_7_0.png` on, are read
as well, also where all lie in one folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from scenewise.config import setting
from scenewise.data import fingerprints
from scenewise.data.contract import Description, register_source
from scenewise.data.readers.base import FilesConfig, FilesSource, Record, ids_from_masks, split_records
from scenewise.data.readers.video import match_size, own_records
from scenewise.errors import InputError
from scenewise.media.files import check_readable, reading
from scenewise.media.frames import image_files, load_image, natural_order
from scenewise.media.images import image_file

_NAME = "image-folders"
_FOLDERS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
_MOST_COLOURS = 256
_REMEDY = "Get or copy the file again."
_IMAGE, _MASK = "_image_", "_mask_"


@dataclass(frozen=True)
class ImageFoldersConfig(FilesConfig):
    """Settings of the reader of image folders."""

    images: str = setting("images", "name of the folder of images")
    masks: str | None = setting("masks", "name of the folder of masks; none: there are none")
    background: tuple[int, int, int] = setting(
        (64, 64, 64), "red, green, blue of the background in masks of colours", minimum=0, maximum=255
    )
    channel_order: Literal["rgb", "bgr"] = setting("rgb", "bgr where a program has swapped red and blue of the images")


@register_source(
    _NAME,
    Description(
        what="a folder of images and one of masks, by equal names; each image is a video of one frame",
        kind="files",
        paper="re-implementations of IODINE keep CLEVR and dSprites so",
        size="as stored",
        licence="that of the set",
        obtain="put images in ROOT/images and masks in ROOT/masks, then path=ROOT (background=[64,64,64] for masks of "
        "colours)",
    ),
)
class ImageFoldersSource(FilesSource):
    """Images of one split.

    Args:
        config: Folders and settings.
        split: "train", "validation" or "test".

    Raises:
        InputError: Folders, images or masks are missing, or are not as described.
    """

    config_class = ImageFoldersConfig
    config: ImageFoldersConfig

    def __init__(self, config: ImageFoldersConfig, split: str = "train") -> None:
        super().__init__(config, split)
        folder = next((self.path / name for name in _FOLDERS[split] if (self.path / name).is_dir()), None)
        root = folder or self.path
        self._images = _images(root, config)
        self._mask_folder = None if config.masks is None else _mask_folder(root, config.masks, self._images[0])
        total = len(self._images)
        records = own_records(config, split, total) if folder else split_records(config, split, total)
        self._stored_size = load_image(self._images[records.start]).shape[:2]
        self._settle(
            records,
            (*self._stored_size, 3),
            frames=1,
            max_objects=None,
            has_ids=self._mask_folder is not None,
            origin=f"images {root.name}, {split}, {len(records)} images",
        )

    def fingerprint(self) -> str:
        """Return a hash that also changes with names and the first masks."""
        names = [self._images[record].name for record in self.records]
        masks = [] if self._mask_folder is None else [self._masks_of(record)[0] for record in list(self.records)[:4]]
        return fingerprints.of_values(super().fingerprint(), names, [fingerprints.of_file(mask) for mask in masks])

    def _files(self) -> list[Path]:
        return [self._images[record] for record in self.records]

    def _read(self, record: int, first: int, stop: int) -> Record:
        file = self._images[record]
        image = load_image(file)
        size = (int(image.shape[0]), int(image.shape[1]))
        if self.config.size is None and self.config.crop is None and size != tuple(self._stored_size):
            problem = f"expected height and width {tuple(self._stored_size)} as in the first image, found {size}."
            raise InputError(file, problem, "Set size to scale all images to one size.")
        self._selection.within(size, file)
        image = image[..., ::-1] if self.config.channel_order == "bgr" else image
        ids = self._ids(self._masks_of(record), size)[None] if self._mask_folder is not None else None
        return Record(image[None], ids, {"image": file.name})

    def _masks_of(self, record: int) -> list[Path]:
        """Return the mask of an image, or those of its entities."""
        folder, stem = self._mask_folder or self.path, self._images[record].stem
        if _IMAGE in stem:
            masks = natural_order(list(folder.glob(f"{stem.replace(_IMAGE, _MASK)}_*.png")))
        else:
            candidates = [folder / f"{stem}{ending}" for ending in (self._images[record].suffix, ".png", ".npy")]
            masks = [file for file in candidates if file.is_file()][:1]
        if not masks:
            problem = f"expected a mask of {self._images[record].name}, found none."
            raise InputError(
                folder, problem, "Images and masks go by equal names; set masks to none if there are none."
            )
        return masks

    def _ids(self, files: list[Path], size: tuple[int, int]) -> np.ndarray:
        """Return ids, int64 (H, W)."""
        if _MASK in files[0].stem:
            masks = np.stack([match_size(_values(file), size, file) for file in files])
            return ids_from_masks(masks[None].astype(np.uint8))[0]
        if files[0].suffix == ".npy":
            return _array_ids(files[0], size)
        values = _values(files[0])
        ids = _colour_ids(files[0], values, self.config.background) if values.ndim == 3 else values.astype(np.int64)
        return match_size(ids, size, files[0])


def _images(root: Path, config: ImageFoldersConfig) -> list[Path]:
    """Return the images, without masks that lie among them."""
    if not root.is_dir():
        raise InputError(root, "no such folder.", "Give the folder that holds images and masks.")
    folder = root / config.images if (root / config.images).is_dir() else root
    images = [file for file in image_files(folder) if _MASK not in file.stem]
    if not images:
        listing = ", ".join(sorted(place.name for place in root.iterdir())[:5]) or "nothing"
        problem = f"expected images in {config.images}, found {listing}."
        raise InputError(root, problem, "Set images to the name of the folder that has them.")
    return images


def _mask_folder(root: Path, name: str, image: Path) -> Path:
    if (root / name).is_dir():
        return root / name
    if any(image.parent.glob(f"*{_MASK}*.png")):
        return image.parent
    listing = ", ".join(sorted(place.name for place in root.iterdir() if place.is_dir())[:5]) or "nothing"
    raise InputError(root, f"expected folder {name}, found {listing}.", "Set masks to its name, or to none.")


def _values(file: Path) -> np.ndarray:
    """Return ids (H, W) of a grey or palette image, else colours (H, W, 3)."""
    check_readable(file)
    with reading(file, "an image of a mask", _REMEDY), image_file(file) as image:
        if image.mode in ("P", "L", "1", "I") or image.mode.startswith("I;16"):
            return np.asarray(image)
        return np.asarray(image.convert("RGB"))


def _colour_ids(file: Path, colours: np.ndarray, background: tuple[int, int, int]) -> np.ndarray:
    """Number colours in ascending order, the background 0."""
    codes = colours.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    values = np.unique(codes)
    if len(values) > _MOST_COLOURS:
        problem = f"expected one colour per object, found {len(values)}."
        raise InputError(file, problem, "Compression has changed the colours; get masks as PNG files.")
    ground = (background[0] << 16) | (background[1] << 8) | background[2]
    if ground not in values:
        few = ", ".join(str((int(code) >> 16, int(code) >> 8 & 255, int(code) & 255)) for code in values[:5])
        problem = f"expected the background {tuple(background)}, found colours {few}."
        raise InputError(file, problem, "Set background to the one that is.")
    others = values[values != ground]
    return np.where(codes == ground, 0, np.searchsorted(others, codes) + 1)


def _array_ids(file: Path, size: tuple[int, int]) -> np.ndarray:
    check_readable(file)
    with reading(file, "an array of a mask without pickled objects", _REMEDY):
        array = np.load(file, allow_pickle=False)
    shape = tuple(array.shape)
    array = array[..., 0] if array.ndim > 2 and shape[-1] == 1 else array
    if array.dtype.kind in "bui" and array.shape == size:
        return array.astype(np.int64)
    if array.dtype.kind in "bui" and array.ndim == 3:
        if array.shape[1:] == size:
            return ids_from_masks(array[None].astype(np.uint8))[0]
        if array.shape[:2] == size:
            return ids_from_masks(np.moveaxis(array, -1, 0)[None].astype(np.uint8))[0]
    problem = f"expected whole numbers {size}, (E, {size[0]}, {size[1]}) or ({size[0]}, {size[1]}, E), "
    raise InputError(file, f"{problem}found {array.dtype} {shape}.", "Do masks and images belong together?")
