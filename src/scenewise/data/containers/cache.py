"""Where what is made of a file once is kept: next to it, or in the user's cache folder."""

from __future__ import annotations

import os
from pathlib import Path

from scenewise.media.files import writing


def cache_folder(path: Path, cache: str | None) -> Path:
    """Return where what is made of a file is kept; see `RecordFile`.

    Raises:
        InputError: The folder cannot be made.
    """
    if cache is None:
        if os.access(path.parent, os.W_OK):
            return path.absolute().parent
        cache = str(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scenewise" / "records")
    with writing(Path(cache) / path.name):
        Path(cache).mkdir(parents=True, exist_ok=True)
    return Path(cache)
