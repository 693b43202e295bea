from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scenewise.errors import InputError
from scenewise.metrics import ari as implementation
from scenewise.metrics.ari import adjusted_rand_index

labellings = st.integers(1, 40).flatmap(
    lambda n: st.tuples(
        hnp.arrays(np.int64, (1, n), elements=st.integers(0, 5)),
        hnp.arrays(np.int64, (1, n), elements=st.integers(0, 5)),
    )
)


def adjusted_rand_score(ids, labels):
    """scikit-learn's, which is read by the process that runs these tests alone."""
    from sklearn import metrics

    return metrics.adjusted_rand_score(ids, labels)


def of_points(labels, ids, **flags):
    """ARI of one set of points with every id an object."""
    frame = (np.array([labels]), np.array([ids]))
    return adjusted_rand_index(*frame, background_ids=(), **flags)


@pytest.mark.parametrize(
    ("case", "labels", "ids", "expected"),
    [
        ("perfect up to permutation", [2, 2, 0, 0, 1], [1, 1, 2, 2, 3], 1.0),
        ("one true, one predicted", [4, 4, 4], [1, 1, 1], 1.0),
        ("one true, several predicted", [0, 1, 1, 2, 2, 2, 3], [1, 1, 1, 1, 1, 1, 1], 0.0),
        ("several true, one predicted", [0, 0, 0, 0, 0, 0, 0], [1, 2, 2, 3, 3, 3, 4], 0.0),
        ("every point its own in both", [3, 1, 0, 2], [1, 2, 3, 4], 1.0),
        ("a single point", [5], [1], 1.0),
    ],
)
def test_edge_cases_are_exact_and_agree_with_sklearn(case, labels, ids, expected):
    score = of_points(labels, ids)
    assert score.mean == expected, case
    assert score.mean == adjusted_rand_score(ids, labels), case
    assert score.empty == 0


def test_frame_without_foreground_is_excluded_and_counted():
    ids = np.zeros((1, 3, 2, 4), int)
    ids[0, 0, :, :2] = [[1, 2], [1, 2]]
    ids[0, 2, :, :2] = [[1, 1], [2, 2]]
    labels = np.tile(np.array([0, 1, 2, 2]), (1, 3, 2, 1))
    score = adjusted_rand_index(labels, ids, foreground=True)
    assert score.each.shape == (1, 3)
    assert score.each[0, 0] == 1.0
    assert np.isnan(score.each[0, 1])
    assert score.empty == 1
    assert score.mean == pytest.approx((1.0 + score.each[0, 2]) / 2)


def test_empty_one_reproduces_provide():
    ids, labels = np.zeros((2, 4, 4), int), np.zeros((2, 4, 4), int)
    ids[1, :2], ids[1, 2:] = 1, 2
    score = adjusted_rand_index(labels, ids, foreground=True, empty="one")
    assert score.each.tolist() == [1.0, 0.0]
    assert (score.mean, score.empty) == (0.5, 1)


def test_all_frames_empty_is_nan():
    score = adjusted_rand_index(np.zeros((2, 4, 4), int), np.zeros((2, 4, 4), int), foreground=True)
    assert np.isnan(score.mean)
    assert score.empty == 2


@given(labellings)
def test_agrees_with_sklearn(pair):
    labels, ids = pair
    score = adjusted_rand_index(labels, ids)
    assert score.mean == pytest.approx(adjusted_rand_score(ids.ravel(), labels.ravel()), abs=1e-12)


@given(labellings)
def test_foreground_agrees_with_sklearn_on_foreground_points(pair):
    labels, ids = pair
    score = adjusted_rand_index(labels, ids, foreground=True)
    used = ids > 0
    if used.any():
        assert score.mean == pytest.approx(adjusted_rand_score(ids[used], labels[used]), abs=1e-12)
    else:
        assert np.isnan(score.mean)


@given(labellings, st.permutations(range(6)), st.permutations(range(6)))
def test_names_of_clusters_do_not_matter(pair, new_labels, new_ids):
    labels, ids = pair
    renamed = adjusted_rand_index(np.array(new_labels)[labels], np.array(new_ids)[ids], background_ids=())
    assert renamed.mean == adjusted_rand_index(labels, ids, background_ids=()).mean


@given(labellings)
def test_is_symmetric_and_at_most_one(pair):
    labels, ids = pair
    score = adjusted_rand_index(labels, ids, background_ids=()).mean
    assert score <= 1.0
    assert score == pytest.approx(adjusted_rand_index(ids, labels, background_ids=()).mean, abs=1e-12)


def test_whole_video_does_not_overflow():
    random = np.random.default_rng(0)
    ids = random.choice(3, p=[0.98, 0.01, 0.01], size=(40, 64, 64))
    labels = np.where(random.random(ids.shape) < 0.9, ids, random.integers(0, 3, ids.shape))
    table = np.histogram2d(ids.ravel(), labels.ravel(), bins=3)[0].astype(int).tolist()
    rows, columns = [sum(row) for row in table], [sum(column) for column in zip(*table, strict=True)]
    cells = [cell for row in table for cell in row]
    n = ids.size
    same, true, predicted = (sum(c * (c - 1) for c in counts) for counts in (cells, rows, columns))
    assert true * predicted > 2**63  # else the case proves nothing
    expected = Fraction(true * predicted, n * (n - 1))
    exact = (same - expected) / (Fraction(true + predicted, 2) - expected)
    assert adjusted_rand_index(labels, ids, scope="video").mean == pytest.approx(float(exact), rel=1e-12)


