"""Who does the tasks: processes on this machine, each with the model in it."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
from abc import abstractmethod
from dataclasses import asdict, replace
from typing import IO, TYPE_CHECKING

from scenewise.batch.child import OUTCOME, PROGRESS, READY, REFUSED
from scenewise.batch.job import FrameCount, Outcome
from scenewise.errors import InputError
from scenewise.media.files import Closes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scenewise.batch.job import BatchJob, Task

_MOST_STARTS = 3  # of a process that is gone before its model is loaded
_MOST_KILLS = 12  # of one that was killed then: by a person, who may go on, or for memory, which will not get better
_SECONDS_TO_END = 5.0


class Pool(Closes):
    """Takes groups of tasks and tells what comes of them; as a context manager it ends all work on the way out."""

    @property
    @abstractmethod
    def room(self) -> int:
        """How many more groups it can begin at once."""

    @abstractmethod
    def submit(self, group: Sequence[Task]) -> None:
        """Begin a group of tasks, which are done side by side."""

    @abstractmethod
    def events(self, seconds: float) -> list[Outcome | FrameCount]:
        """Return what has happened since the last call; wait so long for it.

        Raises:
            InputError: The model cannot be loaded.
        """

    @abstractmethod
    def close(self) -> None:
        """End all work; what is half-done leaves nothing behind."""


def worker_device(device: str, number: int) -> str:
    """Return where the worker of a number, from 0, computes: workers share out the GPUs where there are several.

    Args:
        device: "auto", "cuda", or one by its name, which all workers have.
        number: Of the worker.
    """
    if device not in ("auto", "cuda"):
        return device
    import torch

    count = torch.cuda.device_count()
    return f"cuda:{number % count}" if count > 1 else device


class LocalPool(Pool):
    """Processes on this machine; one that is killed is begun anew, and its tasks are told to have been killed.

    Args:
        job: What is done to every video.
        workers: Number of processes.
        held: A file whose lock they hold as long as they live.
    """

    def __init__(self, job: BatchJob, workers: int, held: IO[str] | None = None) -> None:
        self.job, self._held = job, held
        self._selector = selectors.DefaultSelector()
        self._children: list[_Child] = []
        self._starts = 0
        for number in range(workers):
            self._begin(worker_device(job.device, number))

    @property
    def room(self) -> int:
        """How many more groups it can begin at once."""
        return sum(not child.tasks for child in self._children)

    @property
    def pids(self) -> list[int]:
        """Numbers of the processes."""
        return [child.process.pid for child in self._children]

    def submit(self, group: Sequence[Task]) -> None:
        """Begin a group of tasks in a process that has none."""
        next(child for child in self._children if not child.tasks).give(group)

    def events(self, seconds: float) -> list[Outcome | FrameCount]:
        """Return what has happened since the last call; wait so long for it."""
        events: list[Outcome | FrameCount] = []
        for key, _ in self._selector.select(seconds):
            child: _Child = key.data
            lines = child.lines()
            for line in lines or []:
                events += self._heard(child, *json.loads(line))
            if lines is None:
                events += self._replace(child)
        return events

    def cancel(self, name: str) -> None:
        """Break off the group that a task belongs to; its tasks are told to have been killed."""
        for child in self._children:
            if name in child.tasks:
                child.process.terminate()

    def close(self) -> None:
        """End all processes."""
        for child in self._children:
            child.process.terminate()
        for child in self._children:
            try:
                child.process.wait(_SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
            self._forget(child)
        self._children = []

    def _begin(self, device: str) -> None:
        child = _Child(replace(self.job, device=device), self._held)
        self._children.append(child)
        self._selector.register(child.answers, selectors.EVENT_READ, child)

    def _heard(self, child: _Child, kind: str, value: dict) -> list[Outcome | FrameCount]:
        if kind == REFUSED:
            raise InputError(*value)
        if kind == READY:
            self._starts = 0
        if kind == PROGRESS:
            return [FrameCount(**value)]
        if kind == OUTCOME:
            child.tasks.pop(value["name"], None)
            return [Outcome(**value)]
        return []

    def _replace(self, child: _Child) -> list[Outcome | FrameCount]:
        """Begin another process in place of one that is gone."""
        code = child.process.wait()
        self._forget(child)
        self._children.remove(child)
        self._starts += 1
        if self._starts > (_MOST_KILLS if code < 0 else _MOST_STARTS) + len(self._children):
            raise InputError("worker", f"ended with code {code} before it could work.", "Use fewer workers.")
        self._begin(child.device)
        how = f"by signal {-code}" if code < 0 else f"with code {code}"
        return [Outcome(name, f"the process that worked on it was ended {how}.", killed=True) for name in child.tasks]

    def _forget(self, child: _Child) -> None:
        self._selector.unregister(child.answers)
        child.close()


class _Child:
    """One process, and what it has been given."""

    def __init__(self, job: BatchJob, held: IO[str] | None) -> None:
        self.device = job.device
        answers, end = os.pipe()
        inherited = (end,) if held is None else (end, held.fileno())
        command = [sys.executable, "-m", "scenewise.batch.child", job.text(), str(end)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, pass_fds=inherited, env=environment
        )
        self._input: IO[bytes] = self.process.stdin  # type: ignore[assignment]  # a pipe was asked for
        os.close(end)
        os.set_blocking(answers, False)
        self.answers = answers
        self.tasks: dict[str, Task] = {}
        self._rest = b""

    def give(self, group: Sequence[Task]) -> None:
        """Send it a group of tasks; one that is gone is met by who reads its answers."""
        self.tasks = {task.name: task for task in group}
        line = json.dumps([asdict(task) for task in group]) + "\n"
        with contextlib.suppress(BrokenPipeError):
            self._input.write(line.encode())
            self._input.flush()

    def lines(self) -> list[bytes] | None:
        """Return the lines that have come whole, None where no more can come."""
        try:
            content = os.read(self.answers, 1 << 20)
        except BlockingIOError:
            return []
        if not content:
            return None
        *lines, self._rest = (self._rest + content).split(b"\n")
        return lines

    def close(self) -> None:
        """Let go of its pipes."""
        os.close(self.answers)
        with contextlib.suppress(BrokenPipeError):
            self._input.close()
