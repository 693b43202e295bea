import numpy as np
import pytest

from scenewise.errors import InputError
from scenewise.metrics import block_contrast, latent_correlation


def test_it_is_pearson_s_of_every_pair():
    rng = np.random.default_rng(0)
    before = rng.standard_normal((200, 3))
    after = before @ rng.standard_normal((3, 3)) + 5
    found = latent_correlation(before, after)
    whole = np.corrcoef(before.T, after.T)[:3, 3:]
    np.testing.assert_allclose(found, whole, atol=1e-12)


def test_constant_units_have_none():
    before = np.random.default_rng(0).standard_normal((50, 2))
    after = before.copy()
    after[:, 1] = 3.0
    found = latent_correlation(before, after)
    assert found[0, 0] == pytest.approx(1)
    assert np.isnan(found[:, 1]).all()


def test_contrast_of_hand_made_blocks():
    correlations = np.array([[0.8, -0.4, 0.1, 0.1], [0.4, 0.8, -0.1, 0.1], [0.2, 0, 0.6, 0], [0, 0.2, 0.6, np.nan]])
    inside = (0.8 + 0.4 + 0.4 + 0.8 + 0.6 + 0 + 0.6) / 7
    outside = (0.1 * 4 + 0.2 * 2) / 8
    assert block_contrast(correlations, 2) == pytest.approx(inside / outside)
    with pytest.raises(InputError, match="divide 4 units"):
        block_contrast(correlations, 3)
    with pytest.raises(InputError, match="after"):
        latent_correlation(np.zeros((3, 2)), np.zeros((4, 2)))
