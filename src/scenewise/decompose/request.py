"""What is asked of a model over one video: made where words or arguments come in, and checked there, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scenewise.decomposition import LABEL_RULES, LabelRule
from scenewise.documents import shortened
from scenewise.errors import InputError

if TYPE_CHECKING:
    from scenewise.models.contract import SceneModel

SMALLEST_SIDE, LARGEST_SIDE = 8, 2048
"""Pixels that a side of the results may have."""

_LIMITS = {"slots": (1, 256), "refinements": (1, 64)}


@dataclass(frozen=True)
class Request:
    """How a video is taken apart, and how much of it is predicted.

    Attributes:
        size: (H, W) of the results, also given as one number for a square; the model's own where None.
        slots: K, the model's own where None.
        refinements: R, the model's own where None.
        seed: Seed of the posterior noise.
        observe: Frames to look at before predicting; all where None.
        steps: Frames to predict; at least 1 where `observe` is given.
        labels: Who owns a pixel that was seen: the slot that explains it best, or that with the largest mask.

    Raises:
        InputError: A number is out of range, or there is no such rule of labels.

    Examples:
        >>> Request(size=128).size
        (128, 128)
        >>> Request(observe=10, steps=0)
        Traceback (most recent call last):
        ...
        scenewise.errors.InputError: steps: must be at least 1; found 0.
    """

    size: tuple[int, int] | None = None
    slots: int | None = None
    refinements: int | None = None
    seed: int = 0
    observe: int | None = None
    steps: int = 0
    labels: LabelRule = "responsibility"

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", checked_size(self.size))
        check_limits(slots=self.slots, refinements=self.refinements)
        if self.labels not in LABEL_RULES:
            raise InputError("labels", f"must be {' or '.join(LABEL_RULES)}; found {self.labels!r}.")
        least = {"seed": 0, "observe": 1, "steps": 0 if self.observe is None else 1}
        for name, low in least.items():
            value = getattr(self, name)
            if value is not None and value < low:
                raise InputError(name, f"must be at least {low}; found {shortened(value)}.")
            if value is not None and value >= 1 << 63:  # beyond what random generators and counts take
                raise InputError(name, f"must be less than 2**63; found {shortened(value)}.")


def checked_size(size: int | tuple[int, ...] | None) -> tuple[int, int] | None:
    """Return (H, W) in pixels, or None where the model's own size is wanted.

    Args:
        size: (H, W), or one number for a square.

    Raises:
        InputError: It is not one or two whole numbers in [8, 2048].

    Examples:
        >>> checked_size(128), checked_size((96, 128)), checked_size(None)
        ((128, 128), (96, 128), None)
        >>> checked_size(4)
        Traceback (most recent call last):
        ...
        scenewise.errors.InputError: size: height and width must be whole numbers in [8, 2048]; found 4. ...
    """
    if size is None:
        return None
    sides = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    whole = all(isinstance(side, (int, np.integer)) and not isinstance(side, bool) for side in sides)
    if len(sides) != 2 or not whole or not all(SMALLEST_SIDE <= side <= LARGEST_SIDE for side in sides):
        problem = f"height and width must be whole numbers in [{SMALLEST_SIDE}, {LARGEST_SIDE}]; found {size}."
        raise InputError("size", problem, "Leave it out for the model's own size.")
    return int(sides[0]), int(sides[1])


def check_limits(**options: int | None) -> None:
    """Raise InputError where slots or refinements lie outside their range.

    Examples:
        >>> check_limits(slots=7, refinements=None)
        >>> check_limits(slots=0)
        Traceback (most recent call last):
        ...
        scenewise.errors.InputError: slots: must lie in [1, 256]; found 0.
    """
    for name, value in options.items():
        low, high = _LIMITS[name]
        if value is not None and not low <= value <= high:
            raise InputError(name, f"must lie in [{low}, {high}]; found {value}.")


def check_takes_videos(model: SceneModel, name: str) -> None:
    """Raise InputError where a model explains views of a scene, which needs to know where they are taken from."""
    if model.viewpoint_size is not None:
        problem = "explains views of a scene by where they are taken from, which a video does not tell."
        run = f"scenewise render cle-mv#0 --model {name} --observe 0,1 --out scene"
        raise InputError(name, problem, f"In Python give `step` the viewpoints; of scenes, run: {run}")
