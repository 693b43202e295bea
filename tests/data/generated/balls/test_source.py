"""The generator keeps the measured facts of the published bouncing balls (provide.md 14.2, rnem.md 10)."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenewise.data import SOURCES
from scenewise.data.generated.balls.source import BallsConfig, BallsSource
from scenewise.data.generated.balls.world import PALETTE, Start, nearest_disc, simulate
from scenewise.errors import InputError

READY = [
    "balls",
    "balls-binary",
    "balls-binary-678",
    "balls-colour",
    "balls-colour8",
    "balls-colour-678",
    "balls-curtain",
]


def ready(name, split="test", **settings):
    return SOURCES.get(name)(split, **settings)


@pytest.fixture(scope="module")
def four():
    return ready("balls-colour", seed=11).make(range(150))


@pytest.fixture(scope="module")
def many():
    return ready("balls-colour-678", seed=11).make(range(60))


def gaps(videos):
    """Distance between the rims of every pair of balls, (N, T, pairs); NaN where one is absent."""
    first, second = np.triu_indices(videos.radii.shape[1], 1)
    apart = videos.positions[:, :, first] - videos.positions[:, :, second]
    reach = videos.radii[:, first] + videos.radii[:, second]
    return np.sqrt((apart**2).sum(-1)) - reach[:, None]


@pytest.mark.parametrize("name", READY)
def test_shapes_and_facts(name):
    source = ready(name)
    sample = source.sample(0)
    facts = source.facts
    assert sample.frames.shape == (facts.frames, facts.channels, *facts.size)
    assert sample.frames.dtype == np.uint8
    assert sample.ids.shape == (facts.frames, *facts.size)
    assert sample.ids.dtype == np.int64
    assert len(np.unique(sample.ids)) <= facts.max_objects + 1
    assert facts.binary == (set(np.unique(sample.frames)) <= {0, 255})
    balls = len(sample.extras["radii"])
    assert sample.extras["positions"].shape == sample.extras["velocities"].shape == (51, balls, 2)
    assert np.isfinite(sample.extras["positions"]).all()
    assert sample.extras["collisions"].shape == sample.ids.shape


def test_two_types_with_the_measured_areas_masses_and_frequency(four):
    small, large = four.radii == 0.8, four.radii == 1.0
    assert (small | large).all()
    assert np.allclose(four.masses[large], 6 * four.masses[small].max())
    assert abs(large.mean() - 0.5) < 4 * 0.5 / np.sqrt(large.size)
    areas = np.stack([(four.ids == ball + 1).sum((2, 3)) for ball in range(4)], -1).mean(1)
    assert abs(areas[small].mean() - np.pi * 5.12**2) < 1.0
    assert abs(areas[large].mean() - np.pi * 6.4**2) < 1.0


@pytest.mark.parametrize("fixture", ["four", "many"])
def test_initial_speed_has_norm_one_third(fixture, request):
    velocities = request.getfixturevalue(fixture).velocities[:, 0]
    assert np.allclose(np.sqrt(np.nansum(velocities**2, (1, 2))), 1 / 3, rtol=1e-12)


@pytest.mark.parametrize("fixture", ["four", "many"])
def test_energy_is_conserved(fixture, request):
    videos = request.getfixturevalue(fixture)
    energy = np.nansum(videos.masses[:, None, :, None] * videos.velocities**2, (2, 3))
    assert np.abs(energy / energy[:, :1] - 1).max() < 1e-6
    assert videos.events.any(1).mean() > 0.5, "hardly any collision: the check would be empty"


@pytest.mark.parametrize("fixture", ["four", "many"])
def test_walls_and_overlaps_within_one_substep(fixture, request):
    videos = request.getfixturevalue(fixture)
    step = np.sqrt(np.nanmax((videos.velocities**2).sum(-1))) / 10
    beyond = np.maximum(
        videos.radii[:, None, :, None] - videos.positions, videos.positions + videos.radii[:, None, :, None] - 10
    )
    assert 0 < np.nanmax(beyond) <= step
    assert np.nanmin(gaps(videos)) >= -2 * step


def test_all_four_walls_are_touched(four):
    rims = four.radii[:, None, :, None]
    assert ((four.positions - rims) < 0.05).any((0, 1, 2)).all()
    assert ((four.positions + rims) > 9.95).any((0, 1, 2)).all()


def test_first_frame_starts_inside_and_apart(many):
    assert (gaps(many)[:, 0][~np.isnan(gaps(many)[:, 0])] > 0).all()
    assert np.nanmin(many.positions[:, 0]) >= 2.0


def test_six_to_eight_balls_are_equally_frequent():
    config = BallsConfig(mode="binary", min_balls=6, max_balls=8, size=8)
    counts = (BallsSource(config).make(range(150), frames=1).radii > 0).sum(1)
    assert set(counts) == {6, 7, 8}
    assert np.bincount(counts)[6:].min() > 25


def one_hit(distance, speeds, masses, sticky=False):
    """Two balls of radius 1 on one row at `distance`; returns their speeds along the row after one frame."""
    begun = Start(
        np.array([[[4.0, 5.0], [4.0 + distance, 5.0]]]),
        np.array([[[speeds[0], 0.0], [speeds[1], 0.0]]]),
        np.ones((1, 2)),
        np.array([masses], float),
        np.zeros((1, 2)),
    )
    motion = simulate(begun, 2, 11, sticky)
    return motion.velocities[0, 1, :, 0], motion.contacts[0]


def test_elastic_exchange_between_unequal_masses():
    after, contacts = one_hit(2.05, (0.5, 0.0), (6, 1))
    assert np.allclose(after, [0.5 * 5 / 7, 0.5 * 12 / 7])
    assert contacts[0].all()


def test_separating_balls_are_left_alone_unless_sticky():
    assert np.allclose(one_hit(1.5, (-0.1, 0.02), (1, 1))[0], [-0.1, 0.02])
    assert np.allclose(one_hit(1.5, (-0.1, 0.02), (1, 1), sticky=True)[0], [0.02, -0.1])  # 11 exchanges: an odd number


def test_ids_follow_positions(four):
    rows, columns = np.mgrid[:64, :64] + 0.5
    for video, frame in [(0, 0), (3, 50), (7, 25)]:
        for ball in range(4):
            mask = four.ids[video, frame] == ball + 1
            centre = np.array([columns[mask].mean(), rows[mask].mean()]) / 6.4
            assert np.abs(centre - four.positions[video, frame, ball]).max() < 0.25


def test_hard_discs_equal_the_pixel_by_pixel_definition(many):
    for video in range(0, 60, 7):
        for frame in range(0, 51, 10):
            centres, radii = many.positions[video, frame] * 6.4, many.radii[video] * 6.4
            assert (nearest_disc(centres, radii, 64) == many.ids[video, frame]).all()


def test_the_nearer_centre_wins_an_overlap():
    ids = nearest_disc(np.array([[3.0, 5.0], [7.0, 5.0]]), np.array([3.0, 3.0]), 10)
    assert (ids[4, :5] <= 1).all()
    assert (ids[4, 5:] != 1).all()
    assert {ids[4, 4], ids[4, 5]} == {1, 2}


@pytest.mark.parametrize(("name", "colours"), [("balls-colour", 4), ("balls-colour-678", 8)])
@pytest.mark.parametrize("order", ["bgr", "rgb"])
def test_colours_are_constant_by_id(name, colours, order):
    frames, ids = ready(name, palette_order=order).batch(range(5))
    expected = PALETTE[:, ::-1] if order == "bgr" else PALETTE
    pixels = np.moveaxis(frames, 2, -1)
    for ball in range(1, ids.max() + 1):
        assert (pixels[ids == ball] == expected[(ball - 1) % colours]).all()
    assert (pixels[ids == 0] == 0).all()


def test_colours_repeat_when_there_are_fewer_than_balls():
    frames, ids = ready("balls-colour-678", colours=4).batch(range(5))
    pixels = np.moveaxis(frames, 2, -1)
    assert (pixels[ids == 5] == pixels[ids == 1][0]).all()


def test_curtain_hides_frames_and_ids_but_not_motion():
    open_stage = ready("balls-curtain", curtain=False).make(range(20))
    hung = ready("balls-curtain").make(range(20))
    assert np.array_equal(open_stage.positions, hung.positions)
    assert (hung.radii == 1.2).all()
    hidden = (open_stage.ids > 0) & (hung.ids == 0)
    assert hidden.any()
    assert (np.moveaxis(hung.frames, 2, -1)[hidden] == 0).all()
    shown = ~hidden
    assert (open_stage.ids[shown] == hung.ids[shown]).all()
    for video in hidden.any(1):
        rows, columns = np.nonzero(video)
        assert len(rows) == 0 or max(np.ptp(rows), np.ptp(columns)) < 28


def test_events_contacts_and_collision_maps_agree(four):
    assert np.array_equal(four.events, four.contacts.any(2))
    assert np.array_equal(four.collisions.any((2, 3)), four.events)
    video, frame = np.argwhere(four.events)[0]
    touching = np.flatnonzero(four.contacts[video, frame]) + 1
    assert np.array_equal(four.collisions[video, frame] > 0, np.isin(four.ids[video, frame], touching))
    assert len(touching) >= 2


def test_contact_means_that_paths_bend(four):
    """Free balls keep their velocity unless they meet a ball or a wall."""
    changed = (np.abs(np.diff(four.velocities, axis=1)) > 1e-12).any(-1)
    at_wall = (np.minimum(four.positions, 10 - four.positions).min(-1) - four.radii[:, None] < 0.9)[:, :-1]
    assert not (changed & ~four.contacts[:, :-1] & ~at_wall).any()


@settings(max_examples=15, deadline=None)
@given(
    indices=st.lists(st.integers(0, 9999), min_size=1, max_size=6),
    name=st.sampled_from(["balls-colour", "balls-binary-678", "balls-curtain"]),
    start=st.integers(0, 10),
    frames=st.integers(1, 20),
    seed=st.integers(0, 2**40),
)
def test_a_video_is_the_same_in_any_batch_and_span(indices, name, start, frames, seed):
    source = ready(name, seed=seed)
    together, ids = source.batch(indices, start, frames)
    alone = source.sample(indices[-1])
    assert np.array_equal(together[-1], alone.frames[start : start + frames])
    assert np.array_equal(ids[-1], alone.ids[start : start + frames])


def test_a_video_is_the_same_alone_and_among_a_hundred():
    source = ready("balls-colour-678", "train")
    frames, ids = source.batch(range(100))
    for index in (0, 63, 64, 99):
        alone, alone_ids = source.batch([index])
        assert np.array_equal(frames[index], alone[0])
        assert np.array_equal(ids[index], alone_ids[0])


def test_colour_and_number_of_frames_leave_the_motion_alone():
    plain = ready("balls-binary").make([5])
    longer = ready("balls-colour8", frames=80).make([5])
    assert np.array_equal(plain.positions, longer.positions[:, :51])
    assert np.array_equal(plain.contacts, longer.contacts[:, :51])


def test_splits_seeds_and_indices_share_no_video():
    known = set()
    for split in ("train", "validation", "test"):
        for seed in (0, 1):
            source = ready("balls-binary", split, seed=seed)
            known |= {source.make([index], 0, 1).positions.tobytes() for index in range(50)}
    assert len(known) == 300


def test_fingerprint_tells_settings_splits_and_seeds_apart():
    prints = [
        ready(name, split, seed=seed).fingerprint()
        for name in READY[1:]
        for split in ("train", "test")
        for seed in (0, 1)
    ]
    prints_again = ready("balls-binary", "train", seed=0).fingerprint()
    assert prints.count(prints_again) == 1
    assert len(set(prints)) == len(prints)


def test_nominal_lengths_and_ends():
    lengths = [len(ready("balls", split)) for split in ("train", "validation", "test")]
    assert lengths == [50_000, 10_000, 10_000]
    with pytest.raises(IndexError):
        ready("balls").sample(10_000)
    with pytest.raises(InputError, match="0 to 50"):
        ready("balls").sample(0, 40, 12)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"colors": 4}, "colours"),
        ({"colours": 5}, "allowed: 4, 8"),
        ({"min_balls": 5}, "max_balls"),
        ({"channels": 1}, "binary"),
        ({"radii": [1.0]}, "masses"),
        ({"substeps": 2}, "substeps"),
    ],
)
def test_wrong_settings_name_the_key(wrong, says):
    with pytest.raises(InputError, match=says):
        ready("balls-colour", **wrong)
    with pytest.raises(InputError, match="validation"):
        ready("balls", "valdation")


def test_balls_that_cannot_fit_are_refused():
    source = ready("balls-binary", radii=[2.0], masses=[1.0], min_balls=8, max_balls=8)
    with pytest.raises(InputError, match="do not fit"):
        source.sample(0, 0, 1)


def test_one_channel_size_and_soft_edges():
    grey = ready("balls-binary", channels=1, size=32)
    assert grey.batch([0])[0].shape == (1, 51, 1, 32, 32)
    soft = ready("balls-colour", antialias=True, frames=3)
    hard = ready("balls-colour", frames=3)
    frames, ids = soft.batch([0])
    assert np.array_equal(ids, hard.batch([0])[1])
    assert not np.array_equal(frames, hard.batch([0])[0])
    assert np.abs(frames.astype(int) - hard.batch([0])[0]).mean() < 8
    assert not soft.facts.binary


def test_source_can_be_sent_to_a_worker():
    source = ready("balls-colour")
    again = pickle.loads(pickle.dumps(source))
    assert np.array_equal(source.batch([3])[0], again.batch([3])[0])
