from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from scenewise.config import build
from scenewise.models import MODELS
from scenewise.runtimes import RUNTIMES
from scenewise.runtimes.store import GraphStore

if TYPE_CHECKING:
    from torch import Tensor

    from scenewise.decomposition import Decomposition
    from scenewise.models.contract import SceneModel, State


def tiny(name: str, **settings: Any) -> SceneModel:
    """Return a small model under chance weights."""
    torch.manual_seed(0)
    cls: Any = MODELS.get(name)
    model: SceneModel = cls(build(cls.config_class, {**cls.presets["tiny"], **settings}, "tiny")).eval()
    return model


def clip(model: SceneModel, batch: int = 1, frames: int = 6) -> Tensor:
    """Return a video of squares that move, shape (B, T, C, H, W)."""
    channels, height, width = model.frame_shape
    video = torch.full((batch, frames, channels, height, width), 0.1)
    for t in range(frames):
        video[:, t, :, 2 : height // 2, 1 + t : 1 + t + width // 4] = 0.9
        video[:, t, : max(1, channels - 1), height // 2 :, width - 4 - t : width - t] = 0.6
    noise = torch.rand(video.shape, generator=torch.Generator().manual_seed(2))
    return video + 0.05 * noise  # no two pixels alike: no ties


def stream(model: SceneModel, video: Tensor, seed: int = 3) -> tuple[list[Decomposition], State]:
    """Return what a model says of each frame, from the state it left itself, and the last state."""
    state, parts, size = model.initial_state(len(video), seed=seed), [], model.viewpoint_size
    for t, frame in enumerate(video.unbind(1)):
        camera = None if size is None else torch.linspace(-1, 1, size).roll(t).expand(len(video), size)
        part, state = model.step(frame, state, viewpoints=camera)
        parts.append(part)
    return parts, state


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """Graphs that tests share: what one traced, another runtime is given."""
    return GraphStore(tmp_path_factory.mktemp("traced") / "graphs")


@pytest.fixture
def empty_store(tmp_path):
    return GraphStore(tmp_path / "graphs")


@pytest.fixture(params=["openvino", "onnxruntime"])
def runtime(request):
    runtime = RUNTIMES[request.param]
    if missing := runtime.missing():
        pytest.skip(f"{' and '.join(missing)} not installed")
    return runtime
