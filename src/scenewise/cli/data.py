"""scenewise data: list, look at, make, check and time data."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from scenewise.cli import output
from scenewise.cli.options import add_settings, add_source_options

if TYPE_CHECKING:
    import argparse

EXAMPLE = """examples:
  scenewise data list --long
  scenewise data show clevr6 --out look                 # look/clevr6-0.png
  scenewise data show balls-colour --index 2 --out sheet.png
  scenewise data make moving-sprites --samples 10000 --split train --out data/moving --workers 8
  scenewise data make moving-sprites --samples 500 --split test --out data/moving
  scenewise data check data/moving
  scenewise data make balls-binary --videos 3 --out balls --format png --set frames=30 max_balls=6
  scenewise data bench tetrominoes clevr6

A made folder can be named wherever a source can: scenewise evaluate MODEL --data data/moving. docs/datasets.md tells
what every source is, and what lies in a made folder."""

_SOURCE = "a name from `scenewise data list`, a file or a folder"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    actions = parser.add_subparsers(dest="action", metavar="list|show|make|check|bench", required=True)
    listed = actions.add_parser("list", help="list the sources of data")
    listed.add_argument("--long", action="store_true", help="with paper, size, factors, licence and how to get files")
    show = actions.add_parser("show", help="print facts, write a contact sheet and a video")
    show.add_argument("source", metavar="SOURCE", help=_SOURCE)
    add_source_options(show)
    show.add_argument("--index", type=int, default=0, metavar="N", help="which video; default: %(default)s")
    show.add_argument(
        "--out", metavar="DIR|PNG", help="a folder for a sheet with objects and an mp4, or a PNG of frames and ids"
    )
    _add_make(actions.add_parser("make", help="write videos of a source with their ground truth"))
    check = actions.add_parser("check", help="compare a made folder with its checksums and with videos made again")
    check.add_argument("folder", metavar="DIR", help="what `scenewise data make` wrote")
    check.add_argument("--again", type=int, default=8, metavar="K", help="videos made again; default: %(default)s")
    check.add_argument("--seed", type=int, default=0, help="which videos are made again; default: %(default)s")
    bench = actions.add_parser("bench", help="measure how fast sources make videos")
    bench.add_argument("sources", nargs="*", metavar="NAME", help="default: all that need no files")
    add_settings(bench, "settings of the sources")
    bench.add_argument("--seconds", type=float, default=1.0, help="of work per round; default: %(default)s")
    bench.add_argument("--rounds", type=int, default=3, metavar="N", help="default: %(default)s")
    bench.add_argument("--workers", type=int, nargs="+", default=[1, 2], metavar="W", help="default: 1 2")
    bench.add_argument("--check", action="store_true", help="exit with 1 where a source is slower than it should be")
    output.add_json_file(bench, "all numbers")


def _add_make(make: argparse.ArgumentParser) -> None:
    from scenewise.data.shards.writers.base import DEFAULT, WRITERS

    make.add_argument("source", metavar="SOURCE", help=_SOURCE)
    add_source_options(make)
    make.add_argument("--out", required=True, metavar="PATH", help="folder to write; for h5 and mnist-test-seq a file")
    make.add_argument("--samples", "--videos", type=int, default=10, metavar="N", help="default: %(default)s")
    make.add_argument(
        "--format",
        choices=WRITERS.names(),
        help=f"{'; '.join(f'{name}: {WRITERS.get(name).what}' for name in WRITERS.names())}; default: what the name of "
        f"the file says (h5 for --out X.h5), else {DEFAULT}. Shards are made in parallel, continue after any end, and "
        "are sources again",
    )
    make.add_argument("--workers", type=int, metavar="W", help="processes; the bytes are the same; default: all cores")
    make.add_argument(
        "--shard", type=int, metavar="N", help="videos per shard; default: 256, or what fits into 32 MiB of frames"
    )
    make.add_argument("--overwrite", action="store_true", help="replace what is there")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    return int(importlib.import_module(f"scenewise.cli.data_{args.action}").run(args))
