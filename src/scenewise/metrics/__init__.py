"""Measures of decompositions and predictions: pure functions of arrays, one measure per file.

Numpy arrays go in (torch tensors are converted) and plain numbers and arrays come out. `AdjustedRandIndex` and
`MeanSquaredError` are the same measures as torchmetrics classes, imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scenewise.metrics.ari import RandIndex, adjusted_rand_index
from scenewise.metrics.confidence import confidence
from scenewise.metrics.horizon import HORIZONS, Horizons, over_horizons
from scenewise.metrics.overlap import ids_from_masks
from scenewise.metrics.prediction import prediction_ari
from scenewise.metrics.reconstruction import binary_cross_entropy, copy_last_mse, mse, prediction_mse, squared_error
from scenewise.metrics.velocity import VelocitySimilarity, velocity_similarity, velocity_similarity_of_positions

if TYPE_CHECKING:
    from scenewise.metrics.metric_classes import AdjustedRandIndex, MeanSquaredError

__all__ = [
    "HORIZONS",
    "AdjustedRandIndex",
    "Horizons",
    "MeanSquaredError",
    "RandIndex",
    "VelocitySimilarity",
    "adjusted_rand_index",
    "binary_cross_entropy",
    "confidence",
    "copy_last_mse",
    "ids_from_masks",
    "mse",
    "over_horizons",
    "prediction_ari",
    "prediction_mse",
    "squared_error",
    "velocity_similarity",
    "velocity_similarity_of_positions",
]


def __getattr__(name: str) -> Any:
    """Import the torchmetrics classes when they are first used: they bring torch with them."""
    if name in ("AdjustedRandIndex", "MeanSquaredError"):
        from scenewise.metrics import metric_classes

        return getattr(metric_classes, name)
    raise AttributeError(f"module 'scenewise.metrics' has no attribute {name!r}")
