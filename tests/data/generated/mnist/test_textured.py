"""Textured digits: soft masks, exact ids, textures that differ, digits of the right files, reproducibility."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenewise.data import DESCRIPTIONS, SOURCES
from scenewise.data.generated.mnist.digits import DigitFiles, load
from scenewise.data.generated.mnist.textured import compose
from scenewise.data.generated.mnist.textures import GRID, KINDS, WAVES, Textures, paint
from scenewise.errors import InputError

from ...digits_written import digest, idx, made_up, real, write

NAMES = ("textured-mnist", "textured-mnist-waves")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write(tmp_path_factory.mktemp("idx"), "", 700)


@pytest.fixture(scope="module")
def many(files):
    return ready(files=files, seed=1, placement="anywhere", size=40, min_digits=1, max_digits=3).make(range(1500))


def ready(name="textured-mnist", split="test", files=None, **changes):
    return SOURCES.get(name)(split, **(files or {}), **changes)


def chi_square(counts):
    expected = np.mean(counts)
    return float(((np.asarray(counts) - expected) ** 2 / expected).sum())


def textures(kind, count=40, seed=0):
    rng = np.random.default_rng(seed)
    return Textures(
        kinds=np.full(count, KINDS.index(kind)),
        waves=rng.integers(0, len(WAVES), count),
        angles=rng.random(count),
        draws=rng.random((count, 5)),
        knots=rng.random((count, GRID, GRID)),
    )


def test_shapes_and_facts(files):
    source = ready(files=files)
    sample, facts = source.sample(0), source.facts
    assert sample.frames.shape == (1, 1, 28, 28)
    assert sample.frames.dtype == np.uint8
    assert sample.ids.shape == (1, 28, 28)
    assert sample.ids.dtype == np.int64
    assert (facts.frames, facts.channels, facts.size, facts.max_objects) == (1, 1, (28, 28), 2)
    assert (facts.background_ids, facts.overlap, facts.binary) == ((0,), "top", False)
    assert facts.origin.endswith(f"from MNIST digits of {Path(files['images']).name}")  # cards go places, paths stay
    frames, ids = source.batch([0, 5])
    assert frames.shape == (2, 1, 1, 28, 28)
    assert ids.shape == (2, 1, 28, 28)
    assert frames.dtype == ids.dtype == np.uint8
    for name in NAMES:
        assert DESCRIPTIONS[name].kind == "generated"


def test_ids_are_those_of_the_digit_in_front(many):
    expected = np.zeros(many.ids[:, 0].shape, np.uint8)
    for at in range(3):
        expected[many.masks[:, at]] = at + 1
    assert np.array_equal(many.ids[:, 0], expected)


def test_masks_are_the_digits_at_their_places(many, files):
    images, labels = load(DigitFiles(**files), "test")
    known = {image.tobytes() for image in images > 127}
    label_of = dict(zip((image.tobytes() for image in images > 127), labels, strict=True))
    for index in range(40):
        for at, label in enumerate(many.labels[index]):
            if label < 0:
                assert not many.masks[index, at].any()
                continue
            row, column = many.corners[index, at]
            patch = many.masks[index, at, row : row + 28, column : column + 28]
            assert patch.sum() == many.masks[index, at].sum()
            assert patch.tobytes() in known
            assert int(label_of[patch.tobytes()]) == label


def test_numbers_of_digits_labels_and_places_are_uniform(many):
    there = many.labels >= 0
    assert chi_square(np.bincount(there.sum(1), minlength=4)[1:]) < 13.8  # one in a thousand, 2 degrees of freedom
    assert chi_square(np.bincount(many.labels[there], minlength=10)) < 27.9  # 9
    for axis in (0, 1):
        assert chi_square(np.bincount(many.corners[there][:, axis], minlength=13)) < 32.9  # 12


def test_textures_of_an_image_differ_and_are_equally_frequent(many):
    assert all(len(set(row)) == 4 for row in many.textures.tolist())
    assert chi_square(np.bincount(many.textures[:, 0], minlength=5)) < 18.5  # 4


def test_extras_agree_with_the_image(files):
    source = ready(files=files, min_digits=1, max_digits=3)
    for index in range(30):
        sample = source.sample(index)
        extras = sample.extras
        count = len(extras["labels"])
        assert len(extras["textures"]) == len(extras["depths"]) == count
        assert extras["background"] in KINDS
        assert extras["amodal"].shape == (count, 28, 28)
        for at in range(count):
            shown = sample.ids[0] == at + 1
            assert not (shown & ~extras["amodal"][at]).any()
            assert extras["visibility"][at] == pytest.approx(shown.sum() / extras["amodal"][at].sum())
        assert extras["visibility"][int(np.argmin(extras["depths"]))] == 1.0


def test_two_digits_lie_on_the_diagonal_and_either_is_in_front(files):
    corners = ready(files=files).make(range(400)).corners
    assert (corners[..., 0] == corners[..., 1]).all()
    assert {tuple(pair) for pair in corners[..., 0].tolist()} == {(-2, 2), (2, -2)}
    assert 140 < (corners[:, 0, 0] == 2).sum() < 260
    three = ready(files=files, min_digits=3, max_digits=3, size=64).make(range(30)).corners
    assert (np.sort(three[..., 0], 1) == [16, 18, 20]).all()
    assert (ready(files=files, min_digits=1, max_digits=1).make(range(5)).corners == 0).all()


def test_textures_show_through_soft_masks():
    """Grey edges mix a digit's texture with what lies behind; ids go by the half that is covered."""
    grey = np.array([0.0, 1.0, 0.2], np.float32)[:, None, None] * np.ones((3, 1, 4), np.float32)
    alphas = np.array([[[0, 100, 255, 128]], [[0, 0, 255, 51]]], np.uint8)
    frames, ids = compose(grey[None], alphas[None])
    assert frames.ravel().tolist() == [0, 100, 51, round(128 + 51 / 255 * (51 - 128))]
    assert ids.ravel().tolist() == [0, 0, 2, 1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [28, 64])
