"""Frames on their way to the writers, which work on a thread or in a process of their own while the model goes on."""

from __future__ import annotations

import ctypes
import os
import pickle
import select
import signal
import sys
import threading
import traceback
import warnings
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar

from scenewise.errors import InputError
from scenewise.media.interruption import NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from scenewise.decomposition import FrameResult

T = TypeVar("T")

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
        >>> from scenewise.decomposition import FrameResult
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

    def ask(self, method: Callable[..., T], *arguments: Any) -> T:
        """Return what a method gives once all frames are written.

        Raises:
            Exception: What went wrong with one, or in the method.
        """
        self.wait()
        return method(*arguments)

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


class Apart:
    """As `Feed`, but what writes is in a process of its own, a copy of this one from when the block begins.

    Python lets one thread of a process compute at a time; a model of hundreds of small operations a frame and writers
    of as many, on two threads, wait for each other most of the time. Frames go through a pipe, and as many as in a
    `Feed` may wait in the other process. Signals are this process's affair: the other one lives as long as this one.

    Args:
        writers: What writes; its `add` takes in frames, and is never called twice at a time.
        shared: What frames refer to and the copy has too, such as a model; it is not sent.

    Attributes:
        process: Number of the other process.
    """

    def __init__(self, writers: Takes, shared: Sequence[object] = ()) -> None:
        self._writers, self._shared = writers, tuple(shared)
        self.process, self._ended = 0, False
        self._frames: Any = None
        self._replies: Any = None

    @staticmethod
    def possible() -> bool:
        """Return whether this process may be copied, and the copy has a core of its own."""
        here = threading.current_thread() is threading.main_thread()
        return sys.platform == "linux" and here and len(os.sched_getaffinity(0)) > 1

    def put(self, frame: FrameResult) -> None:
        """Hand a frame over, as soon as there is room.

        Raises:
            Exception: What went wrong with an earlier one.
        """
        if select.select([self._replies], [], [], 0)[0]:
            self._receive()  # nothing was asked, so something went wrong
        self._send(frame)

    def ask(self, method: Callable[..., T], *arguments: Any) -> T:
        """Return what a method of the writers gives once all frames are written.

        Raises:
            Exception: What went wrong with one, or in the method.
        """
        self._send((method.__name__, arguments))
        answer: T = self._receive()
        return answer

    def wait(self) -> None:
        """Wait until all frames are written; see `Feed.wait`."""
        self._send(("", ()))
        self._receive()

    def __enter__(self) -> Apart:
        sys.stdout.flush()
        sys.stderr.flush()
        import fcntl  # of Linux, like all of this

        frames, replies, parent = os.pipe(), os.pipe(), os.getpid()
        with suppress(OSError):  # a pipe holds some frames, where that is allowed
            fcntl.fcntl(frames[1], fcntl.F_SETPIPE_SZ, 1 << 20)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # other threads: none of theirs is wanted in the copy
            self.process = os.fork()
        if not self.process:
            os.close(frames[1])
            os.close(replies[0])
            _serve(self._writers, self._shared, open(frames[0], "rb"), open(replies[1], "wb"), parent)
        os.close(frames[0])
        os.close(replies[1])
        self._frames = open(frames[1], "wb", buffering=1 << 16)
        self._replies = open(replies[0], "rb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if not self._ended and (error is None or isinstance(error, Exception)):
                self.wait()
        finally:
            with suppress(OSError):
                self._frames.close()
            self._replies.close()
            os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)

    def _send(self, message: object) -> None:
        try:
            _Pickler(self._frames, self._shared).dump(message)
            self._frames.flush()
        except BrokenPipeError:
            self._receive()

    def _receive(self) -> Any:
        """Return an answer, or raise what went wrong instead."""
        try:
            error, answer = pickle.load(self._replies)
        except (EOFError, pickle.UnpicklingError):
            self._ended = True
            remedy = "Most often memory has run out; try fewer inputs at a time, or a smaller size."
            raise InputError("output", "the process that writes files was killed.", remedy) from None
        if error is not None:
            self._ended = True
            raise error
        return answer


class Takes(Protocol):
    """What takes in frames."""

    def add(self, frame: FrameResult) -> None:
        """Take in the next frame."""


class _Pickler(pickle.Pickler):
    """Leaves out what both processes have, and sends tensors as the arrays that they are."""

    def __init__(self, file: Any, shared: Sequence[object]) -> None:
        super().__init__(file, protocol=5)
        self._places = {id(thing): place for place, thing in enumerate(shared)}

    def persistent_id(self, thing: Any) -> int | None:
        """Return the place of what is not sent."""
        return self._places.get(id(thing))

    def reducer_override(self, thing: Any) -> Any:
        """Return how a tensor is made of its array; everything else is sent as ever."""
        import torch

        if type(thing) is torch.Tensor and thing.dtype != torch.bfloat16:
            return torch.from_numpy, (thing.detach().numpy(),)
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Any, shared: Sequence[object]) -> None:
        super().__init__(file)
        self._shared = shared

    def persistent_load(self, place: Any) -> object:
        """Return what was not sent."""
        return self._shared[place]


def _serve(writers: Takes, shared: Sequence[object], frames: Any, replies: Any, parent: int) -> NoReturn:
    """Take in frames and answer questions, as the other process, until there are no more; never returns."""
    try:
        for number in NAMES:
            signal.signal(number, signal.SIG_IGN)
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: end with who made this process, in whatever way
        if os.getppid() != parent:
            os._exit(1)
        with Feed(writers.add) as feed:
            while (message := _next(frames, shared)) is not None:
                if not isinstance(message, tuple):
                    feed.put(message)
                    continue
                feed.wait()
                name, arguments = message
                _answer(replies, None, getattr(writers, name)(*arguments) if name else None)
    except BaseException as error:  # whatever it is, it is told to whom the frames come from
        with suppress(OSError):
            _answer(replies, error, None)
    finally:
        os._exit(0)


def _next(frames: Any, shared: Sequence[object]) -> Any:
    """Return the next message, None at the end."""
    try:
        return _Unpickler(frames, shared).load()
    except EOFError:
        return None


def _answer(replies: Any, error: BaseException | None, answer: object) -> None:
    try:
        text = pickle.dumps((error, answer))
        pickle.loads(text)
    except Exception:  # errors of libraries are made of things that no other process can be given
        told = RuntimeError("".join(traceback.format_exception(error)))
        text = pickle.dumps((told, None))
    replies.write(text)
    replies.flush()
