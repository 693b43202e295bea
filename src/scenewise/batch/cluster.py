"""The same tasks on a Ray cluster: an actor per worker, each with the model in it."""

from __future__ import annotations

import logging
import signal
import threading
from typing import TYPE_CHECKING, Any

from scenewise.batch.job import FrameCount, Outcome
from scenewise.batch.pool import Pool
from scenewise.batch.together import work_together
from scenewise.batch.worker import Worker
from scenewise.errors import InputError, describe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scenewise.batch.job import BatchJob, Task

LOCAL = "local"
"""Address that begins a cluster of this machine alone."""


class Actor:
    """What runs on the cluster."""

    def __init__(self, job: BatchJob) -> None:
        self._worker = Worker(job)

    def begun(self) -> bool:
        """Return that the model is loaded."""
        return True

    def work(self, group: list[Task]) -> list[Outcome]:
        """Do a group of tasks side by side."""
        if len(group) == 1:
            return [self._worker.work(group[0])]
        outcomes: list[Outcome] = []
        work_together(self._worker, group, lambda count: None, outcomes.append)
        return outcomes


class RayPool(Pool):
    """Actors on a Ray cluster, one CPU each (and a GPU where the job asks for one); one that dies is begun anew.

    The batch's folder must be one that all machines of the cluster see under the same path.

    Args:
        job: What is done to every video.
        workers: Number of actors.
        address: Of the cluster, "auto" for the one this machine belongs to, "local" for one of this machine alone.

    Raises:
        InputError: Ray is not installed, or the cluster cannot be reached.
    """

    def __init__(self, job: BatchJob, workers: int, address: str) -> None:
        try:
            import ray
        except ImportError as error:
            raise InputError("--ray", "needs Ray.", "pip install 'scenewise[cluster]'") from error
        self._ray: Any = ray
        self.job = job
        ended_by = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(address=None if address == LOCAL else address, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:  # a cluster can be out of reach in many ways
            raise InputError(
                "--ray", f"{address} cannot be reached: {describe(error)}.", "Check the address."
            ) from error
        if ended_by is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, ended_by)  # Ray has put its own there, which ends the process at once
        options: dict[str, Any] = {"num_cpus": 1, "num_gpus": int(job.device.startswith("cuda"))}
        options["runtime_env"] = {"env_vars": {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}}
        self._kind = ray.remote(Actor).options(**options)
        self._idle: list[Any] = [self._kind.remote(job) for _ in range(workers)]
        self._busy: dict[Any, tuple[Any, list[Task]]] = {}
        try:
            ray.get(self._idle[0].begun.remote())
        except ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None)
            self.close()
            raise cause if isinstance(cause, InputError) else InputError("--ray", describe(error) + ".") from error

    @property
    def room(self) -> int:
        """How many more groups it can begin at once."""
        return len(self._idle)

    def submit(self, group: Sequence[Task]) -> None:
        """Begin a group of tasks on an actor that has none."""
        actor = self._idle.pop()
        self._busy[actor.work.remote(list(group))] = (actor, list(group))

    def events(self, seconds: float) -> list[Outcome | FrameCount]:
        """Return what has come of groups since the last call; wait so long for it."""
        ready, _ = self._ray.wait(list(self._busy), num_returns=1, timeout=seconds) if self._busy else ([], [])
        events: list[Outcome | FrameCount] = []
        for answer in ready:
            actor, group = self._busy.pop(answer)
            try:
                events += self._ray.get(answer)
                self._idle.append(actor)
            except self._ray.exceptions.RayActorError as error:
                problem = f"the actor that worked on it is gone: {describe(error)}."
                events += [Outcome(task.name, problem, killed=True) for task in group]
                self._idle.append(self._kind.remote(self.job))
        return events

    def close(self) -> None:
        """Leave the cluster, and end all work on it."""
        for actor in [*self._idle, *(actor for actor, _ in self._busy.values())]:
            self._ray.kill(actor)
        self._ray.shutdown()
