"""Folders of images as videos, in natural order of their names."""

from __future__ import annotations

import os
import re
import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any

from scenewise.errors import InputError, printable
from scenewise.media.files import reading, version_of
from scenewise.media.images import image_size, read_image
from scenewise.media.pixels import UsedRange
from scenewise.media.reader import MediaFrame, Selection, VideoReader, fit, safe_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy as np

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".avif")
_NUMBERS = re.compile(r"(\d+)")


class FolderReader(VideoReader):
    """Images of a folder, or a single image, as one video; see `VideoReader`.

    16-bit images are scaled to 8 bits, grey becomes RGB, transparency is laid on black, EXIF rotation is applied. Of a
    file with several pictures the first counts, and `problems` says so; such a file alone is a `PicturesReader`.

    Args:
        path: A folder with images directly in it, or one image file.
        selection: What is wanted.

    Raises:
        InputError: There is no image, one cannot be read, or they differ in size.
    """

    def __init__(self, path: Path, selection: Selection) -> None:
        version = version_of(path)  # before a look at thousands of files
        self._files = image_files(path) if path.is_dir() else [path]
        if not self._files:
            endings = Counter(p.suffix for p in path.iterdir() if p.suffix and not p.name.startswith("."))
            ending, count = next(iter(endings.most_common(1)), ("", 0))
            other = f"none, but {count} of {printable(ending, 20)}" if count else "none"
            problem = f"expected images ({', '.join(IMAGE_ENDINGS)}); found {other}."
            raise InputError(path, problem, "Give a folder with images directly in it.")
        size = image_size(self._files[0])
        for file in self._files[1:]:
            _check_size(file, image_size(file), self._files[0], size)
        super().__init__(path, safe_name(path), size, selection, total=len(self._files))
        self._version = version

    def _holds_the_same(self) -> bool:
        """Return whether a folder has the images it had: other files may come and go beside them."""
        return self.path.is_dir() and image_files(self.path) == self._files

    def _read(self) -> Iterator[MediaFrame]:
        used, stop = UsedRange(), self.selection.stop
        left_out: list[int] = []  # pictures behind the first, of each file that has any
        for index in range(len(self._files))[self.selection.start : stop : self.selection.every]:
            file = self._files[index]
            image = read_image(file)
            _check_size(file, image.pixels.shape[:2], self._files[0], self.source_size)
            if image.brightest is not None:
                used.see(image.brightest, image.full)
            if image.pictures > 1:
                left_out.append(image.pictures - 1)
            yield MediaFrame(index, None, fit(image.pixels, self.selection))
        if left_out:
            count = "1 file holds" if len(left_out) == 1 else f"{len(left_out)} files hold"
            self.note(f"{count} several pictures, of which the first counts; {sum(left_out)} were left out.")
        for problem in used.problems():
            self.note(problem)


def image_files(folder: Path) -> list[Path]:
    """Return the images directly in `folder` in natural order (2 before 10); hidden files are left out.

    Raises:
        InputError: The folder cannot be listed.
    """
    return [folder / name for name in sorted(image_names(folder), key=_natural)]


def image_names(folder: Path) -> list[str]:
    """Return the names of the images directly in `folder`, in no order.

    Raises:
        InputError: The folder cannot be listed.
    """
    with reading(folder, "a folder that can be listed", "Change its permissions."):
        names = os.listdir(folder)
    return [n for n in names if os.path.splitext(n)[1].lower() in IMAGE_ENDINGS and not n.startswith(".")]


def natural_order(paths: Sequence[Path]) -> list[Path]:
    """Return paths sorted by name, runs of digits by their number.

    Examples:
        >>> from pathlib import Path
        >>> [path.name for path in natural_order([Path("frame10.png"), Path("frame9.png"), Path("Frame1.png")])]
        ['Frame1.png', 'frame9.png', 'frame10.png']
    """
    return sorted(paths, key=lambda path: _natural(path.name))


def _natural(name: str) -> tuple[list[Any], str]:
    parts: list[Any] = _NUMBERS.split(name.casefold())
    parts[1::2] = map(int, parts[1::2])
    return parts, name


def load_image(path: Path) -> np.ndarray:
    """Read an image file of any mode, upright, as uint8 (H, W, 3); of several pictures the first, with a warning.

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
    image = read_image(path)
    if image.pictures > 1:  # once for each folder: Python shows the same warning once
        message = f"{path.parent}: holds image files of several pictures, of which the first counts."
        warnings.warn(message, stacklevel=2)
    return image.pixels


def _check_size(path: Path, found: tuple[int, ...], first: Path, expected: tuple[int, int]) -> None:
    if tuple(found) != expected:
        problem = (
            f"expected images of one size; {first.name} has height {expected[0]}, width {expected[1]}, "
            f"{path.name} has height {found[0]}, width {found[1]}."
        )
        raise InputError(path.parent, problem, "Scale them to one size, or give each size its own folder.")
