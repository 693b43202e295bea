"""Many cells in a budget of minutes: processes side by side, what is missing first, the cheapest first.

Nothing is remembered but what lies in the cells' folders, so a campaign may be stopped or killed at any moment and the
same command goes on. Two campaigns in one folder share the cells between them.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import forkserver
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from scenewise.errors import InputError
from scenewise.experiments.cell_folder import extras_of
from scenewise.experiments.estimate import Estimate, Estimator, progress
from scenewise.experiments.work import BUSY, DONE, STOPPED, CellJob, work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.context import ForkServerContext, ForkServerProcess
    from pathlib import Path

    from scenewise.experiments.cell_folder import CellFolder
    from scenewise.experiments.experiment import Experiment

_LOOK = 0.5  # seconds between looks at the clock
_LINE = 60.0  # seconds between lines
_MEASURING = 240.0  # seconds that `measure` and `pictures` of a module may take
_GRACE = 90.0  # seconds for processes that were asked to end
_LEAST, _SHARE = 10.0, 0.25  # seconds at least, and share of all minutes at most, that are kept for scoring a cell


@dataclass(frozen=True)
class CellTask:
    """A cell and whose it is.

    Attributes:
        experiment: Its experiment.
        folder: Its folder.
    """

    experiment: Experiment
    folder: CellFolder

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.folder.finished(extras_of(self.experiment.module))

    @property
    def name(self) -> str:
        """Experiment and cell, for people."""
        return f"{self.folder.out.name}/{self.folder.cell.name}"


@dataclass
class CampaignOutcome:
    """How a campaign ended.

    Attributes:
        done: Cells it finished.
        failed: Cells that failed, with the reason.
        left: Cells that are not finished, with an estimate of seconds.
        seconds: An estimate for all of them; a training that serves more than one counts once.
        busy: Cells on which another process works.
        signal: True where it was stopped by `stop`.
    """

    done: list[CellTask] = field(default_factory=list)
    failed: list[tuple[CellTask, str]] = field(default_factory=list)
    left: list[tuple[CellTask, float]] = field(default_factory=list)
    seconds: float = 0.0
    busy: list[CellTask] = field(default_factory=list)
    signal: bool = False


@dataclass(frozen=True)
class Running:
    """A cell's process.

    Attributes:
        task: The cell.
        process: The process.
        place: Its place among those at work, from 0; on a machine with GPUs, which one it uses.
        began: When, of `time.time`.
    """

    task: CellTask
    process: ForkServerProcess
    place: int
    began: float


class Campaign:
    """A campaign.

    Args:
        tasks: Cells that are not finished.
        log: File for a line a minute and one for every event.
        jobs: Processes side by side.
        minutes: Stop cleanly after that many, scores included; None for no limit.
        device: Where models are scored.
        trains: Whether cells are trained; else models that are there are scored.
        tell: Called with every line.
        stop: Asked twice a second whether to stop.
    """

    def __init__(
        self,
        tasks: Sequence[CellTask],
        log: Path,
        *,
        jobs: int = 1,
        minutes: float | None = None,
        device: str = "auto",
        trains: bool = True,
        tell: Callable[[str], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> None:
        self.waiting, self.log, self.jobs = list(tasks), log, jobs
        self.device, self.trains = device, trains
        self.tell, self.stop = tell or (lambda line: None), stop or (lambda: False)
        self.ends = None if minutes is None else time.time() + 60 * minutes
        self.minutes = minutes
        self.estimator = Estimator([task.folder for task in tasks])
        self.running: list[Running] = []
        self.halted: list[CellTask] = []
        self.outcome = CampaignOutcome()
        self.total = len(self.waiting)
        self._context = _context()
        self._gpus = _gpus()
        self._line = time.time()

    def run(self) -> CampaignOutcome:
        """Work until all is done, the time is over, or someone stops it.

        Raises:
            InputError: The log cannot be written.
        """
        self.say(f"{self.total} cells to do, {self.jobs} side by side, {self._hours()} of work")
        try:
            while not self._ending():
                self._fill()
                if not self.running:
                    break
                self._look()
        finally:
            self._end_all()
        out = self.outcome
        left = [*self.halted, *self.waiting]
        out.left = [(task, self.estimator.estimate(task.folder).total) for task in left]
        out.seconds = self.estimator.together(task.folder for task in left)
        self.say(f"{len(out.done)} done, {len(out.failed)} failed, {len(out.left) + len(out.busy)} left")
        return out

    def say(self, text: str) -> None:
        """Tell a line, and add it to the log."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
        self.tell(text)

    # -- starting ---------------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Start what there is room for; cells wait whose model, or the one it starts from, is being trained."""
        while len(self.running) < self.jobs:
            busy = {running.task.folder.run.path for running in self.running}
            failed = [task for task, _ in self.outcome.failed]
            unfinished = (*self.waiting, *self.halted, *self.outcome.busy, *failed)
            ahead = busy | {task.folder.run.path for task in unfinished}
            free = [t for t in self.waiting if t.folder.run.path not in busy and t.folder.start not in ahead]
            costs = [(self.estimator.estimate(task.folder), task) for task in free]
            if self.ends is not None:  # none whose training could only be stopped at once
                left = self.ends - time.time()
                costs = [(cost, task) for cost, task in costs if not cost.training or self._reserve(cost, task) < left]
            if not costs:
                return
            _, task = min(costs, key=lambda pair: pair[0].total)
            self.waiting.remove(task)
            self._start(task)

    def _reserve(self, cost: Estimate, task: CellTask) -> float:
        """Return the seconds that are kept for scoring a cell."""
        seconds = max(_LEAST, 2 * cost.scoring) + _MEASURING * bool(extras_of(task.experiment.module))
        return 0.0 if self.minutes is None else min(seconds, 60 * self.minutes * _SHARE)

    def _start(self, task: CellTask) -> None:
        place = min(set(range(self.jobs)) - {running.place for running in self.running})
        cost, folder = self.estimator.estimate(task.folder), task.folder
        job = CellJob(
            cell=folder.cell,
            module=task.experiment.module,
            out=folder.out,
            root=folder.root,
            words=tuple(folder.words),
            device=self.device,
            threads=2 if task.experiment.size == "paper" else 1,
            gpu=place % self._gpus if self._gpus else None,
            trains=self.trains,
            train_until=None if self.ends is None else self.ends - self._reserve(cost, task),
        )
        process = self._context.Process(target=work, args=(job,), name=task.name)
        process.start()
        self.running.append(Running(task, process, place, time.time()))
        self.say(f"{task.name}: begins, about {_words(cost.total)}")

    # -- watching ---------------------------------------------------------------------------------------------------

    def _ending(self) -> bool:
        if self.stop():
            self.outcome.signal = True
            return True
        return self.ends is not None and time.time() >= self.ends

    def _look(self) -> None:
        wait([running.process.sentinel for running in self.running], _LOOK)
        for running in [running for running in self.running if running.process.exitcode is not None]:
            self.running.remove(running)
            self._ended(running)
        if time.time() - self._line >= _LINE:
            self._line = time.time()
            self.say("; ".join([*map(_where, self.running), f"{len(self.waiting)} waiting, {self._hours()} left"]))

    def _ended(self, running: Running) -> None:
        task, code = running.task, running.process.exitcode
        took = _words(time.time() - running.began)
        if code == DONE and (not self.trains or task.finished):
            self.outcome.done.append(task)
            number = f"{len(self.outcome.done)} of {self.total}"
            self.say(f"{task.name}: done in {took} ({number})")
        elif code == BUSY:
            self.outcome.busy.append(task)
            self.say(f"{task.name}: another process works on it, passed over")
        elif code in (STOPPED, DONE):
            self.halted.append(task)
            self.say(f"{task.name}: stopped after {took}, goes on another time")
        else:
            failure = task.folder.failure()
            if failure is None:
                task.folder.fail(f"its process ended with code {code}")
                failure = task.folder.failure() or {}
            self.outcome.failed.append((task, str(failure.get("error", code))))
            self.say(f"{task.name}: FAILED, {' '.join(str(failure.get('error')).split())}; passed over")

    def _end_all(self) -> None:
        """Ask all processes to end, and wait until what they do is whole."""
        for running in self.running:
            running.process.terminate()
        until = time.time() + _GRACE
        for running in self.running:
            running.process.join(max(0.0, until - time.time()))
            if running.process.exitcode is None:
                running.process.kill()
                running.process.join()
            self._ended(running)
        self.running = []

    def _hours(self) -> str:
        tasks = [*self.waiting, *(running.task for running in self.running)]
        return _words(self.estimator.together(task.folder for task in tasks))


