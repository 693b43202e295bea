"""A model's scores on videos with ground truth, under named protocols, over seeds of its posterior noise."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from scenewise.errors import InputError
from scenewise.evaluation.on_request import BOUND, ON_REQUEST, Request, check_protocols, joined, rows_of
from scenewise.evaluation.protocols import PROTOCOLS, Accumulator
from scenewise.models.contract import SceneModel
from scenewise.observation import Observation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scenewise.data.contract import Source
    from scenewise.decomposition import Decomposition
    from scenewise.evaluation.on_request import Values

    Batch = tuple[list[int], np.ndarray, np.ndarray]


Several = int | Sequence[int] | None
"""One number, or several that are scored one after another; the model's or the data's own where None."""


@dataclass(frozen=True)
class Explanation:
    """What is kept of videos that were taken apart.

    Attributes:
        labels: Slot of every pixel, shape (B, T, H, W).
        reconstruction: float32, shape (B, T, C, H, W).
        nll: -log p(frame given slots), nats, shape (B, T).
        kl: KL(posterior || prior), nats, shape (B, T).
    """

    labels: np.ndarray
    reconstruction: np.ndarray
    nll: np.ndarray
    kl: np.ndarray


def evaluate(
    model: SceneModel,
    source: Source,
    protocols: Sequence[str],
    *,
    videos: int | Sequence[int] = 200,
    frames: Several = None,
    seeds: Sequence[int] = (0,),
    slots: Several = None,
    refinements: Several = None,
    batch: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Score a model on the first videos of a source.

    Of `videos`, `frames`, `slots` and `refinements` each may be several numbers: every combination is scored. A model
    that reads a video frame by frame explains the longest videos once, and shorter ones are their beginnings.

    Args:
        model: In evaluation mode, on its device.
        source: Videos with ids.
        protocols: Names of protocols, those on request and `bound` (NLL and KL in nats per frame) too.
        videos: How many videos; all where the source has fewer.
        frames: Frames of each from its start; all where None.
        seeds: Seeds of the posterior noise; every seed sees the same videos.
        slots: K, the model's own where None.
        refinements: R, the model's own where None.
        batch: Videos that run side by side. The noise depends on it, so equal numbers need an equal batch.
        progress: Called after every frame of a batch with the video frames done and their number.

    Returns:
        One row per combination, protocol and measure: `protocol`, `measure`, `mean` and `std` over seeds (None for one
        seed), `values` by seed, `videos`, `frames` scored, `empty`; `each`, the value of every video by seed; and what
        was asked for: `length` in frames, `slots` and `refinements` (None: the model's own).

    Raises:
        InputError: The source has no ids, its frames do not fit the model, or a protocol is unknown.
    """
    check_protocols(protocols)
    shared = [name for name in protocols if name == BOUND or name in PROTOCOLS.names()]
    others = [name for name in protocols if name in ON_REQUEST.names()]
    counts, lengths = _counts(videos, source), [_length(source, wanted) for wanted in _listed(frames)]
    if not source.facts.has_ids:
        raise InputError(source.facts.origin, "has no ground truth to score against.", "Use a source with ids.")
    if not seeds or min(counts) < 1:
        raise InputError("videos" if seeds else "seeds", "must name at least one.")
    passes = [tuple(lengths)] if model.keeps_slots else [(length,) for length in lengths]
    combinations = list(itertools.product(counts, _listed(slots), _listed(refinements)))
    seen = bool(shared) * sum(map(max, passes)) + len(others) * sum(lengths)
    meter = _Meter(sum(count for count, *_ in combinations) * seen * len(seeds), progress)
    rows = []
    for count, k, r in combinations:
        request = Request(model, source, count, max(lengths), seeds, k, r, batch, meter)
        for together in passes if shared else []:
            rows += _shared_rows(request, shared, together)
        for name, length in itertools.product(others, lengths):
            found = ON_REQUEST.get(name)(replace(request, frames=length))
            rows += [row | {"length": length, "slots": k, "refinements": r} for row in found]
    return rows


def _listed(wanted: Several) -> list[int | None]:
    return [wanted] if wanted is None or isinstance(wanted, int) else list(wanted)


def _counts(videos: int | Sequence[int], source: Source) -> list[int]:
    return [min(wanted, len(source)) for wanted in ([videos] if isinstance(videos, int) else videos)] or [0]


def _shared_rows(request: Request, names: Sequence[str], lengths: Sequence[int]) -> list[dict[str, Any]]:
    """Score what needs no more of a video than an `Explanation`: one pass, whose beginnings are the shorter videos."""
    model, source, background = request.model, request.source, request.source.facts.background_ids
    protocols = [PROTOCOLS.get(name) for name in names if name != BOUND]
    tallies: dict[int, list[list[Accumulator]]] = {length: [] for length in lengths}
    nats: dict[int, list[Values]] = {length: [] for length in lengths}
    for seed in request.seeds:
        for length in lengths:
            tallies[length].append([protocol.begin(background) for protocol in protocols])
        parts: list[Explanation] = []
        for chosen, drawn, ids in batches(source, request.videos, max(lengths), request.batch):
            cameras = viewpoints(model, source, chosen, max(lengths))
            found = explain(model, drawn, request.slots, request.refinements, seed, request.meter, cameras)
            truth = drawn.astype(np.float32) / 255
            for length, tally in ((t, tally) for t in lengths for tally in tallies[t][-1]):
                scored = (found.labels, ids, found.reconstruction, truth)
                tally.add(*(values[:, :length] for values in scored))
            parts.append(replace(found, labels=np.empty(0), reconstruction=np.empty(0)))
        for length in lengths:
            nats[length].append(joined([_nats(part, length) for part in parts]))
    rows = []
    for length in lengths:
        asked = {"length": length, "slots": request.slots, "refinements": request.refinements}
        made = _rows(tallies[length])
        made += rows_of(BOUND, nats[length], request) if BOUND in names else []
        rows += [row | asked for row in made]
    return rows


