"""All videos of a batch as one table, in files that programs read."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from scenewise.errors import printable
from scenewise.media.files import atomic_file, write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from scenewise.batch.ledger import Row

COLUMNS = (
    "name", "location", "state", "verdict", "objects", "frames", "seconds", "model", "fingerprint", "attempts",
    "deaths", "error", "report", "began", "ended",
)  # fmt: skip


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """Write a row per video, with a header, as UTF-8; names of other bytes are written as `printable` has them.

    Raises:
        InputError: The disk is full or the folder cannot be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(_values, rows))
    write_atomically(path, text.getvalue())


def write_parquet(rows: Sequence[Row], path: Path) -> bool:
    """Write the same columns for programs that read Parquet; returns False where pyarrow is not installed.

    Raises:
        InputError: The disk is full or the folder cannot be written.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        return False
    kinds = {"objects": pyarrow.int64(), "frames": pyarrow.int64(), "attempts": pyarrow.int64()}
    kinds |= {"deaths": pyarrow.int64()} | dict.fromkeys(("seconds", "began", "ended"), pyarrow.float64())
    schema = pyarrow.schema([(name, kinds.get(name, pyarrow.string())) for name in COLUMNS])
    with atomic_file(path) as file:
        parquet.write_table(pyarrow.Table.from_pylist(list(map(_values, rows)), schema), file)
    return True


def _values(row: Row) -> dict[str, Any]:
    values = asdict(row)
    return {name: printable(values[name]) if isinstance(values[name], str) else values[name] for name in COLUMNS}
