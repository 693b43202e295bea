"""scenewise refine: see what a model draws after each of its refinements, and what drives them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenewise.cli import exploring
from scenewise.cli.output import say

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
    exploring.add_frames(parser, no_slot="all")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    from scenewise.explore.files import described, write_refinements
    from scenewise.explore.refinements import refinement_pictures
    from scenewise.media.folders import OutputFolder

    frames = exploring.open_frames(args)
    decomposer, exploration = frames.decomposer, frames.exploration
    slots = None if frames.slot is None else [frames.slot]
    with OutputFolder(Path(args.out), args.overwrite) as output:
        names, rows = list[str](), list[dict[str, Any]]()
        for number, moment in frames.moments():
            title = f"{exploration.name}, frame {moment.index} · {decomposer.name}"
            pictures = refinement_pictures(moment)
            names += write_refinements(moment, pictures, output.path, f"refinements-{number}", title, slots)
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
    args.answer = {"input": exploration.name, "refinements": rows, "out": args.out, "files": [*names, "run.json"]}
    say(f"  {args.out}: {', '.join([*names, 'run.json'])}")
    return 0
