"""scenewise predict: look at the start of a video and predict how it goes on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from scenewise.cli import decompose, options
from scenewise.documents import shortened
from scenewise.errors import InputError

if TYPE_CHECKING:
    import argparse

EXAMPLE = """example:
  scenewise predict clip.mp4 --observe 20 --steps 20 --out out

Where the video goes on after the frames observed, the true future stands beside the predicted one and the error by
horizon is printed, next to that of repeating the last frame."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="as in `scenewise decompose`")
    parser.add_argument("--observe", type=int, required=True, metavar="N", help="frames to look at")
    parser.add_argument(
        "--steps", type=int, required=True, metavar="M", help="frames to predict; no model sets a limit"
    )
    options.add_writing(parser)
    options.add_model(parser)
    options.add_labels(parser)
    options.add_background(parser)
    options.add_engine(parser)
    options.add_reading(parser)


def run(args: argparse.Namespace) -> int:
    """Run the verb; a future that would not fit the disk with a byte a frame is refused, not begun."""
    out = Path(args.out).absolute()
    free = shutil.disk_usage(next(path for path in (out, *out.parents) if path.is_dir())).free
    if args.steps > free:
        problem = f"{shortened(args.steps)} frames are more than the {free} bytes that are free on the disk."
        raise InputError("--steps", problem, "Predict fewer.")
    return decompose.run(args)
