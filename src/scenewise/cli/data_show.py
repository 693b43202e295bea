"""scenewise data show: facts, a contact sheet and a film of a source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.cli.options import open_source
from scenewise.cli.output import say
from scenewise.errors import InputError

if TYPE_CHECKING:
    import argparse

    from scenewise.data.contract import Sample, Source

_IMAGES = 12
_FRAME_RATE = 8.0


def run(args: argparse.Namespace) -> int:
    """Print facts and write what is asked for."""
    source = open_source(args.source, args.split, args.settings)
    facts = _facts(source, args)
    for name, value in facts.items():
        _tell(name, value)
    if not 0 <= args.index < len(source):
        raise InputError("--index", f"must lie in [0, {len(source) - 1}]; found {args.index}.")
    args.answer = {name.replace(" ", "_"): value for name, value in facts.items()} | {"files": [], "extras": {}}
    if args.out is None:
        return 0
    if Path(args.out).suffix.lower() == ".png":
        from scenewise.data.sheets import frames_and_ids

        _write_png(Path(args.out), frames_and_ids(source.sample(args.index)))
        _tell("contact sheet", args.out)
        args.answer["files"].append(args.out)
    else:
        _show_in(Path(args.out), source, args)
    return 0


def _tell(name: str, value: object) -> None:
    say(f"{name:<18}{value}")


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


def _show_in(folder: Path, source: Source, args: argparse.Namespace) -> None:
    """Write a sheet with objects and, of what moves, a film into a folder."""
    from scenewise.data.sheets import with_objects
    from scenewise.media.files import writing

    with writing(folder / "sheet.png"):
        folder.mkdir(parents=True, exist_ok=True)
    samples = [source.sample(args.index)]
    if len(samples[0].frames) == 1:
        samples += [source.sample(n) for n in range(args.index + 1, min(args.index + _IMAGES, len(source)))]
    name = f"{Path(args.source).stem}-{args.index}"
    _write_png(folder / f"{name}.png", with_objects(samples, source.facts.background_ids))
    _tell("contact sheet", folder / f"{name}.png")
    args.answer["files"].append(folder / f"{name}.png")
    for key, value in samples[0].extras.items():
        text = str(value)
        if isinstance(value, np.ndarray):
            text = f"{'texts' if value.dtype.kind == 'U' else value.dtype.name} {value.shape}"
        elif len(text) > 60:
            text = f"{type(value).__name__} of {len(value)}"
        args.answer["extras"][key] = text
        _tell(f"  {key}", text)
    if len(samples[0].frames) > 1 and "viewpoints" not in samples[0].extras:
        _film(samples[0], folder / f"{name}.mp4")
        _tell("film", folder / f"{name}.mp4")
        args.answer["files"].append(folder / f"{name}.mp4")


def _film(sample: Sample, path: Path) -> None:
    """Write frames and, beside them, ids as an mp4."""
    from scenewise.data.sheets import as_colours, as_palette, enlarged
    from scenewise.media import VideoWriter

    parts = [enlarged(as_colours(sample.frames))]
    if sample.ids is not None:
        parts.append(enlarged(as_palette(sample.ids)))
    images = np.concatenate(parts, axis=2)
    with VideoWriter(path, images.shape[1:3], _FRAME_RATE) as writer:
        for image in images:
            writer.write(image)


def _write_png(path: Path, image: np.ndarray) -> None:
    from PIL import Image

    from scenewise.media import atomic_file

    with atomic_file(path) as file:
        Image.fromarray(image).save(file, "PNG")
