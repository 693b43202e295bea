"""scenewise data: list, make and look at data."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.cli.sources import add_source_options, open_source
from scenewise.errors import InputError

if TYPE_CHECKING:
    from scenewise.data.contract import Sample, Source

EXAMPLE = """examples:
  scenewise data list
  scenewise data make balls-colour --videos 20 --out balls.h5
  scenewise data make balls-binary --videos 3 --out balls --format png --set frames=30 max_balls=6
  scenewise data show balls-colour --out sheet.png
  scenewise data show balls.h5 --index 2 --out sheet.png"""

_FORMATS = ("h5", "png", "mp4")
_SHEET_FRAMES = 12
_SHEET_SIDE = 128


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    actions = parser.add_subparsers(dest="action", metavar="list|make|show", required=True)
    actions.add_parser("list", help="list the sources of data")
    make = actions.add_parser("make", help="write videos of a source with their ground truth")
    make.add_argument("source", metavar="SOURCE", help="a name from `scenewise data list`, a file or a folder")
    add_source_options(make)
    make.add_argument("--out", required=True, metavar="PATH", help="file (h5) or folder (png, mp4) to write")
    make.add_argument("--videos", type=int, default=10, metavar="N", help="default: %(default)s")
    make.add_argument(
        "--format",
        choices=_FORMATS,
        help="h5: R-NEM's layout; png: frames and ids; mp4: films and ids; by --out if not given",
    )
    make.add_argument("--overwrite", action="store_true", help="replace what is there")
    show = actions.add_parser("show", help="print facts and write a contact sheet")
    show.add_argument("source", metavar="SOURCE", help="a name from `scenewise data list`, a file or a folder")
    add_source_options(show)
    show.add_argument("--index", type=int, default=0, metavar="N", help="which video; default: %(default)s")
    show.add_argument("--out", metavar="PNG", help="where the contact sheet goes; none is written without it")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    return {"list": _list, "make": _make, "show": _show}[args.action](args)


def _list(args: argparse.Namespace) -> int:
    from scenewise.data import SOURCES

    for name in SOURCES.names():
        maker = SOURCES.get(name)
        module = sys.modules[getattr(maker, "func", maker).__module__]
        print(f"{name:<20}{(module.__doc__ or '').strip().splitlines()[0]}")
    return 0


def _make(args: argparse.Namespace) -> int:
    if args.videos < 1:
        raise InputError("--videos", f"must be at least 1; found {args.videos}.")
    out = Path(args.out)
    kind = args.format or ("h5" if out.suffix.lower() in (".h5", ".hdf5") else "png")
    source = open_source(args.source, args.split, args.settings)
    if kind == "h5":
        _make_h5(source, out, args)
    else:
        _make_folder(source, out, kind, args)
    print(f"{args.videos} videos of {args.source} ({args.split}): {out}")
    return 0


def _make_h5(source: Source, out: Path, args: argparse.Namespace) -> None:
    from scenewise.data.balls import BallsSource
    from scenewise.data.rnem_h5 import write_rnem

    if not isinstance(source, BallsSource):
        raise InputError(args.source, "cannot be written as h5.", "Use --format png or mp4.")
    write_rnem(out, {args.split: source}, {args.split: args.videos}, args.overwrite)


def _make_folder(source: Source, out: Path, kind: str, args: argparse.Namespace) -> None:
    from scenewise.decompose.output import OutputFolder

    if args.videos > len(source):
        raise InputError("--videos", f"{args.source} has {len(source)} videos; found {args.videos}.")
    with OutputFolder(out, args.overwrite) as output:
        for index in range(args.videos):
            write_video(source.sample(index), output.path, f"{index:05d}", kind)
        output.commit()


def write_video(sample: Sample, folder: Path, name: str, kind: str, frame_rate: float = 12.0) -> None:
    """Write one video below a folder: `images/NAME/%05d.png` or `NAME.mp4`, and ids as `ids/NAME/%05d.png`.

    Args:
        sample: The video.
        folder: Where to; exists.
        name: Its name.
        kind: "png" or "mp4".
        frame_rate: Of an mp4, frames per second.
    """
    images = np.moveaxis(sample.frames, 1, -1)  # (T, H, W, C)
    images = np.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images
    if kind == "mp4":
        from scenewise.media import VideoWriter

        with VideoWriter(folder / f"{name}.mp4", images.shape[1:3], frame_rate) as writer:
            for image in images:
                writer.write(image)
    else:
        from PIL import Image

        place = folder / "images" / name
        place.mkdir(parents=True)
        for t, image in enumerate(images):
            Image.fromarray(image).save(place / f"{t:05d}.png")
    if sample.ids is not None:
        _write_ids(sample.ids, folder / "ids" / name)


def _write_ids(ids: np.ndarray, folder: Path) -> None:
    from scenewise.media import write_palette_png

    folder.mkdir(parents=True)
    for t, frame in enumerate(ids):
        write_palette_png(folder / f"{t:05d}.png", np.where(frame < 0, 255, frame))


def _show(args: argparse.Namespace) -> int:
    source = open_source(args.source, args.split, args.settings)
    for name, value in _facts(source, args).items():
        print(f"{name:<18}{value}")
    if not 0 <= args.index < len(source):
        raise InputError("--index", f"must lie in [0, {len(source) - 1}]; found {args.index}.")
    if args.out is not None:
        from PIL import Image

        from scenewise.media import atomic_file

        sheet = contact_sheet(source.sample(args.index))
        with atomic_file(args.out) as file:
            Image.fromarray(sheet).save(file, "PNG")
        print(f"{'contact sheet':<18}{args.out}")
    return 0


def _facts(source: Source, args: argparse.Namespace) -> dict[str, Any]:
    facts = source.facts
    height, width = facts.size
    return {
        "source": f"{args.source} ({args.split})",
        "origin": facts.origin,
        "videos": len(source),
        "frames": "varies" if facts.frames is None else facts.frames,
        "size": f"{height} x {width}, {facts.channels} channels",
        "most objects": "unknown" if facts.max_objects is None else facts.max_objects,
        "ground truth": f"ids, background {', '.join(map(str, facts.background_ids))}" if facts.has_ids else "none",
        "overlaps": {"top": "the visible object", "ignore": "ignored"}.get(facts.overlap, facts.overlap),
        "fingerprint": source.fingerprint(),
    }


def contact_sheet(sample: Sample) -> np.ndarray:
    """Return frames spread over a video side by side, ids below them, uint8, shape (H', W', 3)."""
    from scenewise.media.palette import voc_palette

    chosen = np.unique(np.linspace(0, len(sample.frames) - 1, _SHEET_FRAMES).astype(int))
    images = np.moveaxis(sample.frames[chosen], 1, -1)
    images = np.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images
    rows = [images]
    if sample.ids is not None:
        rows.append(voc_palette()[np.where(sample.ids[chosen] < 0, 255, sample.ids[chosen]) % 256])
    factor = max(1, _SHEET_SIDE // max(images.shape[1:3]))
    sheet = np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)
    return sheet.repeat(factor, axis=0).repeat(factor, axis=1)
