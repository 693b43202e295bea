"""Metrics of decompositions and predictions: pure functions of arrays, one metric per file.

Numpy arrays go in (torch tensors are converted) and plain numbers and arrays come out. `AdjustedRandIndex`,
`MeanSquaredError` and other classes are the metrics of frames for torchmetrics, imported when first used; `metric_of`
makes such a class of any function that scores frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scenewise.metrics.ari import RandIndex, adjusted_rand_index
from scenewise.metrics.confidence import confidence
from scenewise.metrics.correlation import pearson, rescaled
from scenewise.metrics.covering import segmentation_covering
from scenewise.metrics.dci import Dci, Informativeness, completeness, dci, dci_by, disentanglement
from scenewise.metrics.duplicates import Duplicates, Takeover, duplicates, takeover
from scenewise.metrics.entrances import Entrances, entrances
from scenewise.metrics.horizon import HORIZONS, Horizons, over_horizons
from scenewise.metrics.inference_gap import InferenceGap, inference_gap
from scenewise.metrics.iou import MeanIou, mean_iou
from scenewise.metrics.latent_correlation import block_contrast, latent_correlation
from scenewise.metrics.mutual_information import (
    NEIGHBOURS,
    POOLED,
    Transfer,
    best_partition,
    gaussian_bias,
    gaussian_information,
    mutual_information,
    pooled_transfer,
    random_partitions,
    transfer,
)
from scenewise.metrics.overlap import ids_from_masks
from scenewise.metrics.prediction import prediction_ari
from scenewise.metrics.reconstruction import binary_cross_entropy, copy_last_mse, mse, prediction_mse, squared_error
from scenewise.metrics.similarity import Similarity, similarity
from scenewise.metrics.splitting import Splits, similar_pairs, splits
from scenewise.metrics.velocity import VelocitySimilarity, velocity_similarity, velocity_similarity_of_positions

if TYPE_CHECKING:
    from scenewise.metrics.metric_classes import (
        AdjustedRandIndex,
        BinaryCrossEntropy,
        Confidence,
        FrameMetric,
        MeanIntersectionOverUnion,
        MeanSquaredError,
        SegmentationCovering,
        SimilarPairs,
        metric_of,
    )

__all__ = [
    "HORIZONS",
    "NEIGHBOURS",
    "POOLED",
    "AdjustedRandIndex",
    "BinaryCrossEntropy",
    "Confidence",
    "Dci",
    "Duplicates",
    "Entrances",
    "FrameMetric",
    "Horizons",
    "InferenceGap",
    "Informativeness",
    "MeanIntersectionOverUnion",
    "MeanIou",
    "MeanSquaredError",
    "RandIndex",
    "SegmentationCovering",
    "SimilarPairs",
    "Similarity",
    "Splits",
    "Takeover",
    "Transfer",
    "VelocitySimilarity",
    "adjusted_rand_index",
    "best_partition",
    "binary_cross_entropy",
    "block_contrast",
    "completeness",
    "confidence",
    "copy_last_mse",
    "dci",
    "dci_by",
    "disentanglement",
    "duplicates",
    "entrances",
    "gaussian_bias",
    "gaussian_information",
    "ids_from_masks",
    "inference_gap",
    "latent_correlation",
    "mean_iou",
    "metric_of",
    "mse",
    "mutual_information",
    "over_horizons",
    "pearson",
    "pooled_transfer",
    "prediction_ari",
    "prediction_mse",
    "random_partitions",
    "rescaled",
    "segmentation_covering",
    "similar_pairs",
    "similarity",
    "splits",
    "squared_error",
    "takeover",
    "transfer",
    "velocity_similarity",
    "velocity_similarity_of_positions",
]

if not TYPE_CHECKING:  # a type checker that sees it takes every misspelt name for Any

    def __getattr__(name: str) -> object:
        """Import the torchmetrics classes when they are first used: they bring torch with them."""
        if name in __all__:  # whatever is not imported above
            from scenewise.metrics import metric_classes

            return getattr(metric_classes, name)
        raise AttributeError(f"module 'scenewise.metrics' has no attribute {name!r}")
