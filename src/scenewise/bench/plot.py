"""A sweep as a picture: one panel per axis, measured points and the straight lines through them, as SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scenewise.bench.sweep import AXES, lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scenewise.bench.sweep import Line, Point

SHOWN = {
    "cpu_seconds": ("CPU time, s", "#1f77b4"),
    "gflop": ("GFLOP", "#d62728"),
    "mib": ("peak memory, MiB", "#2ca02c"),
}
"""Quantities, their legend and their colour; each is drawn relative to its largest value in the panel."""

_WIDTH, _HEIGHT, _MARGIN, _TOP = 230, 170, 36, 44


def svg(points: Sequence[Point]) -> str:
    """Return the picture of a sweep's points."""
    fitted = {(line.axis, line.quantity): line for line in lines(points)}
    axes = [axis for axis in AXES if any(point.axis == axis for point in points)]
    parts = [_panel(n, axis, [p for p in points if p.axis == axis], fitted) for n, axis in enumerate(axes)]
    width, height = len(axes) * (_WIDTH + _MARGIN) + _MARGIN, _TOP + _HEIGHT + 44
    frame = f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    style = "<style>text{font:12px sans-serif;fill:#333}</style>"
    legend = "".join(
        f'<text x="{_MARGIN + n * 170}" y="18" style="fill:{colour}">{name}</text>'
        for n, (name, colour) in enumerate(SHOWN.values())
    )
    return f'<svg {frame}>{style}<rect width="100%" height="100%" fill="#fff"/>{legend}{"".join(parts)}</svg>\n'


def _panel(number: int, axis: str, points: Sequence[Point], fitted: dict[tuple[str, str], Line]) -> str:
    left = _MARGIN + number * (_WIDTH + _MARGIN)
    far = max(point.value for point in points)
    box = f'<rect x="{left}" y="{_TOP}" width="{_WIDTH}" height="{_HEIGHT}" fill="none" stroke="#ccc"/>'
    elements = [box, f'<text x="{left}" y="{_TOP + _HEIGHT + 34}">{AXES[axis][0]}</text>']
    for value in sorted({point.value for point in points}):
        x = left + _WIDTH * value / far * 0.95
        elements.append(f'<text x="{x:.1f}" y="{_TOP + _HEIGHT + 16}" text-anchor="middle">{value}</text>')
    for quantity, (_, colour) in SHOWN.items():
        most = max(getattr(point, quantity) for point in points) or 1.0
        for point in points:
            x, y = _place(left, far, point.value, getattr(point, quantity) / most)
            elements.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
        if (axis, quantity) in fitted:
            line = fitted[axis, quantity]
            (x1, y1), (x2, y2) = (_place(left, far, v, (line.start + line.slope * v) / most) for v in (0.0, far))
            ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
            elements.append(f'<line {ends} stroke="{colour}" stroke-opacity="0.6"/>')
    return "".join(elements)


def _place(left: float, far: float, value: float, share: float) -> tuple[float, float]:
    return left + _WIDTH * value / far * 0.95, _TOP + _HEIGHT * (1 - 0.9 * share)
