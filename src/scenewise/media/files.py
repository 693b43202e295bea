"""Files that are whole or absent, and what the operating system says about them in words a user can act on.

Of JSON and YAML files, `scenewise.documents` says what is refused in them.
"""

from __future__ import annotations

import codecs
import errno
import os
import stat
import tempfile
from abc import ABC, abstractmethod
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from scenewise.documents import parse_json, parse_yaml, type_of
from scenewise.errors import InputError, describe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_ACCESS = {errno.EACCES, errno.EPERM, errno.EROFS}
_LARGEST_TEXT = 1 << 28  # bytes; the largest tables of boxes have some ten million
_LARGEST_SPARSE = 1 << 34  # bytes of a file that may never have been written
_LONGEST_NAME = 150  # bytes; file systems take 255, and hidden names beside it have more
_LOCK, _UNLOCKED = "unable to lock file", "HDF5_USE_FILE_LOCKING=FALSE"  # HDF5's words, and what turns locks off
_HELD = {errno.EAGAIN, errno.EACCES, errno.EBUSY}  # by another program


class Closes(ABC):
    """What ends by `close`, and is closed at the end of a `with` block."""

    @abstractmethod
    def close(self) -> None:
        """Close it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def check_readable(path: Path) -> None:
    """Check that `path` is a file with bytes in it that may be read; pipes and devices, which can block, are refused.

    Raises:
        InputError: It is missing, not a regular file, empty, or may not be read.

    Examples:
        >>> Path("clip.mp4").touch()
        >>> check_readable(Path("clip.mp4"))
        Traceback (most recent call last):
        ...
        scenewise.errors.InputError: clip.mp4: expected data; found an empty file (0 bytes). Copy or record it again.
    """
    with reading(path, "a file that can be opened", "Check the path."):
        try:
            path.lstat()  # which tells a folder that may not be entered from one without the file
        except (FileNotFoundError, NotADirectoryError, ValueError):
            raise InputError(path, "expected a file or folder; found nothing there.", "Check the path.") from None
        if not path.is_file():
            if path.is_symlink() and not path.exists():
                raise InputError(path, "is a link that leads to no file.", "Mend the link, or remove it.")
            if path.is_dir():
                raise InputError(path, "expected a regular file; found a folder.", "Give a file, or rename the folder.")
            raise InputError(path, "expected a regular file; found something else.", "Copy it to a regular file first.")
        with path.open("rb") as file:
            if not file.read(1):
                raise InputError(path, "expected data; found an empty file (0 bytes).", "Copy or record it again.")
            _check_written(path, os.fstat(file.fileno()))


def _check_written(path: Path, facts: os.stat_result) -> None:
    """Check that a large file was written: a sparse one claims terabytes, and is zeros without end."""
    on_disk = getattr(facts, "st_blocks", facts.st_size) * 512  # Windows has no blocks
    if facts.st_size > _LARGEST_SPARSE and on_disk < facts.st_size // 100:
        problem = f"claims {facts.st_size >> 20} MiB, of which {on_disk >> 20} were ever written."
        raise InputError(path, problem, "Copy or record it again.")


def read_bytes(path: Path, most: int) -> bytes:
    """Return the bytes of a regular file that is not too large for what it should hold.

    Args:
        path: The file.
        most: Largest size, bytes.

    Raises:
        InputError: As `check_readable`, or it is larger.
    """
    check_readable(path)
    with reading(path, "a file that can be read", "Check the path."), path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        content = b"" if size > most else file.read(size + (1 << 16))  # more than it tells: files of /proc tell nothing
    if max(size, len(content)) > most:
        problem = f"is larger than the {most >> 10} KiB that are read of such a file."
        raise InputError(path, problem, "Check whether it is the right file.")
    return content


def version_of(path: Path) -> tuple[int, int] | None:
    """Return what changes when a file or folder does, size and time of writing; None where there is neither."""
    with suppress(OSError):
        state = path.stat()
        if stat.S_ISREG(state.st_mode) or stat.S_ISDIR(state.st_mode):
            return state.st_size, state.st_mtime_ns
    return None


def inside(folder: Path, name: str) -> Path:
    """Return the path of a file that a file in `folder` names; it must lie in that folder, links followed.

    Raises:
        InputError: It lies elsewhere.

    Examples:
        >>> inside(Path("data"), "00000.npy").as_posix()
        'data/00000.npy'
        >>> inside(Path("data"), "../../etc/passwd")
        Traceback (most recent call last):
        ...
        scenewise.errors.InputError: data: names the file '../../etc/passwd', which lies outside of it. Get ... again.
    """
    path = folder / name
    with reading(folder, "names of files in it", "Get or make the folder again."):
        if not path.resolve().is_relative_to(folder.resolve()) or path.resolve() == folder.resolve():
            problem = f"names the file {name[:80]!r}, which lies outside of it."
            raise InputError(folder, problem, "Get or make the folder again.")
    return path


def is_below(name: str) -> bool:
    """Return whether a path that a file names is one below the file's folder, as it is written; links are the user's.

    Examples:
        >>> is_below("data/00000.npy"), is_below("../00000.npy"), is_below("/data/00000.npy")
        (True, False, False)
    """
    path = Path(name)
    return not path.is_absolute() and ".." not in path.parts


def check_name(subject: object, name: str) -> None:
    """Check that a name can be that of one file or folder anywhere, and stays where it is put.

    Args:
        subject: What has the name, for the message.
        name: The name.

    Raises:
        InputError: It cannot.

    Examples:
        >>> check_name("name", "clips of 8")
        >>> check_name("name", "../../evil")
        Traceback (most recent call last):
        ...
        scenewise.errors.InputError: name: '../../evil' cannot be the name of a folder. Use letters, digits, - and _.
    """
    printed = name.isprintable() and not {"/", "\\"} & set(name)
    if not printed or name.strip(". ") == "" or len(name.encode()) > _LONGEST_NAME:
        shown = name if len(name) <= 40 else f"{name[:37]}..."
        raise InputError(subject, f"{shown!r} cannot be the name of a folder.", "Use letters, digits, - and _.")


def check_writable(path: str | Path) -> None:
    """Check, before any work, that a file can be written: its folder is there and takes files, and it is no folder.

    Raises:
        InputError: It cannot.

    Examples:
        >>> check_writable("scores.json")
        >>> check_writable("nowhere/scores.json")
        Traceback (most recent call last):
        ...
        scenewise.errors.InputError: ...nowhere: expected a folder; found none. Create it or choose another folder.
    """
    path = Path(path)
    with writing(path):
        check_replaceable(path)
        with tempfile.TemporaryFile(prefix=f".{path.name[:80]}.", dir=path.absolute().parent):
            pass


def check_folder(path: Path) -> None:
    """Check, before any work, that a folder is there or could be made: nothing on the way there is a file.

    Raises:
        InputError: Something is.

    Examples:
        >>> check_folder(Path("runs/new"))
        >>> Path("clip.mp4").touch()
        >>> check_folder(Path("clip.mp4/runs"))
        Traceback (most recent call last):
        ...
        scenewise.errors.InputError: clip.mp4: is no folder; one is to be written. Choose another.
    """
    with writing(path):
        first = next((place for place in (path, *path.parents) if os.path.lexists(place)), path)
        if os.path.lexists(first) and not first.is_dir():
            raise InputError(first, "is no folder; one is to be written.", "Choose another.")


def check_replaceable(path: Path) -> None:
    """Check that what a file is to be put in place of is a file: a device would be gone for the whole machine.

    Raises:
        InputError: It is a folder, a device, a pipe or a socket.

    Examples:
        >>> check_replaceable(Path("/dev/null"))
        Traceback (most recent call last):
        ...
        scenewise.errors.InputError: /dev/null: is a device or a pipe; a file is to be written. Choose another name.
    """
    with writing(path):
        kind = "a folder" if path.is_dir() else "a device or a pipe"
        stream = path.is_symlink() and os.readlink(path).startswith("/proc/")  # as /dev/stdout
        if stream or (path.exists() and not path.is_file()):
            raise InputError(path, f"is {kind}; a file is to be written.", "Choose another name.")


@contextmanager
def reading(path: object, expected: str, remedy: str) -> Iterator[None]:
    """Turn whatever a library raises over the contents of a file into an `InputError`.

    Args:
        path: The file being read.
        expected: What it should be.
        remedy: What to do when it is not.

    Raises:
        InputError: Anything was raised inside the block; one that is an `InputError` already passes unchanged.

    Examples:
        >>> with reading("ids.json", "a JSON file", "Write it again."):
        ...     import json
        ...     json.loads("[1, 2")
        Traceback (most recent call last):
        ...
        scenewise.errors.InputError: ids.json: expected a JSON file; found: Expecting ',' delimiter: line 1 column 6 ...
    """
    try:
        yield
    except InputError:
        raise
    except PermissionError as error:
        raise InputError(path, "may not be read by this user.", "Change its permissions.") from error
    except FileNotFoundError as error:
        raise InputError(path, f"expected {expected}; found nothing there.", "Check the path.") from error
    except Exception as error:  # decoders raise every kind of error over bytes they do not know
        if _LOCK in str(error) and getattr(error, "errno", None) in _HELD:  # of HDF5 files
            problem = "is locked: another program has it open."
            remedy = f"Close that program, or set {_UNLOCKED} to read it as it is now."
            raise InputError(path, problem, remedy) from error
        if _LOCK in str(error):
            problem = "cannot be locked: its file system has no locks."
            raise InputError(path, problem, f"Set {_UNLOCKED} where nothing writes to it.") from error
        raise InputError(path, f"expected {expected}; found: {describe(error)}.", remedy) from error


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Turn the operating system's refusals to write `path` into an `InputError` that names the folder.

    Raises:
        InputError: The disk is full, the folder is missing or protected, or the device failed.
    """
    try:
        yield
    except OSError as error:
        raise write_problem(path, error) from error