def test_textures_lie_in_range_and_vary(kind, size):
    painted = paint(textures(kind), size)
    assert painted.shape == (40, size, size)
    assert painted.dtype == np.float32
    assert -1e-6 <= painted.min() < painted.max() <= 1 + 1e-6
    assert (painted.std((1, 2)) > 0.05).all()
    alone = paint(Textures(**{name: values[7:8] for name, values in vars(textures(kind)).items()}), size)
    assert np.array_equal(alone[0], painted[7])


def test_waves_are_single_frequencies():
    painted = paint(textures("waves"), 38) - 0.5  # whole cycles in 38 pixels
    power = np.abs(np.fft.fft2(painted)) ** 2
    for spectrum, wave in zip(power, textures("waves").waves, strict=True):
        row, column = WAVES[wave]
        assert spectrum[row % 38, column % 38] > 0.49 * spectrum.sum()
    assert len(set(WAVES)) == 20


def test_gradients_rise_one_way_and_checks_and_stripes_have_two_greys():
    ramp = paint(textures("gradient"), 28)
    assert np.allclose(np.diff(ramp, 2, 1), 0, atol=1e-5)
    assert np.allclose(np.diff(ramp, 2, 2), 0, atol=1e-5)
    for kind in ("stripes", "checks"):
        painted = paint(textures(kind), 64)
        low, high = painted.min((1, 2), keepdims=True), painted.max((1, 2), keepdims=True)
        middle = (painted > low + 0.3 * (high - low)) & (painted < high - 0.3 * (high - low))
        assert middle.mean() < 0.3


@settings(max_examples=20, deadline=None)
@given(
    indices=st.lists(st.integers(0, 9999), min_size=1, max_size=6),
    name=st.sampled_from(NAMES),
    placement=st.sampled_from(["diagonal", "anywhere"]),
    seed=st.integers(0, 2**63 - 1),
)
def test_an_image_is_the_same_in_any_batch(files, indices, name, placement, seed):
    changes = {"seed": seed, "placement": placement, "min_digits": 1, "max_digits": 3, "size": 32}
    source = ready(name, files=files, **changes)
    frames, ids = source.batch(indices)
    alone = ready(name, files=files, **changes).sample(indices[-1])
    assert np.array_equal(frames[-1], alone.frames)
    assert np.array_equal(ids[-1], alone.ids)
    assert np.array_equal(source.batch(indices[::-1])[0], frames[::-1])


