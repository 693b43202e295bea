"""From words of a command line to videos: folders with all below them, patterns, lists, and remote addresses."""

from __future__ import annotations

import glob
import hashlib
import itertools
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scenewise.batch import remote
from scenewise.errors import InputError
from scenewise.media.arrays import ARRAY_ENDINGS
from scenewise.media.files import read_bytes
from scenewise.media.frames import IMAGE_ENDINGS
from scenewise.media.reading import read_videos
from scenewise.media.video import VIDEO_ENDINGS

if TYPE_CHECKING:
    from typing import Any

LIST_ENDINGS = (".txt", ".lst", ".list")
"""Endings of files that name one video a line."""

_LARGEST_LIST = 256 << 20
_ABSENT = "absent"


@dataclass(frozen=True)
class VideoInput:
    """One video that was named.

    Attributes:
        name: Relative path by which it and its results go; depends on nothing but the word that named it.
        location: A path, or the address of a remote file.
        version: Changes when the video does.
        place: Which video of an array file with several, from 0.
    """

    name: str
    location: str
    version: str
    place: int | None = None


def list_videos(words: Iterable[str], reading: dict[str, Any], without: Path | None = None) -> list[VideoInput]:
    """Return every video that some words name, sorted by name.

    A folder stands for all videos below it, named by their paths from there: video files, folders of images that hold
    no video file, and array files where a layout says what their axes are. A pattern such as `clips/**/*.mp4` names
    them from the folder before its first star. A file, and every line of a list, is named by its path as it is
    written. `-` is a list on standard input.

    Args:
        words: Files, folders, patterns, lists, addresses.
        reading: Options of `read_videos`; a layout with N makes an array file as many videos.
        without: A folder to leave out.

    Raises:
        InputError: A word names nothing, or two videos go by one name.

    Examples:
        >>> from scenewise.media import VideoWriter
        >>> for path in ("clips/a.mp4", "clips/night/b.mp4"):
        ...     Path(path).parent.mkdir(exist_ok=True)
        ...     _ = Path(path).write_bytes(b"...")
        >>> [video.name for video in list_videos(["clips"], {})]
        ['a.mp4', 'night/b.mp4']
        >>> [video.name for video in list_videos(["clips/*/*.mp4"], {})]
        ['night/b.mp4']
    """
    endings = (*VIDEO_ENDINGS, *(ARRAY_ENDINGS if reading.get("layout") else ()))
    pairs = [pair for word in words for pair in _named(word, endings, without)]
    locations = dict[str, str]()
    for name, location in pairs:
        if locations.setdefault(name, location) != location:
            problem = f"is the name of two videos, {locations[name]} and {location}."
            raise InputError(name, problem, "Give a folder that holds both, or one batch each.")
    nested = next((name for name in locations if not locations.keys().isdisjoint(map(str, Path(name).parents))), None)
    if nested is not None:
        raise InputError(nested, "lies inside of another input.", "Give one of the two.")
    remote_versions = remote.versions([where for where in locations.values() if remote.is_remote(where)])
    videos = [  # with what changes when a video does: of a file size and time, of a folder those of all its files
        VideoInput(name, where, remote_versions[where] if where in remote_versions else _version(Path(where)))
        for name, where in locations.items()
    ]
    if "N" in str(reading.get("layout") or "").upper():
        videos = [part for video in videos for part in _parts(video, reading)]
    return sorted(videos, key=lambda video: video.name)


def in_shard(name: str, shard: tuple[int, int] | None) -> bool:
    """Return whether a video belongs to shard i of n, i from 1; that depends on nothing but its name.

    Examples:
        >>> [sum(in_shard(f"{i}.mp4", (part, 3)) for i in range(300)) for part in (1, 2, 3)]
        [93, 98, 109]
    """
    if shard is None:
        return True
    number, count = shard
    return int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8], "big") % count == number - 1


