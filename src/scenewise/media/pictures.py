"""Image files of several pictures as videos: animated WebP and PNG, and stacks of TIFF."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from scenewise.errors import InputError
from scenewise.media.files import check_readable, describe, reading
from scenewise.media.frames import FolderReader
from scenewise.media.images import REMEDY, StoredImage, image_file, image_size, stored_image
from scenewise.media.pixels import UsedRange
from scenewise.media.reader import MediaFrame, Selection, VideoReader, fit, safe_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_UNTIMED = 100  # milliseconds that browsers show a picture whose duration is given as 0
_REDUCED = 254  # TIFF tag: bit 0 marks a smaller copy of another page
_ALTERNATES = ("MPO",)  # kinds whose further pictures are previews, depths or other views of the first


class PicturesReader(VideoReader):
    """The pictures of one image file, each a frame; see `VideoReader`.

    Animations come composed, as a browser shows them, with their times; pages of a TIFF have none. Pages that are
    smaller copies of others, or of another size than the first, are left out, and `problems` says so.

    Args:
        path: The file.
        selection: What is wanted.

    Raises:
        InputError: It cannot be read.
    """

    def __init__(self, path: Path, selection: Selection) -> None:
        with _opened(path) as file:
            self._first = _first(file)
            self._stop, error = _stop(file)
            file.seek(self._first)
            file.load()
            self._timed = "duration" in file.info
            rate = 1000 / _duration(file) if self._timed else None
        total = self._stop - self._first
        super().__init__(path, safe_name(path), image_size(path), selection, rate, total)
        if error:
            self.note(f"is cut off or damaged ({error}); {total} pictures are looked for.")
        if self._first:
            self.note("holds a first picture for programs that show no animations, which is left out.")

    def _read(self) -> Iterator[MediaFrame]:
        used, seconds, index, odd = UsedRange(), 0.0, 0, 0
        with _opened(self.path) as file:
            for number in range(self._first, self._stop):
                if self.selection.ends_at(index):
                    break
                image = self._picture(file, number)
                if image is None:
                    break
                tags = getattr(file, "tag_v2", None) or {}
                if image.pixels.shape[:2] != self.source_size or int(tags.get(_REDUCED, 0)) & 1:
                    odd += 1
                    continue
                if image.brightest is not None:
                    used.see(image.brightest, image.full)
                if self.selection.takes(index):
                    yield MediaFrame(index, seconds if self._timed else None, fit(image.pixels, self.selection))
                seconds, index = seconds + _duration(file) / 1000, index + 1
        if odd:
            self.note(f"holds {odd} pictures of other sizes, which were left out.")
        for problem in used.problems():
            self.note(problem)

    def _picture(self, file: Any, number: int) -> StoredImage | None:
        """Return a picture of the file, None where it breaks off before."""
        try:
            file.seek(number)
            return stored_image(file, self.path)
        except InputError:
            raise
        except Exception as error:  # decoders raise every kind of error over bytes they do not know
            read = f"{number - self._first} of {self._stop - self._first} pictures could be read"
            self.note(f"is cut off or damaged ({describe(error)}); {read}.")
            return None


def open_image(path: Path, selection: Selection) -> VideoReader:
    """Return the reader of one image file, by how many pictures it holds.

    Raises:
        InputError: It cannot be read.
    """
    animated = False
    with suppress(InputError), _opened(path) as file:  # it is told better, or mended, by who reads one picture
        animated = getattr(file, "is_animated", False) and file.format not in _ALTERNATES
    return PicturesReader(path, selection) if animated else FolderReader(path, selection)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    check_readable(path)
    with reading(path, "an image", REMEDY), image_file(path) as file:
        yield file


def _first(file: Any) -> int:
    """Return 1 for a PNG whose first picture is no part of its animation, else 0."""
    return int(bool(getattr(file, "default_image", False)))


def _stop(file: Any) -> tuple[int, str]:
    """Return how many pictures there are, and what stops the count before the end that the file tells."""
    try:
        return int(file.n_frames), ""
    except Exception as error:  # a stack that is cut off: its pages are found one after the other
        number = 0
        with suppress(Exception):
            while True:
                file.seek(number + 1)
                number += 1
        return number + 1, describe(error)


def _duration(file: Any) -> float:
    """Return for how many milliseconds a picture is shown."""
    return float(file.info.get("duration") or _UNTIMED)
