"""scenewise bench: speed, memory and work of models, beside the least that their convolutions alone would take."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from scenewise.bench.named import CASES, MAIN
from scenewise.cli import options, output
from scenewise.cli.output import clear_status, note, status
from scenewise.errors import InputError
from scenewise.media.files import check_writable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

EXAMPLE = """examples:
  scenewise bench                                   # the main cases, a couple of minutes
  scenewise bench provide --presets paper,fast --batch 2 --frames 4 --json speed.json
  scenewise bench --case provide-paper --against naive
  scenewise bench --sweep --json sweep.json         # how it grows with frames, slots and refinements

The floor is the time of the convolutions and large linear layers alone, in the same shapes, on the same machine, timed
in turn with the model: docs/performance.md says how it is counted."""

_WIDTH = 170
"""Columns of a table where no terminal says how many there are."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    what = parser.add_argument_group("what is measured")
    what.add_argument(
        "models",
        nargs="*",
        metavar="MODEL",
        help="a registered model, shipped weights, a model folder; `data` for sources; "
        f"without any, and without --case: {', '.join(MAIN)}",
    )
    what.add_argument("--presets", default="paper", metavar="A,B", help="of registered models; default: %(default)s")
    what.add_argument("--case", action="append", default=[], metavar="NAME", help=", ".join(CASES))
    what.add_argument("--sweep", action="store_true", help="sweep frames, slots and refinements of a small provide")
    what.add_argument("--batch", type=int, metavar="B", help="videos of a training step; default: 1")
    what.add_argument("--frames", type=int, metavar="T", help="frames of a training step; default: 2, of images 1")
    what.add_argument("--slots", type=int, metavar="K", help="number of slots; default: the model's")
    what.add_argument("--bf16", action="store_true", help="convolutions in bfloat16")
    what.add_argument("--recompute", action="store_true", help="recompute decodes in the backward pass")
    what.add_argument(
        "--engine",
        default="torch",
        choices=("torch", "openvino", "onnxruntime", "openvino-bfloat16", "compile"),
        help="what explains the frames of a stream; default: %(default)s",
    )
    what.add_argument(
        "--compile", action="store_const", const="compile", dest="engine", help="stream with compiled decodes"
    )
    what.add_argument("--against", metavar="naive", help="naive: compare with plain autograd; needs a source checkout")
    how = parser.add_argument_group("how")
    how.add_argument(
        "--repeats", type=int, metavar="N", help="timings of everything; default: 3 to 15, by their length"
    )
    how.add_argument("--threads", type=int, metavar="N", help="threads of the CPU; default: torch's own number")
    how.add_argument("--device", default="auto", help="auto (a GPU where there is one), cpu, cuda or cuda:N")
    output.add_json_file(how, "all numbers and what they depend on")
    how.add_argument("--plot", metavar="SVG", help="with --sweep: draw it")
    how.add_argument("--markdown", action="store_true", help="print Markdown instead")


def run(args: argparse.Namespace) -> int:
    """Run the verb; `bench data` is `data bench`."""
    if args.models[:1] == ["data"]:
        from scenewise.cli import main

        words, args.json = [f"--json={args.json}"] if args.json else [], None
        return main(["data", "bench", *args.models[1:], *words])
    request = _asked(args)
    if args.json not in (None, output.PRINTED):
        check_writable(args.json)
    import torch

    from scenewise.bench import machine
    from scenewise.checkpoint import as_device

    if args.threads is not None:
        torch.set_num_threads(args.threads)
    facts = machine.facts(as_device(args.device))
    content = {"format": 1, "machine": facts}
    if not args.markdown:
        print(
            f"{facts['device']}, {facts['threads']} threads of {facts['cores']} cores, torch {facts['torch']}, ", end=""
        )
        print(f"{facts['date']}, load average {facts['load']}")
    for line in machine.warnings(facts):
        note(f"warning: {line}")
    content |= _sweep(args, request) if args.sweep else _bench(args, request, facts)
    args.answer = content
    return 0


def _asked(args: argparse.Namespace) -> Any:
    """Return what is asked for, checked.

    Raises:
        InputError: An option cannot be used.
    """
    from scenewise.bench import cases, naive

    cases.at_least_one("--repeats", args.repeats)
    if args.against not in (None, "naive"):
        raise InputError("--against", f"must be naive; found {args.against!r}.", "Write --against naive.")
    if args.against:
        naive.check()
    presets = options.words(args.presets) or []
    names = [name for text in args.case for name in options.words(text) or []]
    numbers = (args.batch, args.frames, args.slots, args.device, args.threads)
    ways = (args.bf16, args.recompute, args.engine)
    request = cases.BenchRequest(args.models, presets, names, *numbers, *ways)
    words = [args.models, names, args.batch, args.frames, args.slots, *ways[:2], args.engine != "torch", args.against]
    if args.plot and not args.sweep:
        raise InputError("--plot", "draws a sweep only.", "Add --sweep.")
    if args.plot:
        check_writable(args.plot)
    if args.sweep and any(words):
        remedy = "Leave models, cases and their numbers out."
        raise InputError("--sweep", "sweeps one model at sizes of its own.", remedy)
    return request


def _bench(args: argparse.Namespace, request: Any, facts: dict[str, Any]) -> dict[str, Any]:
    from scenewise.bench import cases, tables
    from scenewise.bench.measure import measure

    specs, skipped = cases.specs(request)
    for line in skipped:
        print(line, file=sys.stderr)
    results = [measure(spec, args.repeats, bool(args.against), progress=status(spec.name)) for spec in specs]
    clear_status()
    if args.markdown:
        print(tables.markdown(results, facts))
    elif results:
        _print_table("bench", tables.HEAD, tables.rows(results))
        if args.against:
            _print_table("the plain version", tables.PLAIN_HEAD, tables.plain_rows(results))
        for note in tables.notes(results):
            print(note)
    return {"results": [result.plain() for result in results], "skipped": skipped}


def _sweep(args: argparse.Namespace, request: Any) -> dict[str, Any]:
    from scenewise.bench import sweep, tables
    from scenewise.checkpoint import as_device

    points = sweep.sweep(args.repeats or 3, str(as_device(request.device)), request.threads, progress=status("sweep"))
    clear_status()
    fitted = sweep.lines(points)
    if args.plot:
        from scenewise.bench.plot import svg
        from scenewise.media.files import write_atomically

        write_atomically(args.plot, svg(points))
    if args.markdown:
        print(tables.sweep_markdown(points, fitted))
    else:
        settings = ", ".join(f"{key} {value}" for key, value in sweep.BASE.items())
        print(f"training step of provide: batch 1, 4 frames where they are not swept, {settings}")
        _print_table("sweep", tables.SWEEP_HEAD, tables.sweep_rows(points))
        _print_table("straight lines", tables.LINE_HEAD, tables.line_rows(fitted))
    return {"sweep": sweep.plain(points)}


def _print_table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*head, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    console = Console()
    Console(width=None if console.is_terminal else _WIDTH).print(table)
