"""scenewise decompose: take videos apart into their objects."""

from __future__ import annotations

import sys
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenewise.cli import options, threads
from scenewise.cli.options import source_video
from scenewise.cli.output import Progress, duration, say
from scenewise.errors import InputError, printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from scenewise.decompose import Decomposer, Request, Result, Summary

_FEW_FRAMES = 16
"""Frames that are written before a copy of this process, which would write them, is there."""

EXAMPLE = """examples:
  scenewise decompose clip.mp4 --out out
  scenewise decompose clip.mp4 --out out --learn 5       (a model of this video first: five minutes)
  scenewise decompose a.mp4 b.mov frames/ --out out --model runs/clip/model --slots 7
  scenewise decompose film.mkv --out out --crop 0,140,360,360 --every 2 --formats overlay,report
  scenewise decompose clip.mp4 --out out --size 256       (masks, overlay and report of 256 x 256)
  scenewise decompose videos.npy --layout NTHWC --out out
  scenewise decompose camera:0 --out out --stop 500       (500 frames of a camera; or until Ctrl-C)
  scenewise decompose balls-colour#3 --out out        (video 3 of a data source, scored against its ground truth)

Ctrl-C ends early and leaves complete files of the frames done; a second Ctrl-C leaves nothing. The same command with
--resume goes on from there, and from where a process was killed, to the files of an uninterrupted run.
Exit code 0: all done; 2: an input could not be used; 130: Ctrl-C; 143: SIGTERM or SIGHUP, which end like Ctrl-C."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="mp4, mov, mkv, webm, avi, gif, a folder of frames, npy, npz or h5, SOURCE#INDEX, a camera (camera:0), or "
        "a stream (rtsp://host/door)",
    )
    options.add_writing(parser)
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on from what a process that was killed or stopped has left in --out; what is done already is passed "
        "over",
    )
    options.add_model(parser)
    parser.add_argument(
        "--learn",
        type=float,
        metavar="MINUTES",
        help="first train a model on these very videos for so many minutes (recipe footage), in DIR/training; the same "
        "command again goes on with it",
    )
    options.add_labels(parser)
    options.add_background(parser)
    options.add_engine(parser)
    options.add_reading(parser)


@dataclass
class Video:
    """One video to be processed.

    Attributes:
        label: What the user knows it as.
        name: Name of its folder of results.
        content: A reader or a sample.
        background_ids: True ids that are background.
    """

    label: str
    name: str
    content: Any
    background_ids: tuple[int, ...] = (0,)

    @property
    def length(self) -> int | None:
        """Expected number of frames, None where unknown."""
        frames = getattr(self.content, "frames", None)  # of a sample
        return self.content.length_hint if frames is None else len(frames)

    def start(self, decomposer: Decomposer, request: Request, background: str | None) -> Result:
        """Return the decomposition, to be computed while it is saved, over a given picture where there is one."""
        result = decomposer.answer(request, self.content, name=self.name, background=background)
        result.clip.background_ids = self.background_ids
        if result.clip.origin == "a data source":
            result.clip.origin = self.label
        return result


def run(args: argparse.Namespace) -> int:
    """Run the model over every input and write the results; an input that fails does not stop the others.

    Args:
        args: Parsed options: inputs, out, overwrite, formats, and those of model, request and reading.

    Returns:
        The exit code.
    """
    if getattr(args, "learn", None) is not None:  # `predict` has no such option
        from scenewise.cli.learn import learn
        from scenewise.media.interruption import exit_code

        outcome = learn(args)
        if exit_code(outcome.stopped):
            return exit_code(outcome.stopped)
        args.model = str(outcome.model)
    decomposer, request, reading, formats = prepare(args)
    from scenewise.media.folders import distinct
    from scenewise.media.interruption import Interruption

    warnings.filterwarnings("ignore", category=UserWarning, module=r"scenewise\.media")  # told as notes at the end
    videos, failures = open_inputs(args.inputs, reading)
    done: list[Summary] = []
    passed = 0
    with Interruption() as interruption:
        for video, name in zip(videos, distinct([v.name for v in videos]), strict=True):
            if interruption():
                break
            video.name = name
            try:
                result = _take_apart(video, decomposer, request, formats, args, interruption)
            except InputError as error:
                failures.append(video.label)
                named = video.label in str(error)  # what a model refuses does not know of which video it is
                say(f"error: {error.line() if named else f'{video.label}: {error.line()}'}", file=sys.stderr)
                continue
            if result is None:
                passed += 1
            elif result.summary is not None:
                tell(video.label, result.summary)
                done.append(result.summary)
    args.answer = {"videos": [asdict(summary) for summary in done], "failed": failures}
    if len(done) + passed + len(failures) > 1:
        names = ": " + ", ".join(failures) if failures else ""
        say(f"{len(done) + passed} done, {len(failures)} failed{names}")
    if interruption.exit_code:
        say("interrupted: the files hold the frames done; the same command with --resume goes on", file=sys.stderr)
        return interruption.exit_code
    return 2 if failures else 0


def _take_apart(
    video: Video,
    decomposer: Decomposer,
    request: Request,
    formats: list[str] | None,
    args: argparse.Namespace,
    stop: Callable[[], bool],
) -> Result | None:
    """Run the model over a video and write the results; None where they are there already."""
    from scenewise.decompose.export.run import is_done

    if args.engine == "auto":
        decomposer.use_for(video.length if request.observe is None else request.observe)
    result = video.start(decomposer, request, args.background)
    result.keep_bytes, result.apart = 0, video.length is None or video.length > _FEW_FRAMES
    resume, folder = getattr(args, "resume", False), Path(args.out) / video.name  # `predict` cannot go on
    if resume and is_done(result, folder, formats):
        say(f"{video.label}: is done already, in {folder}")
        return None
    tell_unfinished(video.label, folder, resume)
    with Progress(video.label) as progress:
        result.save(folder, formats, overwrite=args.overwrite, resume=resume, progress=progress, stop=stop)
    return result


def prepare(args: argparse.Namespace) -> tuple[Decomposer, Request, dict[str, object], list[str] | None]:
    """Check every option and load the model, before any input is opened.

    Raises:
        InputError: An option is wrong, or there is no such model or device.
    """
    from scenewise.decompose.decomposer import load
    from scenewise.decompose.export.run import choose_formats

    formats = options.words(args.formats)
    prediction = ("observe", "steps") if hasattr(args, "observe") else ()
    request = options.request(args, "size", "slots", "refinements", "seed", "labels", *prediction)
    reading = options.reading(args)
    choose_formats(formats)
    decomposer = load(args.model, args.device)
    options.tell_untried(args, decomposer)
    threads.choose(decomposer)
    threads.take_turns()
    if args.engine != "auto":
        decomposer.use(args.engine)
    if request.size in (None, decomposer.size):
        reading["size"] = decomposer.size  # results of another size are made from the source's pixels
    return decomposer, request, reading, formats


def open_inputs(inputs: list[str], reading: dict[str, object]) -> tuple[list[Video], list[str]]:
    """Open everything that was named; print what cannot be opened.

    Returns:
        The videos, and the inputs that failed.
    """
    videos: list[Video] = []
    failures = []
    for text in inputs:
        try:
            videos += _open(text, reading)
        except InputError as error:
            failures.append(text)
            say(f"error: {error.line()}", file=sys.stderr)
    return videos, failures


def tell(label: str, summary: Summary) -> None:
    """Print what was found in one video."""
    rate = summary.frames / max(summary.seconds, 1e-9)
    say(f"{label}: {summary.frames} frames in {duration(summary.seconds)} ({rate:.1f} frames/s)", end="")
    say(", interrupted" if summary.interrupted else "")
    if summary.message:
        say(f"  {summary.message}")
    if summary.remedy:
        say(f"  To train a model on this footage: {summary.remedy}")
    if summary.verdict != "unknown footage":
        say(f"  {summary.objects} objects, median MSE {summary.mse:.4g}")
    for problem in summary.problems:
        say(f"  note: {problem}")
    for row in summary.scores:
        value = "-" if row["value"] is None else f"{row['value']:.4f}"
        say(f"  {row['protocol']:<11}{row['metric']:<11}{value:>8}  {row['note']}".rstrip())
    page = "report.html" if "report.html" in summary.files else ""
    say(f"  {Path(summary.folder) / page}")


def _open(text: str, reading: dict[str, object]) -> list[Video]:
    from scenewise.media.reading import read_videos

    video = source_video(text)
    if video is not None:
        sample, name, background_ids = video
        return [Video(text, name, sample, background_ids)]
    readers = read_videos(text, **reading)  # type: ignore[arg-type]
    shown = printable(text)
    labels = [shown] if len(readers) == 1 else [f"{shown} ({reader.name})" for reader in readers]
    return [Video(label, reader.name, reader) for label, reader in zip(labels, readers, strict=True)]


def tell_unfinished(label: str, folder: Path, resume: bool) -> None:
    """Print what an earlier process has left of a video, and whether it is gone on from.

    Raises:
        InputError: It is to be gone on from, and cannot be read.
    """
    from scenewise.decompose.export.unfinished import unfinished

    left = unfinished(folder)
    frames = left.frames() if left is not None and resume else 0
    if frames:
        say(f"{label}: goes on after the {frames} frames done", file=sys.stderr)
    elif resume and (left is not None or not folder.exists()):
        say(f"{label}: nothing to go on from; begins anew", file=sys.stderr)
    elif left is not None and not left.stopped:
        say(f"note: {label}: what a process that was killed had left is removed; --resume would go on", file=sys.stderr)
