"""scenewise evaluate: score a model on data with ground truth."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from scenewise.cli import options, output, threads
from scenewise.cli.options import add_source_options, open_source
from scenewise.cli.output import Progress, duration
from scenewise.documents import shortened
from scenewise.errors import InputError
from scenewise.media.files import check_writable

if TYPE_CHECKING:
    import argparse

EXAMPLE = """examples:
  scenewise evaluate provide-balls-colour --data balls-colour --frames 20 --samples 200 --json scores.json
  scenewise evaluate runs/balls/model --data balls4mass64.h5 --protocol savi --seeds 0 1 2
  scenewise evaluate provide-balls-colour --data balls-colour --frames 10 20 30 40 --slots 5 9

Several frames, samples, slots or refinements are scored one row each; NLL and KL are in nats per frame.
Papers average differently: every number carries the name of the protocol that computed it."""

COLUMNS = {"videos": "samples", "length": "frames", "slots": "K", "refinements": "R"}
"""Keys of a row of which several may be asked for, and what their columns are called."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from scenewise.evaluation.protocols import PROTOCOLS

    options.add_model(parser, positional=True, several=True)
    parser.add_argument("--data", required=True, metavar="SOURCE", help="a name from `scenewise data list`, or a file")
    add_source_options(parser)
    registered = [PROTOCOLS.get(name) for name in PROTOCOLS.names()]
    default, others = (", ".join(p.name for p in registered if p.default == which) for which in (True, False))
    text = f"may be repeated; default: {default}; run where they are named: {others}"
    parser.add_argument("--protocol", action="append", metavar="NAME", help=text)
    parser.add_argument("--frames", type=int, nargs="+", metavar="N", help="frames of each video; default: all")
    parser.add_argument(
        "--samples", type=int, nargs="+", default=[200], metavar="N", help="number of videos; default: 200"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="S", help="seeds of the posterior noise")
    options.add_labels(parser)
    parser.add_argument("--batch", type=int, default=16, metavar="B", help="videos side by side; default: %(default)s")
    output.add_json_file(parser, "the scores and how they were made")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    for name, numbers in (("samples", args.samples), ("batch", [args.batch]), ("frames", args.frames or [1])):
        if not 1 <= min(numbers) <= max(numbers) < 1 << 31:
            wrong = next(n for n in numbers if not 1 <= n < 1 << 31)
            raise InputError(f"--{name}", f"must be at least 1, and less than 2**31; found {shortened(wrong)}.")
    for seed in args.seeds:
        options.check_seed(seed, "--seeds")
    if args.json not in (None, output.PRINTED):
        check_writable(args.json)
    import scenewise as sw
    from scenewise.decompose.result import check_limits
    from scenewise.evaluation.evaluate import evaluate
    from scenewise.evaluation.protocols import PROTOCOLS, default_protocols

    for slots in args.slots or [None]:
        check_limits(slots=slots)
    for refinements in args.refinements or [None]:
        check_limits(refinements=refinements)
    chosen = [PROTOCOLS.get(name) for name in args.protocol or ()] or default_protocols()
    decomposer = sw.load(args.model, args.device)
    source = open_source(args.data, args.split, args.settings, decomposer.frame_shape[0])
    threads.choose(decomposer)
    options.tell_untried(args, decomposer)
    started = time.perf_counter()
    with Progress(decomposer.name) as progress:
        rows = evaluate(
            decomposer.model,
            source,
            [protocol.name for protocol in chosen],
            videos=args.samples,
            frames=args.frames,
            seeds=args.seeds,
            slots=args.slots,
            refinements=args.refinements,
            batch=args.batch,
            labels=args.labels,
            progress=progress,
        )
    seconds = time.perf_counter() - started
    _tell(args, decomposer.name, rows, seconds)
    args.answer = _facts(args, decomposer, source, rows, seconds)
    return 0


def _tell(args: argparse.Namespace, name: str, rows: list[dict[str, Any]], seconds: float) -> None:
    videos = rows[0]["videos"] if rows else 0
    print(f"{name} on {videos} videos of {args.data} ({args.split}), {len(args.seeds)} seeds, {duration(seconds)}")
    several = [key for key in COLUMNS if len({row[key] for row in rows if key in row}) > 1]
    width = max((len(row["metric"]) for row in rows), default=0)
    wide = max((len(row["protocol"]) for row in rows), default=0)
    for row in rows:
        value = row.get("note", "-") if row["mean"] is None else f"{row['mean']:.4f}"
        spread = "" if row["std"] is None else f" ± {row['std']:.4f}"
        settings = "".join(f"{COLUMNS[key]} {row[key]:<5}" for key in several)
        print(f"  {settings}{row['protocol']:<{max(wide + 1, 10)}}{row['metric']:<{max(width + 1, 12)}}{value}{spread}")


def _facts(
    args: argparse.Namespace, decomposer: Any, source: Any, rows: list[dict[str, Any]], seconds: float
) -> dict[str, Any]:
    """Return the scores and how they were made."""
    from scenewise.run_record import versions

    return {
        "model": {"name": decomposer.name, "path": decomposer.path, "fingerprint": decomposer.fingerprint},
        "data": {
            "source": args.data,
            "split": args.split,
            "settings": args.settings,
            "fingerprint": source.fingerprint(),
        },
        "samples": _one(args.samples),
        "frames": _one(args.frames),
        "seeds": args.seeds,
        "batch": args.batch,
        "labels": args.labels,
        "slots": decomposer.slots if args.slots is None else _one(args.slots),
        "refinements": _one(args.refinements) or getattr(decomposer.model.config, "refinements", None),
        "seconds": round(seconds, 2),
        "scores": rows,
        "versions": versions(),
    }


def _one(numbers: list[int] | None) -> list[int] | int | None:
    """Return a list of one number as that number."""
    return numbers[0] if numbers is not None and len(numbers) == 1 else numbers
