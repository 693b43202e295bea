"""Short hashes that change when data change, cheap enough for files of any size."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from scenewise.errors import InputError

_EDGE = 1 << 20  # bytes read at either end of a file


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
