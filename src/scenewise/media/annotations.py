"""Masks and boxes as other programs take them: COCO run lengths, a JSON array, rows of the MOT challenge.

The array is valid JSON after every write. Of a small mask somewhere in a larger picture, run lengths, box and area are
told without painting it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from scenewise.errors import InputError
from scenewise.media.files import Closes, write_problem, writing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from scenewise.media.reader import VideoReader

    Box = tuple[float, float, float, float]

_TAIL = b"\n]\n"
_LONGEST_NUMBER = 7  # characters of 5 bits; enough for 2^31 pixels


def encode_rle(mask: np.ndarray) -> dict[str, Any]:
    """Return a mask as COCO RLE that `json` can write.

    Args:
        mask: Bool or 0/1, shape (H, W).

    Returns:
        `size` [H, W] and `counts`, the compressed runs as text.

    Raises:
        InputError: The mask has another shape.

    Examples:
        Runs go down the columns: two zeros, then two ones.

        >>> encode_rle(np.array([[0, 1], [0, 1]]))
        {'size': [2, 2], 'counts': '22'}
    """
    from pycocotools import mask as coco

    if mask.ndim != 2:
        raise InputError("mask", f"expected shape (H, W); found {mask.shape}.")
    encoded = coco.encode(np.asfortranarray(mask != 0, dtype=np.uint8))
    return {"size": [int(side) for side in mask.shape], "counts": encoded["counts"].decode("ascii")}


def decode_rle(rle: Mapping[str, Any]) -> np.ndarray:
    """Return the mask of a COCO RLE, compressed (text or bytes) or not (list of runs), after checking its runs.

    Args:
        rle: `size` [H, W] and `counts`.

    Returns:
        bool, shape (H, W).

    Raises:
        InputError: A key is missing, or the runs do not add up to H * W.

    Examples:
        >>> decode_rle({"size": [2, 2], "counts": [1, 2, 1]}).astype(int).tolist()
        [[0, 1], [1, 0]]
        >>> decode_rle({"size": [2, 2], "counts": [1, 2]})
        Traceback (most recent call last):
        ...
        scenewise.errors.InputError: RLE: expected runs that add up to 2 x 2 = 4; found 3. Write the mask again.
    """
    from pycocotools import mask as coco

    height, width = _size(rle)
    runs = run_lengths(rle)
    compressed = coco.frPyObjects({"size": [height, width], "counts": runs}, height, width)
    return np.ascontiguousarray(coco.decode(compressed)).astype(bool)


def run_lengths(rle: Mapping[str, Any]) -> list[int]:
    """Return the runs 0, 1, 0, 1, ... of a COCO RLE in column order, checked against its size.

    Args:
        rle: `size` [H, W] and `counts`.

    Raises:
        InputError: The text is malformed, a run is negative, or the runs do not add up to H * W.

    Examples:
        >>> run_lengths({"size": [2, 2], "counts": "22"})
        [2, 2]
    """
    height, width = _size(rle)
    counts = rle.get("counts")
    runs = _parse(counts) if isinstance(counts, (str, bytes)) else counts
    if not isinstance(runs, list) or not all(type(run) is int and run >= 0 for run in runs):
        raise InputError("RLE", "expected counts as text or as a list of runs of at least 0.", "Write the mask again.")
    if sum(runs) != height * width:
        problem = f"expected runs that add up to {height} x {width} = {height * width}; found {sum(runs)}."
        raise InputError("RLE", problem, "Write the mask again.")
    return runs


def _size(rle: Mapping[str, Any]) -> tuple[int, int]:
    size = rle.get("size")
    if not isinstance(size, (list, tuple)) or len(size) != 2 or not all(type(s) is int and s >= 0 for s in size):
        raise InputError("RLE", f"expected size [height, width]; found {size!r}.", "Write the mask again.")
    return size[0], size[1]


def _parse(counts: str | bytes) -> list[int]:
    """Undo COCO's text: 5 bits a character, least first, bit 32 for more; from the fourth on, differences."""
    codes = counts if isinstance(counts, bytes) else counts.encode("utf-8")
    runs: list[int] = []
    value = shift = 0
    for code in codes:
        bits = code - 48
        if not 0 <= bits < 64 or shift >= 5 * _LONGEST_NUMBER:
            raise InputError("RLE", "its text is not COCO RLE.", "Write the mask again.")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        value -= (1 << shift) if bits & 16 else 0
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise InputError("RLE", "its text breaks off inside a number.", "Write the mask again.")
    return runs


class _FileWriter(Closes):
    """A writer of one file."""

    path: Path
    _file: IO[bytes]

    def close(self) -> None:
        """Close the file; closing twice does nothing."""
        with writing(self.path):
            self._file.close()


