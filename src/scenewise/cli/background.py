"""scenewise background: what a still camera shows where nothing stands in the way."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scenewise.cli import options
from scenewise.cli.output import Progress
from scenewise.errors import InputError
from scenewise.media.files import check_writable

if TYPE_CHECKING:
    import argparse


EXAMPLE = """examples:
  scenewise background clip.mp4 --out empty.png
  scenewise background film.mkv --out empty.png --start 500 --stop 4000 --size 360,640

Writes two pictures: the emptiest picture over the whole video (not the median: things that stand still most of the time
are in the median), and beside it empty-sure.png, how often each place was seen like that: white in every frame, black
never. A place that something covers all the time, or in more than 96 of 100 frames, cannot be known; that is said.
Kept in the cache beside decoded footage. Exit code 2 where the camera moves; that takes a second or two."""

_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "input", metavar="VIDEO", help="mp4, mov, mkv, webm, avi, gif, a folder of frames, npy, npz or h5"
    )
    parser.add_argument("--out", required=True, metavar="PNG", help="the picture; beside it goes PNG's name with -sure")
    parser.add_argument("--overwrite", action="store_true", help="replace pictures that are there")
    options.add_reading(parser, "size of the picture; default: the video's, at most 960 a side")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    out = Path(args.out)
    sure = out.with_name(f"{out.stem}-sure.png")
    _check_places(out, sure, args.overwrite)
    size, reading = options.request(args, "size").size, options.reading(args)
    from scenewise.data.footage.picture import background

    with Progress(args.input) as progress:
        picture = background(
            args.input,
            size=size,
            progress=lambda name, done, total: progress(done, total),
            **reading,  # type: ignore[arg-type]
        )
    _write(out, picture.picture)
    _write(sure, picture.support)
    height, width = picture.picture.shape[:2]
    often = float((picture.support >= 0.5).mean())
    print(f"{out}: {width}x{height}, noise {255 * picture.noise:.1f}/255")
    print(f"{sure}: {often:.0%} of the picture was seen in at least half of the frames, the rest less often")
    for reason in picture.reasons:
        print(f"  note: not sound: {reason}. Dark places in {sure.name} may show things instead of background.")
    args.answer = {
        "picture": str(out),
        "sure": str(sure),
        "size": picture.picture.shape[:2],
        "noise": float(picture.noise),
        "reasons": list(picture.reasons),
    }
    return 0


def _check_places(out: Path, sure: Path, overwrite: bool) -> None:
    if out.suffix.lower() not in _ENDINGS:
        raise InputError(
            "--out", f"expected a picture, ending in {', '.join(_ENDINGS)}; found {out}.", "Write empty.png."
        )
    if not out.absolute().parent.is_dir():
        raise InputError(out, "lies in a folder that does not exist.", "Create it first.")
    for file in (out, sure):
        if file.exists() and not overwrite:
            raise InputError(file, "is there already.", "Add --overwrite, or choose another --out.")
        check_writable(file)


def _write(file: Path, values: np.ndarray) -> None:
    """Write floats in [0, 1] as a picture, whole or not at all."""
    from PIL import Image

    from scenewise.media.files import write_atomically

    image = Image.fromarray(np.rint(255 * values.clip(0, 1)).astype(np.uint8).squeeze())
    with io.BytesIO() as buffer:
        image.save(buffer, Image.registered_extensions()[file.suffix.lower()])
        write_atomically(file, buffer.getvalue())
