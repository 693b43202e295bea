"""The background picture of a whole video, made once and kept beside its decoded frames."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.data.footage import cache
from scenewise.data.footage.glimpses import small_size, spread
from scenewise.data.footage.inspect import glance
from scenewise.errors import InputError
from scenewise.media.files import atomic_file, writing
from scenewise.media.reader import VideoReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from scenewise.data.footage.background import Background

_VERSION = 1  # raise when the same frames give another picture
_FRAMES = 120  # evenly over the video
SIDE = 960  # longest side of the picture unless a size is asked for, pixels


def background(
    video: Any,
    *,
    size: int | tuple[int, int] | None = None,
    folder: str | Path | None = None,
    progress: Callable[[str, int, int | None], None] | None = None,
    **reading: Any,
) -> Background:
    """Return what a camera that stands still shows where nothing stands in the way.

    The emptiest picture over the whole video: things that stand still for most of it are not in it, as long as every
    place is seen empty in 4 % of the frames. Where it was not, `support` is low and `reasons` says so.

    Args:
        video: A path, a reader from `read_video`, or an array (T, H, W, C) of uint8.
        size: (H, W) of the picture, one number for a square; the video's own where None, at most 960 a side.
        folder: Where the picture of a file is kept; the user's cache folder where None.
        progress: Called with name, frames done and frames expected while a file is read.
        **reading: Options of `read_video` for a path: `crop`, `every`, `start`, `stop`, `layout`, `key`.

    Raises:
        InputError: The camera moves, there are fewer than 20 frames, or the video cannot be read.

    Examples:
        >>> video = np.full((30, 24, 32, 3), 200, np.uint8)
        >>> video[:27, 8:16, 8:16] = 20  # stands there nine tenths of the time
        >>> float(background(video).picture[12, 12, 0].round(2)), background(video).sound
        (0.78, True)
    """
    if isinstance(video, np.ndarray):
        return _emptiest(video)
    if isinstance(video, VideoReader):
        reader = video
    else:
        from scenewise.media.reading import read_video

        reader = read_video(video, **reading)
    wanted = (size, size) if isinstance(size, int) else size or reader.selection.size
    reader = reader.part(0, reader.length_hint or 1 << 40, wanted or small_size(reader.size, SIDE))
    stored = cache.place(reader, Path(folder) if folder else cache.default_folder(), f".background-{_VERSION}.npz")
    stored_picture = _read(stored, reader.size)
    if stored_picture is not None:
        return stored_picture
    check_still(reader)
    picture = _emptiest(spread(reader, _FRAMES, reader.size, progress))
    _write(stored, picture)
    return picture


def _emptiest(frames: np.ndarray) -> Background:
    from scenewise.data.footage.background import emptiest  # torch, which the look at the camera spares

    return emptiest(frames)


def check_still(reader: VideoReader) -> None:
    """Look at a few frames of a video, which takes a second or two, and refuse it where the camera moves.

    Raises:
        InputError: The camera moves, or the video cannot be read.
    """
    if glance(reader).moves:
        problem = "the camera moves: the whole picture shifts from frame to frame, so it has no background picture."
        remedy = "Steady it first (ffmpeg's vidstab filters), or name a part in which it rests with --start and --stop."
        raise InputError(reader.path, problem, remedy)


def _read(file: Path, size: tuple[int, int]) -> Background | None:
    """Return what was kept, or None where nothing whole is there."""
    if not file.is_file():
        return None
    from scenewise.data.footage.background import Background

    try:
        with np.load(file, allow_pickle=False) as stored:
            kept = Background(
                stored["picture"], stored["support"], float(stored["noise"]), tuple(map(str, stored["reasons"]))
            )
    except Exception:  # a damaged file raises anything; it is made again
        return None
    return kept if kept.picture.shape[:2] == size and kept.support.shape == size else None


def _write(file: Path, found: Background) -> None:
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(file) as stream:
        np.savez_compressed(
            stream,
            picture=found.picture,
            support=found.support,
            noise=np.float64(found.noise),
            reasons=np.array(found.reasons, dtype=np.str_),
        )
