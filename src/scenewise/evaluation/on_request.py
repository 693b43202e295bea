"""Protocols that look at more than labels. They cost more, so they run only where they are asked for by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.errors import InputError, nearest
from scenewise.evaluation.protocols import PROTOCOLS
from scenewise.metrics.arrays import mean
from scenewise.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scenewise.data.contract import Source
    from scenewise.models.contract import SceneModel

Rows = list[dict[str, Any]]
Values = dict[str, np.ndarray]
"""Measures by name, one number per image or scene; NaN where there is nothing to measure."""


@dataclass(frozen=True)
class Request:
    """What is to be scored.

    Attributes:
        model: In evaluation mode, on its device.
        source: Videos or scenes with ids.
        videos: How many of its first ones.
        frames: Frames (views) of each from the start.
        seeds: Seeds of the posterior noise; every seed sees the same videos.
        slots: K, the model's own where None.
        refinements: R, the model's own where None.
        batch: Videos that run side by side.
        meter: Called with the number of video frames just done.
    """

    model: SceneModel
    source: Source
    videos: int
    frames: int
    seeds: Sequence[int]
    slots: int | None
    refinements: int | None
    batch: int
    meter: Callable[[int], None]


ON_REQUEST: Registry[Callable[[Request], Rows]] = Registry(
    "protocol", "scenewise.evaluation", group="scenewise.protocols"
)
"""Protocols by name: from a request to rows as `evaluate` returns them."""


BOUND = "bound"
"""The parts of the bound, NLL and KL in nats per frame, which `evaluate` reports beside the scores of labels."""


def check_protocols(names: Sequence[str]) -> None:
    """Raise InputError where a protocol is unknown; the message names the nearest spelling."""
    known = [*PROTOCOLS.names(), BOUND, *ON_REQUEST.names()]
    for name in names:
        if name not in known:
            raise InputError(name, "is not a protocol.", nearest(name, known))


def joined(parts: Sequence[Values]) -> Values:
    """Return measures of all images, by name, from those of several batches."""
    return {name: np.concatenate([part[name] for part in parts]).astype(np.float64) for name in parts[0]}


def rows_of(protocol: str, by_seed: Sequence[Values], request: Request, keep: bool = True) -> Rows:
    """Return one row per measure; where `keep`, with the value of each image (`each`), by seed."""
    listed = []
    for name in by_seed[0]:
        each = [values[name] for values in by_seed]
        means = [mean(values) for values in each]
        row: dict[str, Any] = {
            "protocol": protocol,
            "measure": name,
            "mean": _plain(float(np.mean(means))),
            "std": _plain(float(np.std(means, ddof=1))) if len(means) > 1 else None,
            "values": [_plain(value) for value in means],
            "videos": request.videos,
            "frames": len(each[0]),
            "empty": int(np.isnan(each[0]).sum()),
        }
        listed.append(row | ({"each": [[_plain(v) for v in values] for values in each]} if keep else {}))
    return listed


def _plain(value: float) -> float | None:
    """Return six digits, None for NaN."""
    return float(f"{value:.6g}") if np.isfinite(value) else None
