"""To look at: a video side by side, masks as palette images, and the page of the video."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from scenewise.decompose.export.base import FORMATS, ExportContext, Exporter
from scenewise.media import SLOT_COLOURS, write_palette_png
from scenewise.media.pixels import to_grey
from scenewise.media.writing import SegmentedVideoWriter
from scenewise.report import ReportBuilder, write_report

if TYPE_CHECKING:
    from scenewise.frame_result import FrameResult
    from scenewise.summary import Summary

PANEL_SIDE = 256
"""Panels are enlarged by the whole factor that brings their longer side to at least this many pixels."""

_GAP = 8
_MARK = 4  # height of the bar above predicted frames
_MARK_COLOUR = (255, 80, 80)
_PAPER = 24  # grey of gaps and of what is not known
_STRENGTH = 0.75  # of a slot's colour, over the brightness of the image


@FORMATS.register("overlay")
class Overlay(Exporter):
    """Input, masks over the input, and reconstruction side by side; predicted frames carry a red bar."""

    files: ClassVar[str] = "overlay.mp4"

    def __init__(self, context: ExportContext) -> None:
        super().__init__(context)
        height, width = context.size
        self._factor = max(1, -(-PANEL_SIDE // max(height, width)))
        self._panel = (height * self._factor, width * self._factor)
        shape = (self._panel[0] + 2 * _GAP, 3 * self._panel[1] + 4 * _GAP)
        self._canvas = np.full((*shape, 3), _PAPER, np.uint8)
        self._shape = shape
        self._writer: SegmentedVideoWriter | None = None

    def add(self, frame: FrameResult) -> None:
        """Append one frame."""
        base = frame.picture if frame.seen is None else frame.seen
        input_panel = np.full_like(base, _PAPER) if frame.seen is None else base
        masks = tinted(base, frame.masks, self.context.statistics.main_background)
        rows = self._canvas[_GAP : _GAP + self._panel[0]].reshape(len(base), self._factor, -1, 3)  # a view
        for place, image in enumerate((input_panel, masks, frame.picture)):
            left = _GAP + place * (self._panel[1] + _GAP)
            rows[:, :, left : left + self._panel[1]] = image.repeat(self._factor, axis=1)[:, None]
        self._canvas[:_MARK] = _MARK_COLOUR if frame.predicted else _PAPER
        self._film().write(self._canvas)

    def state(self) -> dict[str, Any]:
        """Return where the video is."""
        return self._film().state()

    def restore(self, state: dict[str, Any]) -> None:
        """Go on with the video."""
        self._film(state)

    def finish(self, summary: Summary) -> None:
        """Write the video."""
        self._film().finish()

    def close(self) -> None:
        """Let its packets go."""
        if self._writer is not None:
            self._writer.close()

    def _film(self, begun: dict[str, Any] | None = None) -> SegmentedVideoWriter:
        """Return the video, opened with the first frame or where another process was."""
        if self._writer is None:
            context = self.context
            store = context.store / "overlay.packets"
            path, rate = context.folder / self.files, context.frame_rate
            self._writer = SegmentedVideoWriter(path, self._shape, rate, store, context.segment, begun)
        return self._writer


@FORMATS.register("masks")
class MaskImages(Exporter):
    """One palette image per frame as DAVIS has them: 0 is background, an object is its track id."""

    files: ClassVar[str] = "masks/%05d.png"
    gathers: ClassVar[bool] = False

    def __init__(self, context: ExportContext) -> None:
        super().__init__(context)
        self._labels = context.labels.open()

    def add(self, frame: FrameResult) -> None:
        """The labels are held by the pipeline."""

    def finish(self, summary: Summary) -> None:
        """Write the images, named by the frames' indices in the source."""
        folder = self.context.folder / "masks"
        folder.mkdir()
        for frame in self._labels:
            write_palette_png(folder / f"{frame.index:05d}.png", frame.ids(summary)[frame.labels])


def slot_colours(slots: int) -> np.ndarray:
    """Return one colour per slot, float in 0..255, shape (K, 3); they repeat beyond 64.

    Examples:
        >>> slot_colours(2).astype(int).tolist()
        [[230, 159, 0], [86, 180, 233]]
    """
    return np.array(SLOT_COLOURS, float)[np.arange(slots) % len(SLOT_COLOURS)]


def tinted(image: np.ndarray, masks: np.ndarray, background: int | None = None) -> np.ndarray:
    """Lay the slots' colours over an image as strongly as their masks are.

    Args:
        image: uint8, shape (H, W, 3).
        masks: Shape (K, H, W), in [0, 1].
        background: A slot to leave as it is.

    Returns:
        uint8, shape (H, W, 3).
    """
    weights = masks.copy()
    if background is not None:
        weights[background] = 0
    colour = np.einsum("khw,kc->hwc", weights, slot_colours(len(masks)))
    covered = weights.sum(0)[..., None]
    grey = to_grey(image) * ((1 - _STRENGTH) * covered)  # its own colour would mix with the slot's
    return np.clip(np.rint(image * (1 - covered) + grey + _STRENGTH * colour), 0, 255).astype(np.uint8)


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
