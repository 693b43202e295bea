"""Arrays as the metrics take and average them: numpy or torch in, checked numpy out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from scenewise.errors import InputError, nearest

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import ArrayLike


class FrameScores(Protocol):
    """What metrics return that tell more than scores: `each` is the score of each frame, or of each video."""

    @property
    def each(self) -> np.ndarray:
        """Scores, NaN where there is nothing to score."""


def scores_of(result: np.ndarray | FrameScores) -> np.ndarray:
    """Return the scores that a metric gave, float64: its result is an array of them, or holds one as `each`."""
    return np.asarray(result if isinstance(result, np.ndarray) else result.each, np.float64)


def integers(values: ArrayLike, name: str, minimum: int | None = None) -> np.ndarray:
    """Return labels or ids as an integer array of the same shape.

    Args:
        values: A numpy array or torch tensor of integers or booleans, on any device.
        name: What it is called in messages.
        minimum: The smallest value admitted.

    Raises:
        InputError: The values are not whole numbers, or one lies below `minimum`.

    Examples:
        >>> integers([True, False, True], "labels").tolist()
        [1, 0, 1]
        >>> integers([-2, 0], "ids", minimum=-1)
        Traceback (most recent call last):
        ...
        scenewise.errors.InputError: ids: must be at least -1; found -2. Only ids may be -1, for pixels to ignore.
    """
    array = _numpy(values)
    if array.dtype == bool:
        array = array.astype(np.uint8)
    if not np.issubdtype(array.dtype, np.integer):
        raise InputError(
            name, f"must be integers; found {array.dtype}.", "Take the argmax of soft masks over slots first."
        )
    if minimum is not None and array.size and (lowest := int(array.min())) < minimum:
        raise InputError(
            name, f"must be at least {minimum}; found {lowest}.", "Only ids may be -1, for pixels to ignore."
        )
    return array


def reals(values: ArrayLike, name: str) -> np.ndarray:
    """Return images, masks or positions as a float array of the same shape.

    Args:
        values: A numpy array or torch tensor of floats or booleans, on any device.
        name: What it is called in messages.

    Raises:
        InputError: The values are integers (their scale is not known), NaN or infinite.

    Examples:
        >>> reals([True, False], "masks").tolist()
        [1.0, 0.0]
        >>> reals([0, 255], "frames")
        Traceback (most recent call last):
        ...
        scenewise.errors.InputError: frames: must be floats; found int64. Divide 8-bit images by 255.
    """
    array = _numpy(values)
    if array.dtype == bool:
        return array.astype(np.float32)
    if not np.issubdtype(array.dtype, np.floating):
        raise InputError(name, f"must be floats; found {array.dtype}.", "Divide 8-bit images by 255.")
    if not np.isfinite(array).all():
        wrong = int(array.size - np.isfinite(array).sum())
        raise InputError(
            name, f"holds {wrong} values of {array.size} that are NaN or infinite.", "Find where they arise."
        )
    return array


def same_shape(one: np.ndarray, other: np.ndarray, names: tuple[str, str], axes: str, rank: int) -> None:
    """Check that two arrays have the same shape.

    Args:
        one: The first array.
        other: The second array.
        names: What the two are called in messages.
        axes: The shape expected, for the message: "(..., H, W)".
        rank: The least number of axes.

    Raises:
        InputError: The shapes differ, or there are too few axes.
    """
    for array, name in zip((one, other), names, strict=True):
        if array.ndim < rank:
            raise InputError(name, f"must have shape {axes}; found {array.shape}.")
    if one.shape != other.shape:
        raise InputError(names[0], f"must have the shape of {names[1]}, {other.shape}; found {one.shape}.")


def one_of(value: Any, name: str, allowed: Collection[str]) -> None:
    """Check that a flag has one of its values.

    Raises:
        InputError: It has not; the message names the nearest spelling.

    Examples:
        >>> one_of("vide", "scope", ("frame", "video"))
        Traceback (most recent call last):
        ...
        scenewise.errors.InputError: scope: is 'vide'; allowed: frame, video. Did you mean 'video'?
    """
    if value not in allowed:
        raise InputError(name, f"is {value!r}; allowed: {', '.join(allowed)}.", nearest(str(value), allowed))


def mean(values: np.ndarray, axis: int | tuple[int, ...] | None = None) -> Any:
    """Return the mean of the entries that are not NaN, and NaN where there is none (without a warning).

    Examples:
        >>> mean(np.array([1.0, np.nan, 3.0]))
        2.0
        >>> mean(np.array([[1.0, np.nan], [3.0, np.nan]]), axis=0).tolist()
        [2.0, nan]
    """
    counted = ~np.isnan(values)
    count = counted.sum(axis=axis)
    total = np.where(counted, values, 0.0).sum(axis=axis)
    result = np.full(np.shape(count), np.nan)
    np.divide(total, count, out=result, where=count > 0)
    return float(result) if axis is None else result


def _numpy(values: Any) -> np.ndarray:
    if hasattr(values, "detach"):  # a torch tensor, recognised without importing torch
        tensor = values.detach().cpu()
        return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()
    return np.asarray(values)
