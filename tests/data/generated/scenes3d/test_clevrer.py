"""CLEVRER-like videos: physics, collisions, trajectories and their JSON form."""

from __future__ import annotations

import json

import numpy as np
import pytest

from scenewise.data import SOURCES
from scenewise.errors import InputError

pytest.importorskip("mujoco", reason="needs mujoco: pip install 'scenewise[scenes3d]'")

from scenewise.data.generated.scenes3d.clevrer import annotation
from scenewise.data.generated.scenes3d.collisions import Law, Mover, euler, simulate, turned

from .scenes3d_checks import check_amodal, check_centres, check_shapes, same


def ready(split="train", name="clevrer", **settings):
    return SOURCES.get(name)(split, **settings)


def whole(**settings):
    return ready("test", trim=0, max_objects=6, **settings)


@pytest.fixture(scope="module")
def clip():
    return whole(seed=5).sample(0)


def half(shape):
    return 0.174 if shape == "cube" else 0.2


def meeting(first, second, law, frames=48):
    movers = [
        Mover(first, half(first), (-1.0, 0.03), 0.2, (2.0, 0.0)),
        Mover(second, half(second), (0.2, 0.0), 0.5, (0.0, 0.0)),
    ]
    return simulate(movers, frames, law)


@pytest.mark.parametrize(
    ("first", "second"), [("sphere", "sphere"), ("cube", "cube"), ("cylinder", "sphere"), ("cylinder", "cube")]
)
def test_without_friction_momentum_is_kept_and_energy_lost_as_restitution_says(first, second):
    course = meeting(first, second, Law(friction=0.0, rolling=0.0, restitution=0.7))
    momentum = course.velocities.sum(1)
    np.testing.assert_allclose(momentum[:, :2], np.tile([2.0, 0.0], (48, 1)), atol=0.01)
    energy = 0.5 * (course.velocities**2).sum((1, 2))
    assert energy[0] == pytest.approx(2.0, rel=1e-6)
    assert (energy < energy[0] + 1e-3).all()
    if first == second == "sphere":
        after = course.velocities[-1]
        apart = course.places[course.collisions[0, 0], 1] - course.places[course.collisions[0, 0], 0]
        normal = apart / np.linalg.norm(apart)
        assert (after[1] - after[0]) @ normal == pytest.approx(0.7 * 2.0 * normal[0], rel=0.12)


def test_friction_slows_sliding_bodies_as_measured_in_the_published_videos():
    course = simulate([Mover("cube", 0.174, (0.0, 0.0), 0.0, (2.0, 0.0))], 12, Law())
    speed = np.linalg.norm(course.velocities[:, 0], axis=1)
    assert 1 - (speed[10] / speed[0]) ** 0.1 == pytest.approx(0.0085, abs=0.002)


def test_balls_roll():
    course = simulate([Mover("sphere", 0.2, (0.0, 0.0), 1.1, (1.5, -1.0))], 10, Law())
    spin, velocity = course.spins[5, 0], course.velocities[5, 0]
    np.testing.assert_allclose(spin[:2] * 0.2, [-velocity[1], velocity[0]], atol=0.02)


def test_collisions_are_where_and_when_bodies_meet(clip):
    course = meeting("sphere", "sphere", Law())
    assert course.collisions[:, 1:].tolist() == [[0, 1]]
    frame = course.collisions[0, 0]
    gap = np.linalg.norm(course.places[:, 0] - course.places[:, 1], axis=1) - 0.4
    assert abs(frame - np.argmin(gap)) <= 1
    assert np.linalg.norm(course.spots[0] - course.places[frame].mean(0)) < 0.1
    for frame, first, second in clip.extras["collisions"]:
        places = clip.extras["positions"][frame : frame + 2]
        assert np.linalg.norm(places[:, first] - places[:, second], axis=1).min() < 0.55
    assert len(clip.extras["collisions"]) >= 1


