"""Frames as they come: the newest is looked at, what came meanwhile is dropped and told, memory stays."""

import gc
import threading
import time
import weakref

import numpy as np
import pytest

from scenewise.decompose import Request
from scenewise.errors import InputError
from scenewise.explore import live
from scenewise.explore.live import MOMENTS, LiveExploration
from scenewise.explore.outcomes import again
from scenewise.media import MediaFrame, VideoWriter
from scenewise.media.live import live_frames

from .conftest import untrained


class Camera:
    """Gives as many frames as it is told to, each of one level."""

    def __init__(self, side=16):
        self.side, self.more, self.count, self.given = side, threading.Semaphore(0), 0, 0

    def give(self, count=1, exploration=None):
        for _ in range(count):
            self.more.release()
        self.count += count
        if exploration is not None:
            until = time.monotonic() + 10
            while exploration.newest.index != self.count - 1:
                assert time.monotonic() < until
                time.sleep(0.002)

    def end(self):
        self.count = -1
        self.more.release()

    def frames(self):
        while True:
            self.more.acquire()
            if self.count < 0:
                return
            yield MediaFrame(self.given, None, np.full((self.side, self.side, 3), self.given, np.uint8))
            self.given += 1


@pytest.fixture
def camera():
    camera = Camera()
    yield camera
    camera.end()


def test_the_newest_is_looked_at_and_the_rest_dropped_and_told(camera):
    exploration = LiveExploration(untrained("provide"), "camera", camera.frames, Request())
    camera.give(1, exploration)
    first = exploration.moment(0)
    assert (first.index, first.note, int(first.image[0, 0, 0])) == (0, "", 0)
    camera.give(5, exploration)
    second = exploration.moment(1)
    assert (second.index, int(second.image[0, 0, 0])) == (5, 5)
    assert "4 frames came meanwhile and were dropped" in second.note
    assert exploration.dropped == 4
    assert exploration.moment(0) is first  # and can be looked at again
    np.testing.assert_array_equal(second.state["cell"].abs().sum() > 0, True)  # goes on from the frame before


def test_a_fixed_camera_is_drawn_over_what_it_has_shown():
    scene = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)  # not the model's black picture

    def frames():
        yield MediaFrame(0, None, scene)

    exploration = LiveExploration(untrained("provide-windows"), "camera", frames, Request())
    drawn_over = exploration.moment(0).state["background"][0].permute(1, 2, 0)
    np.testing.assert_allclose(drawn_over, scene / 255, atol=0.02)


def test_memory_stays(camera):
    exploration = LiveExploration(untrained("iodine"), "camera", camera.frames, Request())
    moments = []
    for number in range(MOMENTS + 5):
        camera.give(1, exploration)
        moments.append(weakref.ref(exploration.moment(number)))
    gc.collect()
    assert sum(moment() is not None for moment in moments) == MOMENTS
    with pytest.raises(InputError, match="no longer there"):
        exploration.moment(0)


def test_a_frame_is_explained_again_whichever_it_is(camera):
    exploration = LiveExploration(untrained("provide"), "camera", camera.frames, Request())
    for number in range(MOMENTS + 3):
        camera.give(1, exploration)
        exploration.moment(number)
    for number in (3, 20, MOMENTS + 2):  # the oldest that is there, one between, the newest
        moment = again(exploration, number, seed=5, slots=2)
        assert (moment.slots, int(moment.image[0, 0, 0])) == (2, number)
    with pytest.raises(InputError):
        again(exploration, 1, seed=5)


def test_an_end_and_a_fault_are_told(camera, monkeypatch):
    exploration = LiveExploration(untrained("iodine"), "camera", camera.frames, Request())
    camera.end()
    with pytest.raises(InputError, match="has ended"):
        exploration.moment(0)

    def broken():
        raise InputError("camera", "was pulled out.")
        yield

    with pytest.raises(InputError, match="was pulled out"):
        LiveExploration(untrained("iodine"), "camera", broken, Request()).moment(0)
    monkeypatch.setattr(live, "PATIENCE", 0.05)
    silent = LiveExploration(untrained("iodine"), "camera", Camera().frames, Request())
    with pytest.raises(InputError, match="gave no frame"):
        silent.moment(0)


def test_models_of_clips_are_refused(camera):
    with pytest.raises(InputError, match="clips as wholes"):
        LiveExploration(untrained("ddpae"), "camera", camera.frames, Request())


def test_a_stream_is_read_over_the_network(tmp_path):
    import functools
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    with VideoWriter(tmp_path / "clip.mp4", (32, 48), 10) as writer:
        for t in range(5):
            writer.write(np.full((32, 48, 3), 40 * t, np.uint8))

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=tmp_path))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        frames = [frame.image for frame in live_frames(f"http://127.0.0.1:{server.server_port}/clip.mp4")]
    finally:
        server.shutdown()
    assert [frame.shape for frame in frames] == [(32, 48, 3)] * 5
    assert float(frames[3].mean()) == pytest.approx(120, abs=4)


def test_no_camera_is_told_in_one_line():
    with pytest.raises(InputError, match="camera:99"):
        next(live_frames("camera:99"))
