"""Data that an experiment makes for itself, once, and reads from then on: what is dear to draw at every step."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenewise.config import setting
from scenewise.data.splits import check_split
from scenewise.errors import InputError
from scenewise.media.folders import BusyError, lock

if TYPE_CHECKING:
    from collections.abc import Callable

_ASK_AGAIN = 0.5  # seconds


@dataclass(frozen=True)
class CellData:
    """What is made."""

    source: str = setting("", "Registered name of the source")
    settings: dict[str, Any] = field(default_factory=dict, metadata={"meaning": "Settings of that source"})
    samples: dict[str, int] = field(default_factory=dict, metadata={"meaning": "Videos or scenes by split"})

    def __post_init__(self) -> None:
        """Raise InputError where a split is none, or its samples are no number."""
        for split, count in self.samples.items():
            check_split(split)
            if type(count) is not int or count < 1:
                raise InputError(f"made.samples.{split}", f"must be at least 1; found {count!r}.")

    @property
    def name(self) -> str:
        """Name of its folder: equal for equal data, so that experiments share them."""
        identity = json.dumps([self.source, self.settings, self.samples], sort_keys=True)
        return f"{self.source}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}"

    def data_part(self, data: Path | None) -> dict[str, Any]:
        """Return the data part of a recipe: the made files below `data`, or the source itself where that is None."""
        if data is None:
            return {"source": self.source, "settings": self.settings}
        return {"source": "made", "settings": {"path": str(data / self.name)}}

    def is_whole(self, data: Path) -> bool:
        """Say whether all splits are whole."""
        return all((data / self.name / split / "manifest.json").is_file() for split in self.samples)

    def make(self, data: Path, tell: Callable[[str], None] | None = None) -> Path:
        """Make what is missing and return the folder; while another process makes it, wait.

        Args:
            data: Folder of all made data.
            tell: Called with a line on what is being done.

        Raises:
            InputError: The source is unknown, has fewer samples, or the folder cannot be written.
        """
        from scenewise.data.shards.writer import make, make_plan

        folder, waited = data / self.name, False
        while not self.is_whole(data):
            try:
                with lock(data / f"{self.name}.lock"):
                    for split, count in self.samples.items():
                        if tell is not None:
                            tell(f"makes {count} of {self.source} ({split}): {folder}")
                        make(make_plan(self.source, split, self.settings, count), folder)
            except BusyError:
                if tell is not None and not waited:
                    tell(f"waits for {folder}, which another process makes")
                waited = True
                time.sleep(_ASK_AGAIN)
        return folder
