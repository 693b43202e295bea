"""Folders that appear complete or not at all."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from scenewise.errors import InputError
from scenewise.media.files import write_problem

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType


class OutputFolder:
    """A folder that is filled under a hidden name beside its place and takes its name on `commit`.

    As a context manager it removes what was not committed, and the folders made on the way there.

    Args:
        target: The folder.
        overwrite: Replace a folder that holds files.

    Raises:
        InputError: The folder is taken or cannot be made.

    Examples:
        >>> with OutputFolder(Path("out")) as folder:
        ...     _ = (folder.path / "run.json").write_text("[]")
        ...     before = Path("out").exists()
        ...     _ = folder.commit()
        >>> before, Path("out", "run.json").exists()
        (False, True)
    """

    def __init__(self, target: Path, overwrite: bool = False) -> None:
        self.target = target.absolute()
        check_free(self.target, overwrite)
        self._made: list[Path] = []
        try:
            self._make_parents()
            self.path = Path(
                tempfile.mkdtemp(prefix=f".{self.target.name[:80]}.", suffix=".part", dir=self.target.parent)
            )
            self.path.chmod(0o755)
        except OSError as error:
            self._unmake()
            raise _problem(self.target, error) from error

    def commit(self) -> Path:
        """Give the folder its name, in place of an older one.

        Raises:
            InputError: It cannot be renamed.
        """
        try:
            older = self.path.with_suffix(".old")
            if self.target.is_dir() and any(self.target.iterdir()):
                self.target.rename(older)
            self.path.rename(self.target)
            shutil.rmtree(older, ignore_errors=True)
        except OSError as error:
            raise _problem(self.target, error) from error
        self._made = []
        return self.target

    def __enter__(self) -> OutputFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        self._unmake()

    def _make_parents(self) -> None:
        missing = [p for p in self.target.parents if not p.exists()]
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True)
            self._made.append(folder)

    def _unmake(self) -> None:
        for folder in reversed(self._made):
            with suppress(OSError):  # something else has been put there
                folder.rmdir()


def check_free(target: Path, overwrite: bool = False) -> None:
    """Raise InputError where a folder of that name holds files and may not be replaced, or a file has the name.

    Examples:
        >>> Path("out").mkdir()
        >>> check_free(Path("out"))  # an empty folder is free
        >>> Path("out", "run.json").touch()
        >>> check_free(Path("out"))
        Traceback (most recent call last):
        ...
        scenewise.errors.InputError: out: exists and is not empty. Choose another folder, or add --overwrite.
    """
    try:
        if target.exists() and not target.is_dir():
            raise InputError(target, "is a file; a folder is to be written.", "Choose another folder.")
        if target.is_dir() and any(target.iterdir()) and not overwrite:
            raise InputError(target, "exists and is not empty.", "Choose another folder, or add --overwrite.")
    except OSError as error:
        raise _problem(target, error) from error


def distinct(names: Sequence[str]) -> list[str]:
    """Return the names with -2, -3 ... added where one has been there before (capital letters make no difference).

    Examples:
        >>> distinct(["clip", "Clip", "other", "clip"])
        ['clip', 'Clip-2', 'other', 'clip-3']
    """
    taken: set[str] = set()
    found = []
    for name in names:
        fresh, number = name, 1
        while fresh.lower() in taken:
            number += 1
            fresh = f"{name}-{number}"
        taken.add(fresh.lower())
        found.append(fresh)
    return found


def _problem(target: Path, error: OSError) -> InputError:
    if isinstance(error, NotADirectoryError):
        return InputError(target, "lies below something that is a file.", "Choose another folder.")
    return write_problem(target, error)
