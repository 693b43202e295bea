"""Multi-dSprites images: exact ids, shapes that look like dSprites', statistics of the factors, reproducibility."""

from __future__ import annotations

import hashlib
import math
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenewise.data import DESCRIPTIONS, SOURCES
from scenewise.data.generated.sprites.colours import LEVELS, NAMED, hsv, pick
from scenewise.data.generated.sprites.drawing import SHAPES, SIDE, Sprites, draw, seen
from scenewise.errors import InputError

NAMES = ("multi-dsprites", "multi-dsprites-binarized", "multi-dsprites-coloured")


def ready(name="multi-dsprites", split="test", **changes):
    return SOURCES.get(name)(split, **changes)


def one(shape, size=17.0, angle=0.0, centre=(32.0, 32.0), side=64, soft=False):
    """Frames and ids of one white sprite on black."""
    sprites = Sprites(
        shapes=np.array([[SHAPES.index(shape)]]),
        centres=np.array([[centre]], float),
        sizes=np.array([[size]], float),
        angles=np.array([[angle]], float),
        colours=np.full((1, 1, 3), 255, np.uint8),
        backgrounds=np.zeros((1, 3), np.uint8),
    )
    frames, ids = draw(sprites, side, 1, soft)
    return frames[0, 0], ids[0]


def chi_square(counts):
    expected = np.mean(counts)
    return float(((np.asarray(counts) - expected) ** 2 / expected).sum())


def digest(source, indices=(0, 1, 2)):
    frames, ids = source.batch(list(indices))
    return hashlib.sha256(frames.tobytes() + ids.tobytes()).hexdigest()[:16]


@pytest.fixture(scope="module")
def many():
    return ready(seed=5).make(range(3000), whole=True)


@pytest.mark.parametrize("name", NAMES)
def test_shapes_and_facts(name):
    source = ready(name)
    sample, facts = source.sample(0), source.facts
    channels = 1 if name.endswith("binarized") else 3
    most = {"multi-dsprites": 5, "multi-dsprites-binarized": 3, "multi-dsprites-coloured": 4}[name]
    assert sample.frames.shape == (1, channels, 64, 64)
    assert sample.frames.dtype == np.uint8
    assert sample.ids.shape == (1, 64, 64)
    assert sample.ids.dtype == np.int64
    assert (facts.frames, facts.channels, facts.size, facts.max_objects) == (1, channels, (64, 64), most)
    assert (facts.background_ids, facts.overlap, facts.has_ids) == ((0,), "top", True)
    assert facts.binary == (channels == 1)
    frames, ids = source.batch([0, 5])
    assert frames.shape == (2, 1, channels, 64, 64)
    assert ids.shape == (2, 1, 64, 64)
    assert frames.dtype == ids.dtype == np.uint8
    assert DESCRIPTIONS[name].kind == "generated"


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("angle", [0.0, 0.4, 2.0, 5.0])
def test_all_shapes_cover_the_square_of_their_size(shape, angle):
    hard, ids = one(shape, 100.0, angle, (128, 128), 256)
    assert (ids == (hard == 255)).all()
    assert int(ids.sum()) == pytest.approx(100**2, rel=0.01)
    soft, _ = one(shape, 17.0, angle, soft=True)
    assert float(soft.sum()) / 255 == pytest.approx(17**2, rel=0.03)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("angle", [0.0, 1.0, 4.0])
def test_a_sprite_turns_about_its_centre_of_mass(shape, angle):
    _, ids = one(shape, 90.0, angle, (120.3, 131.7), 256)
    rows, columns = np.nonzero(ids)
    assert columns.mean() + 0.5 == pytest.approx(120.3, abs=0.35)
    assert rows.mean() + 0.5 == pytest.approx(131.7, abs=0.35)


