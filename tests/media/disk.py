"""Disks that fill up."""

import errno
import math
from pathlib import Path

import pytest


class LimitedFile:
    """A file that can hold `limit` bytes, which a test may lower at any time."""

    def __init__(self, file):
        self._file, self.limit = file, math.inf

    def write(self, content):
        room = max(0, self.limit - self._file.tell())
        if not room and len(content):
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._file.write(bytes(content)[: room if room < math.inf else None])

    def __getattr__(self, name):
        return getattr(self._file, name)


def opened_by(make):
    """Return what `make` returns, and the file that it opened meanwhile, as one that can be limited."""
    files, opening = [], Path.open
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", lambda *a, **k: files.append(LimitedFile(opening(*a, **k))) or files[-1])
        writer = make()
    (file,) = files
    return writer, file
