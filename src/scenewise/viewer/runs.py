"""The folder of a training run as it is now: curves in few points, and the newest pictures."""

from __future__ import annotations

import csv
import math
from typing import TYPE_CHECKING, Any

from scenewise.media.files import read_bytes

if TYPE_CHECKING:
    from pathlib import Path

MOST_POINTS = 400
_TABLES = ("metrics.csv", "validation.csv")
_LARGEST = 64 << 20
_EMPTY_SCENE = "background.png"  # that of the recipe, beside the pictures of decompositions


def is_run(path: Path) -> bool:
    """Return whether a folder is that of a training run."""
    return (path / "recipe.yaml").is_file() and ((path / "stages").is_dir() or (path / _TABLES[0]).is_file())


def run_now(folder: Path) -> tuple[dict[str, Any], bytes | None]:
    """Return what a run's folder holds now.

    Args:
        folder: Of the run.

    Returns:
        `stages`, each with `name` and `tables`: columns of `steps` and values by name, None where there is none; and
        the newest picture of decompositions, PNG, or None.
    """
    stages = sorted((folder / "stages").iterdir(), key=_number) if (folder / "stages").is_dir() else [folder]
    rows = [{"name": stage.name if stage != folder else "", "tables": _tables(stage)} for stage in stages]
    pictures = [path for stage in stages for path in (stage / "images").glob("*.png") if path.name != _EMPTY_SCENE]
    newest = max(pictures, key=lambda path: path.stat().st_mtime, default=None)
    facts = {"stages": rows, "picture_name": "" if newest is None else newest.stem}
    return facts, None if newest is None else read_bytes(newest, _LARGEST)


def _number(path: Path) -> tuple[int, str]:
    head = path.name.partition("-")[0]
    return (int(head) if head.isdecimal() and head.isascii() else 1 << 30), path.name


def _tables(stage: Path) -> dict[str, dict[str, list[float | None]]]:
    tables = {}
    for name in _TABLES:
        path = stage / name
        if not path.is_file() or path.stat().st_size > _LARGEST:
            continue
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            lines = list(csv.DictReader(file))
        stride = max(1, -(-len(lines) // MOST_POINTS))
        lines = [*lines[::stride], *(lines[-1:] if (len(lines) - 1) % stride else [])]
        columns = [key for key in (lines[0] if lines else {}) if key]
        tables[path.stem] = {column: [_value(line.get(column)) for line in lines] for column in columns}
    return tables


def _value(text: Any) -> float | None:
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None
