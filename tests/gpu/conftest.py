"""The device that these tests run on: a GPU, or what SCENEWISE_TEST_DEVICE names (`cpu` tries the tests themselves)."""

import os
from pathlib import Path

import pytest
import torch

from scenewise.config import build
from scenewise.models import MODELS
from scenewise.observation import Observation

NAME = os.environ.get("SCENEWISE_TEST_DEVICE", "cuda")


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.gpu)


@pytest.fixture(scope="session")
def device():
    if NAME.startswith("cuda") and not torch.cuda.is_available():
        pytest.skip("no GPU; SCENEWISE_TEST_DEVICE=cpu runs these tests on the CPU")
    return torch.device(NAME)


@pytest.fixture(autouse=True)
def full_precision(device):
    """Compare in float32: TF32 is as fast as it is coarse."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    return device


@pytest.fixture
def make():
    """Make a model of a preset with seeded weights, on the CPU."""

    def make(name, preset="tiny", **settings):
        torch.manual_seed(0)
        kind = MODELS.get(name)
        return kind(build(kind.config_class, {**kind.presets[preset], **settings}, preset))

    return make


@pytest.fixture
def observe():
    """Make a seeded observation for a model, on the CPU."""

    def observe(model, batch=2, frames=4):
        generator = torch.Generator().manual_seed(5)
        images = torch.rand(batch, frames, *model.frame_shape, generator=generator)
        size = model.viewpoint_size
        cameras = None if size is None else torch.randn(batch, frames, size, generator=generator)
        return Observation(images, viewpoints=cameras)

    return observe
