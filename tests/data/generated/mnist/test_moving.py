"""Moving digits: hand-computed paths, walls, composition, exact ids, digits of the right files, reproducibility."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenewise.data import DESCRIPTIONS, SOURCES
from scenewise.data.generated.mnist.digits import DigitFiles, load
from scenewise.data.generated.mnist.moving import MovingMnistConfig, compose, move
from scenewise.errors import InputError

from ...digits_written import digest, real, write

NAMES = ("moving-mnist", "moving-mnist-colour")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write(tmp_path_factory.mktemp("idx"), "", 700)


def ready(name="moving-mnist", split="test", files=None, **changes):
    return SOURCES.get(name)(split, **(files or {}), **changes)


def naive(start, velocity, frames):
    """One coordinate, step by step as moving_mnist.md 2 has it; returns whole-pixel offsets."""
    offsets = []
    for _ in range(frames):
        start += velocity
        if start <= 0:
            start, velocity = 0.0, -velocity
        elif start >= 1:
            start, velocity = 1.0, -velocity
        offsets.append(int(36 * start))
    return offsets


@pytest.mark.parametrize("name", NAMES)
def test_shapes_and_facts(files, name):
    source = ready(name, files=files)
    sample, facts = source.sample(0), source.facts
    channels = 3 if name == "moving-mnist-colour" else 1
    assert sample.frames.shape == (20, channels, 64, 64)
    assert (sample.ids.shape, sample.ids.dtype) == ((20, 64, 64), np.int64)
    assert (facts.frames, facts.channels, facts.size, facts.max_objects) == (20, channels, (64, 64), 2)
    assert (facts.background_ids, facts.overlap, facts.binary) == ((0,), "top", False)
    assert facts.origin.endswith(f"from MNIST digits of {Path(files['images']).name}")
    frames, ids = source.batch([0, 5], 2, 3)
    assert (frames.shape, ids.shape) == ((2, 3, channels, 64, 64), (2, 3, 64, 64))
    assert (frames.dtype, ids.dtype.itemsize) == (np.uint8, 1)
    assert DESCRIPTIONS[name].kind == "generated"


def test_twenty_frames_from_a_hand_computed_start():
    """Column from 0.5 by 0.08 a frame: it touches 1 in the seventh frame; row from 0.1 by -0.06: 0 in the second."""
    columns = [20, 23, 26, 29, 32, 35, 36, 33, 30, 27, 24, 21, 18, 15, 12, 10, 7, 4, 1, 0]
    rows = [1, 0, 2, 4, 6, 8, 10, 12, 15, 17, 19, 21, 23, 25, 28, 30, 32, 34, 36, 33]
    places, velocities = move(np.array([[0.5, 0.1]]), np.array([[0.08, -0.06]]), 0, 20)
    assert places.shape == velocities.shape == (20, 1, 2)
    offsets = (36 * places[:, 0]).astype(int)
    assert offsets[:, 0].tolist() == columns == naive(0.5, 0.08, 20)
    assert offsets[:, 1].tolist() == rows == naive(0.1, -0.06, 20)


def test_positions_velocities_and_walls(files):
    made = ready(files=files).make(range(300))
    assert made.corners.min() == 0
    assert made.corners.max() == 1
    steps, before, after = np.diff(made.corners, axis=1), made.velocities[:, :-1], made.velocities[:, 1:]
    free = (before == after).all(-1)
    assert np.allclose(np.linalg.norm(36 * steps[free], axis=-1), 3.6)
    turned = before != after
    touches = (made.corners[:, 1:] == 0) | (made.corners[:, 1:] == 1)
    assert np.array_equal(turned, touches)  # each contact flips its own component, and nothing else does
    assert np.array_equal(np.abs(before), np.abs(after))
    assert 0.05 < turned.any(-1).mean() < 0.4
    assert (turned.sum(-1) == 1).sum() > 10 * (turned.sum(-1) == 2).sum() > 0


def test_reflected_digits_keep_their_distance():
    start, velocity = np.array([[0.95, 0.3]]), np.array([[0.1, 0.0]])
    mirrored = move(start, velocity, 0, 2, "reflect")[0][:, 0, 0]
    assert np.allclose(mirrored, [0.95, 0.85])
    assert np.allclose(move(start, velocity, 0, 2)[0][:, 0, 0], [1.0, 0.9])


def test_starts_angles_and_digits_are_uniform(files):
    made = ready(files=files).make(range(1500), 0, 1)
    angles = np.arctan2(made.velocities[:, 0, :, 1], made.velocities[:, 0, :, 0]).ravel()
    for counts in (np.histogram(np.abs(angles), 8, (0, math.pi))[0], np.bincount(made.labels.ravel(), minlength=10)):
        expected = counts.mean()
        assert ((counts - expected) ** 2 / expected).sum() < 27.9  # one in a thousand, 9 degrees of freedom
    inside = made.corners[:, 0][((made.corners[:, 0] > 0.1) & (made.corners[:, 0] < 0.9)).all(-1)]
    assert np.abs(inside.mean(0) - 0.5).max() < 0.02


def test_extras_agree_with_the_frames(files):
    source = ready(files=files, min_digits=1, max_digits=3)
    images, labels = load(source.config.files, "test")
    for sample in source.samples(range(10)):
        extras = sample.extras
        count = len(extras["labels"])
        assert extras["labels"].tolist() == labels[extras["digits"]].tolist()
        frames = np.zeros((20, 64, 64), int)
        for frame, at in np.ndindex(20, count):
            column, row = np.rint(64 * extras["positions"][frame, at] - 14).astype(int)
            frames[frame, row : row + 28, column : column + 28] = np.maximum(
                frames[frame, row : row + 28, column : column + 28], images[extras["digits"][at]]
            )
            mask = extras["amodal"][frame, at]
            assert np.array_equal(mask[row : row + 28, column : column + 28], images[extras["digits"][at]] > 127)
            assert mask.sum() == (images[extras["digits"][at]] > 127).sum()
            assert not ((sample.ids[frame] == at + 1) & ~mask).any()
        assert np.array_equal(sample.frames[:, 0], frames)
        assert np.array_equal(sample.ids > 0, extras["amodal"].any(1))
        assert (extras["positions"] <= extras["exact_positions"] + 1e-9).all()
        assert (extras["exact_positions"] - extras["positions"] < 1 / 64).all()
        covers = extras["amodal"].sum(1)
        assert np.allclose(extras["overlap"], (covers > 1).sum((1, 2)) / (covers > 0).sum((1, 2)))
        moved = np.diff(extras["exact_positions"], axis=0) - extras["velocities"][:-1]
        assert (np.abs(moved) < 1e-9).mean() > 0.7  # the rest is clamped by a wall


def test_composition_rules():
    planes = np.array([[200, 90, 130, 0, 50], [180, 180, 130, 0, 0]], np.uint8).reshape(1, 1, 2, 1, 5)
    frames, ids = compose(planes, MovingMnistConfig())
    assert frames.ravel().tolist() == [200, 180, 130, 0, 50]
    assert ids.ravel().tolist() == [1, 2, 1, 0, 0]  # the brighter, ties to the first, background below one half
    assert compose(planes, MovingMnistConfig(overlap="ignore"))[1].ravel().tolist() == [-1, 2, -1, 0, 0]
    assert compose(planes, MovingMnistConfig(compose="painter"))[0].ravel().tolist() == [180, 180, 130, 0, 50]
    colour = compose(planes, MovingMnistConfig(compose="channels"))[0][0, 0]
    assert np.array_equal(colour[:2], planes[0, 0])
    assert not colour[2].any()


def test_channels_of_the_colour_variant_are_single_digits(files):
    source = ready("moving-mnist-colour", files=files)
    made, grey = source.make(range(20)), ready(files=files).make(range(20))
    assert not made.frames[:, :, 2].any()
    assert np.array_equal(made.frames.max(2), grey.frames[:, :, 0])  # the same videos, composed differently
    assert np.array_equal(made.frames[:, :, :2] > 127, made.masks)
    alone = ready("moving-mnist-colour", files=files, min_digits=1, max_digits=1).make(range(20))
    assert np.array_equal(alone.frames[:, :, 0], made.frames[:, :, 0])  # red does not depend on green


def test_smaller_digits_in_smaller_frames_are_the_same_videos(files):
    small, large = (ready(files=files, **way) for way in ({"size": 32, "digit": 14}, {}))
    made, whole = small.make(range(4)), large.make(range(4))
    assert np.array_equal(made.corners, whole.corners)
    assert made.frames.shape == (4, 20, 1, 32, 32)
    for video, frame in ((0, 0), (3, 11)):
        image = load(small.config.files, "test")[0][made.chosen[video, 0]]
        row, column = (18 * made.corners[video, frame, 0, ::-1]).astype(int)
        blocks = [[image[2 * r : 2 * r + 2, 2 * c : 2 * c + 2].mean() for c in range(14)] for r in range(14)]
        drawn = made.frames[video, frame, 0, row : row + 14, column : column + 14]
        assert (drawn >= np.rint(blocks)).all()
        assert (drawn == np.rint(blocks)).mean() > 0.5


@settings(max_examples=15, deadline=None)
@given(
    indices=st.lists(st.integers(0, 9999), min_size=1, max_size=5),
    name=st.sampled_from(NAMES),
    start=st.integers(0, 19),
    seed=st.integers(0, 2**63 - 1),
)
def test_a_video_is_the_same_in_any_batch_and_span(files, indices, name, start, seed):
    source = ready(name, files=files, seed=seed)
    frames, ids = source.batch(indices)
    alone = ready(name, files=files, seed=seed).sample(indices[-1], start)
    assert np.array_equal(frames[-1, start:], alone.frames)
    assert np.array_equal(ids[-1, start:], alone.ids)
    assert np.array_equal(source.batch(indices[::-1])[0], frames[::-1])


def test_a_video_is_the_same_in_a_batch_of_many(files):
    source = ready(files=files)
    frames, _ = source.batch(range(70))
    assert all(np.array_equal(source.batch([index])[0][0], frames[index]) for index in (0, 31, 32, 69))
    assert len({video.tobytes() for video in frames}) == 70
    assert len(source.batch([])[0]) == 0


@pytest.mark.parametrize(("name", "expected"), list(zip(NAMES, ("816f90a6ebc5f754", "b071cc02eff2afc5"), strict=True)))
def test_videos_never_change(files, name, expected):
    assert digest(ready(name, files=files)) == expected


def test_splits_and_seeds_share_no_video_and_splits_no_digit(files):
    sources = [ready(split=split, files=files, seed=seed) for split in ("train", "test") for seed in (0, 1)]
    made = [source.batch(range(30))[0] for source in sources]
    assert len({video.tobytes() for videos in made for video in videos}) == 120
    parts = [load(DigitFiles(**files), split)[0] for split in ("train", "validation", "test")]
    assert len({image.tobytes() for part in parts for image in part}) == sum(map(len, parts))


def test_fingerprint_tells_settings_splits_and_files_apart(files):
    variants = [{}, {"seed": 1}, {"compose": "painter"}, {"speed": 0.2}, {"digit": 14}]
    prints = [ready(split=split, files=files, **v).fingerprint() for v in variants for split in ("train", "test")]
    assert len(set(prints)) == len(prints)
    other = {"images": files["labels"], "labels": files["images"]}
    assert DigitFiles(**files).fingerprint() != DigitFiles(**other).fingerprint()


def test_default_digits_are_those_of_scikit_learn_and_it_says_so():
    pytest.importorskip("sklearn")
    source = ready("moving-mnist-colour", split="train")
    assert "scikit-learn" in source.facts.origin
    made = source.make(range(50))
    assert made.masks.any((3, 4)).all()
    assert len(set(made.labels.ravel().tolist())) == 10


def test_real_digits_have_the_energy_of_mnist(shared_data):
    """An all-black prediction misses 175.6 per frame of two digits on channels of their own (moving_mnist.md 7)."""
    files = real(shared_data)
    energies = []
    for split, name in (("train", NAMES[1]), ("test", NAMES[1]), ("train", NAMES[0])):
        frames = ready(name, files=files, split=split).batch(range(300), 0, 3)[0]
        energies.append((np.square(frames, dtype=np.float32) / 255**2).sum((2, 3, 4)).mean())
    shares = (5 / 7, 1 / 7)  # of the 10,000 digits; the first are a little thinner than the last
    digits = [(np.square(load(DigitFiles(**files), s)[0] / 255)).sum((1, 2)).mean() for s in ("train", "test")]
    assert energies[:2] == pytest.approx([2 * digit for digit in digits], rel=0.04)
    whole = (energies[0] * shares[0] + energies[1] * shares[1]) / sum(shares)
    assert whole == pytest.approx(175.6, rel=0.05)
    assert 0.9 * energies[0] < energies[2] < energies[0]  # less where digits overlap


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"speeds": 1}, "speed"),
        ({"compose": "chanels"}, "channels"),
        ({"min_digits": 3}, "max_digits"),
        ({"compose": "channels", "max_digits": 4}, "a channel for each of 3"),
        ({"size": 20}, "digit=14"),
        ({"digit": 9}, "allowed: 7, 14, 28"),
        ({"images": "somewhere"}, "labels.*Give both"),
        ({"images": "nowhere", "labels": "nowhere"}, "nowhere.*cannot be read"),
    ],
)
def test_wrong_settings_name_the_key(wrong, says):
    with pytest.raises(InputError, match=says):
        ready(**wrong)


def test_spans_outside_the_video_and_absent_videos_are_refused(files):
    with pytest.raises(InputError, match="frames 0 to 19"):
        ready(files=files).batch([0], 18, 3)
    with pytest.raises(IndexError):
        ready(files=files).sample(10_000)
