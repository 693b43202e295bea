"""Videos of sprites: straight paths, borders, ids that last, exact occlusion, reproducibility."""

from __future__ import annotations

import hashlib
import math
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenewise.data import DESCRIPTIONS, SOURCES
from scenewise.errors import InputError


def ready(split="test", **changes):
    return SOURCES.get("moving-sprites")(split, **changes)


def chi_square(counts):
    expected = np.mean(counts)
    return float(((np.asarray(counts) - expected) ** 2 / expected).sum())


def digest(frames, ids):
    return hashlib.sha256(frames.tobytes() + ids.tobytes()).hexdigest()[:16]


@pytest.fixture(scope="module")
def many():
    return ready(seed=2, min_sprites=3, max_sprites=3, size=16).make(range(1000))


def test_shapes_and_facts():
    source = ready()
    sample, facts = source.sample(0), source.facts
    assert sample.frames.shape == (10, 3, 64, 64)
    assert sample.ids.shape == (10, 64, 64)
    assert sample.ids.dtype == np.int64
    assert (facts.frames, facts.channels, facts.size, facts.max_objects) == (10, 3, (64, 64), 4)
    assert (facts.background_ids, facts.overlap, facts.binary) == ((0,), "top", False)
    frames, ids = source.batch([0, 5], 2, 3)
    assert frames.shape == (2, 3, 3, 64, 64)
    assert ids.shape == (2, 3, 64, 64)
    assert frames.dtype == ids.dtype == np.uint8
    assert DESCRIPTIONS["moving-sprites"].kind == "generated"


def test_extras_agree_with_the_frames():
    source = ready(max_spin=0.2)
    for index in range(12):
        sample = source.sample(index)
        extras = sample.extras
        count = len(extras["shapes"])
        assert extras["positions"].shape == extras["velocities"].shape == (10, count, 2)
        assert extras["amodal"].shape == (10, count, 64, 64)
        assert extras["orientations"].shape == extras["visibility"].shape == (10, count)
        assert sample.ids.max() <= count
        for frame, at in np.ndindex(10, count):
            mask, shown = extras["amodal"][frame, at], sample.ids[frame] == at + 1
            assert not (shown & ~mask).any()
            assert extras["visibility"][frame, at] == pytest.approx(shown.sum() / max(mask.sum(), 1))
            column, row = extras["positions"][frame, at]
            if 13 < column < 51 and 13 < row < 51:
                rows, columns = np.nonzero(mask)
                assert columns.mean() + 0.5 == pytest.approx(column, abs=0.5)
                assert rows.mean() + 0.5 == pytest.approx(row, abs=0.5)


def test_ids_are_those_of_the_sprite_in_front():
    made = ready().make(range(20), whole=True)
    masks = made.masks
    expected = np.zeros(masks[:, 0].shape, np.uint8)
    for at in range(masks.shape[1]):
        expected[masks[:, at]] = at + 1
    assert np.array_equal(made.ids.reshape(expected.shape), expected)


def test_paths_are_straight_and_follow_the_velocities(many):
    places = many.sprites.centres.reshape(1000, 10, 3, 2)
    assert np.allclose(np.diff(places, axis=1), many.velocities[:, :-1])
    assert np.allclose(many.velocities, many.velocities[:, :1])


def test_speeds_and_directions_are_uniform(many):
    speed = np.linalg.norm(many.velocities[:, 0], axis=-1).ravel()
    course = np.arctan2(many.velocities[:, 0, :, 1], many.velocities[:, 0, :, 0]).ravel()
    assert chi_square(np.histogram(speed, 10, (1, 4))[0]) < 27.9  # one in a thousand, 9 degrees of freedom
    assert chi_square(np.histogram(course, 10, (-math.pi, math.pi))[0]) < 27.9
    assert len(speed) == np.histogram(speed, 10, (1, 4))[0].sum()


def test_every_sprite_is_inside_the_margins_at_least_once(many):
    places = many.sprites.centres.reshape(1000, 10, 3, 2)
    inside = ((places > 1.999) & (places < 14.001)).all(-1)
    assert inside.any(1).all()
    assert not inside.all()


def test_sprites_enter_and_leave():
    ids = ready(min_sprites=1, max_sprites=1, min_speed=6, max_speed=8).batch(range(200))[1]
    shown = ids.any((2, 3))
    assert (~shown[:, 0] & shown[:, -1]).any()
    assert (shown[:, 0] & ~shown[:, -1]).any()
    assert shown.any(1).all()


