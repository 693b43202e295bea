"""What the recipe `footage` proposes for files nobody has described: found by looking at them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.data.footage.cache import default_folder
from scenewise.data.footage.inspect import inspect

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scenewise.data.footage.inspect import FootageReport

_CLIPS = ((0, 1), (500, 3), (2000, 5))
"""Step and clip length: single frames first, which are learned soonest, then motion."""

_ROWS = (24, 32, 40, 48, 64)  # shorter side of training frames over a background picture
_OBJECT_PIXELS = 4.0  # side of a small object in such a frame
_CLIP_LENGTH = 3
_STEPS, _BATCH, _COST, _MINUTES = 700, 12, 24 * 40 * 6, 5  # take so long on a core at so many pixels times slots
_FEWEST_STEPS, _SMALLEST_BATCH = 300, 2  # many things in a frame teach as much as few in many
_SPARE, _TOUCHING, _MOST_SLOTS = 2, 5, 48  # for background and a newcomer; of so many parts one may be two; at most
_FINER = 2  # sides of the frames that labels are read from over sides of those that are explained
_SIGMA = 4.0  # times the noise: patches of some pixels miss more of an object than noise
_LEAST_SIGMA, _MOST_SIGMA = 0.04, 0.12
_FAINT, _LEAST_FAINT, _MOST_FAINT = 2.0, 0.03, 0.06  # times the noise: nothing less is told from the wall
_STRANGE, _LEAST_STRANGE, _MOST_STRANGE = 0.5, 0.02, 0.05  # of a pale object's difference from the wall
_CLEAR = 1.6  # times that
_LEAST_AREA, _MOST_LEAST_AREA = 0.35, 0.003  # of a small object's area; share of a frame
_PALE = 20  # percentile of the contrasts of all that was seen
_COLOURFUL = 0.3  # share of an object's difference that is colour, where changes of brightness may be left out
_BRIGHTNESS = 0.75  # of a change of brightness that is then a shadow's


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
    slots = min(max(report.objects + _SPARE + report.objects // _TOUCHING, 3), _MOST_SLOTS)
    steps, batch, minutes = _effort(size, slots)
    finer = _FINER if all(_FINER * side <= whole for side, whole in zip(size, source, strict=True)) else 1
    frame = [finer * side for side in size]
    settings, why = _pixel_settings(report)
    area = (report.smallest / max(source)) * (report.smallest / min(source))
    least = round(min(max(_LEAST_AREA * area, _OBJECT_PIXELS / (size[0] * size[1])), _MOST_LEAST_AREA), 5)
    settings["windows"]["least_area"] = least
    if report.hues:
        settings["windows"]["hues"] = report.hues
        why.append(
            f"windows.hues = {report.hues}: things are of one hue each, and what is larger is of several: those that "
            "touch are told apart by it."
        )
    data = {
        "size": frame,
        "clip_length": _CLIP_LENGTH,
        "background": "emptiest",
        "variation": {"clusters": True, "steps": 4, "flips": True, "shift": [frame[0] // 12, frame[1] // 10]},
    }
    training = {
        "steps": steps,
        "batch": batch,
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
        f"size = {frame}, explained at {list(size)}: a small object is then {small[size]:.0f} pixels wide; "
        "the aspect stays.",
        f"slots = {slots}: {report.objects} objects in a busy frame, one slot for the background, "
        f"{_spare(slots, report)}.",
        *why,
        f"windows.least_area = {least}: of the frame; nothing smaller is an object.",
        f"steps = {steps} of {batch} clips: about {minutes} minutes of one core; fewer where validation stops gaining.",
        *(f"warning: {text}" for text in report.warnings),
    ]
    settings |= {"slots": slots, "pooling": finer}
    model = {"name": "provide-windows", "preset": "paper", "settings": settings}
    return {"model": model, "data": {"source": "footage", "settings": data}, "training": training}, reasons


def _pixel_settings(report: FootageReport) -> tuple[dict[str, Any], list[str]]:
    """Return how exact pixels are to be and what is taken for a shadow, and why."""
    noise = float(np.median([look.noise for look in report.files]))
    sigma = round(min(max(_SIGMA * noise / 255, _LEAST_SIGMA), _MOST_SIGMA), 2)
    faint = round(min(max(_FAINT * noise / 255, _LEAST_FAINT), _MOST_FAINT), 3)
    shares = np.concatenate([look.colourful for look in report.files])
    share = float(np.median(shares)) if shares.size else 1.0
    brightness = _BRIGHTNESS if share >= _COLOURFUL else 0.0
    taken = f"{brightness:.0%} of a change of brightness is a shadow's" if brightness else "changes of brightness count"
    pale = _pale_contrast(report, shares, brightness)
    limit = max([_LEAST_STRANGE, *(look.limit for look in report.files)])
    strange = round(min(max(_STRANGE * pale, limit), _MOST_STRANGE), 3)
    faint = min(faint, max(round(_LEAST_FAINT / _MOST_STRANGE * strange, 3), round(_FAINT * noise / 255, 3)))
    windows = {"brightness": brightness, "faint": faint, "strange": [strange, round(_CLEAR * strange, 3)]}
    return {"sigma": sigma, "windows": windows}, [
        f"sigma = {sigma}: {_SIGMA:.0f} times the noise of still pixels, {noise:.1f} of 255.",
        f"windows.strange = {strange}: pale objects differ from the wall by {pale:.2f} (length over the channels).",
        f"windows.faint = {faint}: what differs from the wall by less is the wall.",
        f"windows.brightness = {brightness}: {share:.0%} of how objects differ from the background is colour: {taken}.",
    ]


def _effort(size: tuple[int, int], slots: int) -> tuple[int, int, int]:
    """Return steps, clips in a batch, and about how many minutes of a core they take."""
    times = size[0] * size[1] * slots / _COST
    steps = max(_FEWEST_STEPS, min(_STEPS, round(_STEPS / times)))
    batch = max(_SMALLEST_BATCH, min(_BATCH, round(_BATCH * _STEPS / (steps * times))))
    return steps, batch, max(1, round(_MINUTES * times * steps * batch / (_STEPS * _BATCH)))


def _spare(slots: int, report: FootageReport) -> str:
    spare = slots - 1 - report.objects
    return "one spare" if spare == 1 else f"{max(spare, 0)} spare"


def _pale_contrast(report: FootageReport, colourful: np.ndarray, brightness: float) -> float:
    """Return by how much pale objects differ from the wall once a share of all changes of brightness is the wall's."""
    contrasts = np.concatenate([look.contrasts for look in report.files])
    if not contrasts.size:
        return 1.0
    along = (1 - brightness) * np.sqrt(1 - np.square(colourful).clip(0, 1))
    return float(np.percentile(contrasts * np.hypot(colourful, along), _PALE))


def _with_rows(size: tuple[int, int], rows: int) -> tuple[int, int]:
    """Return a size with a shorter side of `rows` and about the aspect of another; both divisible by 8."""
    longer = 8 * round(rows * max(size) / min(size) / 8)
    return (rows, longer) if size[0] <= size[1] else (longer, rows)
