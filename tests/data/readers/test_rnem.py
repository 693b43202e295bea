"""The R-NEM layout: what is written is read bit for bit, and other files are refused with a reason."""

from __future__ import annotations

import hashlib
import json
import pickle
import tracemalloc

import h5py
import numpy as np
import pytest

from scenewise.data import SOURCES, fingerprints
from scenewise.data.generated.balls.world import paint
from scenewise.data.shards.writers.rnem import write_rnem
from scenewise.errors import InputError

REAL = "rnem_balls/balls4mass64_from_gif.h5"


def read(path, split="test", **settings):
    return SOURCES.get("rnem-h5")(split, path=str(path), **settings)


def write(path, features=None, groups=None, group="test", **more):
    """Write a small file by hand; by default 3 videos of 5 frames, 8 x 8, two objects."""
    ids = np.zeros((5, 3, 8, 8, 1), np.uint8)
    ids[:, :, 1:3, 1:4], ids[:, :, 5:, 6:] = 1, 2
    with h5py.File(path, "w") as file:
        arrays = file.create_group(group)
        arrays["features"] = (ids > 0) if features is None else features
        if groups is not False:
            arrays["groups"] = ids if groups is None else groups
        for name, values in more.items():
            arrays[name] = values
    return path


@pytest.mark.parametrize("name", ["balls-binary-678", "balls-colour", "balls-curtain"])
def test_round_trip_bit_for_bit(tmp_path, name):
    splits = ("train", "validation", "test")
    sources = {split: SOURCES.get(name)(split, frames=7, size=32) for split in splits}
    path = write_rnem(tmp_path / "balls.h5", sources, {"train": 18, "validation": 2, "test": 3})
    assert [p.name for p in tmp_path.iterdir()] == ["balls.h5"]
    for split, count in zip(splits, (18, 2, 3), strict=True):
        again = read(path, split)
        assert len(again) == count
        assert again.facts.max_objects == sources[split].facts.max_objects
        assert again.facts.binary == sources[split].facts.binary
        for index in (0, count - 1):
            made, stored = sources[split].sample(index), again.sample(index)
            assert np.array_equal(made.frames, stored.frames)
            assert np.array_equal(made.ids, stored.ids)
            assert np.array_equal(made.extras["collisions"], stored.extras["collisions"])
            assert np.array_equal(made.extras["events"], stored.extras["events"])
            balls = len(made.extras["radii"])
            for key in ("positions", "velocities"):
                assert np.array_equal(made.extras[key], stored.extras[key][:, :balls])
                assert np.isnan(stored.extras[key][:, balls:]).all()


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32, np.float64])
def test_any_element_type(tmp_path, dtype):
    features = np.zeros((5, 3, 8, 8, 1), bool)
    features[:, :, 1:3, 1:4] = True
    source = read(write(tmp_path / "a.h5", features.astype(dtype), features.astype(dtype)))
    sample = source.sample(1)
    assert np.array_equal(sample.frames[:, 2] == 255, features[:, 1, ..., 0])
    assert np.array_equal(sample.ids, features[:, 1, ..., 0])
    assert source.facts.binary
    assert source.facts.channels == 3


def test_real_valued_and_colour_features(tmp_path):
    rng = np.random.default_rng(0)
    grey = rng.random((5, 3, 8, 8, 1), np.float32)
    source = read(write(tmp_path / "grey.h5", grey), channels=1)
    assert np.array_equal(source.sample(2).frames[:, 0], np.rint(grey[:, 2, ..., 0] * 255))
    assert not source.facts.binary
    colour = rng.integers(0, 256, (5, 3, 8, 8, 3), np.uint8)
    assert np.array_equal(read(write(tmp_path / "c.h5", colour)).sample(0).frames, np.moveaxis(colour[:, 0], -1, 1))


