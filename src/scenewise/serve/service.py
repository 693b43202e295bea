"""Videos that come one by one, wait their turn, and are taken apart by the workers of a batch."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenewise.batch import ledger
from scenewise.batch.job import FrameCount, Task, thumbnail
from scenewise.batch.ledger import DONE, FAILED, RUNNING, WAITING, Ledger, Row
from scenewise.documents import shortened
from scenewise.errors import InputError, printable
from scenewise.media.files import writing
from scenewise.media.folders import BusyError, lock
from scenewise.media.video import VIDEO_ENDINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import IO

    from scenewise.batch.job import BatchJob
    from scenewise.batch.pool import LocalPool
    from scenewise.serve.roots import Root

UPLOADS = "uploads"
"""Folder of videos that wait; each goes when it is done."""

_SECONDS_BETWEEN = 0.1
_LONGEST_NAME = 200


class FullError(Exception):
    """As many videos wait as may."""


@dataclass(frozen=True)
class ServiceLimits:
    """What a service takes.

    Attributes:
        megabytes: Largest video, MiB.
        frames: Longest video.
        queue: Most videos that wait.
        keep: Results that are kept; the oldest go.
    """

    megabytes: int = 512
    frames: int = 20_000
    queue: int = 32
    keep: int = 1000

    def __post_init__(self) -> None:
        for name in ("megabytes", "frames", "queue", "keep"):
            if getattr(self, name) < 1:
                raise InputError(name, f"must be at least 1; found {getattr(self, name)}.")


class Service:
    """Takes videos, does them in their order, and knows what became of each; also after it was ended and begun again.

    Args:
        job: What is done to every video; its folder is that of the service.
        model: Name of the model.
        limits: What it takes.
        roots: Below which addresses may be fetched.

    Raises:
        InputError: The folder cannot be written, or another service has it.
    """

    def __init__(self, job: BatchJob, model: str, limits: ServiceLimits, roots: Sequence[Root] = ()) -> None:
        self.job, self.model, self.limits, self.roots = job, model, limits, tuple(roots)
        self.folder = Path(job.out)
        with writing(self.folder / UPLOADS):
            (self.folder / UPLOADS).mkdir(parents=True, exist_ok=True)
        self._stack = contextlib.ExitStack()
        try:
            self.held: IO[str] = self._stack.enter_context(lock(self.folder / ".batch.lock"))
        except BusyError:
            problem = "another service or batch is at work in this folder."
            raise InputError(self.folder, problem, "Choose another folder.") from None
        self._ledger = Ledger(self.folder / "ledger.sqlite")
        self._stack.callback(self._ledger.close)
        self._guard = threading.RLock()
        self._rows = self._ledger.rows()
        self._counts = dict[str, FrameCount]()
        self._queue: deque[str] = deque()
        self._dropped = set[str]()
        self._arriving = 0
        self._ending = threading.Event()
        self.problem = ""
        for row in sorted(self._rows.values(), key=lambda row: (row.state != RUNNING, row.began)):
            if row.state in (WAITING, RUNNING):  # when the last service ended
                row.state = WAITING
                self._queue.append(row.name)

    # -- what comes in ------------------------------------------------------------------------------------------

    def reserve(self) -> None:
        """Take a place in the queue for a video that begins to come.

        Raises:
            FullError: There is none.
        """
        with self._guard:
            if len(self._queue) + self._arriving >= self.limits.queue:
                raise FullError
            self._arriving += 1

    def release(self) -> None:
        """Give the place back: the video has come, or will not."""
        with self._guard:
            self._arriving -= 1

    def place_for(self, title: str) -> tuple[str, Path]:
        """Return a number for a video, and the file that it is to be put in.

        Raises:
            InputError: Its name does not end as a video's.
        """
        ending = Path(title[-_LONGEST_NAME:]).suffix.lower()
        if ending not in VIDEO_ENDINGS:
            problem = f"must end in {', '.join(VIDEO_ENDINGS)}; found {shortened(title)}."
            raise InputError("name", problem, "Give the video's own name.")
        number = secrets.token_hex(12)
        return number, self.folder / UPLOADS / f"{number}{ending}"

    def add(self, number: str, location: str, title: str) -> None:
        """Let a video wait for its turn.

        Args:
            number: What `place_for` returned.
            location: Its file, or an address.
            title: What its results call it.
        """
        with self._guard:
            row = Row(number, location, title[-_LONGEST_NAME:], "", self.job.key(), self.model, self.job.fingerprint)
            self._rows[number] = row
            row.began = time.time()
            self._ledger.put([row])
            self._queue.append(number)

    def add_address(self, address: str) -> str:
        """Let a video be fetched and wait for its turn; returns its number.

        Raises:
            InputError: Its address lies below no root.
            FullError: As many videos wait as may.
        """
        if not any(root.holds(address) for root in self.roots):
            raise InputError("url", "is not below an address that this service may fetch.", "Upload the video instead.")
        title = address.partition("?")[0].rpartition("/")[2]
        number, _ = self.place_for(title)
        self.reserve()
        try:
            self.add(number, address, title)
        finally:
            self.release()
        return number

    @property
    def waiting(self) -> int:
        """Videos whose turn has not come."""
        return len(self._queue)

    # -- what is known ------------------------------------------------------------------------------------------

    def numbers(self) -> list[str]:
        """Return the numbers of all videos, the newest first."""
        with self._guard:
            return [row.name for row in sorted(self._rows.values(), key=lambda row: -row.began)]

    def facts(self, number: str) -> dict[str, Any] | None:
        """Return what is known of a video, None of one that is not."""
        with self._guard:
            row = self._rows.get(number)
            if row is None:
                return None
            count = self._counts.get(number)
            done = row.state == DONE
            return {
                "id": number,
                "name": printable(row.title),
                "state": row.state,
                "waiting_before": self._queue.index(number) if number in self._queue else 0,
                "frames": row.frames if done else count.frames if count else 0,
                "expected_frames": row.frames if done else count.total if count else None,
                "verdict": row.verdict,
                "objects": row.objects if done else None,
                "seconds": row.seconds,
                "error": row.error,
                "files": self._files(number) if done else [],
            }

    def file(self, number: str, name: str) -> Path | None:
        """Return a file of a video's results, None where there is none of that name."""
        with self._guard:
            files = self._files(number) if number in self._rows else []
        return self._results(number) / name if name in files else None

    def drop(self, number: str) -> bool:
        """Forget a video and remove what there is of it; returns whether there was one. What runs is broken off."""
        with self._guard:
            row = self._rows.pop(number, None)
            if row is None:
                return False
            if number in self._queue:
                self._queue.remove(number)
            if row.state == RUNNING:
                self._dropped.add(number)
            self._ledger.remove([number])
        self._remove(row)
        return True

    # -- the work -----------------------------------------------------------------------------------------------

    def work(self, make_pool: Callable[[], LocalPool]) -> None:
        """Do what waits, until `end`; runs in a thread of its own."""
        try:
            with make_pool() as pool:
                while not self._ending.is_set():
                    self._give_out(pool)
                    for event in pool.events(_SECONDS_BETWEEN):
                        self._hear(event)
        except InputError as error:  # the model is gone, or the disk is full
            self.problem = error.line()
        except Exception as error:  # a fault of the program: told to who asks, not only to who looks at the terminal
            self.problem = f"{type(error).__name__} in the service; it must be begun again."
            raise

    def end(self) -> None:
        """End the work; what was under way waits for the next time."""
        self._ending.set()

    def close(self) -> None:
        """Let go of the folder, when no work is done any more."""
        self._stack.close()

    def _give_out(self, pool: LocalPool) -> None:
        with self._guard:
            for number in self._dropped:
                pool.cancel(number)
            while self._queue and pool.room:
                row = self._rows[self._queue.popleft()]
                ledger.began(row)
                self._ledger.put([row])
                pool.submit([Task(row.name, row.location, overwrite=True, title=row.title)])

    def _hear(self, event: Any) -> None:
        with self._guard:
            if isinstance(event, FrameCount):
                self._counts[event.name] = event
                return
            self._counts.pop(event.name, None)
            row = self._rows.get(event.name)
            if row is None:  # it was dropped meanwhile
                self._dropped.discard(event.name)
                shutil.rmtree(self._results(event.name), ignore_errors=True)
                return
            ledger.ended(row, event)
            if row.error and not event.killed:  # a video that cannot be read cannot be read the next time
                row.state = FAILED
            if row.state == WAITING:
                self._queue.append(row.name)
            self._ledger.put([row])
            if row.state in (DONE, FAILED):
                self._upload(row).unlink(missing_ok=True)
                done = [row for row in self._rows.values() if row.state in (DONE, FAILED)]
                for oldest in sorted(done, key=lambda row: row.ended)[: -self.limits.keep]:
                    self.drop(oldest.name)

    def _results(self, number: str) -> Path:
        return Task(number, "").folder(self.job)

    def _files(self, number: str) -> list[str]:
        folder = self._results(number)
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())

    def _upload(self, row: Row) -> Path:
        return self.folder / UPLOADS / Path(row.location).name

    def _remove(self, row: Row) -> None:
        self._upload(row).unlink(missing_ok=True)
        shutil.rmtree(self._results(row.name), ignore_errors=True)
        (self.folder / thumbnail(row.name)).unlink(missing_ok=True)
