"""Videos elsewhere, by their address: what is there, what changed, and a copy of one on this machine (fsspec)."""

from __future__ import annotations

import hashlib
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from scenewise.errors import InputError, describe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_AT_ONCE = 16  # questions to a server
_BLOCK = 1 << 20
_LONGEST_PART = 150  # bytes of a file's name
_PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}  # that fsspec takes for them
_TELLING = ("size", "ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "md5Hash", "created", "mode")


def is_remote(text: str) -> bool:
    """Return whether a word is an address such as s3://bucket/clip.mp4."""
    return "://" in text


def name_of(address: str) -> str:
    """Return the relative path by which a remote video goes: scheme, server and path.

    Examples:
        >>> name_of("s3://bucket/night/clip.mp4"), name_of("https://a.org/../clip.mp4?version=2")
        ('s3/bucket/night/clip.mp4', 'https/a.org/clip.mp4-8ad4d7ff')
    """
    parts = urlsplit(address)
    more = f"-{_hash(parts.query)}" if parts.query else ""
    return _below(f"{parts.scheme}/{parts.netloc.rpartition('@')[2]}/{unquote(parts.path)}") + more


def _below(path: str) -> str:
    """Return a relative path whose parts are all names, whatever a store calls its files."""
    return "/".join(_short(word) for word in path.replace("\0", "").split("/") if word.strip(". "))


def find(address: str, endings: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return (name, address) of every video that an address names: a file, a folder with all below it, or a pattern.

    Args:
        address: Such as "s3://bucket/clips", "memory://clips/*.mp4".
        endings: Of the files that are videos.

    Raises:
        InputError: There is nothing, the server cannot be asked, or fsspec or its part for the scheme is not installed.
    """
    system, path = _system(address)
    try:
        if any(sign in path for sign in "*[") and not address.startswith("http"):
            paths, root = system.glob(path), path[: min(path.find(s) for s in "*[" if s in path)].rpartition("/")[0]
        elif Path(urlsplit(address).path).suffix.lower() in endings or not system.isdir(path):
            return [(name_of(address), address)]
        else:
            paths, root = system.find(path), path.rstrip("/")
    except Exception as error:  # every kind of store has errors of its own
        raise InputError(address, f"cannot be listed: {describe(error)}.", "Check address and access.") from error
    videos = [str(where) for where in paths if str(where).lower().endswith(endings)]
    if not videos:
        raise InputError(address, "names no video.", "Check the address.")
    return [(_below(where.removeprefix(root)), system.unstrip_protocol(where)) for where in videos]


def versions(addresses: Sequence[str]) -> dict[str, str]:
    """Return what changes when a remote file does: a hash of its size, times and tags, as far as its store tells."""
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        return dict(zip(addresses, threads.map(_version, addresses), strict=True))


@contextmanager
def local(location: str, most_bytes: int | None = None, redirects: bool = True) -> Iterator[Path]:
    """Yield a path of a video on this machine; what is remote is copied, and the copy removed afterwards.

    Args:
        location: A path or an address.
        most_bytes: Largest copy; None for no limit.
        redirects: Whether an http server may send on to another address.

    Raises:
        InputError: It cannot be got, or is larger.
    """
    if not is_remote(location):
        yield Path(location)
        return
    with tempfile.TemporaryDirectory(prefix="scenewise-") as folder:
        copy = Path(folder, _short(PurePosixPath(unquote(urlsplit(location).path)).name or "video"))
        _copy(location, copy, most_bytes, redirects)
        yield copy


def _copy(address: str, copy: Path, most_bytes: int | None, redirects: bool) -> None:
    fixed = {} if redirects or not address.startswith("http") else {"allow_redirects": False}
    system, path = _system(address, **fixed)
    size = 0
    try:
        with system.open(path, "rb") as source, copy.open("wb") as target:
            while block := source.read(_BLOCK):
                size += len(block)
                if most_bytes is not None and size > most_bytes:
                    problem = f"is larger than the {most_bytes >> 20} MiB that are taken."
                    raise InputError(address, problem, "Give a shorter video.")
                target.write(block)
    except InputError:
        raise
    except Exception as error:  # every kind of store has errors of its own
        raise InputError(address, f"cannot be got: {describe(error)}.", "Check address and access.") from error


def _system(address: str, **options: Any) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise InputError(address, "needs fsspec.", "pip install 'scenewise[remote]'") from error
    try:
        system, path = url_to_fs(address, **options)
    except ImportError as error:
        scheme = address.partition("://")[0]
        remedy = f"pip install {_PACKAGES[scheme]}" if scheme in _PACKAGES else "Install what it names by pip."
        raise InputError(address, f"cannot be reached: {describe(error)}.", remedy) from error
    except Exception as error:  # an unknown scheme, wrong settings of a store
        raise InputError(address, f"cannot be reached: {describe(error)}.", "Check the address.") from error
    return system, path


def _version(address: str) -> str:
    try:
        system, path = _system(address)
        facts = system.info(path)
    except Exception:  # told when its turn comes
        return "absent"
    return _hash(repr([(key, str(facts[key])) for key in _TELLING if facts.get(key) is not None]))


def _short(word: str) -> str:
    encoded = word.encode(errors="surrogateescape")
    if len(encoded) <= _LONGEST_PART:
        return word
    ending = PurePosixPath(word).suffix[:8]
    return f"{encoded[:100].decode(errors='ignore')}-{_hash(word)}{ending}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:8]
