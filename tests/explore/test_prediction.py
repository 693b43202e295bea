"""How a video may go on: from which frame, in which samples, beside what came."""

import numpy as np
import pytest

from scenewise.data.contract import Sample
from scenewise.decompose import open_clip
from scenewise.errors import InputError
from scenewise.explore import VideoExploration
from scenewise.explore.prediction import predict

from .conftest import untrained


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
