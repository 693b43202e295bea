"""Models without a memory: slots are linked, and what depends on the model's own numbers of slots goes by these."""

import numpy as np
import pytest
import torch

from scenewise.config import build
from scenewise.decompose import Decomposer
from scenewise.decompose.drawing import SampleSpread
from scenewise.models import MODELS
from scenewise.observation import Observation


@pytest.fixture(scope="module")
def genesis():
    """An untrained GENESIS, whose masks depend on the order of slots, with weights so large that frames differ."""
    torch.manual_seed(3)
    kind = MODELS.get("genesis")
    model = kind(build(kind.config_class, {**kind.presets["tiny"], "slots": 4}, "tiny"))
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim > 1:
                p.normal_(0, 2 * p[0].numel() ** -0.5)
    return Decomposer(model, name="untrained")


@pytest.fixture
def frames(genesis):
    return np.random.default_rng(0).integers(0, 256, (6, *genesis.size, genesis.frame_shape[0]), np.uint8)


def test_uncertainty_is_that_of_slots_in_the_models_order(genesis, frames):
    """Spread of what the decoder makes of samples of the posterior that the model itself gave, whatever is linked."""
    results = list(genesis.decompose(frames, seed=2))
    orders = []
    for t, result in enumerate(results):
        image = torch.from_numpy(frames[t]).permute(2, 0, 1)[None, None].float() / 255
        alone = genesis.model(Observation(image), seed=2 + t).decomposition
        spread = SampleSpread(genesis.model, alone.mean[0, 0], alone.log_variance[0, 0], {}, 2, t, genesis.size)()
        np.testing.assert_allclose(result.uncertainty, spread, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(np.sort(result.mean, 0), alone.mean[0, 0].sort(0).values, rtol=1e-4, atol=1e-5)
        orders.append(not np.allclose(result.mean, alone.mean[0, 0], rtol=1e-3, atol=1e-4))
    assert any(orders)  # some frame had its slots moved


def test_one_step_takes_several_frames(genesis, frames):
    images = torch.from_numpy(frames).permute(0, 3, 1, 2)[None]  # (1, T, C, H, W), uint8
    together, after = genesis.step(images, genesis.initial_state(seed=2))
    masks = np.stack([result.masks for result in genesis.decompose(frames, seed=2)])
    np.testing.assert_allclose(together.masks[0, :, :, 0], masks, rtol=1e-4, atol=1e-5)
    assert int(after["frame"]) == len(frames)
