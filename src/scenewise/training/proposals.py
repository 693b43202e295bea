"""What the recipe `footage` proposes for files nobody has described: found by looking at them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenewise.data.footage.cache import default_folder
from scenewise.data.footage.inspect import inspect

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_CLIPS = ((0, 1), (500, 3), (2000, 5))
"""Step and clip length: single frames first, which are learned soonest, then motion."""


def propose(
    files: Sequence[str | Path],
    layout: str | None = None,
    key: str | None = None,
    stream: int | None = None,
    notify: Callable[[str], None] | None = None,
) -> tuple[dict[str, Any], list[str]]:
    """Look at files and propose settings to train on them.

    Args:
        files: What the data source `footage` takes.
        layout: Axes of array files.
        key: Name of the array in npz and h5 files.
        stream: Which video of files with several.
        notify: Told at once of a camera that moves; the look goes on.

    Returns:
        Recipe settings as nested plain values, and the reasons, line by line.

    Raises:
        InputError: A file cannot be read, is too short, or never changes.
    """
    report = inspect(files, layout, key, stream, notify)
    proposed = dict(report.settings)
    slots, length = proposed.pop("slots"), proposed["clip_length"]
    reading = {"layout": layout, "key": key, "stream": stream}
    proposed |= {name: value for name, value in reading.items() if value is not None}
    paths = [str(Path(file).absolute()) for file in files]
    values = {
        "model": {"settings": {"slots": slots, "pooling": 1}},  # the frames are small already
        "data": {"source": "footage", "settings": {"files": paths, **proposed}},
        "training": {"curriculum": [[step, clip] for step, clip in _CLIPS if clip <= length]},
    }
    pictures = [f"background picture: {path}" for path in report.save_pictures(default_folder())]
    return values, [*report.lines(), *pictures]
