"""The nineteen pieces of four blocks, where they can lie without overlap, and how they are drawn.

Numbers of pieces are those of the public Tetrominoes set, 1 to 19; 0 is no piece. Rows and columns are those of the
top left corner of a piece's bounding box, in pixels. All arithmetic goes image by image, so an image is the same bytes
in any batch.
"""

from __future__ import annotations

import functools

import numpy as np

BLOCK = 5
"""Side of a block in pixels."""

PIECES = {
    1: "####",
    2: "#/#/#/#",
    3: "###/#..",
    4: "#../###",
    5: "..#/###",
    6: "###/..#",
    7: "##/.#/.#",
    8: ".#/.#/##",
    9: "##/#./#.",
    10: "#./#./##",
    11: "##./.##",
    12: ".##/##.",
    13: ".#/##/#.",
    14: "#./##/.#",
    15: ".#./###",
    16: "###/.#.",
    17: ".#/##/.#",
    18: "#./##/#.",
    19: "##/##",
}
"""Blocks of every piece by its number, rows parted by a stroke.

All but 1, 4 and 8 are read off records of the public set. Those three fill the gaps: they are the orientations that are
left, and from 3 on an odd number and the one after it are mirror images of each other.
"""

SIDES = {1: 20, 2: 25, 3: 25, 4: 30, 5: 30, 6: 30}
"""Side in pixels from which any so many pieces fit, by their number; found by trying all of them on grids of blocks."""

_SHADE = np.array([[191, 255, 255, 255, 223]] + [[127, 159, 159, 159, 191]] * 3 + [[95, 63, 63, 63, 127]], np.uint8)
_REACH = 4 * BLOCK  # pieces this far apart do not meet


def blocks(piece: int) -> np.ndarray:
    """Return (row, column) of a piece's blocks in units of blocks, shape (4, 2)."""
    rows = PIECES[piece].split("/")
    return np.array([(r, c) for r, row in enumerate(rows) for c, mark in enumerate(row) if mark == "#"])


def place(pieces: np.ndarray, draws: np.ndarray, size: int) -> np.ndarray:
    """Return where pieces go so that none overlap: one after another, each anywhere it is free.

    Args:
        pieces: Numbers of pieces, shape (N, n); 0 where there is none. At least `SIDES[n]` pixels are there for them.
        draws: Uniform in [0, 1), shape (N, n, tries, 2); each try is a row and a column.
        size: Height and width of the image in pixels.

    Returns:
        Row and column of every piece in pixels, int64, shape (N, n, 2).
    """
    room = size - _extents()[pieces] + 1  # (N, n, 2)
    tried = (draws * room[:, :, None]).astype(np.int64)
    corners = np.zeros((*pieces.shape, 2), np.int64)
    stuck = np.zeros(len(pieces), bool)
    every = np.arange(len(pieces))
    for at in range(pieces.shape[1]):
        free = ~_meets(pieces[:, at], tried[:, at], pieces[:, :at], corners[:, :at])  # (N, tries)
        corners[:, at] = tried[every, at, free.argmax(1)]
        stuck |= ~free.any(1)
    for image in np.flatnonzero(stuck):
        corners[image] = _place_with_care(pieces[image], draws[image], size)
    return corners


