"""Named, frozen ways to compute scores, side by side on the same videos.

Papers average differently, and their numbers can only be compared under the same protocol: `provide`, `rnem`, `savi`.
Every number carries the name of its protocol.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.errors import InputError
from scenewise.metrics import adjusted_rand_index, squared_error
from scenewise.metrics.arrays import integers, mean, one_of, reals
from scenewise.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Measure:
    """One number of a protocol.

    Attributes:
        name: What it is called in tables.
        quantity: "ari", "f_ari", "mse", or a function of `Videos` that returns scores as `each` does.
        scope: "frame" scores each frame, "video" all frames jointly (ARI only).
        empty: What a frame without a pixel to score is worth: "exclude" or "one".
        last: Score only the last frame of each video.
    """

    name: str
    quantity: str | Callable[[Videos], np.ndarray]
    scope: str = "frame"
    empty: str = "exclude"
    last: bool = False

    def __post_init__(self) -> None:
        """Check the flags; raises InputError."""
        if not callable(self.quantity):
            one_of(self.quantity, "quantity", ("ari", "f_ari", "mse"))
        one_of(self.scope, "scope", ("frame", "video"))
        one_of(self.empty, "empty", ("exclude", "one"))

    def each(self, videos: Videos) -> np.ndarray:
        """Return the score of each frame, shape (N, T), or of each video, shape (N, 1); NaN where empty."""
        if callable(self.quantity):
            return self.quantity(videos)
        if videos.images is not None and self.quantity == "mse":
            return squared_error(*videos.images)
        scores = adjusted_rand_index(
            videos.labels,
            videos.ids,
            foreground=self.quantity == "f_ari",
            scope=self.scope,
            background_ids=videos.background_ids,
        )
        return scores.each.reshape(len(videos.labels), -1)


@dataclass(frozen=True)
class Protocol:
    """One named, frozen way to compute scores.

    Attributes:
        name: The name every number carries.
        source: Where it comes from and what it does; also its docstring.
        measures: The numbers it gives.
        first: The first frame that is scored, counted from 0.
        weights: Weight of each scored frame of a video in frame measures other than the last score; equal where None.
    """

    name: str
    source: str
    measures: tuple[Measure, ...]
    first: int = 0
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "__doc__", self.source)

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
        listed = ",".join(f"{w:g}" for w in values)
        return replace(self, name=f"{self.name} (weights {listed})", weights=values)

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
            The values by name; measures of the reconstruction are left out where there is none.
        """
        return self.begin(background_ids).add(labels, ids, reconstruction, frames).result().values


