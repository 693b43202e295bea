"""Curves and slot statistics in constant memory."""

import numpy as np
import pytest

from scenewise.viewer.timeline import SlotStatistics, Timeline


def test_timeline_keeps_every_frame_while_they_fit():
    timeline = Timeline(1, points=8)
    for value in range(5):
        timeline.add(np.array([float(value)]))
    assert timeline.stretch == 1
    np.testing.assert_array_equal(timeline.means()[:, 0], np.arange(5))


@pytest.mark.parametrize("frames", [8, 9, 16, 17, 100, 1001])
def test_merged_points_are_exact_means_of_equal_stretches(frames):
    timeline = Timeline(1, points=8)
    values = np.random.default_rng(frames).normal(size=frames)
    for value in values:
        timeline.add(np.array([value]))
    stretch = timeline.stretch
    expected = [values[start : start + stretch].mean() for start in range(0, frames, stretch)]
    assert len(expected) <= 8
    np.testing.assert_allclose(timeline.means()[:, 0], expected)


def test_values_that_are_not_finite_do_not_count():
    timeline = Timeline(2, points=2)
    for values in ([1.0, np.nan], [3.0, np.nan], [np.inf, np.nan]):
        timeline.add(np.array(values))
    means = timeline.means()
    assert means[0, 0] == 2.0
    assert np.isnan(means[:, 1]).all()


def test_no_frames_give_no_points():
    assert Timeline(3).means().shape == (0, 3)


def test_slot_statistics_equal_those_of_the_whole_video():
    random = np.random.default_rng(0)
    area, spread, mean = random.random((50, 3)) * 0.01, random.random((50, 3)), random.normal(size=(50, 3, 4))
    statistics = SlotStatistics(3)
    for t in range(50):
        statistics.add(area[t], spread[t], mean[t])
    np.testing.assert_allclose(statistics.area, area.mean(0))
    np.testing.assert_allclose(statistics.spread, spread.mean(0))
    np.testing.assert_allclose(statistics.movement, mean.std(0).mean(-1))
    np.testing.assert_array_equal(statistics.active, (area >= 0.002).sum(0))


def test_a_slot_seen_in_few_frames_is_no_object():
    statistics = SlotStatistics(3)
    for t in range(100):
        statistics.add(np.array([0.7, 0.3, 0.1 * (t < 4)]), np.zeros(3), np.zeros((3, 2)))
    assert statistics.objects(background={0}) == [1]
