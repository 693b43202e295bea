import numpy as np
import pytest

from scenewise.errors import InputError
from scenewise.metrics import confidence


def test_averages_the_largest_mask_over_foreground_only():
    first = np.array([0.9, 0.6, 0.2, 0.5]).reshape(1, 1, 1, 4)
    masks = np.concatenate([first, 1 - first])  # (K=2, 1, H=1, W=4)
    ids = np.array([[0, 1, 2, -1]])
    assert confidence(masks, ids) == pytest.approx((0.6 + 0.8) / 2)
    assert confidence(masks, ids, background_ids=(0, 1)) == pytest.approx(0.8)


def test_no_foreground_is_nan():
    masks = np.full((3, 2, 1, 4, 4), 0.5)
    ids = np.zeros((3, 4, 4), int)
    ids[1, 0, 0] = 1
    np.testing.assert_array_equal(confidence(masks, ids), [np.nan, 0.5, np.nan])


def test_shapes_must_fit():
    with pytest.raises(InputError, match=r"masks: must have shape \(..., K, 1, H, W\)"):
        confidence(np.ones((2, 4, 4)), np.zeros((4, 4), int))
