"""A desk with an untrained model on it, as a server would have it."""

from contextlib import contextmanager

import numpy as np
import pytest
from tests.explore.conftest import untrained

from scenewise.data.contract import Sample
from scenewise.decompose import open_clip
from scenewise.explore import VideoExploration
from scenewise.viewer.desk import Desk
from scenewise.viewer.opening import Opening
from scenewise.viewer.worker import RequestThread


def video_of(decomposer, frames=8):
    random = np.random.default_rng(2)
    images = random.integers(0, 256, (frames, 3, *decomposer.size)).astype(np.uint8)
    ids = random.integers(0, 3, (frames, *decomposer.size))
    return VideoExploration(decomposer, open_clip(Sample(images, ids), decomposer.frame_shape, name="noise"))


@contextmanager
def app_of(desk, **settings):
    """The application that serves a desk, its threads at work."""
    from scenewise.viewer.app import Threads, make_app

    with RequestThread() as model, RequestThread() as glances:
        yield make_app(Opening(desk.title, lambda: desk), Threads(model, glances), **settings)


@pytest.fixture
def make_desk():
    def make(name="provide", frames=8, **settings):
        decomposer = untrained(name, **settings)

        def other(other_name):
            return video_of(untrained(other_name), frames)

        return Desk(video_of(decomposer, frames), "a <b>title</b>", other, ("iodine", "vae"))

    return make
