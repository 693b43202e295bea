"""What is opened once in every process: files cannot be shared with processes that load data."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from scenewise.media.files import FileLength
from scenewise.media.npy import check_mapped

if TYPE_CHECKING:
    from collections.abc import Callable


class PerProcess:
    """Something opened when first asked for, and again by every other process that asks.

    Args:
        opener: A function of a module, so that this can be handed to another process.
        path: Its first argument, the file; or a folder.
        *args: Its other arguments.
    """

    def __init__(self, opener: Callable[..., Any], path: str, *args: Any) -> None:
        self._opener, self._path, self._args = opener, path, args
        self._now: tuple[int, Any, FileLength] | None = None

    def get(self) -> Any:
        """Return what the opener returned in this process.

        Raises:
            InputError: It is an array whose file has become shorter meanwhile.
        """
        if self._now is None or self._now[0] != os.getpid():
            opened = self._opener(self._path, *self._args)
            self._now = (os.getpid(), opened, FileLength(self._path))
        check_mapped(self._now[1])
        return self._now[1]

    def check(self) -> None:
        """Check, after a read, that the file is still as long as it was; see `FileLength`."""
        if self._now is not None:
            self._now[2].check()

    def __getstate__(self) -> dict[str, Any]:
        """Leave what is open behind."""
        return {**self.__dict__, "_now": None}
