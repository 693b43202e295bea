"""The files about a video, to look at and to compute with.

Of masks to compute with there are two files: a data set that importers read, and a list of results to be scored beside
it.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar

import numpy as np

from scenewise.decompose.export.base import FORMATS, ExportContext, Exporter, FrameLabels
from scenewise.media import JsonArrayWriter, TracksWriter, mask_box, write_atomically, write_palette_png
from scenewise.media.annotations import Placement
from scenewise.media.files import writing
from scenewise.media.palette import tinted
from scenewise.media.writing import SegmentedVideoWriter
from scenewise.report import ReportBuilder, write_report
from scenewise.summary import NOT_TAKEN_APART, RULE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from scenewise.decomposition import FrameResult
    from scenewise.summary import Summary

PANEL_SIDE = 256
"""Panels are enlarged by the whole factor that brings their longer side to at least this many pixels."""

_GAP = 8
_MARK = 4  # height of the bar above predicted frames
_MARK_COLOUR = (255, 80, 80)
_PAPER = 24  # grey of gaps and of what is not known


class LabelsExporter(Exporter):
    """Writes at the end what labels tell, which the pipeline holds for all of them."""

    gathers: ClassVar[bool] = False

    def __init__(self, context: ExportContext) -> None:
        super().__init__(context)
        self._labels = context.labels.open()

    def add(self, frame: FrameResult) -> None:
        """The labels are held by the pipeline."""


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
class MaskImages(LabelsExporter):
    """One palette image per frame as DAVIS has them: 0 is background, an object is its track id."""

    files: ClassVar[str] = "masks/%05d.png"

    def finish(self, summary: Summary) -> None:
        """Write the images, named by the frames' indices in the source."""
        folder = self.context.folder / "masks"
        folder.mkdir()
        for frame in self._labels:
            write_palette_png(folder / f"{frame.index:05d}.png", frame.ids(summary)[frame.labels])


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


@FORMATS.register("tracks")
class Tracks(LabelsExporter):
    """MOT rows: a box in source pixels per object and frame; frames, track ids and pixels count from 1."""

    files: ClassVar[str] = "tracks.csv"

    def finish(self, summary: Summary) -> None:
        """Write the rows; the confidence is the mean mask over the pixels owned."""
        context = self.context
        with TracksWriter(context.folder / self.files, context.size, context.geometry.crop) as writer:
            for frame in self._labels:
                boxes, trust = {}, {}
                ids = frame.ids(summary)
                for k in np.flatnonzero(ids).tolist():
                    box = mask_box(frame.labels == k)
                    if box is not None:
                        boxes[int(ids[k])] = tuple(map(float, box))
                        trust[int(ids[k])] = float(frame.trust[k])
                writer.write_frame(frame.index, boxes, trust)  # type: ignore[arg-type]


@FORMATS.register("labels")
class Labels(LabelsExporter):
    """The slot that owns each pixel as one array `labels` (T, H, W), slots counted from 0.

    Beside it `frames` (T,), their indices in the source, and `track_ids` (T, K), the number of each slot's object in
    the other files, 0 where it is none.
    """

    files: ClassVar[str] = "labels.npz"

    def finish(self, summary: Summary) -> None:
        """Write the archive, a frame at a time."""
        shape, ids = (len(self._labels.indices), *self.context.size), []
        with zipfile.ZipFile(self.context.folder / self.files, "w", zipfile.ZIP_DEFLATED, compresslevel=4) as archive:
            with archive.open("labels.npy", "w", force_zip64=True) as file:
                _write_header(file, self._labels.dtype, shape)
                for frame in self._labels:
                    file.write(frame.labels.tobytes())
                    ids.append(frame.ids(summary))
            small = {
                "frames": np.array(self._labels.indices, np.int64),
                "track_ids": np.array(ids, np.int64).reshape(-1, len(summary.roles)),
            }
            for name, values in small.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    _write_header(file, values.dtype, values.shape)
                    file.write(values.tobytes())