def _where(running: Running) -> str:
    """Return how far a cell is, in words."""
    folder = running.task.folder
    steps, seconds = progress(folder.run)
    if folder.cell.weights is not None or not steps:
        return f"{running.task.name} at work for {_words(time.time() - running.began)}"
    return f"{running.task.name} step {steps}, {seconds / steps:.2f} s each"


def _words(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()


def jobs_by_default() -> int:
    """Return one process per GPU, one where there is none."""
    return max(1, _gpus())


def _context() -> ForkServerContext:
    """Return a way to start processes at once: they are copies of one that has read the libraries, with one thread."""
    context = multiprocessing.get_context("forkserver")
    # Optimisers read torch's compiler when they are made, which is a second of a core.
    context.set_forkserver_preload(["scenewise.experiments.work", "lightning.fabric", "torch._dynamo"])
    with _environment(
        OMP_NUM_THREADS="1", PYTORCH_NVML_BASED_CUDA_CHECK="1"
    ):  # a GPU must not be touched before a copy
        forkserver.ensure_running()
    return context


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


def check(tasks: Sequence[CellTask]) -> list[tuple[CellTask, str]]:
    """Check all cells before anything is computed, and return those that cannot work, with the reason.

    Raises:
        InputError: None can work.
    """
    broken: list[tuple[CellTask, InputError]] = []
    for task in tasks:
        try:
            task.folder.check()
        except InputError as error:
            broken.append((task, error))
    if broken and len(broken) == len(tasks):
        raise broken[0][1]
    return [(task, str(error)) for task, error in broken]
