"""What is done, failed and left of a batch: one row per video in SQLite, which survives any end of any process."""

from __future__ import annotations

import math
import os
import sqlite3
import time
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Any

from scenewise.documents import shortened
from scenewise.errors import InputError, describe
from scenewise.media.files import is_below

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from scenewise.batch.inputs import VideoInput
    from scenewise.batch.job import Outcome

WAITING, RUNNING, DONE, FAILED = "waiting", "running", "done", "failed"
STATES = (WAITING, RUNNING, DONE, FAILED)
"""States of a video; one that failed is set aside."""

TRIES = 3
"""How often a video may fail before it is set aside."""
DEATHS = 6
"""How often the process that works on a video may be killed before it is set aside."""

_FORMAT = 1
_COLUMNS = """name PRIMARY KEY, location, title, version, job, model, fingerprint, state, attempts INTEGER,
deaths INTEGER, verdict, objects INTEGER, frames INTEGER, seconds REAL, report, error, began REAL, ended REAL"""


@dataclass
class Row:
    """What is known of one video; the columns of the table.

    Attributes:
        name: Relative path of the video and of its results.
        location: Path or address.
        title: What its results call it, where that is not the file's name.
        version: Of the file.
        job: Key of the work.
        model: Name of the model.
        fingerprint: Of the model.
        state: "waiting", "running", "done" or "failed".
        attempts: Tries that failed by themselves.
        deaths: Tries that ended because the process was killed.
        verdict: In the words of `Summary`.
        objects: Number of objects.
        frames: Frames taken apart.
        seconds: What the last try took.
        report: What to open first: a file in its folder, or "".
        error: Why the last try failed.
        began: When the last try began, seconds since 1970.
        ended: When it ended.
    """

    name: str
    location: str = ""
    title: str = ""
    version: str = ""
    job: str = ""
    model: str = ""
    fingerprint: str = ""
    state: str = WAITING
    attempts: int = 0
    deaths: int = 0
    verdict: str = ""
    objects: int = 0
    frames: int = 0
    seconds: float = 0.0
    report: str = ""
    error: str = ""
    began: float = 0.0
    ended: float = 0.0


_NAMES = tuple(field.name for field in fields(Row))
_FRONT = ("report.html", "overlay.mp4", "tracks.csv", "run.json")


class Ledger:
    """The table of one folder, or of one shard of it; only the process that leads a batch writes to it.

    Args:
        path: The file; made where it is not there.
        read_only: Change nothing.
        shared: Others on other machines read it meanwhile: then it has no write-ahead log, which is for one machine.

    Raises:
        InputError: It is no ledger, or of a newer version.

    Examples:
        >>> from pathlib import Path
        >>> ledger = Ledger(Path("ledger.sqlite"))
        >>> ledger.put([Row("a.mp4", state=DONE, objects=3)])
        >>> ledger.rows()["a.mp4"].objects
        3
    """

    def __init__(self, path: Path, read_only: bool = False, shared: bool = False) -> None:
        self.path = path
        if os.path.lexists(path) and not os.path.isfile(path):  # a pipe or a device would block
            raise InputError(path, "is no regular file.", "Choose another folder.")
        try:
            self._base = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
            if not read_only:
                self._base.execute(f"PRAGMA journal_mode={'DELETE' if shared else 'WAL'}")
                self._base.execute("PRAGMA synchronous=NORMAL")
                self._base.execute(f"CREATE TABLE IF NOT EXISTS videos ({_COLUMNS}) WITHOUT ROWID")
            version = self._base.execute("PRAGMA user_version").fetchone()[0]
            if version > _FORMAT:
                raise InputError(
                    path, f"has format {version}; this version reads up to {_FORMAT}.", "Upgrade scenewise."
                )
            contents = self._base.execute("SELECT type, name FROM sqlite_master").fetchall()
            if contents != [("table", "videos")]:  # a view or a trigger would do things of its own
                problem = "is no ledger of a batch: it holds other things than a table of videos."
                raise InputError(path, problem, "Choose another folder.")
            if not read_only:
                self._base.execute(f"PRAGMA user_version={_FORMAT}")
        except sqlite3.Error as error:
            raise InputError(path, f"cannot be used: {describe(error)}.", "Choose another folder.") from error

    def rows(self) -> dict[str, Row]:
        """Return all rows by name.

        Raises:
            InputError: It is damaged.
        """
        try:
            table = self._base.execute(f"SELECT {', '.join(_NAMES)} FROM videos").fetchall()
        except sqlite3.Error as error:
            raise InputError(self.path, f"cannot be read: {describe(error)}.", "Choose another folder.") from error
        values: list[list[Any]] = [[os.fsdecode(v) if isinstance(v, bytes) else v for v in each] for each in table]
        rows = [Row(*each) for each in values]
        for row in rows:
            if not _is_sound(row):
                problem = f"is damaged: what it says of {shortened(row.name)} was never written."
                raise InputError(self.path, problem, "Choose another folder.")
        return {row.name: row for row in rows}

    def put(self, rows: Iterable[Row]) -> None:
        """Write rows in place of those of their names, all or none.

        Raises:
            InputError: The disk is full, or the file cannot be written.
        """
        places = ", ".join("?" * len(_NAMES))
        values = [tuple(_storable(getattr(row, name)) for name in _NAMES) for row in rows]
        try:
            self._base.execute("BEGIN")
            self._base.executemany(f"INSERT OR REPLACE INTO videos ({', '.join(_NAMES)}) VALUES ({places})", values)
            self._base.execute("COMMIT")
        except sqlite3.Error as error:
            raise InputError(self.path, f"cannot be written: {describe(error)}.", "Free some space.") from error

    def remove(self, names: Iterable[str]) -> None:
        """Forget the rows of some names.

        Raises:
            InputError: The file cannot be written.
        """
        try:
            self._base.executemany("DELETE FROM videos WHERE name = ?", [(_storable(name),) for name in names])
        except sqlite3.Error as error:
            raise InputError(self.path, f"cannot be written: {describe(error)}.", "Choose another folder.") from error

    def close(self) -> None:
        """Let go of the file."""
        self._base.close()


