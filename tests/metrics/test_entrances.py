"""Entrances: when a slot has an object that comes into view, on videos that can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from scenewise.errors import InputError
from scenewise.metrics import entrances


def video(frames=8, side=4):
    return np.zeros((1, frames, side, side), int), np.zeros((1, frames, side, side), int)


def test_what_is_there_from_the_start_does_not_enter():
    labels, ids = video()
    ids[0, :, 0] = 1
    labels[0, :, 0] = 1
    outcome = entrances(labels, ids, horizon=3)
    assert len(outcome.delays) == 0
    assert np.isnan(outcome.each).all()
    assert np.isnan(outcome.within(2)).all()


@pytest.mark.parametrize("delay", [0, 1, 3])
def test_a_slot_that_comes_later(delay):
    labels, ids = video()
    ids[0, 2:, 1, :2] = 7
    labels[0, 2 + delay :, 1, :2] = 2
    outcome = entrances(labels, ids, horizon=5)
    assert outcome.delays.tolist() == [delay]
    assert outcome.caught.tolist() == [True]
    assert [outcome.within(n)[0] for n in (0, 1, 3)] == [float(delay <= n) for n in (0, 1, 3)]


def test_half_of_the_union_is_enough_and_less_is_not():
    labels, ids = video()
    ids[0, 1:, 0] = 3  # 4 pixels
    labels[0, 1:4, 0, :1] = 1  # 1 of 4
    labels[0, 4:, 0, :2] = 1  # 2 of 4
    assert entrances(labels, ids, horizon=5).delays.tolist() == [3]
    assert entrances(labels, ids, horizon=5, overlap=0.25).delays.tolist() == [0]
    assert not entrances(labels, ids, horizon=5, overlap=0.51).caught.any()


def test_a_slot_that_also_has_the_background_has_no_object():
    labels, ids = video()
    ids[0, 1:, 0, 0] = 1  # one pixel of sixteen, all of them slot 0's
    outcome = entrances(labels, ids, horizon=4)
    assert outcome.delays.tolist() == [4]
    assert not outcome.caught.any()


def test_an_object_that_leaves_before_the_horizon_is_left_out_unless_it_was_caught():
    labels, ids = video()
    ids[0, 1:3, 0] = 1
    assert len(entrances(labels, ids, horizon=4).delays) == 0
    labels[0, 2, 0] = 1
    assert entrances(labels, ids, horizon=4).delays.tolist() == [1]


def test_small_parts_are_not_seen_yet():
    labels, ids = video()
    ids[0, 1:, 0, 0] = 1
    ids[0, 4:, 0] = 1
    labels[0, 5:, 0] = 2
    assert entrances(labels, ids, horizon=3, least_area=0.2).delays.tolist() == [1]


def test_ignored_pixels_count_for_nobody():
    labels, ids = video()
    ids[0, 1:, 0, :2] = 1
    ids[0, 1:, 1] = -1
    labels[0, 1:, :2] = 1  # the object, the rest of its row, and ignored pixels
    assert entrances(labels, ids, horizon=3).delays.tolist() == [0]  # 2 of 4


def test_means_are_of_videos():
    first, second = video(), video()
    for (labels, ids), delays in ((first, (0, 2)), (second, (1,))):
        for row, delay in enumerate(delays):
            ids[0, 2:, row] = row + 1
            labels[0, 2 + delay :, row] = row + 1
    outcome = entrances(*(np.concatenate(pair) for pair in zip(first, second, strict=True)), horizon=4)
    assert outcome.each.tolist() == [1.0, 1.0]
    assert outcome.within(0).tolist() == [0.5, 0.0]


def test_a_horizon_of_nothing_is_refused():
    with pytest.raises(InputError, match="horizon"):
        entrances(*video(), horizon=0)
