"""Models that explain clips as wholes: what they observe together, how clips are joined, and prediction."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scenewise.config import build
from scenewise.decompose import Decomposer
from scenewise.decompose.drawing import SampleSpread
from scenewise.errors import InputError
from scenewise.models import MODELS
from scenewise.variational.linking import contributions, link, match, reorder


@pytest.fixture(scope="module")
def ddpae():
    """An untrained model of clips of three frames, with weights so large that frames differ."""
    torch.manual_seed(2)
    kind = MODELS.get("ddpae")
    model = kind(build(kind.config_class, {**kind.presets["tiny"], "observed": 3}, "tiny"))
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim > 1:
                p.normal_(0, p[0].numel() ** -0.5)
    return Decomposer(model, name="untrained")


@pytest.fixture
def grey():
    """uint8, shape (8, 16, 16)."""
    return np.random.default_rng(0).integers(0, 256, (8, 16, 16, 1), np.uint8)


def tensor(video):
    return torch.from_numpy(video).movedim(-1, 1)[None].float() / 255


def observe(decomposer, video):
    """Explain a clip with nothing before it."""
    return decomposer.model.step(tensor(video), decomposer.model.initial_state())


def test_what_is_observed_and_predicted_is_the_models(ddpae, grey):
    frames = list(ddpae.predict(grey, observe=5, steps=6))
    seen, state = observe(ddpae, grey[:5])
    ahead, _ = ddpae.model.predict(state, 6)
    expected = torch.cat([seen.reconstruction, ahead.reconstruction], 1)[0].permute(0, 2, 3, 1)
    found = np.stack([frame.reconstruction for frame in frames])
    np.testing.assert_allclose(found, expected.expand(-1, -1, -1, found.shape[-1]), rtol=1e-4, atol=1e-5)
    assert [frame.predicted for frame in frames] == [False] * 5 + [True] * 6
    assert [frame.truth is not None for frame in frames] == [False] * 5 + [True] * 3 + [False] * 3


def test_a_long_video_is_cut_into_clips_that_are_linked(ddpae, grey):
    parts = [observe(ddpae, grey[a:b])[0] for a, b in ((0, 3), (3, 6), (6, 8))]
    linked = parts[:1]
    for part in parts[1:]:
        before = contributions(linked[-1], linked[-1].masks.shape[1] - 1)
        linked.append(reorder(part, match(contributions(part), before)))
    expected = torch.cat([part.masks for part in linked], 1)[0, :, :, 0]
    result = ddpae.decompose(grey)
    np.testing.assert_allclose(result.masks, expected, rtol=1e-4, atol=1e-5)
    assert ddpae.recurrent


def test_linking_moves_the_slots_of_all_frames_of_a_clip_alike(ddpae, grey):
    part = observe(ddpae, grey[:4])[0]
    order = [2, 0, 1]
    wanted = (part.masks * part.appearance)[:, 0][:, order]
    found, state = link(part, {"shown": wanted})
    assert state["order"].tolist() == [order]
    torch.testing.assert_close(state["shown"], (part.masks * part.appearance)[:, 3][:, order])
    for name in ("masks", "appearance", "mean", "prior_log_variance", "positions"):
        expected = getattr(part, name)[:, :, order]
        torch.testing.assert_close(getattr(found, name), expected, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(found.kl, part.kl)


def test_what_cannot_be_done_is_told(ddpae, grey):
    with pytest.raises(InputError, match="fewer than the 9 frames"):
        list(ddpae.predict(grey, 9, 1))
    with pytest.raises(InputError, match="does not refine"):
        list(ddpae.decompose(grey, refinements=2))
    with pytest.raises(InputError, match="was made for 3"):
        list(ddpae.decompose(grey, slots=5))


def test_uncertainty_is_that_of_slots_in_the_models_order(ddpae, grey):
    """Linking may move the background from its place, by which the model knows it."""
    part, state = observe(ddpae, grey[3:6])
    found = [frame.uncertainty for frame in ddpae.decompose(grey)][3:6]
    for t, spread in enumerate(found):
        expected = SampleSpread(ddpae.model, part.mean[0, t], part.log_variance[0, t], state, 0, 3 + t, (16, 16))()
        np.testing.assert_allclose(spread, expected, rtol=1e-4, atol=1e-5)
        assert spread.max() > 0
