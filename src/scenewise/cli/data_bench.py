"""scenewise data bench: how fast sources make videos."""

from __future__ import annotations

import dataclasses
import datetime
import os
import sys
from typing import TYPE_CHECKING, Any

from scenewise.cli.output import PRINTED, clear_status, status
from scenewise.errors import InputError
from scenewise.media.files import check_writable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from scenewise.data.shards.speed import Speed


def run(args: argparse.Namespace) -> int:
    """Measure, print a table, write the numbers."""
    from scenewise.config import nest
    from scenewise.data import SOURCES
    from scenewise.data.shards.speed import Bench, generated

    for name, low, high in (("rounds", 1, 1000), ("seconds", 0.0, 3600.0)):
        if not low <= getattr(args, name) <= high:
            raise InputError(f"--{name}", f"must lie in [{low}, {high}]; found {getattr(args, name)}.")
    if not all(1 <= many <= 256 for many in args.workers):
        raise InputError("--workers", f"must lie in [1, 256]; found {args.workers}.")
    if args.json not in (None, PRINTED):
        check_writable(args.json)
    settings = nest(args.settings, "--set")
    names = args.sources or generated()
    for name in names:
        SOURCES.get(name)
    speeds = []
    with Bench(args.workers) as bench:
        for name in names:
            try:
                speeds.append(bench.measure(name, settings, args.seconds, args.rounds, status(name)))
            except InputError as error:
                if args.sources:
                    raise
                print(f"{name} is left out: {error}", file=sys.stderr)
    clear_status()
    _print(speeds, args.workers)
    args.answer = _facts(speeds, args)
    slow = [speed.source for speed in speeds if speed.too_slow]
    if args.check and slow:
        print(f"slower than it should be: {', '.join(slow)}", file=sys.stderr)
    return 1 if args.check and slow else 0


def _print(speeds: Sequence[Speed], workers: Sequence[int]) -> None:
    from rich.console import Console
    from rich.table import Table

    heads = [f"samples/s, {many} process{'es' * (many > 1)}" for many in workers]
    table = Table("source", "frames", "size", "samples/s of CPU time", "frames/s of CPU time", *heads)
    for speed in speeds:
        rates = [f"{speed.rates[many]:.4g}" for many in workers]
        size = f"{speed.size[0]} x {speed.size[1]}"
        frames = f"{speed.per_core * speed.frames:.4g}" if speed.frames else "varies"
        table.add_row(speed.source, str(speed.frames or "varies"), size, f"{speed.per_core:.4g}", frames, *rates)
    console = Console()
    Console(width=None if console.is_terminal else 140).print(table)
    print(f"medians; {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}")


def _facts(speeds: Sequence[Speed], args: argparse.Namespace) -> dict[str, Any]:
    """Return all numbers and what they depend on."""
    from scenewise.data.shards.one_process import versions

    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "versions": versions(),
        "settings": args.settings,
        "seconds": args.seconds,
        "rounds": args.rounds,
        "sources": [dataclasses.asdict(speed) for speed in speeds],
    }
