import numpy as np
import pytest

from scenewise.errors import InputError
from scenewise.metrics import duplicates, similar_pairs, splits, takeover


def naive(scores, appearance, j):
    """Return area of slot j, and the share and colour distance of every other, pixel by pixel."""
    slots, height, width = scores.shape
    taken, apart, area = np.zeros(slots), np.zeros(slots), 0
    for y, x in np.ndindex(height, width):
        order = sorted(range(slots), key=lambda k: (-scores[k, y, x], k))
        if order[0] != j:
            continue
        area += 1
        taken[order[1]] += 1
        for h in range(slots):
            apart[h] += ((appearance[h, :, y, x] - appearance[j, :, y, x]) ** 2).sum()
    return area, taken / max(area, 1), apart / max(area, 1)


def test_a_loop_over_pixels_gives_the_same():
    random = np.random.default_rng(0)
    scores, appearance = random.random((2, 4, 6, 5)).astype(np.float32), random.random((2, 4, 3, 6, 5))
    scores[1, 2] = -1  # a slot that wins nothing
    found = takeover(scores, appearance)
    for n, j in np.ndindex(2, 4):
        area, share, distance = naive(scores[n], appearance[n], j)
        assert found.area[n, j] == area
        np.testing.assert_allclose(found.share[n, :, j], share)
        if area:
            np.testing.assert_allclose(found.distance[n, :, j], distance)
    assert found.area[1, 2] == 0


def scene(shift=0.0, colour=0.0):
    """A background, an object, and a copy of it `shift` less sure and `colour` away; 8 x 8, 16 pixels of object."""
    logits = np.zeros((1, 3, 8, 8))
    logits[0, 0] = 1.0
    logits[0, 1, 2:6, 2:6], logits[0, 2, 2:6, 2:6] = 4.0, 4.0 - shift
    appearance = np.zeros((1, 3, 3, 8, 8))
    appearance[0, 1:] = 0.8
    appearance[0, 2] += colour
    return logits, appearance


@pytest.mark.parametrize(
    ("shift", "colour", "expected"), [(0.1, 0.0, True), (0.1, 0.05, True), (0.1, 0.11, False), (5.0, 0.0, False)]
)
def test_a_copy_is_a_duplicate_only_where_it_would_win_and_looks_the_same(shift, colour, expected):
    found = duplicates(takeover(*scene(shift, colour)))
    assert bool(found.objects[0]) is expected
    assert bool(found.pairs[0, 2, 1]) is expected
    assert not found.background[0]


def test_a_slot_that_wins_too_little_is_no_duplicate():
    assert not duplicates(takeover(*scene(0.1)), least_area=17 / 64).any[0]
    assert duplicates(takeover(*scene(0.1)), least_area=16 / 64).any[0]


def test_the_share_that_is_taken_over_decides():
    logits, appearance = scene(0.1)
    logits[0, 2, 2:4, 2:6] = -9  # half of the object goes to the background when slot 1 is removed
    found = takeover(logits, appearance)
    assert found.share[0, 2, 1] == pytest.approx(0.5)
    assert duplicates(found, take=0.5).objects[0]
    assert not duplicates(found, take=0.7).objects[0]


def test_a_split_background_is_told_apart():
    logits, appearance = scene(5.0)
    logits[0, 2] = 0.5  # would take over the background
    appearance[0, 2] = 0.0
    found = duplicates(takeover(logits, appearance))
    assert (bool(found.background[0]), bool(found.objects[0])) == (True, False)
    assert found.pairs[0, 2, 0]


def test_one_slot_has_no_duplicate():
    found = duplicates(takeover(np.zeros((1, 1, 8, 8)), np.zeros((1, 1, 3, 8, 8))))
    assert not found.any[0]


def test_shapes_must_fit():
    with pytest.raises(InputError, match="scores: must be"):
        takeover(np.zeros((1, 2, 4, 4)), np.zeros((1, 3, 3, 4, 4)))


def test_splits_count_objects_and_background_apart():
    ids = np.array([[0] * 8 + [1] * 4 + [2] * 4 + [-1] * 2])
    labels = np.array([[0] * 5 + [1] * 3 + [2, 2, 2, 3] + [4, 4, 4, 4] + [5, 6]])
    found = splits(labels, ids)
    assert (found.objects, found.background, found.visible) == (1, True, 2)
    stricter = splits(labels, ids, share=0.3)
    assert (stricter.objects, stricter.background) == (0, True)
    joined = splits(labels, ids, background_ids=(0, 1))
    assert (joined.objects, joined.background, joined.visible) == (0, True, 1)  # 5 and 3 of 12
    assert splits(labels[None], ids[None]).objects.shape == (1,)


def test_similar_pairs_need_both_slots_active():
    latents = np.array([[1.0, 0.0], [1.0, 0.1], [1.0, -0.1], [-1.0, 0.0]])
    labels = np.zeros((20, 20), int)
    labels[0, :4] = 1
    assert similar_pairs(latents, labels) == 1
    labels[1, :1] = 2  # 1 of 400 pixels is too few
    assert similar_pairs(latents, labels) == 1
    labels[1, :2] = 2
    assert similar_pairs(latents, labels) == 3
    assert similar_pairs(latents, labels, cosine=0.99) == 2
