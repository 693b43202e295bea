"""Models and videos for the command line."""

import numpy as np
import pytest
import torch

from scenewise.checkpoint import Card, Reference, save_model
from scenewise.cli import main
from scenewise.config import build
from scenewise.media import VideoWriter
from scenewise.models.contract import MODELS


@pytest.fixture(scope="session")
def untrained(tmp_path_factory):
    """Save an untrained model of a kind; returns its folder."""

    def save(name, card):
        torch.manual_seed(0)
        kind = MODELS.get(name)
        model = kind(build(kind.config_class, kind.presets["tiny"], "preset"))
        return str(save_model(model, tmp_path_factory.mktemp("models") / card.name, card))

    return save


def card_of(high):
    return Card(name="tiny", validated=Reference(mse=high, mse_high=high, data="noise"))


@pytest.fixture(scope="session")
def model(untrained):
    """Folder of an untrained model whose card validates an error that every video stays below."""
    return untrained("provide", card_of(1.0))


@pytest.fixture(scope="session")
def strict_model(untrained):
    """The same, with a card that no video satisfies."""
    return untrained("provide", card_of(1e-6))


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """An mp4 of eight frames."""
    path = tmp_path_factory.mktemp("videos") / "clip.mp4"
    write_clip(path, 8)
    return str(path)


def write_clip(path, frames, size=(48, 64)):
    with VideoWriter(path, size, 10) as writer:
        for t in range(frames):
            image = np.zeros((*size, 3), np.uint8)
            image[8:24, t % 40 : t % 40 + 16] = (255, 0, 0)
            writer.write(image)


@pytest.fixture(scope="session")
def longer(tmp_path_factory):
    """An mp4 that takes a while."""
    path = tmp_path_factory.mktemp("videos") / "longer.mp4"
    write_clip(path, 1500)
    return str(path)


@pytest.fixture
def scenewise(capsys):
    """Run a command in this process; returns exit code, output and errors."""

    def run(*words):
        code = main([str(word) for word in words])
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        return code, told.out, told.err

    return run
