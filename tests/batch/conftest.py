"""A tiny model, clips, and a batch over them in this process."""

import numpy as np
import pytest
import torch

from scenewise.batch.job import BatchJob, Outcome
from scenewise.batch.pool import Pool
from scenewise.checkpoint import Card, Reference, load_model, save_model
from scenewise.config import build
from scenewise.media import VideoWriter
from scenewise.models.contract import MODELS


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Save an untrained model of a kind; returns its folder."""
    folders = {}

    def save(name):
        if name not in folders:
            torch.manual_seed(0)
            kind = MODELS.get(name)
            card = Card(name="tiny", validated=Reference(mse=1.0, mse_high=1.0, data="noise"))
            model = kind(build(kind.config_class, kind.presets["tiny"], "preset"))
            folders[name] = str(save_model(model, tmp_path_factory.mktemp("models") / "tiny", card))
        return folders[name]

    return save


@pytest.fixture
def job(tiny, tmp_path):
    """Tracks alone, by a tiny model, into a folder `out`."""
    model = tiny("provide")
    return BatchJob(str(tmp_path / "out"), model, load_model(model).fingerprint, "cpu", formats=["slots", "labels"])


def write_clip(path, frames=4, seed=0, size=(24, 32)):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed)
    with VideoWriter(path, size, 10) as writer:
        for t in range(frames):
            image = np.full((*size, 3), noise.integers(0, 90, 3), np.uint8)
            image[4:12, t % 20 : t % 20 + 8] = noise.integers(90, 256, 3)
            writer.write(image)


@pytest.fixture
def clips(tmp_path):
    """A folder `clips` of five videos, two of them one level down."""
    folder = tmp_path / "clips"
    for number, name in enumerate(("a.mp4", "b.mp4", "c.mkv.mp4", "night/a.mp4", "night/d.mp4")):
        write_clip(folder / name, frames=3 + number, seed=number)
    return folder


class Pretended(Pool):
    """Does no work: answers as it is told to, and remembers what was asked."""

    def __init__(self, answer=None, room=2):
        self.answer = answer or (lambda task: Outcome(task.name, verdict="known footage", objects=2, frames=3))
        self.most, self.given, self.waiting = room, [], []

    @property
    def room(self):
        return self.most - len(self.waiting)

    def submit(self, group):
        self.given.append([task.name for task in group])
        self.waiting.append(list(group))

    def events(self, seconds):
        groups, self.waiting = self.waiting, []
        return [self.answer(task) for group in groups for task in group]

    def close(self):
        pass


@pytest.fixture
def pretended():
    return Pretended
