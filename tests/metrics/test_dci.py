"""Disentanglement, completeness and informativeness against closed forms and codes whose answer is known."""

import sys

import numpy as np
import pytest

from scenewise.errors import InputError
from scenewise.metrics import completeness, dci, dci_by, disentanglement


@pytest.fixture(autouse=True)
def small_forests(monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.setattr(sys.modules["scenewise.metrics.dci"], "TREES", 20)


def independent(samples=400, seed=0):
    """Return codes (N, 4) and the four independent ordered factors that they are, in another order and scale."""
    drawn = np.random.default_rng(seed).standard_normal((samples, 4))
    names = ("a", "b", "c", "d")
    return drawn[:, [2, 0, 3, 1]] * [1, 10, 0.1, 3] + 5, {name: drawn[:, i] for i, name in enumerate(names)}


@pytest.mark.parametrize("size", [2, 3, 7])
def test_one_code_for_each_factor_is_perfect(size):
    order = np.random.default_rng(size).permutation(size)
    importance = np.eye(size)[order] * np.arange(1, size + 1)
    assert disentanglement(importance) == pytest.approx(1)
    assert completeness(importance) == pytest.approx(1)


@pytest.mark.parametrize("shape", [(2, 2), (5, 3), (3, 5)])
def test_equal_importance_of_all_is_nothing(shape):
    assert disentanglement(np.full(shape, 0.3)) == pytest.approx(0, abs=1e-12)
    assert completeness(np.full(shape, 0.3)) == pytest.approx(0, abs=1e-12)


def test_two_by_two_by_hand():
    mixed = np.array([[3.0, 1.0], [1.0, 3.0]])
    bits = -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25))  # 0.8113
    assert disentanglement(mixed) == pytest.approx(1 - bits)
    assert completeness(mixed) == pytest.approx(1 - bits)
    skew = np.array([[1.0, 1.0], [0.0, 2.0]])  # the first code serves both, the second one; weights 1/2 each
    assert disentanglement(skew) == pytest.approx(0.5)
    assert completeness(skew) == pytest.approx((1 + 1 - 0.9182958) / 2)
    assert disentanglement(np.array([[1.0, 1.0], [0.0, 6.0]])) == pytest.approx(6 / 8)  # codes weigh by their use


def test_dead_codes_have_no_weight_and_nothing_at_all_is_nothing():
    live = np.array([[3.0, 1.0], [1.0, 3.0]])
    assert disentanglement(np.vstack([live, np.zeros((3, 2))])) == pytest.approx(disentanglement(live))
    assert disentanglement(np.zeros((3, 2))) == 0
    assert completeness(np.array([[1.0, 0.0], [0.0, 0.0]])) == pytest.approx(0.5)  # the second factor is not told


def test_codes_that_are_the_factors_are_disentangled_and_turned_ones_less():
    codes, factors = independent()
    plain = dci(codes, factors)
    assert plain.disentanglement > 0.95
    assert plain.completeness > 0.95
    assert plain.importance.argmax(0).tolist() == [1, 3, 0, 2]
    np.testing.assert_allclose(plain.importance.sum(0), 1)
    assert all(told.value < 0.05 for told in plain.informativeness.values())
    turn = np.linalg.qr(np.random.default_rng(3).standard_normal((4, 4)))[0]
    turned = dci((codes - codes.mean(0)) / codes.std(0) @ turn, factors)
    assert turned.disentanglement < 0.5
    assert turned.completeness < 0.5
    assert all(told.value < 0.05 for told in turned.informativeness.values())  # it tells as much


def test_scores_follow_from_the_importance_that_is_returned():
    codes, factors = independent(100)
    found = dci((codes - 5) @ np.diag([1, 0.1, 10, 1 / 3]) @ (np.eye(4) + 0.7 * np.eye(4)[::-1]), factors, seed=4)
    assert found.disentanglement == pytest.approx(disentanglement(found.importance))
    assert found.disentanglement == pytest.approx(found.by_code @ found.importance.sum(1) / found.importance.sum())
    assert found.completeness == pytest.approx(found.by_factor.mean())


