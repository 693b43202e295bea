"""scenewise traverse: change one number of a slot's latent after the other and see what it does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenewise.cli import exploring
from scenewise.cli.output import say
from scenewise.errors import InputError

if TYPE_CHECKING:
    import argparse

EXAMPLE = """examples:
  scenewise traverse provide-balls-colour balls-colour#3 --frames 5,20 --out latents
  scenewise traverse iodine-tetris tetrominoes#0 --slot 2 --out latents
  scenewise traverse mulmon-cle-mv cle-mv#3 --frames 0,4 --around posterior --span 4 --out latents

Writes for each frame traversal-N.png (all slots), traversal-N-alone.png (the slot by itself) and traversal-N.npz
(values, images, masks), and run.json. Rows are dimensions by their KL, columns values; the value nearest to the model's
own is framed. Slots count from 1, as in reports."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    exploring.add_explored(parser)
    exploring.add_frames(parser, no_slot="the most informed one")
    parser.add_argument("--dimensions", type=int, default=8, metavar="D", help="rows; default: %(default)s")
    parser.add_argument("--values", type=int, default=9, metavar="V", help="columns; default: %(default)s")
    parser.add_argument(
        "--span",
        type=float,
        metavar="S",
        help="how far values go to either side, in standard deviations of the prior; default: 1.5, and 6 where the "
        "prior is predicted for each frame",
    )
    parser.add_argument(
        "--around",
        choices=("prior", "posterior"),
        default="prior",
        help="set numbers to values around the prior's mean, or shift the posterior's; default: %(default)s",
    )


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    from scenewise.explore.files import described, write_traversal
    from scenewise.explore.traversal import traverse
    from scenewise.media.folders import OutputFolder

    if not 2 <= args.values <= 99:
        raise InputError("--values", f"must lie in [2, 99]; found {args.values}.")
    if args.span is not None and not 0 < args.span <= 100:
        raise InputError("--span", f"must be more than 0 and at most 100; found {args.span:g}.")
    frames = exploring.open_frames(args)
    decomposer, exploration = frames.decomposer, frames.exploration
    sizes = {"dimensions": min(args.dimensions, decomposer.model.noise_shape(1, 1)[-1]), "steps": args.values}
    with OutputFolder(Path(args.out), args.overwrite) as output:
        names, rows = list[str](), list[dict[str, Any]]()
        for number, moment in frames.moments():
            traversal = traverse(moment, frames.slot, span=args.span, around=args.around, **sizes)
            title = f"{exploration.name}, frame {moment.index}, slot {traversal.slot + 1} · {decomposer.name}"
            names += write_traversal(traversal, output.path, f"traversal-{number}", title)
            rows.append({"frame": number, "slot": traversal.slot + 1, "dimensions": traversal.dimensions.tolist()})
        described(output.path, decomposer, {"input": args.input, "seed": args.seed, "traversals": rows})
        output.commit()
    for row in rows:
        say(f"{exploration.name}: frame {row['frame']}, slot {row['slot']}, dimensions by KL {row['dimensions']}")
    args.answer = {"input": exploration.name, "traversals": rows, "out": args.out, "files": [*names, "run.json"]}
    say(f"  {args.out}: {', '.join([*names, 'run.json'])}")
    return 0
