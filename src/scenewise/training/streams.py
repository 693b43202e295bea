"""Random numbers that depend on nothing but (seed, purpose, step, row)."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

_PURPOSES = ("order", "offset", "noise", "seed")


def stream(seed: int, purpose: str, step: int, row: int = 0) -> np.random.Generator:
    """Return the generator of one purpose ("order", "offset", "noise" or "seed") at one step and row of the batch."""
    place = (_PURPOSES.index(purpose) << 60) | (row << 40) | step
    return np.random.Generator(np.random.Philox(key=np.array([seed, place], np.uint64)))


@functools.lru_cache(maxsize=2)
def _order(seed: int, epoch: int, length: int) -> np.ndarray:
    return stream(seed, "order", epoch).permutation(length)


def indices(seed: int, step: int, batch: int, rows: Sequence[int], length: int) -> list[int]:
    """Return which videos the rows of a step's batch show: every epoch is a new order of all `length` videos."""
    places = (step * batch + row for row in rows)
    return [int(_order(seed, place // length, length)[place % length]) for place in places]


def noise(seed: int, step: int, rows: Sequence[int], shape: tuple[int, ...]) -> np.ndarray:
    """Return the posterior noise of some rows, float32, shape (len(rows), *shape).

    A row's noise is the same however the batch is divided among devices and accumulations.
    """
    return np.stack([stream(seed, "noise", step, row).standard_normal(shape, np.float32) for row in rows])
