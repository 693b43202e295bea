"""How fast sources make videos as folders have them made, with one process and with several."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from scenewise.data.contract import DESCRIPTIONS, SOURCES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scenewise.data.contract import Source

_BETWEEN = 0.01  # seconds until all processes have begun

LEAST = {
    "avenue": 200.0, "crowd": 150.0,
    "balls": 10_000.0, "balls-binary": 10_000.0, "balls-colour": 10_000.0, "ddpae-balls": 2000.0,
    "moving-mnist": 2000.0, "moving-mnist-colour": 2000.0, "moving-sprites": 2000.0,
    "multi-dsprites": 2000.0, "multi-dsprites-binarized": 2000.0, "multi-dsprites-coloured": 2000.0,
    "shapes": 2000.0, "tetrominoes": 2000.0, "textured-mnist": 2000.0, "textured-mnist-waves": 2000.0,
    "cle-mv": 40.0, "clevr": 50.0, "clevr6": 50.0, "dolphin": 20.0, "objects-room": 80.0,
}  # fmt: skip
"""Least frames per second of CPU time, whole samples, on one core of a server of 2020: half of what is usual there."""


class Turn(NamedTuple):
    """What one process did: videos made, and the seconds that took by the clock and of its core."""

    samples: int
    wall: float
    cpu: float


@dataclass(frozen=True)
class Speed:
    """Medians over the rounds.

    Attributes:
        source: Its name.
        frames: Frames of a video, None where it varies.
        size: (H, W).
        per_core: Videos per second of CPU time, which other programs on the machine hardly lengthen.
        rates: Videos per second by the clock, by the number of processes that work at the same time.
    """

    source: str
    frames: int | None
    size: tuple[int, int]
    per_core: float
    rates: dict[int, float]

    @property
    def too_slow(self) -> bool:
        """Whether it is below its row of `LEAST`."""
        return self.frames is not None and self.per_core * self.frames < LEAST.get(self.source, 0.0)


def generated() -> list[str]:
    """Return the names of all sources that need no files."""
    return [name for name in SOURCES.names() if name in DESCRIPTIONS and DESCRIPTIONS[name].kind == "generated"]


class Bench:
    """Processes that stay for all sources, so that starting them is no part of what is measured.

    Args:
        workers: Numbers of processes to compare.
    """

    def __init__(self, workers: Sequence[int] = (1, 2)) -> None:
        self.workers = tuple(workers)
        context = multiprocessing.get_context("spawn")
        self._pools = [ProcessPoolExecutor(1, context) for _ in range(max(workers))]  # one each, so that all work

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *error: object) -> None:
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)

    def measure(
        self,
        name: str,
        settings: dict[str, Any],
        seconds: float = 1.0,
        rounds: int = 3,
        tell: Callable[[str], None] | None = None,
    ) -> Speed:
        """Return how fast a source is; numbers of processes take turns, so that none has the quieter minutes.

        Args:
            name: Of the source.
            settings: Its settings.
            seconds: How long every process works in a round.
            rounds: How often.
            tell: Called with what is being done.

        Raises:
            InputError: There is no such source, or it cannot be opened.
        """
        facts = SOURCES.get(name)(split="train", **settings).facts
        self._together(max(self.workers), name, settings, 0.0)  # imports, tables, first touches
        rates: dict[int, list[float]] = {many: [] for many in self.workers}
        cores = []
        for number in range(rounds):
            for many in self.workers:
                if tell is not None:
                    tell(f"round {number + 1} of {rounds}, {many} at a time")
                turns = self._together(many, name, settings, seconds)
                rates[many].append(sum(turn.samples / turn.wall for turn in turns))
                cores += [turn.samples / max(turn.cpu, 1e-9) for turn in turns]
        medians = {many: statistics.median(values) for many, values in rates.items()}
        return Speed(name, facts.frames, facts.size, statistics.median(cores), medians)

    def _together(self, many: int, name: str, settings: dict[str, Any], seconds: float) -> list[Turn]:
        begin = time.time() + _BETWEEN
        futures = [pool.submit(_turn, name, settings, seconds, begin) for pool in self._pools[:many]]
        return [future.result() for future in futures]


_SOURCES: dict[str, Source] = {}


def _turn(name: str, settings: dict[str, Any], seconds: float, begin: float) -> Turn:
    key = f"{name} {sorted(settings.items())}"
    if key not in _SOURCES:
        _SOURCES.clear()
        _SOURCES[key] = SOURCES.get(name)(split="train", **settings)
        _SOURCES[key].sample(0)
    source = _SOURCES[key]
    most = min(source.at_once, len(source))
    time.sleep(max(0.0, begin - time.time()))
    wall, cpu, done = time.perf_counter(), time.process_time(), 0
    while True:
        first = done % (len(source) - most + 1)
        done += len(source.samples(range(first, first + most)))
        wall_seconds = time.perf_counter() - wall
        if wall_seconds >= seconds:
            return Turn(done, wall_seconds, time.process_time() - cpu)
