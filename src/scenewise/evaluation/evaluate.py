"""A model's scores on videos with ground truth, under named protocols, over seeds of its posterior noise."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from scenewise.errors import InputError
from scenewise.evaluation.batches import batches, viewpoints
from scenewise.evaluation.protocols import PROTOCOLS
from scenewise.evaluation.request import EvaluationRequest
from scenewise.evaluation.rows import row_of
from scenewise.models.contract import SceneModel
from scenewise.observation import Observation

if TYPE_CHECKING:
    from collections.abc import Callable

    from scenewise.data.contract import Source
    from scenewise.decomposition import Decomposition, LabelRule
    from scenewise.evaluation.protocols import Accumulator, Protocol
    from scenewise.evaluation.rows import Row, Rows


Several = int | Sequence[int] | None
"""One number, or several that are scored one after another; the model's or the data's own where None."""


@dataclass(frozen=True)
class Explanation:
    """What protocols need of videos that were taken apart.

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
    labels: LabelRule = "responsibility",
    progress: Callable[[int, int], None] | None = None,
) -> Rows:
    """Score a model on the first videos of a source.

    Of `videos`, `frames`, `slots` and `refinements` each may be several numbers: every combination is scored. A model
    that reads a video frame by frame explains the longest videos once, and shorter ones are their beginnings.

    Args:
        model: In evaluation mode, on its device.
        source: Videos with ids.
        protocols: Names of protocols.
        videos: How many videos; all where the source has fewer.
        frames: Frames of each from its start; all where None.
        seeds: Seeds of the posterior noise; every seed sees the same videos.
        slots: K, the model's own where None.
        refinements: R, the model's own where None.
        batch: Videos that run side by side. The noise depends on it, so equal numbers need an equal batch.
        labels: Who owns a pixel that was seen: "responsibility", the slot that explains it best, or "masks", that with
            the largest mask, as in the papers' protocols.
        progress: Called after every frame of a batch with the video frames done and their number.

    Returns:
        One row per combination, protocol and metric: `protocol`, `metric`, `mean` and `std` over seeds (None for one
        seed), `values` by seed, `videos`, `frames` scored, `empty`; `each`, the value of every video by seed; and, as
        asked for, `length` in frames, `slots`, `refinements` and `labels`.

    Raises:
        InputError: The source has no ids, its frames do not fit the model, or a protocol is unknown.
    """
    counts = [min(count, len(source)) for count in ([videos] if isinstance(videos, int) else videos)] or [0]
    lengths = [_length(source, wanted) for wanted in _listed(frames)]
    definitions = [PROTOCOLS.get(name) for name in protocols]
    of_metrics = [protocol for protocol in definitions if protocol.function is None]
    functions = [protocol.function for protocol in definitions if protocol.function is not None]
    _check(source, seeds, counts)
    combinations = list(itertools.product(counts, _listed(slots), _listed(refinements)))
    passes = [tuple(lengths)] if model.keeps_slots else [(length,) for length in lengths]
    per_video = bool(of_metrics) * sum(map(max, passes)) + len(functions) * sum(lengths)
    meter = _Meter(sum(count for count, *_ in combinations) * per_video * len(seeds), progress)
    rows = []
    for count, k, r in combinations:
        request = EvaluationRequest(model, source, count, max(lengths), seeds, k, r, batch, meter, labels)
        for together in passes if of_metrics else []:
            rows += _shared_rows(request, of_metrics, together)
        for score, length in itertools.product(functions, lengths):
            asked = {"length": length, "slots": k, "refinements": r, "labels": labels}
            rows += [row | asked for row in score(replace(request, frames=length))]
    return rows


def _check(source: Source, seeds: Sequence[int], counts: Sequence[int]) -> None:
    """Raise InputError where there is nothing to score."""
    if not source.facts.has_ids:
        raise InputError(source.facts.origin, "has no ground truth to score against.", "Use a source with ids.")
    if not seeds or min(counts) < 1:
        raise InputError("videos" if seeds else "seeds", "must name at least one.")


def _listed(wanted: Several) -> list[int | None]:
    return [wanted] if wanted is None or isinstance(wanted, int) else list(wanted)


