from itertools import permutations

import numpy as np
import pytest

from scenewise.errors import InputError
from scenewise.metrics import mean_iou, segmentation_covering


def naive_iou(labels, ids, slots, segments):
    """Return IoU (G, K) pixel set by pixel set; ignored pixels belong to nothing."""
    table = np.zeros((len(segments), slots))
    pixels = [(y, x) for y, x in np.ndindex(ids.shape) if ids[y, x] != -1]
    for g, names in enumerate(segments):
        for k in range(slots):
            true = {p for p in pixels if ids[p] in names}
            owned = {p for p in pixels if labels[p] == k}
            table[g, k] = len(true & owned) / len(true | owned)
    return table


def best_assignment(iou):
    """Return the highest sum over one-to-one assignments, by trying all."""
    g, k = iou.shape
    padded = np.pad(iou, ((0, 0), (0, max(0, g - k))))
    return max(padded[range(g), list(columns)].sum() for columns in permutations(range(padded.shape[1]), g))


@pytest.fixture(params=range(6))
def frame(request):
    random = np.random.default_rng(request.param)
    ids = random.integers(-1, 4, (7, 6))
    return np.where(random.random(ids.shape) < 0.5, np.maximum(ids, 0), random.integers(0, 5, ids.shape)), ids


def test_hungarian_and_greedy_agree_with_trying_everything(frame):
    labels, ids = frame
    segments = [{int(n)} for n in np.unique(ids) if n != -1]
    iou = naive_iou(labels, ids, 5, segments)
    assert mean_iou(labels, ids).mean == pytest.approx(best_assignment(iou) / len(segments))
    assert mean_iou(labels, ids, matching="greedy").mean == pytest.approx(iou.max(1).mean())
    objects = iou[1:] if {0} in segments else iou
    assert mean_iou(labels, ids, include_background=False).mean == pytest.approx(
        best_assignment(objects) / len(objects)
    )


def test_several_background_ids_are_one_segment(frame):
    labels, ids = frame
    segments = [s for s in ({0, 2}, {1}, {3}) if np.isin(ids, list(s)).any()]
    iou = naive_iou(labels, ids, 5, segments)
    assert mean_iou(labels, ids, background_ids=(0, 2)).mean == pytest.approx(best_assignment(iou) / len(segments))


def test_covering_weighs_segments_equally_or_by_area(frame):
    labels, ids = frame
    segments = [{int(n)} for n in np.unique(ids) if n != -1]
    best = naive_iou(labels, ids, 5, segments).max(1)
    area = np.array([np.isin(ids, list(s)).sum() for s in segments])
    assert segmentation_covering(labels, ids).mean == pytest.approx(best.mean())
    assert segmentation_covering(labels, ids, scaled=True).mean == pytest.approx((best * area).sum() / area.sum())
    kept = [s != {0} for s in segments]
    assert segmentation_covering(labels, ids, foreground=True).mean == pytest.approx(best[kept].mean())


def test_segments_without_a_slot_count_zero_and_spare_slots_do_not():
    ids = np.array([[0, 0, 1, 2]])
    assert mean_iou(np.array([[0, 0, 1, 1]]), ids).mean == pytest.approx((1 + 0.5 + 0) / 3)
    assert mean_iou(np.array([[0, 3, 1, 2]]), ids).mean == pytest.approx((0.5 + 1 + 1) / 3)
    assert mean_iou(np.array([[0, 0, 1, 1]]), ids, matching="greedy").mean == pytest.approx((1 + 0.5 + 0.5) / 3)


def test_an_iou_not_above_the_least_counts_zero():
    ids, labels = np.array([[0, 0, 0, 1]]), np.array([[0, 1, 1, 1]])
    assert mean_iou(labels, ids, matching="greedy").mean == pytest.approx((2 / 4 + 1 / 3) / 2)
    assert mean_iou(labels, ids, matching="greedy", min_iou=1 / 3).mean == pytest.approx(2 / 4 / 2)


def test_pixels_of_nobody_lower_the_union_of_no_slot():
    assert mean_iou(np.array([[0, -1, -1]]), np.array([[0, 0, 1]])).mean == pytest.approx((0.5 + 0) / 2)


def test_a_video_is_matched_once():
    ids = np.array([[[0, 1]], [[0, 1]]])
    labels = np.array([[[0, 1]], [[1, 0]]])
    assert mean_iou(labels, ids).each.tolist() == [1, 1]
    video = mean_iou(labels[None], ids[None], scope="video")
    assert video.each.shape == (1,)
    assert video.mean == pytest.approx(1 / 3)


def test_nothing_to_match_is_nan_and_counted():
    ids = np.array([[[0, 0]], [[-1, -1]], [[0, 1]]])
    found = mean_iou(np.zeros_like(ids), ids, include_background=False)
    assert found.empty == 2
    np.testing.assert_array_equal(found.each, [np.nan, np.nan, 0.5])
    assert segmentation_covering(np.zeros_like(ids), ids).empty == 1


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ("'hungarian'", {"matching": "hungarin"}),
        ("'video'", {"scope": "vide"}),
        ("must have the shape", {"ids": np.zeros((3, 3), int)}),
    ],
)
def test_bad_input_is_refused(words, given):
    with pytest.raises(InputError, match=words):
        mean_iou(np.zeros((2, 2), int), given.pop("ids", np.zeros((2, 2), int)), **given)
