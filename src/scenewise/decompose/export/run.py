"""The whole job for one video: run the model, feed every writer, judge, and leave a record."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from typing import TYPE_CHECKING, Any

from scenewise.decompose import verdict
from scenewise.decompose.export import unfinished
from scenewise.decompose.export.base import FORMATS, ExportContext, Exporter, LabelStore
from scenewise.decompose.export.feed import Apart, Feed
from scenewise.decompose.result import Course
from scenewise.decompose.scores import VideoScores
from scenewise.errors import InputError, printable
from scenewise.media.files import reading, write_atomically, write_problem
from scenewise.media.folders import OutputFolder, check_apart
from scenewise.run_record import RECORD, of_values, peak_memory_mib, versions
from scenewise.summary import Geometry, SlotStatistics, Summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from scenewise.decompose.result import Result
    from scenewise.decomposition import FrameResult

SEGMENT = 48
"""Frames between two places at which another process can go on, or up to a window more."""

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
    resume: bool = False,
    progress: Callable[[int, int | None], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Summary:
    """Run a decomposition to its end and write it; see `Result.save` for the arguments and errors."""
    writers = choose_formats(formats)
    if overwrite:
        check_apart(folder, result.clip.path, result.model.path)
    left, heritage, begun = unfinished.unfinished(folder) if resume else None, None, None
    if left is not None and left.path is not None:
        left.check(_facts(result, writers) or {})
        heritage, begun = left.path, left.state()
    with OutputFolder(folder, overwrite or (left is not None and left.stopped), heritage) as output:
        job = _Job(result, output.path, writers, begun)
        try:
            summary = job.run(progress, stop)
            unfinished.drop(output.path, keep=summary.interrupted)
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


def is_done(result: Result, folder: Path, formats: Sequence[str] | None = None) -> bool:
    """Return whether a folder holds whole results of the very request; see `Result.save` for the arguments."""
    facts = _facts(result, choose_formats(formats))
    return facts is not None and unfinished.done(folder, facts)


def _facts(result: Result, formats: dict[str, type[Exporter]]) -> dict[str, Any] | None:
    return unfinished.facts_of(result.clip, effective_settings(result, formats), versions())


class _Job:
    """One video on its way to files: the model's side of it."""

    def __init__(
        self, result: Result, folder: Path, formats: dict[str, type[Exporter]], begun: dict[str, Any] | None = None
    ) -> None:
        self.result, self.begun = result, begun
        self.resumed = 0 if begun is None else int(begun["frames"])
        self.course = Course()
        self.facts = _facts(result, formats)
        self.interrupted = False
        self.started = time.perf_counter()
        self.model_seconds = self.seconds_before = 0.0
        segment = -(-SEGMENT // result.model.window) * result.model.window
        self.writers = _Writers(result, folder, formats, segment, begun)
        self.errors = _Errors()

    def run(self, progress: Callable[[int, int | None], None] | None, stop: Callable[[], bool] | None) -> Summary:
        """Feed the writers frame by frame, then let them finish."""
        saved = time.perf_counter()
        # Writers work on a thread, or in a process of their own where that is wanted and possible.
        apart = self.result.apart and self.result.model.device == "cpu" and Apart.possible()
        with Apart(self.writers, self.result.shared) if apart else Feed(self.writers.add) as feed:
            feed.ask(self.writers.open)
            if self.begun is not None:  # go on from where another process was
                with _reading_state(self.writers.store):
                    self.course = Course(self.resumed, dict(self.begun["carried"]))
                    self.seconds_before = float(self.begun["seconds"])
                    self.model_seconds = float(self.begun["model_seconds"])
                self.begun = self.writers.begun = None  # as large as all that was gathered
            if progress is not None and self.resumed:
                progress(self.resumed, self.result.clip.length_hint)
            for count, frame in enumerate(self._timed(), start=self.resumed + 1):
                feed.put(frame)
                # Another process can go on from the end of a segment, where the model can.
                can_save = self.facts is not None and self.course.state is not None
                can_save = can_save and self.course.frames % self.writers.context.segment == 0
                if can_save and time.perf_counter() - saved >= unfinished.SECONDS:
                    seconds = {"seconds": self._seconds(), "model_seconds": self.model_seconds}
                    state = {"frames": self.course.frames, "carried": self.course.state, **seconds}
                    saved = time.perf_counter() if feed.ask(self.writers.save, self.facts, state) else saved
                if progress is not None:
                    progress(count, self.result.clip.length_hint)
                if stop is not None and stop():
                    self.interrupted = True
                    break
            clip = self.result.clip
            seconds = {"seconds": self._seconds(), "model_seconds": self.model_seconds}
            facts = {"interrupted": self.interrupted, "resumed": self.resumed, **seconds}
            summary, self.errors = feed.ask(self.writers.finish, facts, clip.reading, list(clip.problems))
        summary.seconds = self._seconds()
        return summary

    def close(self) -> None:
        """Let go of all files; what goes wrong here went wrong before."""
        self.writers.close()

    def _timed(self) -> Iterator[FrameResult]:
        frames = self.result.run(self.course)
        while True:
            before = time.perf_counter()
            frame = next(frames, None)
            self.model_seconds += time.perf_counter() - before
            if frame is None:
                return
            yield frame

    def _seconds(self) -> float:
        return self.seconds_before + time.perf_counter() - self.started

    def record(self, summary: Summary) -> dict[str, Any]:
        """Return all that run.json holds."""
        facts = {key: value for key, value in dataclasses.asdict(summary).items() if key != "folder"}
        seconds = max(summary.seconds, 1e-9)
        facts["mse"], facts["limit"] = _finite([summary.mse])[0], summary.limit
        prediction = {"mse": _finite(self.errors.mse), "copy_last_mse": _finite(self.errors.copy_last_mse)}
        return {
            "interrupted": summary.interrupted,
            "verdict": summary.verdict,
            **facts,
            "objects": summary.objects,
            "background": summary.background,
            "track_ids": summary.track_ids,
            "prediction": prediction if self.errors.mse else None,
            "settings": self.writers.context.settings,
            "request": None if self.facts is None else of_values(self.facts),
            "conventions": _CONVENTIONS,
            "timings": {
                "seconds": round(summary.seconds, 3),
                "model_seconds": round(summary.model_seconds, 3),
                "frames_per_second": round(summary.frames / seconds, 3),
                "peak_memory_mib": peak_memory_mib(),
            },
            "versions": versions(),
        }


@dataclasses.dataclass
class _Errors:
    """Errors of predicted frames, and those of the last frame seen in their place."""

    mse: list[float] = dataclasses.field(default_factory=list)
    copy_last_mse: list[float] = dataclasses.field(default_factory=list)


class _Writers:
    """The files' side of one video: all that is gathered of its frames, and what writes it.

    It opens no file before `open`, so that another process can do all that follows.
    """

    def __init__(
        self,
        result: Result,
        folder: Path,
        formats: dict[str, type[Exporter]],
        segment: int,
        begun: dict[str, Any] | None,
    ) -> None:
        self.result, self.formats, self.begun = result, formats, begun
        clip = result.clip
        geometry = Geometry(clip.size, clip.crop)
        self.statistics = SlotStatistics(result.slots, geometry)
        self.evidence = verdict.Evidence(self.statistics, result.model.validated, result.model.name)
        self.scores = VideoScores(clip.background_ids)
        self.store = folder / unfinished.FOLDER
        self.store.mkdir(exist_ok=True)
        rate = clip.frame_rate or _DEFAULT_RATE
        labels = None if begun is None else unfinished.arrays(begun["labels"])
        self.context = ExportContext(
            folder=folder,
            title=clip.name,
            heading=clip.name if clip.path is None else printable(clip.path.name),
            slots=result.slots,
            geometry=geometry,
            frame_rate=min(max(rate, 1.0), 240.0),
            settings=effective_settings(result, formats),
            statistics=self.statistics,
            source_size=clip.source_size,
            labels=LabelStore(self.store / "labels.gz", result.slots, clip.size, labels),
            store=self.store,
            segment=segment,
            sources=clip.pictures if clip.again else None,
        )
        self.exporters: list[Exporter] = []

    def open(self) -> None:
        """Make what writes, and go on from where another process was."""
        for exporter_type in self.formats.values():
            self.exporters.append(exporter_type(self.context))
        if self.begun is None:
            return
        with _reading_state(self.store):
            state = unfinished.arrays({key: value for key, value in self.begun.items() if key != "carried"})
            self.evidence.restore(state["evidence"])
            self.scores.restore(state["scores"])
            for name, exporter in zip(self.formats, self.exporters, strict=True):
                exporter.restore(state["writers"][name])

    def add(self, frame: FrameResult) -> None:
        """Let all that is gathered and written of a frame be so."""
        self.evidence.add(frame)
        self.scores.add(frame)
        self.context.labels.add(frame)
        for exporter in self.exporters:
            exporter.add(frame)

    def save(self, facts: dict[str, Any], model_state: dict[str, Any]) -> bool:
        """Save where the job is, if another process could go on from its files too; returns whether it was.

        Args:
            facts: What tells the request from others.
            model_state: Where the model is.
        """
        states = [exporter.state() for exporter in self.exporters]
        if None in states:
            return False
        state = {
            **model_state,
            "evidence": self.evidence.state(),
            "scores": self.scores.state(),
            "labels": self.context.labels.state(),
            "writers": dict(zip(self.formats, states, strict=True)),
        }
        unfinished.save_request(self.store, facts)
        unfinished.save_state(self.store, state)
        return True

    def finish(self, facts: dict[str, Any], reading: dict[str, Any], problems: list[str]) -> tuple[Summary, _Errors]:
        """Complete all files, and return what was found.

        Args:
            facts: What the summary says of the run.
            reading: How the video was read.
            problems: What was wrong with it.
        """
        model, clip, outcome = self.result.model, self.result.clip, self.evidence.verdict()
        summary = Summary(
            model=model.name,
            frames=self.statistics.frames,
            verdict=outcome.name,
            message=outcome.message,
            remedy=verdict.training_command(outcome.name, str(clip.path or clip.origin), model.path, reading),
            roles=outcome.roles,
            mse=outcome.mse,
            limit=verdict.limit(model.validated),
            validated_mse=model.validated.mse,
            scores=self.scores.rows(),
            problems=problems,
            tracks=self.statistics.tracks,
            **facts,
        )
        for exporter in self.exporters:
            exporter.finish(summary)
        return summary, _Errors(self.scores.mse, self.scores.copy_last_mse)

    def close(self) -> None:
        """Let go of all files; what goes wrong here went wrong before."""
        for close in (*(exporter.close for exporter in self.exporters), self.context.labels.close):
            try:
                close()
            except (InputError, OSError, ValueError):
                continue


def _reading_state(store: Path) -> AbstractContextManager[None]:
    return reading(store, "the state of a decomposition", "Leave out --resume to begin anew.")


def effective_settings(result: Result, formats: Iterable[str]) -> dict[str, Any]:
    """Return the settings of a decomposition and of what is written of it, as nested plain values."""
    model, clip, request = result.model, result.clip, result.request
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
        "engine": model.engine,
        "formats": list(formats),
        "model": {
            "name": model.name,
            "kind": model.kind,
            "path": model.path,
            "fingerprint": model.fingerprint,
            "slots_keep_their_objects": model.keeps_slots,
            "settings": model.settings,
        },
    }


def _finite(values: Sequence[float]) -> list[float | None]:
    return [float(v) if math.isfinite(v) else None for v in values]
