"""The export format `areas`: how much of each frame each slot owns, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from scenewise.decompose import FORMATS, ExportContext, Exporter
from scenewise.media.files import writing

if TYPE_CHECKING:
    from scenewise.decompose import FrameResult


@FORMATS.register("areas")
class Areas(Exporter):
    """One row per frame: its index, then the share of the pixels of each slot."""

    files: ClassVar[str] = "areas.csv"

    def __init__(self, context: ExportContext) -> None:
        super().__init__(context)
        self._path = context.folder / self.files
        with writing(self._path):
            self._file = self._path.open("w", encoding="utf-8")
        self._put("frame", *(f"slot {k}" for k in range(context.slots)))

    def add(self, frame: FrameResult) -> None:
        """Append a row."""
        counts = np.bincount(frame.labels.ravel(), minlength=self.context.slots)
        self._put(frame.index, *(f"{share:.6f}" for share in counts / counts.sum()))

    def close(self) -> None:
        """Close the file; closing twice does nothing."""
        self._file.close()

    def _put(self, *cells: object) -> None:
        with writing(self._path):
            self._file.write(",".join(map(str, cells)) + "\n")