def test_an_image_is_the_same_in_a_batch_of_hundreds(files):
    source = ready(files=files)
    frames, _ = source.batch(range(200))
    for index in (0, 63, 64, 199):
        assert np.array_equal(source.batch([index])[0][0], frames[index])
    assert len(source.batch([])[0]) == 0


@pytest.mark.parametrize(("name", "expected"), list(zip(NAMES, ("1f85586a13c5ec2e", "766224c42a0a962a"), strict=True)))
def test_images_never_change(files, name, expected):
    assert digest(ready(name, files=files)) == expected


def test_splits_share_no_digit(files, tmp_path):
    parts = [load(DigitFiles(**files), split)[0] for split in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [500, 100, 100]
    assert np.array_equal(np.concatenate(parts), made_up(700)[0])
    both = DigitFiles(**write(tmp_path, "", 60), **write(tmp_path, "test_", 20, 60))
    parts = [load(both, split)[0] for split in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [50, 10, 20]
    assert np.array_equal(np.concatenate(parts), made_up(80)[0])


def test_changed_files_are_read_again_and_change_the_fingerprint(tmp_path):
    paths = write(tmp_path, "", 70)
    before = ready(files=paths)
    print_before, hash_before = before.fingerprint(), digest(before)
    write(tmp_path, "", 77, 3)
    after = ready(files=paths)
    assert after.fingerprint() != print_before
    assert digest(after) != hash_before


def test_fingerprint_does_not_depend_on_where_the_files_lie(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    prints = {ready(files=write(tmp_path / place, "", 70)).fingerprint() for place in ("a", "b")}
    assert len(prints) == 1
    others = [{"seed": 1}, {"size": 32}, {"textures": ["noise"]}, {"placement": "anywhere"}]
    prints |= {ready(files=write(tmp_path, "", 70), **other).fingerprint() for other in others}
    prints |= {ready(split="train", files=write(tmp_path, "", 70)).fingerprint()}
    assert len(prints) == 6


def test_without_files_small_digits_are_enlarged():
    pytest.importorskip("sklearn")
    source = ready()
    assert "scikit-learn" in source.facts.origin
    source.batch(range(10))
    images, labels = load(DigitFiles(), "train")
    assert images.shape[1:] == (28, 28)
    assert len(images) == 1284
    assert set(labels) == set(range(10))
    assert not images[:, :4].any()
    assert not images[:, :, 24:].any()
    ink = (images > 127).mean((1, 2))
    assert 0.05 < ink.min() < ink.max() < 0.4


def test_real_digits(shared_data):
    files = real(shared_data)
    made = ready(files=files).make(range(200))
    assert made.masks.any((2, 3)).all()
    assert 0.1 < (made.ids > 0).mean() < 0.4


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"texture": ["noise"]}, "textures"),
        ({"textures": ["nose"]}, "noise"),
        ({"textures": []}, "at least one"),
        ({"min_digits": 3}, "max_digits"),
        ({"max_digits": 4}, "allowed range"),
        ({"size": 27}, "size"),
        ({"images": "somewhere"}, "labels.*Give both"),
        ({"test_labels": "somewhere"}, "test_images.*Give both"),
        ({"test_images": "a", "test_labels": "b"}, "nothing to train on"),
        ({"images": "nowhere", "labels": "nowhere"}, "nowhere.*cannot be read"),
    ],
)
def test_wrong_settings_name_the_key(wrong, says):
    with pytest.raises(InputError, match=says):
        ready(**wrong)


def test_digits_of_another_size_or_too_few_are_refused(tmp_path):
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.write_bytes(idx(np.zeros((2, 20, 20), np.uint8)))
    labels.write_bytes(idx(np.zeros(2, np.uint8)))
    with pytest.raises(InputError, match=r"28 x 28, found 20 x 20"):
        ready(images=str(images), labels=str(labels))
    with pytest.raises(InputError, match="too few"):
        ready(split="validation", files=write(tmp_path, "", 1))


def test_nominal_lengths_ends_and_spans(files):
    assert [len(ready(split=split, files=files)) for split in ("train", "validation", "test")] == [
        50_000,
        10_000,
        10_000,
    ]
    with pytest.raises(IndexError):
        ready(files=files).sample(10_000)
    with pytest.raises(InputError, match="frames 0 to 0"):
        ready(files=files).batch([0], 0, 2)
