"""scenewise refine: see what a model draws after each of its refinements, and what drives them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenewise.cli import exploring, options, threads
from scenewise.cli.progress import say
from scenewise.errors import InputError

if TYPE_CHECKING:
    import argparse

EXAMPLE = """examples:
  scenewise refine iodine-balls-colour balls-colour#3 --out refinements
  scenewise refine iodine-tetris tetrominoes#0 --refinements 15 --slot 1 --out refinements
  scenewise refine provide-balls-colour clip.mp4 --frames 0,12 --out refinements

Writes for each frame refinements-N.png and refinements-N.npz (images, masks, NLL, KL, gradients), and run.json. The
figure has a column for each decode, curves of NLL and KL, and for each slot what it draws alone and the gradients that
the refinement network saw. Slots count from 1, as in reports."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    exploring.add_explored(parser)
    parser.add_argument("--slot", type=int, metavar="K", help="one slot alone, from 1; default: all")
    parser.add_argument("--frames", metavar="N,N,...", help="frames, or views, from 0; default: the middle one")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    if args.slot is not None and args.slot < 1:
        raise InputError("--slot", f"counts from 1; found {args.slot}.")
    options.request(args, "slots", "refinements", "seed")
    import scenewise as sw
    from scenewise.explore.files import described, write_refinements
    from scenewise.explore.refinements import refinement_pictures
    from scenewise.media.output_folder import OutputFolder, check_free

    check_free(Path(args.out), args.overwrite)
    decomposer = sw.load(args.model, args.device)
    options.tell_untried(args, decomposer)
    threads.choose(decomposer)
    exploration = exploring.open_exploration(args, decomposer)
    slots = None if args.slot is None else [args.slot - 1]
    with OutputFolder(Path(args.out), args.overwrite) as output:
        names, rows = list[str](), list[dict[str, Any]]()
        for number in exploring.frame_numbers(args.frames, exploration):
            moment = exploration.moment(number)
            if slots is not None and slots[0] >= moment.slots:
                raise InputError("--slot", f"the model has slots 1 to {moment.slots}; found {args.slot}.")
            title = f"{exploration.name}, frame {moment.index} · {decomposer.name}"
            names += write_refinements(moment, output.path, f"refinements-{number}", title, slots)
            pictures = refinement_pictures(moment)
            rows.append(
                {
                    "frame": number,
                    "decodes": [p.name for p in pictures],
                    "nll": [round(p.nll, 4) for p in pictures],
                    "kl": [round(p.kl, 4) for p in pictures],
                }
            )
        described(output.path, decomposer, {"input": args.input, "seed": args.seed, "refinements": rows})
        output.commit()
    for row in rows:
        nll, kl = (f"{row[name][0]:,.1f} to {row[name][-1]:,.1f} nats" for name in ("nll", "kl"))
        say(f"{exploration.name}: frame {row['frame']}, {len(row['nll'])} decodes, NLL {nll}, KL {kl}")
    say(f"  {args.out}: {', '.join([*names, 'run.json'])}")
    return 0
