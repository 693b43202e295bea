"""Masks as COCO takes them: a data set that importers read, and a list of results to be scored beside it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from scenewise.decompose.export.base import FORMATS, ExportContext, Exporter
from scenewise.media import JsonArrayWriter
from scenewise.media.files import writing
from scenewise.media.placement import Placement

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import IO

    from scenewise.decompose.export.label_store import FrameLabels
    from scenewise.frame_result import FrameResult
    from scenewise.summary import Summary

OBJECT, BACKGROUND = 1, 2
"""Categories; COCO counts from 1."""

RESULTS = "masks_results.json"
"""The objects again, as a list that `pycocotools.coco.COCO.loadRes` takes."""

_CATEGORIES = [
    {"id": OBJECT, "name": "object", "supercategory": "slot"},
    {"id": BACKGROUND, "name": "background", "supercategory": "slot"},
]


@FORMATS.register("coco")
class CocoMasks(Exporter):
    """Masks in pixels of the source: of every object with its track id, and of all that is background together."""

    files: ClassVar[str] = f"masks.json, {RESULTS}"

    def __init__(self, context: ExportContext) -> None:
        super().__init__(context)
        self._labels = context.labels.open()
        self._placement = Placement(context.size, context.geometry.crop, context.source_size)

    def add(self, frame: FrameResult) -> None:
        """The labels are held by the pipeline."""

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