def _shared_rows(request: EvaluationRequest, protocols: Sequence[Protocol], lengths: Sequence[int]) -> Rows:
    """Score what needs no more of a video than an `Explanation`: one pass, whose beginnings are the shorter videos."""
    model, source, background = request.model, request.source, request.source.facts.background_ids
    tallies: dict[int, list[list[Accumulator]]] = {length: [] for length in lengths}
    for seed in request.seeds:
        for length in lengths:
            tallies[length].append([protocol.begin(background) for protocol in protocols])
        for indices, pixels, ids in batches(request, max(lengths)):
            cameras = viewpoints(model, source, indices, max(lengths))
            part = explain(request, pixels, seed, cameras)
            arrays = (part.labels, ids, part.reconstruction, pixels.astype(np.float32) / 255, part.nll, part.kl)
            for length, tally in ((t, tally) for t in lengths for tally in tallies[t][-1]):
                tally.add(*(values[:, :length] for values in arrays))
    rows = []
    for length in lengths:
        request_facts: Row = {"length": length, "slots": request.slots, "refinements": request.refinements}
        request_facts["labels"] = request.labels
        for protocol, by_seed in zip(protocols, zip(*tallies[length], strict=True), strict=True):
            rows += [row | request_facts for row in _rows(protocol, by_seed)]
    return rows


def _rows(protocol: Protocol, by_seed: Sequence[Accumulator]) -> Rows:
    """Return a row per metric of one protocol."""
    scores = [tally.result() for tally in by_seed]
    first = scores[0]
    return [
        row_of(
            protocol.name,
            metric,
            [one.values[metric] for one in scores],
            [one.each[metric] for one in scores],
            videos=first.videos,
            frames=first.frames,
            empty=first.empty[metric],
            digits=protocol.digits,
        )
        for metric in first.values
    ]


@torch.no_grad()
def explain(
    request: EvaluationRequest, drawn: np.ndarray, seed: int, cameras: torch.Tensor | None = None
) -> Explanation:
    """Take whole videos apart, keeping what protocols need and no more.

    Args:
        request: Model, slots, refinements and the rule of labels.
        drawn: uint8, shape (B, T, C, H, W).
        seed: Seed of the posterior noise.
        cameras: Viewpoints, shape (B, T, D), for models that take them.
    """
    model, slots, refinements = request.model, request.slots, request.refinements
    device = next(model.parameters()).device
    videos = torch.from_numpy(np.ascontiguousarray(drawn))
    if not model.keeps_slots:
        observation = Observation(videos.float() / 255, viewpoints=cameras).to(device)
        part = model(observation, slots, refinements, seed).decomposition
        request.meter(videos.shape[0] * videos.shape[1])
        return _kept(part.labelled(request.labels))
    state = model.initial_state(len(videos), slots, seed)
    parts = []
    for t in range(videos.shape[1]):
        part, state = model.step(videos[:, t : t + 1].to(device).float() / 255, state, refinements)
        parts.append(_kept(part.labelled(request.labels)))
        request.meter(len(videos))
    arrays = [(part.labels, part.reconstruction, part.nll, part.kl) for part in parts]
    return Explanation(*(np.concatenate(values, 1) for values in zip(*arrays, strict=True)))


def _kept(part: Decomposition) -> Explanation:
    labels = part.labels.to(torch.uint8 if part.slots <= 256 else torch.int64)
    values = (labels, part.reconstruction, -part.log_likelihood, part.kl)
    return Explanation(*(value.cpu().numpy() for value in values))


class _Meter:
    """Counts video frames for a progress display."""

    def __init__(self, total: int, progress: Callable[[int, int], None] | None) -> None:
        self.total, self.done, self.progress = total, 0, progress

    def __call__(self, frames: int) -> None:
        self.done += frames
        if self.progress is not None:
            self.progress(self.done, self.total)


def _length(source: Source, frames: int | None) -> int:
    longest = source.facts.frames if source.facts.frames is not None else source.length(0)
    if frames is not None and not 1 <= frames <= longest:
        raise InputError("frames", f"must lie in [1, {longest}], the length of the videos; found {frames}.")
    return frames or longest
