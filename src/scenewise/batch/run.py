"""A batch from its first video to its last: what is left is given out, what comes of it is noted."""

from __future__ import annotations

import time
from collections import deque
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from scenewise.batch import ledger
from scenewise.batch.inputs import in_shard
from scenewise.batch.job import RESULTS, FrameCount, Outcome, Task
from scenewise.batch.ledger import DONE, FAILED, RUNNING, WAITING, Ledger, Row
from scenewise.batch.page import write_page
from scenewise.batch.tables import write_csv, write_parquet
from scenewise.errors import InputError, printable
from scenewise.media.files import read_json_mapping, writing
from scenewise.media.folders import BusyError, lock
from scenewise.run_record import RECORD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from scenewise.batch.inputs import VideoInput
    from scenewise.batch.job import BatchJob
    from scenewise.batch.pool import Pool

INDEX, TABLE, PARQUET = "index.html", "summary.csv", "summary.parquet"
"""Files about all videos, in the batch's folder."""

LOCK_SECONDS = 3.0
"""Time for which a folder is waited for: processes of a batch that was killed need a moment to notice."""

_SECONDS_BETWEEN = 0.2  # looks at what the workers tell


@dataclass
class Standing:
    """How far a batch is.

    Attributes:
        total: Videos of this batch, or of this shard.
        skipped: Videos that were done before.
        done: Videos done since.
        failed: Names of those set aside, with the reason.
        frames: Frames of the videos done since, and so far of those under way.
        seconds: Since the first was given out.
        stopped: Whether it was broken off.
        model: Name of the model.
        folder: Where everything is.
    """

    total: int
    skipped: int
    model: str
    folder: str
    done: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    frames: int = 0
    seconds: float = 0.0
    stopped: bool = False

    @property
    def left(self) -> int:
        """Videos that are neither done nor set aside."""
        return self.total - self.skipped - self.done - len(self.failed)

    @property
    def videos_per_hour(self) -> float:
        """Videos done since, an hour."""
        return 3600 * self.done / max(self.seconds, 1e-9)


@dataclass(frozen=True)
class Choice:
    """Which videos of a list are to be done, and how many side by side.

    Attributes:
        shard: (I, N): only every N-th, by a hash of the name; I from 1.
        overwrite: Do again what was done by another model or with other options.
        retry: Try once more those that were set aside.
        group: Videos that share the model's calls.
    """

    shard: tuple[int, int] | None = None
    overwrite: bool = False
    retry: bool = False
    group: int = 1