def draw(
    pieces: np.ndarray, corners: np.ndarray, colours: np.ndarray, size: int, shaded: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Draw pieces on black.

    Args:
        pieces: Numbers of pieces, shape (N, n); 0 where there is none.
        corners: Row and column in pixels, shape (N, n, 2).
        colours: uint8, shape (N, n, 3).
        size: Height and width in pixels.
        shaded: Give every block light and dark edges.

    Returns:
        Frames, uint8, shape (N, 1, 3, size, size), and ids, uint8, shape (N, 1, size, size): 0 background, place of the
        piece + 1.
    """
    frames = np.zeros((len(pieces), 3, size * size), np.uint8)
    ids = np.zeros((len(pieces), size * size), np.uint8)
    shade = np.tile(_SHADE.ravel(), 4).astype(np.uint16) if shaded else np.full(4 * BLOCK**2, 255, np.uint16)
    for at in range(pieces.shape[1]):
        rows = np.flatnonzero(pieces[:, at])
        spots = corners[rows, at, None] + _pixels()[pieces[rows, at]]  # (N', 100, 2)
        flat = spots[..., 0] * size + spots[..., 1]
        ids[rows[:, None], flat] = at + 1
        for channel in range(3):
            painted = colours[rows, at, channel, None] * shade // 255
            frames[rows[:, None], channel, flat] = painted
    return frames.reshape(-1, 1, 3, size, size), ids.reshape(-1, 1, size, size)


def _meets(pieces: np.ndarray, corners: np.ndarray, others: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return whether pieces (N,) at tried corners (N, tries, 2) overlap others (N, k) at places (N, k, 2)."""
    apart = places[:, None] - corners[:, :, None]
    away = np.minimum(np.maximum(apart, -_REACH), _REACH) + _REACH  # (N, tries, k, 2); `clip` looks types up first
    return np.asarray(_overlaps()[pieces[:, None, None], others[:, None], away[..., 0], away[..., 1]].any(2))


def _place_with_care(pieces: np.ndarray, draws: np.ndarray, size: int) -> np.ndarray:
    """Place the pieces (n,) of one image, each at one of all places free for it; draws of shape (n, tries, 2)."""
    everywhere = np.argwhere(np.ones((size, size)))
    for attempt in draws[..., 0].T:
        corners = np.zeros((len(pieces), 2), np.int64)
        for at, piece in enumerate(pieces):
            inside = everywhere[(everywhere + _extents()[piece] <= size).all(1)]
            meets = _meets(pieces[None, at], inside[None], pieces[None, :at], corners[None, :at])[0]
            free = inside[~meets]
            if not len(free):
                break
            corners[at] = free[int(attempt[at] * len(free))]
        else:
            return corners
    return np.array(pack(pieces.tolist(), size // BLOCK)) * BLOCK


def pack(
    pieces: list[int], side: int, occupied: frozenset[tuple[int, int]] = frozenset()
) -> list[tuple[int, int]] | None:
    """Return places on a grid of blocks, in blocks, that all pieces fit at, or None where there are none."""
    if not pieces:
        return []
    if pieces[0] == 0:
        rest = pack(pieces[1:], side, occupied)
        return None if rest is None else [(0, 0), *rest]
    shape = blocks(pieces[0])
    for place in np.ndindex(*(side - shape.max(0))):
        covered = frozenset(map(tuple, (shape + place).tolist()))
        if not covered & occupied:
            rest = pack(pieces[1:], side, occupied | covered)
            if rest is not None:
                return [(place[0], place[1]), *rest]
    return None


@functools.cache
def _extents() -> np.ndarray:
    """Return height and width in pixels by number of piece, shape (20, 2)."""
    return np.array([[0, 0]] + [(blocks(piece).max(0) + 1) * BLOCK for piece in PIECES])


@functools.cache
def _pixels() -> np.ndarray:
    """Return (row, column) of the pixels of every piece, block by block, by its number, shape (20, 100, 2)."""
    inner = np.argwhere(np.ones((BLOCK, BLOCK)))
    pixels = [(blocks(piece)[:, None] * BLOCK + inner).reshape(-1, 2) for piece in PIECES]
    return np.stack([np.zeros_like(pixels[0]), *pixels])


@functools.cache
def _overlaps() -> np.ndarray:
    """Return whether two pieces overlap, by numbers and rows and columns apart + 20, shape (20, 20, 41, 41)."""
    count = len(PIECES) + 1
    table = np.zeros((count, count, 2 * _REACH + 1, 2 * _REACH + 1), bool)
    for one in PIECES:
        for other in PIECES:
            for apart in (blocks(one)[:, None] - blocks(other)[None]).reshape(-1, 2) * BLOCK + _REACH:
                low, high = apart - BLOCK + 1, apart + BLOCK
                table[one, other, low[0] : high[0], low[1] : high[1]] = True
    return table
