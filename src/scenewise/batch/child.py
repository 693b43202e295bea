"""A process that works for a batch: tasks come in as lines of JSON, outcomes go out as lines of JSON.

It ends with the process that began it, however that one ends: whoever reads its input meets the end of it.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scenewise.batch.job import FrameCount, Outcome, Task

READY, REFUSED, PROGRESS, OUTCOME = "ready", "refused", "progress", "outcome"
"""What a line is: the model is loaded, it cannot be, how far a video is, what came of it."""


def main() -> None:
    """Read the job and the number of a file to answer on from the command line, load the model, and do every task."""
    from scenewise.batch.job import BatchJob

    job, answers = BatchJob.read(sys.argv[1]), int(sys.argv[2])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the whole terminal gets Ctrl-C; who leads decides
    signal.signal(signal.SIGTERM, _end)
    tasks: queue.Queue[list[Task]] = queue.Queue()
    threading.Thread(target=_read, args=(tasks,), daemon=True).start()
    with os.fdopen(answers, "w") as stream:
        _work(job, tasks, stream)


def _work(job: Any, tasks: queue.Queue[list[Task]], stream: Any) -> None:
    from scenewise.batch.together import work_together
    from scenewise.batch.worker import Worker
    from scenewise.errors import InputError

    def answer(kind: str, value: Any) -> None:
        stream.write(json.dumps([kind, value]) + "\n")
        stream.flush()

    def tell(count: FrameCount) -> None:
        answer(PROGRESS, asdict(count))

    def end(outcome: Outcome) -> None:
        answer(OUTCOME, asdict(outcome))

    try:
        worker = Worker(job)
    except InputError as error:
        answer(REFUSED, [error.subject, error.problem, error.remedy])
        return
    answer(READY, None)
    while True:
        group = tasks.get()
        if len(group) == 1:
            end(worker.work(group[0], tell))
        else:
            work_together(worker, group, tell, end)


def _read(tasks: queue.Queue[list[Task]]) -> None:
    """Take in tasks until the input ends, and the process with it."""
    from scenewise.batch.job import Task

    for line in sys.stdin:
        tasks.put([Task(**values) for values in json.loads(line)])
    os._exit(0)  # folders half-written stay hidden, and who writes next to them removes them


def _end(number: int, frame: Any) -> None:
    raise SystemExit(0)  # through all blocks, which remove what is half-written


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    main()
