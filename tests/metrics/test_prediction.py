import numpy as np
import pytest

from scenewise.errors import InputError
from scenewise.metrics import adjusted_rand_index, over_horizons, prediction_ari


def test_only_predicted_frames_count_unless_asked_otherwise():
    values = np.array([[1.0, 1.0, 0.8, 0.6, 0.4, 0.2], [1.0, 1.0, 0.6, np.nan, 0.2, np.nan]])
    found = over_horizons(values, observed=2, at=(1, 3, 5))
    np.testing.assert_allclose(found.per_horizon, [0.7, 0.6, 0.3, 0.2])
    assert found.cumulative == {1: pytest.approx(0.7), 3: pytest.approx(2.6 / 5)}
    whole = over_horizons(values, observed=2, at=(1, 3), include_observed=True)
    assert whole.cumulative == {1: pytest.approx(5.4 / 6), 3: pytest.approx(6.6 / 9)}
    np.testing.assert_array_equal(whole.per_horizon, found.per_horizon)


def test_a_horizon_that_nothing_reaches_is_nan():
    found = over_horizons(np.array([[1.0, np.nan]]), observed=1, at=(1,))
    assert np.isnan(found.per_horizon[0])
    assert np.isnan(found.cumulative[1])


@pytest.mark.parametrize("foreground", [False, True])
def test_scores_are_those_of_the_true_future(foreground):
    random = np.random.default_rng(0)
    ids, labels = random.integers(0, 3, (2, 30, 5, 5)), random.integers(0, 3, (2, 30, 5, 5))
    labels[:, :20] = ids[:, :20]
    found = prediction_ari(labels, ids, observed=20, foreground=foreground)
    future = adjusted_rand_index(labels[:, 20:], ids[:, 20:], foreground=foreground).each
    np.testing.assert_allclose(found.per_horizon, future.mean(0))
    assert found.cumulative == {j: pytest.approx(future[:, :j].mean()) for j in (3, 5, 7, 10)}
    with_observed = prediction_ari(labels, ids, observed=20, foreground=foreground, include_observed=True)
    assert with_observed.cumulative[10] == pytest.approx((20 + 10 * found.cumulative[10]) / 30)


@pytest.mark.parametrize(
    ("shape", "observed", "words"),
    [
        ((1, 5, 4, 4), 5, r"observed: must lie in \[0, 4\] for 5 frames; found 5"),
        ((1, 5, 4, 4), -1, "observed: must lie in"),
        ((5, 4, 4), 2, r"labels: must have shape \(N, T, H, W\); found 3 axes"),
    ],
)
def test_bad_input_says_what_is_wrong(shape, observed, words):
    blank = np.zeros(shape, int)
    with pytest.raises(InputError, match=words):
        prediction_ari(blank, blank, observed)


def test_horizons_start_at_one():
    with pytest.raises(InputError, match="at: horizons must be at least 1; found 0"):
        over_horizons(np.zeros((1, 4)), 1, at=(0, 2))