def test_a_clip_is_consistent(clip):
    source = whole(seed=5)
    check_shapes(source, clip, 128)
    check_amodal(clip)
    assert check_centres(clip) > 50
    extras = clip.extras
    kinds = list(zip(extras["shape"], extras["material"], extras["colour"], strict=True))
    assert len(set(kinds)) == len(kinds)
    moved = np.diff(extras["positions"], axis=0) / (5 / 128)
    calm = np.abs(np.diff(extras["velocities"], axis=0)).max(2) < 0.05
    np.testing.assert_allclose(moved[calm], extras["velocities"][:-1][calm], atol=0.06)
    assert np.abs(extras["positions"][..., 2] - 0.19).max() < 0.05  # nothing flies or falls over
    assert (~extras["in_view"][0]).any()  # something enters
    column, row, _ = np.moveaxis(extras["pixel_coords"], -1, 0)
    assert extras["in_view"][(column > 0) & (column < 64) & (row > 0) & (row < 64)].all()


def test_a_span_is_part_of_the_whole():
    for source in (whole(frames=24), ready("test", trim=24)):
        clip, part = source.sample(2), source.sample(2, 8, 4)
        np.testing.assert_array_equal(part.frames, clip.frames[8:12])
        np.testing.assert_array_equal(part.extras["positions"], clip.extras["positions"][8:12])
        frames = clip.extras["collisions"][:, 0]
        inside = (frames >= 8) & (frames < 12)
        np.testing.assert_array_equal(part.extras["collisions"][:, 0] + 8, frames[inside])
        assert same(clip, source.sample(2))


def present(ids):
    """Which ids from 1 on are seen in each frame of (T, H, W), shape (T, n)."""
    return np.stack([(ids == number).any((1, 2)) for number in range(1, ids.max() + 1)], 1)


@pytest.mark.parametrize(("name", "least", "most", "clips"), [("clevrer", 3, 5, 2500), ("clevrer6", 6, 6, 1100)])
@pytest.mark.parametrize("first", [range(1), pytest.param(range(1, 30), marks=pytest.mark.slow)], ids=["one", "many"])
def test_every_frame_of_a_test_clip_shows_all_objects(name, least, most, clips, first):
    source = ready("test", name)
    assert (len(source), source.facts.frames, source.facts.max_objects) == (clips, 40, most)
    for index in first:
        frames, ids = source.batch([index])
        assert frames.shape == (1, 40, 3, 64, 64)
        assert least <= ids.max() <= most
        assert present(ids[0]).all()


def test_a_trimmed_clip_is_the_whole_one_from_where_all_centres_are_in_the_picture():
    cut, uncut = (ready("test", max_objects=3, size=(16, 16), **settings) for settings in ({}, {"trim": 0}))
    for index in range(6):
        sample, course = cut.sample(index).extras, uncut.sample(index).extras
        at = np.flatnonzero((course["positions"] == sample["positions"][0]).all((1, 2)))
        if len(at):
            break  # no other clip was drawn
    column, row, _ = np.moveaxis(course["pixel_coords"], -1, 0)
    inside = ((column >= 0) & (column < 16) & (row >= 0) & (row < 16)).all(1)
    assert inside.argmax() == at[0]
    assert inside[at[0] : at[0] + 40].all()
    np.testing.assert_array_equal(sample["positions"], course["positions"][at[0] : at[0] + 40])
    np.testing.assert_array_equal(sample["collisions"][:, 1:], _between(course["collisions"], at[0], 40))


def _between(collisions, first, frames):
    """The two bodies of each collision within some frames."""
    within = (collisions[:, 0] >= first) & (collisions[:, 0] < first + frames)
    return collisions[within][:, 1:]


