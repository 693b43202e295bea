"""Binary shapes: the public generators' forms and rules, ids with ignored overlaps, reproducibility."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenewise.data import DESCRIPTIONS, SOURCES
from scenewise.data.generated.shapes import FORMS
from scenewise.errors import InputError

AREAS = {"square": 40, "up": 48, "down": 48}


def ready(split="test", **changes):
    return SOURCES.get("shapes")(split, **changes)


def chi_square(counts):
    expected = np.mean(counts)
    return float(((np.asarray(counts) - expected) ** 2 / expected).sum())


def digest(source):
    frames, ids = source.batch([0, 1, 2])
    return hashlib.sha256(frames.tobytes() + ids.tobytes()).hexdigest()[:16]


@pytest.fixture(scope="module")
def many():
    return ready(seed=4).make(range(4000))


def test_forms_have_their_extents_and_areas():
    for name, picture in FORMS.items():
        assert len(picture) == 7
        assert {len(row) for row in picture} == {7 if name == "square" else 12}
        assert sum(row.count("#") for row in picture) == AREAS[name]
        assert all(row == row[::-1] for row in picture)
    assert FORMS["down"] == FORMS["up"][::-1]


def test_shapes_and_facts():
    source = ready()
    sample, facts = source.sample(0), source.facts
    assert sample.frames.shape == (1, 1, 28, 28)
    assert sample.frames.dtype == np.uint8
    assert sample.ids.shape == (1, 28, 28)
    assert sample.ids.dtype == np.int64
    assert (facts.frames, facts.channels, facts.size, facts.max_objects) == (1, 1, (28, 28), 3)
    assert (facts.background_ids, facts.overlap, facts.binary) == ((0,), "ignore", True)
    frames, ids = source.batch([0, 5])
    assert frames.shape == (2, 1, 1, 28, 28)
    assert ids.shape == (2, 1, 28, 28)
    assert (frames.dtype, ids.dtype) == (np.uint8, np.int8)
    assert DESCRIPTIONS["shapes"].kind == "generated"


def test_areas_are_those_of_the_forms(many):
    areas = many.masks.sum((2, 3))
    assert np.array_equal(areas, np.array(list(AREAS.values()))[many.forms])


def test_frames_are_unions_and_overlaps_are_ignored(many):
    covered = many.masks.sum(1)
    assert np.array_equal(many.frames[:, 0, 0] == 255, covered > 0)
    assert set(np.unique(many.frames)) == {0, 255}
    assert np.array_equal(many.ids[:, 0] == -1, covered > 1)
    assert np.array_equal(many.ids[:, 0] == 0, covered == 0)
    for at in range(3):
        assert np.array_equal(many.ids[:, 0] == at + 1, many.masks[:, at] & (covered == 1))
    assert (many.ids == -1).any()


def test_forms_and_places_are_uniform(many):
    assert chi_square(np.bincount(many.forms.ravel())) < 13.8  # one in a thousand, 2 degrees of freedom
    square = many.forms == 0
    for axis in (0, 1):
        assert chi_square(np.bincount(many.corners[square][:, axis], minlength=22)) < 46.8  # 21
    rows, columns = many.corners[~square].T
    assert chi_square(np.bincount(rows, minlength=22)) < 46.8
    assert chi_square(np.bincount(columns, minlength=17)) < 39.3  # 16


def test_extras_tell_what_and_where():
    source = ready(min_shapes=1, max_shapes=5)
    counts = set()
    for index in range(60):
        sample = source.sample(index)
        extras = sample.extras
        counts.add(len(extras["shapes"]))
        for at, name in enumerate(extras["shapes"]):
            picture = np.array([[mark == "#" for mark in row] for row in FORMS[name]])
            top, left = extras["rows"][at], extras["columns"][at]
            mask = extras["amodal"][at]
            assert np.array_equal(mask[top : top + 7, left : left + picture.shape[1]], picture)
            assert mask.sum() == picture.sum()
            assert extras["visibility"][at] == pytest.approx((sample.ids[0] == at + 1).sum() / mask.sum())
    assert counts == {1, 2, 3, 4, 5}


def test_other_sizes_and_chosen_forms():
    assert ready(size=20).batch([0])[0].shape == (1, 1, 1, 20, 20)
    assert ready(size=12).make(range(50)).corners[..., 1].max() <= 5
    assert set(np.unique(ready(forms=["up", "square"]).make(range(50)).forms)) == {0, 1}


@settings(max_examples=20, deadline=None)
@given(indices=st.lists(st.integers(0, 9999), min_size=1, max_size=8), seed=st.integers(0, 2**63 - 1))
def test_an_image_is_the_same_in_any_batch(indices, seed):
    source = ready(seed=seed)
    frames, ids = source.batch(indices)
    alone = ready(seed=seed).sample(indices[-1])
    assert np.array_equal(frames[-1], alone.frames)
    assert np.array_equal(ids[-1], alone.ids)
    assert np.array_equal(source.batch(indices[::-1])[1], ids[::-1])


@pytest.mark.slow
def test_a_fresh_process_makes_the_same_images():
    code = (
        "import hashlib; from scenewise.data import SOURCES;"
        "frames, ids = SOURCES.get('shapes')('test').batch([0, 1, 2]);"
        "print(hashlib.sha256(frames.tobytes() + ids.tobytes()).hexdigest()[:16])"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout.strip() == digest(ready())


def test_images_never_change():
    assert digest(ready()) == "824f97b8dab433a4"


def test_splits_and_seeds_differ_and_fingerprints_tell():
    made = [ready(split, seed=seed) for split in ("train", "validation", "test") for seed in (0, 1)]
    assert len({digest(source) for source in made}) == 6
    prints = [source.fingerprint() for source in made] + [ready(size=20).fingerprint()]
    assert len(set(prints)) == 7


def test_nominal_lengths_and_ends():
    assert [len(ready(split)) for split in ("train", "validation", "test")] == [60_000, 10_000, 10_000]
    with pytest.raises(IndexError):
        ready().sample(10_000)
    with pytest.raises(InputError, match="frames 0 to 0"):
        ready().batch([0], 0, 2)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"form": ["up"]}, "forms"),
        ({"forms": ["upp"]}, "up"),
        ({"forms": []}, "at least one"),
        ({"min_shapes": 4}, "max_shapes"),
        ({"max_shapes": 9}, "allowed range"),
        ({"size": 11}, "size"),
    ],
)
def test_wrong_settings_name_the_key(wrong, says):
    with pytest.raises(InputError, match=says):
        ready(**wrong)


def test_source_can_be_sent_to_a_worker():
    source = ready()
    again = pickle.loads(pickle.dumps(source))
    assert np.array_equal(source.batch([3])[0], again.batch([3])[0])
