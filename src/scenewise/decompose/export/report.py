"""The report as one of the formats in which a decomposed video is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from scenewise.decompose.export.base import FORMATS, ExportContext, Exporter
from scenewise.report import ReportBuilder, write_report

if TYPE_CHECKING:
    from scenewise.frame_result import FrameResult
    from scenewise.summary import Summary


@FORMATS.register("report")
class Report(Exporter):
    """One page that opens from disk: frames, masks, slots, uncertainty, what happened when, settings and scores."""

    files: ClassVar[str] = "report.html"

    def __init__(self, context: ExportContext) -> None:
        super().__init__(context)
        written = [file for name in context.settings.get("formats", ()) for file in FORMATS.get(name).files.split(", ")]
        self._builder = ReportBuilder(
            title=context.heading or context.title,
            statistics=context.statistics,
            settings=context.settings,
            sources=context.sources,
            downloads=[name for name in written if name != self.files and "%" not in name],
        )

    def add(self, frame: FrameResult) -> None:
        """Take in one frame; uncertainty is computed for frames that are pictured."""
        self._builder.add(frame)

    def state(self) -> dict[str, Any]:
        """Return the pictures and curves so far."""
        return self._builder.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Go on with them."""
        self._builder.restore(state)

    def finish(self, summary: Summary) -> None:
        """Write the page."""
        write_report(self._builder, self.context.folder / self.files, summary)