def test_video_scope_punishes_a_switch_of_slots():
    ids = np.tile(np.array([[1, 1, 2, 2]] * 4), (2, 1, 1))
    labels = np.stack([ids[0] - 1, 2 - ids[0]])
    assert adjusted_rand_index(labels, ids).mean == 1.0
    video = adjusted_rand_index(labels, ids, scope="video")
    assert video.each.shape == ()
    assert video.mean == pytest.approx(adjusted_rand_score(ids.ravel(), labels.ravel()))
    assert video.mean < 0.1


def test_ignored_pixels_do_not_count():
    random = np.random.default_rng(1)
    ids, labels = random.integers(-1, 4, (2, 8, 8)), random.integers(0, 5, (2, 8, 8))
    score = adjusted_rand_index(labels, ids)
    for frame in range(2):
        used = ids[frame] != -1
        assert score.each[frame] == pytest.approx(adjusted_rand_score(ids[frame][used], labels[frame][used]))
    assert adjusted_rand_index(labels, np.full_like(ids, -1)).empty == 2


def test_several_background_ids_are_one_cluster_and_no_foreground():
    random = np.random.default_rng(2)
    ids, labels = random.integers(0, 6, (8, 8)), random.integers(0, 5, (8, 8))
    merged = np.where(np.isin(ids, (0, 1, 4)), 0, ids)
    for foreground in (False, True):
        found = adjusted_rand_index(labels, ids, foreground=foreground, background_ids=(0, 1, 4)).mean
        assert found == adjusted_rand_index(labels, merged, foreground=foreground).mean
    assert found != adjusted_rand_index(labels, ids, foreground=True).mean


def test_many_clusters_take_the_sparse_path_to_the_same_score(monkeypatch):
    random = np.random.default_rng(3)
    ids, labels = random.integers(-1, 300, (3, 20, 20)), random.integers(0, 300, (3, 20, 20))
    dense = adjusted_rand_index(labels, ids, foreground=True)
    monkeypatch.setattr(implementation, "BLOCK_CELLS", 0)
    np.testing.assert_array_equal(adjusted_rand_index(labels, ids, foreground=True).each, dense.each)


def test_large_ids_and_a_cluster_per_pixel():
    ids = np.arange(64 * 64).reshape(64, 64) * 10**12
    assert adjusted_rand_index(ids[::-1, ::-1], ids).mean == 1.0


def test_blocks_do_not_change_the_scores(monkeypatch):
    random = np.random.default_rng(4)
    ids, labels = random.integers(0, 4, (5, 3, 6, 7)), random.integers(0, 4, (5, 3, 6, 7))
    whole = adjusted_rand_index(labels, ids)
    monkeypatch.setattr(implementation, "BLOCK_PIXELS", 2 * 6 * 7)
    np.testing.assert_array_equal(adjusted_rand_index(labels, ids).each, whole.each)


def test_torch_tensors_and_small_integers_give_the_same():
    random = np.random.default_rng(5)
    ids, labels = random.integers(0, 4, (2, 6, 6)), random.integers(0, 4, (2, 6, 6))
    expected = adjusted_rand_index(labels, ids).mean
    assert adjusted_rand_index(torch.from_numpy(labels), torch.from_numpy(ids)).mean == expected
    assert adjusted_rand_index(labels.astype(np.uint8), ids.astype(np.uint8)).mean == expected


good = np.zeros((2, 4, 4), int)


@pytest.mark.parametrize(
    ("labels", "ids", "flags", "words"),
    [
        (np.zeros((2, 4, 5), int), good, {}, r"labels: must have the shape of ids, \(2, 4, 4\); found \(2, 4, 5\)"),
        (good - 1, good, {}, "labels: must be at least 0; found -1"),
        (good, good - 2, {}, "ids: must be at least -1; found -2"),
        (good.astype(float), good, {}, "labels: must be integers; found float64. Take the argmax"),
        (good[0, 0], good[0, 0], {}, r"labels: must have shape \(..., H, W\); found \(4,\)"),
        (good[0], good[0], {"scope": "video"}, r"labels: must have shape \(..., T, H, W\); found \(4, 4\)"),
        (good, good, {"scope": "vidio"}, "scope: is 'vidio'; allowed: frame, video. Did you mean 'video'"),
        (good, good, {"empty": "zero"}, "empty: is 'zero'; allowed: exclude, one"),
    ],
)
def test_bad_input_says_what_is_wrong(labels, ids, flags, words):
    with pytest.raises(InputError, match=words):
        adjusted_rand_index(labels, ids, **flags)
