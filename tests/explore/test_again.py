"""A frame explained again, outcomes that are alike, and how a video may go on."""

import numpy as np
import pytest
import torch

from scenewise.data.contract import Sample
from scenewise.decompose import open_clip
from scenewise.errors import InputError
from scenewise.explore import VideoExploration
from scenewise.explore.outcomes import again, agreement, tally
from scenewise.explore.prediction import predict

from .conftest import untrained


def test_another_seed_gives_what_that_seed_gives(explore):
    exploration = explore("iodine")
    moment = again(exploration, 3, seed=11)
    image = torch.from_numpy(exploration.frame(3).given).permute(2, 0, 1)[None].float() / 255
    expected, _ = moment.model.step(image, moment.model.initial_state(seed=11))
    np.testing.assert_allclose(moment.decomposition.masks, expected.masks, atol=1e-6)
    assert again(exploration, 3, seed=11, slots=5, refinements=1).slots == 5
    with pytest.raises(InputError):
        again(explore("dvip"), 0, seed=1, slots=5)


def test_outcomes_that_divide_pixels_alike_are_one_whatever_the_numbers_of_slots(explore):
    exploration = explore("iodine")
    one = exploration.moment(0)
    turned = again(exploration, 0, seed=0)
    turned.decomposition = turned.decomposition.map(lambda t: t.flip(2) if t.ndim > 3 else t)
    other = again(exploration, 0, seed=0)
    masks = torch.zeros_like(other.decomposition.masks)
    masks[:, :, 0, :, :8], masks[:, :, 1, :, 8:] = 1, 1
    other.decomposition = other.decomposition.map(lambda t: masks if t.shape == masks.shape else t)
    assert agreement(one, turned) == pytest.approx(1)
    outcomes = tally([other, one, turned], [4, 5, 6])
    assert [outcome.seeds for outcome in outcomes] == [(5, 6), (4,)]


def test_a_future_begins_after_the_frame_and_stands_beside_the_truth(explore):
    exploration = explore("provide", frames=6)
    future = predict(exploration, 2, steps=5)
    assert future.images.shape == (1, 5, 16, 16, 3)
    assert future.truth.shape[0] == 3
    part, _ = exploration.decomposer.model.predict(exploration.state_after(2), 5)
    expected = part.reconstruction[0].movedim(1, -1).clamp(0, 1).mul(255)
    assert np.abs(future.images[0] - expected.numpy()).max() <= 1
    error = np.square((future.images[0, 1] - exploration.frame(4).given.astype(float)) / 255).mean()
    assert future.mse[0, 1] == pytest.approx(error, rel=1e-4)


@pytest.mark.parametrize("name", ["dvip", "provide"])
def test_samples_differ_and_settings_come_back(explore, name):
    exploration = explore(name)
    config = exploration.decomposer.model.config
    future = predict(exploration, 1, steps=3, samples=2)
    assert (future.images[0] != future.images[1]).any()
    assert exploration.decomposer.model.config is config


def test_models_that_cannot_predict_say_so(explore):
    with pytest.raises(InputError, match="cannot predict"):
        predict(explore("iodine"), 0, 3)
    with pytest.raises(InputError, match=r"must lie in \[1, 200\]"):
        predict(explore("provide"), 0, 201)


def test_the_end_of_a_video_has_no_truth_left():
    decomposer = untrained("provide")
    clip = open_clip(Sample(np.zeros((2, 3, *decomposer.size), np.uint8)), decomposer.frame_shape)
    future = predict(VideoExploration(decomposer, clip), 1, steps=2)
    assert future.truth.shape == (0, *decomposer.size, 3)
    assert future.mse.shape == (1, 0)
