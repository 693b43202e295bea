import math

import numpy as np
import pytest
import torch

from scenewise.errors import InputError
from scenewise.metrics import similarity
from scenewise.variational.duplicates import duplicate_log_prior

PEAK = 1.3836


def test_a_loop_over_pairs_gives_the_same():
    latents = np.random.default_rng(0).normal(size=(4, 5, 3))
    found = similarity(latents)
    for n, slots in enumerate(latents):
        pairs = [(h, j) for h in range(5) for j in range(5) if h != j]
        cosine = [slots[h] @ slots[j] / math.hypot(*slots[h]) / math.hypot(*slots[j]) for h, j in pairs]
        assert found.signed[n] == pytest.approx(np.mean(cosine))
        assert found.absolute[n] == pytest.approx(np.mean(np.abs(cosine)))
        assert found.prior[n] == pytest.approx(sum(PEAK - 50 * c * c for c in cosine), abs=1e-2)


def test_the_prior_is_the_one_that_is_trained():
    latents = torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(1))
    np.testing.assert_allclose(similarity(latents).prior, duplicate_log_prior(latents), rtol=1e-5)


def test_orthogonal_equal_and_opposite_slots():
    for k in (2, 4):
        assert similarity(np.eye(k)).prior == pytest.approx(PEAK * k * (k - 1), abs=1e-3 * k * k)
        assert similarity(np.ones((k, 3))).prior == pytest.approx((PEAK - 50) * k * (k - 1), abs=1e-3 * k * k)
    opposite = similarity(np.array([[1.0, 2.0], [-3.0, -6.0]]))
    assert (opposite.signed, opposite.absolute) == (pytest.approx(-1), pytest.approx(1))


def test_slots_too_short_are_left_out_and_counted():
    latents = np.array([[1.0, 0.0], [1e-4, 0.0], [0.0, 2.0]])
    assert similarity(latents).signed == pytest.approx(2 / 6)
    found = similarity(latents, least=1e-3)
    assert (found.signed, found.left_out) == (pytest.approx(0), 1)
    assert np.isnan(similarity(latents[:2], least=1e-3).signed)


def test_numbers_that_are_none_are_refused():
    with pytest.raises(InputError, match="latents: holds 1 values"):
        similarity(np.array([[1.0, np.nan]]))
