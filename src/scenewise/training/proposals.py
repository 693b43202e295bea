"""What the recipe `footage` proposes for files nobody has described: found by looking at them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.data.footage.background import LEAST_FRAMES, emptiest
from scenewise.data.footage.inspect import inspect
from scenewise.data.footage.movers import Movers, movers
from scenewise.media.reading import read_videos

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scenewise.data.footage.inspect import FootageReport

_CLIPS = ((0, 1), (500, 3), (2000, 5))
"""Step and clip length: single frames first, which are learned soonest, then motion."""

_LOOK_SIDE = 160  # longest side of the frames in which objects are counted, pixels
_LOOK_FRAMES = 240  # of a file, evenly
_MOST_FILES = 4
_ROWS = (24, 32, 40, 48, 64)  # shorter side of training frames
_OBJECT_PIXELS = 3.9  # side of a small object in a training frame
_CLIP_LENGTH = 3
_STEPS, _COST = 700, 24 * 40 * 6  # steps that take five minutes of a core at so many pixels times slots
_FEWEST_STEPS = 300


def propose(files: Sequence[str | Path]) -> tuple[dict[str, Any], list[str]]:
    """Look at files and propose settings to train on them.

    Where the camera stands still and every place was seen empty, slots draw in windows over the background picture,
    which takes minutes; everywhere else every slot draws whole frames.

    Args:
        files: What the data source `footage` takes.

    Returns:
        Recipe settings as nested plain values, and the reasons, line by line.

    Raises:
        InputError: A file cannot be read.
    """
    report = inspect(files)
    paths = [str(Path(file).absolute()) for file in files]
    objects, why = _objects(files, report)
    if objects is not None:
        return _over_pictures(paths, report, objects)
    proposed = dict(report.settings)
    slots, length = proposed.pop("slots"), proposed["clip_length"]
    values = {
        "model": {"settings": {"slots": slots}},
        "data": {"source": "footage", "settings": {"files": paths, **proposed}},
        "training": {"curriculum": [[step, clip] for step, clip in _CLIPS if clip <= length]},
    }
    return values, [*report.lines(), *why]


def _objects(files: Sequence[str | Path], report: FootageReport) -> tuple[Movers | None, list[str]]:
    """Return the objects before the background, or None and why there is no sound background."""
    if not all(look.stationary for look in report.files):
        return None, []
    if len({look.size for look in report.files}) > 1:
        return None, ["files differ in size: no background pictures, slots draw whole frames"]
    found: list[Movers] = []
    size = _scaled(report.files[0].size, _LOOK_SIDE / max(report.files[0].size))
    readers = [reader for file in files for reader in read_videos(file, size=size)]
    for reader in readers[:: -(-len(readers) // _MOST_FILES)]:
        every = max(1, (reader.length_hint or 0) // _LOOK_FRAMES)
        again = next(r for r in read_videos(reader.path, size=size, every=every) if r.name == reader.name)
        frames = np.stack([frame.image for frame in again])
        if len(frames) < LEAST_FRAMES:
            return None, [f"{reader.name}: too few frames for a background picture; slots draw whole frames"]
        background = emptiest(frames)
        if not background.sound:
            return None, [f"{reader.name}: no sound background picture, {'; '.join(background.reasons)}"]
        found.append(movers(frames, background))
    values = (np.concatenate([getattr(one, name) for one in found]) for name in ("counts", "widths", "heights"))
    return Movers(*values), []


def _scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    return max(8, round(size[0] * min(scale, 1))), max(8, round(size[1] * min(scale, 1)))


def _over_pictures(paths: list[str], report: FootageReport, objects: Movers) -> tuple[dict[str, Any], list[str]]:
    """Propose slots in windows over background pictures."""
    sizes = [_with_rows(report.files[0].size, rows) for rows in _ROWS]
    size = next((size for size in sizes if objects.small(size) >= _OBJECT_PIXELS), sizes[-1])
    slots = min(max(objects.busy + 2, 3), 16)
    steps = max(_FEWEST_STEPS, min(_STEPS, round(_STEPS * _COST / (size[0] * size[1] * slots))))
    data = {
        "files": paths,
        "size": list(size),
        "clip_length": _CLIP_LENGTH,
        "background": "emptiest",
        "variation": {"clusters": True, "steps": 4, "flips": True, "shift": [size[0] // 12, size[1] // 10]},
    }
    training = {
        "steps": steps,
        "batch": 12,
        "warm_up": 50,
        "schedule": "cosine",
        "gradient_clip": 5000.0,
        "curriculum": [[0, 1], [min(150, steps // 4), _CLIP_LENGTH]],
        "validate_every": max(1, steps // 7),
        "images_every": max(1, steps // 2),
        "patience": 2,
    }
    lines = [
        *report.lines()[: len(report.files)],
        "camera still, every place seen empty: slots draw in windows over the background picture",
        f"{objects.counts.mean():.1f} objects in a frame on average, {objects.busy} in a busy one",
        f"size = {list(size)}: a small object is then {objects.small(size):.0f} pixels wide; the aspect stays.",
        f"slots = {slots}: the objects of a busy frame, one slot for the background and one spare.",
        f"steps = {steps}: about five minutes of one core; fewer where validation stops gaining.",
    ]
    settings = {"slots": slots}
    model = {"name": "provide-windows", "preset": "paper", "settings": settings}
    return {"model": model, "data": {"source": "footage", "settings": data}, "training": training}, lines


def _with_rows(size: tuple[int, int], rows: int) -> tuple[int, int]:
    """Return a size with a shorter side of `rows` and about the aspect of another; both divisible by 8."""
    longer = 8 * round(rows * max(size) / min(size) / 8)
    return (rows, longer) if size[0] <= size[1] else (longer, rows)
