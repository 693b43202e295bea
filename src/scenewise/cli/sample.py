"""scenewise sample: make up new scenes with a model that has a prior over them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scenewise.cli import options
from scenewise.cli.output import say

if TYPE_CHECKING:
    import argparse

EXAMPLE = """example:
  scenewise sample runs/sprites/model --count 16 --seed 3 --out samples

Writes samples.png (each scene with the mask and appearance of every slot), samples.npz (images, masks, appearance),
images/ and run.json. Scene i of a seed is the same however many are drawn."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    options.add_model(parser, positional=True)
    parser.add_argument(
        "--samples",
        "--count",
        dest="count",
        type=int,
        default=16,
        metavar="N",
        help="number of scenes; default: %(default)s",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="seed of the scenes; default: %(default)s")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace results that are there")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    import scenewise as sw
    from scenewise.media.folders import check_apart, check_free
    from scenewise.scenes.sampling import sample_scenes, save_scenes

    request = options.request(args, "slots", "refinements", "seed")
    check_free(Path(args.out), args.overwrite)
    check_apart(Path(args.out), args.model)
    decomposer = sw.load(args.model, args.device)
    decomposer.model.refuse(request.refinements)
    scenes = sample_scenes(decomposer.model, args.count, request.slots, request.seed)
    files = save_scenes(scenes, Path(args.out), decomposer, request.seed, args.overwrite)
    say(f"{decomposer.name}: {args.count} scenes of {scenes.masks.shape[1]} slots, seed {args.seed}")
    say(f"  {args.out}: {', '.join(files)}")
    args.answer = {
        "model": decomposer.name,
        "count": args.count,
        "slots": int(scenes.masks.shape[1]),
        "seed": args.seed,
        "folder": args.out,
        "files": files,
    }
    return 0
