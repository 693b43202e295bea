"""The page about all videos of a batch: what each looks like, what was found, and the way to its report."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from scenewise.batch.job import RESULTS, thumbnail
from scenewise.batch.ledger import DONE, FAILED
from scenewise.errors import printable
from scenewise.media.files import atomic_file
from scenewise.report.templates import many, template

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from scenewise.batch.ledger import Row


def write_page(rows: Sequence[Row], path: Path) -> None:
    """Write the page; its pictures and reports are the files beside it.

    Args:
        rows: One per video.
        path: The file, in the batch's folder.

    Raises:
        InputError: The disk is full or the folder cannot be written.
    """
    states = Counter(row.state for row in rows)
    left = len(rows) - states[DONE] - states[FAILED]
    parts = [f"{states[DONE]:,} of {many(len(rows), 'video')} done"]
    parts += [f"{states[FAILED]:,} failed"] if states[FAILED] else []
    parts += [f"{left:,} left"] if left else []
    models = sorted({f"model {row.model}" for row in rows})
    frames, objects = sum(row.frames for row in rows), sum(row.objects for row in rows)
    hours = f"{sum(row.seconds for row in rows) / 3600:.2f} hours"
    pieces = template("batch.html").generate(
        title=printable(path.absolute().parent.name),
        verdict=", ".join(parts) + ".",
        facts=[*models, many(frames, "frame"), many(objects, "object"), hours],
        rows=[_row(row, path.parent) for row in rows],
    )
    with atomic_file(path) as file:
        for piece in pieces:
            file.write(piece.encode())


def _row(row: Row, folder: Path) -> dict[str, Any]:
    picture = thumbnail(row.name)
    return {
        "name": printable(row.name),
        "state": row.state,
        "verdict": row.verdict,
        "objects": row.objects,
        "frames": row.frames,
        "seconds": row.seconds,
        "ended": round(row.ended),
        "error": printable(row.error),
        "picture": _address(picture) if row.state in (DONE, FAILED) and (folder / picture).exists() else "",
        "link": _address(f"{RESULTS}/{row.name}/{row.report}") if row.state == DONE else "",
    }


def _address(path: str) -> str:
    """Return a relative path as a page links to it."""
    return quote(os.fsencode(path))
