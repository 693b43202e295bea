"""How well a model draws a scene from viewpoints it has not seen: protocol `novel-views` (mulmon.md 6).

Half of a scene's views are observed, in random order, the others are queried: drawn with images and masks by the
viewpoint alone. Which is which is drawn for each scene from the seed. RMSE is the root of the squared RGB distance,
SUMMED over channels and averaged over views and pixels of a scene, then averaged over scenes. The background is a
segment of mIoU; Hungarian matching is the main number, beside it MulMON's greedy one.

The baseline shows the observed view whose viewpoint is nearest: its image, and the masks that the model gives it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from scenewise.errors import InputError
from scenewise.evaluation.batches import batches, viewpoints
from scenewise.evaluation.rows import joined, rows_of
from scenewise.metrics import mean_iou, squared_error
from scenewise.metrics.arrays import mean
from scenewise.metrics.iou import labelled_sets, overlaps_of
from scenewise.models.contract import Renders

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from torch import Tensor

    from scenewise.evaluation.request import EvaluationRequest
    from scenewise.evaluation.rows import Rows, Values
    from scenewise.variational.gaussian import Gaussian

MOST = 6
"""Views of the longest curve over the number of observed views, as in training."""
ORDERS = 3
"""Orders in which the observed views are taken to measure how much the order matters."""
_GREEDY_LEAST = 0.05
_NEXT = 1_000_003  # between the seeds of views that are observed one at a time


@dataclass(frozen=True)
class ViewBatch:
    """B scenes, their views shuffled: what is observed comes first.

    Attributes:
        frames: In [0, 1], on the model's device, shape (B, V, C, H, W).
        viewpoints: Shape (B, V, D).
        ids: Shape (B, V, H, W).
        observed: How many views are observed.
        background_ids: The true ids that are background.
    """

    frames: Tensor
    viewpoints: Tensor
    ids: np.ndarray
    observed: int
    background_ids: tuple[int, ...]

    def nearest(self) -> np.ndarray:
        """Return which observed view is nearest to each queried one, shape (B, queries)."""
        queries, observed = self.viewpoints[:, self.observed :], self.viewpoints[:, : self.observed]
        return torch.cdist(queries, observed).argmin(2).cpu().numpy()


@dataclass(frozen=True)
class ViewScores:
    """Views as a model draws them: labels (B, V, H, W) and images (B, V, C, H, W)."""

    labels: np.ndarray
    images: np.ndarray


def score(request: EvaluationRequest) -> Rows:
    """Measure images and masks of views that were not observed (MulMON; mulmon.md 6)."""
    model = request.model
    if not isinstance(model, Renders):
        problem = f"{model.registered_name} does not draw scenes from viewpoints."
        raise InputError("novel-views", problem, "Use a model that does, such as mulmon.")
    if request.frames < 2:
        raise InputError("frames", "novel views need scenes of at least 2 views.", "Leave --frames out.")
    by_seed = []
    for seed in request.seeds:
        parts = []
        for scenes in _scenes(request, seed):
            parts.append(_measure(model, scenes, request, seed))
            request.meter(scenes.ids.shape[0] * scenes.ids.shape[1])
        by_seed.append(joined(parts))
    return rows_of("novel-views", by_seed, request)


def split(seed: int, scene: int, views: int) -> np.ndarray:
    """Return the views of a scene in a random order of its own; the first half is observed."""
    return np.random.default_rng((seed, scene)).permutation(views)


def rmse(images: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Return the root mean squared RGB distance of scenes (B, V, C, H, W), summed over channels; shape (B,)."""
    return np.sqrt(squared_error(images, frames, "vector").mean(1))


def consistency(labels: np.ndarray, ids: np.ndarray, background_ids: Collection[int] = (0,)) -> np.ndarray:
    """Return the share of objects whose best slot, by IoU, is the same in all views that show them (mulmon.md 6).

    Args:
        labels: The slot that owns each pixel, shape (B, V, H, W).
        ids: The truth, one id per object in all views, same shape.
        background_ids: The true ids that are background.

    Returns:
        Shape (B,); NaN where no object is seen in two views.
    """
    return np.array([_consistency(*scene, background_ids) for scene in zip(labels, ids, strict=True)])


def _consistency(labels: np.ndarray, ids: np.ndarray, background_ids: Collection[int]) -> float:
    (predicted, truth), _ = labelled_sets(labels, ids)
    best: dict[int, list[int]] = {}
    for view, overlaps in zip(truth, overlaps_of(predicted, truth, background_ids), strict=True):
        objects = np.setdiff1d(view, [-1, *background_ids])
        for name, row in zip(objects.tolist(), overlaps.without_background().iou, strict=True):
            best.setdefault(name, []).append(int(row.argmax()))
    same = [len(set(slots)) == 1 for slots in best.values() if len(slots) > 1]
    return float(np.mean(same)) if same else np.nan


