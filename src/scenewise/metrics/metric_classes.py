"""The metrics of frames as torchmetrics classes: fed batch by batch, reduced over processes.

`metric_of` makes such a class of a function that scores every frame. Importing this module imports torch;
`scenewise.metrics` does so only when one of the classes is asked for.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torchmetrics import Metric

from scenewise.errors import InputError, nearest
from scenewise.metrics.ari import adjusted_rand_index
from scenewise.metrics.arrays import one_of, scores_of
from scenewise.metrics.confidence import confidence
from scenewise.metrics.covering import segmentation_covering
from scenewise.metrics.iou import mean_iou
from scenewise.metrics.reconstruction import binary_cross_entropy, squared_error
from scenewise.metrics.splitting import similar_pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from scenewise.metrics.arrays import FrameScores


class FrameMetric(Metric):
    """The mean of a function's scores over all frames (or videos) seen; those without a score are counted apart.

    Sum and count add up over processes, so uneven shares weigh what they should. The state `empty` counts the frames
    without anything to score. `metric_of` makes subclasses, one per function.

    Args:
        empty: What a frame without a score is worth: "exclude" or "one".
        **options: Options of the function, and settings of torchmetrics.Metric.

    Raises:
        InputError: An option is unknown to both.
    """

    is_differentiable = False
    full_state_update = False
    function: ClassVar[Callable[..., np.ndarray | FrameScores]]
    defaults: ClassVar[Mapping[str, Any]] = {}
    total: Tensor
    count: Tensor
    empty: Tensor

    def __init__(self, empty: str = "exclude", **options: Any) -> None:
        own = _options_of(type(self).function)
        settings = {key: value for key, value in options.items() if key not in own}
        try:
            super().__init__(**settings)
        except ValueError as error:  # torchmetrics names neither the class nor what it takes
            unfit = next(iter(settings), "")
            raise InputError(
                unfit, f"is not an option of {type(self).__name__}: {error}", nearest(unfit, own)
            ) from None
        one_of(empty, "empty", ("exclude", "one"))
        self.worth = 1.0 if empty == "one" else None
        self.options = {**self.defaults, **{key: value for key, value in options.items() if key in own}}
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("empty", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, *arrays: Tensor) -> None:
        """Add frames: the arrays that the function takes, in its order.

        Raises:
            InputError: As the function.
        """
        each = scores_of(type(self).function(*arrays, **self.options))
        scored = each[~np.isnan(each)]
        empty = each.size - scored.size
        self.total += float(scored.sum()) + empty * (self.worth or 0.0)
        self.count += scored.size + (0 if self.worth is None else empty)
        self.empty += empty

    def compute(self) -> Tensor:
        """Return the mean, float64, shape (); NaN where nothing counted."""
        return self.total / self.count


def metric_of(
    function: Callable[..., np.ndarray | FrameScores],
    name: str = "",
    higher_is_better: bool | None = None,
    **options: Any,
) -> type[FrameMetric]:
    """Return the torchmetrics class of a function that scores every frame.

    Args:
        function: From arrays to one score per frame or video: an array, or a result that holds them as `each`; NaN
            where there is nothing to score. Its parameters with a default are options of the class, except `empty`,
            which the class decides for all functions alike.
        name: Name of the class; that of the function where empty.
        higher_is_better: What torchmetrics tells whoever picks the best model.
        **options: Options of the function that the class has in place of the function's own defaults.

    Raises:
        InputError: The function has no such option.

    Examples:
        >>> from scenewise.metrics import mean_iou
        >>> metric = metric_of(mean_iou, include_background=False)(matching="greedy")
        >>> metric.update(torch.tensor([[0, 1, 2, 2]]), torch.tensor([[0, 0, 1, 1]]))
        >>> metric.update(torch.tensor([[0, 0, 0, 0]]), torch.tensor([[0, 0, 0, 0]]))  # no object: counted apart
        >>> metric.compute().item(), metric.empty.item()
        (1.0, 1)
    """
    own = _options_of(function)
    for key in options:
        if key not in own:
            raise InputError(key, f"is not an option of {function.__name__}.", nearest(key, own))
    summary = (inspect.getdoc(function) or "").partition("\n")[0]
    facts = {
        "__doc__": f"The mean over frames of `{function.__name__}`, as a torchmetrics class.\n\n{summary}",
        "__module__": __name__,
        "function": staticmethod(function),
        "defaults": options,
        "higher_is_better": higher_is_better,
    }
    subclass: type[FrameMetric] = type(name or function.__name__, (FrameMetric,), facts)
    return subclass


def _options_of(function: Callable[..., Any]) -> list[str]:
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.default is not p.empty and p.name != "empty"]


AdjustedRandIndex = metric_of(adjusted_rand_index, "AdjustedRandIndex", higher_is_better=True)
"""`adjusted_rand_index`: ARI, or F-ARI with `foreground=True`, of frames, or of videos with `scope="video"`."""
MeanIntersectionOverUnion = metric_of(mean_iou, "MeanIntersectionOverUnion", higher_is_better=True)
"""`mean_iou` of frames, or of videos with `scope="video"`."""
SegmentationCovering = metric_of(segmentation_covering, "SegmentationCovering", higher_is_better=True)
"""`segmentation_covering`: mSC, SC with `scaled=True`, mBO with `foreground=True`."""
Confidence = metric_of(confidence, "Confidence", higher_is_better=True)
"""`confidence` of soft masks: updates take masks and ids."""
MeanSquaredError = metric_of(squared_error, "MeanSquaredError", higher_is_better=False)
"""`squared_error` of frames: updates take a reconstruction and its frames."""
BinaryCrossEntropy = metric_of(binary_cross_entropy, "BinaryCrossEntropy", higher_is_better=False)
"""`binary_cross_entropy` of frames in nats."""
SimilarPairs = metric_of(similar_pairs, "SimilarPairs", higher_is_better=False)
"""`similar_pairs`, their number per frame: updates take latents and labels."""
