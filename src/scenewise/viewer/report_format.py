"""The report as one of the formats in which a decomposed video is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from scenewise.decompose.contract import FORMATS, ExportContext, Exporter, Summary
from scenewise.viewer.report import FrameView, ReportBuilder

if TYPE_CHECKING:
    from scenewise.decompose.frame_result import FrameResult

_IGNORED = 255


@FORMATS.register("report")
class Report(Exporter):
    """One page that opens from disk: frames, masks, slots, uncertainty, what happened when, settings and scores."""

    files: ClassVar[str] = "report.html"

    def __init__(self, context: ExportContext) -> None:
        super().__init__(context)
        self._builder = ReportBuilder(
            title=context.title, slots=context.slots, size=context.size, settings=context.settings
        )

    def add(self, frame: FrameResult) -> None:
        """Take in one frame; uncertainty is computed for frames whose pictures are kept."""
        pictured = self._builder.frames % self._builder.stride == 0
        blank = np.zeros(frame.labels.shape, np.float32)
        self._builder.add(
            FrameView(
                index=frame.index,
                time_s=frame.time_s,
                image=frame.image,
                labels=frame.labels,
                masks=frame.masks,
                appearance=frame.appearance,
                reconstruction=frame.picture,
                uncertainty=frame.uncertainty if pictured else blank,
                mean=frame.mean,
                std=frame.std,
                mse=frame.mse,
                ids=None if frame.ids is None else _as_bytes(frame.ids),
                predicted=frame.predicted,
                truth=frame.truth,
            )
        )

    def finish(self, summary: Summary) -> None:
        """Write the page."""
        self._builder.write(
            self.context.folder / self.files,
            summary={
                "objects": summary.objects,
                "frames": summary.frames,
                "roles": summary.roles,
                "model": summary.model,
                "warning": summary.warning,
                "doubt": summary.doubt,
                "validated_mse": summary.validated_mse,
                "scores": summary.scores,
            },
        )


def _as_bytes(ids: np.ndarray) -> np.ndarray:
    """Return ids as uint8: 255 for pixels to ignore, and for the few scenes with ids beyond 254."""
    return np.where((ids < 0) | (ids >= _IGNORED), _IGNORED, ids).astype(np.uint8)
