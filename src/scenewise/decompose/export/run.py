"""The whole job for one video: run the model, feed every writer, judge, and leave a record."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from typing import TYPE_CHECKING, Any

from scenewise.decompose import verdict
from scenewise.decompose.export.base import FORMATS, ExportContext, Exporter
from scenewise.decompose.export.label_store import LabelStore
from scenewise.decompose.scores import VideoScores
from scenewise.errors import InputError
from scenewise.media.files import write_atomically, write_problem
from scenewise.media.output_folder import OutputFolder
from scenewise.run_record import RECORD, peak_memory_mib, versions
from scenewise.slot_statistics import Geometry, SlotStatistics
from scenewise.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from scenewise.decompose.result import Result
    from scenewise.frame_result import FrameResult

_DEFAULT_RATE = 12.0  # frames per second of videos to write where the source knows none
_CONVENTIONS = {
    "labels.npz, masks/, masks.json, slots.json": "labels.npz and slots.json count slots from 0 and say with track_ids "
    "which number a slot's object has in all other files; masks/ and masks.json hold that number, 0 where there is no "
    "object",
    "tracks.csv, report.html": "objects count from 1; what is no object is left out of tracks.csv, which has no header",
    "frames": "indices in the source, from 0; tracks.csv and the images of masks.json count from 1",
    "pixels": "masks.json, tracks.csv and slots.json are in pixels of the source, which tracks.csv counts from 1, the "
    "others from 0; all other files have the size of the results",
}


def export(
    result: Result,
    folder: Path,
    formats: Sequence[str] | None = None,
    *,
    overwrite: bool = False,
    progress: Callable[[int, int | None], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Summary:
    """Run a decomposition to its end and write it; see `Result.save` for the arguments and errors."""
    writers = choose_formats(formats)
    with OutputFolder(folder, overwrite) as output:
        job = _Job(result, output.path, writers)
        try:
            summary = job.run(progress, stop)
            summary.folder = str(folder)
            summary.files = [*sorted(p.name for p in output.path.iterdir()), RECORD]
            write_atomically(output.path / RECORD, json.dumps(job.record(summary), indent=1) + "\n")
        except OSError as error:
            raise write_problem(folder / "output", error) from error
        finally:
            job.close()
        output.commit()
    return summary


def choose_formats(formats: Sequence[str] | None) -> dict[str, type[Exporter]]:
    """Return writers by name, all where None.

    Raises:
        InputError: A name is unknown.

    Examples:
        >>> list(choose_formats(["tracks", "labels"]))
        ['tracks', 'labels']
        >>> choose_formats(["track"])
        Traceback (most recent call last):
        ...
        scenewise.errors.InputError: track: is not an export format. Did you mean 'tracks'?
    """
    return {name: FORMATS.get(name) for name in (FORMATS.names() if formats is None else dict.fromkeys(formats))}


class _Job:
    """One video on its way to files."""

    def __init__(self, result: Result, folder: Path, formats: dict[str, type[Exporter]]) -> None:
        self.result, self.formats = result, formats
        clip = result.clip
        geometry = Geometry(clip.size, clip.crop)
        self.statistics = SlotStatistics(result.slots, geometry)
        self.evidence = verdict.Evidence(self.statistics, result.model.validated, result.model.name)
        self.scores = VideoScores(clip.background_ids)
        self.interrupted = False
        self.started = time.perf_counter()
        self.model_seconds = 0.0
        rate = clip.frame_rate or _DEFAULT_RATE
        self.context = ExportContext(
            folder=folder,
            title=clip.name,
            slots=result.slots,
            geometry=geometry,
            frame_rate=min(max(rate, 1.0), 240.0),
            settings=self.settings(),
            statistics=self.statistics,
            source_size=clip.source_size,
            labels=LabelStore(folder, result.slots, clip.size),
        )
        self.exporters: list[Exporter] = []

    def run(self, progress: Callable[[int, int | None], None] | None, stop: Callable[[], bool] | None) -> Summary:
        """Feed the writers frame by frame, then let them finish."""
        for exporter_type in self.formats.values():
            self.exporters.append(exporter_type(self.context))
        for frame in self._timed():
            self.evidence.add(frame)
            self.scores.add(frame)
            self.context.labels.add(frame)
            for exporter in self.exporters:
                exporter.add(frame)
            if progress is not None:
                progress(self.statistics.frames, self.result.clip.length_hint)
            if stop is not None and stop():
                self.interrupted = True
                break
        summary = self.summary()
        for exporter in self.exporters:
            exporter.finish(summary)
        summary.seconds = time.perf_counter() - self.started
        return summary

    def close(self) -> None:
        """Let go of all files; what goes wrong here went wrong before."""
        for close in (*(exporter.close for exporter in self.exporters), self.context.labels.close):
            try:
                close()
            except (InputError, OSError, ValueError):
                continue

    def _timed(self) -> Iterator[FrameResult]:
        frames = iter(self.result)
        while True:
            before = time.perf_counter()
            frame = next(frames, None)
            self.model_seconds += time.perf_counter() - before
            if frame is None:
                return
            yield frame

    def summary(self) -> Summary:
        """Judge the video from what was gathered so far."""
        model, clip = self.result.model, self.result.clip
        outcome = self.evidence.verdict()
        return Summary(
            model=model.name,
            frames=self.statistics.frames,
            verdict=outcome.name,
            message=outcome.message,
            remedy=verdict.training_command(outcome.name, str(clip.path or clip.origin), model.path, clip.reading),
            roles=outcome.roles,
            mse=outcome.mse,
            limit=verdict.limit(model.validated),
            validated_mse=model.validated.mse,
            scores=self.scores.rows(),
            interrupted=self.interrupted,
            seconds=time.perf_counter() - self.started,
            model_seconds=self.model_seconds,
            problems=list(clip.problems),
            tracks=self.statistics.tracks,
        )

    def settings(self) -> dict[str, Any]:
        """Return the effective settings as nested plain values."""
        result, model, clip, request = self.result, self.result.model, self.result.clip, self.result.request
        return {
            "input": {
                "origin": clip.origin,
                "source_size": list(clip.source_size),
                "crop": list(clip.crop),
                "size": list(clip.size),
                "model_size": list(model.size),
                "frame_rate": clip.frame_rate,
                **clip.reading,
            },
            "slots": result.slots,
            "refinements": request.refinements or model.refinements,
            "seed": request.seed,
            "labels": request.labels,
            "observe": request.observe,
            "steps": request.steps,
            "device": model.device,
            "compiled": model.compiled,
            "formats": list(self.formats),
            "model": {
                "name": model.name,
                "kind": model.kind,
                "path": model.path,
                "fingerprint": model.fingerprint,
                "slots_keep_their_objects": model.keeps_slots,
                "settings": model.settings,
            },
        }

    def record(self, summary: Summary) -> dict[str, Any]:
        """Return all that run.json holds."""
        predicted = {"mse": _finite(self.scores.mse), "copy_last_mse": _finite(self.scores.copy_last_mse)}
        facts = {key: value for key, value in dataclasses.asdict(summary).items() if key != "folder"}
        seconds = max(summary.seconds, 1e-9)
        facts["mse"], facts["limit"] = _finite([summary.mse])[0], summary.limit
        return {
            "interrupted": summary.interrupted,
            "verdict": summary.verdict,
            **facts,
            "objects": summary.objects,
            "background": summary.background,
            "track_ids": summary.track_ids,
            "prediction": predicted if self.scores.mse else None,
            "settings": self.settings(),
            "conventions": _CONVENTIONS,
            "timings": {
                "seconds": round(summary.seconds, 3),
                "model_seconds": round(summary.model_seconds, 3),
                "frames_per_second": round(summary.frames / seconds, 3),
                "peak_memory_mib": peak_memory_mib(),
            },
            "versions": versions(),
        }


def _finite(values: Sequence[float]) -> list[float | None]:
    return [float(v) if math.isfinite(v) else None for v in values]
