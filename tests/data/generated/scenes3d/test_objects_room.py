"""Objects-Room-like videos keep what the papers tell of the set."""

from __future__ import annotations

import numpy as np
import pytest

from scenewise.data import SOURCES
from scenewise.errors import InputError

pytest.importorskip("mujoco", reason="needs mujoco: pip install 'scenewise[scenes3d]'")

from .scenes3d_checks import check_amodal, check_centres, check_shapes, same


def ready(name="objects-room", split="test", **settings):
    return SOURCES.get(name)(split, **settings)


@pytest.fixture(scope="module")
def many():
    source = ready(seed=5)
    return [source.sample(index) for index in range(10)]


def test_shapes_ids_and_facts(many):
    source = ready(seed=5)
    assert source.facts.background_ids == (0, 1, 2, 3)
    for sample in many:
        check_shapes(source, sample, 16)
        assert len(sample.extras["shape"]) == 3
        assert sample.ids.max() <= 6
        assert (sample.ids[[0, -1]] >= 4).any((1, 2)).all()
    shown = np.unique(np.concatenate([sample.ids.reshape(-1) for sample in many]))
    assert shown.tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_a_video_depends_on_seed_split_and_index_alone():
    assert same(ready().sample(3), ready().sample(3))
    assert not np.array_equal(ready().sample(3).frames, ready(seed=1).sample(3).frames)
    part = ready().sample(3, 4, 5)
    whole = ready().sample(3)
    np.testing.assert_array_equal(part.frames, whole.frames[4:9])
    np.testing.assert_array_equal(part.extras["visibility"], whole.extras["visibility"][4:9])


def test_amodal_masks_and_centres(many):
    for sample in many:
        check_amodal(sample, 4)
    assert sum(check_centres(sample, 4) for sample in many) > 50


def test_the_camera_moves_on_a_ring_at_constant_speed_and_faces_the_middle(many):
    for sample in many:
        place, target = sample.extras["camera"], sample.extras["target"]
        radius = np.hypot(place[:, 0], place[:, 1])
        np.testing.assert_allclose(radius, radius[0])
        angle = np.unwrap(np.arctan2(place[:, 1], place[:, 0]))
        np.testing.assert_allclose(np.diff(angle), np.diff(angle)[0], atol=1e-9)
        way = target - place
        inwards = -place[:, :2] / radius[:, None]
        np.testing.assert_allclose(way[:, :2] / np.linalg.norm(way[:, :2], axis=1)[:, None], inwards, atol=1e-9)
        nod = np.rad2deg(np.arcsin(way[:, 2] / np.linalg.norm(way, axis=1)))
        assert nod.min() >= -25.001
        assert nod.max() <= 22.001
        np.testing.assert_allclose(np.diff(nod), np.diff(nod)[0], atol=1e-6)


def test_objects_stand_apart_on_the_floor(many):
    for sample in many:
        places, sizes = sample.extras["positions"], sample.extras["size"]
        for i in range(3):
            for j in range(i):
                assert np.linalg.norm(places[i, :2] - places[j, :2]) > sizes[i] + sizes[j]
        assert (places[:, 2] > 0).all()


def test_the_variants_hold_what_training_never_shows():
    empty = ready("objects-room-empty").sample(0)
    assert empty.ids.max() <= 3
    assert empty.extras["amodal"].shape == (16, 0, 64, 64)
    six = ready("objects-room-six").sample(0)
    assert len(six.extras["shape"]) == 6
    for index in range(3):
        colours = ready("objects-room-identical").sample(index, 0, 1).extras["colour"]
        assert 4 <= len(colours) <= 6
        assert (colours == colours[0]).all()


def test_settings_that_cannot_be_met_are_refused():
    with pytest.raises(InputError, match="min_objects"):
        ready(min_objects=5, max_objects=4)
    with pytest.raises(InputError, match="shapes"):
        ready(shapes=[])
    with pytest.raises(InputError, match="sphere"):
        ready(shapes=["spher"])
