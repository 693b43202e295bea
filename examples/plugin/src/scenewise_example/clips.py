"""The source `npz-clips`: a folder of train.npz, validation.npz and test.npz.

Each file holds `frames`, uint8, shape (N, T, H, W, C), and may hold `ids`, whole numbers, shape (N, T, H, W): 0 for the
background, -1 for pixels to ignore.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scenewise.config import setting
from scenewise.data import Description, Facts, Sample, Source, register_source
from scenewise.data.fingerprints import of_file
from scenewise.errors import InputError
from scenewise.media.files import check_readable, reading


@dataclass(frozen=True)
class ClipsConfig:
    """Settings of the reader."""

    path: str = setting("", "The folder")


@register_source("npz-clips", Description(what="clips of one size from npz files, with or without ids", kind="files"))
class Clips(Source):
    """Videos of one file.

    Args:
        config: Where they are.
        split: "train", "validation" or "test".

    Raises:
        InputError: The file is missing, damaged or of another layout.
    """

    config_class = ClipsConfig

    def __init__(self, config: ClipsConfig, split: str) -> None:
        self.config = config
        self.path = Path(config.path) / f"{split}.npz"
        check_readable(self.path)
        with reading(self.path, "arrays `frames` and `ids`", "Write it again."), np.load(self.path) as file:
            self._frames, self._ids = file["frames"], file.get("ids")
        if self._frames.dtype != np.uint8 or self._frames.ndim != 5:
            problem = f"frames: expected uint8 (N, T, H, W, C); found {self._frames.dtype} {self._frames.shape}."
            raise InputError(self.path, problem, "Write it again.")
        if self._ids is not None and self._ids.shape != self._frames.shape[:4]:
            problem = f"ids: expected the shape of frames without C; found {self._ids.shape}."
            raise InputError(self.path, problem, "Write it again.")
        _, frames, height, width, channels = self._frames.shape
        most = None if self._ids is None else int(self._ids.max(initial=0))
        self.facts = Facts(
            channels, (height, width), frames, most, has_ids=self._ids is not None, origin=f"clips of {self.path}"
        )

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Return whether a folder is one of such files; commands then take its path in place of the name."""
        return (path / "test.npz").is_file()

    def __len__(self) -> int:
        """Return N."""
        return len(self._frames)

    def sample(self, index: int, start: int = 0, frames: int | None = None) -> Sample:
        """Return a video, or `frames` of its frames from `start` on."""
        span = slice(start, None if frames is None else start + frames)
        ids = None if self._ids is None else self._ids[index, span].astype(np.int64)
        return Sample(np.moveaxis(self._frames[index, span], -1, 1), ids)  # (T, C, H, W)

    def fingerprint(self) -> str:
        """Return a hash of the file."""
        return of_file(self.path)
