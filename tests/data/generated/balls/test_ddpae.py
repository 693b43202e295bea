"""DDPAE's balls made on the fly: starts, physics, drawing as the reader's, extras, and what is refused."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from scenewise.data import SOURCES
from scenewise.data.generated.balls.world import ddpae_discs
from scenewise.errors import InputError


def made(split="test", **settings):
    return SOURCES.get("ddpae-balls")(split, **settings)


@pytest.fixture(scope="module")
def extras():
    """Of 60 videos."""
    samples = made(size=32).samples(range(60))
    return {name: np.stack([s.extras[name] for s in samples]) for name in samples[0].extras}


def test_facts_and_shapes():
    source = made()
    sample, facts = source.sample(1), source.facts
    assert (facts.channels, facts.size, facts.frames, facts.max_objects) == (1, (128, 128), 60, 4)
    assert facts.binary
    assert (sample.frames.shape, sample.ids.shape) == ((60, 1, 128, 128), (60, 128, 128))
    assert set(np.unique(sample.frames)) == {0, 255}
    assert set(np.unique(sample.ids)) == {0, 1, 2, 3, 4}
    assert (len(made("train")), len(source)) == (50_000, 2_000)
    assert made(balls=2, frames=7, size=64).sample(0).extras["positions"].shape == (7, 2, 2)


def test_starts_are_whole_numbers_apart(extras):
    places, velocities = extras["positions"][:, 0], extras["velocities"][:, 0]
    for values, lowest, highest in ((places, 61, 738), (velocities, -19, 20)):
        assert np.allclose(values, values.round(), atol=1e-9)
        assert lowest - 1e-9 <= values.min() < lowest + 20
        assert highest - 20 < values.max() <= highest + 1e-9
    apart = np.linalg.norm(places[:, :, None] - places[:, None], axis=-1) + 1e6 * np.eye(4)
    assert 150 - 1e-6 <= apart.min() < 200


def test_collisions_are_elastic_and_walls_hold(extras):
    places, velocities = extras["positions"], extras["velocities"]
    energy = np.square(velocities).sum((2, 3))
    assert np.allclose(energy, energy[:, :1])
    assert np.abs(velocities).max() <= 60
    assert places.min() > 55
    assert places.max() < 745
    apart = np.linalg.norm(places[:, :, :, None] - places[:, :, None], axis=-1) + 1e6 * np.eye(4)
    assert apart.min() > 110
    assert extras["events"].any(1).mean() > 0.5
    assert np.array_equal(extras["events"], extras["contacts"].any(2))


def test_balls_go_straight_and_bounce_as_mirrored():
    """One ball: its course is a straight line, folded at the walls, but for steps of a tenth of a frame there."""
    places = np.stack([s.extras["positions"] for s in made(balls=1, size=32, substeps=1000).samples(range(20))])[
        :, :, 0
    ]
    velocity = np.stack([made(balls=1, size=32).sample(i, 0, 1).extras["velocities"][0, 0] for i in range(20)])
    line = places[:, :1] + velocity[:, None] * np.arange(60)[:, None] - 60
    folded = 60 + np.where(line % 1360 > 680, 1360 - line % 1360, line % 1360)
    assert np.abs(places - folded).max() < 0.1


def test_two_balls_exchange_what_they_have_along_their_line(extras):
    """Of a single contact of two balls, the change of velocity lies on the line of centres, equal and opposite."""
    found = 0
    for video, frame in zip(*np.nonzero(extras["contacts"][:, :-1].sum(2) == 2), strict=True):
        one, other = np.nonzero(extras["contacts"][video, frame])[0]
        before, after = extras["velocities"][video, frame], extras["velocities"][video, frame + 1]
        change = after - before
        walls = np.abs(extras["positions"][video, frame : frame + 2, [one, other]] - 400).max() > 315
        if walls or not np.abs(change).any():
            continue
        assert np.allclose(change[one], -change[other])
        line = np.diff(extras["positions"][video, frame, [one, other]], axis=0)[0]
        cosine = abs(change[one] @ line) / np.linalg.norm(change[one]) / np.linalg.norm(line)
        assert cosine > 0.9
        found += 1
    assert found > 5


@pytest.mark.parametrize("size", [64, 128])
def test_it_is_drawn_as_stored_states_are(size):
    for sample in made(size=size).samples(range(4)):
        known = sample.extras
        states = np.dstack([known["positions"], known["masses"], known["sizes"]])
        assert np.array_equal(ddpae_discs(states, size), sample.ids)
        assert np.array_equal(sample.frames[:, 0] > 0, sample.ids > 0)


def test_spans_splits_and_seeds():
    source = made(size=32)
    whole, part = source.sample(5), source.sample(5, 20, 10)
    assert np.array_equal(whole.ids[20:30], part.ids)
    assert np.array_equal(whole.extras["positions"][20:30], part.extras["positions"])
    assert np.array_equal(source.batch([5], 20, 10)[0][0], part.frames)
    assert np.array_equal(pickle.loads(pickle.dumps(source)).sample(5).ids, whole.ids)
    others = [made("train", size=32), made("validation", size=32), made(size=32, seed=1)]
    for other in others:
        assert not np.array_equal(other.sample(5).ids, whole.ids)
    assert len({s.fingerprint() for s in (source, *others)}) == 4


def test_what_cannot_be_is_told():
    with pytest.raises(InputError, match="balls"):
        made(balls=9)
    with pytest.raises(InputError, match="split"):
        made("tset")
    with pytest.raises(InputError, match="frames 55 to 64"):
        made().sample(0, 55, 10)
    with pytest.raises(IndexError):
        made().sample(2_000)
