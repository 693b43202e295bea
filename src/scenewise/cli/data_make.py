"""scenewise data make: videos of a source as files."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scenewise.cli.data_show import write_video
from scenewise.cli.progress import Progress
from scenewise.cli.sources import named_source, open_source
from scenewise.errors import InputError

if TYPE_CHECKING:
    import argparse

    from scenewise.data.contract import Source


def run(args: argparse.Namespace) -> int:
    """Make files of the format that is asked for, or that the name of the file says."""
    if args.samples < 1:
        raise InputError("--samples", f"must be at least 1; found {args.samples}.")
    out = Path(args.out)
    kind = args.format or ("h5" if out.suffix.lower() in (".h5", ".hdf5") else "npy")
    if kind not in ("h5", "png", "mp4", "mulmon", "mulmon-raw", "mnist-test-seq"):
        return _make_shards(out, kind, args)
    for option in ("workers", "shard"):
        if getattr(args, option) is not None:
            raise InputError(f"--{option}", f"is for shards; {kind} is written by one process.", "Leave it out.")
    source = open_source(args.source, args.split, args.settings)
    if kind == "h5":
        _make_h5(source, out, args)
    elif kind.startswith("mulmon"):
        _make_mulmon(source, out, kind, args)
    elif kind == "mnist-test-seq":
        _make_mnist_test_seq(source, out, args)
    else:
        _make_folder(source, out, kind, args)
    print(f"{args.samples} videos of {args.source} ({args.split}): {out}")
    return 0


def _make_shards(out: Path, kind: str, args: argparse.Namespace) -> int:
    from scenewise.data.making.make import make, make_plan
    from scenewise.media.interruption import Interruption

    name, settings = named_source(args.source, args.settings)
    plan = make_plan(name, args.split, settings, args.samples, kind, args.shard)
    workers = _cores() if args.workers is None else args.workers
    title = f"{args.source} ({args.split})"
    with Interruption() as interruption, Progress(title, unit="videos") as progress:
        outcome = make(plan, out, workers, progress, interruption, args.overwrite)
    if outcome.kept:
        print(f"{outcome.kept} of {outcome.total} shards were there already")
    if outcome.manifest is None:
        print(
            f"stopped: {outcome.whole} of {outcome.total} shards are whole and stay in {outcome.folder}; the same "
            "command continues",
            file=sys.stderr,
        )
        return 130
    print(f"{args.samples} videos of {title} in {outcome.total} shards: {outcome.folder}")
    return 0


def _cores() -> int:
    return min(256, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def _make_h5(source: Source, out: Path, args: argparse.Namespace) -> None:
    from scenewise.data.balls import BallsSource
    from scenewise.data.rnem_h5 import write_rnem

    if not isinstance(source, BallsSource):
        raise InputError(args.source, "cannot be written as R-NEM's h5.", "Use --format hdf5, npy, png or mp4.")
    write_rnem(out, {args.split: source}, {args.split: args.samples}, args.overwrite)


def _make_folder(source: Source, out: Path, kind: str, args: argparse.Namespace) -> None:
    from scenewise.decompose.output import OutputFolder

    _check_samples(source, args)
    with OutputFolder(out, args.overwrite) as output:
        for index in range(args.samples):
            write_video(source.sample(index), output.path, f"{index:05d}", kind)
        output.commit()


def _make_mulmon(source: Source, out: Path, kind: str, args: argparse.Namespace) -> None:
    from scenewise.data.mulmon_writing import write_mulmon, write_mulmon_raw
    from scenewise.decompose.output import OutputFolder

    _check_samples(source, args)
    scenes = range(args.samples)
    with Progress(f"{args.source} ({args.split})", unit="scenes") as progress:
        if kind == "mulmon":  # splits share a folder
            name = "clevr_mv" if args.source == "cle-mv" else f"clevr_{Path(args.source).stem}"
            write_mulmon(source, out, args.split, scenes, name, args.overwrite, progress)
            return
        with OutputFolder(out, args.overwrite) as output:
            write_mulmon_raw(source, output.path, args.split, scenes, progress)
            output.commit()


def _make_mnist_test_seq(source: Source, out: Path, args: argparse.Namespace) -> None:
    from scenewise.data.moving_mnist_writing import write_mnist_test_seq

    _check_samples(source, args)
    with Progress(f"{args.source} ({args.split})", unit="clips") as progress:
        write_mnist_test_seq(source, out, range(args.samples), args.overwrite, progress)


def _check_samples(source: Source, args: argparse.Namespace) -> None:
    if args.samples > len(source):
        raise InputError("--samples", f"{args.source} has {len(source)} videos; found {args.samples}.")
