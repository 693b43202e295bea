"""Large JSON files of annotations, read one entry at a time, and an index of where the entries of each video lie.

The file is searched once, holding one entry; a later reader seeks to what it needs. Bytes are read as Latin-1, in which
every character is one byte, so that places in the text are places in the file; entries are then parsed as UTF-8.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scenewise.data import fingerprints
from scenewise.data.containers.cache import cache_folder
from scenewise.documents import parse_json
from scenewise.errors import InputError
from scenewise.media.files import check_readable, read_json_mapping, reading, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_VERSION = 1  # raise when the same file gives another index
CHUNK = 1 << 20  # bytes read at least at once
_LARGEST = 1 << 28  # bytes; an entry that is longer is no entry
_SPACE = " \t\r\n"
_REMEDY = "It may be incomplete; get or copy it again."


@dataclass(frozen=True)
class VideoIndex:
    """Where annotations lie.

    Attributes:
        path: The JSON file.
        videos: Its entries of `videos`.
        categories: Its entries of `categories`.
        spans: First byte and length of each annotation, by the id of the video as text.
    """

    path: Path
    videos: list[dict[str, Any]]
    categories: list[dict[str, Any]]
    spans: dict[str, list[list[int]]]

    def annotations(self, video: object) -> list[dict[str, Any]]:
        """Return the annotations of a video in the order of the file.

        Raises:
            InputError: The file has changed.
        """
        members = []
        with reading(self.path, "annotations where they were", _REMEDY), self.path.open("rb") as file:
            for first, length in self.spans.get(str(video), []):
                file.seek(first)
                members.append(parse_json(file.read(length), self.path, "annotations where they were", _REMEDY))
        return members


def index_videos(path: Path, cache: str | None = None) -> VideoIndex:
    """Return the index of a file with `videos` and `annotations`, made once and kept for the next time.

    Args:
        path: The JSON file.
        cache: Folder for the index; None: next to the file, or the user's cache folder where that cannot be written.

    Raises:
        InputError: The file is missing, breaks off, or has no videos.
    """
    check_readable(path)
    state = path.stat()
    key = fingerprints.of_values(_VERSION, state.st_size, state.st_mtime_ns)
    place = cache_folder(path, cache) / f"{path.name}.{key}.index"
    index: dict[str, Any] | None = None
    with suppress(InputError):
        index = read_json_mapping(place, "an index", "", _LARGEST)
    if index is None:
        index = search(path)
        with suppress(InputError):  # where it cannot be kept for the next time, it is made again
            write_atomically(place, json.dumps(index))
    return VideoIndex(path, index["videos"], index["categories"], index["spans"])


def entries(path: Path) -> Iterator[tuple[str, int, str]]:
    """Yield the entries of a JSON object, those of its lists one by one.

    Args:
        path: A file that holds one JSON object.

    Yields:
        Key, first byte, and the entry as Latin-1 text.

    Raises:
        InputError: It is no JSON object, or breaks off.
    """
    with reading(path, "a JSON object of annotations", _REMEDY), path.open("rb") as file:
        text = _Text(file, path)
        text.take("{")
        while text.peek() != "}":
            key = str(parse_json(text.value()[1], path, "names of lists", _REMEDY))
            text.take(":")
            yield from ((key, *entry) for entry in text.listed())
            if text.peek() == ",":
                text.take(",")


class _Text:
    """JSON text of which only the part that is being parsed is held."""

    def __init__(self, file: Any, path: Path) -> None:
        self._file, self._path = file, path
        self._held, self._at, self._begin = "", 0, 0
        self._decoder = json.JSONDecoder()

    def peek(self) -> str:
        """Return the next character that is no space."""
        while True:
            while self._at < len(self._held):
                if self._held[self._at] not in _SPACE:
                    return self._held[self._at]
                self._at += 1
            if not self._more():
                raise InputError(self._path, "breaks off: its JSON object does not end.", _REMEDY)

    def take(self, character: str) -> None:
        """Pass over a character."""
        head = self.peek()
        if head != character:
            where = self._begin + self._at
            raise InputError(self._path, f"expected {character!r} at byte {where}, found {head!r}.", _REMEDY)
        self._at += 1

    def listed(self) -> Iterator[tuple[int, str]]:
        """Yield the entries of a list, or the one value that is there."""
        if self.peek() != "[":
            yield self.value()
            return
        self.take("[")
        while self.peek() != "]":
            yield self.value()
            if self.peek() == ",":
                self.take(",")
        self.take("]")

    def value(self) -> tuple[int, str]:
        """Return the place of the next value, and its text."""
        self.peek()
        while True:
            try:
                end = self._decoder.raw_decode(self._held, self._at)[1]
            except json.JSONDecodeError:
                end = None
            # A number at the end of what is held may go on.
            if end is not None and end < len(self._held):
                break
            if not self._more():
                raise InputError(self._path, f"breaks off or is no JSON at byte {self._begin + self._at}.", _REMEDY)
        place, text = self._begin + self._at, self._held[self._at : end]
        self._at = end
        return place, text

    def _more(self) -> bool:
        """Let go of what was parsed and read on, more each time an entry turns out longer."""
        self._held, self._begin, self._at = self._held[self._at :], self._begin + self._at, 0
        if len(self._held) > _LARGEST:
            raise InputError(self._path, f"expected entries below {_LARGEST} bytes at byte {self._begin}.", _REMEDY)
        new = self._file.read(max(CHUNK, len(self._held)))
        self._held += new.decode("latin-1")
        return bool(new)


def search(path: Path) -> dict[str, Any]:
    """Return an index of a file, for which all of it is read.

    Raises:
        InputError: An annotation belongs to no video, or the file is no such JSON.
    """
    index: dict[str, Any] = {"videos": [], "categories": [], "spans": {}}
    keys = []
    for key, first, text in entries(path):
        if key not in keys:
            keys.append(key)
        if key in ("videos", "categories"):
            index[key].append(_parsed(text, path))
        elif key == "annotations" and text != "null":  # so it is in files of a hidden test set
            video = _parsed(text, path).get("video_id")
            if video is None:
                raise InputError(path, f"annotation at byte {first}: expected video_id, found none.", _REMEDY)
            index["spans"].setdefault(str(video), []).append([first, len(text)])
    if not index["videos"]:
        problem = f"expected a list videos, found keys {', '.join(map(str, keys)) or 'none'}."
        raise InputError(path, problem, "Give the JSON file of YouTube-VIS, not that of another set.")
    return index


def _parsed(text: str, path: Path) -> dict[str, Any]:
    value = parse_json(text.encode("latin-1"), path, "a JSON object of annotations", _REMEDY)
    if not isinstance(value, dict):
        raise TypeError(f"an entry is {text[:40]!r}, not an object")
    return value
