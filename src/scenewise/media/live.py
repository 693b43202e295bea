"""Cameras and streams of the network: frames as they come, the newest one whenever the next is asked for."""

from __future__ import annotations

import re
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from scenewise.errors import InputError, describe
from scenewise.media.pixels import fit
from scenewise.media.reader import MediaFrame, VideoReader
from scenewise.media.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

SCHEMES = ("rtsp", "rtsps", "rtmp", "srt", "tcp", "udp")
"""Schemes of streams that are read."""

_CAMERA = re.compile(r"(?:camera:|/dev/video)(\d{1,3})")
_SECONDS_TO_WAIT = 10.0  # for a connection, and for the next frame
_REMEDY = "Check that it is there, and that no other program has it."


def is_live(source: object) -> bool:
    """Return whether a word names a camera or a stream, and no file.

    Examples:
        >>> [is_live(text) for text in ("camera:0", "/dev/video1", "rtsp://user:word@host/door", "clip.mp4")]
        [True, True, True, False]
    """
    return isinstance(source, str) and (bool(_CAMERA.fullmatch(source)) or urlsplit(source).scheme in SCHEMES)


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
        shown, name = _names(source)
        container, first = _open(source, shown)
        rate = container.streams.video[0].average_rate
        self._opened: tuple[Any, Any] | None = (container, first)
        super().__init__(Path(shown), name, (first.height, first.width), selection, float(rate) if rate else None)

    def __getstate__(self) -> dict[str, object]:
        """Leave the connection behind when pickled."""
        return {**super().__getstate__(), "_opened": None}

    def _read(self) -> Iterator[MediaFrame]:
        container, first = self._opened or _open(self._source, str(self.path))
        self._opened = None
        newest = _Newest(container, first, self.selection)
        try:
            for index, time_s, image in newest:
                self.selection.within(image.shape[:2], f"{self.path}, frame {index}")
                yield MediaFrame(index, time_s, fit(image, self.selection))
        finally:
            newest.end()
            if newest.lost:
                self.note(f"sent {newest.lost} frames while others were worked on, which were left out.")
            if newest.problem:
                self.note(f"ended: {newest.problem}.")


class _Newest:
    """Reads frames in a thread of its own, and yields the newest wanted one each time."""

    def __init__(self, container: Any, first: Any, selection: Selection) -> None:
        self.lost, self.problem = 0, ""
        self._container, self._first, self._selection = container, first, selection
        self._frame: tuple[int, float | None, np.ndarray] | None = None
        self._over = self._ending = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __iter__(self) -> Iterator[tuple[int, float | None, np.ndarray]]:
        """Yield index, seconds after the first frame, and RGB pixels."""
        self._thread.start()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._frame is not None or self._over)
                frame, self._frame = self._frame, None
            if frame is None:
                return
            yield frame

    def end(self) -> None:
        """Read no more, and let the connection go."""
        self._ending = True
        if self._thread.ident is not None:
            self._thread.join(2 * _SECONDS_TO_WAIT)

    def _run(self) -> None:
        try:
            self._take(0, self._first)
            for index, frame in enumerate(self._container.decode(video=0), 1):
                if self._ending or self._selection.ends_at(index):
                    break
                if self._selection.takes(index):
                    self._take(index, frame)
        except Exception as error:  # connections end in every kind of way
            self.problem = describe(error)
        finally:
            self._container.close()
            with self._changed:
                self._over = True
                self._changed.notify_all()

    def _take(self, index: int, frame: Any) -> None:
        if not self._selection.takes(index):
            return
        start, now = self._first.time, frame.time
        time_s = None if start is None or now is None else float(now - start)
        image = frame.to_ndarray(format="rgb24")
        with self._changed:
            self.lost += self._frame is not None
            self._frame = (index, time_s, image)
            self._changed.notify_all()


def _names(source: str) -> tuple[str, str]:
    """Return how a source is shown, without name and password, and the name of its folder of results."""
    camera = _CAMERA.fullmatch(source)
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

    camera = _CAMERA.fullmatch(source)
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
