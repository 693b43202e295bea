"""CLEVR-like images keep the rules of the public generator."""

from __future__ import annotations

import numpy as np
import pytest

from scenewise.data import SOURCES
from scenewise.errors import InputError

pytest.importorskip("mujoco", reason="needs mujoco: pip install 'scenewise[scenes3d]'")

from scenewise.data.generated.scenes3d import clevr_world as world
from scenewise.data.generated.scenes3d.choosing import ground_directions

from .scenes3d_checks import check_amodal, check_centres, check_shapes, same


def ready(name="clevr", split="test", **settings):
    return SOURCES.get(name)(split, **settings)


@pytest.fixture(scope="module")
def many():
    source = ready(seed=5)
    return [source.sample(index) for index in range(40)]


def test_shapes_and_facts(many):
    source = ready(seed=5)
    for sample in many:
        check_shapes(source, sample)
        assert 3 <= len(sample.extras["shape"]) <= 10
        assert sample.ids.max() <= len(sample.extras["shape"])
    assert {len(sample.extras["shape"]) for sample in many} >= {3, 4, 5, 6, 7, 8, 9, 10}
    assert ready(size=128).sample(0).frames.shape == (1, 3, 128, 128)


def test_an_image_depends_on_seed_split_and_index_alone():
    assert same(ready().sample(7), ready().sample(7))
    for other in (ready().sample(8), ready(split="train").sample(7), ready(seed=1).sample(7)):
        assert not np.array_equal(ready().sample(7).frames, other.frames)
    frames, ids = ready().batch([3, 7])
    np.testing.assert_array_equal(frames[1], ready().sample(7).frames)
    np.testing.assert_array_equal(ids[1], ready().sample(7).ids)
    assert ready().fingerprint() == ready().fingerprint() != ready(margin=0.3).fingerprint()
    with pytest.raises(IndexError):
        ready().sample(15_000)


def test_amodal_masks_hold_visible_ones_and_centres_fall_on_objects(many):
    for sample in many:
        check_amodal(sample)
    assert sum(check_centres(sample) for sample in many) > 50


def test_objects_keep_apart_as_in_the_public_generator(many):
    for sample in many:
        places, count = sample.extras["positions"], len(sample.extras["shape"])
        radii = [world.half(*form) for form in zip(sample.extras["shape"], sample.extras["size"], strict=True)]
        forward = -sample.extras["camera"][0]
        directions = ground_directions(forward)
        for i in range(count):
            for j in range(i):
                apart = places[i, :2] - places[j, :2]
                assert np.linalg.norm(apart) - radii[i] - radii[j] >= 0.25
                assert (np.abs(directions @ apart) >= 0.4 - 1e-9).all()
        assert (np.abs(places[:, :2]) <= 3).all()


def test_all_objects_can_be_seen_in_the_full_picture(many):
    from scenewise.data.generated.scenes3d.stage import RayScene

    names = ("shape", "size", "material", "colour", "positions", "rotation")
    for sample in many[:10]:
        rows = zip(*(sample.extras[name].tolist() for name in names), strict=True)
        bodies = [world.body(world.Thing(*row), number + 1) for number, row in enumerate(rows)]
        ids = RayScene([world.floor(), *bodies]).ids(world.full_camera(sample.extras["camera"][0], (240, 320)))
        assert (np.bincount(ids.reshape(-1))[1:] > 120).all()  # 200 counted on a coarser grid


def test_factors_are_spread_evenly(many):
    shapes = np.concatenate([sample.extras["shape"] for sample in many])
    colours = np.concatenate([sample.extras["colour"] for sample in many])
    assert np.unique(shapes, return_counts=True)[1].min() > len(shapes) / 5
    assert len(np.unique(colours)) == 8


def test_held_out_combinations_never_occur_and_only_is_the_inverse():
    held = ready(hold_out=[["green", "sphere"], ["metal", "cube", "large"]], max_objects=6)
    shown = ready(only=[["green", "sphere"]], max_objects=4)
    for index in range(12):
        extras = held.sample(index).extras
        sphere = (extras["shape"] == "sphere") & (extras["colour"] == "green")
        cube = (extras["shape"] == "cube") & (extras["material"] == "metal") & (extras["size"] == "large")
        assert not (sphere | cube).any()
        extras = shown.sample(index).extras
        assert ((extras["shape"] == "sphere") & (extras["colour"] == "green")).all()


def test_include_puts_a_combination_into_every_image():
    source = ready(include=[["purple", "cylinder"]], max_objects=5)
    for index in range(6):
        extras = source.sample(index).extras
        assert ((extras["shape"] == "cylinder") & (extras["colour"] == "purple")).any()


def test_clevr6_holds_at_most_six():
    source = ready("clevr6")
    assert source.facts.max_objects == 6
    assert max(len(source.sample(index).extras["shape"]) for index in range(12)) <= 6


def test_grayscale_is_the_brightness_of_the_colour_image():
    grey, colour = ready(grayscale=True).sample(2), ready().sample(2)
    assert grey.frames.shape == (1, 1, 64, 64)
    np.testing.assert_array_equal(grey.ids, colour.ids)
    brightness = np.tensordot([0.299, 0.587, 0.114], colour.frames[0], 1)
    assert np.abs(grey.frames[0, 0] - brightness).max() <= 0.51


def test_the_floor_has_the_brightness_of_the_published_pictures(shared_data):
    from PIL import Image

    files = sorted((shared_data / "clevr_images").glob("*.png"))
    if len(files) < 5:
        pytest.skip(f"too few pictures in {shared_data / 'clevr_images'}")
    real = np.stack([np.asarray(Image.open(file).convert("RGB").crop((64, 29, 256, 221))) for file in files])
    made = np.stack([ready(size=192, max_objects=3).sample(index).frames[0] for index in range(5)])
    for rows, columns in ((slice(0, 16), slice(0, 192)), (slice(170, 192), slice(60, 190))):
        here = np.median(real[:, rows, columns], (0, 1, 2))
        ours = np.median(made[:, :, rows, columns], (0, 2, 3))
        assert np.abs(here - ours).max() < 10


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"min_objects": 5, "max_objects": 4}, "min_objects"),
        ({"hold_out": [["gren"]]}, "green"),
        ({"only": [["red", "blue"]]}, "leaves no object"),
        ({"include": [["red"]], "hold_out": [["red"]]}, "include"),
    ],
)
def test_settings_that_cannot_be_met_are_refused(settings, words):
    with pytest.raises(InputError, match=words):
        ready(**settings)


def test_objects_that_do_not_fit_are_named():
    source = ready(min_objects=10, margin=1.0, distance=2.0)
    with pytest.raises(InputError, match="do not fit"):
        source.sample(0)
