"""What the recipe `footage` proposes for files nobody has described: found by looking at them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenewise.data.footage.cache import default_folder
from scenewise.data.footage.inspect import inspect
from scenewise.models.provide_windows import WindowSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scenewise.data.footage.inspect import FootageReport

_CLIPS = ((0, 1), (500, 3), (2000, 5))
"""Step and clip length: single frames first, which are learned soonest, then motion."""

_ROWS = (24, 32, 40, 48, 64)  # shorter side of training frames over a background picture
_OBJECT_PIXELS = 4.0  # side of a small object in such a frame
_CLIP_LENGTH = 3
_STEPS, _COST, _MINUTES = 700, 24 * 40 * 6, 5  # steps that take so long on a core at so many pixels times slots
_FEWEST_STEPS = 300


def propose(
    files: Sequence[str | Path],
    layout: str | None = None,
    key: str | None = None,
    stream: int | None = None,
    cache: str | None = None,
    notify: Callable[[str], None] | None = None,
    crop: Sequence[int] | None = None,
) -> tuple[dict[str, Any], list[str]]:
    """Look at files and propose settings to train on them.

    Where the camera stands still and every place was seen empty, slots draw in windows over the background picture,
    which takes minutes; everywhere else every slot draws whole frames.

    Args:
        files: What the data source `footage` takes.
        layout: Axes of array files.
        key: Name of the array in npz and h5 files.
        stream: Which video of files with several.
        cache: Folder for background pictures; that of decoded frames where None.
        notify: Told at once of a camera that moves; the look goes on.
        crop: The part (top, left, height, width) in source pixels to train on; chosen from what moves where None.

    Returns:
        Recipe settings as nested plain values, and the reasons, line by line.

    Raises:
        InputError: A file cannot be read, is too short, or never changes.
    """
    part = None if crop is None else (crop[0], crop[1], crop[2], crop[3])
    report = inspect(files, layout, key, stream, notify, part)
    proposed = dict(report.settings)
    slots, length = proposed.pop("slots"), proposed["clip_length"]
    options = {"layout": layout, "key": key, "stream": stream, "crop": None if part is None else list(part)}
    reading = {name: value for name, value in options.items() if value is not None}
    paths = [str(Path(file).absolute()) for file in files]
    pictures = [
        f"background picture: {path}" for path in report.save_pictures(Path(cache) if cache else default_folder())
    ]
    if report.fixed and len({look.size for look in report.files}) == 1:
        values, reasons = _over_pictures(report)
        values["data"]["settings"] |= {"files": paths, **reading}
        return values, [*report.facts(), *reasons, *pictures]
    values = {
        "model": {"settings": {"slots": slots, "pooling": 1}},  # the frames are small already
        "data": {"source": "footage", "settings": {"files": paths, **proposed, **reading}},
        "training": {"curriculum": [[step, clip] for step, clip in _CLIPS if clip <= length]},
    }
    return values, [*report.lines(), *pictures]


def _over_pictures(report: FootageReport) -> tuple[dict[str, Any], list[str]]:
    """Propose slots in windows over background pictures, and say why."""
    source = report.files[0].size
    sizes = [_with_rows(source, rows) for rows in _ROWS]
    small = {size: report.smallest * min(size) / min(source) for size in sizes}
    size = next((size for size in sizes if small[size] >= _OBJECT_PIXELS), sizes[-1])
    slots = min(max(report.objects + 2, 3), 16)
    steps = max(_FEWEST_STEPS, min(_STEPS, round(_STEPS * _COST / (size[0] * size[1] * slots))))
    minutes = max(1, round(_MINUTES * steps * size[0] * size[1] * slots / (_STEPS * _COST)))
    births, told = _births(report)
    data = {
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
    reasons = [
        "camera still, every place seen empty: slots draw in windows over the background picture",
        f"size = {list(size)}: a small object is then {small[size]:.0f} pixels wide; the aspect stays.",
        f"slots = {slots}: {report.objects} objects in a busy frame, one slot for the background and one spare.",
        f"steps = {steps}: about {minutes} minutes of one core; fewer where validation stops gaining.",
        *told,
        *(f"warning: {text}" for text in report.warnings),
    ]
    model = {"name": "provide-windows", "preset": "paper", "settings": {"slots": slots, **births}}
    return {"model": model, "data": {"source": "footage", "settings": data}, "training": training}, reasons


def _births(report: FootageReport) -> tuple[dict[str, Any], list[str]]:
    """Return settings with which slots are born on things of the contrast that was seen, and why.

    The model leaves most of a change of brightness to shadows and reflexes. Where that would hide half of all things,
    as in grey pictures, it must take brightness for a thing too.
    """
    whole, colour = report.contrast
    if not whole:
        return {}, []
    usual = WindowSettings()
    brightness = next((share for share in (usual.brightness, 0.35) if _left(report, share) > usual.strange[1]), 0.0)
    if _left(report, usual.brightness) > usual.strange[0]:
        return {}, []
    strange = [round(min(usual.strange[0], 0.35 * _left(report, brightness)), 3), 0.0]
    strange[1] = round(min(usual.strange[1], 0.55 * _left(report, brightness)), 3)
    windows = {"brightness": brightness, "strange": strange}
    reason = (
        f"windows.brightness = {brightness}, windows.strange = {strange}: things differ from the background by "
        f"{255 * whole:.0f}/255, and by {255 * colour:.0f} in more than brightness; shadows may count as things."
    )
    return {"windows": windows}, [reason]


def _left(report: FootageReport, share: float) -> float:
    """Return how much a typical thing differs from the background where a share of brightness does not count."""
    whole, colour = report.contrast
    return math.sqrt(colour**2 + (1 - share) ** 2 * max(0.0, whole**2 - colour**2))


def _with_rows(size: tuple[int, int], rows: int) -> tuple[int, int]:
    """Return a size with a shorter side of `rows` and about the aspect of another; both divisible by 8."""
    longer = 8 * round(rows * max(size) / min(size) / 8)
    return (rows, longer) if size[0] <= size[1] else (longer, rows)
