import math

import numpy as np
import pytest
from scipy.special import digamma

from scenewise.errors import InputError
from scenewise.metrics import (
    best_partition,
    gaussian_bias,
    gaussian_information,
    mutual_information,
    pooled_transfer,
    random_partitions,
    transfer,
)


def pairs(samples, dx, dy, common, rho, seed=0):
    """Gaussians of which the first `common` dimensions of x and y have correlation rho."""
    rng = np.random.default_rng(seed)  # a generator goes on where it is
    x, y = rng.standard_normal((samples, dx)), rng.standard_normal((samples, dy))
    y[:, :common] = rho * x[:, :common] + math.sqrt(1 - rho**2) * y[:, :common]
    return x, y


def naive(x, y, k, standardise=True):
    """The estimator as its formula has it, one sample at a time."""
    if standardise:
        x, y = ((v - v.mean(0)) / v.std(0) for v in (x, y))
    total = 0.0
    for n in range(len(x)):
        others = np.arange(len(x)) != n
        of_x, of_y = np.abs(x[others] - x[n]).max(1), np.abs(y[others] - y[n]).max(1)
        radius = np.sort(np.maximum(of_x, of_y))[k - 1]
        total += digamma((of_x < radius).sum() + 1) + digamma((of_y < radius).sum() + 1)
    return digamma(k) + digamma(len(x)) - total / len(x)


@pytest.mark.parametrize("method", ["tree", "matrix"])
@pytest.mark.parametrize(("dx", "dy", "k"), [(1, 1, 1), (2, 3, 3), (5, 1, 4)])
def test_it_is_the_formula(method, dx, dy, k):
    x, y = pairs(400, dx, dy, 1, 0.8)
    assert mutual_information(x, y, k, method=method) == pytest.approx(naive(x, y, k), abs=1e-9)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_it_agrees_with_scikit_learn(k):
    selection = pytest.importorskip("sklearn.feature_selection")
    x, y = pairs(1000, 1, 1, 1, 0.9, seed=k)
    theirs = selection.mutual_info_regression(x, y[:, 0], n_neighbors=k, random_state=0)[0]
    assert mutual_information(x, y, k) == pytest.approx(theirs, abs=5e-4)


@pytest.mark.slow
def test_values_measured_before():
    """Another implementation's, on samples that one generator drew row after row."""
    rng = np.random.default_rng(0)
    rows = [(2000, 2, 2, 1.022, 1.044), (5000, 3, 3, 1.532, 1.450), (5000, 16, 3, 1.532, 0.600)]
    for samples, dx, dy, truth, found in [*rows, (5000, 64, 3, 1.532, 0.152), (5000, 64, 64, 0, -0.020)]:
        common = min(dx, dy) if truth else 0
        assert gaussian_information(0.8, common) == pytest.approx(truth, abs=5e-4)
        x, y = pairs(samples, dx, dy, common, 0.8, rng)
        assert mutual_information(x, y, standardise=False) == pytest.approx(found, abs=5e-4)
        assert mutual_information(x, y) == pytest.approx(found, abs=5e-3)


@pytest.mark.parametrize(
    ("dimensions", "samples", "found"), [(2, 1000, 4.06), (2, 4000, 4.39), (5, 1000, 2.86), (10, 4000, 2.12)]
)
def test_bias_on_strong_dependence(dimensions, samples, found):
    assert 4.6 + gaussian_bias(4.6, dimensions, samples) == pytest.approx(found, abs=0.12)


def test_one_dimension_independence_and_rescaling():
    x, y = pairs(1000, 1, 1, 1, 0.9)
    assert gaussian_information(0.9) == pytest.approx(0.830, abs=5e-4)
    assert mutual_information(x, y) == pytest.approx(0.83, abs=0.05)
    assert mutual_information(x, y * 1000 + 5) == pytest.approx(mutual_information(x, y), abs=1e-6)
    assert abs(mutual_information(*pairs(1000, 1, 1, 0, 0))) < 0.05
    assert abs(mutual_information(*pairs(2000, 10, 10, 0, 0))) < 0.06


def test_constant_and_tied_samples_give_no_information():
    x, y = pairs(500, 1, 1, 1, 0.9)
    assert abs(mutual_information(x, np.zeros_like(y))) < 0.1
    whole = mutual_information(np.concatenate([x, np.zeros_like(x)], 1), y)
    assert whole == pytest.approx(mutual_information(x, y), abs=0.05)


def test_transfer_tells_a_part_s_own_past_from_the_other_s():
    rng = np.random.default_rng(0)
    before = rng.standard_normal((1500, 4))
    after = 0.9 * before + math.sqrt(1 - 0.81) * rng.standard_normal(before.shape)
    found = transfer(before, after, [[0, 1], [2, 3]])
    assert found.same == pytest.approx(gaussian_information(0.9, 2), abs=0.15)
    assert abs(found.cross) < 0.08
    assert found.matrix[0, 1] == mutual_information(after[:, :2], before[:, 2:])
    swapped = transfer(before, after[:, [2, 3, 0, 1]], [[0, 1], [2, 3]])
    assert swapped.cross > 1 > 0.2 > swapped.same
    assert math.isnan(transfer(before, after, [[0, 1, 2, 3]]).cross)


