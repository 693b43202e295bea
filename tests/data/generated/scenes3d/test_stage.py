"""A stage and what is painted of it: ids, silhouettes and shadows."""

from __future__ import annotations

import numpy as np
import pytest

from scenewise.errors import InputError

pytest.importorskip("mujoco", reason="needs mujoco: pip install 'scenewise[scenes3d]'")
from scenewise.data.generated.scenes3d import clevr_world as world
from scenewise.data.generated.scenes3d.camera import Camera
from scenewise.data.generated.scenes3d.looks import Light, Look
from scenewise.data.generated.scenes3d.painter import paint
from scenewise.data.generated.scenes3d.stage import MATTE, Body, RayScene


def thing(shape="cube", place=(0.0, 0.0), size="large", material="rubber", colour="red", rotation=0.3):
    return world.Thing(shape, size, material, colour, (*place, world.height(shape, size)), rotation)


def stage_of(*things):
    return RayScene([world.floor(), *(world.body(one, row + 1) for row, one in enumerate(things))])


SCENE = (
    thing("cube", (1.5, -1.5)),
    thing("sphere", (0.0, 0.0), material="metal"),
    thing("cylinder", (-1.5, 1.0), "small", colour="cyan"),
    thing("cylinder", (1.2, 1.2), "large", "metal", "yellow"),
)


def test_ids_equal_what_single_rays_meet():
    stage, camera = stage_of(*SCENE), world.cropped_camera(world.CAMERA, 64)
    picture = paint(stage, camera, world.lamps(np.zeros((3, 3))))
    owners = stage.owners
    assert set(np.unique(picture.ids)) == {0, 1, 2, 3, 4}
    single = [owners[stage.single(camera.place, ray)] for ray in camera.rays()]
    np.testing.assert_array_equal(picture.ids.reshape(-1), single)
    np.testing.assert_array_equal(stage.ids(camera), picture.ids)


def test_smoothing_changes_colours_only_near_edges_and_no_ids():
    stage, camera, look = stage_of(*SCENE), world.cropped_camera(world.CAMERA, 64), world.lamps(np.zeros((3, 3)))
    soft, hard = paint(stage, camera, look), paint(stage, camera, look, smooth=False)
    np.testing.assert_array_equal(soft.ids, hard.ids)
    changed = (soft.frame != hard.frame).any(0)
    assert 0.02 < changed.mean() < 0.4


def test_silhouettes_are_what_an_object_shows_alone():
    camera = world.cropped_camera(world.CAMERA, 64)
    together = stage_of(*SCENE).silhouettes(camera)
    for one, mask in zip(SCENE, together, strict=True):
        np.testing.assert_array_equal(stage_of(one).ids(camera) == 1, mask)


def test_a_stage_that_was_moved_equals_one_built_there():
    camera = world.cropped_camera(world.CAMERA, 48)
    stage = stage_of(*SCENE)
    built = stage.ids(camera)
    places = stage.places.copy()
    stage.move(places[::-1])
    assert (stage.ids(camera) != built).any()
    stage.move(places)
    np.testing.assert_array_equal(stage.ids(camera), built)


def test_a_box_keeps_the_light_of_a_lamp_from_the_floor_right_beside_it():
    ground = Body("plane", (20.0, 20.0, 1.0), (1.0, 1.0, 1.0), MATTE, 0, background=True)
    box = Body("box", (0.5, 0.5, 0.5), (1.0, 0.0, 0.0), MATTE, 1, place=(0.0, 0.0, 0.5))
    camera = Camera((0.01, 0.0, 12.0), (0.0, 0.0, 0.0), 100.0, (32.0, 32.0), (64, 64))
    lamp = Light((-30.0, 0.0, 30.0), (0.5, 0.5, 0.5), steady=True)
    picture = paint(RayScene([ground, box]), camera, Look((lamp,), (0.0, 0.0, 0.0), rounding=0.0), smooth=False)
    # The camera looks down, so the picture shows the floor; the lamp stands at 45 degrees on the side of -x.
    floor = camera.project(np.array([(0.65, 0.0, 0.0), (1.7, 0.0, 0.0), (-0.7, 0.0, 0.0)]))[:, :2].astype(int)
    beside, beyond, before = (picture.frame[:, y, x] for x, y in floor)
    assert (beside == 0).all()  # no leak under the edge
    assert (beyond > 100).all()
    assert (before > 100).all()


def test_an_unknown_shape_is_refused():
    with pytest.raises(InputError, match="unicorn"):
        RayScene([Body("unicorn", (1.0, 1.0, 1.0), (1.0, 1.0, 1.0), MATTE, 1)])