def _scenes(request: EvaluationRequest, seed: int) -> Iterator[ViewBatch]:
    model, source = request.model, request.source
    device, views = next(model.parameters()).device, request.frames
    for indices, pixels, ids in batches(request, views):
        cameras = viewpoints(model, source, indices, views)
        if cameras is None:
            raise InputError("viewpoints", "are not taken by the model.")
        order = np.stack([split(seed, scene, views) for scene in indices])
        rows = np.arange(len(indices))[:, None]
        frames = torch.from_numpy(np.ascontiguousarray(pixels[rows, order])).to(device).float() / 255
        shuffled = cameras.numpy()[rows, order]
        cameras = torch.from_numpy(shuffled).to(device)
        yield ViewBatch(frames, cameras, ids[rows, order], views // 2, source.facts.background_ids)


def _measure(model: Renders, scenes: ViewBatch, request: EvaluationRequest, seed: int) -> Values:
    count = scenes.observed
    posterior = _observe(model, scenes, request, list(range(count)), seed)
    renderings = _render(model, posterior, scenes.viewpoints, seed)
    frames, queries = scenes.frames.cpu().numpy(), slice(count, None)
    values = _quality(renderings, scenes, slice(0, count), " observed") | _quality(renderings, scenes, queries, "")
    nearest = (np.arange(len(frames))[:, None], scenes.nearest())
    copies = ViewScores(renderings.labels[:, :count][nearest], frames[:, :count][nearest])
    values |= _quality(copies, scenes, queries, " of nearest view")
    values["consistency"] = consistency(renderings.labels, scenes.ids, scenes.background_ids)
    values |= _orders(model, scenes, request, seed)
    return values | _curve(model, scenes, request, seed)


def _observe(model: Renders, scenes: ViewBatch, request: EvaluationRequest, views: list[int], seed: int) -> Gaussian:
    frames, cameras = scenes.frames[:, views], scenes.viewpoints[:, views]
    return model.infer(frames, cameras, request.slots, request.refinements, seed)


def _render(model: Renders, posterior: Gaussian, cameras: Tensor, seed: int) -> ViewScores:
    part = model.render(posterior, cameras, seed)
    return ViewScores(part.labels.cpu().numpy(), part.reconstruction.cpu().numpy())


def _quality(renderings: ViewScores, scenes: ViewBatch, views: slice, suffix: str) -> Values:
    """Return RMSE and mIoU of some views, per scene; `renderings` holds these alone or all."""
    ids, frames = scenes.ids[:, views], scenes.frames[:, views].cpu().numpy()
    labels, images = renderings.labels, renderings.images
    if labels.shape[1] == scenes.ids.shape[1]:
        labels, images = labels[:, views], images[:, views]
    one = mean_iou(labels, ids, background_ids=scenes.background_ids).each
    best = mean_iou(labels, ids, matching="greedy", min_iou=_GREEDY_LEAST, background_ids=scenes.background_ids).each
    return {
        f"RMSE{suffix}": rmse(images, frames),
        f"mIoU{suffix}": mean(one, axis=1),
        f"mIoU greedy{suffix}": mean(best, axis=1),
    }


def _orders(model: Renders, scenes: ViewBatch, request: EvaluationRequest, seed: int) -> Values:
    """Return the spread of query scores over orders of the same observed views (mulmon.md 8.5)."""
    scores = []
    for order in range(ORDERS):
        views = np.random.default_rng((seed, order)).permutation(scenes.observed).tolist()
        posterior = _observe(model, scenes, request, views, seed)
        renderings = _render(model, posterior, scenes.viewpoints[:, scenes.observed :], seed)
        scores.append(_quality(renderings, scenes, slice(scenes.observed, None), ""))
    return {f"{name} spread over orders": np.std([one[name] for one in scores], 0, ddof=1) for name in ("RMSE", "mIoU")}


def _curve(model: Renders, scenes: ViewBatch, request: EvaluationRequest, seed: int) -> Values:
    """Return query scores by the number of observed views; the queries are those left after the longest."""
    most = min(MOST, scenes.ids.shape[1] - 1)
    rest, posterior, values = slice(most, None), None, dict[str, np.ndarray]()
    for n in range(most):
        frames, cameras = scenes.frames[:, n : n + 1], scenes.viewpoints[:, n : n + 1]
        noise = seed + n * _NEXT
        posterior = model.infer(frames, cameras, request.slots, request.refinements, noise, posterior)
        renderings = _render(model, posterior, scenes.viewpoints[:, rest], seed)
        values |= _quality(renderings, scenes, rest, f" after {n + 1} view{'s' if n else ''}")
    return {name: value for name, value in values.items() if "greedy" not in name}
