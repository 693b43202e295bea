"""Locks between processes that go with the process, however it ends."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

from scenewise.media.files import writing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class BusyError(Exception):
    """Another process holds the lock."""


@contextmanager
def lock(path: Path, shared: bool = False) -> Iterator[IO[str]]:
    """Hold a file's lock; the operating system gives it back when this process ends, even when it is killed.

    Args:
        path: The file; it is made where it is not there, and stays.
        shared: Hold it beside others that hold it so; where the file system has no locks, such a one is not held.

    Yields:
        The open file: a process that inherits it holds the lock as long as it lives.

    Raises:
        BusyError: Another process (or another holder in this one) has it.
        InputError: The file cannot be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    with file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(str(path)) from None
        except OSError:
            if not shared:
                raise
        yield file


class FolderLock:
    """The lock of a folder itself, so that no file is left behind; it is given back on `release`, or with the process.

    Args:
        path: The folder.
        seconds: How long to wait for it.

    Attributes:
        real: Whether it is held; not every network file system has locks, and the work must go on there.

    Raises:
        BusyError: Another process (or another holder in this one) has it.

    Examples:
        >>> from pathlib import Path
        >>> first = FolderLock(Path("."))
        >>> FolderLock(Path("."))
        Traceback (most recent call last):
        ...
        scenewise.media.locks.BusyError: .
        >>> first.release()
        >>> FolderLock(Path(".")).release()
    """

    def __init__(self, path: Path, seconds: float = 0.0) -> None:
        self._handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)  # a pipe would wait for someone to write to it
        self.real, deadline = True, time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    self.release()
                    raise BusyError(str(path)) from None
                time.sleep(0.01)
            except OSError:
                self.real = False
                return
            else:
                return

    def release(self) -> None:
        """Give it back."""
        with suppress(OSError):  # given back already
            os.close(self._handle)
        self._handle = -1

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
