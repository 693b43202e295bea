"""Whether a video file is all there: what its outermost boxes claim to hold, against its length.

Headers that count frames or seconds err, also in whole files; a box that goes on beyond the end of the file does not.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOV_BOXES = {b"ftyp", b"moov", b"mdat", b"moof", b"mfra", b"free", b"skip", b"wide", b"uuid", b"sidx", b"styp"}
_AROUND_ENTRIES = {b"moov", b"trak", b"mdia", b"minf", b"stbl"}
_SEGMENT = 0x18538067
_MOST_BOXES = 1_000_000  # a walk ends here; files have as many as they have seconds


def breaks_off(path: Path, container: str) -> bool:
    """Return whether a box of the file goes on beyond its end.

    Args:
        path: The file.
        container: FFmpeg's name of its format; others than mov, matroska, avi and gif are taken to be whole.

    Examples:
        >>> box = (16).to_bytes(4, "big") + b"mdat" + bytes(8)
        >>> _ = Path("whole.mp4").write_bytes(box), Path("cut.mp4").write_bytes(box[:-1])
        >>> breaks_off(Path("whole.mp4"), "mov,mp4"), breaks_off(Path("cut.mp4"), "mov,mp4")
        (False, True)
    """
    walks = {"mov": _mov, "matroska": _matroska, "avi": _avi, "gif": _gif}
    walk = next((walk for name, walk in walks.items() if name in container.split(",")), None)
    if walk is None:
        return False
    try:
        with path.open("rb") as file:
            return walk(file, os.fstat(file.fileno()).st_size)
    except OSError:
        return False


def lacks_index(path: Path) -> bool:
    """Return whether an mp4 or mov has pictures but not the box that says where they are, which recorders write last.

    Examples:
        >>> box = lambda name: (16).to_bytes(4, "big") + name + bytes(8)
        >>> _ = Path("whole.mp4").write_bytes(box(b"mdat") + box(b"moov")), Path("cut.mp4").write_bytes(box(b"mdat"))
        >>> lacks_index(Path("whole.mp4")), lacks_index(Path("cut.mp4"))
        (False, True)
    """
    with path.open("rb") as file:
        names = {name for name, _, _ in _boxes(file, 0, os.fstat(file.fileno()).st_size)}
    return b"mdat" in names and b"moov" not in names


def is_encrypted(path: Path) -> bool:
    """Return whether the pictures of an mp4 or mov are encrypted: their sample entry is called encv."""
    with path.open("rb") as file:
        return _has_encrypted(file, 0, os.fstat(file.fileno()).st_size)


def _has_encrypted(file: IO[bytes], start: int, stop: int) -> bool:
    for name, body, end in _boxes(file, start, stop):
        if name == b"stsd" and any(entry == b"encv" for entry, _, _ in _boxes(file, body + 8, min(end, stop))):
            return True
        if name in _AROUND_ENTRIES and _has_encrypted(file, body, min(end, stop)):
            return True
        if name == b"moov":  # fragments may follow, one a second
            return False
    return False


def _boxes(file: IO[bytes], start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, place of the content and end of each box; the last may go on beyond `stop`."""
    for _ in range(_MOST_BOXES):
        file.seek(start)
        head = file.read(16)
        if start >= stop or len(head) < 8:
            return
        size, content = int.from_bytes(head[:4], "big"), start + 8
        if size == 1:
            size, content = int.from_bytes(head[8:16], "big"), start + 16
        end = start + size if size else stop  # 0: up to the end
        if end < content:
            return
        yield head[4:8], content, end
        start = end


def _mov(file: IO[bytes], length: int) -> bool:
    for name, _, end in _boxes(file, 0, length):
        if name not in _MOV_BOXES:
            return False  # what some other program wrote behind it
        if end > length:
            return True
    return False


def _matroska(file: IO[bytes], length: int) -> bool:
    place = 0
    for _ in range(_MOST_BOXES):
        file.seek(place)
        head = file.read(16)
        name, first = _varint(head, marked=True)
        size, second = _varint(head[first:])
        if not first or not second or name in (0, (1 << 8 * first) - 1):
            return False
        place += first + second
        if size is None:
            if name != _SEGMENT:
                return False  # a cluster of unknown size: only its blocks tell
            continue  # a segment of unknown size, as it is written live: look at what is in it
        if name == _SEGMENT or place + size > length:
            return place + size > length
        place += size
    return False


def _varint(content: bytes, marked: bool = False) -> tuple[int | None, int]:
    """Return a number of EBML, None for the unknown size, and its length in bytes, 0 where there is none."""
    if not content or not content[0]:
        return 0, 0
    width = 9 - content[0].bit_length()
    number = int.from_bytes(content[:width], "big")
    if len(content) < width:
        return 0, 0
    if marked:
        return number, width
    number -= 1 << 7 * width
    return (None if number == (1 << 7 * width) - 1 else number), width


def _avi(file: IO[bytes], length: int) -> bool:
    place = 0
    for _ in range(_MOST_BOXES):
        file.seek(place)
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:12] not in (b"AVI ", b"AVIX"):
            return False
        size = int.from_bytes(head[4:8], "little")
        place += 8 + size + size % 2
        if place - size % 2 > length:
            return True
    return False


def _gif(file: IO[bytes], length: int) -> bool:
    file.seek(10)
    flags = file.read(3)
    if len(flags) < 3:
        return True
    file.seek(_table(flags[0]), os.SEEK_CUR)
    while kind := file.read(1):
        if kind == b";":
            return False
        if kind == b"!":
            file.seek(1, os.SEEK_CUR)
        elif kind == b",":
            head = file.read(9)
            file.seek(_table(head[8]) + 1 if len(head) == 9 else 0, os.SEEK_CUR)
        else:
            return False  # what some other program wrote behind it
        while (size := file.read(1)) not in (b"", b"\0"):
            file.seek(size[0], os.SEEK_CUR)
        if not size or file.tell() > length:
            return True
    return False


def _table(flags: int) -> int:
    """Return the bytes of a colour table."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
