"""Videos decoded once into plain arrays on disk, so that training reads any frame at any time in constant memory."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.data import fingerprints
from scenewise.data.containers.cache import user_cache
from scenewise.errors import InputError
from scenewise.media.files import atomic_file, describe

if TYPE_CHECKING:
    from collections.abc import Callable

    from scenewise.media.reader import VideoReader

_ELSEWHERE = "Set cache=FOLDER (data.settings.cache in training), or XDG_CACHE_HOME, to a folder you may write to."
_VERSION = 2  # raise when the same file and settings give other frames


def default_folder() -> Path:
    """Return where decoded footage is kept: `scenewise/footage` in the user's cache folder (XDG_CACHE_HOME).

    Raises:
        InputError: This user has no home.
    """
    folder = user_cache()
    if folder is None:
        raise InputError("cache", "this user has no home folder to keep decoded frames in.", _ELSEWHERE)
    return folder / "footage"


def make(folder: Path) -> None:
    """Make the folder where it is not there.

    Raises:
        InputError: It cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(folder, f"cannot be made to keep decoded frames in: {describe(error)}.", _ELSEWHERE) from error
    if not os.access(folder, os.W_OK):
        raise InputError(folder, "may not be written to keep decoded frames in.", _ELSEWHERE)


def decoded(reader: VideoReader, folder: Path, progress: Callable[[str, int, int | None], None] | None = None) -> Path:
    """Return the file with all frames of a video, decoding it if that has not been done.

    Args:
        reader: What to decode.
        folder: Cache folder; made where it is missing.
        progress: Called with name, frames done and frames expected (None where unknown) while decoding.

    Returns:
        An npy file, uint8, shape (T, H, W, C). It is complete or absent.

    Raises:
        InputError: The video cannot be read, or the folder cannot be written.
    """
    path = place(reader, folder, ".npy")
    if path.is_file() and _whole(path, reader):
        return path
    make(folder)
    with atomic_file(path) as file:
        file.write(_header(0, reader))
        count = 0
        for count, frame in enumerate(reader, 1):
            file.write(np.ascontiguousarray(frame.image).tobytes())
            if progress is not None:
                progress(reader.name, count, reader.length_hint)
        file.seek(0)
        file.write(_header(count, reader))
    return path


def place(reader: VideoReader, folder: Path, ending: str) -> Path:
    """Return the file for what follows from a video: another when its file or what is read of it changes.

    Args:
        reader: The video.
        folder: Cache folder.
        ending: What it is that follows.

    Raises:
        InputError: The video's file cannot be looked at.
    """
    return folder / f"{reader.name}-{_key(reader)}{ending}"


def contents(reader: VideoReader) -> str:
    """Return a hash of what a reader reads, the same for a copy elsewhere."""
    files = _files(reader.path)
    few = files[:: max(1, len(files) // 16)][:16]
    return fingerprints.of_values([fingerprints.of_file(file) for file in few], len(files), reader.name)


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]


def _key(reader: VideoReader) -> str:
    """Hash size and time of the files, and what is done to the frames."""
    try:
        states = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in _files(reader.path)]
    except OSError as error:
        raise InputError(reader.path, f"cannot be read: {error.strerror}.", "Check the path.") from error
    selection = reader.selection
    done = [
        selection.size,
        selection.crop,
        selection.every,
        selection.start,
        selection.stop,
        selection.channels,
        reader.size,
    ]
    if selection.stream is not None:
        done.append(selection.stream)
    return fingerprints.of_values(_VERSION, str(reader.path.absolute()), states, done)


def _header(frames: int, reader: VideoReader) -> bytes:
    """Return the head of an npy file; its length does not depend on the number of frames."""
    text = io.BytesIO()
    shape = (frames, *reader.size, reader.selection.channels)
    layout: dict[str, Any] = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(text, layout)
    return text.getvalue()


def _whole(path: Path, reader: VideoReader) -> bool:
    """Return whether a cached file can be used; one that was damaged is decoded again."""
    try:
        frames = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception:  # a damaged file raises anything
        return False
    shape = (*reader.size, reader.selection.channels)
    return isinstance(frames, np.ndarray) and frames.dtype == np.uint8 and frames.shape[1:] == shape