def test_clips_for_training_are_whole_and_what_is_set_by_hand_holds_in_every_split():
    assert ready().facts.frames == 128
    assert ready().facts.max_objects == 6
    assert ready("validation").facts.frames == 40
    assert len(ready("test", trim=0)) == 5000
    assert ready("test", trim=20).facts.frames == 20
    assert ready("test", "clevrer6", max_objects=7).facts.max_objects == 7
    assert ready("train", "clevrer6").sample(0, 0, 1).extras["positions"].shape[1] == 6


def test_clips_whose_objects_are_never_together_are_refused(monkeypatch):
    from scenewise.data.generated.scenes3d import clevrer

    monkeypatch.setattr(clevrer, "DRAWS", 2)
    with pytest.raises(InputError, match=r"in 2 clips the objects were never all in the picture for 60 frames"):
        ready("test", frames=60, trim=60).sample(0)  # newcomers wait outside in the first frame
    with pytest.raises(InputError, match=r"more than the 12 frames .* Set trim=0"):
        ready("test", frames=12)


def test_the_first_shared_span():
    from scenewise.data.splits import shared_span

    present = np.array([[1, 0], [1, 1], [1, 1], [0, 1], [1, 1], [1, 1], [1, 1]], bool)
    assert shared_span(present) == (1, 3)
    assert shared_span(present[4:]) == (0, 3)
    assert shared_span(present[:1]) == (0, 0)
    assert shared_span(np.ones((5, 0), bool)) == (0, 5)


def test_a_fixed_camera_paints_only_what_bodies_change():
    from scenewise.data.generated.scenes3d import clevrer_world as world
    from scenewise.data.generated.scenes3d.clevr_world import floor, lamps
    from scenewise.data.generated.scenes3d.painter import bare, paint
    from scenewise.data.generated.scenes3d.stage import RayScene

    movers = [Mover("cube", 0.174, (0.0, 0.3), 0.4, (0.0, 0.0)), Mover("sphere", 0.2, (-0.8, 0.0), 0.0, (0.0, 0.0))]
    bodies = [world.body(world.Player("metal", "red", mover), row + 1) for row, mover in enumerate(movers)]
    stage, camera = RayScene([floor(), *bodies]), world.camera((64, 96))
    look = lamps(np.zeros((3, 3)), (2, 1, 0), world.SCALE)
    short, full = paint(stage, camera, look, True, bare([floor()], camera, look)), paint(stage, camera, look)
    np.testing.assert_array_equal(short.ids, full.ids)
    assert np.abs(short.frame.astype(int) - full.frame).max() <= 2


def test_the_annotation_has_the_published_form(clip):
    made = json.loads(json.dumps(annotation(clip, 7)))
    assert made["video_filename"] == "video_00007.mp4"
    assert [entry["object_id"] for entry in made["object_property"]] == list(range(len(clip.extras["shape"])))
    assert len(made["motion_trajectory"]) == 128
    first = made["motion_trajectory"][3]
    assert first["frame_id"] == 3
    assert set(first["objects"][0]) == {
        *("object_id", "location", "orientation", "velocity", "angular_velocity", "inside_camera_view")
    }
    assert len(first["objects"][0]["orientation"]) == 3
    assert made["collision"][0]["frame_id"] == clip.extras["collisions"][0, 0]
    assert made["collision"][0]["object_ids"] == clip.extras["collisions"][0, 1:].tolist()


def test_turns_agree_with_scipy():
    from scipy.spatial.transform import Rotation

    rotations = Rotation.random(20, random_state=0)
    quaternions = np.roll(rotations.as_quat(), 1, axis=1)
    vectors = np.random.default_rng(0).normal(size=(20, 3))
    np.testing.assert_allclose(turned(quaternions, vectors), rotations.apply(vectors), atol=1e-12)
    np.testing.assert_allclose(euler(quaternions), rotations.as_euler("xyz"), atol=1e-9)


def test_settings_that_cannot_be_met_are_refused():
    with pytest.raises(InputError, match="slowest"):
        ready(slowest=3.0, fastest=2.0)
