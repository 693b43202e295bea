"""scenewise batch: take thousands of videos apart, on this machine, a cluster, or a share of an array of machines."""

from __future__ import annotations

import argparse
import os
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenewise.cli import options
from scenewise.cli.output import Progress, duration, say
from scenewise.errors import InputError, printable

if TYPE_CHECKING:
    from scenewise.batch.job import BatchJob
    from scenewise.batch.pool import Pool
    from scenewise.batch.run import Standing

EXAMPLE = """examples:
  scenewise batch clips --out out --model provide-balls-colour
  scenewise batch 'clips/**/*.mp4' --out out --formats tracks,masks --workers 8
  scenewise batch clips --out out --shard 3/20             (this machine's share of twenty)
  find clips -name '*.mov' | scenewise batch - --out out

The same command again goes on where the last one ended: what is done is skipped, what has changed is done again.
Results are in DIR/videos, by the paths of their inputs; DIR/index.html shows all of them, DIR/summary.csv lists them.
Exit code 0: all done; 3: some failed, which are listed; 2: nothing could start; 130: Ctrl-C; 143: SIGTERM, SIGHUP."""

_LISTED = 20  # failures that are printed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="a folder with all below it, a pattern in quotes, a video, a list (.txt, one path a line), - for a list "
        "on standard input, or an address such as s3://bucket/clips",
    )
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="folder of all results, and of what is known of them"
    )
    options.add_model(parser)
    options.add_formats(parser)
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes, of one thread each; default: one a GPU, or a core"
    )
    parser.add_argument(
        "--batch",
        type=int,
        default=1,
        metavar="B",
        help="videos that share the calls of the model in each worker; default: %(default)s",
    )
    parser.add_argument(
        "--shard", type=_shard, metavar="I/N", help="do only the I-th of N shares of the videos, I from 1"
    )
    parser.add_argument(
        "--ray", metavar="ADDRESS", help="do the work on a Ray cluster; 'local' begins one of this machine"
    )
    parser.add_argument("--retry", action="store_true", help="try once more what has failed three times")
    parser.add_argument(
        "--overwrite", action="store_true", help="do again what another model or other options have done"
    )
    options.add_engine(parser, compiles=False)
    options.add_reading(parser)


def run(args: argparse.Namespace) -> int:
    """Do what is left of a batch.

    Returns:
        The exit code.
    """
    workers = worker_count(args.workers, args.device)
    options.check_range("--batch", args.batch, 1, 1024)
    job, model = job_of(args)
    from scenewise.batch.inputs import list_videos
    from scenewise.batch.run import Batch, Choice
    from scenewise.media.interruption import Interruption

    videos = list_videos(args.inputs, job.reading, without=Path(args.out))
    if not videos:
        raise InputError("the list", "names no video.", "Check what is given.")
    choice = Choice(args.shard, args.overwrite, args.retry, args.batch)
    with Batch(job, model, choice) as batch, Interruption() as interruption:
        standing = batch.plan(videos)
        if standing.left:
            if standing.skipped:
                say(f"{standing.skipped} of {standing.total} videos are done already; {standing.left} are left.")
            pool: Pool
            if args.ray is None:
                from scenewise.batch.pool import LocalPool

                pool = LocalPool(batch.job, min(workers, standing.left), batch.held)
            else:
                from scenewise.batch.cluster import RayPool

                pool = RayPool(batch.job, min(workers, standing.left), args.ray)
            with pool, Progress(Path(standing.folder).name, unit="videos") as bar:

                def show(now: Standing) -> None:
                    bar.show(now.done + len(now.failed) + now.skipped, now.total, _rate(now))

                batch.run(standing, pool, show, interruption)
        pages = batch.write_pages()
    _tell_end(args, standing, pages)
    return interruption.exit_code or (3 if standing.failed else 0)


def _shard(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    number, count = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= count:
        raise argparse.ArgumentTypeError(f"expected I/N with I from 1 to N, such as 3/20; found {text!r}")
    return number, count


def worker_count(chosen: int | None, device: str) -> int:
    """Return how many processes work: as many as chosen, or one for every GPU, or for every core where there is none.

    Raises:
        InputError: It is out of range.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if chosen is not None:
        options.check_range("--workers", chosen, 1, 1024)
        return chosen
    if device == "cpu":
        return cores
    import torch

    return 1 if device.startswith("cuda:") else torch.cuda.device_count() or cores


def job_of(args: argparse.Namespace) -> tuple[BatchJob, str]:
    """Check every option, load the model once to see that it can be, and return the job and the model's name.

    Raises:
        InputError: An option is wrong, or there is no such model or device.
    """
    import scenewise as sw
    from scenewise.batch.job import BatchJob
    from scenewise.decompose.export.run import choose_formats

    formats = options.words(args.formats)
    request = options.request(args, "size", "slots", "refinements", "seed")
    reading = options.reading(args)
    choose_formats(formats)
    decomposer = sw.load(args.model, args.device)
    options.tell_untried(args, decomposer)
    model = str(Path(decomposer.path).absolute())
    asked: dict[str, Any] = {name: value for name, value in asdict(request).items() if name not in ("observe", "steps")}
    reading = {name: list(value) if isinstance(value, tuple) else value for name, value in reading.items()}
    if args.engine != "auto":
        decomposer.use(args.engine)  # to see that it can be
    job = BatchJob(
        str(Path(args.out).absolute()),
        model,
        decomposer.fingerprint,
        args.device,
        asked,
        reading,
        formats,
        engine=args.engine,
    )
    return job, decomposer.name


def _rate(standing: Standing) -> str:
    frames = f"{standing.frames / max(standing.seconds, 1e-9):.1f} frames/s"
    if not standing.done:
        return frames
    left = duration(standing.left / standing.done * standing.seconds)
    return f"{frames}, {standing.videos_per_hour:,.0f} videos/h, {left} left"


def _tell_end(args: argparse.Namespace, standing: Standing, pages: list[str]) -> None:
    """Print what came of it."""
    for number, (name, error) in enumerate(sorted(standing.failed.items())):
        if number < _LISTED or args.quiet:
            say(f"error: {printable(name, 120)}: {printable(error, 400)}", file=sys.stderr)
    if len(standing.failed) > _LISTED and not args.quiet:
        say(f"and {len(standing.failed) - _LISTED} more, in {pages[1]}", file=sys.stderr)
    speed = {"videos_per_hour": round(standing.videos_per_hour, 1), "seconds": round(standing.seconds, 3)}
    args.answer = asdict(standing) | speed | {"left": standing.left, "files": pages}
    counts = f"{standing.done} done, {standing.skipped} done before, {len(standing.failed)} failed"
    say(counts + (f", {standing.left} left: the same command goes on" if standing.left else ""))
    if standing.done:
        say(f"  {duration(standing.seconds)}, {_rate(standing).rpartition(',')[0]}")
    say(f"  {Path(standing.folder) / pages[0]}")
