"""Models for tests: an untrained tiny one on disk, and one that finds coloured things without learning."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

from scenewise.checkpoint import Card, Reference, save_model
from scenewise.config import build
from scenewise.decompose import Decomposer
from scenewise.decomposition import Decomposition
from scenewise.models.contract import MODELS, Decodes, Predictor, SceneModel


@dataclass(frozen=True)
class OracleConfig:
    slots: int = 4
    size: tuple[int, int] = (16, 16)


class Oracle(SceneModel, Predictor, Decodes):
    """Slot 0 is what is black, slots 1 to 3 are what is red, green and blue; it predicts that nothing moves."""

    config_class = OracleConfig
    presets: ClassVar = {}
    keeps_slots = True

    def __init__(self, config=OracleConfig()):
        super().__init__()
        self.config = config
        self.weight = torch.nn.Parameter(torch.zeros(1))

    @property
    def frame_shape(self):
        return (3, *self.config.size)

    def loss(self, terms):
        raise NotImplementedError

    def forward(self, observation, slots=None, refinements=None, seed=0, noise=None):
        raise NotImplementedError

    def initial_state(self, batch=1, slots=None, seed=0):
        return {"last": torch.zeros(batch, *self.frame_shape), "frame": torch.tensor(0)}

    def explain_frame(self, frame, state, refinements=None):
        return self.explain(frame), {"last": frame, "frame": state["frame"] + 1}

    def predict(self, state, steps):
        parts = [self.explain(state["last"]) for _ in range(steps)]
        return Decomposition.join(parts), {**state, "frame": state["frame"] + steps}

    def decode(self, latents, state=None):
        part = self.explain(state["last"])
        noise = latents.mean(-1)[:, :, None, None, None]  # (B, K, 1, 1, 1)
        return part.masks[:, 0], part.appearance[:, 0] + noise

    def explain(self, frame):
        owner = torch.where(frame.amax(1) < 0.5, 0, frame.argmax(1) + 1)  # (B, H, W)
        masks = torch.nn.functional.one_hot(owner, 4).movedim(-1, 1)[:, None, :, None].float()
        appearance = torch.zeros(len(frame), 1, 4, *self.frame_shape)
        for k in range(3):
            appearance[:, :, k + 1, k] = 1
        latent = masks.mean((3, 4, 5))[..., None].expand(-1, -1, -1, 2)  # (B, 1, K, 2)
        narrow = torch.full_like(latent, -4.0)
        nats = torch.zeros(len(frame), 1)
        return Decomposition(masks, appearance, latent, narrow, latent * 0, latent * 0, nats, nats)


def balls(frames=12, size=16, side=4):
    """A red square that goes right and a green one that goes down, uint8 (T, H, W, 3), and their ids."""
    images = np.zeros((frames, size, size, 3), np.uint8)
    ids = np.zeros((frames, size, size), np.int64)
    for t in range(frames):
        at = t % (size - side)
        images[t, 1 : 1 + side, at : at + side, 0] = 255
        ids[t, 1 : 1 + side, at : at + side] = 1
        images[t, at : at + side, 11 : 11 + side] = (0, 255, 0)
        ids[t, at : at + side, 11 : 11 + side] = 2
    return images, ids


@pytest.fixture
def video():
    return balls()[0]


@pytest.fixture
def ids():
    return balls()[1]


@pytest.fixture
def oracle():
    return Decomposer(Oracle(), Card(validated=Reference(mse=1e-4, mse_high=1e-3)), "oracle")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """Folder of an untrained tiny PROVIDE whose card validates an error that every video stays below."""
    torch.manual_seed(0)
    kind = MODELS.get("provide")
    model = kind(build(kind.config_class, kind.presets["tiny"], "preset"))
    card = Card(name="tiny", validated=Reference(mse=1.0, mse_high=1.0, data="noise"))
    return save_model(model, tmp_path_factory.mktemp("models") / "tiny", card)


@pytest.fixture(scope="session")
def tiny(tiny_model):
    import scenewise as sw

    return sw.load(tiny_model, device="cpu")
