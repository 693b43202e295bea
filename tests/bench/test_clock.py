"""Laps and their spread."""

import torch

from scenewise.bench.clock import Lap, Timing, lap

CPU = torch.device("cpu")


def test_spread_and_lap():
    assert Timing.of([3.0]) == Timing(3.0, 3.0, 3.0)
    assert Timing.of([1.0, 2.0, 3.0, 4.0, 5.0]) == Timing(3.0, 2.0, 4.0)
    found = lap(lambda: sum(range(10_000)), CPU)
    assert isinstance(found, Lap)
    assert found.wall > 0
