"""scenewise data make: videos of a source as files."""

from __future__ import annotations

import itertools
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenewise.cli.options import named_source
from scenewise.cli.output import Progress, say
from scenewise.errors import InputError

if TYPE_CHECKING:
    import argparse

    from scenewise.data.shards.writer import WriteOutcome


def run(args: argparse.Namespace) -> int:
    """Make files of the format that is asked for, or that the name of the file says."""
    from scenewise.data.shards.writers.base import WRITERS, WriteRequest, format_of
    from scenewise.media.folders import check_apart
    from scenewise.media.interruption import Interruption

    if args.samples < 1:
        raise InputError("--samples", f"must be at least 1; found {args.samples}.")
    out = Path(args.out)
    kind = args.format or format_of(out)
    writer = WRITERS.get(kind)
    for option in ("workers", "shard"):
        if getattr(args, option) is not None and not writer.sharded:
            raise InputError(f"--{option}", f"is for shards; {kind} is written by one process.", "Leave it out.")
    name, settings = named_source(args.source, args.settings)
    if args.overwrite:
        values = (value if isinstance(value, list) else [value] for value in settings.values())
        check_apart(out, *itertools.chain.from_iterable(values))  # what the source reads, as far as these are paths
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(256, cores) if args.workers is None else args.workers
    request = WriteRequest(name, args.split, args.samples, settings, args.source, args.overwrite, workers, args.shard)
    title = f"{args.source} ({args.split})"
    # writers without shards leave nothing to go on from
    interruption: Any = Interruption() if writer.sharded else nullcontext(lambda: False)
    with interruption as stop, Progress(title, unit=writer.unit) as progress:
        outcome = writer.write(request, out, progress, stop)
    args.answer = {"source": args.source, "split": args.split, "videos": args.samples, "format": kind, "out": str(out)}
    if outcome is not None:
        done = {"folder": str(outcome.folder), "whole": outcome.whole, "kept": outcome.kept, "total": outcome.total}
        args.answer["shards"] = done
        return _tell(outcome, f"{args.samples} videos of {title}", stop.exit_code)
    say(f"{args.samples} videos of {title}: {out}")
    return 0


def _tell(outcome: WriteOutcome, what: str, interrupted: int) -> int:
    """Say what became of shards, and return the exit code, which is `interrupted` where not all are there."""
    if outcome.kept:
        say(f"{outcome.kept} of {outcome.total} shards were there already")
    if outcome.manifest is None:
        say(
            f"stopped: {outcome.whole} of {outcome.total} shards are whole and stay in {outcome.folder}; the same "
            "command continues",
            file=sys.stderr,
        )
        return interrupted
    say(f"{what} in {outcome.total} shards: {outcome.folder}")
    return 0
