"""From whatever numbers a file holds to uint8 RGB: ranges and channels."""

from __future__ import annotations

import math

import numpy as np

from scenewise.errors import InputError

_SLACK = 1e-3  # rounding of half floats; beyond it a value is wrong, not imprecise


_LEAST_USED = 0.26  # of the range of deep values; up to it they are of 14 bits or fewer


class UsedRange:
    """How much of their range the values of a video's images use, where they are stored in more than 8 bits.

    Cameras of 10, 12 or 14 bits leave the upper bits of 16 empty, and images of theirs come out nearly black.

    Examples:
        >>> used = UsedRange()
        >>> used.see(400, 65535)
        >>> used.see(3900, 65535)
        >>> used.problems()
        ['is dark: the brightest value is 3900 of 65535, as of 12 bits stored in 16; multiply by 16 before storing.']
    """

    def __init__(self) -> None:
        self._brightest = 0.0
        self._full = 65535

    def see(self, brightest: int, full: int) -> None:
        """Note the brightest value of an image, and the largest there can be."""
        if brightest / full >= self._brightest:
            self._brightest, self._full = brightest / full, full

    def problems(self) -> list[str]:
        """Return what is to be said of values that leave most of their range empty."""
        if not 0 < self._brightest < _LEAST_USED:
            return []
        used = math.log2(self._brightest * 65536)
        bits = next((bits for bits in (8, 10, 12) if used < bits + 0.05), 14)  # what cameras have; 0.05 is rounding
        value = round(self._brightest * self._full)
        return [
            f"is dark: the brightest value is {value} of {self._full}, as of {bits} bits stored in 16; multiply by "
            f"{1 << 16 - bits} before storing."
        ]


def to_uint8(values: np.ndarray, subject: object) -> np.ndarray:
    """Scale to 0..255 by dtype alone, so that every frame of a video is scaled alike.

    Args:
        values: Any shape: bool, floats in [0, 1], or integers in [0, 255].
        subject: What is being read, for messages.

    Returns:
        uint8 of the same shape.

    Raises:
        InputError: NaN or infinite values, values out of range, or another dtype.

    Examples:
        >>> to_uint8(np.array([0.0, 0.2, 1.0]), "frame 0").tolist()
        [0, 51, 255]
        >>> to_uint8(np.array([False, True]), "frame 0").tolist()
        [0, 255]
        >>> to_uint8(np.array([0.0, 255.0]), "frame 0")
        Traceback (most recent call last):
        ...
        scenewise.errors.InputError: frame 0: expected float64 values in [0, 1]; found [0, 255]. ...
    """
    kind = values.dtype.kind
    if values.dtype == np.uint8:
        return values
    if kind == "b":
        return values.astype(np.uint8) * np.uint8(255)
    if kind == "f":
        broken = values.size - int(np.isfinite(values).sum())
        if broken:
            problem = f"expected finite values; found {broken} of {values.size} NaN or infinite."
            raise InputError(subject, problem, "Replace them or drop the frame.")
        _check_range(values, -_SLACK, 1 + _SLACK, subject, "Divide floats by their largest value, or store uint8.")
        return np.rint(np.clip(values, 0, 1) * 255.0).astype(np.uint8)
    if kind in "iu":
        _check_range(values, 0, 255, subject, "Store 8-bit values, or floats in [0, 1].")
        return values.astype(np.uint8)
    raise InputError(subject, f"expected bool, integers or floats; found dtype {values.dtype}.", "Convert the array.")


def _check_range(values: np.ndarray, low: float, high: float, subject: object, remedy: str) -> None:
    if values.size and (values.min() < low or values.max() > high):
        span = f"[{values.min():g}, {values.max():g}]"
        problem = f"expected {values.dtype} values in [{round(low)}, {round(high)}]; found {span}."
        raise InputError(subject, problem, remedy)


def to_rgb(image: np.ndarray) -> np.ndarray:
    """Return uint8 (H, W, 3) of an image with C = 1 (grey), 3, or 4 (RGBA, laid on black).

    Args:
        image: uint8, shape (H, W, C).

    Examples:
        >>> to_rgb(np.array([[[7]]], np.uint8)).tolist()
        [[[7, 7, 7]]]
        >>> to_rgb(np.array([[[200, 100, 0, 51]]], np.uint8)).tolist()  # a fifth opaque, on black
        [[[40, 20, 0]]]
    """
    if image.shape[2] == 1:
        return np.repeat(image, 3, axis=2)
    if image.shape[2] == 4:
        product = image[..., :3].astype(np.uint16) * image[..., 3:] + np.uint16(127)
        return (product // 255).astype(np.uint8)
    return image


def to_grey(image: np.ndarray) -> np.ndarray:
    """Return the luma (Rec. 601) of uint8 (H, W, 3) as uint8 (H, W, 1).

    Examples:
        >>> to_grey(np.array([[[255, 255, 255], [0, 100, 0]]], np.uint8)).tolist()
        [[[255], [59]]]
    """
    weighted = image.astype(np.uint32) @ np.array([299, 587, 114], np.uint32)
    return ((weighted + 500) // 1000).astype(np.uint8)[..., None]
