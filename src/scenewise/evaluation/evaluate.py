"""A model's scores on videos with ground truth, under named protocols, over seeds of its posterior noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from scenewise.errors import InputError
from scenewise.evaluation.on_request import ON_REQUEST, Request, check_protocols
from scenewise.evaluation.protocols import PROTOCOLS, Accumulator
from scenewise.models.contract import Recurrent, SceneModel
from scenewise.observation import Observation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from scenewise.data.contract import Source
    from scenewise.evaluation.protocols import Protocol

    Batch = tuple[list[int], np.ndarray, np.ndarray]


def evaluate(
    model: SceneModel,
    source: Source,
    protocols: Sequence[str],
    *,
    videos: int = 200,
    frames: int | None = None,
    seeds: Sequence[int] = (0,),
    slots: int | None = None,
    refinements: int | None = None,
    batch: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Score a model on the first videos of a source.

    Args:
        model: In evaluation mode, on its device.
        source: Videos with ids.
        protocols: Names of protocols, those on request too.
        videos: How many videos; all where the source has fewer.
        frames: Frames of each from its start; all where None.
        seeds: Seeds of the posterior noise; every seed sees the same videos.
        slots: K, the model's own where None.
        refinements: R, the model's own where None.
        batch: Videos that run side by side. The noise depends on it, so equal numbers need an equal batch.
        progress: Called after every frame of a batch with the video frames done and their number.

    Returns:
        One row per protocol and measure: `protocol`, `measure`, `mean` and `std` over seeds (None for one seed),
        `values` by seed, `videos`, `frames`, `empty`.

    Raises:
        InputError: The source has no ids, its frames do not fit the model, or a protocol is unknown.
    """
    check_protocols(protocols)
    plain = [PROTOCOLS.get(name) for name in protocols if name in PROTOCOLS.names()]
    others = [ON_REQUEST.get(name) for name in protocols if name in ON_REQUEST.names()]
    count = min(videos, len(source))
    length = _length(source, frames)
    if not source.facts.has_ids:
        raise InputError(source.facts.origin, "has no ground truth to score against.", "Use a source with ids.")
    if not seeds or count < 1:
        raise InputError("seeds" if count else "videos", "must name at least one.")
    meter = _Meter(count * length * len(seeds) * (bool(plain) + len(others)), progress)
    request = Request(model, source, count, length, seeds, slots, refinements, batch, meter)
    rows = _label_rows(request, plain) if plain else []
    return rows + [row for score in others for row in score(request)]


def _label_rows(request: Request, protocols: Sequence[Protocol]) -> list[dict[str, Any]]:
    """Score labels and reconstructions, which are all that is kept of a video."""
    model, source = request.model, request.source
    results: list[list[Accumulator]] = []
    for seed in request.seeds:
        tallies = [protocol.begin(source.facts.background_ids) for protocol in protocols]
        for chosen, drawn, ids in batches(source, request.videos, request.frames, request.batch):
            cameras = viewpoints(model, source, chosen, request.frames)
            labels, reconstruction = explain(
                model, drawn, request.slots, request.refinements, seed, request.meter, cameras
            )
            for tally in tallies:
                tally.add(labels, ids, reconstruction, drawn.astype(np.float32) / 255)
        results.append(tallies)
    return _rows(results)


@torch.no_grad()
def explain(
    model: SceneModel,
    drawn: np.ndarray,
    slots: int | None = None,
    refinements: int | None = None,
    seed: int = 0,
    meter: Callable[[int], None] | None = None,
    cameras: torch.Tensor | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Take whole videos apart, keeping labels and reconstructions only.

    Args:
        model: In evaluation mode.
        drawn: uint8, shape (B, T, C, H, W).
        slots: K.
        refinements: R.
        seed: Seed of the posterior noise.
        meter: Called with the number of video frames just done.
        cameras: Viewpoints, shape (B, T, D), for models that take them.

    Returns:
        Labels (B, T, H, W) and reconstructions (B, T, C, H, W), float32.
    """
    device = next(model.parameters()).device
    videos = torch.from_numpy(np.ascontiguousarray(drawn))
    if not isinstance(model, Recurrent):
        observation = Observation(videos.float() / 255, viewpoints=cameras).to(device)
        part = model(observation, slots, refinements, seed).decomposition
        if meter is not None:
            meter(videos.shape[0] * videos.shape[1])
        return part.labels.cpu().numpy(), part.reconstruction.cpu().numpy()
    state = model.initial_state(len(videos), slots, seed)
    labels, reconstructions = [], []
    for t in range(videos.shape[1]):
        part, state = model.step(videos[:, t].to(device).float() / 255, state, refinements)
        labels.append(part.labels[:, 0].to(torch.uint8 if part.slots <= 256 else torch.int64).cpu().numpy())
        reconstructions.append(part.reconstruction[:, 0].cpu().numpy())
        if meter is not None:
            meter(len(videos))
    return np.stack(labels, 1), np.stack(reconstructions, 1)


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
                }
            )
    return rows


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