def test_categories_are_classified_and_codes_of_nothing_score_like_the_most_frequent():
    random = np.random.default_rng(1)
    kind, size = random.choice(["cube", "ball", "ball"], 300), random.uniform(0, 1, 300)
    codes = np.stack([np.full(300, 2.0), random.standard_normal(300), kind == "cube", size], 1)
    for regressor in ("lasso", "forest"):
        found = dci(codes, {"kind": kind, "size": size}, regressor=regressor)
        assert found.disentanglement > 0.95
        assert found.informativeness["kind"].value == 1
        assert found.informativeness["size"].value < 0.1
        np.testing.assert_allclose(found.importance[0], 0, atol=1e-12)  # constant: dead
    assert found.informativeness["kind"].metric == "accuracy"
    noise = dci(random.standard_normal((300, 3)), {"kind": kind, "size": size})
    assert noise.informativeness["kind"].value < noise.informativeness["kind"].baseline + 0.1
    assert 0.5 < noise.informativeness["kind"].baseline < 0.8
    assert noise.informativeness["size"].value > 0.95


def test_samples_of_one_scene_stay_in_one_half():
    """Each scene has a code and a factor that have nothing to do with one another: only a leak can tell it."""
    random = np.random.default_rng(2)
    scenes = np.repeat(np.arange(30), 4)
    codes, factors = random.standard_normal((30, 2))[scenes], random.standard_normal((30, 2))[scenes]
    columns = {"a": factors[:, 0], "b": factors[:, 1]}
    leaked = dci(codes, columns, regressor="forest").informativeness
    kept = dci(codes, columns, regressor="forest", scenes=scenes).informativeness
    assert all(leaked[name].value < 0.7 for name in columns)
    assert all(kept[name].value > 0.9 for name in columns)


def test_regressors_share_what_is_told_of_categories(monkeypatch):
    ensemble, forests = pytest.importorskip("sklearn.ensemble"), []
    for kind in (ensemble.RandomForestRegressor, ensemble.RandomForestClassifier):
        fit = kind.fit
        monkeypatch.setattr(kind, "fit", lambda it, *a, fit=fit: forests.append(it.max_depth) or fit(it, *a))
    codes, factors = independent(60)
    columns = {"a": factors["a"], "kind": (factors["b"] > 0).astype(int)}
    both = dci_by(("lasso", "forest"), codes, columns, seed=3)
    assert len(forests) == 2 * len(set(forests))  # each depth for `a`, and once for `kind`
    for regressor, found in both.items():
        alone = dci(codes, columns, regressor=regressor, seed=3)
        np.testing.assert_array_equal(found.importance, alone.importance)
        assert found.informativeness == alone.informativeness


def test_a_seed_repeats_itself_and_another_draws_other_halves():
    codes, factors = independent(60)
    once, again, other = (dci(codes, factors, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(once.importance, again.importance)
    assert once.informativeness == again.informativeness
    assert once.informativeness != other.informativeness


def wrong(**changes):
    codes, factors = independent(40)
    return {"codes": codes, "factors": factors, **changes}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"codes": np.zeros(40)}, r"codes: must have shape \(N, Z\)"),
        ({"codes": np.zeros((40, 1))}, "2 or more codes"),
        ({"codes": np.full((40, 3), np.nan)}, "codes: holds 120 values"),
        ({"codes": np.zeros((19, 3))}, "need 20 samples or more; found 19"),
        ({"factors": {"a": np.arange(40.0)}}, "two or more"),
        ({"factors": {"a": np.arange(40.0), "b": np.arange(39.0)}}, r"b: must have shape \(N,\) = \(40,\)"),
        ({"factors": {"a": np.arange(40.0), "b": np.full(40, np.inf)}}, "b: holds 40 values"),
        ({"factors": {"a": np.arange(40.0), "b": ["red"] * 40}}, "b: is the same for all"),
        ({"scenes": np.zeros(40)}, "scenes: must be 10 or more; found 1"),
        ({"scenes": np.zeros(3)}, "scenes: must have shape"),
        ({"regressor": "laso"}, "lasso"),
    ],
)
def test_what_cannot_be_measured_is_told(changes, words):
    with pytest.raises(InputError, match=words):
        dci(**wrong(**changes))


def test_importance_must_be_a_matrix_that_is_not_negative():
    for measure in (disentanglement, completeness):
        with pytest.raises(InputError, match="2 or more each"):
            measure(np.ones((3, 1)))
        with pytest.raises(InputError, match="at least 0"):
            measure(-np.eye(2))


def test_without_scikit_learn_the_message_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(InputError, match=r"scenewise\[sklearn\]"):
        dci(*independent(40))
