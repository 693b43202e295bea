"""Where what is made of a file once is kept: next to it, or in the user's cache folder."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from scenewise.media.files import writing


def user_cache() -> Path | None:
    """Return the user's cache folder (XDG_CACHE_HOME, else .cache at home), None for a user without a home."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scenewise"
    except RuntimeError:
        return None


def cache_folder(path: Path, cache: str | None) -> Path:
    """Return where what is made of a file is kept; see `RecordFile`.

    Where none was chosen, and neither the file's folder nor the user's can be written, it is one that cannot.

    Raises:
        InputError: The folder that was chosen cannot be made.
    """
    own = path.absolute().parent
    if cache is None:
        folder = user_cache()
        if folder is None or os.access(own, os.W_OK):
            return own
        with suppress(OSError):
            (folder / "records").mkdir(parents=True, exist_ok=True)
        return folder / "records"
    with writing(Path(cache) / path.name):
        Path(cache).mkdir(parents=True, exist_ok=True)
    return Path(cache)
