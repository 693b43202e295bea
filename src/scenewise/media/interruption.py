"""Ctrl-C, SIGTERM and SIGHUP as a question asked between frames or steps, so that no file is left half-written."""

from __future__ import annotations

import os
import signal
import stat
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType, TracebackType

NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
if hasattr(signal, "SIGHUP"):  # the terminal or the connection has gone; Windows has none
    NAMES[signal.SIGHUP] = "SIGHUP"


def exit_code(name: str | None) -> int:
    """Return the exit code of a process that a signal of this name has ended: 130 for Ctrl-C, 143 for the others.

    Args:
        name: One of `NAMES`; anything else, as "time limit" or None, ended nothing before its time.

    Examples:
        >>> [exit_code(name) for name in ("Ctrl-C", "SIGTERM", "SIGHUP", None)]
        [130, 143, 143, 0]
    """
    if name not in NAMES.values():
        return 0
    return 130 if name == "Ctrl-C" else 143


class NativeThread(threading.Thread):
    """A daemon thread that may be in native code, which nothing can call back, when the process is to end.

    Attributes:
        begun: Whether this process has started any.
    """

    begun: bool = False

    def __init__(self, run: Callable[[], None], name: str) -> None:
        super().__init__(target=run, name=name, daemon=True)

    def start(self) -> None:
        """Start it."""
        NativeThread.begun = True
        super().start()


def leave(code: int) -> int:
    """Return an exit code; where a `NativeThread` has been at work, end the process here, with that code.

    The interpreter's own end frees what such a thread may still use, and throws the thread out of whatever C++ it comes
    back from, which aborts the process; where all is quiet it takes a second to free what the system frees anyway. Call
    it last, when files are closed and folders are gone: nothing that is registered with `atexit` is called.
    """
    if not NativeThread.begun:
        return code
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # whoever read it has gone
            stream.flush()
    os._exit(code)


@contextmanager
def ending_cleanly() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block as Ctrl-C does, by KeyboardInterrupt, so that nothing half-written stays.

    The error's text is the signal's name. Nothing changes outside the main thread, for a signal that is ignored, as
    `nohup` has it, and for one that the surrounding program handles itself.

    Examples:
        >>> try:
        ...     with ending_cleanly():
        ...         signal.raise_signal(signal.SIGTERM)
        ... except KeyboardInterrupt as interrupt:
        ...     str(interrupt)
        'SIGTERM'
    """

    def end(number: int, frame: FrameType | None) -> None:
        _let_go_of_terminal(number)
        raise KeyboardInterrupt(NAMES[signal.Signals(number)])

    here = threading.current_thread() is threading.main_thread()
    unhandled = [number for number in NAMES if here and signal.getsignal(number) is signal.SIG_DFL]
    for number in unhandled:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in unhandled:
            signal.signal(number, signal.SIG_DFL)


def _let_go_of_terminal(number: int) -> None:
    """After SIGHUP let output go nowhere: a terminal that has gone answers every line with an error."""
    if NAMES[signal.Signals(number)] != "SIGHUP":
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        with suppress(OSError):
            if stat.S_ISCHR(os.fstat(stream).st_mode):
                os.dup2(nowhere, stream)
    os.close(nowhere)


class Interruption:
    """While entered, the first Ctrl-C, SIGTERM or SIGHUP is only noted; the second raises KeyboardInterrupt at once.

    Outside the main thread, where signals cannot be caught, nothing changes; nor for a signal that this process has
    been told to ignore, as `nohup` does with SIGHUP.

    Args:
        on_signal: Hears the name of the first one as it comes.

    Attributes:
        name: "Ctrl-C", "SIGTERM" or "SIGHUP", whichever came first; None while none has.

    Examples:
        >>> with Interruption() as stop:
        ...     before = stop()
        ...     signal.raise_signal(signal.SIGTERM)
        ...     before, stop(), stop.name
        (False, True, 'SIGTERM')
    """

    def __init__(self, on_signal: Callable[[str], None] | None = None) -> None:
        self.name: str | None = None
        self._on_signal = on_signal
        self._before: dict[int, Any] = {}

    @property
    def exit_code(self) -> int:
        """Exit code of a process that ends because of it, 0 while none has come."""
        return exit_code(self.name)

    def __call__(self) -> bool:
        """Return whether one has come."""
        return self.name is not None

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            heard = [number for number in NAMES if signal.getsignal(number) is not signal.SIG_IGN]
            self._before = {number: signal.signal(number, self._note) for number in heard}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        _let_go_of_terminal(number)
        name = NAMES[signal.Signals(number)]
        if self.name is not None:
            raise KeyboardInterrupt(name)
        self.name = name
        if self._on_signal is not None:
            self._on_signal(self.name)
