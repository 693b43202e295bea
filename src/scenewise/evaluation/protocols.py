"""Named, frozen ways to compute scores, side by side on the same videos.

Papers average differently, and their numbers can only be compared under the same protocol: `provide`, `rnem`, `savi`.
Every number carries the name of its protocol. Most protocols are metrics of arrays, and a mean over frames and videos;
those that need more of a model (its latents, its predictions) are functions that run it themselves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.errors import InputError
from scenewise.evaluation.metric import checked_videos
from scenewise.evaluation.rows import plain
from scenewise.metrics.arrays import mean
from scenewise.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from numpy.typing import ArrayLike

    from scenewise.evaluation.metric import Metric
    from scenewise.evaluation.request import EvaluationRequest
    from scenewise.evaluation.rows import Rows


@dataclass(frozen=True)
class Protocol:
    """One named, frozen way to compute scores.

    Attributes:
        name: The name every number carries.
        source: Where it comes from and what it does; also its docstring.
        metrics: The numbers it gives.
        first: The first frame that is scored, counted from 0.
        weights: Weight of each scored frame of a video in metrics of frames but the last; equal where None.
        default: Whether it runs unasked.
        digits: Significant digits of its numbers in rows; all where None.
        function: What runs the model in place of metrics: from a request to rows (`rows.rows_of`).
    """

    name: str
    source: str
    metrics: tuple[Metric, ...] = ()
    first: int = 0
    weights: tuple[float, ...] | None = None
    default: bool = True
    digits: int | None = None
    function: Callable[[EvaluationRequest], Rows] | None = None

    def __post_init__(self) -> None:
        """Raise InputError where there are not either metrics or a function."""
        if bool(self.metrics) == (self.function is not None):
            raise InputError(f"protocol {self.name}", "needs either metrics or a function that runs the model.")
        object.__setattr__(self, "__doc__", self.source)

    def metrics_of(self, inputs: Collection[str]) -> list[Metric]:
        """Return the metrics that are content with what there is, of `metric.INPUTS`."""
        return [metric for metric in self.metrics if set(metric.inputs) <= set(inputs)]

    def weighted(self, weights: Sequence[float]) -> Protocol:
        """Return the protocol with other step weights, named so that its numbers cannot be mistaken for the original's.

        Args:
            weights: One per scored frame, at least 0 and not all 0: (0, 0, 1) scores only the third.

        Raises:
            InputError: A weight is negative or not finite, or all are 0.
        """
        values = tuple(float(w) for w in weights)
        if not all(math.isfinite(w) and w >= 0 for w in values) or not any(values):
            raise InputError("weights", f"must be at least 0 and not all 0; found {values}.")
        words = ",".join(f"{w:g}" for w in values)
        return replace(self, name=f"{self.name} (weights {words})", weights=values)

    def begin(self, background_ids: Collection[int] = (0,)) -> Accumulator:
        """Return an empty accumulator, to be fed video by video.

        Args:
            background_ids: The true ids that are background, a fact of the data source.
        """
        return Accumulator(self, background_ids)

    def score(
        self,
        labels: ArrayLike,
        ids: ArrayLike,
        reconstruction: ArrayLike | None = None,
        frames: ArrayLike | None = None,
        background_ids: Collection[int] = (0,),
    ) -> dict[str, float]:
        """Score videos that are all at hand; arguments as in `Accumulator.add`.

        Returns:
            The values by name; metrics of the reconstruction are left out where there is none.
        """
        return self.begin(background_ids).add(labels, ids, reconstruction, frames).result().values


@dataclass(frozen=True)
class Scores:
    """The scores of a protocol.

    Attributes:
        protocol: Its name.
        values: The numbers by name; NaN where nothing could be scored.
        curves: For metrics per frame, the mean over videos at each t from 0; NaN where nothing was scored.
        empty: For each metric, the number of scored frames or videos without a pixel to score.
        videos: Number of videos.
        frames: Number of their frames from the protocol's first on, those without a pixel to score included.
        each: The mean over its frames for each video, by metric, without weights; NaN where nothing was scored.
    """

    protocol: str
    values: dict[str, float]
    curves: dict[str, list[float]]
    empty: dict[str, int]
    videos: int
    frames: int
    each: dict[str, list[float]] = field(default_factory=dict, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as values that JSON can hold; NaN becomes None."""
        return {
            "protocol": self.protocol,
            "values": {name: plain(value) for name, value in self.values.items()},
            "curves": {name: [plain(value) for value in curve] for name, curve in self.curves.items()},
            "empty": dict(self.empty),
            "videos": self.videos,
            "frames": self.frames,
        }


