"""Made folders, by several processes at once, from where an earlier attempt ended."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import multiprocessing
import os
import shutil
import signal
import threading
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenewise.config import plain
from scenewise.data.contract import SOURCES
from scenewise.data.shards import manifest as made
from scenewise.data.shards.layouts import layout
from scenewise.data.shards.one_process import PART, Maker
from scenewise.data.shards.packing import per_frame
from scenewise.data.splits import check_split
from scenewise.documents import parse_json
from scenewise.errors import InputError
from scenewise.media.files import writing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from scenewise.data.contract import Source
    from scenewise.data.shards.manifest import Manifest, Shard, ShardPlan

_SHARD = 256  # videos
_SHARD_BYTES = 32 << 20  # of frames; a process holds one shard in memory
_POLL = 0.2  # seconds
_COMPARED = ("source", "split", "samples", "layout", "shard")
_WORDS = {"layout": "format", "shard": "videos per shard"}


@dataclass(frozen=True)
class WriteOutcome:
    """How far a folder is.

    Attributes:
        folder: Of the split.
        manifest: None where the making was stopped.
        kept: Shards that were there already.
        whole: Shards that are there now.
        total: Shards it takes.
    """

    folder: Path
    manifest: Manifest | None
    kept: int
    whole: int
    total: int


class _Interrupt(Exception):  # noqa: N818
    """The user wants no more."""


def make_plan(
    name: str,
    split: str,
    settings: dict[str, Any],
    samples: int,
    format: str = "npy",
    shard: int | None = None,
) -> ShardPlan:
    """Return what is to be made, checked.

    Args:
        name: Registered name of a source.
        split: Which split of it.
        settings: Settings of the source.
        samples: How many videos, the first ones.
        format: "npy", "hdf5" or "webdataset".
        shard: Videos per shard; None: 256, or fewer where their frames would fill more than 32 MiB.

    Raises:
        InputError: There is no such source, or a number is out of range.
    """
    layout(format)
    source: Source = SOURCES.get(name).make(check_split(split), settings)
    if not 1 <= samples <= len(source):
        raise InputError("--samples", f"must lie in [1, {len(source)}], what {name} ({split}) has; found {samples}.")
    if shard is not None and not 1 <= shard <= 1_000_000:
        raise InputError("--shard", f"must lie in [1, 1000000]; found {shard}.")
    names: list[str] = []  # of extras that are cut when a video is; one of one frame cannot be
    video = next((index for index in range(min(samples, 16)) if source.length(index) > 1), None)
    if video is not None:
        names = per_frame(source.sample(video), source.sample(video, 0, source.length(video) - 1))
    config, facts = source.config, source.facts
    if shard is None:
        size = source.length(0) * facts.channels * facts.size[0] * facts.size[1]
        shard = max(1, min(_SHARD, _SHARD_BYTES // size))
    return made.ShardPlan(
        source=name,
        settings=_as_json(settings),
        resolved=_as_json(plain(config)) if dataclasses.is_dataclass(config) else {},
        split=split,
        seed=getattr(config, "seed", None),
        samples=samples,
        layout=format,
        shard=min(samples, shard),
        fingerprint=source.fingerprint(),
        facts=_as_json(dataclasses.asdict(facts)),
        per_frame=names,
    )


def _as_json(values: dict[str, Any]) -> dict[str, Any]:
    """Return values as they come back from a file."""
    return dict(parse_json(json.dumps(values, default=str), "facts", "plain values", ""))


def make(
    plan: ShardPlan,
    out: Path,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
    overwrite: bool = False,
) -> WriteOutcome:
    """Write the folder `out/SPLIT`, or what is missing or broken of it.

    Args:
        plan: What to make.
        out: Folder of all splits.
        workers: Number of processes; it does not change a byte.
        progress: Called with the videos made by this call, and how many it is to make.
        stop: Asked between videos whether to stop; what is whole by then stays.
        overwrite: Remove what is there first.

    Raises:
        InputError: Another folder is there, the same one is being made, or it cannot be written.
    """
    if not 1 <= workers <= 256:
        raise InputError("--workers", f"must lie in [1, 256]; found {workers}.")
    folder = out / plan.split
    _check_siblings(plan, out)
    if overwrite and made.is_made(folder):
        with _alone(folder) if (folder / made.MAKING).is_dir() else nullcontext(), writing(folder):
            shutil.rmtree(folder)
    ready = _known(plan, folder)
    fresh = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        with writing(folder):
            (folder / made.MAKING).mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            made.write_synced(folder / made.MAKING / "plan.json", json.dumps(dataclasses.asdict(plan), indent=1))
            with ThreadPoolExecutor(workers) as threads:
                problems = list(threads.map(lambda shard: made.problem_of(shard, folder), ready.values()))
            whole = {number: ready[number] for number, problem in zip(ready, problems, strict=True) if problem is None}
            _tidy(folder)
            missing = [number for number in range(plan.shards) if number not in whole]
            silent, never = lambda done, total: None, lambda: False
            records = whole | _make(plan, folder, missing, workers, progress or silent, stop or never)
            manifest = None
            if len(records) == plan.shards:
                manifest = made.Manifest(plan, tuple(records[number] for number in range(plan.shards)))
                made.write_manifest(folder, manifest)
                shutil.rmtree(folder / made.MAKING)
            return WriteOutcome(folder, manifest, len(whole), len(records), plan.shards)
    except InputError:
        _leave(folder, fresh)
        raise


def _check_siblings(plan: ShardPlan, out: Path) -> None:
    """Check that the other splits below a folder are of the same data.

    Raises:
        InputError: They are not.
    """
    for split, folder in made.made_splits(out).items():
        other = made.read_manifest(folder).plan if (folder / made.MANIFEST).is_file() else made.read_plan(folder)
        if other is not None and split != plan.split:
            pairs = {"source": (plan.source, other.source)}
            pairs |= {name: (plan.facts[name], other.facts[name]) for name in plan.facts if name != "origin"}
            differences = [text for name, (new, old) in pairs.items() if (text := _difference(name, new, old))]
            if differences:
                problem = f"holds other data as split {split}: {'; '.join(differences)}."
                raise InputError(out, problem, "Choose another folder.")


def _known(plan: ShardPlan, folder: Path) -> dict[int, Shard]:
    """Return what is noted of whole shards of the same plan.

    Raises:
        InputError: The folder holds something else.
    """
    if not made.is_made(folder):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(folder, "holds something else than made data.", "Choose another folder.")
        return {}
    older, records = made.read_plan(folder), made.read_records(folder)
    if (folder / made.MANIFEST).is_file():
        whole = made.read_manifest(folder)
        older, records = whole.plan, dict(enumerate(whole.shards)) | records
    differences = [] if older is None else _differences(plan, older)
    if differences:
        remedy = "Give the same arguments to continue, choose another folder, or add --overwrite."
        raise InputError(folder, f"holds other data: {'; '.join(differences)}.", remedy)
    return records


def _differences(plan: ShardPlan, older: ShardPlan) -> list[str]:
    """Return in words how a plan differs from an older one."""
    differences = [_difference(_WORDS.get(name, name), getattr(plan, name), getattr(older, name)) for name in _COMPARED]
    if plan.fingerprint != older.fingerprint:
        keys = sorted({*plan.resolved, *older.resolved})
        differences += [_difference(key, plan.resolved.get(key), older.resolved.get(key)) for key in keys]
        if not any(differences):
            differences.append(_difference("fingerprint of the source", plan.fingerprint, older.fingerprint))
    return [text for text in differences if text]


def _difference(name: str, new: Any, old: Any) -> str:
    return "" if new == old else f"{name} is {old} there, {new} asked for"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let no second process make the same folder; the mark goes with the process, even when it is killed."""
    with writing(folder / made.MAKING / "lock"), (folder / made.MAKING / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(folder, "is being made by another process.", "Wait for it, or stop it.") from None
        yield


def _leave(folder: Path, fresh: Sequence[Path]) -> None:
    """Remove halves after a failure, and folders made for it in which no shard became whole."""
    with suppress(OSError):
        _tidy(folder)
        if fresh and not made.read_records(folder):
            shutil.rmtree(folder / made.MAKING, ignore_errors=True)
            for path in fresh:
                path.rmdir()


def _tidy(folder: Path) -> None:
    """Remove the halves that a killed process left."""
    for path in [*folder.glob(f".*{PART}"), *(folder / made.MAKING).glob(f".*{PART}")]:
        path.unlink(missing_ok=True)


def _make(
    plan: ShardPlan,
    folder: Path,
    missing: Sequence[int],
    workers: int,
    progress: Callable[[int, int], None],
    stop: Callable[[], bool],
) -> dict[int, Shard]:
    """Make shards and return those that became whole."""
    total = sum(len(plan.rows(number)) for number in missing)
    many = min(workers, len(missing))
    make_them = _here if many <= 1 else _in_processes
    return make_them(plan, folder, missing, many, lambda done: progress(done, total), stop)


def _here(
    plan: ShardPlan,
    folder: Path,
    missing: Sequence[int],
    many: int,
    tell: Callable[[int], None],
    stop: Callable[[], bool],
) -> dict[int, Shard]:
    done = 0

    def tick() -> None:
        """Count a sample, and end where that is wanted."""
        nonlocal done
        done += 1
        tell(done)
        if stop():
            raise _Interrupt

    records: dict[int, Shard] = {}
    try:
        maker = Maker(plan, folder, tick) if missing else None
        for number in missing:
            records[number] = maker.make(number)  # type: ignore[union-attr]
    except _Interrupt:
        pass
    return records


_MAKER: Maker | None = None


def _begin(plan: ShardPlan, folder: Path, counter: Any) -> None:
    """Set up a process that makes shards."""
    global _MAKER
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that was called
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def tick() -> None:
        with counter.get_lock():
            counter.value += 1

    _MAKER = Maker(plan, folder, tick)


def _end_with_parent() -> None:
    """End this process when the one that started it is gone, killed or not; else it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)


def _shard(number: int) -> tuple[int, Shard]:
    if _MAKER is None:
        raise RuntimeError("this process was not set up")
    return number, _MAKER.make(number)


def _in_processes(
    plan: ShardPlan,
    folder: Path,
    missing: Sequence[int],
    many: int,
    tell: Callable[[int], None],
    stop: Callable[[], bool],
) -> dict[int, Shard]:
    context = multiprocessing.get_context("spawn")
    counter = context.Value("q", 0)
    pool = ProcessPoolExecutor(many, context, _begin, (plan, folder, counter))
    futures = [pool.submit(_shard, number) for number in missing]
    try:
        while not stop():  # until all is done, one failed, or the user stops it
            done, waiting = wait(futures, _POLL, FIRST_EXCEPTION)
            tell(int(counter.value))
            if not waiting or any(future.exception() is not None for future in done):
                break
        return dict(future.result() for future in futures if future.done() and not future.cancelled())
    except BrokenProcessPool as error:
        remedy = "Memory may have run out: use fewer workers or smaller shards; the same command continues."
        raise InputError(folder, "a process that made shards ended early.", remedy) from error
    finally:  # all processes end at once; shards that are not whole are not noted, so nothing half stays
        for process in list((pool._processes or {}).values()):
            process.kill()
        pool.shutdown(wait=True, cancel_futures=True)
