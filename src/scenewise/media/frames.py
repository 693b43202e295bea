"""Folders of images as videos, in natural order of their names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.errors import InputError
from scenewise.media.files import check_readable, reading
from scenewise.media.pixels import fit, to_rgb, to_uint8
from scenewise.media.reader import MediaFrame, Selection, VideoReader, safe_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

_REMEDY = "Remove or replace it."
_SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap height and width
_ORIENTATION = 274  # EXIF tag


class FolderReader(VideoReader):
    """Images of a folder, or a single image, as one video; see `VideoReader`.

    16-bit images are scaled to 8 bits, grey becomes RGB, transparency is laid on black, EXIF rotation is applied. Of
    an image file with several pages the first counts.

    Args:
        path: A folder with images directly in it, or one image file.
        selection: What is wanted.

    Raises:
        InputError: There is no image, one cannot be read, or they differ in size.
    """

    def __init__(self, path: Path, selection: Selection) -> None:
        self._files = image_files(path) if path.is_dir() else [path]
        if not self._files:
            problem = f"expected images ({', '.join(IMAGE_ENDINGS)}); found none."
            raise InputError(path, problem, "Give a folder with images directly in it.")
        size = _common_size(self._files)
        super().__init__(path, safe_name(path), size, selection, total=len(self._files))

    def _read(self) -> Iterator[MediaFrame]:
        stop = self.selection.stop
        for index in range(len(self._files))[self.selection.start : stop : self.selection.every]:
            image = load_image(self._files[index])
            _check_size(self._files[index], image.shape[:2], self._files[0], self.source_size)
            yield MediaFrame(index, None, fit(image, self.selection))


def image_files(folder: Path) -> list[Path]:
    """Return the images directly in `folder` in natural order (2 before 10); hidden files are left out.

    Raises:
        InputError: The folder cannot be listed.
    """
    with reading(folder, "a folder that can be listed", "Change its permissions."):
        found = [p for p in folder.iterdir() if p.suffix.lower() in IMAGE_ENDINGS and not p.name.startswith(".")]
    return natural_order(found)


def natural_order(paths: Sequence[Path]) -> list[Path]:
    """Return paths sorted by name, runs of digits by their number.

    Examples:
        >>> from pathlib import Path
        >>> [path.name for path in natural_order([Path("frame10.png"), Path("frame9.png"), Path("Frame1.png")])]
        ['Frame1.png', 'frame9.png', 'frame10.png']
    """

    def key(path: Path) -> tuple[list[Any], str]:
        parts = re.split(r"(\d+)", path.name.casefold())
        return [int(part) if i % 2 else part for i, part in enumerate(parts)], path.name

    return sorted(paths, key=key)


def load_image(path: Path) -> np.ndarray:
    """Read an image file of any mode, upright, as uint8 (H, W, 3).

    Args:
        path: The file.

    Raises:
        InputError: It is missing, empty, broken, or of a mode without a known range.

    Examples:
        A 16-bit grey image becomes 8-bit RGB:

        >>> from pathlib import Path
        >>> from PIL import Image
        >>> Image.fromarray(np.array([[0, 32896, 65535]], np.uint16)).save("grey.png")
        >>> load_image(Path("grey.png")).tolist()
        [[[0, 0, 0], [128, 128, 128], [255, 255, 255]]]
    """
    from PIL import Image, ImageOps

    check_readable(path)
    with reading(path, "an image", _REMEDY), Image.open(path) as file:
        file.load()
        return _rgb(ImageOps.exif_transpose(file), file.format, path)


def _rgb(image: Any, kind: str | None, path: Path) -> np.ndarray:
    if image.mode.startswith("I;16") or (image.mode == "I" and kind == "PNG"):
        deep = np.asarray(image).astype(np.uint32)
        return to_rgb(((deep * 255 + 32767) // 65535).astype(np.uint8)[..., None])
    if image.mode in ("I", "F"):
        return to_rgb(to_uint8(np.asarray(image), path)[..., None])
    if image.has_transparency_data:
        return to_rgb(np.asarray(image.convert("RGBA")))
    return np.asarray(image.convert("RGB"))


def _common_size(files: list[Path]) -> tuple[int, int]:
    first = _header_size(files[0])
    for file in files[1:]:
        _check_size(file, _header_size(file), files[0], first)
    return first


def _header_size(path: Path) -> tuple[int, int]:
    """Return (H, W), upright, without decoding pixels."""
    from PIL import Image

    check_readable(path)
    with reading(path, "an image", _REMEDY), Image.open(path) as file:
        sideways = file.getexif().get(_ORIENTATION) in _SIDEWAYS
        return (file.width, file.height) if sideways else (file.height, file.width)


def _check_size(path: Path, found: tuple[int, ...], first: Path, expected: tuple[int, int]) -> None:
    if tuple(found) != expected:
        problem = (
            f"expected images of one size; {first.name} has height {expected[0]}, width {expected[1]}, "
            f"{path.name} has height {found[0]}, width {found[1]}."
        )
        raise InputError(path.parent, problem, "Scale them to one size, or give each size its own folder.")
