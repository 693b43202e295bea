"""Files that are whole or absent, and what the operating system says about them in words a user can act on."""

from __future__ import annotations

import codecs
import errno
import os
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from scenewise.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_ACCESS = {errno.EACCES, errno.EPERM, errno.EROFS}
_LOCK, _UNLOCKED = "unable to lock file", "HDF5_USE_FILE_LOCKING=FALSE"  # HDF5's words, and what turns locks off
_HELD = {errno.EAGAIN, errno.EACCES, errno.EBUSY}  # by another program


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
        if not os.path.lexists(path):
            raise InputError(path, "expected a file or folder; found nothing there.", "Check the path.")
        if not path.is_file():
            raise InputError(path, "expected a regular file; found something else.", "Copy it to a regular file first.")
        with path.open("rb") as file:
            if not file.read(1):
                raise InputError(path, "expected data; found an empty file (0 bytes).", "Copy or record it again.")


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
    except Exception as error:  # decoders raise every kind of error over bytes they do not know
        if _LOCK in str(error):
            raise _locked(path, error) from error
        raise InputError(path, f"expected {expected}; found: {describe(error)}.", remedy) from error


def _locked(path: object, error: Exception) -> InputError:
    """Return the error for an HDF5 file whose lock was not to be had."""
    if getattr(error, "errno", None) in _HELD:
        problem = "is locked: another program has it open."
        return InputError(path, problem, f"Close that program, or set {_UNLOCKED} to read it as it is now.")
    problem = "cannot be locked: its file system has no locks."
    return InputError(path, problem, f"Set {_UNLOCKED} where nothing writes to it.")


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


def write_problem(path: str | Path, error: OSError) -> InputError:
    """Return the `InputError` for a write to `path` that failed with `error`."""
    folder = Path(path).absolute().parent
    if error.errno in _NO_SPACE:
        return InputError(folder, f"no space left for {Path(path).name}.", "Free some space or choose another folder.")
    if error.errno in _NO_ACCESS:
        return InputError(folder, f"{Path(path).name} may not be written here.", "Choose a folder you may write to.")
    if not folder.is_dir():
        return InputError(folder, "expected a folder; found none.", "Create it or choose another folder.")
    return InputError(folder, f"{Path(path).name} cannot be written: {describe(error)}.", "Choose another folder.")


def read_text(path: Path) -> str:
    r"""Return a text file of whatever encoding, as people and cameras write them: by its byte order mark, else UTF-8.

    Bytes that are none become a replacement sign, so that a comment in another encoding stops nothing.

    Examples:
        >>> _ = Path("boxes.csv").write_bytes("1,1,0,0,9,9,1\r\n".encode("utf-16"))
        >>> read_text(Path("boxes.csv"))
        '1,1,0,0,9,9,1\n'
    """
    content = path.read_bytes()
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = content.decode("utf-16" if marked else "utf-8-sig", errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def describe(error: BaseException) -> str:
    """Return one line that says what a library complained about.

    Examples:
        >>> describe(OSError(errno.ENOSPC, "No space left on device"))
        'No space left on device'
        >>> describe(KeyError())  # an error without a text is called by its name
        'KeyError'
    """
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:200].rstrip(".")


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
    with writing(path):
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name[:80]}.", suffix=".part", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
            os.chmod(temporary, 0o666 & ~_umask())
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


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