def test_bouncing_sprites_stay_inside_and_turn_back():
    source = ready(border="bounce", frames=60)
    made = source.make(range(20))
    places = made.sprites.centres.reshape(20, 60, 4, 2)
    assert places.min() >= 8
    assert places.max() <= 56
    speed = np.linalg.norm(made.velocities, axis=-1)
    assert np.allclose(speed, speed[:, :1])
    steps = np.diff(places, axis=1)
    free = np.isclose(steps, made.velocities[:, :-1])
    assert free.mean() > 0.85
    turned = np.sign(made.velocities[:, 1:]) != np.sign(made.velocities[:, :-1])
    assert turned.any((1, 2, 3)).all()
    assert (free | turned).all()


def test_spin_turns_sprites_evenly():
    angles = ready(max_spin=0.3).make(range(50)).sprites.angles.reshape(50, 10, 4)
    steps = np.diff(angles, axis=1)
    assert np.allclose(steps, steps[:, :1])
    assert 0.25 < np.abs(steps).max() <= 0.3
    assert steps.min() < 0 < steps.max()
    still = ready().make(range(10)).sprites.angles.reshape(10, 10, 4)
    assert (still == still[:, :1]).all()


@settings(max_examples=20, deadline=None)
@given(
    indices=st.lists(st.integers(0, 999), min_size=1, max_size=5),
    start=st.integers(0, 9),
    border=st.sampled_from(["leave", "bounce"]),
    seed=st.integers(0, 2**63 - 1),
)
def test_a_video_is_the_same_in_any_batch_and_span(indices, start, border, seed):
    source = ready(seed=seed, border=border, max_spin=0.1)
    frames, ids = source.batch(indices)
    alone = ready(seed=seed, border=border, max_spin=0.1).sample(indices[-1], start)
    assert np.array_equal(frames[-1, start:], alone.frames)
    assert np.array_equal(ids[-1, start:], alone.ids)
    assert np.array_equal(source.batch(indices[::-1])[0], frames[::-1])


def test_least_visible_pixels_hold_in_some_frame_of_every_video():
    changes = {"min_sprites": 6, "max_sprites": 6, "max_speed": 1.0, "margin": 0.3}
    free = ready(**changes).batch(range(80))[1]
    kept = ready(**changes, min_visible=40).batch(range(80))[1]

    def least(ids):
        counts = np.stack([(ids == sprite).sum((2, 3)) for sprite in range(1, 7)])
        return counts.max(2).min()

    assert least(free) < 40 <= least(kept)
    assert np.array_equal(ready(**changes, min_visible=40).batch([7], 3, 2)[1][0], kept[7, 3:5])


@pytest.mark.slow
def test_a_fresh_process_makes_the_same_videos():
    code = (
        "import hashlib; from scenewise.data import SOURCES;"
        "frames, ids = SOURCES.get('moving-sprites')('test').batch([0, 1, 2]);"
        "print(hashlib.sha256(frames.tobytes() + ids.tobytes()).hexdigest()[:16])"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout.strip() == digest(*ready().batch([0, 1, 2]))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, "61bcf6214eb634db"), ({"border": "bounce", "max_spin": 0.2, "antialias": False}, "163347ad8718d10d")],
)
def test_videos_never_change(changes, expected):
    assert digest(*ready(**changes).batch([0, 1, 2])) == expected


def test_splits_and_seeds_share_no_video():
    made = [ready(split, seed=seed).batch(range(30))[0] for split in ("train", "validation", "test") for seed in (0, 1)]
    assert len({video.tobytes() for videos in made for video in videos}) == 180


def test_fingerprint_tells_settings_and_splits_apart():
    variants = [{}, {"seed": 1}, {"border": "bounce"}, {"max_spin": 0.1}, {"frames": 11}]
    prints = [ready(split, **variant).fingerprint() for variant in variants for split in ("train", "test")]
    assert len(set(prints)) == len(prints)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"boarder": "leave"}, "border"),
        ({"border": "stay"}, "bounce"),
        ({"min_speed": 5}, "max_speed"),
        ({"frames": 0}, "frames"),
        ({"border": "bounce", "margin": 0.5}, "no room"),
        ({"min_sprites": 5}, "max_sprites"),
    ],
)
def test_wrong_settings_name_the_key(wrong, says):
    with pytest.raises(InputError, match=says):
        ready(**wrong)


def test_spans_outside_the_video_and_absent_videos_are_refused():
    with pytest.raises(InputError, match="frames 0 to 9"):
        ready().batch([0], 8, 3)
    with pytest.raises(IndexError):
        ready().sample(1000)


def test_source_can_be_sent_to_a_worker():
    source = ready()
    again = pickle.loads(pickle.dumps(source))
    assert np.array_equal(source.batch([3])[0], again.batch([3])[0])