@pytest.mark.parametrize("colour_by", ["id", "rank"])
@pytest.mark.parametrize("order", ["bgr", "rgb"])
def test_recolouring(tmp_path, colour_by, order):
    ids = np.zeros((5, 3, 8, 8, 1), np.uint8)
    ids[:, :, 1:3], ids[:3, :, 5:] = 6, 2  # object 2 leaves after frame 2
    source = read(write(tmp_path / "a.h5", groups=ids), mode="colour", colour_by=colour_by, palette_order=order)
    sample = source.sample(0)
    assert np.array_equal(sample.frames, paint(ids[:, 0, ..., 0], 4, order, colour_by))
    steady = (sample.frames[0, :, 1, 0] == sample.frames[4, :, 1, 0]).all()
    assert steady == (colour_by == "id")
    assert not sample.frames[:, :, 0].any()


def test_a_single_frame_is_repeated(tmp_path):
    features = np.zeros((1, 2, 8, 8, 1), np.float32)
    features[:, :, 2:4] = 1
    source = read(write(tmp_path / "a.h5", features, features), frames=4)
    sample = source.sample(1)
    assert sample.frames.shape == (4, 3, 8, 8)
    assert (sample.frames == sample.frames[0]).all()
    assert len(source.sample(1, 2, 2).ids) == 2


def test_frames_and_spans(tmp_path):
    source = read(write(tmp_path / "a.h5"), frames=4)
    assert source.facts.frames == 4
    assert np.array_equal(source.sample(0, 1, 2).frames, source.sample(0).frames[1:3])
    with pytest.raises(InputError, match="frames 0 to 3"):
        source.sample(0, 2, 3)
    with pytest.raises(IndexError):
        source.sample(3)
    with pytest.raises(InputError, match="5 frames, 9 asked"):
        read(tmp_path / "a.h5", frames=9)


def test_no_truth_in_the_file(tmp_path):
    source = read(write(tmp_path / "a.h5", groups=False))
    assert source.sample(0).ids is None
    assert not source.facts.has_ids
    with pytest.raises(InputError, match="groups is missing"):
        read(tmp_path / "a.h5", mode="colour")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"group": "training"}, "expected group 'test', found training"),
        ({"features": np.zeros((5, 8, 8, 1))}, r"expected \(T, N, H, W, 1 or 3\), found \(5, 8, 8, 1\)"),
        ({"features": np.zeros((5, 0, 8, 8, 1))}, "expected"),
        ({"groups": np.zeros((5, 3, 4, 4, 1))}, r"groups: expected leading shape \(5, 3, 8, 8, 1\), found"),
        ({"events": np.zeros((3, 5, 1, 1, 1))}, "events: expected leading shape"),
        ({"collisions": np.array([b"text"])}, "collisions"),
    ],
)
def test_other_layouts_are_refused(tmp_path, change, says):
    with pytest.raises(InputError, match=says):
        read(write(tmp_path / "a.h5", **change))


def test_wrong_values_are_refused(tmp_path):
    features = np.zeros((5, 3, 8, 8, 1), np.float32)
    features[2, 1] = np.nan
    with pytest.raises(InputError, match="features"):
        read(write(tmp_path / "a.h5", features)).sample(1)
    with pytest.raises(InputError, match="groups"):
        read(write(tmp_path / "b.h5", groups=np.full((5, 3, 8, 8, 1), 0.5))).sample(1)


