"""Time of one run, and what many such times say."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Lap(NamedTuple):
    """Seconds of one run.

    Attributes:
        wall: As a clock on the wall has it.
        cpu: Of all threads of this process, which other processes cannot lengthen much; on a GPU the same as `wall`.
    """

    wall: float
    cpu: float


def lap(run: Callable[[], object], device: torch.device) -> Lap:
    """Return how long `run` takes; on a GPU, from its first kernel to its last."""
    if device.type == "cuda":
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        first.record()
        run()
        last.record()
        torch.cuda.synchronize()
        seconds = first.elapsed_time(last) / 1000
        return Lap(seconds, seconds)
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return Lap(time.perf_counter() - wall, time.process_time() - cpu)


@dataclass(frozen=True)
class Timing:
    """Repeated measurements in short.

    Attributes:
        median: In the unit of the measurements.
        low: First quartile.
        high: Third quartile.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Timing:
        """Return the spread of at least one value."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)
