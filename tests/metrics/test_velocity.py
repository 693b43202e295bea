import numpy as np
import pytest

from scenewise.errors import InputError
from scenewise.metrics import velocity_similarity, velocity_similarity_of_positions
from scenewise.metrics.velocity import box_centres

T0, T1 = 3, 2


def paths(*lines):
    """Straight paths from (x, y, dx, dy), shape (1, T0 + T1, M, 2)."""
    start, step = np.array(lines, float)[:, :2], np.array(lines, float)[:, 2:]
    return (start + np.arange(T0 + T1)[:, None, None] * step)[None]


def drawn(*lines, size=32):
    """Ids 1.. of 4x4 squares whose top left corners follow the paths, (1, T, size, size)."""
    ids = np.zeros((1, T0 + T1, size, size), int)
    for t, corners in enumerate(paths(*lines)[0].astype(int)):
        for m, (x, y) in enumerate(corners):
            ids[0, t, y : y + 4, x : x + 4] = m + 1
    return ids


def test_centre_of_a_box_is_normalised_by_width_and_height():
    labels = np.zeros((4, 10), int)
    labels[1:4, 2:5] = 1
    labels[2, 3] = 0  # a hole moves a centroid, not a box
    np.testing.assert_allclose(box_centres(labels, (1, 7)), [[0.3, 0.5], [np.nan, np.nan]])


def test_a_model_may_say_itself_where_its_slots_are():
    """Slot 1 is drawn at rest and said to move back, slot 2 owns too few pixels, slot 0 has no place."""
    ids, labels = drawn((4, 4, 2, 0)), drawn((4, 4, 0, 0))
    labels[..., 20, 20] = 2
    said = np.full((1, T0 + T1, 3, 2), np.nan)
    said[:, :, 1:] = paths((0.6, 0.2, -0.0625, 0), (0.19, 0.19, 0.0625, 0))
    assert velocity_similarity(labels, ids, T0).valid.tolist() == [0, 0]
    found = velocity_similarity(labels, ids, T0, slot_positions=said)
    np.testing.assert_allclose(found.cosine, [-1, -1])
    np.testing.assert_allclose(found.speed_error, [0, 0], atol=1e-12)
    assert found.valid.tolist() == [1, 1]
    labels[:, :, 18:22, 18:22] = 2  # now it takes part, and is nearer
    np.testing.assert_allclose(velocity_similarity(labels, ids, T0, slot_positions=said).cosine, [1, 1])
    assert np.isnan(said[:, :, 0]).all()
    with pytest.raises(InputError, match="slot_positions: must have shape"):
        velocity_similarity(labels, ids, T0, slot_positions=said[:, 1:])
    with pytest.raises(InputError, match="slot_positions: must be divided"):
        velocity_similarity(labels, ids, T0, slot_positions=32 * said)


@pytest.mark.parametrize("matching", ["hungarian", "ddpae"])
def test_identical_motion_in_any_order_has_cosine_one(matching):
    true = paths((0.1, 0.1, 0.02, 0.01), (0.8, 0.2, -0.01, 0.03), (0.2, 0.9, 0.0, -0.05))
    found = velocity_similarity_of_positions(true[:, :, [2, 0, 1]], true, T0, matching=matching)
    np.testing.assert_allclose(found.cosine, [1, 1])
    np.testing.assert_allclose(found.speed_error, [0, 0], atol=1e-12)
    assert found.valid.tolist() == [3, 3]
    assert found.excluded == 0.0


def test_hand_made_turns_have_the_cosines_they_should():
    true = paths((0.2, 0.2, 0.1, 0.0), (0.8, 0.8, 0.0, -0.1))
    guess = true.copy()
    guess[0, 3, 0] = guess[0, 2, 0] + [0.0, 0.1]  # turns by 90 degrees: cosine 0
    guess[0, 4, 0] = guess[0, 3, 0] + [-0.2, 0.0]  # turns back, twice as fast: cosine -1, speed error 1
    found = velocity_similarity_of_positions(guess, true, T0, lag=1)
    np.testing.assert_allclose(found.cosine, [0.5, 0.0], atol=1e-12)
    np.testing.assert_allclose(found.speed_error, [0.0, 0.5], atol=1e-12)


def test_lag_two_reaches_back_into_observed_frames():
    true = paths((0.2, 0.2, 0.1, 0.0))
    guess = true.copy()
    guess[0, 3:, 0] = guess[0, 2, 0] + np.array([[0.0, 0.1], [0.0, 0.2]])
    found = velocity_similarity_of_positions(guess, true, T0, lag=2)
    np.testing.assert_allclose(found.cosine, [np.sqrt(0.5), 0.0], atol=1e-12)


def test_still_and_missing_objects_are_left_out():
    true = paths((0.1, 0.1, 0.05, 0.0), (0.9, 0.9, 0.0, 0.0), (0.1, 0.9, 0.05, 0.0))
    guess = true.copy()
    guess[0, 4, 2] = np.nan
    found = velocity_similarity_of_positions(guess, true, T0, lag=1)
    assert found.valid.tolist() == [2, 1]
    still = velocity_similarity_of_positions(true[:, :, 1:2], true[:, :, 1:2], T0)
    assert np.isnan(still.cosine).all()
    assert still.valid.tolist() == [0, 0]


