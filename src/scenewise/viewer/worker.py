"""One thread that owns the models: requests wait for it, and where one replaces another the newest is worked on."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scenewise.media.interruption import NativeThread

Work = Callable[[], Any]

PATIENCE = 0.3
"""Seconds that work in progress may take to its end when the server ends."""


@dataclass(frozen=True)
class _Question:
    work: Work
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


class Superseded(Exception):  # noqa: N818 - nothing went wrong
    """A newer request of the same kind came before this one was begun."""


class RequestThread:
    """Works on requests one after the other, in its own thread, oldest kind first.

    Use it as a context manager. Work that goes on for longer than `PATIENCE` after the block is left behind:
    `media.interruption.leave` ends a process that has some.

    Args:
        name: Of the thread.
    """

    def __init__(self, name: str = "model") -> None:
        self._jobs: OrderedDict[Any, _Question] = OrderedDict()
        self._ready = threading.Condition()
        self._ends = False
        self._thread = NativeThread(self._run, name)

    def __enter__(self) -> RequestThread:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._ready:
            self._ends = True
            jobs, self._jobs = list(self._jobs.values()), OrderedDict()
            self._ready.notify()
        for job in jobs:
            _answer(job, error=Superseded())
        self._thread.join(PATIENCE)

    async def do(self, kind: Any, work: Work) -> Any:
        """Have something worked on and return what it gives.

        Args:
            kind: Requests of one kind replace one another: the newest takes the place of one that still waits.
            work: Called in the worker's thread.

        Raises:
            Superseded: A newer request took its place, or the worker has ended.
        """
        loop = asyncio.get_running_loop()
        job = _Question(work, loop, loop.create_future())
        with self._ready:
            if self._ends:
                raise Superseded
            older = self._jobs.get(kind)
            self._jobs[kind] = job  # in the older one's place: who asks often does not wait for ever
            self._ready.notify()
        if older is not None:
            _answer(older, error=Superseded())
        return await job.future

    def forget(self, belongs: Callable[[Any], bool]) -> None:
        """Drop the waiting requests whose kind belongs to somebody who has gone."""
        with self._ready:
            dropped = [kind for kind in self._jobs if belongs(kind)]
            jobs = [self._jobs.pop(kind) for kind in dropped]
        for job in jobs:
            _answer(job, error=Superseded())

    def _run(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._jobs or self._ends)
                if self._ends:
                    return
                _, job = self._jobs.popitem(last=False)
            try:
                value = job.work()
            except BaseException as error:  # told to whoever asked: the thread must live on
                _answer(job, error=error)
            else:
                _answer(job, value)


def _answer(job: _Question, value: Any = None, error: BaseException | None = None) -> None:
    def tell() -> None:
        if job.future.done():  # whoever asked has gone
            return
        if error is None:
            job.future.set_result(value)
        else:
            job.future.set_exception(error)

    try:
        job.loop.call_soon_threadsafe(tell)
    except RuntimeError:  # the loop has ended
        return