def is_of_writing(error: OSError, folder: Path) -> bool:
    """Return whether an error came from writing into a folder, and not from something that was read meanwhile."""
    named = error.filename if isinstance(error.filename, str) else ""
    return error.errno in _NO_SPACE or Path(named).is_relative_to(folder)


def write_problem(path: str | Path, error: OSError) -> InputError:
    """Return the `InputError` for a write to `path` that failed with `error`."""
    folder = Path(path).absolute().parent
    if error.errno in _NO_SPACE:
        return InputError(folder, f"no space left for {Path(path).name}.", "Free some space or choose another folder.")
    if error.errno in _NO_ACCESS:
        return InputError(folder, f"{Path(path).name} may not be written here.", "Choose a folder you may write to.")
    if not folder.is_dir():
        found = "something else" if os.path.lexists(folder) else "none"
        remedy = "Choose another folder." if os.path.lexists(folder) else "Create it or choose another folder."
        return InputError(folder, f"expected a folder; found {found}.", remedy)
    return InputError(folder, f"{Path(path).name} cannot be written: {describe(error)}.", "Choose another folder.")


def read_text(path: Path) -> str:
    r"""Return a text file of whatever encoding, as people and cameras write them: by its byte order mark, else UTF-8.

    Bytes that are none become a replacement sign, so that a comment in another encoding stops nothing.

    Raises:
        InputError: It is missing, no regular file, may not be read, or is larger than any such file.

    Examples:
        >>> _ = Path("boxes.csv").write_bytes("1,1,0,0,9,9,1\r\n".encode("utf-16"))
        >>> read_text(Path("boxes.csv"))
        '1,1,0,0,9,9,1\n'
    """
    empty = path.is_file() and not path.stat().st_size
    content = b"" if empty else read_bytes(path, _LARGEST_TEXT)
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = content.decode("utf-16" if marked else "utf-8-sig", errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


@contextmanager
def atomic_file(path: str | Path) -> Iterator[IO[bytes]]:
    """Open a binary file that takes its name only when the block ends well.

    The bytes go to a temporary file in the same folder; on any error, Ctrl-C included, it is removed and a file that
    had the name before is untouched.

    Args:
        path: The final name.

    Raises:
        InputError: The disk is full or the folder cannot be written.

    Examples:
        >>> write_atomically("scores.txt", "old")
        >>> with suppress(ZeroDivisionError), atomic_file("scores.txt") as file:
        ...     _ = file.write(b"new")
        ...     1 / 0
        >>> Path("scores.txt").read_text()
        'old'
        >>> os.listdir()  # nothing half-written stays behind
        ['scores.txt']
    """
    path = Path(path)
    check_replaceable(path)
    with writing(path):
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name[:80]}.", suffix=".part", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
            os.chmod(temporary, 0o666 & ~umask())
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise


def write_atomically(path: str | Path, content: bytes | str) -> None:
    """Write a whole file, text as UTF-8; it is complete or absent, never half-written.

    Args:
        path: The final name.
        content: All of it.

    Raises:
        InputError: The disk is full or the folder cannot be written.
    """
    with atomic_file(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def umask() -> int:
    """Return the permissions that new files of this process lack."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


# -- JSON and YAML -----------------------------------------------------------------------------------------------------

MOST_BYTES = 64 << 20
"""Largest JSON file that is read."""
MOST_YAML_BYTES = 1 << 19
"""Largest YAML file that is read; PyYAML takes some seconds for it."""


def read_json(path: Path, expected: str, remedy: str, most: int = MOST_BYTES) -> Any:
    """Read a JSON file.

    Args:
        path: The file.
        expected: What it should be, for the message.
        remedy: What to do when it is not.
        most: Largest size, bytes.

    Returns:
        Plain values: mappings, lists, texts, numbers, truth values and None.

    Raises:
        InputError: It is missing, no regular file, too large, no JSON, or holds what `check_plain` refuses.
    """
    return parse_json(read_bytes(path, most), path, expected, remedy)


def read_json_mapping(path: Path, expected: str, remedy: str, most: int = MOST_BYTES) -> dict[str, Any]:
    """Read a JSON file that holds a mapping; see `read_json`."""
    values = read_json(path, expected, remedy, most)
    if not isinstance(values, dict):
        raise InputError(path, f"expected {expected}; found {type_of(values)} in place of a mapping.", remedy)
    return values


def read_yaml(path: Path, holds: str, remedy: str) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Args:
        path: The file.
        holds: What the mapping should hold, for the message.
        remedy: What to do when it is something else.

    Raises:
        InputError: It is missing, no regular file, too large, no YAML within the limits, or no mapping.
    """
    content = read_bytes(path, MOST_YAML_BYTES)
    try:
        values = parse_yaml(content.decode("utf-8-sig"))
    except ValueError as error:
        raise InputError(path, f"is not YAML: {describe(error)}.", remedy) from error
    if not isinstance(values, dict):
        raise InputError(path, f"must hold a mapping with {holds}; found {type_of(values)}.", remedy)
    return values
