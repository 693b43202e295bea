"""Measures of decompositions and predictions: pure functions of arrays, one measure per file.

Numpy arrays go in (torch tensors are converted) and plain numbers and arrays come out. `AdjustedRandIndex` and
`MeanSquaredError` are the same measures as torchmetrics classes, imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scenewise.metrics.ari import RandIndex, adjusted_rand_index
from scenewise.metrics.confidence import confidence
from scenewise.metrics.horizon import HORIZONS, Horizons, over_horizons
from scenewise.metrics.latent_correlation import block_contrast, latent_correlation
from scenewise.metrics.mutual_information import (
    NEIGHBOURS,
    Transfer,
    best_partition,
    gaussian_bias,
    gaussian_information,
    mutual_information,
    random_partitions,
    transfer,
)
from scenewise.metrics.overlap import ids_from_masks
from scenewise.metrics.prediction import prediction_ari
from scenewise.metrics.reconstruction import binary_cross_entropy, copy_last_mse, mse, prediction_mse, squared_error
from scenewise.metrics.velocity import VelocitySimilarity, velocity_similarity, velocity_similarity_of_positions

if TYPE_CHECKING:
    from scenewise.metrics.metric_classes import AdjustedRandIndex, MeanSquaredError

__all__ = [
    "HORIZONS",
    "NEIGHBOURS",
    "AdjustedRandIndex",
    "Horizons",
    "MeanSquaredError",
    "RandIndex",
    "Transfer",
    "VelocitySimilarity",
    "adjusted_rand_index",
    "best_partition",
    "binary_cross_entropy",
    "block_contrast",
    "confidence",
    "copy_last_mse",
    "gaussian_bias",
    "gaussian_information",
    "ids_from_masks",
    "latent_correlation",
    "mse",
    "mutual_information",
    "over_horizons",
    "prediction_ari",
    "prediction_mse",
    "random_partitions",
    "squared_error",
    "transfer",
    "velocity_similarity",
    "velocity_similarity_of_positions",
]


def __getattr__(name: str) -> Any:
    """Import the torchmetrics classes when they are first used: they bring torch with them."""
    if name in ("AdjustedRandIndex", "MeanSquaredError"):
        from scenewise.metrics import metric_classes

        return getattr(metric_classes, name)
    raise AttributeError(f"module 'scenewise.metrics' has no attribute {name!r}")
