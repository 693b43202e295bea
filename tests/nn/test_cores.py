"""Cores: objects that touch are told apart by hue, whatever light and shade do on them."""

import numpy as np
import pytest

from scenewise.nn.cores import hues, of_like_hues
from scenewise.nn.masks import consecutive

RED, BLUE, GREY = (0.7, 0.15, 0.1), (0.1, 0.2, 0.7), (0.4, 0.4, 0.4)
SIDE = 24


def _painted(*objects: tuple[slice, slice, tuple[float, float, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Return masks (1, H, W) and an image (1, 3, H, W) of rectangles on grey, whose edges mix both sides' colours."""
    fine, mask = np.full((3, 4 * SIDE, 4 * SIDE), 0.5), np.zeros((4 * SIDE, 4 * SIDE))
    for rows, columns, colour in objects:
        place = (slice(4 * rows.start + 2, 4 * rows.stop + 2), slice(4 * columns.start + 2, 4 * columns.stop + 2))
        fine[:, *place], mask[place] = np.array(colour)[:, None, None], 1
    coarse = fine.reshape(3, SIDE, 4, SIDE, 4).mean((2, 4))
    return mask.reshape(SIDE, 4, SIDE, 4).mean((1, 3))[None] > 0, coarse[None]


def test_hues_are_the_same_in_light_and_shade():
    colours = np.array([RED, BLUE]).T[None, :, :, None]  # (1, 3, 2, 1)
    np.testing.assert_allclose(hues(colours), hues(0.5 * colours), rtol=0.2)
    for place, colour in enumerate((RED, BLUE)):
        np.testing.assert_allclose(hues(colours)[0, :, place, 0], np.divide(colour, np.mean(colour) + 0.05))


def test_two_objects_that_touch_are_two_though_their_edge_is_mixed():
    masks, image = _painted((slice(6, 14), slice(3, 11), RED), (slice(6, 14), slice(11, 19), BLUE))
    steps = np.abs(np.diff(hues(image)[0], axis=2)).max(0)[8:12, 10:12]
    assert (steps > 0.2).all(), "an edge, in two steps"
    labels = of_like_hues(masks, image, 0.2)
    assert set(np.unique(labels)) == {0, 1, 2}
    assert (labels > 0).tolist() == masks.tolist()
    left, right = labels[0, 8, 5], labels[0, 8, 16]
    assert left != right
    assert (labels[0, 7:13, 4:10] == left).all()
    assert (labels[0, 7:13, 13:18] == right).all()


def test_faces_of_one_object_in_light_and_shade_are_one():
    dark = tuple(0.5 * value for value in RED)
    masks, image = _painted((slice(4, 9), slice(4, 14), RED), (slice(9, 14), slice(4, 14), dark))
    assert of_like_hues(masks, image, 0.3).max() == 1


def test_a_highlight_between_two_halves_does_not_part_them():
    parts = [(slice(4, 9), slice(4, 14), RED), (slice(11, 16), slice(4, 14), RED), (slice(9, 11), slice(4, 14), GREY)]
    masks, image = _painted(*parts)
    labels = of_like_hues(masks, image, 0.2)[0]
    assert labels[6, 8] == labels[14, 8]


def test_objects_of_one_hue_with_another_between_them_are_apart():
    parts = [(slice(2, 7), slice(4, 9), RED), (slice(7, 16), slice(4, 9), BLUE), (slice(16, 21), slice(4, 9), RED)]
    masks, image = _painted(*parts)
    labels = of_like_hues(masks, image, 0.2)[0]
    assert len({labels[4, 6], labels[11, 6], labels[19, 6]}) == 3


def test_every_frame_is_counted_from_one_and_empty_frames_have_no_part():
    masks, image = _painted((slice(6, 14), slice(3, 11), RED), (slice(6, 14), slice(11, 19), BLUE))
    both = np.concatenate([masks, np.zeros_like(masks), masks])
    labels = of_like_hues(both, np.repeat(image, 3, 0), 0.2)
    assert labels.max((1, 2)).tolist() == [2, 0, 2]
    np.testing.assert_array_equal(labels[0], labels[2])


@pytest.mark.parametrize("side", [1, 2])
def test_what_has_no_core_is_a_part_as_a_whole(side):
    masks, image = _painted((slice(6, 6 + side), slice(3, 3 + side), RED))
    assert of_like_hues(masks, image, 0.01).max() == 1


def test_flat_objects_of_one_hue_are_told_apart_by_brightness():
    dark = tuple(0.5 * value for value in RED)
    masks, image = _painted((slice(4, 9), slice(4, 14), RED), (slice(9, 14), slice(4, 14), dark))
    labels = of_like_hues(masks, image, 0.3, colours=0.12)[0]
    assert set(np.unique(labels)) == {0, 1, 2}
    assert labels[6, 8] != labels[12, 8]


def test_two_cores_of_one_flat_object_are_one_behind_what_hides_its_middle():
    parts = [(slice(2, 21), slice(6, 16), BLUE), (slice(10, 14), slice(3, 20), RED)]
    masks, image = _painted(*parts)
    labels = of_like_hues(masks, image, 0.2, colours=0.12)[0]
    assert labels[5, 10] == labels[18, 10] != labels[12, 4]


def test_numbers_without_gaps_are_those_of_a_sort():
    labels = np.random.default_rng(0).choice([0, 2, 3, 9, 40], (2, 5, 7))
    expected = np.unique(np.append(0, labels), return_inverse=True)[1][1:].reshape(labels.shape)
    np.testing.assert_array_equal(consecutive(labels), expected)
    np.testing.assert_array_equal(consecutive(np.full((3, 3), 7)), np.ones((3, 3)))
