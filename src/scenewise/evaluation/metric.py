"""A metric of a protocol: a function of arrays with its options, called with what its parameters name."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.errors import InputError, nearest
from scenewise.metrics.arrays import integers, one_of, reals, scores_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from numpy.typing import ArrayLike

    from scenewise.metrics.arrays import FrameScores

INPUTS = ("labels", "ids", "background_ids", "reconstruction", "frames", "nll", "kl")
"""What the parameters of a metric's function may name."""


@dataclass(frozen=True)
class ScoredVideos:
    """Checked arrays of N videos; what was not given is None.

    Attributes:
        labels: The slot that owns each pixel, shape (N, T, H, W).
        ids: The truth, shape (N, T, H, W): -1 for pixels to ignore.
        background_ids: The true ids that are background.
        reconstruction: Shape (N, T, C, H, W).
        frames: The true frames, shape (N, T, C, H, W).
        nll: -log p(frame given slots), nats, shape (N, T).
        kl: KL(posterior || prior), nats, shape (N, T).
    """

    labels: np.ndarray
    ids: np.ndarray
    background_ids: tuple[int, ...] = (0,)
    reconstruction: np.ndarray | None = None
    frames: np.ndarray | None = None
    nll: np.ndarray | None = None
    kl: np.ndarray | None = None

    @property
    def inputs(self) -> Mapping[str, Any]:
        """What was given, by name."""
        return {name: value for name in INPUTS if (value := getattr(self, name)) is not None}


@dataclass(frozen=True, init=False)
class Metric:
    """One number of a protocol.

    The function's parameters say what it needs: any of `INPUTS`, each as `ScoredVideos` has it. It returns one score
    per frame, shape (N, T), or one per video, shape (N,), as an array or as the `each` of a result; NaN where there is
    nothing to score. So the functions of `scenewise.metrics` are metrics as they are.

    Attributes:
        name: What it is called in tables.
        function: The function.
        empty: What a frame without a score is worth: "exclude" or "one". The protocol counts such frames.
        last: Score only the last frame of each video.
        options: Further arguments of the function.
        inputs: Those of `INPUTS` that it is called with.

    Examples:
        >>> from scenewise.metrics import mean_iou, segmentation_covering
        >>> metrics = (
        ...     Metric("mIoU", mean_iou),
        ...     Metric("SC", segmentation_covering, scaled=True),
        ...     Metric("mBO", segmentation_covering, foreground=True),
        ... )
        >>> videos = ScoredVideos(np.array([[[[0, 0, 1, 1]]]]), np.array([[[[0, 0, 0, 1]]]]))
        >>> {metric.name: metric.each(videos).round(3).tolist() for metric in metrics}
        {'mIoU': [[0.583]], 'SC': [[0.625]], 'mBO': [[0.5]]}
    """

    name: str
    function: Callable[..., np.ndarray | FrameScores]
    empty: str
    last: bool
    options: Mapping[str, Any]
    inputs: tuple[str, ...]

    def __init__(
        self,
        name: str,
        function: Callable[..., np.ndarray | FrameScores],
        *,
        empty: str = "exclude",
        last: bool = False,
        **options: Any,
    ) -> None:
        if not callable(function):
            raise InputError(f"metric {name}", f"must hold a function; found {function!r}.", "See scenewise.metrics.")
        one_of(empty, "empty", ("exclude", "one"))
        facts = {"name": name, "function": function, "empty": empty, "last": last}
        facts |= {"options": MappingProxyType(options), "inputs": _inputs_of(name, function, options)}
        for key, value in facts.items():
            object.__setattr__(self, key, value)

    def each(self, videos: ScoredVideos) -> np.ndarray:
        """Return the score of each frame, shape (N, T), or of each video, shape (N,), float64; NaN where empty.

        Raises:
            InputError: The function refuses the arrays, or returns another shape.
        """
        inputs = videos.inputs
        scores = scores_of(self.function(**{key: inputs[key] for key in self.inputs}, **self.options))
        shape = videos.labels.shape[:2]
        if scores.shape not in (shape, shape[:1]):
            problem = f"must return one score per frame, {shape}, or per video, {shape[:1]}; found {scores.shape}."
            raise InputError(f"metric {self.name}", problem)
        return scores


def _inputs_of(name: str, function: Callable[..., Any], options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return those of `INPUTS` that a function is called with; raises InputError where it could not be called."""
    parameters = inspect.signature(function).parameters
    kinds = {parameter.kind for parameter in parameters.values()}
    unfit = [key for key in options if key not in parameters]
    if unfit and inspect.Parameter.VAR_KEYWORD not in kinds:
        raise InputError(unfit[0], f"is not an option of metric {name}.", nearest(unfit[0], parameters))
    inputs = tuple(key for key in INPUTS if key in parameters and key not in options)
    variable = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    needed = [k for k, p in parameters.items() if p.default is p.empty and p.kind not in variable]
    missing = [key for key in needed if key not in (*inputs, *options)]
    if missing:
        remedy = f"Parameters without a default are {', '.join(INPUTS)}, or options that are given."
        raise InputError(f"metric {name}", f"asks for {missing[0]!r}, which protocols do not have.", remedy)
    return inputs


def checked_videos(
    labels: ArrayLike,
    ids: ArrayLike,
    background_ids: Collection[int],
    reconstruction: ArrayLike | None = None,
    frames: ArrayLike | None = None,
    nll: ArrayLike | None = None,
    kl: ArrayLike | None = None,
) -> ScoredVideos:
    """Return arrays of one or several videos, all with the first axis of `ScoredVideos`.

    Args:
        labels: Shape (N, T, H, W) or (T, H, W), like `ids`; other arrays alike.
        ids: The truth.
        background_ids: The true ids that are background.
        reconstruction: Given with `frames` or not at all.
        frames: The true frames.
        nll: Shape (N, T) or (T,), like `kl`.
        kl: KL of each frame.

    Raises:
        InputError: Shapes or values do not fit.
    """
    predicted, truth = integers(labels, "labels", minimum=0), integers(ids, "ids", minimum=-1)
    if predicted.ndim not in (3, 4) or predicted.size == 0:
        raise InputError("labels", f"must have shape (N, T, H, W) or (T, H, W), all above 0; found {predicted.shape}.")
    if truth.shape != predicted.shape:
        raise InputError("ids", f"must have the shape of labels, {predicted.shape}; found {truth.shape}.")
    if (reconstruction is None) != (frames is None):
        raise InputError("reconstruction", "and frames must be given together.", "Give both, or neither.")
    shape = predicted.shape
    images = {"reconstruction": reconstruction, "frames": frames}
    arrays = {name: reals(values, name) for name, values in images.items() if values is not None}
    for name, image in arrays.items():
        if image.ndim != len(shape) + 1 or image.shape[:-3] + image.shape[-2:] != shape:
            expected = (*shape[:-2], "C", *shape[-2:])
            raise InputError(name, f"must have shape {expected} to fit the labels; found {image.shape}.")
    for name, nats in {"nll": nll, "kl": kl}.items():
        if nats is not None:  # may be infinite
            arrays[name] = np.asarray(nats)
            if arrays[name].shape != shape[:-2]:
                raise InputError(name, f"must have shape {shape[:-2]} to fit the labels; found {arrays[name].shape}.")
    if len(shape) == 3:
        predicted, truth, arrays = predicted[None], truth[None], {name: array[None] for name, array in arrays.items()}
    return ScoredVideos(predicted, truth, tuple(background_ids), **arrays)
