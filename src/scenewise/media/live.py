"""Cameras and streams of the network: frames as they come, the newest one whenever the next is asked for."""

from __future__ import annotations

import itertools
import re
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from scenewise.errors import InputError, describe
from scenewise.media.interruption import NativeThread
from scenewise.media.reader import MediaFrame, Selection, VideoReader, fit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SCHEMES = ("rtsp", "rtsps", "rtmp", "srt", "tcp", "udp")
"""Schemes of streams that are read."""


CAMERA = re.compile(r"(?:camera:|/dev/video)(\d{1,3})")
"""Names of cameras, and their numbers."""

_SECONDS_TO_WAIT = 10.0  # for a connection, and for the next frame
_REMEDY = "Check that it is there, and that no other program has it."


class LiveReader(VideoReader):
    """Frames of a camera or stream, until it ends, `stop` is reached or nobody asks any more; see `VideoReader`.

    A thread reads what comes and holds the newest frame: who takes longer for a frame than the camera gets later
    frames, not old ones, and `problems` tells how many were left out. Names and passwords in an address are shown and
    written nowhere.

    Args:
        source: "camera:0" or "/dev/video0", or an address such as "rtsp://host/door".
        selection: What is wanted; `every`, `start` and `stop` count the frames that come.

    Raises:
        InputError: It cannot be opened, or sends no picture.
    """

    def __init__(self, source: str, selection: Selection) -> None:
        self._source = source
        shown, name = names_of(source)
        container, first = _open(source, shown)
        rate = container.streams.video[0].average_rate
        self._opened: tuple[Any, Any] | None = (container, first)
        super().__init__(Path(shown), name, (first.height, first.width), selection, float(rate) if rate else None)

    def __getstate__(self) -> dict[str, object]:
        """Leave the connection behind when pickled."""
        return {**super().__getstate__(), "_opened": None}

    def _read(self) -> Iterator[MediaFrame]:
        opened, self._opened = self._opened, None
        newest = Newest(lambda: _frames(self._source, self.selection, opened))
        try:
            while (frame := newest.take()) is not None:
                self.selection.within(frame.image.shape[:2], f"{self.path}, frame {frame.index}")
                yield MediaFrame(frame.index, frame.time_s, fit(frame.image, self.selection))
        finally:
            newest.end()
            if newest.lost:
                self.note(f"sent {newest.lost} frames while others were worked on, which were left out.")
            if newest.error is not None:
                self.note(f"ended: {describe(newest.error)}.")


class Newest:
    """Reads frames in a thread of its own, and hands out the newest one each time.

    Args:
        frames: Yields them as they come.

    Attributes:
        lost: Frames that came while others were worked on, so far.
        index: Of the frame that came last; -1 before the first.
        error: What ended the frames, where something did.
    """

    def __init__(self, frames: Callable[[], Iterator[MediaFrame]]) -> None:
        self.lost, self.index = 0, -1
        self.error: Exception | None = None
        self._frames: Any = frames
        self._frame: MediaFrame | None = None
        self._over = self._ending = False
        self._changed = threading.Condition()
        self._thread = NativeThread(self._run, "live")
        self._thread.start()

    @property
    def over(self) -> bool:
        """Whether no more frames come."""
        return self._over

    def take(self, seconds: float | None = None) -> MediaFrame | None:
        """Wait for a frame that was not handed out yet and return it; None where there is none any more, or in time.

        Args:
            seconds: To wait; None for as long as it takes.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None or self._over, seconds)
            frame, self._frame = self._frame, None
            return frame

    def end(self) -> None:
        """Read no more, and let the connection go."""
        self._ending = True
        self._thread.join(2 * _SECONDS_TO_WAIT)

    def _run(self) -> None:
        frames = self._frames()
        try:
            for frame in frames:
                with self._changed:
                    self.lost += self._frame is not None
                    self._frame, self.index = frame, frame.index
                    self._changed.notify_all()
                if self._ending:
                    break
        except Exception as error:  # connections end in every kind of way
            self.error = error
        finally:
            frames.close()
            with self._changed:
                self._over = True
                self._changed.notify_all()


def live_frames(source: str) -> Iterator[MediaFrame]:
    """Yield all frames of a camera or a stream as they come, RGB, of the size they have.

    Args:
        source: As `LiveReader` takes it.

    Raises:
        InputError: It cannot be opened, or sends no picture.
    """
    return _frames(source, Selection(), None)


def _frames(source: str, selection: Selection, opened: tuple[Any, Any] | None) -> Iterator[MediaFrame]:
    """Yield the wanted frames of a connection, which is opened first where it is not yet."""
    container, first = opened or _open(source, names_of(source)[0])
    with container:
        frames = itertools.chain([first], container.decode(video=0))
        for index, frame in enumerate(frames):
            if index and selection.ends_at(index):
                return
            if selection.takes(index):
                has_times = first.time is not None and frame.time is not None
                time_s = float(frame.time - first.time) if has_times else None
                yield MediaFrame(index, time_s, frame.to_ndarray(format="rgb24"))


def names_of(source: str) -> tuple[str, str]:
    """Return how a source is shown, without name and password, and the name of its folder of results.

    Examples:
        >>> names_of("rtsp://user:word@host/door")
        ('rtsp:/host/door', 'host_door')
    """
    camera = CAMERA.fullmatch(source)
    if camera:
        return f"camera:{camera.group(1)}", f"camera-{camera.group(1)}"
    parts = urlsplit(source)
    shown = f"{parts.scheme}:/{parts.netloc.rpartition('@')[2]}{parts.path}"
    return shown, re.sub(r"[^\w.-]+", "_", f"{parts.hostname or ''}{parts.path}").strip("._-")[:80] or parts.scheme


def _open(source: str, shown: str) -> tuple[Any, Any]:
    """Return the open connection and its first frame.

    Raises:
        InputError: There is none.
    """
    import av

    camera = CAMERA.fullmatch(source)
    address, kind, options = source, None, {"rtsp_transport": "tcp"} if source.startswith("rtsp") else {}
    if camera and sys.platform == "darwin":
        address, kind, options = camera.group(1), "avfoundation", {"framerate": "30"}
    elif camera:
        address, kind = f"/dev/video{camera.group(1)}", "v4l2"
    try:
        container = av.open(address, format=kind, options=options, timeout=_SECONDS_TO_WAIT)
    except Exception as error:  # drivers and servers refuse in every kind of way
        raise InputError(shown, f"cannot be opened: {describe(error)}.", _REMEDY) from error
    try:
        return container, next(container.decode(video=0))
    except Exception as error:
        container.close()
        raise InputError(shown, f"sends no picture: {describe(error)}.", _REMEDY) from error
