"""Where a small mask lies in a larger picture: its pixels there, run lengths, box and area, without painting it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np


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
