"""How well a model continues a video by itself: protocol `prediction` (PROVIDE Fig. 5; metrics.md 1.5 and 2).

A model looks at the first 20 frames and predicts 10 more; it looks at fewer where videos are shorter. ARI, F-ARI and
MSE of the predicted frames are means over the first 3, 5, 7 and 10 of them; those of the frames observed stand beside
them. The baseline repeats the last observed frame: its image, and the labels that the model gave it.

Where the source knows how its objects move, velocities of slots and objects are compared too, over 5 frames predicted
after 10: the module `motion` says how.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from scenewise.errors import InputError
from scenewise.evaluation.batches import batches
from scenewise.evaluation.motion import AHEAD, SEEN, moves, velocity_scores
from scenewise.evaluation.rows import rows_of
from scenewise.metrics import HORIZONS, adjusted_rand_index, squared_error
from scenewise.metrics.arrays import mean
from scenewise.models.contract import Predictor

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from scenewise.decomposition import Decomposition
    from scenewise.evaluation.request import EvaluationRequest
    from scenewise.evaluation.rows import Rows, Values

OBSERVED = 20
"""Frames that a model looks at, as in PROVIDE Fig. 5."""
STEPS = HORIZONS[-1]
"""Frames that it predicts."""
METRICS = ("ARI", "F-ARI", "MSE")


@dataclass(frozen=True)
class ForecastScores:
    """Scores of N videos, frame by frame; NaN where nothing can be scored.

    Attributes:
        observed: T_0.
        model: By metric, shape (N, T_0 + T'): of the frames observed, then of those predicted.
        copies: The same of repeating the last observed frame, shape (N, T').
        motion: What `motion.velocity_scores` tells, one number per video; empty where the source knows no motion.
    """

    observed: int
    model: Values
    copies: Values
    motion: Values = field(default_factory=dict)

    def values(self) -> Values:
        """Return the numbers of the protocol, one per video, by name."""
        scores: Values = {}
        for name in METRICS:
            ahead = self.model[name][:, self.observed :]
            scores[f"{name} observed"] = mean(self.model[name][:, : self.observed], axis=1)
            for j in (j for j in HORIZONS if j <= ahead.shape[1]):
                scores[f"{name} first {j}"] = mean(ahead[:, :j], axis=1)
                scores[f"{name} first {j} of last frame"] = mean(self.copies[name][:, :j], axis=1)
        return {**scores, **self.motion}


def score(request: EvaluationRequest) -> Rows:
    """Measure predicted frames against the true future (PROVIDE Fig. 5)."""
    return rows_of("prediction", [forecast(request, seed).values() for seed in request.seeds], request)


def forecast(request: EvaluationRequest, seed: int) -> ForecastScores:
    """Let a model observe and predict all videos of a request under one seed of its noise.

    Raises:
        InputError: The model does not predict, or the videos are shorter than 11 frames.
    """
    model = request.model
    if not isinstance(model, Predictor):
        problem = f"{model.registered_name} does not predict."
        raise InputError("prediction", problem, "Use a model that does, such as provide or rnem.")
    observed = min(OBSERVED, request.frames - STEPS)
    if observed < 1:
        problem = f"must be at least {STEPS + 1} for this protocol; found {request.frames}."
        raise InputError("frames", problem, "Ask for more of them, or use longer videos.")
    parts, moving = [], request.frames >= SEEN + AHEAD and moves(request.source)
    for _, pixels, ids in batches(request, observed + STEPS):
        parts.append(_forecast(request, pixels, ids, observed, seed, moving))
        request.meter(len(pixels) * request.frames)
    return ForecastScores(observed, *(_together(values) for values in zip(*parts, strict=True)))


def _together(parts: Sequence[Values]) -> Values:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _forecast(
    request: EvaluationRequest, pixels: np.ndarray, ids: np.ndarray, observed: int, seed: int, moving: bool
) -> tuple[Values, Values, Values]:
    """Return scores of one batch of videos: the model's, the baseline's, and those of motion where asked for."""
    device = next(request.model.parameters()).device
    frames = torch.from_numpy(np.ascontiguousarray(pixels)).to(device).float() / 255
    video = _rollout(request, frames[:, :observed], STEPS, seed)
    labels, images = video["labels"], video["images"]
    truth, background = frames.cpu().numpy(), request.source.facts.background_ids
    still = [np.repeat(array[:, observed - 1, None], STEPS, 1) for array in (labels, truth)]
    future = [array[:, observed:] for array in (ids, truth)]
    motion: Values = {}
    if moving:
        video = video if observed == SEEN else _rollout(request, frames[:, :SEEN], AHEAD, seed)
        few = {name: values[:, : SEEN + AHEAD] for name, values in video.items()}
        motion = velocity_scores(few["labels"], ids[:, : SEEN + AHEAD], background, few.get("positions"))
    copies = _scores(still[0], still[1], future[0], future[1], background)
    return _scores(labels, images, ids, truth, background), copies, motion


@torch.no_grad()
def _rollout(request: EvaluationRequest, frames: torch.Tensor, steps: int, seed: int) -> Values:
    """Return what `_kept` names of T_0 + T' frames: observed, then predicted."""
    model: Any = request.model
    state, parts = model.initial_state(len(frames), request.slots, seed), []
    for clip in frames.split(frames.shape[1] if model.window > 1 else 1, 1):  # one by one, or as a whole
        part, state = model.step(clip, state, request.refinements)
        parts.append(_kept(part.labelled(request.labels)))
    for _ in range(steps):  # one at a time, so that no more than labels and images are kept
        part, state = model.predict(state, 1)
        parts.append(_kept(part))
    return {name: np.concatenate([part[name] for part in parts], 1) for name in parts[0]}


def _kept(part: Decomposition) -> Values:
    """Return labels (B, T, H, W), images (B, T, C, H, W) and, of models that say them, positions (B, T, K, 2)."""
    kept = {"labels": part.labels, "images": part.reconstruction}
    if part.positions is not None:
        kept["positions"] = part.positions
    return {name: values.cpu().numpy() for name, values in kept.items()}


def _scores(
    labels: np.ndarray, images: np.ndarray, ids: np.ndarray, truth: np.ndarray, background_ids: Collection[int]
) -> Values:
    indices = {
        name: adjusted_rand_index(labels, ids, foreground=name == "F-ARI", background_ids=background_ids).each
        for name in ("ARI", "F-ARI")
    }
    return {**indices, "MSE": squared_error(images, truth)}
