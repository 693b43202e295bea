"""Frames reach writers in order, elsewhere, in bounded memory, and what goes wrong there is told here."""

import gc
import os
import signal
import threading
import time
import weakref
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.processes import Process

from scenewise.decompose import Exporter
from scenewise.decompose.export import feed as feeding
from scenewise.decompose.export.base import FORMATS
from scenewise.decompose.export.feed import Apart, Feed
from scenewise.errors import InputError


@dataclass(eq=False)
class Item:
    """As much of a frame as waiting in a queue needs."""

    index: int
    nbytes: int = 1


def test_all_are_written_in_order_on_another_thread():
    written, threads = [], set()

    def write(item):
        threads.add(threading.current_thread())
        time.sleep(0.001 * (item.index % 3))
        written.append(item.index)

    with Feed(write) as feed:
        for index in range(40):
            feed.put(Item(index))
    assert written == list(range(40))
    assert threading.current_thread() not in threads
    assert len(threads) == 1
    assert not next(iter(threads)).is_alive()


@pytest.mark.parametrize(("size", "waiting"), [(1, 8), (feeding.MOST_BYTES // 3, 3), (feeding.MOST_BYTES * 2, 1)])
def test_no_more_wait_than_there_is_room_for(size, waiting):
    alive, most, go = weakref.WeakSet(), [], threading.Semaphore(0)
    with Feed(lambda item: go.acquire()) as feed:
        for index in range(20):
            item = Item(index, size)
            alive.add(item)
            if index > waiting:  # one is being written
                go.release()
            feed.put(item)
            most.append(len(alive))
        del item
        go.release(20)
    assert max(most) <= waiting + 2  # and one had just come out of the queue
    assert len(alive) == 0


def test_waiting_ends_with_the_last_frame():
    written = []
    with Feed(lambda item: time.sleep(0.01) or written.append(item.index)) as feed:
        feed.wait()
        for index in range(3):
            feed.put(Item(index))
        feed.wait()
        assert written == [0, 1, 2]


def failing(item):
    if item.index == 2:
        raise InputError("out", "no space is left on the disk.")


@pytest.mark.parametrize("wait", ["put", "wait", "end"])
def test_what_went_wrong_is_raised_where_frames_come_from(wait):
    def fill():
        with Feed(failing) as feed:
            for index in range(3):
                feed.put(Item(index))
            for index in range(3, 50 if wait == "put" else 3):
                feed.put(Item(index))
            if wait == "wait":
                feed.wait()

    with pytest.raises(InputError, match="no space"):
        fill()
    assert not [thread for thread in threading.enumerate() if thread.name == "scenewise-writers"]


def fill(write, frames, error):
    """Feed frames, and then fail."""
    with Feed(write) as feed:
        for index in range(frames):
            feed.put(Item(index))
        raise error


def test_the_error_of_the_earlier_frame_is_told():
    unread, written = InputError("clip", "cannot be read."), []
    with pytest.raises(InputError, match="no space"):
        fill(failing, 3, unread)
    with pytest.raises(InputError, match="cannot be read"):
        fill(lambda item: written.append(item.index), 3, unread)
    assert written == [0, 1, 2]


def test_ctrl_c_does_not_wait_for_what_is_in_the_queue():
    written = []
    with pytest.raises(KeyboardInterrupt):
        fill(lambda item: time.sleep(0.05) or written.append(item.index), 5, KeyboardInterrupt())
    assert written in ([], [0])


def test_a_writer_that_fails_leaves_nothing_and_stops_the_model(oracle, video, tmp_path, monkeypatch):
    steps, step = [], oracle.model.step
    monkeypatch.setattr(oracle.model, "step", lambda *a: steps.append(1) or step(*a))
    add = FORMATS.get("overlay").add

    def full(self, frame):
        if frame.index == 1:
            raise OSError(28, "No space left on device")
        add(self, frame)

    monkeypatch.setattr(FORMATS.get("overlay"), "add", full)
    long = np.concatenate([video] * 10)
    with pytest.raises(InputError, match="no space"):
        oracle.decompose(long).save(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    assert len(steps) <= 2 + 8 + 2  # those that were written, that waited, and that were under way


def test_writers_see_the_statistics_of_their_frame(oracle, video, tmp_path, monkeypatch):
    seen = []

    class Counts(Exporter):
        files = "count.txt"

        def add(self, frame):
            seen.append((frame.index, self.context.statistics.frames))

    get = FORMATS.get
    monkeypatch.setattr(FORMATS, "get", lambda name: Counts if name == "counts" else get(name))
    oracle.decompose(video).save(tmp_path / "out", ["counts"])
    assert seen == [(t, t + 1) for t in range(12)]


# -- writers in a process of their own -------------------------------------------------------------------------------

apart = pytest.mark.skipif(not Apart.possible(), reason="needs Linux and a second core")


@dataclass
class Gathers:
    """Writers that gather numbers of frames, and can fail."""

    seen: list = field(default_factory=list)
    failing: int = -1
    error: BaseException = field(default_factory=lambda: OSError(28, "No space left on device"))
    pause: float = 0.0

    def add(self, frame):
        time.sleep(self.pause)
        if frame.index == self.failing:
            raise self.error
        self.seen.append((frame.index, os.getpid()))

    def tell(self, more):
        return self.seen, more

    def break_down(self):
        raise self.error

    def die(self):
        os.kill(os.getpid(), signal.SIGKILL)


def children():
    """Processes that this one has not seen the end of, but for those that other tests keep."""
    numbers = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    return [number for number in numbers if "multiprocessing" not in Path(f"/proc/{number}/cmdline").read_text()]


class Threaded:
    """Garbage whose end waits for a thread of the process that made it, as that of a decoder does."""

    def __init__(self):
        self.itself, self.process = self, os.getpid()

    def __del__(self):
        if os.getpid() != self.process:
            os._exit(1)


@apart
def test_the_copy_frees_nothing_that_waits_for_threads_it_has_not():
    class Collects(Gathers):
        def add(self, frame):
            gc.collect()
            super().add(frame)

    gc.collect()
    gc.disable()
    try:
        Threaded()
        with Apart(Collects()) as feed:
            feed.put(Item(0))
            feed.wait()
        assert not gc.isenabled()
    finally:
        gc.enable()


@apart
def test_a_process_of_its_own_takes_all_in_order_and_answers_when_it_has():
    writers = Gathers(pause=0.001)
    with Apart(writers) as feed:
        for index in range(40):
            feed.put(Item(index))
        seen, more = feed.ask(writers.tell, "more")
    assert [index for index, _ in seen] == list(range(40))
    assert os.getpid() not in {process for _, process in seen}
    assert (more, writers.seen, children()) == ("more", [], [])


@apart
def test_what_both_have_is_not_sent_and_tensors_arrive_as_they_are():
    class Keeps(Gathers):
        def add(self, frame):
            self.seen.append(frame.index)

        def tell(self, _):
            lock, state, rest = self.seen[0]
            return lock is shared, state["h"].clone(), state["count"].dtype, rest.tolist()

    shared, writers = threading.Lock(), Keeps()
    state = {"h": torch.randn(3, 4).t(), "count": torch.tensor(3)}
    with Apart(writers, [shared]) as feed:
        feed.put(Item((shared, state, np.arange(3))))
        same, h, dtype, rest = feed.ask(writers.tell, None)
    assert same
    assert bool((h == state["h"]).all())
    assert (dtype, rest) == (torch.int64, [0, 1, 2])


@apart
@pytest.mark.parametrize("wait", ["put", "ask", "end"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), InputError("out", "is full.", "Empty it.")])
def test_what_went_wrong_in_the_process_is_raised_where_frames_come_from(wait, error):
    def fill():
        with Apart(writers) as feed:
            for index in range(3):
                feed.put(Item(index))
            for index in range(3, 10_000 if wait == "put" else 3):
                feed.put(Item(index))
            if wait == "ask":
                feed.ask(writers.tell, None)

    writers = Gathers(failing=2, error=error)
    with pytest.raises(type(error)) as raised:
        fill()
    assert str(raised.value) == str(error)
    assert children() == []


@apart
def test_errors_that_no_other_process_can_be_given_are_told_in_words():
    class OddError(Exception):
        def __init__(self, one, two):
            super().__init__(f"{one} and {two}")

    writers = Gathers(error=OddError(1, threading.Lock()))
    with pytest.raises(RuntimeError, match="1 and <unlocked"), Apart(writers) as feed:
        feed.ask(writers.break_down)
    assert children() == []


@apart
def test_a_killed_process_is_told():
    writers = Gathers()
    with pytest.raises(InputError, match="process that writes files was killed"), Apart(writers) as feed:
        feed.ask(writers.die)
    assert children() == []


@apart
def test_frames_for_a_killed_process_are_refused():
    def fill():
        with Apart(Gathers(pause=60)) as feed:
            os.kill(feed.process, signal.SIGKILL)
            for index in range(100_000):
                feed.put(Item(index))

    with pytest.raises(InputError, match="was killed"):
        fill()
    assert children() == []


@apart
def test_ctrl_c_ends_the_process_at_once():
    def fill():
        with Apart(Gathers(pause=60)) as feed:
            feed.put(Item(0))
            raise KeyboardInterrupt

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        fill()
    assert time.monotonic() - begun < 30
    assert children() == []


@apart
def test_signals_to_all_processes_of_a_command_do_not_reach_it():
    writers = Gathers()
    with Apart(writers) as feed:
        feed.put(Item(0))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            feed.ask(writers.tell, None)
            os.kill(feed.process, number)
        feed.put(Item(1))
        seen, _ = feed.ask(writers.tell, None)
    assert [index for index, _ in seen] == [0, 1]


def hold_a_process(told):
    with Apart(Gathers()) as feed:
        feed.wait()
        Path(told).write_text(str(feed.process))
        time.sleep(120)


@apart
def test_it_ends_with_the_process_that_made_it(tmp_path):
    process = Process(hold_a_process, str(tmp_path / "told"))
    deadline = time.monotonic() + 60
    while not (tmp_path / "told").exists() or not (tmp_path / "told").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    other = int((tmp_path / "told").read_text())
    process.kill()
    process.wait()
    while Path(f"/proc/{other}/stat").exists() and Path(f"/proc/{other}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.01)


@apart
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("odd")])
def test_a_writer_that_fails_in_its_process_leaves_nothing(oracle, video, tmp_path, monkeypatch, error):
    def full(self, frame):
        raise error

    monkeypatch.setattr(FORMATS.get("overlay"), "add", full)
    result = oracle.decompose(np.concatenate([video] * 10))
    result.apart = True
    with pytest.raises((InputError, ValueError), match=r"no space|odd"):
        result.save(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    assert children() == []
