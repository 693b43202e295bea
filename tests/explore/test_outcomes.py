"""A frame explained again, and outcomes that are alike."""

import numpy as np
import pytest
import torch

from scenewise.errors import InputError
from scenewise.explore.outcomes import again, agreement, tally


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
