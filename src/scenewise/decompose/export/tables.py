"""Files to compute with: run-length masks, tracks, labels and slots."""

from __future__ import annotations

import gzip
import json
import shutil
import tempfile
import zipfile
from array import array
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar

import numpy as np

from scenewise.decompose.export.base import FORMATS, ExportContext, Exporter
from scenewise.media import MasksWriter, TracksWriter, mask_box, write_atomically
from scenewise.slot_statistics import RULE
from scenewise.summary import NOT_TAKEN_APART

if TYPE_CHECKING:
    from scenewise.frame_result import FrameResult
    from scenewise.summary import Summary


@FORMATS.register("coco")
class CocoMasks(Exporter):
    """COCO run-length masks per frame and slot; `category_id` is the slot, `image_id` the frame's index."""

    files: ClassVar[str] = "masks.json"

    def __init__(self, context: ExportContext) -> None:
        super().__init__(context)
        self._writer = MasksWriter(context.folder / self.files)

    def add(self, frame: FrameResult) -> None:
        """Append the masks of one frame."""
        self._writer.write_frame(frame.index, {k: frame.labels == k for k in np.unique(frame.labels).tolist()})

    def close(self) -> None:
        """Close the file."""
        self._writer.close()


@FORMATS.register("tracks")
class Tracks(Exporter):
    """MOT rows in source pixels with id slot + 1, background left out.

    Which slots are background is known at the end, so the rows of all slots are written first and then sifted.
    """

    files: ClassVar[str] = "tracks.csv"

    def __init__(self, context: ExportContext) -> None:
        super().__init__(context)
        self._all = context.folder / ".tracks.all"
        self._writer = TracksWriter(self._all, context.size, context.geometry.crop)

    def add(self, frame: FrameResult) -> None:
        """Append the boxes of one frame; the confidence is the mean mask over the pixels owned."""
        boxes, trust = {}, {}
        for k in np.unique(frame.labels).tolist():
            owned = frame.labels == k
            box = mask_box(owned)
            if box is not None:
                boxes[k + 1] = tuple(map(float, box))
                trust[k + 1] = min(1.0, float(frame.masks[k][owned].mean()))
        self._writer.write_frame(frame.index, boxes, trust)  # type: ignore[arg-type]

    def finish(self, summary: Summary) -> None:
        """Write the rows of slots that are no background."""
        self.close()
        left_out = {str(k + 1) for k in self.context.statistics.background()}
        with self._all.open() as rows, (self.context.folder / self.files).open("w") as kept:
            kept.writelines(row for row in rows if row.split(",", 2)[1] not in left_out)
        self._all.unlink()

    def close(self) -> None:
        """Close the file of all rows."""
        self._writer.close()


@FORMATS.register("labels")
class Labels(Exporter):
    """The slot that owns each pixel as one array `labels` (T, H, W), with `frames` (T,), their indices in the source.

    The header of an array holds T, which is known at the end; until then the bytes lie packed in a nameless file.
    """

    files: ClassVar[str] = "labels.npz"

    def __init__(self, context: ExportContext) -> None:
        super().__init__(context)
        self._spool: IO[bytes] = tempfile.TemporaryFile(dir=context.folder)  # noqa: SIM115
        self._packed = gzip.GzipFile(fileobj=self._spool, mode="wb", compresslevel=1)
        self._indices = array("q")
        self._dtype: np.dtype[Any] = np.dtype(np.uint8)

    def add(self, frame: FrameResult) -> None:
        """Append one frame."""
        self._dtype = frame.labels.dtype
        self._packed.write(np.ascontiguousarray(frame.labels).tobytes())
        self._indices.append(frame.index)

    def finish(self, summary: Summary) -> None:
        """Write the archive from the packed bytes, a piece at a time."""
        self._packed.close()
        self._spool.seek(0)
        shape = (len(self._indices), *self.context.size)
        with zipfile.ZipFile(self.context.folder / self.files, "w", zipfile.ZIP_DEFLATED, compresslevel=4) as archive:
            with gzip.GzipFile(fileobj=self._spool) as bytes_, archive.open("labels.npy", "w", force_zip64=True) as to:
                _write_header(to, self._dtype, shape)
                shutil.copyfileobj(bytes_, to, 1 << 20)
            with archive.open("frames.npy", "w", force_zip64=True) as to:
                indices = np.frombuffer(self._indices, np.int64)
                _write_header(to, indices.dtype, indices.shape)
                to.write(indices.tobytes())
        self.close()

    def close(self) -> None:
        """Let the nameless file go."""
        self._spool.close()


@FORMATS.register("slots")
class Slots(Exporter):
    """What each slot did: frames active, area, centroid path in source pixels, latent mean and spread, role."""

    files: ClassVar[str] = "slots.json"

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
