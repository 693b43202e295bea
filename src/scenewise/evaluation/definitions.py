"""The protocols that come with the package. Functions that run a model are imported when they are called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scenewise.evaluation.metric import Metric
from scenewise.evaluation.protocols import PROTOCOLS, Protocol
from scenewise.evaluation.rows import DIGITS
from scenewise.metrics import adjusted_rand_index, entrances, squared_error

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy as np

    from scenewise.evaluation.request import EvaluationRequest
    from scenewise.evaluation.rows import Rows


def _negative_log_likelihood(nll: np.ndarray) -> np.ndarray:
    return nll.mean(1)


def _divergence(kl: np.ndarray) -> np.ndarray:
    return kl.mean(1)


def _evidence_lower_bound(nll: np.ndarray, kl: np.ndarray) -> np.ndarray:
    return -nll.mean(1) - kl.mean(1)


def _caught_within(labels: np.ndarray, ids: np.ndarray, background_ids: Collection[int], frames: int = 0) -> np.ndarray:
    return entrances(labels, ids, background_ids=background_ids).within(frames)


def _disentanglement(request: EvaluationRequest) -> Rows:
    from scenewise.evaluation.disentanglement import score

    return score(request)


def _lds(request: EvaluationRequest) -> Rows:
    from scenewise.evaluation.lds import score

    return score(request)


def _lds_gap(request: EvaluationRequest) -> Rows:
    from scenewise.evaluation.lds import score_gap

    return score_gap(request)


def _novel_views(request: EvaluationRequest) -> Rows:
    from scenewise.evaluation.novel_views import score

    return score(request)


def _prediction(request: EvaluationRequest) -> Rows:
    from scenewise.evaluation.prediction import score

    return score(request)


DEFINITIONS = (
    Protocol(
        name="provide",
        source=(
            "PROVIDE section 4.2 and its evaluation code: ARI, F-ARI and MSE of every frame by itself, plain mean over "
            "all frames of all videos. A frame without foreground counts as F-ARI 1, as in the code."
        ),
        metrics=(
            Metric("ARI", adjusted_rand_index),
            Metric("F-ARI", adjusted_rand_index, foreground=True, empty="one"),
            Metric("MSE", squared_error),
        ),
    ),
    Protocol(
        name="rnem",
        source=(
            "R-NEM's evaluation code: F-ARI of every frame after the first (whose masks are random there), averaged "
            "with step weights (all 1), and that of the last frame. Unlike there, a frame with one object that is "
            "found whole scores 1, and one without foreground is left out."
        ),
        metrics=(
            Metric("F-ARI", adjusted_rand_index, foreground=True),
            Metric("last F-ARI", adjusted_rand_index, foreground=True, last=True),
        ),
        first=1,
    ),
    Protocol(
        name="savi",
        source=(
            "After SAVi: F-ARI and ARI over the pixels of all frames of a video jointly, mean over videos, so that a "
            "slot that changes its object loses. A video without foreground is left out."
        ),
        metrics=(
            Metric("F-ARI", adjusted_rand_index, foreground=True, scope="video"),
            Metric("ARI", adjusted_rand_index, scope="video"),
        ),
    ),
    Protocol(
        name="bound",
        source=(
            "PROVIDE equation 3 without weights: NLL = -log p(frame given slots), KL(posterior || prior) and "
            "ELBO = -NLL - KL in nats of a frame, mean over the frames of a video, then over videos."
        ),
        metrics=(
            Metric("NLL", _negative_log_likelihood),
            Metric("KL", _divergence),
            Metric("ELBO", _evidence_lower_bound),
        ),
        digits=DIGITS,
    ),
    Protocol(
        name="disentanglement",
        source=(
            "Disentanglement, completeness and informativeness of slots' codes for the factors of the objects that "
            "they show (Eastwood and Williams 2018; MulMON)."
        ),
        default=False,
        function=_disentanglement,
    ),
    Protocol(
        name="lds",
        source=(
            "The papers on the LDS prior: reconstruction, segmentation, likeness of slots and duplicates, every frame "
            "or view an image by itself."
        ),
        default=False,
        function=_lds,
    ),
    Protocol(
        name="lds-gap",
        source=(
            "The inference gap by 500 importance samples of every image (LDS, BMVC 2021), for models that can weigh "
            "their samples."
        ),
        default=False,
        function=_lds_gap,
    ),
    Protocol(
        name="novel-views",
        source="Images and masks of views of a scene that were not observed, drawn by the viewpoint alone (MulMON).",
        default=False,
        function=_novel_views,
    ),
    Protocol(
        name="prediction",
        source=(
            "PROVIDE Figures 5 and 6: 20 frames observed and 10 predicted, scored against the true future, beside "
            "repeating the last frame; velocities of slots and objects where the source knows them."
        ),
        default=False,
        function=_prediction,
    ),
    Protocol(
        name="entrances",
        source=(
            "PROVIDE Figure 4 and its conclusion (ours): objects that come into view after the first frame, by how "
            "many frames later one slot's pixels and theirs have an intersection over union of at least one half."
        ),
        metrics=(
            Metric("caught at once", _caught_within, frames=0),
            Metric("caught within 1", _caught_within, frames=1),
            Metric("caught within 3", _caught_within, frames=3),
            Metric("caught within 9", _caught_within, frames=9),
            Metric("delay", entrances),
        ),
        default=False,
    ),
)

for _definition in DEFINITIONS:
    PROTOCOLS.register(_definition.name)(_definition)