def _named(word: str, endings: tuple[str, ...], without: Path | None) -> Iterator[tuple[str, str]]:
    """Yield (name, location) of all that one word names.

    Raises:
        InputError: It names nothing.
    """
    if word == "-":
        yield from map(_as_written, _lines(sys.stdin.buffer.read(_LARGEST_LIST)))
        return
    if remote.is_remote(word):
        yield from remote.find(word, endings)
        return
    path = Path(word)
    if path.is_dir():
        videos = [(_relative(where, path), str(where)) for where in _below(path, endings, without)]
        if not videos:
            remedy = "Check the path; array files are taken where --layout says what their axes are."
            raise InputError(path, "holds no video and no folder of images.", remedy)
        yield from videos
    elif path.suffix.lower() in LIST_ENDINGS and path.is_file():
        yield from map(_as_written, _lines(read_bytes(path, _LARGEST_LIST)))
    elif os.path.lexists(path):
        yield _as_written(word)
    elif glob.has_magic(word):
        fixed = Path(*itertools.takewhile(lambda part: not glob.has_magic(part), path.parts))
        paths = [Path(text) for text in glob.iglob(word, recursive=True)]
        paths = [path for path in paths if not (without and path.absolute().is_relative_to(without.absolute()))]
        paths = [path for path in paths if path.suffix.lower() in endings or _holds_images(path)]
        if not paths:
            raise InputError(word, "matches no video.", "Check the pattern.")
        yield from ((_relative(path, fixed), str(path)) for path in paths)
    else:
        raise InputError(word, "names no file, folder or list.", "Check the path.")


def _lines(content: bytes) -> list[str]:
    """Return the paths of a list, a line each, or apart by NUL as `find -print0` has them; # begins a comment."""
    if b"\0" in content:
        return [os.fsdecode(part) for part in content.split(b"\0") if part]
    lines = [line.strip() for line in content.removeprefix(b"\xef\xbb\xbf").splitlines()]
    return [os.fsdecode(line) for line in lines if line and not line.startswith(b"#")]


def _as_written(text: str) -> tuple[str, str]:
    """Return a path or address with the name it goes by: absolute paths without their first slash."""
    if remote.is_remote(text):
        return remote.name_of(text), text
    path = os.path.normpath(text)
    if path.startswith(".."):
        path = os.path.abspath(path)
    return path.lstrip("/"), text


def _relative(path: Path, folder: Path) -> str:
    """Return the name of a video below a folder; the folder itself goes by its own name."""
    return str(path.relative_to(folder)) if path != folder else path.absolute().name


def _below(folder: Path, endings: tuple[str, ...], without: Path | None) -> Iterator[Path]:
    """Yield the videos in a folder and below it; a folder of images that holds no video file is one."""
    excluded = None if without is None else os.path.abspath(without)
    for root, folders, files in os.walk(folder):
        visible = [name for name in files if not name.startswith(".")]
        videos = [name for name in visible if name.lower().endswith(endings)]
        if not videos and any(name.lower().endswith(IMAGE_ENDINGS) for name in visible):
            folders.clear()  # what lies in there belongs to it
            yield Path(root)
            continue
        folders[:] = [
            name for name in folders if name[0] != "." and os.path.abspath(os.path.join(root, name)) != excluded
        ]
        yield from (Path(root, name) for name in videos)


def _holds_images(path: Path) -> bool:
    return path.is_dir() and any(item.suffix.lower() in IMAGE_ENDINGS for item in path.iterdir())


def _version(path: Path) -> str:
    try:
        if not path.is_dir():
            facts = path.stat()
            return f"{facts.st_size}-{facts.st_mtime_ns}"
        with os.scandir(path) as entries:
            files = sorted((os.fsencode(e.name), e.stat().st_size, e.stat().st_mtime_ns) for e in entries)
    except OSError:  # told when its turn comes
        return _ABSENT
    return f"{len(files)}-{hashlib.sha256(repr(files).encode()).hexdigest()[:12]}"


def _parts(video: VideoInput, reading: dict[str, Any]) -> list[VideoInput]:
    """Return the videos of an array file of several, each by a name of its own."""
    path = Path(video.location)
    if path.suffix.lower() not in ARRAY_ENDINGS or remote.is_remote(video.location):
        return [video]
    try:
        readers = read_videos(path, **reading)
    except InputError:  # told when its turn comes
        return [video]
    return [
        VideoInput(f"{video.name}/{reader.name}", video.location, video.version, place)
        for place, reader in enumerate(readers)
    ]
