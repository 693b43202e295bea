"""Frames on their way to the writers, which work on a thread of their own while the model explains the next ones."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from scenewise.frame_result import FrameResult

MOST_FRAMES = 8
"""Frames that wait at most."""

MOST_BYTES = 32 << 20
"""Bytes of their arrays that wait at most; one frame may always wait."""


class Feed:
    """Hands frames to a function on another thread, in their order; a few may wait.

    As a context manager it lets all frames be written at the end of the block. After an error in the block too, since
    what went wrong with an earlier frame is told first; but not after Ctrl-C.

    Args:
        write: Takes in a frame; never called twice at a time.

    Examples:
        >>> import numpy as np
        >>> from scenewise.frame_result import FrameResult
        >>> image, slots = np.zeros((2, 2, 3), np.uint8), np.zeros((1, 2, 2), np.float32)
        >>> frames = [FrameResult(n, None, image, slots[0], slots, image, image, slots, slots, 0, 0, 0) for n in (1, 2)]
        >>> written = []
        >>> with Feed(lambda frame: written.append(frame.index)) as feed:
        ...     for frame in frames:
        ...         feed.put(frame)
        >>> written
        [1, 2]
    """

    def __init__(self, write: Callable[[FrameResult], None]) -> None:
        self._write = write
        self._waiting: deque[tuple[FrameResult, int]] = deque()
        self._bytes = 0
        self._busy = self._ended = False
        self._error: BaseException | None = None
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="scenewise-writers", daemon=True)

    def put(self, frame: FrameResult) -> None:
        """Hand a frame over, as soon as there is room.

        Raises:
            Exception: What went wrong with an earlier one.
        """
        size = frame.nbytes
        with self._change:
            self._change.wait_for(lambda: self._error is not None or self._has_room(size))
            self._check()
            self._waiting.append((frame, size))
            self._bytes += size
            self._change.notify_all()

    def wait(self) -> None:
        """Wait until all frames are written.

        Raises:
            Exception: What went wrong with one.
        """
        with self._change:
            self._change.wait_for(lambda: self._error is not None or not (self._waiting or self._busy))
            self._check()

    def __enter__(self) -> Feed:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        at_once = error is not None and not isinstance(error, Exception)
        with self._change:
            if at_once:
                self._waiting.clear()
            self._ended = True
            self._change.notify_all()
        self._thread.join()
        if not at_once and error is not self._error:
            self._check()

    def _has_room(self, size: int) -> bool:
        full = len(self._waiting) >= MOST_FRAMES or self._bytes + size > MOST_BYTES
        return not self._waiting or not full

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while self._write_next():
            pass

    def _write_next(self) -> bool:
        """Write the next frame, when there is one; returns whether more may come."""
        with self._change:
            self._change.wait_for(lambda: self._waiting or self._ended)
            if not self._waiting:
                return False
            frame, size = self._waiting.popleft()
            self._bytes -= size
            self._busy = True
            self._change.notify_all()
        try:
            self._write(frame)
        except BaseException as error:  # whatever it is, it is told to whom the frames come from
            self._error = error
            self._waiting.clear()
        with self._change:
            self._busy = False
            self._change.notify_all()
        return self._error is None