def test_missing_truncated_and_foreign_files(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "absent.h5")
    whole = write(tmp_path / "a.h5").read_bytes()
    for name, content in [("cut.h5", whole[: len(whole) // 2]), ("empty.h5", b""), ("text.h5", b"no video" * 100)]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            read(tmp_path / name)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["videos"] = np.zeros((3, 5))
    with pytest.raises(InputError, match="found videos"):
        read(tmp_path / "other.h5")


def test_fingerprint_follows_contents_and_settings_not_the_place(tmp_path):
    one = read(write(tmp_path / "a.h5"))
    (tmp_path / "b.h5").write_bytes((tmp_path / "a.h5").read_bytes())
    assert read(tmp_path / "b.h5").fingerprint() == one.fingerprint()
    assert read(tmp_path / "a.h5", mode="colour").fingerprint() != one.fingerprint()
    changed = np.zeros((5, 3, 8, 8, 1), bool)
    assert read(write(tmp_path / "c.h5", changed)).fingerprint() != one.fingerprint()


def test_settings_that_came_later_leave_the_fingerprint_of_known_data_alone(tmp_path):
    path = write(tmp_path / "a.h5")
    settings = {
        "channels": 3,
        "colour_by": "id",
        "colours": 4,
        "frames": None,
        "mode": "stored",
        "palette_order": "bgr",
    }
    known = json.dumps([fingerprints.of_file(path), "test", settings], sort_keys=True)
    assert read(path).fingerprint() == hashlib.sha256(known.encode()).hexdigest()[:16]
    assert read(path, size=[4, 4]).fingerprint() != read(path).fingerprint()


def test_crop_size_and_records_are_those_of_every_reader(tmp_path):
    ids = np.arange(8 * 8).reshape(8, 8, 1) % 5 * np.ones((5, 3, 1, 1, 1), int)
    path = write(tmp_path / "a.h5", groups=ids)
    whole, part = read(path), read(path, test=[1, 3], crop=[2, 0, 4, 8], size=[2, 4])
    assert (len(part), part.facts.size) == (2, (2, 4))
    sample, full = part.sample(0, 1, 2), whole.sample(1, 1, 2)
    np.testing.assert_array_equal(sample.ids, full.ids[:, 3:6:2, 1::2])  # the pixel at the middle of two by two
    assert sample.frames.shape == (2, 3, 2, 4)
    with pytest.raises(InputError, match="no record"):
        read(path, test=[3, 3])


def test_workers_open_the_file_anew(tmp_path):
    source = read(write(tmp_path / "a.h5"))
    again = pickle.loads(pickle.dumps(source))
    assert np.array_equal(again.sample(2).frames, source.sample(2).frames)


def test_one_video_of_a_large_file_takes_little_memory(tmp_path):
    path = tmp_path / "large.h5"
    shape = (51, 5000, 64, 64, 1)  # 1 GB as bytes, 4 GB as floats; chunks that are never written take no space
    with h5py.File(path, "w") as file:
        for name in ("features", "groups"):
            file.create_dataset(f"test/{name}", shape, np.uint8, chunks=(51, 1, 64, 64, 1))
    tracemalloc.start()
    sample = read(path).sample(4321)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sample.frames.shape == (51, 3, 64, 64)
    assert peak < 32 * sample.ids.size


def test_real_file(shared_data):
    path = shared_data / REAL
    source = read(path)
    assert len(source) == 4
    assert source.facts.frames == 500
    assert source.facts.binary
    assert source.facts.max_objects == 4
    sample = source.sample(2, 100, 30)
    with h5py.File(path) as file:
        assert np.array_equal(sample.frames[:, 0] / 255, file["test/features"][100:130, 2, ..., 0])
        assert np.array_equal(sample.ids, file["test/groups"][100:130, 2, ..., 0])
    painted = read(path, mode="colour").sample(2, 100, 30).frames
    assert np.array_equal(painted.any(1), sample.ids > 0)
    with pytest.raises(InputError, match="training"):
        read(path, "train")


def test_generated_balls_look_like_the_real_ones(shared_data):
    """Areas of the two types and speed, measured the same way in both."""
    real = read(shared_data / REAL).sample(0, 0, 100).ids
    areas = [np.median((real == ball).sum((1, 2))) for ball in range(1, 5)]
    made = SOURCES.get("balls-binary")("test").make([0, 1, 2])
    typical = {
        radius: np.median([(made.ids[v] == b + 1).sum((1, 2)) for v, b in np.argwhere(made.radii == radius)])
        for radius in (0.8, 1.0)
    }
    for area in areas:
        assert min(abs(area - expected) for expected in typical.values()) < 4