class Batch:
    """The videos of one folder of results; as a context manager it holds the folder against other batches.

    Args:
        job: What is done to every video.
        model: Name of the model.
        choice: Which videos, and how.

    Raises:
        InputError: Another batch works in the folder, or it cannot be written.
    """

    def __init__(self, job: BatchJob, model: str, choice: Choice | None = None) -> None:
        self.job, self.model, self.choice = job, model, choice or Choice()
        self.folder = Path(job.out)
        self.rows: dict[str, Row] = {}
        self._left: deque[Row] = deque()
        self._counts: dict[str, int] = {}
        self._ours: set[str] = set()  # names that were in a ledger before
        self._places: dict[str, int | None] = {}
        self._stack = ExitStack()
        self.held: IO[str] | None = None

    def __enter__(self) -> Batch:
        with writing(self.folder / "ledger"):
            self.folder.mkdir(parents=True, exist_ok=True)
        shard = self.choice.shard
        name = "ledger" if shard is None else f"ledger-{shard[0]}-of-{shard[1]}"
        with ExitStack() as stack:
            self.held = stack.enter_context(_locked(self.folder / ".batch.lock", shared=shard is not None))
            if shard is not None:
                self.held = stack.enter_context(_locked(self.folder / f".{name}.lock"))
            self.ledger = Ledger(self.folder / f"{name}.sqlite", shared=shard is not None)
            stack.callback(self.ledger.close)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def plan(self, videos: Sequence[VideoInput]) -> Standing:
        """Decide which videos are left, and note them.

        Args:
            videos: All that were named; those of other shards are left out.

        Raises:
            InputError: Some were done by another model or with other options, and `overwrite` is off.
        """
        own = [video for video in videos if in_shard(video.name, self.choice.shard)]
        self.rows = self._known()
        key = self.job.key()
        others = [v.name for v in own if (row := self.rows.get(v.name)) and row.state == DONE and row.job != key]
        if others and not self.choice.overwrite:
            problem = f"holds results of {others[0]} and {len(others) - 1} more by another model or with other options."
            raise InputError(self.folder, problem, "Choose another folder, or add --overwrite to do them again.")
        standing = Standing(len(own), 0, self.model, str(self.folder))
        self._ours = set(self.rows)
        for video in own:
            row = self.rows.get(video.name) or Row(video.name)
            same = (row.version, row.job) == (video.version, key)
            if same and self._is_done(row):
                standing.skipped += 1
            elif same and row.state == FAILED and not self.choice.retry:
                standing.failed[video.name] = row.error
            else:
                before = Row(video.name) if row.state == FAILED else row
                row = ledger.waiting(video, before, key, self.model, self.job.fingerprint)
                self._left.append(row)
            self.rows[video.name] = row
        self.ledger.put(self.rows[video.name] for video in own)
        self._places = {video.name: video.place for video in own}
        return standing

    def run(
        self,
        standing: Standing,
        pool: Pool,
        tell: Callable[[Standing], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Standing:
        """Give out what is left until nothing is, and note what comes of it.

        Args:
            standing: What `plan` returned.
            pool: Who does the work.
            tell: Hears how far it is.
            stop: Asked now and then; True breaks off what is under way, which leaves nothing behind.

        Raises:
            InputError: The model cannot be loaded, or the disk is full.
        """
        began, busy, finished = time.monotonic(), dict[str, Row](), 0
        while self._left or busy:
            if stop is not None and stop():
                standing.stopped = True
                break
            while self._left and pool.room:
                size = min(self.choice.group, -(-len(self._left) // pool.room))
                group = [self._left.popleft() for _ in range(size)]  # the next videos that go side by side
                for row in group:
                    ledger.began(row)
                self.ledger.put(group)
                busy |= {row.name: row for row in group}
                pool.submit([self._task(row) for row in group])
            for event in pool.events(_SECONDS_BETWEEN):
                if isinstance(event, FrameCount):
                    self._counts[event.name] = event.frames
                elif event.name in busy:
                    self._counts.pop(event.name, None)
                    finished += event.frames
                    self._note(standing, busy.pop(event.name), event)
            standing.seconds = time.monotonic() - began
            standing.frames = finished + sum(self._counts.values())
            if tell is not None:
                tell(standing)
        for row in busy.values():
            row.state = WAITING
        self.ledger.put(busy.values())
        return standing

    def write_pages(self) -> list[str]:
        """Write the page and the tables about all videos in the folder, those of other shards too; returns their names.

        Raises:
            InputError: The disk is full or the folder cannot be written.
        """
        rows = sorted(self._known().values(), key=lambda row: row.name)
        write_page(rows, self.folder / INDEX)
        write_csv(rows, self.folder / TABLE)
        more = [PARQUET] if write_parquet(rows, self.folder / PARQUET) else []
        return [INDEX, TABLE, *more]

    def _known(self) -> dict[str, Row]:
        """Return the rows of all ledgers in the folder."""
        others = [path for path in sorted(self.folder.glob("ledger*.sqlite")) if path != self.ledger.path]
        tables = [self.ledger.rows()]
        for path in others:
            other = Ledger(path, read_only=True)
            tables.append(other.rows())
            other.close()
        return ledger.merged(tables)

    def _is_done(self, row: Row) -> bool:
        """Return whether a video's results are there; those that were whole before their row said so count."""
        record = self.folder / RESULTS / row.name / RECORD
        if row.state == DONE:
            return record.exists()
        if row.state != RUNNING or not record.exists() or record.stat().st_mtime < row.began:
            return False
        try:
            facts = read_json_mapping(record, "a record", "")
        except InputError:
            return False
        outcome = _outcome(row, facts)
        if outcome is not None:
            ledger.ended(row, outcome)
        return outcome is not None

    def _task(self, row: Row) -> Task:
        ours = self.choice.overwrite or row.name in self._ours or row.attempts + row.deaths > 0
        return Task(row.name, row.location, self._places[row.name], overwrite=ours)

    def _note(self, standing: Standing, row: Row, outcome: Outcome) -> None:
        if "no space left for" in outcome.error:
            row.state = WAITING
            self.ledger.put([row])
            problem = f"no space left, at {printable(row.name, 100)}."
            raise InputError(self.folder, problem, "Free some space; the same command goes on.")
        if not (outcome.killed and self._is_done(row)):  # all but its last word may have come
            ledger.ended(row, outcome)
        self.ledger.put([row])
        standing.done += row.state == DONE
        if row.state == FAILED:
            standing.failed[row.name] = row.error
        if row.state == WAITING:
            self._left.append(row)


def _outcome(row: Row, facts: dict[str, Any]) -> Outcome | None:
    """Return what the record of whole results by the row's model says, None of any other and of a damaged one."""
    kinds: dict[str, Any] = {"verdict": str, "objects": int, "frames": int, "seconds": (int, float), "files": list}
    settings: Any = facts.get("settings")
    model = settings.get("model") if isinstance(settings, dict) else None
    ours = isinstance(model, dict) and model.get("fingerprint") == row.fingerprint
    if facts.get("interrupted") or not ours or not all(isinstance(facts.get(key), kind) for key, kind in kinds.items()):
        return None
    return Outcome(row.name, **{name: facts[name] for name in kinds})


@contextmanager
def _locked(path: Path, shared: bool = False) -> Iterator[IO[str]]:
    """Hold a batch's lock; processes that a killed batch has left behind are given time to end.

    Raises:
        InputError: Another batch holds it.
    """
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            with ExitStack() as stack:
                file = stack.enter_context(lock(path, shared))
                held = stack.pop_all()
        except BusyError:
            if time.monotonic() >= deadline:
                problem = "another batch is at work in this folder."
                raise InputError(path.parent, problem, "Wait for it, or choose another folder.") from None
            time.sleep(0.05)
        else:
            with held:
                yield file
            return
