"""Frames reach the writers in order on another thread, in bounded memory, and what goes wrong there is told here."""

import threading
import time
import weakref
from dataclasses import dataclass

import numpy as np
import pytest

from scenewise.decompose import Exporter
from scenewise.decompose.export import feed as feeding
from scenewise.decompose.export.base import FORMATS
from scenewise.decompose.export.feed import Feed
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