def test_two_slots_on_one_object_are_ambiguous_for_ddpae_only():
    true = np.concatenate([paths((0.1, 0.1, 0.05, 0.0), (0.9, 0.9, -0.05, 0.0))] * 2)
    guess = true.copy()
    guess[1, :, 1] = true[1, :, 0] + 0.01
    found = velocity_similarity_of_positions(guess, true, T0, matching="ddpae")
    assert found.excluded == 0.5
    assert found.valid.tolist() == [2, 2]
    assigned = velocity_similarity_of_positions(guess, true, T0, matching="hungarian")
    assert assigned.excluded == 0.0
    assert assigned.valid.tolist() == [4, 4]
    np.testing.assert_allclose(assigned.cosine, [0.5, 0.5])  # the second slot moves against its object


@pytest.mark.parametrize("matching", ["hungarian", "ddpae"])
def test_only_observed_frames_decide_who_is_who(matching):
    true = paths((0.1, 0.1, 0.05, 0.0), (0.2, 0.1, -0.05, 0.02))
    guess = true.copy()
    guess[:, T0:] = 10 * true[:, T0:, ::-1]  # afterwards each slot lies far off, nearer to the other's object
    found = velocity_similarity_of_positions(guess, true, T0, lag=1, matching=matching)
    step = guess[0, T0 + 1] - guess[0, T0]
    cosines = (step * [(0.05, 0.0), (-0.05, 0.02)]).sum(-1) / (
        np.linalg.norm(step, axis=-1) * [0.05, np.hypot(0.05, 0.02)]
    )
    assert found.cosine[1] == pytest.approx(cosines.mean())
    assert found.cosine[1] < -0.9


def test_a_slot_first_seen_in_predicted_frames_has_no_object():
    true = paths((0.1, 0.1, 0.05, 0.0))
    guess = true.copy()
    guess[:, :T0] = np.nan
    assert velocity_similarity_of_positions(guess, true, T0, lag=1).valid.tolist() == [0, 0]


def test_fewer_slots_than_objects_leave_objects_unmatched():
    true = paths((0.1, 0.1, 0.05, 0.0), (0.9, 0.9, -0.05, 0.0))
    found = velocity_similarity_of_positions(true[:, :, 1:], true, T0)
    np.testing.assert_allclose(found.cosine, [1, 1])
    assert found.valid.tolist() == [1, 1]


def test_labels_are_matched_whatever_the_slots_are_called():
    ids = drawn((2, 2, 2, 1), (20, 20, -1, 2))
    found = velocity_similarity(np.array([5, 0, 2])[ids], ids, T0)
    np.testing.assert_allclose(found.cosine, [1, 1])
    assert found.valid.tolist() == [2, 2]


def test_background_slot_and_specks_take_no_part():
    ids = drawn((2, 2, 2, 1))
    speck = ids * 0
    for t in range(T0 + T1):
        speck[0, t, 2 + t, 2 + 2 * t] = 2  # one pixel on the object, all the way
    found = velocity_similarity(np.where(speck, speck, ids), ids, T0, matching="ddpae")
    assert found.excluded == 0.0  # the speck would choose the same object
    assert velocity_similarity(ids * 0, ids, T0).valid.tolist() == [0, 0]


def test_true_positions_replace_boxes():
    ids = drawn((2, 2, 2, 0))
    state = paths((4 / 32, 4 / 32, 0.0, 2 / 32))  # says that it moves down where the boxes move right
    found = velocity_similarity(ids, ids, T0, positions=state, gt="state")
    np.testing.assert_allclose(found.cosine, [0, 0], atol=1e-12)
    np.testing.assert_allclose(velocity_similarity(ids, ids, T0, positions=state).cosine, [1, 1])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gt": "state"}, 'positions: are needed for gt="state"'),
        (
            {"gt": "state", "positions": paths((4, 4, 2, 0))},
            "positions: must be divided by the image size; found .* 12",
        ),
        ({"gt": "state", "positions": np.zeros((1, 2, 1, 2))}, "positions: must have shape"),
        ({"gt": "box"}, "Did you mean 'bbox'"),
        ({"matching": "greedy"}, "matching: is 'greedy'; allowed: hungarian, ddpae"),
        ({"observed": 1}, r"observed: must lie in \[2, 4\] for 5 frames; found 1"),
        ({"observed": 5}, "observed: must lie in"),
        ({"lag": 0}, "lag: must be at least 1"),
        ({"labels": np.zeros((1, 5, 8, 8), int)}, "labels: must have the shape of ids"),
        ({"labels": np.full((1, 5, 32, 32), -1)}, "labels: must be at least 0"),
    ],
)
def test_bad_input_says_what_is_wrong(change, words):
    ids = drawn((2, 2, 2, 0))
    arguments = {"labels": ids, "ids": ids, "observed": T0, **change}
    with pytest.raises(InputError, match=words):
        velocity_similarity(**arguments)


def test_positions_must_be_of_the_same_frames():
    true = paths((0.1, 0.1, 0.05, 0.0))
    with pytest.raises(InputError, match=r"positions: must be \(N, T, K, 2\) and \(N, T, M, 2\)"):
        velocity_similarity_of_positions(true[:, :4], true, T0)
