"""The metrics of the LDS papers: protocols `lds` and `lds-gap` (lds.md 4).

Every view or frame is an image by itself. MSE is the squared RGB distance, summed over channels; the background is a
segment of mIoU. What the authors counted by eye is counted by taking slots away (`metrics.duplicates`), whose
thresholds are those of lds.md 4.2. `lds-gap` decodes 500 samples of every image and is by far the dearest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from scenewise.evaluation.batches import batches, viewpoints
from scenewise.evaluation.rows import joined, row_of, rows_of
from scenewise.metrics import (
    adjusted_rand_index,
    duplicates,
    inference_gap,
    mean_iou,
    similar_pairs,
    similarity,
    splits,
    squared_error,
    takeover,
)
from scenewise.models.contract import Decodes, SceneModel, Weighs
from scenewise.observation import Observation
from scenewise.variational.gaussian import Gaussian

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scenewise.decomposition import Decomposition
    from scenewise.evaluation.request import EvaluationRequest
    from scenewise.evaluation.rows import Rows, Values

SAMPLES, FEW = 500, 50
"""Importance samples of an image: the paper's number, and one that shows how far the estimate has settled."""
SUBSET = 100
"""Images on which duplicates are reported too, as the paper does; drawn with a fixed seed."""
_NO_DIRECTION = 1e-3
_IDLE = 0.01


@dataclass(frozen=True)
class ImageScores:
    """N images as a model explains them.

    Attributes:
        frames: The truth in [0, 1], shape (N, C, H, W).
        ids: Shape (N, H, W).
        background_ids: The true ids that are background.
        part: The decomposition with B = N, T = 1.
        scores: Who wins a pixel when a slot is gone, shape (N, K, H, W): masks that are drawn, not carved.
        latents: Samples of the posterior, shape (N, K, Z).
    """

    frames: np.ndarray
    ids: np.ndarray
    background_ids: tuple[int, ...]
    part: Decomposition
    scores: np.ndarray
    latents: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """The slot that owns each pixel, shape (N, H, W)."""
        return self.part.labels[:, 0].cpu().numpy()

    @property
    def means(self) -> np.ndarray:
        """Posterior means, shape (N, K, Z)."""
        return self.part.mean[:, 0].cpu().numpy()


def quality(images: ImageScores) -> Values:
    """Return what the papers' tables hold, and F-ARI, per image."""
    reconstruction, truth = images.part.reconstruction[:, 0].cpu().numpy(), (images.labels, images.ids)
    background = images.background_ids
    return {
        "MSE": squared_error(reconstruction, images.frames, "vector"),
        "MSE per channel": squared_error(reconstruction, images.frames),
        "mIoU": mean_iou(*truth, background_ids=background).each,
        "mIoU greedy": mean_iou(*truth, matching="greedy", background_ids=background).each,
        "F-ARI": adjusted_rand_index(*truth, foreground=True, background_ids=background).each,
    }


def likeness(images: ImageScores) -> Values:
    """Return how alike slots are by their latents, per image: what the prior optimises (lds.md 4.1)."""
    samples, centre = similarity(images.latents), similarity(images.means, least=_NO_DIRECTION)
    return {
        "Sim": samples.signed,
        "Sim of means": centre.signed,
        "unsigned Sim": samples.absolute,
        "unsigned Sim of means": centre.absolute,
        "LDS": samples.prior,
        "LDS of means": centre.prior,
        "slots without direction": centre.left_out,
        "length of means": np.linalg.norm(images.means, axis=-1).mean(1),
        "similar pairs": similar_pairs(images.latents, images.labels) > 0,
    }


def doubling(images: ImageScores) -> Values:
    """Return whether images have duplicate slots, by masks and appearance (lds.md 4.2)."""
    without = takeover(images.scores, images.part.appearance[:, 0].cpu().numpy())
    values: Values = {}
    for take in (0.7, 0.5, 0.9):
        pairs, suffix = duplicates(without, take=take), "" if take == 0.7 else f" at {take}"
        values |= {f"duplicates{suffix}": pairs.any, f"object duplicates{suffix}": pairs.objects}
        values |= {f"background split{suffix}": pairs.background}
    segments = splits(images.labels, images.ids, background_ids=images.background_ids)
    return values | {"object in two": segments.objects > 0, "background in two": segments.background}


def economy(images: ImageScores) -> Values:
    """Return the bound, and what idle slots cost, per image (lds.md 6.1)."""
    part = images.part
    each = Gaussian(part.mean, part.log_variance).kl(Gaussian(part.prior_mean, part.prior_log_variance)).sum(-1)
    kl = each[:, 0].cpu().numpy()  # (N, K)
    idle = (images.labels[:, None] == np.arange(part.slots)[:, None, None]).mean((2, 3)) < _IDLE
    spent = np.divide((kl * idle).sum(1), idle.sum(1), out=np.full(len(kl), np.nan), where=idle.any(1))
    elbo = (part.log_likelihood - part.kl)[:, 0].cpu().numpy()
    return {"ELBO": elbo, "KL of idle slots": spent, "idle slots": idle.sum(1)}


