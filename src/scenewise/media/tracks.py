"""Boxes over time as MOT challenge rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scenewise.errors import InputError
from scenewise.media.files import write_problem, writing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from scenewise.media.reader import VideoReader

    Box = tuple[float, float, float, float]


def mask_box(mask: np.ndarray) -> tuple[int, int, int, int] | None:
    """Return (left, top, width, height) in pixels, from 0, of a bool mask (H, W); None where it is empty.

    Examples:
        >>> mask = np.zeros((10, 10), bool)
        >>> mask[2:5, 3:9] = True
        >>> mask_box(mask)
        (3, 2, 6, 3)
        >>> mask_box(np.zeros((10, 10), bool)) is None
        True
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    left, top = int(columns[0]), int(rows[0])
    return left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1


class TracksWriter:
    r"""`tracks.csv`: rows of 10 columns without header, as the MOT challenge takes results.

    Columns: frame, id, left, top, width, height, confidence, -1, -1, -1. Frames and source pixels count from 1, as
    there; ids are written as given.

    Args:
        path: The file to write; its folder must exist.
        size: (H, W) of the masks the boxes come from.
        crop: (top, left, height, width) in source pixels that those masks show.

    Raises:
        InputError: The folder cannot be written.

    Examples:
        Masks of 32 x 32 that show the right half of 64 x 128 source pixels, twice as large:

        >>> with TracksWriter("tracks.csv", size=(32, 32), crop=(0, 64, 64, 64)) as tracks:
        ...     tracks.write_frame(0, {3: (1, 2, 4, 5)}, confidence={3: 0.9})
        >>> Path("tracks.csv").read_text()
        '1,3,67,5,8,10,0.9,-1,-1,-1\n'
    """

    def __init__(self, path: str | Path, size: tuple[int, int], crop: tuple[int, int, int, int]) -> None:
        self.path = Path(path)
        self._top, self._left = crop[:2]
        self._down, self._across = crop[2] / size[0], crop[3] / size[1]
        with writing(self.path):
            self._file = self.path.open("wb", buffering=0)  # whole frames reach the file, or nothing of them

    @classmethod
    def of(cls, path: str | Path, reader: VideoReader) -> TracksWriter:
        """Return a writer that scales boxes back to the source pixels of `reader`."""
        return cls(path, reader.size, reader.crop or (0, 0, *reader.source_size))

    def write_frame(self, index: int, boxes: Mapping[int, Box], confidence: Mapping[int, float] | None = None) -> None:
        """Append the boxes of one frame.

        Args:
            index: The frame's index, from 0; the file counts from 1.
            boxes: (left, top, width, height) in pixels of the masks, from 0, by id.
            confidence: In [0, 1], by id; 1 where it is not given.

        Raises:
            InputError: A box has no area, or the disk is full.
        """
        trust = confidence or {}
        rows = "".join(self._row(index, name, box, trust.get(name, 1.0)) for name, box in boxes.items())
        start = self._file.tell()
        try:
            if self._file.write(rows.encode()) != len(rows):
                raise OSError(28, "No space left on device")  # the system wrote a part, which means the same
        except OSError as error:
            self._file.truncate(start)
            raise write_problem(self.path, error) from error

    def close(self) -> None:
        """Close the file; closing twice does nothing."""
        with writing(self.path):
            self._file.close()

    def __enter__(self) -> TracksWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _row(self, index: int, name: int, box: Box, confidence: float) -> str:
        left, top, width, height = box
        if not (width > 0 and height > 0):
            raise InputError(f"{self.path}, frame {index}, id {name}", f"expected a box with an area; found {box}.")
        left, top = self._left + left * self._across, self._top + top * self._down
        numbers = (left + 1, top + 1, width * self._across, height * self._down)
        coordinates = ",".join(f"{number:.10f}".rstrip("0").rstrip(".") for number in numbers)
        return f"{index + 1},{int(name)},{coordinates},{confidence:.4g},-1,-1,-1\n"
