"""Figures of small pictures in rows and columns, with words beside them and curves above them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

INK, MUTED, LINE, PAPER = (26, 33, 48), (86, 96, 116), (214, 218, 226), (255, 255, 255)
ACCENT = (42, 85, 200)
"""Of curves and marks: it stands out from pictures that are black at their border, and from the paper."""
TILE = 88
"""Pictures are enlarged by a whole factor until their longer side has about so many pixels."""

_GAP, _MARGIN, _TEXT, _SMALL = 6, 18, 14, 12


@dataclass(frozen=True)
class FigureRow:
    """One row of pictures.

    Attributes:
        label: What it shows.
        pictures: uint8, shape (h, w, 3); None leaves the place empty.
        note: A second, smaller line.
        mark: Number of the column that is marked, or None.
        colour: Of a swatch beside the label.
        space: More pixels above it.
    """

    label: str
    pictures: Sequence[np.ndarray | None]
    note: str = ""
    mark: int | None = None
    colour: tuple[int, int, int] | None = None
    space: int = 0


@dataclass(frozen=True)
class Curve:
    """A curve above the columns.

    Attributes:
        label: What it shows, with its unit.
        values: One for each of the last columns.
    """

    label: str
    values: Sequence[float]


def figure(title: str, columns: Sequence[str], rows: Sequence[FigureRow], curves: Sequence[Curve] = ()) -> np.ndarray:
    """Return a figure, uint8, shape (height, width, 3).

    Args:
        title: Over it.
        columns: A heading for each column.
        rows: Pictures of one size.
        curves: Between title and pictures.
    """
    from PIL import Image, ImageDraw

    height, width = next(p.shape[:2] for row in rows for p in row.pictures if p is not None)
    factor = max(1, round(TILE / max(height, width)))
    height, width = height * factor, width * factor
    words = [row.label for row in rows] + [row.note for row in rows] + [curve.label for curve in curves]
    left = _MARGIN + 22 + max(int(_font(_TEXT).getlength(word)) for word in words)
    tall = 72
    top = _MARGIN + 34 + len(curves) * (tall + 14) + 24
    whole = top + sum(height + _GAP + row.space for row in rows) + _MARGIN
    canvas = Image.new("RGB", (max(left + len(columns) * (width + _GAP) + _MARGIN, 360), whole), PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text((_MARGIN, _MARGIN), title, INK, _font(18))
    for place, curve in enumerate(curves):
        upper = _MARGIN + 40 + place * (tall + 14)
        first = left + (len(columns) - len(curve.values)) * (width + _GAP) + width // 2
        _draw_curve(draw, curve, (first, upper, width + _GAP, tall))
    for place, heading in enumerate(columns):
        middle = left + place * (width + _GAP) + width // 2
        draw.text((middle, top - 8), heading, MUTED, _font(_SMALL), anchor="mb")
    for row in rows:
        top += row.space
        _draw_label(draw, row, top + height // 2)
        for place, picture in enumerate(row.pictures):
            if picture is None:
                continue
            corner = (left + place * (width + _GAP), top)
            draw.rectangle((corner[0] - 1, top - 1, corner[0] + width, top + height), outline=LINE)
            canvas.paste(Image.fromarray(picture).resize((width, height), Image.Resampling.NEAREST), corner)
            if place == row.mark:
                outside = (corner[0] - 2, top - 2, corner[0] + width + 1, top + height + 1)
                draw.rectangle(outside, outline=ACCENT, width=2)
        top += height + _GAP
    return np.asarray(canvas)


def _draw_label(draw: Any, row: FigureRow, middle: int) -> None:
    left = _MARGIN
    if row.colour is not None:
        draw.rounded_rectangle((left, middle - 6, left + 12, middle + 6), 3, fill=row.colour)
        left += 18
    if row.note:
        draw.text((left, middle), row.label, INK, _font(_TEXT), anchor="lb")
        draw.text((left, middle + 3), row.note, MUTED, _font(_SMALL), anchor="lt")
    else:
        draw.text((left, middle), row.label, INK, _font(_TEXT), anchor="lm")


def _draw_curve(draw: Any, curve: Curve, place: tuple[int, int, int, int]) -> None:
    """Draw a curve at (x of its first value, top, step, height), with its largest and last value told."""
    first, top, step, tall = place
    values = [v if math.isfinite(v) else math.nan for v in curve.values]
    finite = [v for v in values if not math.isnan(v)] or [0.0]
    low, high = min(finite), max(finite)
    room = (high - low) or 1.0
    inner = tall - 18
    points = [
        (first + i * step, top + 14 + inner * (1 - (v - low) / room)) for i, v in enumerate(values) if not math.isnan(v)
    ]
    draw.text((_MARGIN, top + tall // 2), curve.label, INK, _font(_TEXT), anchor="lm")
    draw.line((first, top + tall + 2, first + step * max(0, len(values) - 1), top + tall + 2), LINE, 1)
    if len(points) > 1:
        draw.line(points, ACCENT, 2, joint="curve")
    for (x, y), value in zip(points, (v for v in values if not math.isnan(v)), strict=True):
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=ACCENT)
        draw.text((x, y - 5), short(value), MUTED, _font(_SMALL), anchor="mb", stroke_width=2, stroke_fill=PAPER)


def short(value: float) -> str:
    """Return a number in few letters.

    Examples:
        >>> [short(v) for v in (4024.2, 77.13, 0.5123, -1.5)]
        ['4,024', '77.1', '0.51', '-1.5']
    """
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 1 else f"{value:.2g}"


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def diverging(values: np.ndarray) -> np.ndarray:
    """Return signed values (h, w) or (h, w, C) as a picture: red above 0, blue below on white, or colours about grey.

    Args:
        values: Any; the scale is the 99.5th percentile of their sizes, as a few may be far larger than all others.

    Returns:
        uint8, shape (h, w, 3).

    Examples:
        >>> diverging(np.array([[-2.0, 0.0, 2.0]]))[0].tolist()
        [[33, 102, 172], [255, 255, 255], [178, 24, 43]]
    """
    sizes = np.abs(values[np.isfinite(values)])
    top = float(np.percentile(sizes, 99.5)) or float(sizes.max()) if sizes.size else 0.0
    share = np.nan_to_num(values / top).clip(-1, 1) if top > 0 else np.zeros(values.shape)
    if share.ndim == 3 and share.shape[2] == 3:
        return np.rint(127.5 + 127.5 * share).astype(np.uint8)
    share = share.reshape(*share.shape[:2], 1)
    ends = np.where(share > 0, np.array([178, 24, 43]), np.array([33, 102, 172]))
    return np.rint(255 + np.abs(share) * (ends - 255.0)).astype(np.uint8)
