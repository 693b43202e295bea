"""Curves in constant memory."""

import numpy as np
import pytest

from scenewise.report.page import Timeline


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