def chains(clips, frames, units, rho, seed=0, scale=1.0):
    """Clips of independent Gaussian units of which each follows its own past with correlation rho, (N, T, Z)."""
    noise = np.random.default_rng(seed).standard_normal((clips, frames, units))
    found = [noise[:, 0]]
    for t in range(1, frames):
        found.append(rho * found[-1] + math.sqrt(1 - rho**2) * noise[:, t])
    return np.stack(found, 1) * scale


def test_pooled_transfer_is_the_authors_way():
    """Bits, k = 3, units as they are, the last pooled pairs, past of i with future of j for i < j."""
    latents = chains(40, 5, 6, 0.8, scale=np.array([1, 1, 5, 1, 0.2, 1])) + 0.1 * np.arange(40)[:, None, None]
    parts = [[0, 3], [1, 4], [2, 5]]
    found = pooled_transfer(latents, parts, pairs=90)
    pairs_of = [(clip[t], clip[t + 1]) for clip in latents for t in range(4)][-90:]
    past, future = (np.array(side) for side in zip(*pairs_of, strict=True))
    for i in range(3):
        for j in range(3):
            if j < i:
                assert math.isnan(found.matrix[j, i])  # the future of a part before it
                continue
            bits = naive(future[:, parts[j]], past[:, parts[i]], 3, standardise=False) / math.log(2)
            # The future of one pair is the past of the next, so that distances tie, and jitter decides.
            assert found.matrix[j, i] == pytest.approx(bits, abs=0.01)
    assert found.same == pytest.approx(np.diag(found.matrix).mean())
    assert found.cross == pytest.approx((found.matrix[1, 0] + found.matrix[2, 0] + found.matrix[2, 1]) / 3)
    assert math.isnan(pooled_transfer(latents, [list(range(6))]).cross)


def test_pooled_transfer_agrees_with_closed_form_and_scikit_learn():
    latents = chains(2000, 2, 2, 0.9)  # one pair per clip: independent
    found = pooled_transfer(latents, [[0], [1]])
    assert found.same == pytest.approx(-0.5 * math.log2(1 - 0.81), abs=0.1)
    assert found.cross == pytest.approx(0, abs=0.06)
    selection = pytest.importorskip("sklearn.feature_selection")
    before, after = latents[-1000:, 0, :1], latents[-1000:, 1, 0]
    theirs = selection.mutual_info_regression(before, after, n_neighbors=3, random_state=0)[0] / math.log(2)
    assert found.matrix[0, 0] == pytest.approx(theirs, abs=0.02)


def test_pooled_transfer_depends_on_the_units_spread():
    """What standardising undoes: a wide unit that says nothing hides a narrow one that does."""
    latents = np.concatenate([chains(500, 3, 1, 0.95), chains(500, 3, 1, 0.0, seed=1, scale=100)], 2)
    hidden = pooled_transfer(latents, [[0, 1]]).same
    assert hidden < 0.5 < 1.3 < pooled_transfer(latents[..., :1], [[0]]).same


def test_partitions_are_different_valid_and_the_best_is_found():
    drawn = random_partitions(8, 2)
    assert drawn.shape == (20, 2, 4)
    assert len({frozenset(map(frozenset, division.tolist())) for division in drawn}) == 20
    assert all(sorted(division.ravel()) == list(range(8)) for division in drawn)
    assert np.array_equal(drawn, random_partitions(8, 2))
    rng = np.random.default_rng(0)
    before = rng.standard_normal((300, 8))
    found = [transfer(before, before + rng.standard_normal(before.shape), division) for division in drawn[:6]]
    best = best_partition(found)
    assert all(best.same - best.cross >= one.same - one.cross for one in found)


@pytest.mark.parametrize(
    ("x", "y", "k", "says"),
    [
        (np.zeros((5, 2)), np.zeros((4, 2)), 3, "one row per row"),
        (np.zeros((3, 2)), np.zeros((3, 2)), 3, "neighbours"),
        (np.zeros((5, 2, 1)), np.zeros((5, 2)), 3, "shape"),
        (np.full((5, 2), np.nan), np.zeros((5, 2)), 3, "NaN"),
        (np.zeros((5, 2), int), np.zeros((5, 2)), 3, "floats"),
    ],
)
def test_wrong_samples_are_told(x, y, k, says):
    with pytest.raises(InputError, match=says):
        mutual_information(x, y, k)


def test_wrong_parts_are_told():
    with pytest.raises(InputError, match=r"\(N, T, Z\)"):
        pooled_transfer(np.zeros((9, 1, 4)), [[0]])
    with pytest.raises(InputError, match="below 4"):
        pooled_transfer(np.zeros((9, 2, 4)), [[4]])
    with pytest.raises(InputError, match="9 units"):
        random_partitions(9, 2)
    with pytest.raises(InputError, match="there are 3"):
        random_partitions(4, 2)
    with pytest.raises(InputError, match="below 4"):
        transfer(np.zeros((9, 4)), np.zeros((9, 4)), [[0, 4]])
