"""A model that takes one video after the other apart; what goes wrong with one is told and stops none."""

from __future__ import annotations

import io
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from scenewise.batch import remote
from scenewise.batch.job import FrameCount, Outcome, thumbnail
from scenewise.decompose.decomposer import load
from scenewise.decompose.export.run import export
from scenewise.decompose.result import Result
from scenewise.errors import InputError, is_out_of_memory, printable
from scenewise.media.files import write_atomically
from scenewise.media.palette import tinted
from scenewise.media.reading import read_videos

if TYPE_CHECKING:
    from scenewise.batch.job import BatchJob, Task
    from scenewise.decompose.clip import Clip
    from scenewise.decompose.result import Course
    from scenewise.decomposition import FrameResult

Stream = Callable[["Clip"], Iterator["FrameResult"]]
"""What runs a model over a clip."""

THUMBNAIL_HEIGHT = 72
"""Pixels."""

_SECONDS_BETWEEN = 0.5  # messages of how far a video is


class Worker:
    """Holds a model, loaded once, and does the tasks of one job in one thread of the CPU.

    Args:
        job: What is done to every video.

    Raises:
        InputError: There is no such model or device, or the model is another than the job was made for.
    """

    def __init__(self, job: BatchJob) -> None:
        torch.set_num_threads(1)
        self.job, self.request = job, job.asked()
        self.decomposer = load(job.model, job.device)
        if self.decomposer.fingerprint != job.fingerprint:
            raise InputError(job.model, "has changed since the batch began.", "Begin the batch again.")
        if job.engine != "auto":
            self.decomposer.use(job.engine)
        self.reading = dict(job.reading)
        if self.request.size in (None, self.decomposer.size):
            self.reading["size"] = self.decomposer.size  # results of another size are made from the source's pixels
        if self.reading.get("crop") is not None:
            self.reading["crop"] = tuple(self.reading["crop"])

    def work(
        self, task: Task, tell: Callable[[FrameCount], None] | None = None, stream: Stream | None = None
    ) -> Outcome:
        """Take one video apart and write its files, all of them or none.

        Args:
            task: The video.
            tell: Hears now and then how far it is.
            stream: Runs the model over a clip; by itself where None.

        Returns:
            What came of it; `error` says what went wrong, whatever it was.
        """
        began = time.perf_counter()

        def failure(error: str) -> Outcome:
            return Outcome(task.name, error, seconds=time.perf_counter() - began)

        try:
            with remote.local(task.location, self.job.most_bytes, self.job.redirects) as path:
                return self._save(task, path, tell, stream or self._alone)
        except InputError as error:
            itself = Path(error.subject).name == Path(task.location).name
            return failure(printable(f"{error.problem} {error.remedy}".strip()) if itself else error.line())
        except Exception as error:  # a fault of the program must not stop ten thousand videos
            if is_out_of_memory(error):
                return failure("memory: ran out. Use fewer slots, a smaller size, or fewer workers.")
            traceback.print_exc(file=sys.stderr)
            return failure(f"{type(error).__name__}: {error}"[:400])

    def _alone(self, clip: Clip) -> Iterator[FrameResult]:
        return self.decomposer.stream(clip, self.request)

    def _save(self, task: Task, path: Path, tell: Callable[[FrameCount], None] | None, stream: Stream) -> Outcome:
        readers = read_videos(path, **self.reading)
        if task.place is None and len(readers) != 1:
            raise InputError(task.name, f"holds {len(readers)} videos.", "Give each by itself.")
        reader = readers[task.place or 0]
        if self.job.engine == "auto" and stream == self._alone:  # videos side by side share what explains them
            self.decomposer.use_for(reader.length_hint)
        answer = self.decomposer.answer(self.request, reader, name=task.title or None)
        clip, limit = answer.clip, self.job.most_frames
        if task.title or remote.is_remote(task.location):  # the file is a copy that goes
            clip.origin, clip.path = printable(task.title or task.location), None
        if limit is not None and (clip.length_hint or 0) > limit:
            raise InputError(task.name, f"has {clip.length_hint} frames; at most {limit} are taken.", "Cut it.")
        small = Path(self.job.out) / thumbnail(task.name)

        def frames(_: Course) -> Iterator[FrameResult]:  # a video that was interrupted is done anew
            """Yield the video's frames, as many as may be, and picture one for the page."""
            for count, frame in enumerate(stream(clip)):
                if limit is not None and count >= limit:
                    raise InputError(task.name, f"has more than the {limit} frames that are taken.", "Cut it.")
                if count == (clip.length_hint or 0) // 2 or not count:
                    with suppress(InputError, OSError):  # a picture for the page, without which the video is done too
                        _write_thumbnail(small, frame)
                yield frame

        result = Result(clip, self.request, answer.model, frames, export)
        result.keep_bytes = 0
        progress = None if tell is None else _now_and_then(task.name, tell)
        folder = task.folder(self.job)
        summary = export(result, folder, self.job.formats, overwrite=task.overwrite, progress=progress)
        return Outcome(
            task.name,
            verdict=summary.verdict,
            objects=summary.objects,
            frames=summary.frames,
            seconds=summary.seconds,
            files=summary.files,
            problems=summary.problems,
        )


def _now_and_then(name: str, tell: Callable[[FrameCount], None]) -> Callable[[int, int | None], None]:
    """Return what hears of every frame and tells of some."""
    latest = time.perf_counter()

    def progress(frames: int, total: int | None) -> None:
        nonlocal latest
        if time.perf_counter() - latest >= _SECONDS_BETWEEN:
            latest = time.perf_counter()
            tell(FrameCount(name, frames, total))

    return progress


def _write_thumbnail(path: Path, frame: FrameResult) -> None:
    """Write a frame, and its slots in colour over it, side by side as a small picture."""
    from PIL import Image

    largest = int(np.bincount(frame.labels.reshape(-1)).argmax())  # which mostly is the background
    pair = np.concatenate([frame.image, tinted(frame.image, frame.masks, largest)], axis=1)  # (H, 2 W, 3)
    width = max(1, round(pair.shape[1] * THUMBNAIL_HEIGHT / pair.shape[0]))
    small = Image.fromarray(pair).resize((min(width, 6 * THUMBNAIL_HEIGHT), THUMBNAIL_HEIGHT))
    content = io.BytesIO()
    small.save(content, "JPEG", quality=85)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content.getvalue())