@dataclass(frozen=True)
class Scores:
    """What a protocol found.

    Attributes:
        protocol: Its name.
        values: The numbers by name; NaN where nothing could be scored.
        curves: For measures per frame, the mean over videos at each t from 0; NaN where nothing was scored.
        empty: For each measure, the number of scored frames or videos without a pixel to score.
        videos: Number of videos.
        frames: Number of their frames from the protocol's first on, those without a pixel to score included.
        each: The mean over its frames for each video, by measure, without weights; NaN where nothing was scored.
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
            "values": {name: _plain(value) for name, value in self.values.items()},
            "curves": {name: [_plain(value) for value in curve] for name, curve in self.curves.items()},
            "empty": dict(self.empty),
            "videos": self.videos,
            "frames": self.frames,
        }


@dataclass(frozen=True)
class Videos:
    """Checked arrays of N videos.

    Attributes:
        labels: Shape (N, T, H, W).
        ids: Shape (N, T, H, W).
        images: The reconstruction and the true frames, both of shape (N, T, C, H, W), or None.
        background_ids: The true ids that are background.
    """

    labels: np.ndarray
    ids: np.ndarray
    images: tuple[np.ndarray, np.ndarray] | None
    background_ids: Collection[int]


class Accumulator:
    """Scores under one protocol, gathered video by video; videos may differ in length and size.

    Args:
        protocol: The protocol.
        background_ids: The true ids that are background.
    """

    def __init__(self, protocol: Protocol, background_ids: Collection[int] = (0,)) -> None:
        self.protocol = protocol
        self.background_ids = tuple(background_ids)
        self._tallies: dict[Measure, _Tally] = {}
        self._videos = 0
        self._frames = 0

    def add(
        self,
        labels: ArrayLike,
        ids: ArrayLike,
        reconstruction: ArrayLike | None = None,
        frames: ArrayLike | None = None,
    ) -> Accumulator:
        """Add one or several videos and return the accumulator.

        Args:
            labels: The slot that owns each pixel, at least 0, shape (N, T, H, W) or (T, H, W).
            ids: The truth, same shape: -1 for pixels to ignore.
            reconstruction: Sum over slots of soft mask times appearance, shape (N, T, C, H, W) or (T, C, H, W).
            frames: The truth in [0, 1], same shape; given with `reconstruction` or not at all.

        Raises:
            InputError: Shapes or values do not fit, or reconstructions are given for some videos only.
        """
        videos = _videos(labels, ids, reconstruction, frames, self.background_ids)
        wanted = [m for m in self.protocol.measures if m.quantity != "mse" or videos.images is not None]
        if self._tallies and list(self._tallies) != wanted:
            raise InputError("reconstruction", "was given for some videos only.", "Give it for all or none.")
        scores = [(measure, measure.each(videos)) for measure in wanted]  # all are checked before anything is counted
        for measure, each in scores:
            self._tallies.setdefault(measure, _Tally()).add(*self._select(measure, each))
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
        per_frame = [m for m in self._tallies if m.scope == "frame" and not m.last]
        return Scores(
            protocol=self.protocol.name,
            values={m.name: t.mean(self._weights(t) if m in per_frame else None) for m, t in self._tallies.items()},
            curves={m.name: self._tallies[m].curve() for m in per_frame},
            empty={m.name: tally.empty for m, tally in self._tallies.items()},
            videos=self._videos,
            frames=self._frames,
            each={m.name: tally.each for m, tally in self._tallies.items()},
        )

    def _select(self, measure: Measure, each: np.ndarray) -> tuple[np.ndarray, int]:
        """Put NaN where the protocol does not look, and count and fill what was empty where it does."""
        time = np.arange(each.shape[1])
        looked = np.ones(each.shape[1], dtype=bool)
        if measure.scope == "frame":
            looked = time >= self.protocol.first
            if measure.last:
                looked &= time == each.shape[1] - 1
        empty = np.isnan(each) & looked
        filled = np.where(empty, 1.0 if measure.empty == "one" else np.nan, each)
        return np.where(looked, filled, np.nan), int(empty.sum())

    def _weights(self, tally: _Tally) -> np.ndarray | None:
        weights = self.protocol.weights
        if weights is None:
            return None
        scored = len(tally.total) - self.protocol.first
        if len(weights) < scored:
            raise InputError("weights", f"must be one per scored frame, {scored}; found {len(weights)}.")
        return np.array((0.0,) * self.protocol.first + weights)[: len(tally.total)]


class _Tally:
    """Sum and count at each t, and the mean of each video."""

    def __init__(self) -> None:
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


PROTOCOLS: Registry[Protocol] = Registry("protocol", group="scenewise.protocols")
"""Protocols by name."""


def _register(protocol: Protocol) -> Protocol:
    return PROTOCOLS.register(protocol.name)(protocol)


PROVIDE = _register(
    Protocol(
        name="provide",
        source=(
            "PROVIDE section 4.2 and its evaluation code: ARI, F-ARI and MSE of every frame by itself, plain mean over "
            "all frames of all videos. A frame without foreground counts as F-ARI 1, as in the code."
        ),
        measures=(Measure("ARI", "ari"), Measure("F-ARI", "f_ari", empty="one"), Measure("MSE", "mse")),
    )
)

RNEM = _register(
    Protocol(
        name="rnem",
        source=(
            "R-NEM's evaluation code: F-ARI of every frame after the first (whose masks are random there), averaged "
            "with step weights (all 1), and that of the last frame. Unlike there, a frame with one object that is "
            "found whole scores 1, and one without foreground is left out."
        ),
        measures=(Measure("F-ARI", "f_ari"), Measure("last F-ARI", "f_ari", last=True)),
        first=1,
    )
)

SAVI = _register(
    Protocol(
        name="savi",
        source=(
            "After SAVi: F-ARI and ARI over the pixels of all frames of a video jointly, mean over videos, so that a "
            "slot that changes its object loses. A video without foreground is left out."
        ),
        measures=(Measure("F-ARI", "f_ari", scope="video"), Measure("ARI", "ari", scope="video")),
    )
)


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
        protocols: Names or definitions; all registered ones where None.
        background_ids: The true ids that are background.

    Returns:
        The scores by name of the protocol.

    Raises:
        InputError: A protocol is unknown, or as `Accumulator.add`.
    """
    chosen = PROTOCOLS.names() if protocols is None else list(protocols)
    found = [PROTOCOLS.get(p) if isinstance(p, str) else p for p in chosen]
    return {p.name: p.begin(background_ids).add(labels, ids, reconstruction, frames).result() for p in found}


def table(scores: Mapping[str, Scores] | Iterable[Scores], **columns: Any) -> list[dict[str, Any]]:
    """Return scores as rows of plain data, one number each, with the protocol's name on every row.

    Args:
        scores: What `score_all` returned, or scores in any order.
        **columns: Further columns that are the same in all rows: model, data, split, K, R, seed.

    Returns:
        Rows with the given columns, then protocol, measure, value (None for NaN), videos, frames, empty.
    """
    listed = scores.values() if isinstance(scores, Mapping) else scores
    return [
        {
            **columns,
            "protocol": s.protocol,
            "measure": name,
            "value": _plain(value),
            "videos": s.videos,
            "frames": s.frames,
            "empty": s.empty[name],
        }
        for s in listed
        for name, value in s.values.items()
    ]


def _videos(
    labels: ArrayLike,
    ids: ArrayLike,
    reconstruction: ArrayLike | None,
    frames: ArrayLike | None,
    background_ids: Collection[int],
) -> Videos:
    owned, truth = integers(labels, "labels", minimum=0), integers(ids, "ids", minimum=-1)
    if owned.ndim not in (3, 4) or owned.size == 0:
        raise InputError("labels", f"must have shape (N, T, H, W) or (T, H, W), all above 0; found {owned.shape}.")
    if truth.shape != owned.shape:
        raise InputError("ids", f"must have the shape of labels, {owned.shape}; found {truth.shape}.")
    images = _images(reconstruction, frames, owned.shape)
    if owned.ndim == 3:
        owned, truth = owned[None], truth[None]
        images = None if images is None else (images[0][None], images[1][None])
    return Videos(owned, truth, images, background_ids)


def _images(
    reconstruction: ArrayLike | None, frames: ArrayLike | None, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray] | None:
    if reconstruction is None and frames is None:
        return None
    if reconstruction is None or frames is None:
        raise InputError("reconstruction", "and frames must be given together.", "Give both, or neither.")
    images = reals(reconstruction, "reconstruction"), reals(frames, "frames")
    for image, name in zip(images, ("reconstruction", "frames"), strict=True):
        if image.ndim != len(shape) + 1 or image.shape[:-3] + image.shape[-2:] != shape:
            expected = (*shape[:-2], "C", *shape[-2:])
            raise InputError(name, f"must have shape {expected} to fit the labels; found {image.shape}.")
    return images


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value
