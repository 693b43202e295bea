"""HDF5 files opened for reading: only what lies in the file itself, and only what fits into memory; and for writing."""

from __future__ import annotations

import math
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenewise.errors import InputError
from scenewise.media.files import check_readable, reading

if TYPE_CHECKING:
    from collections.abc import Iterator

_REMEDY = "It may be incomplete; get or copy it again."
_LARGEST_CHUNK = 1 << 29  # bytes; a chunk is unpacked whole for whatever is read of it
_LARGEST_EMPTY = 1 << 34  # bytes that a data set may claim beyond what its file can hold: parts may not be written yet
_MOST_PACKED = 1100  # bytes that a compressed byte can stand for; deflate reaches 1032
_CHECKED: dict[str, tuple[int, ...]] = {}  # files that were checked: readers open theirs for every video


def open_h5(path: str | Path, **options: Any) -> Any:
    """Open an HDF5 file for reading.

    Args:
        path: The file.
        **options: Further options of `h5py.File`.

    Raises:
        InputError: It is missing, damaged or no HDF5 file; or one of its data sets lies in another file, is in chunks
            too large to read, or claims more than the file can hold.
    """
    import h5py

    path = Path(path)
    if not os.path.lexists(path):
        raise InputError(path, "no such file.", "Check the path.")
    check_readable(path)
    with reading(path, "an HDF5 file", _REMEDY):
        file = h5py.File(path, "r", **options)
    try:
        with reading(path, "an HDF5 file", _REMEDY):
            state = os.stat(path)
            version = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
            if _CHECKED.get(os.path.abspath(path)) != version:
                _check(path, file, state.st_size)
                _CHECKED[os.path.abspath(path)] = version
    except BaseException:
        file.close()
        raise
    return file


def _check(path: Path, file: Any, size: int) -> None:
    """Go over all links once: none leads out of the file, and what they lead to can be read."""
    import h5py

    errors: list[InputError] = []  # an error must not leave a visit halfway

    def visit(name: bytes, link: Any) -> bool | None:
        """Check a link and what it leads to; True ends the visit."""
        try:
            if link.type == h5py.h5l.TYPE_EXTERNAL:
                problem = f"{_name(name.decode(errors='replace'))} is a link to another file, which is not opened."
                raise InputError(path, problem, "Copy the data into one file.")
            if link.type == h5py.h5l.TYPE_HARD:
                item = h5py.h5o.open(file.id, name)
                if isinstance(item, h5py.h5d.DatasetID):
                    check_handle(path, name.decode(errors="replace"), item, size, _LARGEST_EMPTY)
        except InputError as error:
            errors.append(error)
            return True
        return None

    file.id.links.visit(visit, info=True)
    if errors:
        raise errors[0]


def check_dataset(path: Path, dataset: Any, size: int, beyond: int = _LARGEST_EMPTY) -> None:
    """Check that a data set lies in its file and can be read.

    Args:
        path: The file, for the message.
        dataset: The data set; nothing of it is read.
        size: Bytes of the file.
        beyond: Bytes that it may claim beyond what that can hold.

    Raises:
        InputError: It does not, or cannot.
    """
    check_handle(path, dataset.name, dataset.id, size, beyond)


def check_handle(path: Path, name: str, dataset: Any, size: int, beyond: int) -> None:
    """Check a data set by HDF5's own handle: those of h5py cost ten times as much.

    Args:
        path: The file.
        name: Of the data set.
        dataset: Its handle.
        size: Bytes of the file.
        beyond: As of `check_dataset`.

    Raises:
        InputError: As of `check_dataset`.
    """
    import h5py

    name, plan = _name(name), dataset.get_create_plist()
    layout = plan.get_layout()
    if dataset.get_space().get_simple_extent_type() == h5py.h5s.NULL:
        raise InputError(path, f"data set {name} is empty (it has no shape).", "Write the file again.")
    if layout == h5py.h5d.VIRTUAL or plan.get_external_count():
        raise InputError(path, f"data set {name} lies in other files, which are not opened.", "Copy it into one file.")
    item = max(1, dataset.get_type().get_size())
    chunk = math.prod(plan.get_chunk()) * item if layout == h5py.h5d.CHUNKED else 0
    if chunk > _LARGEST_CHUNK:
        problem = f"data set {name} is in chunks of {chunk >> 20} MiB; at most"
        remedy = "Write it again in chunks of a frame."
        raise InputError(path, f"{problem} {_LARGEST_CHUNK >> 20} MiB are read at once.", remedy)
    claimed = math.prod(dataset.shape) * item
    if claimed > beyond + _MOST_PACKED * size:
        problem = f"data set {name} claims {claimed >> 20} MiB, in a file of {size >> 10} KiB."
        raise InputError(path, problem, "It may be incomplete; write the file again.")


def _name(name: str) -> str:
    return f"/{name.lstrip('/')}" if len(name) <= 80 else f"/{name.lstrip('/')[:77]}..."


class _Disk:
    """A file for HDF5 to write to that keeps the first error and takes no more bytes after it.

    HDF5 cannot let go of a file whose last bytes it failed to write, and ends the program with a crash instead.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, content: Any) -> int:
        """Write bytes, or drop them after an error."""
        left = memoryview(content)
        while len(left) and self.error is None:
            try:
                left = left[self._file.write(left) :]  # a disk that is nearly full takes a part
            except OSError as error:
                self.error = error
        return len(content)

    def read(self, size: int = -1) -> bytes:
        """Return bytes of the file; HDF5 itself uses `readinto`."""
        return bytes(self._file.read(size))

    def readinto(self, buffer: Any) -> int:
        """Read bytes; zeros where there are none, as of a file that has been made longer."""
        count = self._file.readinto(buffer) or 0
        buffer[count:] = bytes(len(buffer) - count)
        return len(buffer)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place."""
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        """Return the place."""
        return int(self._file.tell())

    def truncate(self, size: int) -> int:
        """Make the file as long as HDF5 wants it."""
        if self.error is None:
            try:
                self._file.truncate(size)
            except OSError as error:
                self.error = error
        return size

    def flush(self) -> None:
        """Do nothing: the file is not buffered."""


@contextmanager
def created(path: Path) -> Iterator[Any]:
    """Make an HDF5 file and open it for writing.

    Args:
        path: The file; one that is there is replaced.

    Raises:
        OSError: The disk is full or the folder cannot be written; it may be raised as late as the block's end.
    """
    import h5py

    with path.open("w+b", buffering=0) as raw:
        disk = _Disk(raw)
        try:
            with h5py.File(disk, "w") as file:
                yield file
        finally:
            if disk.error is not None:
                raise disk.error