class Accumulator:
    """Scores under one protocol, gathered video by video; videos may differ in length and size.

    Args:
        protocol: The protocol.
        background_ids: The true ids that are background.
    """

    def __init__(self, protocol: Protocol, background_ids: Collection[int] = (0,)) -> None:
        self.protocol = protocol
        self.background_ids = tuple(background_ids)
        self._tallies: dict[str, _Tally] = {}
        self._videos = 0
        self._frames = 0

    def add(
        self,
        labels: ArrayLike,
        ids: ArrayLike,
        reconstruction: ArrayLike | None = None,
        frames: ArrayLike | None = None,
        nll: ArrayLike | None = None,
        kl: ArrayLike | None = None,
    ) -> Accumulator:
        """Add one or several videos and return the accumulator.

        Args:
            labels: The slot that owns each pixel, at least 0, shape (N, T, H, W) or (T, H, W).
            ids: The truth, same shape: -1 for pixels to ignore.
            reconstruction: Sum over slots of soft mask times appearance, shape (N, T, C, H, W) or (T, C, H, W).
            frames: The truth in [0, 1], same shape; given with `reconstruction` or not at all.
            nll: -log p(frame given slots), nats, shape (N, T) or (T,).
            kl: KL(posterior || prior), nats, same shape.

        Raises:
            InputError: Shapes or values do not fit, or one of the arrays is given for some videos only.
        """
        videos = checked_videos(labels, ids, self.background_ids, reconstruction, frames, nll, kl)
        metrics = self.protocol.metrics_of(videos.inputs)
        if self._tallies and list(self._tallies) != [metric.name for metric in metrics]:
            absent = [name for metric in self.protocol.metrics for name in metric.inputs if name not in videos.inputs]
            name = absent[0] if absent else "reconstruction"
            raise InputError(name, "was given for some videos only.", "Give it for all or none.")
        scores = [metric.each(videos) for metric in metrics]  # all are checked before anything is counted
        for metric, each in zip(metrics, scores, strict=True):
            tally = self._tallies.setdefault(metric.name, _Tally(curved=each.ndim == 2 and not metric.last))
            tally.add(*self._select(metric, each))
        number, time = videos.labels.shape[:2]
        self._videos += number
        self._frames += number * max(0, time - self.protocol.first)
        return self

    def result(self) -> Scores:
        """Return the scores of all videos so far.

        Raises:
            InputError: No video has been added, or there are fewer weights than scored frames.
        """
        if not self._videos:
            raise InputError(f"protocol {self.protocol.name}", "no video was scored.", "Check that the source has any.")
        tallies = self._tallies
        return Scores(
            protocol=self.protocol.name,
            values={name: t.mean(self._weights(t) if t.curved else None) for name, t in tallies.items()},
            curves={name: tally.curve() for name, tally in tallies.items() if tally.curved},
            empty={name: tally.empty for name, tally in tallies.items()},
            videos=self._videos,
            frames=self._frames,
            each={name: tally.each for name, tally in tallies.items()},
        )

    def _select(self, metric: Metric, each: np.ndarray) -> tuple[np.ndarray, int]:
        """Put NaN where the protocol does not look, and count and fill what was empty where it does."""
        if each.ndim == 1:  # whole videos
            each, scope = each[:, None], np.ones(1, dtype=bool)
        else:
            time = np.arange(each.shape[1])
            scope = (time >= self.protocol.first) & (not metric.last or time == each.shape[1] - 1)
        empty = np.isnan(each) & scope
        scores = np.where(empty, 1.0 if metric.empty == "one" else np.nan, each)
        return np.where(scope, scores, np.nan), int(empty.sum())

    def _weights(self, tally: _Tally) -> np.ndarray | None:
        weights = self.protocol.weights
        if weights is None:
            return None
        scored = len(tally.total) - self.protocol.first
        if len(weights) < scored:
            raise InputError("weights", f"must be one per scored frame, {scored}; found {len(weights)}.")
        return np.array((0.0,) * self.protocol.first + weights)[: len(tally.total)]


