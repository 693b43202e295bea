"""scenewise data check: whether a made folder is still what was made."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from scenewise.cli.options import check_seed
from scenewise.cli.output import Progress, say
from scenewise.errors import InputError

if TYPE_CHECKING:
    import argparse

    from scenewise.data.shards.check import Finding


def run(args: argparse.Namespace) -> int:
    """Tell what was found; 2 where something is broken."""
    from scenewise.data.shards.check import check

    if args.again < 0:
        raise InputError("--again", f"must be at least 0; found {args.again}.")
    check_seed(args.seed)
    with Progress(f"checking {args.folder}", unit="shards") as progress:
        findings = check(Path(args.folder), args.again, args.seed, progress)
    broken = sum(len(finding.broken) for finding in findings)
    for finding in findings:
        _tell(finding)
    args.answer = {"splits": [asdict(finding) for finding in findings], "broken": broken}
    if broken:
        say(
            "error: the same `scenewise data make` as before repairs what is broken and keeps the rest", file=sys.stderr
        )
    return 2 if broken else 0


def _tell(finding: Finding) -> None:
    whole = finding.shards - len(finding.broken)
    say(
        f"{finding.folder}: {whole} of {finding.shards} shards whole, {finding.samples} videos, "
        f"{finding.compared} made again and compared"
    )
    if finding.note:
        say(f"  {finding.note}")
    for name, problem in finding.broken.items():
        say(f"  shard {name}: {problem}", file=sys.stderr)