def _nats(part: Explanation, length: int) -> Values:
    """Return the parts of the bound, nats per frame, one number per video."""
    nll, kl = part.nll[:, :length].mean(1), part.kl[:, :length].mean(1)
    return {"NLL": nll, "KL": kl, "ELBO": -nll - kl}


@torch.no_grad()
def explain(
    model: SceneModel,
    drawn: np.ndarray,
    slots: int | None = None,
    refinements: int | None = None,
    seed: int = 0,
    meter: Callable[[int], None] | None = None,
    cameras: torch.Tensor | None = None,
) -> Explanation:
    """Take whole videos apart, keeping what protocols need and no more.

    Args:
        model: In evaluation mode.
        drawn: uint8, shape (B, T, C, H, W).
        slots: K.
        refinements: R.
        seed: Seed of the posterior noise.
        meter: Called with the number of video frames just done.
        cameras: Viewpoints, shape (B, T, D), for models that take them.
    """
    device = next(model.parameters()).device
    videos = torch.from_numpy(np.ascontiguousarray(drawn))
    if not model.keeps_slots:
        observation = Observation(videos.float() / 255, viewpoints=cameras).to(device)
        part = model(observation, slots, refinements, seed).decomposition
        if meter is not None:
            meter(videos.shape[0] * videos.shape[1])
        return _kept(part)
    state = model.initial_state(len(videos), slots, seed)
    parts = []
    for t in range(videos.shape[1]):
        part, state = model.step(videos[:, t : t + 1].to(device).float() / 255, state, refinements)
        parts.append(_kept(part))
        if meter is not None:
            meter(len(videos))
    return Explanation(*(np.concatenate(values, 1) for values in zip(*map(_arrays, parts), strict=True)))


def _kept(part: Decomposition) -> Explanation:
    labels = part.labels.to(torch.uint8 if part.slots <= 256 else torch.int64)
    values = (labels, part.reconstruction, -part.log_likelihood, part.kl)
    return Explanation(*(value.cpu().numpy() for value in values))


def _arrays(found: Explanation) -> tuple[np.ndarray, ...]:
    return found.labels, found.reconstruction, found.nll, found.kl


def viewpoints(
    model: SceneModel, source: Source, indices: Sequence[int], frames: int, frame_step: int = 1
) -> torch.Tensor | None:
    """Return the viewpoints of some scenes, shape (B, T, D), or None for models that take none.

    Args:
        model: Who is to explain them.
        source: Where from.
        indices: Which scenes.
        frames: Views of each from the first on.
        frame_step: Every how many views one is used.

    Raises:
        InputError: The source does not know its viewpoints.
    """
    if model.viewpoint_size is None:
        return None
    known = [source.viewpoints(i, 0, frames)[::frame_step] for i in indices]
    return torch.from_numpy(np.stack(known).astype(np.float32))


class _Meter:
    """Counts video frames for a progress display."""

    def __init__(self, total: int, progress: Callable[[int, int], None] | None) -> None:
        self.total, self.done, self.progress = total, 0, progress

    def __call__(self, frames: int) -> None:
        self.done += frames
        if self.progress is not None:
            self.progress(self.done, self.total)


def _length(source: Source, frames: int | None) -> int:
    known = source.facts.frames if source.facts.frames is not None else source.length(0)
    if frames is not None and not 1 <= frames <= known:
        raise InputError("frames", f"must lie in [1, {known}], the length of the videos; found {frames}.")
    return frames or known


def batches(source: Source, count: int, length: int, batch: int) -> Iterator[Batch]:
    """Yield numbers of videos, frames, uint8 (B, T, C, H, W), and ids (B, T, H, W)."""
    for first in range(0, count, batch):
        indices = list(range(first, min(first + batch, count)))
        yield indices, *source.batch(indices, 0, length)


def _rows(results: list[list[Accumulator]]) -> list[dict[str, Any]]:
    rows = []
    for column in zip(*results, strict=True):
        scores = [tally.result() for tally in column]
        for measure in scores[0].values:
            values = [s.values[measure] for s in scores]
            rows.append(
                {
                    "protocol": scores[0].protocol,
                    "measure": measure,
                    "mean": _plain(float(np.mean(values))),
                    "std": _plain(float(np.std(values, ddof=1))) if len(values) > 1 else None,
                    "values": [_plain(v) for v in values],
                    "videos": scores[0].videos,
                    "frames": scores[0].frames,
                    "empty": scores[0].empty[measure],
                    "each": [[_plain(float(f"{v:.6g}")) for v in s.each[measure]] for s in scores],
                }
            )
    return rows


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