class _Tally:
    """Sum and count at each t, and the mean of each video.

    Args:
        curved: Whether there is more than one t.
    """

    def __init__(self, curved: bool) -> None:
        self.curved = curved
        self.total = np.zeros(0)
        self.count = np.zeros(0)
        self.empty = 0
        self.each: list[float] = []

    def add(self, each: np.ndarray, empty: int) -> None:
        """Add values of some videos, (N, T) with NaN where a frame does not count, and how many were empty."""
        longer = max(0, each.shape[1] - len(self.total))
        self.total, self.count = (np.pad(a, (0, longer)) for a in (self.total, self.count))
        counted = ~np.isnan(each)
        self.total[: each.shape[1]] += np.where(counted, each, 0.0).sum(axis=0)
        self.count[: each.shape[1]] += counted.sum(axis=0)
        self.empty += empty
        self.each += mean(each, axis=1).tolist()

    def mean(self, weights: np.ndarray | None) -> float:
        """Return the mean over all that counts, frames weighted; NaN where nothing does."""
        w = np.ones(len(self.total)) if weights is None else weights
        count = float((w * self.count).sum())
        return float((w * self.total).sum()) / count if count else math.nan

    def curve(self) -> list[float]:
        """Return the mean at each t."""
        return [float(t / c) if c else math.nan for t, c in zip(self.total, self.count, strict=True)]


PROTOCOLS: Registry[Protocol] = Registry("protocol", "scenewise.evaluation.definitions", group="scenewise.protocols")
"""Protocols by name."""


def default_protocols(inputs: Collection[str] | None = None) -> list[Protocol]:
    """Return the protocols that run unasked, sorted by name.

    Args:
        inputs: What there is, of `metric.INPUTS`; protocols without a metric that is content with it are left out.
    """
    default = [protocol for protocol in map(PROTOCOLS.get, PROTOCOLS.names()) if protocol.default]
    return [protocol for protocol in default if inputs is None or protocol.metrics_of(inputs)]


def score_all(
    labels: ArrayLike,
    ids: ArrayLike,
    reconstruction: ArrayLike | None = None,
    frames: ArrayLike | None = None,
    protocols: Iterable[str | Protocol] | None = None,
    background_ids: Collection[int] = (0,),
) -> dict[str, Scores]:
    """Score the same videos under several protocols.

    Args:
        labels: As in `Accumulator.add`, like `ids`, `reconstruction` and `frames`.
        ids: The truth.
        reconstruction: Reconstructed frames.
        frames: True frames.
        protocols: Names or definitions; those that run unasked and need no more than these arrays where None.
        background_ids: The true ids that are background.

    Returns:
        The scores by name of the protocol.

    Raises:
        InputError: A protocol is unknown, or as `Accumulator.add`.
    """
    if protocols is None:
        definitions = default_protocols(("labels", "ids", "background_ids", "reconstruction", "frames"))
    else:
        definitions = [PROTOCOLS.get(protocol) if isinstance(protocol, str) else protocol for protocol in protocols]
    return {p.name: p.begin(background_ids).add(labels, ids, reconstruction, frames).result() for p in definitions}


def table(scores: Mapping[str, Scores] | Iterable[Scores], **columns: Any) -> list[dict[str, Any]]:
    """Return scores as rows of plain data, one number each, with the protocol's name on every row.

    Args:
        scores: What `score_all` returned, or scores in any order.
        **columns: Further columns that are the same in all rows: model, data, split, K, R, seed.

    Returns:
        Rows with the given columns, then protocol, metric, value (None for NaN), videos, frames, empty.
    """
    results = scores.values() if isinstance(scores, Mapping) else scores
    return [
        {
            **columns,
            "protocol": s.protocol,
            "metric": name,
            "value": plain(value),
            "videos": s.videos,
            "frames": s.frames,
            "empty": s.empty[name],
        }
        for s in results
        for name, value in s.values.items()
    ]
