"""Folders that appear complete or not at all, and locks between processes that go with the process, however it ends."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
import time
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from scenewise.errors import InputError, printable
from scenewise.media.files import is_of_writing, umask, write_problem, writing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from types import TracebackType

_LONGEST_PREFIX = 80  # bytes
GRACE = 0.5
"""Seconds in which what writes for a process that was killed has ended too."""

_FILLED: set[Path] = set()  # folders that this process fills, and has locked: no other process begins anything in them


class OutputFolder:
    """A folder that is filled under a hidden name beside its place and takes its name on `commit`.

    As a context manager it removes what was not committed, and the folders made on the way there; a disk that is full
    meanwhile is told as such. What a process that was killed left hidden beside it is removed when the next one begins.
    A link to a folder stays, and what it leads to is filled; who may read a folder that was there may read the new one.

    Args:
        target: The folder.
        overwrite: Replace a folder that holds files.
        heritage: A folder that one hidden beside the place or the place itself holds, to be taken over under its name.

    Raises:
        InputError: The folder is taken, is being written by another process, or cannot be made.

    Examples:
        >>> with OutputFolder(Path("out")) as folder:
        ...     _ = (folder.path / "run.json").write_text("[]")
        ...     before = Path("out").exists()
        ...     _ = folder.commit()
        >>> before, Path("out", "run.json").exists()
        (False, True)
    """

    def __init__(self, target: Path, overwrite: bool = False, heritage: Path | None = None) -> None:
        self.target = Path(os.path.realpath(target)) if target.is_symlink() else target.absolute()
        self._overwrite = overwrite
        self._made: list[Path] = []
        self._lock: FolderLock | None = None
        begun = False
        try:
            check_free(self.target, overwrite)
            for folder in reversed([parent for parent in self.target.parents if not parent.exists()]):
                folder.mkdir(exist_ok=True)
                self._made.append(folder)
            with self._turn():
                left = self._left()
                if heritage is None:
                    self._sweep(left)
                check_free(self.target, overwrite)
                self.path = Path(tempfile.mkdtemp(prefix=_prefix(self.target), suffix=".part", dir=self.target.parent))
                begun = True
                self._lock = FolderLock(self.path)
                if heritage is not None:  # linked, so that nothing is lost before this folder is whole
                    shutil.copytree(heritage, self.path / heritage.name, copy_function=_link)
                self._sweep(left)
            _FILLED.add(self.path)
            self.path.chmod(self.target.stat().st_mode & 0o777 | 0o700 if self.target.is_dir() else 0o777 & ~umask())
        except BaseException as error:
            if begun:
                self._remove()
            self._unmake()
            if isinstance(error, OSError):
                raise _problem(self.target, error) from error
            raise

    def commit(self) -> Path:
        """Give the folder its name, in place of an older one.

        Raises:
            InputError: It cannot be renamed, or something else has taken the name meanwhile.
        """
        try:
            older = self.path.with_suffix(".old")
            with self._turn():
                check_free(self.target, self._overwrite)
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
        self._remove()
        self._unmake()
        if isinstance(error, OSError) and is_of_writing(error, self.path):
            raise write_problem(self.target, error) from error

    def _turn(self) -> AbstractContextManager[object]:
        """Let one process after the other look at what stands beside the target and change it."""
        if self.target.parent in _FILLED:
            return nullcontext()
        try:
            return FolderLock(self.target.parent, seconds=1.0)
        except BusyError:  # held for longer than any of this takes: by something else, such as a training run
            return nullcontext()

    def _left(self) -> list[Path]:
        """Return hidden folders of processes that are gone, and put back an older result that one had moved away.

        Raises:
            InputError: One is being filled right now.
        """
        left = []
        for path in hidden_folders(self.target):
            try:
                with FolderLock(path, seconds=GRACE) as lock:
                    if path.suffix == ".old" and not self.target.exists():
                        path.rename(self.target)
                    elif lock.real:
                        left.append(path)
            except BusyError:
                remedy = "Wait for it, or choose another folder."
                raise InputError(self.target, "is being written by another process.", remedy) from None
        return left

    def _sweep(self, left: list[Path]) -> None:
        for path in left:
            shutil.rmtree(path, ignore_errors=True)

    def _remove(self) -> None:
        """Remove what has not got its name, and let others at the place."""
        shutil.rmtree(self.path, ignore_errors=True)
        _FILLED.discard(self.path)
        if self._lock is not None:
            self._lock.release()

    def _unmake(self) -> None:
        for folder in reversed(self._made):
            with suppress(OSError):  # something else has been put there
                folder.rmdir()


def hidden_folders(target: Path) -> list[Path]:
    """Return the hidden folders, by a process that is at work or gone, of a folder with an absolute path."""
    pattern = re.compile(rf"{re.escape(_prefix(target))}[a-z0-9_]{{8}}\.(part|old)")
    return [path for path in target.parent.iterdir() if pattern.fullmatch(path.name) and path.is_dir()]


def _prefix(target: Path) -> str:
    """Return what names of hidden folders for a target begin with; long names end in a hash."""
    name = target.name
    if len(os.fsencode(name)) > _LONGEST_PREFIX:
        name = f"{name[:20]}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:12]}"
    return f".{name}."


def _link(source: str, target: str) -> str:
    """Give a file a second name, or copy it where the file system has no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


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


def check_apart(target: Path, *sources: object) -> None:
    """Check that what is to be replaced holds nothing that is read: results would take the place of their own source.

    Args:
        target: A folder or file that results go to.
        *sources: Paths of what is read; what is no path of anything, such as the name of a model, is left out.

    Raises:
        InputError: One lies in the target, links followed.

    Examples:
        >>> Path("clips").mkdir()
        >>> check_apart(Path("out"), "clips")
        >>> check_apart(Path("."), "clips")
        Traceback (most recent call last):
        ...
        scenewise.errors.InputError: .: holds clips, which is read; it would be replaced. Choose another folder.
    """
    for source in filter(None, sources):
        try:
            path = Path(str(source)).resolve()
            within = path.exists() and path.is_relative_to(target.resolve())
        except (OSError, ValueError, RuntimeError):  # a name that no file can have, or a circle of links
            continue
        if within:
            problem = f"holds {printable(source)}, which is read; it would be replaced."
            raise InputError(target, problem, "Choose another folder.")


def distinct(names: Sequence[str]) -> list[str]:
    """Return the names with -2, -3 ... added where one has been there before (capital letters make no difference).

    Examples:
        >>> distinct(["clip", "Clip", "other", "clip"])
        ['clip', 'Clip-2', 'other', 'clip-3']
    """
    taken: set[str] = set()
    folders = []
    for name in names:
        fresh, number = name, 1
        while fresh.lower() in taken:
            number += 1
            fresh = f"{name}-{number}"
        taken.add(fresh.lower())
        folders.append(fresh)
    return folders


def _problem(target: Path, error: OSError) -> InputError:
    if isinstance(error, NotADirectoryError):
        return InputError(target, "lies below something that is a file.", "Choose another folder.")
    return write_problem(target, error)


# -- locks -------------------------------------------------------------------------------------------------------------


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
        scenewise.media.folders.BusyError: .
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
