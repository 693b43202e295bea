"""How far a model has come with a video, so that another process can go on from there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scenewise.models.contract import State


@dataclass
class Course:
    """Where a stream over a video is; whoever runs the stream moves it along.

    Attributes:
        frames: Frames explained so far.
        state: What the model carries on after them; None where it cannot be told: within frames that are explained
            together, and while frames are predicted.
    """

    frames: int = 0
    state: State | None = None