@FORMATS.register("slots")
class Slots(Exporter):
    """What each slot did: frames active, area, centroid path in source pixels, latent mean and spread, role."""

    files: ClassVar[str] = "slots.json"
    gathers: ClassVar[bool] = False

    def add(self, frame: FrameResult) -> None:
        """The statistics are kept by the pipeline."""

    def finish(self, summary: Summary) -> None:
        """Write the file."""
        statistics = self.context.statistics
        content = {
            "verdict": summary.verdict,
            "message": summary.message,
            "judged": summary.verdict not in NOT_TAKEN_APART,
            "rule": RULE,
            "frames": statistics.frames,
            "background": summary.background,
            "objects": [k for k, role in enumerate(summary.roles) if role == "object"],
            "centroid_path": {
                "unit": "source pixels",
                "columns": ["frame", "x", "y"],
                "every": statistics.stride,
            },
            "slots": statistics.rows(summary.roles),
        }
        write_atomically(Path(self.context.folder) / self.files, json.dumps(content, indent=1) + "\n")


def _write_header(file: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


# -- COCO --------------------------------------------------------------------------------------------------------------

OBJECT, BACKGROUND = 1, 2
"""Categories; COCO counts from 1."""

RESULTS = "masks_results.json"
"""The objects again, as a list that `pycocotools.coco.COCO.loadRes` takes."""

_CATEGORIES = [
    {"id": OBJECT, "name": "object", "supercategory": "slot"},
    {"id": BACKGROUND, "name": "background", "supercategory": "slot"},
]


@FORMATS.register("coco")
class CocoMasks(LabelsExporter):
    """Masks in pixels of the source: of every object with its track id, and of all that is background together."""

    files: ClassVar[str] = f"masks.json, {RESULTS}"

    def __init__(self, context: ExportContext) -> None:
        super().__init__(context)
        self._placement = Placement(context.size, context.geometry.crop, context.source_size)

    def finish(self, summary: Summary) -> None:
        """Write both files."""
        folder = self.context.folder
        path = folder / "masks.json"
        with writing(path), path.open("w") as file, JsonArrayWriter(folder / RESULTS) as results:
            height, width = self.context.source_size
            images = (
                {"id": index + 1, "file_name": f"{index:05d}.png", "width": width, "height": height}
                for index in self._labels.indices
            )
            info = {"description": f"{self.context.title}, taken apart by {summary.model}", "verdict": summary.verdict}
            file.write(f'{{"info": {json.dumps(info)},\n"categories": {json.dumps(_CATEGORIES)},\n"images": ')
            _write_list(file, images)
            file.write(',\n"annotations": ')
            _write_list(file, self._annotations(summary, results))
            file.write("}\n")

    def _annotations(self, summary: Summary, results: JsonArrayWriter) -> Iterator[dict[str, Any]]:
        """Yield annotations, numbered from 1, and write those of objects to the results too."""
        number = 0
        for frame in self._labels:
            entries = []
            for part in self._parts(frame, summary):
                number += 1
                more = {"track_id": part["track_id"], "role": "object" if part["track_id"] else "background"}
                yield {"id": number, **part, "iscrowd": 0, "attributes": more}
                if part["category_id"] == OBJECT:  # a box would make COCO take the results for boxes
                    entries.append({key: value for key, value in part.items() if key not in ("bbox", "area")})
            results.write(entries)

    def _parts(self, frame: FrameLabels, summary: Summary) -> Iterator[dict[str, Any]]:
        ids = frame.ids(summary)
        for k in np.flatnonzero(ids).tolist():
            yield from self._part(frame, frame.labels == k, OBJECT, int(ids[k]), float(frame.trust[k]))
        background = np.isin(frame.labels, summary.background)
        owned = np.bincount(frame.labels.reshape(-1), minlength=len(ids))[summary.background]
        trust = float((owned * frame.trust[summary.background]).sum() / max(owned.sum(), 1))
        yield from self._part(frame, background, BACKGROUND, 0, trust)

    def _part(
        self, frame: FrameLabels, mask: np.ndarray, category: int, track_id: int, score: float
    ) -> Iterator[dict[str, Any]]:
        here = self._placement.encode(mask)
        if here is not None:
            yield {
                "image_id": frame.index + 1,
                "category_id": category,
                "track_id": track_id,
                "segmentation": here.rle,
                "bbox": list(here.box),
                "area": here.area,
                "score": round(score, 4),
            }


def _write_list(file: IO[str], items: Iterable[dict[str, Any]]) -> None:
    """Write a JSON list, an item a line."""
    file.write("[")
    for place, item in enumerate(items):
        file.write((",\n" if place else "\n") + json.dumps(item, separators=(",", ":"), allow_nan=False))
    file.write("\n]")
