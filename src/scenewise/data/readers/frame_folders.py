"""Folders of frame images as videos: PROVIDE's PNG trees and any folder of such folders (datasets.md 2.1 and 12).

`root/[split/]video/frame.png`, sorted by number. A twin tree of masks has the same folders and stems. Masks are id maps
by default; ids are taken from colours only when asked for, and never by a hash of the colour (provide.md 14.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from scenewise.config import setting
from scenewise.data import fingerprints
from scenewise.data.contract import Description, register_source
from scenewise.data.generated.balls.world import palette
from scenewise.data.readers.base import FilesConfig, FilesSource, Record, grown_settings
from scenewise.data.readers.video import own_records
from scenewise.data.splits import check_index, time_block
from scenewise.errors import InputError
from scenewise.media.files import check_readable, reading
from scenewise.media.frames import image_files, image_names, load_image, natural_order
from scenewise.media.reader import fit_ids, fit_images

_SPLIT_FOLDERS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val"),
    "test": ("test", "testing"),
}
_MOST_COLOURS = 256
_SETTINGS = ("masks_are", "palette_order", "crop", "size", "shares")


@dataclass(frozen=True)
class FoldersConfig(FilesConfig):
    """Settings of the reader of frame folders; `train`, `validation` and `test` are places in what a split has."""

    scaling: Literal["bilinear", "area", "bicubic"] = setting("area", "how frames are scaled; all are antialiased")
    masks: str | None = setting(None, "twin tree of masks with the same folders and stems")
    masks_are: Literal["ids", "colours", "palette"] = setting(
        "ids",
        "ids: whole numbers per pixel; colours: one id per distinct colour of a video, black 0; palette: the nearest "
        "of PROVIDE's eight colours, specks removed",
    )
    palette_order: Literal["bgr", "rgb"] = setting("bgr", "order of the palette of masks_are=palette")
    shares: tuple[float, float, float] = setting(
        (0.8, 0.1, 0.1),
        "part of the videos for train, validation, test where there is no folder per split",
        minimum=0.0,
        maximum=1.0,
    )


@register_source(
    "folders",
    Description(
        what="folders of frame images, with a twin tree of masks where there is one",
        kind="files",
        paper="PROVIDE's PNG trees (Zablotskaia et al. 2021), DAVIS-like folders, your own",
        size="any",
        licence="as the files'",
        obtain="path=ROOT with ROOT/video/00000.png, masks=TWIN",
    ),
)
class FoldersSource(FilesSource):
    """Videos that lie as folders of images; only the frames asked for are read.

    Extras hold the folder's name as `video` and the stems of its images as `frames`.

    Args:
        config: Folders and settings.
        split: "train", "validation" or "test".

    Raises:
        InputError: There are no videos, or images and masks do not match.
    """

    config_class = FoldersConfig
    config: FoldersConfig
    fitted = True

    def __init__(self, config: FoldersConfig, split: str = "train") -> None:
        super().__init__(config, split)
        self._videos = _videos(self.path, split, config.shares)
        self._masks: list[Path] | None = None  # the mask folder of every video
        if config.masks is not None:
            self._masks = [Path(config.masks) / folder.relative_to(self.path) for folder in self._videos]
            missing = [str(folder) for folder in self._masks if not folder.is_dir()]
            if missing:
                problem = f"expected the same folders as in {self.path}, missing: {', '.join(missing[:3])}."
                raise InputError(Path(config.masks), problem)
        self._counts = [_count(folder) for folder in self._videos]
        self._colour_tables: dict[int, np.ndarray] = {}
        records = own_records(config, split, len(self._videos))
        first = records.start
        self._stored_size = load_image(image_files(self._videos[first])[0]).shape[:2]
        self._mask_files(first)
        counts = {self._counts[record] for record in records}
        self._settle(
            records,
            (*self._stored_size, 3),
            frames=self._counts[first] if len(counts) == 1 else None,
            max_objects=None,
            has_ids=self._masks is not None,
            origin=f"frame folders {self.path.name}",
        )

    def length(self, index: int) -> int:
        """Return the number of frames of a video."""
        return self._counts[self.records[check_index(index, len(self), self.facts.origin)]]

    def fingerprint(self) -> str:
        """Return a hash of settings, names, numbers of frames, and the first image of up to 16 videos."""
        settings = grown_settings(self.config, _SETTINGS)
        few = self._videos[:: max(1, len(self._videos) // 16)][:16]
        images = [fingerprints.of_file(image_files(folder)[0]) for folder in few]
        names = [folder.name for folder in self._videos]
        return fingerprints.of_values(settings, self.split, self._masks is not None, names, self._counts, images)

    def _read(self, record: int, first: int, stop: int) -> Record:
        files = image_files(self._videos[record])[first:stop]
        images = np.concatenate([self._image(file) for file in files])
        ids = None
        if self._masks is not None:
            ids = np.stack([self._ids(file, record) for file in self._mask_files(record)[first:stop]])
        return Record(images, ids, {"video": self._videos[record].name, "frames": [file.stem for file in files]})

    def _image(self, file: Path) -> np.ndarray:
        """Read one image as uint8 (1, H, W, 3)."""
        image = load_image(file)
        self._check_size(file, image.shape[:2])
        return fit_images(image[None], self._selection, self.config.scaling)

    def _check_size(self, file: Path, actual: tuple[int, ...]) -> None:
        expected, actual = tuple(self._stored_size), tuple(actual)
        if self.config.size is None and actual != expected:
            problem = f"expected height and width {expected} as in the first image, found {actual}."
            raise InputError(file, problem, "Set size to scale all images to one size.")
        self._selection.within((actual[0], actual[1]), file)

    def _mask_files(self, video: int) -> list[Path]:
        """Return the mask of every frame of a video."""
        if self._masks is None:
            return []
        by_stem = {file.stem: file for file in image_files(self._masks[video])}
        stems = [file.stem for file in image_files(self._videos[video])]
        missing = [stem for stem in stems if stem not in by_stem]
        if missing:
            problem = f"expected a mask for every image of {self._videos[video].name}, found none for {missing[:3]}."
            raise InputError(self._masks[video], problem, "Images and masks go by equal names.")
        return [by_stem[stem] for stem in stems]

    def _ids(self, file: Path, video: int) -> np.ndarray:
        """Read one mask as int64 (H, W)."""
        if self.config.masks_are == "ids":
            ids = read_id_map(file)
        elif self.config.masks_are == "palette":
            ids = clean_mask(load_image(file), palette(8, self.config.palette_order)[1:9])
        else:  # the distinct colours of the whole video are numbered, so that an id means the same in all its frames
            if video not in self._colour_tables:
                self._colour_tables = {video: _distinct_colours(self._mask_files(video))}
            table, codes = self._colour_tables[video], _codes(load_image(file))
            ids = np.where(codes == 0, 0, np.searchsorted(table, codes) + 1).astype(np.int64)
        self._check_size(file, ids.shape)
        return fit_ids(ids, self._selection)


def read_id_map(file: Path) -> np.ndarray:
    """Read an image whose pixel values (or palette indices) are ids.

    Args:
        file: A grey, 16-bit, palette or black-and-white image.

    Returns:
        int64, shape (H, W).

    Raises:
        InputError: The image has colours, or cannot be read.
    """
    from PIL import Image

    check_readable(file)
    with reading(file, "an image with one id per pixel", "Write it again."), Image.open(file) as image:
        mode, values = image.mode, np.asarray(image)
    if values.ndim != 2:
        remedy = "Set masks_are=colours (exact colours) or masks_are=palette (colours that compression has changed)."
        raise InputError(file, f"expected one id per pixel, found a colour image (mode {mode}).", remedy)
    return values.astype(np.int64)


def clean_mask(mask: np.ndarray, colours: np.ndarray, smallest: int = 4) -> np.ndarray:
    """Turn a colour-coded mask, such as one from a lossy video, into ids (provide.md 15).

    Every pixel takes the nearest of the given colours and black; connected parts too small to be an object become
    background.

    Args:
        mask: uint8 RGB, shape (H, W, 3).
        colours: Colour of ids 1.., shape (n, 3).
        smallest: Pixels a connected part must have to stay.

    Returns:
        int64, shape (H, W): 0 background, 1..n.
    """
    from scipy import ndimage

    palette = np.concatenate((np.zeros((1, 3)), colours)).astype(np.float32)
    distances = ((mask[..., None, :].astype(np.float32) - palette) ** 2).sum(-1)  # (H, W, n + 1)
    ids = distances.argmin(-1)
    for number in range(1, len(palette)):
        parts, count = ndimage.label(ids == number)
        areas = np.bincount(parts.ravel(), minlength=count + 1)
        ids[(areas < smallest)[parts] & (parts > 0)] = 0
    return ids


def _videos(root: Path, split: str, shares: tuple[float, float, float]) -> list[Path]:
    """Return the folders of a split: those in its own folder, or its share of all."""
    if not root.is_dir():
        raise InputError(root, "no such folder.", "Give a folder of videos, each a folder of images.")
    folders = {
        name: root / alias for name, names in _SPLIT_FOLDERS.items() for alias in names if (root / alias).is_dir()
    }
    if folders and not any(image_names(folder) for folder in folders.values()):
        if split not in folders:
            raise InputError(
                root, f"has no folder for split {split}, found {', '.join(folders)}.", "Choose one of these."
            )
        videos = _with_images(folders[split])
    else:
        videos = _with_images(root)
        first, stop = time_block(split, len(videos), shares)
        if videos and first >= stop:
            problem = f"its {len(videos)} videos leave none for split {split} with shares {tuple(shares)}."
            raise InputError(root, problem, "Change shares or add videos.")
        videos = videos[first:stop]
    if not videos:
        raise InputError(root, "expected folders of images, found none.", "See root/video/frame.png.")
    return videos


def _with_images(folder: Path) -> list[Path]:
    if image_names(folder):
        return [folder]
    inside = natural_order([path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")])
    return [path for path in inside if _count(path)]


def _count(folder: Path) -> int:
    return len(image_names(folder))


def _codes(image: np.ndarray) -> np.ndarray:
    """Return one number per colour, 0 for black; distinct colours never share one."""
    parts = image.astype(np.int64)
    return (parts[..., 0] << 16) | (parts[..., 1] << 8) | parts[..., 2]


def _distinct_colours(files: list[Path]) -> np.ndarray:
    """Return the sorted codes of all colours other than black in some masks."""
    codes: set[int] = set()
    for file in files:
        codes |= set(np.unique(_codes(load_image(file))).tolist())
        if len(codes) > _MOST_COLOURS:
            problem = f"expected one colour per object, found more than {_MOST_COLOURS} in {file.parent.name}."
            raise InputError(file, problem, "Compression has changed the colours; set masks_are=palette or clean them.")
    return np.array(sorted(codes - {0}), np.int64)
