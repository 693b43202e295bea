"""What is said of a video as a whole, and the words a verdict is given in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

KNOWN, UNKNOWN, NO_OBJECTS, UNVALIDATED = "known footage", "unknown footage", "no objects", "not validated"
UNDECIDED, DOUBTFUL = "undecided", "doubtful footage"
NOT_TAKEN_APART = (UNKNOWN, UNDECIDED)
"""Verdicts under which slots must not be taken for objects."""


@dataclass
class Summary:
    """What is said of a video as a whole.

    Attributes:
        model: The model's name.
        frames: Frames taken apart, predicted ones included.
        verdict: "known footage", "doubtful footage" (worse than 99 percent of what the model was validated on),
            "unknown footage", "undecided", "no objects", or "not validated" where the model's card has no figure to
            compare with.
        message: The verdict in a sentence, empty for known footage.
        remedy: A command that helps, or empty.
        roles: For each slot "background", "object", "undecided" or "unused"; all "not judged" on unknown footage.
        mse: Median over frames of the reconstruction error; NaN where no frame was seen.
        limit: Error above which footage counts as unknown, or None.
        validated_mse: The card's figure, or None.
        scores: Rows with `protocol`, `metric`, `value` and `note`.
        interrupted: Whether the video was broken off.
        seconds: Wall-clock seconds in all.
        model_seconds: Of these, in reading frames and running the model.
        problems: What was wrong with the file.
        folder: Where the files are.
        files: Their names.
        tracks: For each slot the numbers of the objects that it held, in their order; more than one where a model
            gives a slot that has lost its object to another.
        resumed: Frames that another process had done before, from which this one went on.
    """

    model: str
    frames: int
    verdict: str
    message: str
    remedy: str
    roles: list[str]
    mse: float
    limit: float | None
    validated_mse: float | None
    scores: list[dict[str, Any]] = field(default_factory=list)
    interrupted: bool = False
    seconds: float = 0.0
    model_seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    folder: str = ""
    files: list[str] = field(default_factory=list)
    tracks: list[list[int]] = field(default_factory=list)
    resumed: int = 0

    @property
    def objects(self) -> int:
        """Number of slots taken for objects."""
        return self.roles.count("object")

    @property
    def background(self) -> list[int]:
        """Slots taken for background."""
        return [k for k, role in enumerate(self.roles) if role == "background"]

    @property
    def track_ids(self) -> list[int]:
        """For each slot the number that its first object has in all files, from 1; 0 where it is no object."""
        tracks = self.tracks or [[k + 1] for k in range(len(self.roles))]
        return [
            numbers[0] if role == "object" and numbers else 0 for role, numbers in zip(self.roles, tracks, strict=True)
        ]

    @property
    def doubt(self) -> str:
        """Why slots may not be objects, a sentence; empty where nothing tells so."""
        return self.message if self.verdict == DOUBTFUL else ""

    @property
    def warning(self) -> str:
        """Why slots must not be taken for objects, with the command in backticks; empty where they may."""
        if self.verdict not in NOT_TAKEN_APART:
            return ""
        return f"{self.message} To train a model on this footage: `{self.remedy}`"
