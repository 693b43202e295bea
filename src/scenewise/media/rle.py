"""COCO run-length masks, and a JSON array that is valid after every write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from scenewise.errors import InputError
from scenewise.media.files import write_problem, writing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

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


class JsonArrayWriter:
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
            self._file: IO[bytes] = self.path.open("wb", buffering=0)  # one call, one write to the system
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

    def close(self) -> None:
        """Close the file; closing twice does nothing."""
        with writing(self.path):
            self._file.close()

    def __enter__(self) -> JsonArrayWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

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