_METRICS: tuple[Callable[[ImageScores], Values], ...] = (quality, likeness, doubling, economy)


def score(request: EvaluationRequest) -> Rows:
    """Measure reconstruction, segmentation, likeness of slots and duplicates (LDS papers; lds.md 4.1 to 4.3)."""
    by_seed = []
    for seed in request.seeds:
        parts: list[Values] = []
        for observation, ids in _observations(request):
            images = _explain(request, observation, ids, seed)
            parts.append({name: v for metrics in _METRICS for name, v in metrics(images).items()})
            request.meter(len(ids))
        by_seed.append(joined(parts))
    rows = rows_of("lds", by_seed, request)
    indices = subset(len(by_seed[0]["MSE"]))
    few = [{f"{name} of {SUBSET}": values[name][indices] for name in _PAIRS} for values in by_seed]
    return rows + ([] if indices is None else rows_of("lds", few, request, each=False))


_PAIRS = ("duplicates", "object duplicates", "background split")


def subset(count: int) -> np.ndarray | None:
    """Return which images the paper's count is made on, None where there are no more than `SUBSET`."""
    return None if count <= SUBSET else np.sort(np.random.default_rng(0).choice(count, SUBSET, replace=False))


def score_gap(request: EvaluationRequest) -> Rows:
    """Measure the inference gap by 500 importance samples of every image (LDS, BMVC 2021; lds.md 4.4)."""
    if not isinstance(request.model, Weighs):
        note = f"{request.model.registered_name} does not weigh its samples"
        row = row_of("lds-gap", "gap", [], videos=request.videos, frames=request.videos * request.frames)
        return [row | {"note": note}]
    by_seed = []
    for seed in request.seeds:
        parts = []
        for observation, ids in _observations(request):
            weights = request.model.log_weights(observation, SAMPLES, seed, request.slots, request.refinements)
            parts.append(_gaps({name: w.flatten(0, 1).cpu().numpy() for name, w in weights.items()}))
            request.meter(len(ids))
        by_seed.append(joined(parts))
    return rows_of("lds-gap", by_seed, request)


def _gaps(weights: dict[str, np.ndarray]) -> Values:
    values: Values = {}
    for name, log_weights in weights.items():
        gap, few = inference_gap(log_weights), inference_gap(log_weights, FEW)
        scores = {"gap": gap.gap, f"gap of {FEW}": few.gap, "log p": gap.evidence, "bound": gap.bound}
        scores |= {"spread": gap.spread, "effective samples": gap.effective}
        values |= {f"{key} {name}".rstrip(): each for key, each in scores.items()}
    return values


def _observations(request: EvaluationRequest) -> Iterator[tuple[Observation, np.ndarray]]:
    """Yield a batch's observation on the model's device and its ids, shape (B T, H, W)."""
    model, source = request.model, request.source
    device = next(model.parameters()).device
    for indices, pixels, ids in batches(request, request.frames):
        cameras = viewpoints(model, source, indices, request.frames)
        frames = torch.from_numpy(np.ascontiguousarray(pixels)).float() / 255
        yield Observation(frames, viewpoints=cameras).to(device), ids.reshape(-1, *ids.shape[2:])


@torch.no_grad()
def _explain(request: EvaluationRequest, observation: Observation, ids: np.ndarray, seed: int) -> ImageScores:
    output = request.model(observation, request.slots, request.refinements, seed)
    labelled = output.decomposition.labelled(request.labels)
    part = labelled.map(lambda tensor: tensor.flatten(0, 1).unsqueeze(1))  # of B T images
    mean, log_variance = part.mean[:, 0].cpu().numpy(), part.log_variance[:, 0].cpu().numpy()
    noise = np.random.default_rng(seed).standard_normal(mean.shape)
    return ImageScores(
        frames=observation.frames.flatten(0, 1).cpu().numpy(),
        ids=ids,
        background_ids=request.source.facts.background_ids,
        part=part,
        scores=_decoded_masks(request.model, part)[:, :, 0].cpu().numpy(),
        latents=mean + np.exp(0.5 * log_variance) * noise,
    )


def _decoded_masks(model: SceneModel, part: Decomposition) -> torch.Tensor:
    """Return masks (N, K, 1, H, W) that the slots' latents draw. Carved ones leave nothing that could take over."""
    if model.slot_symmetric or not isinstance(model, Decodes):
        return part.masks[:, 0]
    return model.decode(part.mean[:, 0])[0]
