"""The part of the frame that a model was trained on: a video like that of its training is shown to it in that part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenewise.media.reader import VideoReader
from scenewise.media.reading import read_video

if TYPE_CHECKING:
    from scenewise.checkpoint import Card


def in_trained_part(video: Any, reading: dict[str, Any], card: Card) -> tuple[Any, dict[str, Any]]:
    """Return a video, and the options to read it with, cut to the part its model was trained on.

    Only a file or reader is cut, where no other crop was asked for, and where its frames are as large as those of the
    training; if they are not, that is noted in its problems.

    Args:
        video: What `Decomposer.decompose` takes.
        reading: Options of `read_video` for a path.
        card: The model's.

    Raises:
        InputError: The file cannot be read.
    """
    if card.crop is None or not isinstance(video, (str, Path, VideoReader)):
        return video, reading
    reader = video if isinstance(video, VideoReader) else read_video(video, **reading)
    if reader.crop is not None:
        return video, reading
    if reader.source_size == card.source_size:
        return (reader.cropped(card.crop), {}) if reader is video else (video, {**reading, "crop": card.crop})
    height, width = card.source_size or (0, 0)
    reader.problems.append(
        f"the model was trained on a part of frames of {width}x{height}; these are of another size and shown whole. "
        "Choose the part with --crop."
    )
    return reader, {}
