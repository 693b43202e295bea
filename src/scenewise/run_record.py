"""What tells one run from another in the records beside results: fingerprints of data, versions, and memory."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import platform
import sys
from pathlib import Path
from typing import Any

from scenewise.errors import InputError
from scenewise.version import __version__

RECORD = "run.json"
"""Name of the record that stands beside results."""

_EDGE = 1 << 20  # bytes read at either end of a file
_VERSIONED = ("torch", "numpy", "av", "pycocotools")


def of_values(*values: Any) -> str:
    """Return a hash of plain values (numbers, texts, lists, mappings)."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:16]


def of_file(path: str | Path) -> str:
    """Return a hash of a file's size and of the megabytes at its start and end; a copy has the same one.

    Raises:
        InputError: The file cannot be read.
    """
    try:
        size = Path(path).stat().st_size
        with Path(path).open("rb") as file:
            head = file.read(_EDGE)
            file.seek(max(size - _EDGE, 0))
            return of_values(size, hashlib.sha256(head + file.read(_EDGE)).hexdigest())
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror or error}.", "Check the path.") from error


def versions() -> dict[str, str]:
    """Return the versions that numbers may depend on."""
    numbers = {"scenewise": __version__, "python": platform.python_version(), "platform": platform.platform()}
    return numbers | {name: _version(name) for name in _VERSIONED}


@functools.cache
def _version(package: str) -> str:
    """Return the version of a package, which is looked for on the disk."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def peak_memory_mib() -> int | None:
    """Return the largest memory this process has held, MiB, or None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10))