class JsonArrayWriter(_FileWriter):
    """A JSON array in a file, valid after every call of `write`, also when the process is killed between two calls.

    Args:
        path: The file to write; its folder must exist.

    Raises:
        InputError: The folder cannot be written.

    Examples:
        >>> with JsonArrayWriter("numbers.json") as writer:
        ...     writer.write([1, 2])
        ...     before = json.loads(Path("numbers.json").read_text())  # whole while it is still open
        ...     writer.write([{"three": 3}])
        >>> before, json.loads(Path("numbers.json").read_text())
        ([1, 2], [1, 2, {'three': 3}])
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._end = 1
        self._empty = True
        with writing(self.path):
            self._file = self.path.open("wb", buffering=0)  # one call, one write to the system
            self._put(0, b"[")

    def write(self, items: Iterable[Any]) -> None:
        """Append items.

        Args:
            items: Plain values that `json` can write.

        Raises:
            InputError: The disk is full; the file then still holds what was there before.
        """
        lines = [json.dumps(item, separators=(",", ":"), allow_nan=False).encode() for item in items]
        if lines:
            self._put(self._end, (b"\n" if self._empty else b",\n") + b",\n".join(lines))
            self._empty = False

    def _put(self, at: int, content: bytes) -> None:
        """Write over the tail, and put the old tail back where the disk has no room for more."""
        try:
            self._write_at(at, content + _TAIL)
        except OSError as error:
            self._file.truncate(self._end)
            self._write_at(self._end, _TAIL)
            raise write_problem(self.path, error) from error
        self._end = at + len(content)

    def _write_at(self, at: int, content: bytes) -> None:
        self._file.seek(at)
        view = memoryview(content)
        while view:
            view = view[self._file.write(view) :]


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


class TracksWriter(_FileWriter):
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

    def _row(self, index: int, name: int, box: Box, confidence: float) -> str:
        left, top, width, height = box
        if not (width > 0 and height > 0):
            raise InputError(f"{self.path}, frame {index}, id {name}", f"expected a box with an area; found {box}.")
        left, top = self._left + left * self._across, self._top + top * self._down
        numbers = (left + 1, top + 1, width * self._across, height * self._down)
        coordinates = ",".join(f"{number:.10f}".rstrip("0").rstrip(".") for number in numbers)
        return f"{index + 1},{int(name)},{coordinates},{confidence:.4g},-1,-1,-1\n"


@dataclass(frozen=True)
class PictureMask:
    """A mask in pixels of the picture.

    Attributes:
        rle: COCO run lengths: `size` [H, W] and `counts` as text.
        box: (left, top, width, height) in whole pixels, from 0.
        area: Number of pixels.
    """

    rle: dict[str, Any]
    box: tuple[int, int, int, int]
    area: int


@dataclass(frozen=True)
class Placement:
    """Masks of one size that show a part of a picture; a pixel of the picture takes the mask's pixel it lies in.

    Attributes:
        size: (h, w) of the masks.
        crop: (top, left, height, width) in pixels of the picture that they show.
        picture: (H, W) of the picture.

    Examples:
        A mask of 2 x 2 that shows the right half of a picture of 4 x 8:

        >>> place = Placement(size=(2, 2), crop=(0, 4, 4, 4), picture=(4, 8))
        >>> mask = np.array([[True, False], [False, False]])
        >>> place.paint(mask).astype(int)[:3].tolist()
        [[0, 0, 0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0]]
        >>> place.encode(mask).box, place.encode(mask).area
        ((4, 0, 2, 2), 4)
    """

    size: tuple[int, int]
    crop: tuple[int, int, int, int]
    picture: tuple[int, int]

    @cached_property
    def _rows(self) -> np.ndarray:
        return _nearest(self.size[0], self.crop[2])

    @cached_property
    def _columns(self) -> np.ndarray:
        return _nearest(self.size[1], self.crop[3])

    def paint(self, mask: np.ndarray) -> np.ndarray:
        """Return the whole picture's pixels, bool (H, W), of a bool mask (h, w); False outside the crop."""
        top, left, height, width = self.crop
        picture = np.zeros(self.picture, bool)
        picture[top : top + height, left : left + width] = mask[self._rows[:, None], self._columns[None, :]]
        return picture

    def encode(self, mask: np.ndarray) -> PictureMask | None:
        """Return a bool mask (h, w) in pixels of the picture; None where no pixel of the picture is in it."""
        from pycocotools import mask as coco

        top, left = self.crop[:2]
        columns, starts, ends = self._intervals(mask)
        if not len(starts):
            return None
        area = int((ends - starts).sum())
        first, last = int(columns[0]), int(columns[-1])
        box = (left + first, top + int(starts.min()), last - first + 1, int(ends.max() - starts.min()))
        height, width = self.picture
        begin = (left + columns) * height + top  # run lengths go down the columns
        edges = np.stack([begin + starts, begin + ends], 1).reshape(-1)  # on, off, on, off, ...
        touching = np.flatnonzero(edges[1:-1:2] == edges[2::2]) * 2 + 1
        edges = np.delete(edges, np.concatenate([touching, touching + 1]))
        counts = np.diff(edges, prepend=0, append=height * width).tolist()
        runs = {"size": [height, width], "counts": counts if counts[-1] else counts[:-1]}
        text = coco.frPyObjects(runs, height, width)["counts"].decode("ascii")
        return PictureMask({"size": [height, width], "counts": text}, box, area)

    def _intervals(self, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return columns of the crop with rows [start, end) that the mask covers there, by column and row."""
        turns = np.diff(np.pad(mask.T.astype(np.int8), ((0, 0), (1, 1))), axis=1)  # (w, h + 1)
        small, begin = np.nonzero(turns == 1)
        end = np.nonzero(turns == -1)[1]
        first_row = np.searchsorted(self._rows, np.arange(self.size[0] + 1))  # of each row of the mask, in the crop
        starts, ends = first_row[begin], first_row[end]
        visible = ends > starts  # rows may fall between the picture's where it is smaller
        small, starts, ends = small[visible], starts[visible], ends[visible]
        per_column = np.bincount(small, minlength=self.size[1])
        before = np.cumsum(per_column) - per_column
        times = per_column[self._columns]
        columns = np.repeat(np.arange(len(self._columns)), times)
        place = np.arange(len(columns)) - np.repeat(np.cumsum(times) - times, times)
        take = before[self._columns[columns]] + place
        return columns, starts[take], ends[take]


def _nearest(small: int, large: int) -> np.ndarray:
    """Return in which of `small` equal parts each of `large` pixels has its centre."""
    return (2 * np.arange(large) + 1) * small // (2 * large)
