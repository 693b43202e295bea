"""The eight colours of PROVIDE's bouncing balls, and painting id maps with them."""

from __future__ import annotations

import numpy as np

from scenewise.errors import InputError

PALETTE = np.array(
    [
        (166, 206, 227),
        (31, 120, 180),
        (178, 223, 138),
        (51, 160, 44),
        (251, 154, 153),
        (227, 26, 28),
        (253, 191, 111),
        (255, 127, 0),
    ],
    dtype=np.uint8,
)
"""The colours as PROVIDE's code writes them, shape (8, 3)."""


def palette(colours: int = 8, order: str = "bgr") -> np.ndarray:
    """Return the colour of every id, background first.

    Args:
        colours: How many of the eight colours are used; ids beyond that begin again with the first.
        order: "bgr" for what PROVIDE's model saw (its images were written as BGR and read as RGB), "rgb" for the
            colours as written.

    Returns:
        uint8 RGB, shape (256, 3): row 0 is black, row i the colour of id i.

    Raises:
        InputError: The order or the number of colours is unknown.
    """
    if order not in ("bgr", "rgb") or not 1 <= colours <= len(PALETTE):
        raise InputError("palette", f"expected 1 to 8 colours in order bgr or rgb; found {colours}, {order!r}.")
    colours_of_order = PALETTE[:colours, ::-1] if order == "bgr" else PALETTE[:colours]
    table = np.zeros((256, 3), np.uint8)
    table[1:] = colours_of_order[np.arange(255) % colours]
    return table


def paint(ids: np.ndarray, colours: int = 8, order: str = "bgr", colour_by: str = "id") -> np.ndarray:
    """Paint id maps (provide.md 14.3).

    Args:
        ids: Whole numbers 0 to 255, shape (..., H, W).
        colours: See `palette`.
        order: See `palette`.
        colour_by: "id" gives an id the same colour in all frames; "rank" gives the l-th smallest id present in a
            frame colour l, as PROVIDE's code did, so that colours shift when an object leaves a frame.

    Returns:
        uint8 RGB, shape (..., 3, H, W).
    """
    if colour_by not in ("id", "rank"):
        raise InputError("colour_by", f"expected id or rank; found {colour_by!r}.")
    table = palette(colours, order)
    if colour_by == "rank":
        ids = _ranks(ids)
    return np.moveaxis(table[ids], -1, -3)


def _ranks(ids: np.ndarray) -> np.ndarray:
    """Replace every id by its place among the ids present in its frame."""
    flat = ids.reshape(-1, *ids.shape[-2:])
    ranked = np.empty(flat.shape, np.intp)
    for frame, out in zip(flat, ranked, strict=True):
        present = np.zeros(256, bool)
        present[frame] = True
        present[0] = False
        out[:] = np.where(frame > 0, np.cumsum(present)[frame], 0)
    return ranked.reshape(ids.shape)
