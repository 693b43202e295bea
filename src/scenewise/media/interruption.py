"""Ctrl-C and SIGTERM as a question that is asked between frames or steps, so that no file is left half-written."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType

NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


class Interruption:
    """While entered, the first Ctrl-C or SIGTERM is only noted; the second raises KeyboardInterrupt at once.

    Outside the main thread, where signals cannot be caught, nothing changes.

    Args:
        on_signal: Hears the name of the first one as it comes.

    Attributes:
        name: "Ctrl-C" or "SIGTERM", whichever came first; None while none has.

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

    def __call__(self) -> bool:
        """Return whether one has come."""
        return self.name is not None

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in NAMES}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.name is not None:
            raise KeyboardInterrupt
        self.name = NAMES[signal.Signals(number)]
        if self._on_signal is not None:
            self._on_signal(self.name)
