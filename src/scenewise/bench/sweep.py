"""How time, memory and work of a training step grow with frames, slots and refinements."""

from __future__ import annotations

import dataclasses
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.bench import memory
from scenewise.bench.clock import Lap, lap
from scenewise.bench.subject import Spec, Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BASE = {
    "size": [32, 32], "slots": 4, "refinements": 4, "latent": 32, "hidden": 64, "decoder": {"channels": 32},
    "encoder": {"channels": 32, "code": 64},
}  # fmt: skip
"""Settings of the swept model: `provide paper` at a size at which forty frames take seconds."""
FRAMES, SLOTS, REFINEMENTS = (4, 8, 16, 40), tuple(range(2, 9)), tuple(range(2, 9))
AXES = {
    "frames": ("frames T", FRAMES),
    "frames recomputed": ("frames T, recomputed", FRAMES),
    "slots": ("slots K", SLOTS),
    "refinements": ("refinements R", REFINEMENTS),
}
QUANTITIES = ("seconds", "cpu_seconds", "mib", "gflop")


@dataclass(frozen=True)
class Point:
    """One training step.

    Attributes:
        axis: A key of `AXES`.
        value: T, K or R.
        seconds: Median time.
        cpu_seconds: Median CPU time of all threads.
        mib: Growth of the peak memory.
        gflop: Counted.
    """

    axis: str
    value: int
    seconds: float
    cpu_seconds: float
    mib: float
    gflop: float


@dataclass(frozen=True)
class Line:
    """A straight line through one axis: quantity = start + slope * value, which explains r_squared of the variance."""

    axis: str
    quantity: str
    start: float
    slope: float
    r_squared: float


def spec_of(axis: str, value: int, device: str = "cpu", threads: int | None = None) -> Spec:
    """Return the training step of one point."""
    overrides: dict[str, Any] = dict(BASE)
    if axis.startswith("frames"):
        overrides["recompute"] = axis == "frames recomputed"
    else:
        overrides[axis] = value
    frames = value if axis.startswith("frames") else 4
    return Spec("provide", "paper", overrides, 1, frames, device, threads)


def sweep(
    repeats: int,
    device: str = "cpu",
    threads: int | None = None,
    axes: Sequence[str] = tuple(AXES),
    values: Callable[[str], Sequence[int]] = lambda axis: AXES[axis][1],
    progress: Callable[[str], None] = lambda _: None,
) -> list[Point]:
    """Measure every point; all are timed in turn, `repeats` times."""
    places = [(axis, value) for axis in axes for value in values(axis)]
    subjects = [Subject(spec_of(axis, value, device, threads)) for axis, value in places]
    progress("counting")
    gflops = [subject.record(training=True).flops / 1e9 for subject in subjects]
    laps: list[list[Lap]] = [[] for _ in subjects]
    for number in range(repeats):
        progress(f"repeat {number + 1} of {repeats}")
        for subject, seconds in zip(subjects, laps, strict=True):
            seconds.append(lap(subject.train, subject.device))
    progress("memory")
    growths = [memory.measure(subject.spec, training=True).growth for subject in subjects]
    wall = [statistics.median(each.wall for each in times) for times in laps]
    cpu = [statistics.median(each.cpu for each in times) for times in laps]
    rows = zip(places, wall, cpu, growths, gflops, strict=True)
    return [Point(*place, seconds, work, mib, gflop) for place, seconds, work, mib, gflop in rows]


def lines(points: Sequence[Point]) -> list[Line]:
    """Return the straight lines through the points of each axis; refinements have none, frames being triangular."""
    lines = []
    for axis in dict.fromkeys(point.axis for point in points if point.axis != "refinements"):
        points_on_axis = [point for point in points if point.axis == axis]
        lines += [_line(axis, quantity, points_on_axis) for quantity in QUANTITIES]
    return lines


def _line(axis: str, quantity: str, points: Sequence[Point]) -> Line:
    x = np.array([point.value for point in points], float)
    y = np.array([getattr(point, quantity) for point in points], float)
    slope, start = np.polyfit(x, y, 1)
    spread = float(((y - y.mean()) ** 2).sum())
    missed = float(((y - start - slope * x) ** 2).sum())
    return Line(axis, quantity, float(start), float(slope), 1 - missed / spread if spread else 1.0)


def plain(points: Sequence[Point]) -> dict[str, Any]:
    """Return points and lines as JSON has them."""
    return {
        "settings": BASE,
        "points": [dataclasses.asdict(point) for point in points],
        "lines": [dataclasses.asdict(line) for line in lines(points)],
    }
