"""Crowds and streets: who is where, what hides what, and a picture that stays."""

from __future__ import annotations

import numpy as np
import pytest

from scenewise.data import SOURCES
from scenewise.data.generated.crowd import scenery
from scenewise.errors import InputError


def make(name="crowd", split="train", **settings):
    return SOURCES.get(name)(split, **settings)


def test_any_span_of_a_video_has_the_frames_of_the_whole():
    source = make(frames=12)
    whole, part = source.sample(3), source.sample(3, 5, 4)
    assert np.array_equal(part.frames, whole.frames[5:9])
    assert np.array_equal(part.ids, whole.ids[5:9])
    assert np.allclose(part.extras["positions"], whole.extras["positions"][5:9])


def test_everybody_moves_by_their_velocity():
    extras = make("avenue", frames=9).sample(0).extras
    assert np.allclose(np.diff(extras["positions"], axis=0), extras["velocities"][1:])


def test_pixels_of_nobody_show_the_picture_of_the_place():
    source = make(noise=0, light=0, frames=4, min_people=1, max_people=2)
    empty = make(noise=0, light=0, frames=4, min_people=0, max_people=0)
    behind = scenery("hall", 64, 0).reshape(64, 2, 64, 2, 3).mean((1, 3))
    nobody = empty.sample(0).frames
    assert np.abs(nobody[0].transpose(1, 2, 0) / 255 - behind).max() < 0.003
    assert np.array_equal(empty.background(3), nobody[1])
    sample = source.sample(0)
    changed = np.abs(sample.frames.astype(int) - nobody[:1]).max(1) > 2
    assert changed[sample.ids > 0].mean() > 0.9
    assert changed[sample.ids == 0].mean() < 0.05  # shadows and soft edges


def test_the_lower_hide_the_upper():
    """Two people in one place: the pixels of the one whose feet are lower are the nearer one's."""
    source = make(noise=0, light=0, frames=1, min_people=12, max_people=12, height=0.6)
    for index in range(3):
        sample = source.sample(index)
        rows = sample.extras["positions"][0, :, 1]
        nearest = int(np.argmax(np.where(rows < 60, rows, -1)))
        column, row = sample.extras["positions"][0, nearest]
        if 2 < column < 62:
            hidden_by = sample.ids[0, int(row - 0.5 * 0.6 * 64 * (0.7 + 0.6 * row / 64)), int(column)]
            assert rows[hidden_by - 1] >= rows[nearest]


def test_a_hall_of_about_ten_people():
    source = make(frames=20)
    assert source.facts.max_objects == 12
    seen = [len(np.unique(ids)) - 1 for index in range(10) for ids in source.sample(index, 0, 20).ids]
    assert 7 < np.mean(seen) < 11


def test_cars_keep_to_the_road_and_people_off_it():
    for index in range(6):
        extras = make("avenue").sample(index, 0, 1).extras
        rows = extras["positions"][0, :, 1] / 64
        cars = extras["kinds"] == "car"
        assert ((rows[cars] > 0.42) & (rows[cars] <= 0.78)).all()
    assert {"car", "person"} == set(np.concatenate([make("avenue").sample(i).extras["kinds"] for i in range(4)]))


def test_splits_share_no_video_and_share_the_place():
    one, other = make().sample(0, 0, 1), make(split="test").sample(0, 0, 1)
    assert not np.array_equal(one.ids, other.ids)
    free = (one.ids[0] == 0) & (other.ids[0] == 0)
    ratio = (one.frames[0, 0][free] + 1.0) / (other.frames[0, 0][free] + 1.0)
    assert np.quantile(np.abs(ratio / np.median(ratio) - 1), 0.9) < 0.08


@pytest.mark.parametrize(
    ("settings", "subject"),
    [
        ({"min_people": 5, "max_people": 4}, "min_people"),
        ({"max_cars": 2}, "max_cars"),
        ({"place": "street", "car_speed": [0.5, 0.1]}, "car_speed"),
    ],
)
def test_settings_that_contradict_each_other(settings, subject):
    with pytest.raises(InputError, match=subject):
        make(**settings)