def test_square_ellipse_and_heart_have_their_forms():
    _, square = one("square", 16.0)
    assert (square[24:40, 24:40] == 1).all()
    assert square.sum() == 256
    _, ellipse = one("ellipse", 100.0, 0.0, (128, 128), 256)
    rows, columns = np.nonzero(ellipse)
    assert np.ptp(columns) / np.ptp(rows) == pytest.approx(1.7, abs=0.05)
    _, heart = one("heart", 100.0, 0.0, (128, 128), 256)
    assert (heart == heart[:, ::-1]).all()  # upright: mirror images left and right
    rows = np.flatnonzero(heart.any(1))
    widths = heart.sum(1)[rows]
    assert widths[-1] <= 4  # the tip is below
    runs = [(np.diff(heart[row].astype(int)) == 1).sum() for row in rows]
    assert runs[3] == 2  # two lobes above, with a notch between them
    assert max(runs[len(runs) // 2 :]) == 1
    assert widths.argmax() < len(rows) / 2


def test_orientation_is_counter_clockwise():
    _, ellipse = one("ellipse", 30.0, math.pi / 4)
    rows, columns = np.nonzero(ellipse)
    assert np.corrcoef(columns, -rows)[0, 1] > 0.3
    _, heart = one("heart", 30.0, math.pi / 2)  # the tip now points to the right
    columns = np.flatnonzero(heart.any(0))
    assert heart[:, columns[-1]].sum() < heart[:, columns[0]].sum()


@pytest.mark.parametrize("shape", SHAPES)
def test_soft_edges_differ_from_hard_ones_only_at_the_outline(shape):
    soft, ids = one(shape, 17.0, 0.7, (31.3, 33.1), soft=True)
    hard, same = one(shape, 17.0, 0.7, (31.3, 33.1))
    assert np.array_equal(ids, same)
    assert ((soft > 127) == (ids == 1))[np.abs(soft.astype(int) - 127) > 2].all()
    assert 10 < (soft != hard).sum() < 90


def test_sprites_may_stick_out_of_the_image():
    for centre in ((0, 0), (64, 20), (30, -5), (200, 32), (-50, -50)):
        frame, ids = one("heart", 20.0, 1.0, centre)
        whole, _ = one("heart", 20.0, 1.0, (centre[0] + 128, centre[1] + 128), 400)
        assert np.array_equal(frame, whole[128:192, 128:192])
        assert np.array_equal(frame > 0, ids > 0)


def test_ids_are_those_of_the_sprite_in_front(many):
    masks = many.masks
    expected = np.zeros(many.ids[:, 0].shape, np.uint8)
    for at in range(masks.shape[1]):
        expected[masks[:, at]] = at + 1
    assert np.array_equal(many.ids[:, 0], expected)
    absent = many.sprites.shapes < 0
    assert not masks[absent].any()
    assert masks[~absent].any((1, 2)).all()


def test_whole_masks_are_those_of_sprites_drawn_alone(many):
    for image, at in zip(*np.nonzero(many.sprites.shapes[:20] >= 0), strict=True):
        alone = Sprites(**{name: values[image : image + 1] for name, values in vars(many.sprites).items()})
        shapes = np.where(np.arange(alone.shapes.shape[1]) == at, alone.shapes, -1)
        _, ids = draw(replace(alone, shapes=shapes), 64)
        assert np.array_equal(many.masks[image, at], ids[0] > 0)


def test_frames_show_the_colours_of_the_ids_without_soft_edges():
    made = ready("multi-dsprites-coloured", antialias=False).make(range(60))
    table = np.concatenate([made.sprites.backgrounds[:, None], made.sprites.colours], 1)  # (N, 1 + n, 3)
    painted = table[np.arange(60)[:, None, None], made.ids[:, 0]]
    assert np.array_equal(np.moveaxis(painted, -1, 1), made.frames[:, 0])


def test_binarized_is_white_where_a_sprite_is():
    frames, ids = ready("multi-dsprites-binarized").batch(range(100))
    assert np.array_equal(frames[:, :, 0] == 255, ids > 0)
    assert set(np.unique(frames)) == {0, 255}
    three, _ = ready("multi-dsprites-binarized", channels=3).batch(range(100))
    assert np.array_equal(three, frames.repeat(3, 2))


@pytest.mark.parametrize("name", NAMES)
def test_extras_agree_with_the_image(name):
    source = ready(name, seed=3)
    for index in range(25):
        sample = source.sample(index)
        extras = sample.extras
        count = len(extras["shapes"])
        assert extras["amodal"].shape == (count, 64, 64)
        assert sorted(extras["depths"]) == list(range(count))
        for at in range(count):
            mask, shown = extras["amodal"][at], sample.ids[0] == at + 1
            assert not (shown & ~mask).any()
            assert extras["visibility"][at] == pytest.approx(shown.sum() / mask.sum())
            assert mask.sum() == pytest.approx((17 * extras["scales"][at]) ** 2, rel=0.12)
            rows, columns = np.nonzero(mask)
            assert columns.mean() + 0.5 == pytest.approx(16 + 32 * extras["x"][at], abs=0.5)
            assert rows.mean() + 0.5 == pytest.approx(16 + 32 * extras["y"][at], abs=0.5)
        front = int(np.argmin(extras["depths"]))
        assert extras["visibility"][front] == 1.0


def test_numbers_shapes_places_scales_and_turns_are_uniform(many):
    sprites = many.sprites
    there = sprites.shapes >= 0
    assert chi_square(np.bincount(there.sum(1), minlength=6)[2:]) < 16.3  # one in a thousand, 3 degrees of freedom
    assert chi_square(np.bincount(sprites.shapes[there])) < 13.8  # 2
    ranges = [
        (sprites.centres[there][:, 0], 16, 48),
        (sprites.centres[there][:, 1], 16, 48),
        (sprites.sizes[there], 8.5, 17),
        (sprites.angles[there], 0, 2 * math.pi),
    ]
    for values, low, high in ranges:
        counts, _ = np.histogram(values, 10, (low, high))
        assert counts.sum() == there.sum()
        assert chi_square(counts) < 27.9  # 9


def test_backgrounds_are_grey_of_any_brightness_and_colours_vivid(many):
    behind = many.sprites.backgrounds
    assert (behind == behind[:, :1]).all()
    assert chi_square(np.histogram(behind[:, 0], 8, (0, 256))[0]) < 24.4  # 7
    colours = many.sprites.colours[many.sprites.shapes >= 0].astype(float)
    value, saturation = colours.max(1) / 255, 1 - colours.min(1) / colours.max(1)
    assert 0.495 < value.min() < value.max() <= 1
    assert 0.49 < saturation.min() < saturation.max() <= 1


def test_rgb_colours_are_uniform():
    sprites = ready("multi-dsprites-coloured").make(range(1500)).sprites
    for values in (sprites.colours[sprites.shapes >= 0], sprites.backgrounds):
        for channel in range(3):
            assert chi_square(np.histogram(values[:, channel], 8, (0, 256))[0]) < 24.4


def test_hsv_of_known_colours():
    draws = np.array([[0, 1, 1], [1 / 3, 1, 1], [2 / 3, 1, 1], [0, 0, 0.5], [1 / 6, 1, 1]])
    expected = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [128, 128, 128], [255, 255, 0]]
    assert hsv(draws, (0, 1), (0, 1)).tolist() == expected


def test_distinct_picks_are_distinct_and_uniform():
    picked = pick(np.random.default_rng(0).random((3000, 4)), 6, True)
    assert all(len(set(row)) == 4 for row in picked.tolist())
    for column in picked.T:
        assert chi_square(np.bincount(column, minlength=6)) < 20.5


def test_five_levels_like_genesis():
    made = ready("multi-dsprites-coloured", colours="levels", background="levels", antialias=False).make(range(400))
    assert set(np.unique(made.frames)) == set(LEVELS)
    distinct = ready("multi-dsprites-coloured", colours="levels", background="levels", distinct_colours=True)
    sprites = distinct.make(range(400)).sprites
    for colours, behind in zip(sprites.colours, sprites.backgrounds, strict=True):
        assert len({tuple(colour) for colour in [*colours, behind]}) == 5


def test_held_out_pairs_are_left_out_or_alone():
    pairs = [["heart", "red"], ["square", "blue"]]
    chosen = {"colours": "named", "names": ["red", "blue", "green"], "hold_out": pairs}

    def combinations(**more):
        sprites = ready(**chosen, **more).make(range(400)).sprites
        there = sprites.shapes >= 0
        names = {colour: name for name, colour in NAMED.items()}
        colours = [names[tuple(colour)] for colour in sprites.colours[there].tolist()]
        return {(SHAPES[shape], name) for shape, name in zip(sprites.shapes[there], colours, strict=True)}

    held = {tuple(pair) for pair in pairs}
    everything = {(shape, name) for shape in SHAPES for name in chosen["names"]}
    assert combinations() == everything - held
    assert combinations(hold_out_use="only") == held


def test_more_sprites_other_sizes_and_ranges():
    made = ready(min_sprites=8, max_sprites=12, margin=0.1, min_scale=0.3, max_scale=0.4, size=128).make(range(20))
    assert made.frames.shape == (20, 1, 3, 128, 128)
    counts = (made.sprites.shapes >= 0).sum(1)
    assert counts.min() >= 8
    assert counts.max() <= 12
    assert made.sprites.sizes.max() <= 0.4 * SIDE * 128
    ready(size=16).batch(range(20))
    ready(size=256).batch([0])
    only = ready(shapes=["heart"], min_angle=0, max_angle=0, min_sprites=1, max_sprites=1).make(range(20)).sprites
    assert (only.shapes == 2).all()
    assert not only.angles.any()


def test_empty_images_are_possible():
    made = ready(min_sprites=0, max_sprites=1).make(range(40))
    counts = (made.sprites.shapes >= 0).sum(1)
    assert set(counts) == {0, 1}
    empty = int(np.argmin(counts))
    assert not made.ids[empty].any()
    sample = ready(min_sprites=0, max_sprites=1).sample(empty)
    assert sample.extras["amodal"].shape == (0, 64, 64)


def test_least_visible_pixels_are_kept_in_any_batch():
    free = ready(min_sprites=5).make(range(300))
    assert (seen(free.ids[:, 0], 5) < 20).any()
    source = ready(min_sprites=5, min_visible=20)
    frames, ids = source.batch(range(300))
    assert seen(ids[:, 0], 5).min() >= 20
    rejected = np.flatnonzero((seen(free.ids[:, 0], 5) < 20).any(1))
    for index in rejected[:5].tolist():
        assert np.array_equal(source.sample(index).frames, frames[index])
    kept = np.setdiff1d(np.arange(300), rejected)
    assert np.array_equal(frames[kept], free.frames[kept])
    with pytest.raises(InputError, match="min_visible"):
        ready(min_visible=1000).batch([0])


@settings(max_examples=25, deadline=None)
@given(
    indices=st.lists(st.integers(0, 9999), min_size=1, max_size=8),
    name=st.sampled_from(NAMES),
    seed=st.integers(0, 2**63 - 1),
)
def test_an_image_is_the_same_in_any_batch(indices, name, seed):
    source = ready(name, seed=seed)
    frames, ids = source.batch(indices)
    alone = ready(name, seed=seed).sample(indices[-1])
    assert np.array_equal(frames[-1], alone.frames)
    assert np.array_equal(ids[-1], alone.ids)
    assert np.array_equal(source.batch(indices[::-1])[0], frames[::-1])


def test_an_image_is_the_same_in_a_batch_of_hundreds():
    source = ready()
    frames, ids = source.batch(range(300))
    for index in (0, 63, 64, 65, 299):
        assert np.array_equal(source.batch([index])[0][0], frames[index])
        assert np.array_equal(source.batch([index])[1][0], ids[index])


@pytest.mark.slow
def test_a_fresh_process_makes_the_same_images():
    code = (
        "import hashlib; from scenewise.data import SOURCES;"
        "frames, ids = SOURCES.get('multi-dsprites')('test').batch([0, 1, 2]);"
        "print(hashlib.sha256(frames.tobytes() + ids.tobytes()).hexdigest()[:16])"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout.strip() == digest(ready())


@pytest.mark.parametrize(
    ("name", "expected"), list(zip(NAMES, ("9a2184bbbcefd5a6", "cb854a4cf7e98de9", "32e7774dac9e3a00"), strict=True))
)
def test_images_never_change(name, expected):
    assert digest(ready(name)) == expected


def test_splits_seeds_and_indices_share_no_image():
    made = [
        ready(split=split, seed=seed).batch(range(100))[0]
        for split in ("train", "validation", "test")
        for seed in (0, 1)
    ]
    assert len({frame.tobytes() for frames in made for frame in frames}) == 600


def test_fingerprint_tells_settings_splits_and_seeds_apart():
    variants = [{}, {"seed": 1}, {"margin": 0.2}, {"antialias": False}, {"shapes": ["heart"]}]
    prints = [
        ready(name, split, **v).fingerprint() for v in variants[1:] for split in ("train", "test") for name in NAMES[:1]
    ]
    prints += [ready(name).fingerprint() for name in NAMES]
    assert len(set(prints)) == len(prints)
    assert ready().fingerprint() == ready().fingerprint()


def test_nominal_lengths_and_ends():
    assert [len(ready(split=split)) for split in ("train", "validation", "test")] == [60_000, 10_000, 10_000]
    with pytest.raises(IndexError):
        ready().sample(10_000)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"colour": "hsv"}, "colours"),
        ({"shapes": ["hart"]}, "heart"),
        ({"shapes": []}, "at least one"),
        ({"names": ["red", "red"]}, "differ"),
        ({"min_sprites": 6}, "max_sprites"),
        ({"min_scale": 2.0}, "max_scale"),
        ({"min_angle": 7, "max_angle": 1}, "max_angle"),
        ({"max_sprites": 17}, "allowed range"),
        ({"saturation": [0.9, 0.1]}, "smaller value first"),
        ({"channels": 1}, "channels=3"),
        ({"size": 15}, "size"),
        ({"distinct_colours": True}, "distinct_colours"),
        ({"distinct_colours": True, "colours": "named", "names": ["red"]}, "needs 5 names"),
        ({"hold_out": [["heart", "red"]]}, "colours=named"),
        ({"hold_out": [["hart", "red"]], "colours": "named"}, "heart"),
        ({"hold_out": [["heart", "rad"]], "colours": "named"}, "red"),
        ({"hold_out_use": "only", "colours": "named"}, "no pair"),
        ({"hold_out": [["heart", "red"]], "colours": "named", "shapes": ["heart"], "names": ["red"]}, "no pair"),
        ({"hold_out": [["heart"]], "colours": "named"}, "2 values"),
    ],
)
def test_wrong_settings_name_the_key(wrong, says):
    with pytest.raises(InputError, match=says):
        ready(**wrong)


def test_wrong_splits_and_spans_are_refused():
    with pytest.raises(InputError, match="validation"):
        ready(split="valdation")
    with pytest.raises(InputError, match="frames 0 to 0"):
        ready().batch([0], 0, 2)
    with pytest.raises(InputError, match="frames 0 to 0"):
        ready().sample(0, 1, 1)


def test_source_can_be_sent_to_a_worker():
    source = ready()
    again = pickle.loads(pickle.dumps(source))
    assert np.array_equal(source.batch([3])[0], again.batch([3])[0])
