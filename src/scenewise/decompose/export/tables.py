"""Files to compute with: tracks, labels and slots."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar

import numpy as np

from scenewise.decompose.export.base import FORMATS, ExportContext, Exporter
from scenewise.media import TracksWriter, mask_box, write_atomically
from scenewise.slot_statistics import RULE
from scenewise.summary import NOT_TAKEN_APART

if TYPE_CHECKING:
    from scenewise.frame_result import FrameResult
    from scenewise.summary import Summary


@FORMATS.register("tracks")
class Tracks(Exporter):
    """MOT rows: a box in source pixels per object and frame; frames, track ids and pixels count from 1."""

    files: ClassVar[str] = "tracks.csv"
    gathers: ClassVar[bool] = False

    def __init__(self, context: ExportContext) -> None:
        super().__init__(context)
        self._labels = context.labels.open()

    def add(self, frame: FrameResult) -> None:
        """The labels are held by the pipeline."""

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
class Labels(Exporter):
    """The slot that owns each pixel as one array `labels` (T, H, W), slots counted from 0.

    Beside it `frames` (T,), their indices in the source, and `track_ids` (T, K), the number of each slot's object in
    the other files, 0 where it is none.
    """

    files: ClassVar[str] = "labels.npz"
    gathers: ClassVar[bool] = False

    def __init__(self, context: ExportContext) -> None:
        super().__init__(context)
        self._labels = context.labels.open()

    def add(self, frame: FrameResult) -> None:
        """The labels are held by the pipeline."""

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
