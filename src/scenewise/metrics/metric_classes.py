"""The measures as torchmetrics classes: fed batch by batch, reduced over processes.

Importing this module imports torch; `scenewise.metrics` does so only when one of the classes is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torchmetrics import Metric

from scenewise.metrics.ari import adjusted_rand_index
from scenewise.metrics.reconstruction import squared_error

if TYPE_CHECKING:
    from collections.abc import Collection

    from torch import Tensor


class _Mean(Metric):
    """A mean over everything seen: sum and count add up over processes, so uneven shares weigh what they should."""

    is_differentiable = False
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def compute(self) -> Tensor:
        """Return the mean, float64, shape (); NaN where nothing counted."""
        return self.total / self.count

    def _add(self, each: np.ndarray) -> None:
        counted = each[~np.isnan(each)]
        self.total += float(counted.sum())
        self.count += counted.size


class AdjustedRandIndex(_Mean):
    """ARI or F-ARI over frames or videos, as `scenewise.metrics.adjusted_rand_index`.

    The state `empty` counts the frames or videos without a pixel to score.

    Args:
        foreground: F-ARI in place of ARI.
        scope: "frame", or "video" (each update then takes whole videos).
        empty_as: What a frame without a pixel to score is worth: "exclude" or "one".
        background_ids: The true ids that are background.
        **kwargs: Settings of torchmetrics.Metric.

    Examples:
        >>> measure = AdjustedRandIndex(foreground=True)
        >>> measure.update(torch.tensor([[0, 1, 2, 2]]), torch.tensor([[0, 0, 1, 1]]))
        >>> measure.update(torch.tensor([[0, 0, 0, 0]]), torch.tensor([[0, 0, 0, 0]]))  # no object: counted apart
        >>> measure.compute().item(), measure.empty.item()
        (1.0, 1)
    """

    higher_is_better = True
    empty: Tensor

    def __init__(
        self,
        foreground: bool = False,
        scope: str = "frame",
        empty_as: str = "exclude",
        background_ids: Collection[int] = (0,),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.foreground = foreground
        self.scope = scope
        self.empty_as = empty_as
        self.background_ids = tuple(background_ids)
        self.add_state("empty", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, labels: Tensor, ids: Tensor) -> None:
        """Add labels and ids of shape (..., H, W), or (..., T, H, W) for scope "video".

        Raises:
            InputError: As `adjusted_rand_index`.
        """
        scores = adjusted_rand_index(
            labels,
            ids,
            foreground=self.foreground,
            scope=self.scope,
            empty=self.empty_as,
            background_ids=self.background_ids,
        )
        self._add(scores.each)
        self.empty += scores.empty


class MeanSquaredError(_Mean):
    """Squared error per frame, averaged over frames, as `scenewise.metrics.mse`.

    Args:
        reduction: "element", "vector" or "sum".
        **kwargs: Settings of torchmetrics.Metric.

    Examples:
        >>> measure = MeanSquaredError()
        >>> measure.update(torch.zeros(4, 3, 8, 8), torch.full((4, 3, 8, 8), 0.5))
        >>> measure.compute().item()
        0.25
    """

    higher_is_better = False

    def __init__(self, reduction: str = "element", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reduction = reduction

    def update(self, reconstruction: Tensor, frames: Tensor) -> None:
        """Add a reconstruction and its frames, both of shape (..., C, H, W).

        Raises:
            InputError: As `squared_error`.
        """
        self._add(squared_error(reconstruction, frames, self.reduction))
