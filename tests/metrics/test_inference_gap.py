import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from scenewise.errors import InputError
from scenewise.metrics import inference_gap, pearson, rescaled


def test_definitions_hold_far_below_what_exp_can_hold():
    weights = np.random.default_rng(0).normal(-9000, 2, (3, 40))
    found = inference_gap(weights)
    np.testing.assert_allclose(found.evidence, logsumexp(weights, axis=1) - np.log(40))
    np.testing.assert_allclose(found.bound, weights.mean(1))
    np.testing.assert_allclose(found.gap, found.evidence - found.bound)
    relative = np.exp(weights - weights.max(1, keepdims=True))
    np.testing.assert_allclose(found.effective, relative.sum(1) ** 2 / (relative**2).sum(1))
    np.testing.assert_allclose(found.spread, weights.std(1, ddof=1))
    np.testing.assert_allclose(inference_gap(weights, 10).gap, inference_gap(weights[:, :10]).gap)


def test_the_gap_is_never_negative_and_zero_for_equal_weights():
    assert (inference_gap(np.random.default_rng(1).normal(size=(50, 7))).gap >= 0).all()
    equal = inference_gap(np.full((1, 9), -123.25))
    assert (equal.gap[0], equal.effective[0]) == (pytest.approx(0, abs=1e-12), pytest.approx(9))


@pytest.mark.parametrize("spread", [0.3, 1.0, 1.5])
def test_gaussian_weights_give_half_their_variance(spread):
    weights = np.random.default_rng(2).normal(-50, spread, (400, 500))
    assert inference_gap(weights).gap.mean() == pytest.approx(spread**2 / 2, rel=0.06)


@pytest.mark.parametrize("spread", [5.0, 8.0])
def test_widely_spread_weights_saturate(spread):
    """lds.md 4.4: about 3 s - 6.2 from 500 samples."""
    weights = np.random.default_rng(3).normal(0, spread, (400, 500))
    assert inference_gap(weights).gap.mean() == pytest.approx(3.0 * spread - 6.2, abs=1.0)
    assert inference_gap(weights).gap.mean() < 0.8 * spread**2 / 2


def test_a_linear_gaussian_model_is_solved_exactly():
    """x = W z + noise: log p(x) and KL(q || p(z|x)) are known; the gap estimates the latter."""
    random = np.random.default_rng(4)
    w, sigma, x = random.normal(size=(3, 2)), 0.7, random.normal(size=3)
    covariance = np.linalg.inv(np.eye(2) + w.T @ w / sigma**2)
    exact = multivariate_normal(covariance @ w.T @ x / sigma**2, covariance)
    evidence = multivariate_normal(np.zeros(3), w @ w.T + sigma**2 * np.eye(3)).logpdf(x)

    def gap_of(q):
        z = q.rvs(20_000, random_state=5)
        likelihood = -0.5 * ((x - z @ w.T) ** 2).sum(1) / sigma**2 - 3 * np.log(sigma) - 1.5 * np.log(2 * np.pi)
        prior = multivariate_normal(np.zeros(2)).logpdf(z)
        return inference_gap((likelihood + prior - q.logpdf(z))[None])

    perfect = gap_of(exact)
    assert perfect.evidence[0] == pytest.approx(evidence, abs=1e-9)
    assert perfect.gap[0] == pytest.approx(0, abs=1e-9)
    shift = np.array([0.2, -0.1])
    q = multivariate_normal(exact.mean + shift, covariance * 1.3)
    kl = 0.5 * (2 * 1.3 + shift @ np.linalg.inv(covariance) @ shift - 2 - 2 * np.log(1.3))
    found = gap_of(q)
    assert found.evidence[0] == pytest.approx(evidence, abs=0.02)
    assert found.gap[0] == pytest.approx(kl, abs=0.02)


@pytest.mark.parametrize(
    ("weights", "samples", "words"),
    [(np.zeros(4), None, "shape"), (np.zeros((1, 4)), 5, r"\[2, 4\]; found 5"), (np.zeros((1, 1)), None, "found 1")],
)
def test_bad_input_is_refused(weights, samples, words):
    with pytest.raises(InputError, match=words):
        inference_gap(weights, samples)


def test_pearson_is_numpys_and_skips_what_is_missing():
    random = np.random.default_rng(6)
    x, y = random.normal(size=(2, 30))
    assert pearson(x, y) == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert pearson([*x, np.nan, 5], [*y, 1, np.nan]) == pytest.approx(pearson(x, y))
    assert pearson(x, -3 * x + 1) == pytest.approx(-1)
    assert np.isnan(pearson(x, np.full(30, 0.1)))
    assert np.isnan(pearson([1.0], [2.0]))
    with pytest.raises(InputError, match="must have the shape"):
        pearson(x, y[:3])


def test_rescaled_spans_zero_to_one():
    np.testing.assert_allclose(rescaled([3.0, np.nan, 5.0, 4.0]), [0, np.nan, 1, 0.5])
    assert rescaled([2.0, 2.0]).tolist() == [0, 0]