def _is_sound(row: Row) -> bool:
    """Return whether a row holds what was written: its name leads nowhere else, and every value is of its kind."""
    values: dict[str, Any] = {each.name: getattr(row, each.name) for each in fields(Row)}
    kinds = {each.name: str if each.default is MISSING else type(each.default) for each in fields(Row)}
    if any(type(values[name]) is not kind for name, kind in kinds.items()):
        return False
    if not all(0 <= values[name] < math.inf for name, kind in kinds.items() if kind is not str):
        return False
    names = (row.name, row.report or "report")
    return row.state in STATES and all(is_below(name) and "\0" not in name for name in names)


def waiting(video: VideoInput, before: Row, job: str, model: str, fingerprint: str) -> Row:
    """Return the row of a video that is to be done; tries of the same version and work go on counting."""
    same = (before.version, before.job) == (video.version, job)
    attempts, deaths = (before.attempts, before.deaths) if same else (0, 0)
    return Row(video.name, video.location, "", video.version, job, model, fingerprint, WAITING, attempts, deaths)


def began(row: Row) -> None:
    """Note that a try begins."""
    row.state, row.began, row.error = RUNNING, time.time(), ""


def ended(row: Row, outcome: Outcome) -> None:
    """Note what came of a try: done, failed and set aside, or waiting for the next one."""
    row.ended, row.seconds, row.error = time.time(), round(outcome.seconds, 3), outcome.error
    if not outcome.error:
        row.state, row.verdict, row.objects, row.frames = DONE, outcome.verdict, outcome.objects, outcome.frames
        row.report = next((name for name in _FRONT if name in outcome.files), "")
        return
    row.attempts += not outcome.killed
    row.deaths += outcome.killed
    row.state = FAILED if row.attempts >= TRIES or row.deaths >= DEATHS else WAITING


def merged(tables: Sequence[dict[str, Row]]) -> dict[str, Row]:
    """Return the rows of several shards; of a video in more than one, the newest counts."""
    rows = dict[str, Row]()
    for row in (row for table in tables for row in table.values()):
        other = rows.get(row.name)
        if other is None or max(row.began, row.ended) > max(other.began, other.ended):
            rows[row.name] = row
    return rows


def _storable(value: Any) -> Any:
    """Return text that is no UTF-8, as names of files can be, as bytes."""
    if isinstance(value, str) and not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        return os.fsencode(value)
    return value
