"""The Multi-Object Datasets: tiny files in each published layout come back bit for bit, others are refused."""

from __future__ import annotations

import importlib.util
import operator
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from tests.processes import pool

from scenewise.data import DESCRIPTIONS, SOURCES
from scenewise.data.readers.base import ids_from_masks
from scenewise.errors import InputError

spec = importlib.util.spec_from_file_location("tfrecord_writer", Path(__file__).parents[1] / "tfrecord_writer.py")
writer = importlib.util.module_from_spec(spec)
spec.loader.exec_module(writer)

# name: image, entities, whether masks are (H, W, E, 1), features of an entity, of them the bytes
SETS = {
    "multi-dsprites-binarized": ((64, 64, 1), 4, True, {"x": 1, "visibility": 1, "color": 1}, {}),
    "multi-dsprites-coloured": ((64, 64, 3), 5, True, {"x": 1, "visibility": 1, "color": 3}, {}),
    "objects-room": ((64, 64, 3), 7, False, {}, {}),
    "clevr": ((240, 320, 3), 11, False, {"x": 1, "visibility": 1, "pixel_coords": 3}, {"color": 1, "size": 1}),
    "tetrominoes": ((35, 35, 3), 4, False, {"x": 1, "visibility": 1, "color": 3}, {}),
}


def read(path, split="train", **settings):
    return SOURCES.get("multi-object-tfrecords")(split, path=str(path), **settings)


def scene(rng, name, objects=None):
    """Return image (H, W, C), ids (H, W) and the features of a record."""
    image, entities, last, floats, codes = SETS[name]
    there = entities - 1 if objects is None else objects
    ids = rng.integers(0, there + 1, image[:2])
    masks = (ids == np.arange(entities)[:, None, None]).astype(np.uint8)[..., None] * 255  # (E, H, W, 1)
    features = {
        "image": rng.integers(0, 256, image).astype(np.uint8),
        "mask": np.moveaxis(masks, 0, 2) if last else masks,
        **{key: rng.random((entities, width)).astype(np.float32) for key, width in floats.items()},
        **{key: rng.integers(0, 9, entities).astype(np.uint8) for key in codes},
    }
    if "visibility" in features:
        features["visibility"] = (np.arange(entities) <= there).astype(np.float32)
    return features["image"], ids, features


def write(path, name="tetrominoes", count=10, packed=True, objects=None, **changes):
    """Write a file; return the scenes in it."""
    rng = np.random.default_rng(1)
    objects = objects or [None] * count
    scenes = [scene(rng, name, wanted) for wanted in objects]
    payloads = []
    for _, _, features in scenes:
        features = {**features, **changes}
        payloads.append(writer.example({key: value for key, value in features.items() if value is not None}))
    writer.write(path, payloads, packed)
    return scenes


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("name", list(SETS))
def test_every_set_bit_for_bit(tmp_path, name, packed):
    scenes = write(tmp_path / "some.tfrecords", name, 3, packed)
    source = read(tmp_path / "some.tfrecords", train=[0, 3])
    image, entities, _, floats, codes = SETS[name]
    backgrounds = 4 if name == "objects-room" else 1
    assert source.variant == name
    assert (source.facts.channels, source.facts.size) == (image[2], image[:2])
    assert source.facts.max_objects == entities - backgrounds
    assert source.facts.background_ids == tuple(range(backgrounds))
    assert source.facts.binary == (name == "multi-dsprites-binarized")
    for index, (stored, ids, features) in enumerate(scenes):
        sample = source.sample(index)
        assert np.array_equal(sample.frames[0], np.moveaxis(stored, -1, 0))
        assert np.array_equal(sample.ids[0], ids)
        assert sample.ids.dtype == np.int64
        assert sample.extras["present"].all()
        for key, width in floats.items():
            rows = (entities, width) if key == "color" or width > 1 else (entities,)
            assert np.array_equal(sample.extras[key], features[key].reshape(rows))
        for key in codes:
            assert np.array_equal(sample.extras[key], features[key])


def test_absent_entities_and_empty_scenes(tmp_path):
    write(tmp_path / "a", objects=[0, 1, 3])
    source = read(tmp_path / "a", train=[0, 3])
    for index, objects in enumerate((0, 1, 3)):
        sample = source.sample(index)
        assert set(np.unique(sample.ids)) == set(range(objects + 1))
        assert sample.extras["present"].tolist() == [entity <= objects for entity in range(4)]


def test_pixels_without_an_entity_are_ignored(tmp_path):
    mask = np.zeros((4, 35, 35, 1), np.uint8)
    mask[0, 1:] = 255
    write(tmp_path / "a", count=1, mask=mask)
    ids = read(tmp_path / "a", train=[0, 1]).sample(0).ids
    assert (ids[0, 0] == -1).all()
    assert (ids[0, 1:] == 0).all()


def test_several_frames(tmp_path):
    rng = np.random.default_rng(0)
    video = rng.integers(0, 256, (5, 64, 64, 3)).astype(np.uint8)
    ids = rng.integers(0, 11, (5, 64, 64))
    masks = (ids[:, None] == np.arange(11)[:, None, None]).astype(np.uint8)[..., None] * 255
    writer.write(tmp_path / "cater_train", [writer.example({"image": video, "mask": masks})])
    source = read(tmp_path / "cater_train")
    assert (source.variant, source.facts.frames) == ("cater", 5)
    sample = source.sample(0, 2, 2)
    assert np.array_equal(sample.frames, np.moveaxis(video[2:4], -1, 1))
    assert np.array_equal(sample.ids, ids[2:4])


def test_only_scenes_with_some_objects(tmp_path):
    for name in ("tetrominoes", "objects-room"):
        write(tmp_path / name, name, objects=[3, 1, 2, 3, 0, 2] if name == "tetrominoes" else [6, 4, 5, 6, 3, 5])
        source = read(tmp_path / name, train=[0, 6], most_objects=2, fewest_objects=1)
        assert [source.sample(i).extras["record"] for i in range(len(source))] == [1, 2, 5]
        assert source.facts.max_objects == 2
        assert len(read(tmp_path / name, train=[3, 6], most_objects=2)) == 2
        with pytest.raises(InputError, match="no record of split train has 0 to 1 objects; they have 2 to 3"):
            read(tmp_path / name, train=[2, 4], most_objects=1)


def test_splits(tmp_path):
    write(tmp_path / "a")
    spans = {split: read(tmp_path / "a", split).records for split in ("train", "validation", "test")}
    assert spans == {"train": range(8), "validation": range(8, 9), "test": range(9, 10)}
    assert "records 0 to 7" in read(tmp_path / "a").facts.origin
    assert read(tmp_path / "a", "test", test=[2, 5], train=[5, 10]).records == range(2, 5)
    with pytest.raises(InputError, match=r"splits train \(0 to 7\) and test \(2 to 4\) share records"):
        read(tmp_path / "a", test=[2, 5])
    with pytest.raises(InputError, match="has records 4 to 10; the file has 10"):
        read(tmp_path / "a", train=[4, 11])
    assert len(read(tmp_path / "a", first_records=5)) == 4
    assert read(tmp_path / "a").fingerprint() != read(tmp_path / "a", "test").fingerprint()


def test_variants_for_testing_are_all_test(tmp_path):
    write(tmp_path / "objects_room_test_six.tfrecords", "objects-room", 4)
    assert len(read(tmp_path / "objects_room_test_six.tfrecords", "test")) == 4
    with pytest.raises(InputError, match="file of the test split by its name; train was asked for"):
        read(tmp_path / "objects_room_test_six.tfrecords")


def test_published_splits():
    from scenewise.data.readers.base import FilesConfig, split_records
    from scenewise.data.readers.multi_object import LAYOUTS

    for name, sizes in (("clevr", (70_000, 15_000, 15_000)), ("objects-room", (980_000, 10_000, 10_000))):
        layout = LAYOUTS[name]
        published = dict(zip(("train", "validation", "test"), layout.published, strict=True))
        spans = [split_records(FilesConfig("a"), split, layout.total, published) for split in published]
        assert tuple(len(span) for span in spans) == sizes
        assert len(set().union(*spans)) == layout.total


@pytest.mark.parametrize("packed", [True, False])
def test_crop_and_size_keep_ids_whole(tmp_path, packed):
    scenes = write(tmp_path / "a", "clevr", 2, packed)
    source = read(tmp_path / "a", train=[0, 2], crop=[29, 64, 192, 192], size=[128, 128])
    sample, ids = source.sample(1), scenes[1][1]
    assert source.facts.size == sample.ids.shape[1:] == sample.frames.shape[2:] == (128, 128)
    rows = 29 + ((np.arange(128) + 0.5) * 1.5).astype(int)
    columns = 64 + ((np.arange(128) + 0.5) * 1.5).astype(int)
    assert np.array_equal(sample.ids[0], ids[rows[:, None], columns])
    crop = read(tmp_path / "a", train=[0, 2], crop=[29, 64, 192, 192]).sample(1)
    assert np.array_equal(crop.frames[0], np.moveaxis(scenes[1][0][29:221, 64:256], -1, 0))
    with pytest.raises(InputError, match="outside"):
        read(tmp_path / "a", crop=[0, 0, 241, 320])


def test_scaling_keeps_a_flat_background(tmp_path):
    image = np.full((64, 64, 1), 255, np.uint8)
    masks = np.zeros((64, 64, 4, 1), np.uint8)
    masks[..., 0, :] = 255
    write(tmp_path / "a", "multi-dsprites-binarized", 2, image=image, mask=masks)
    sample = read(tmp_path / "a", size=[20, 24], channels=3).sample(0)
    assert sample.frames.shape == (1, 3, 20, 24)
    assert (sample.frames == 255).all()
    assert not sample.ids.any()


def test_a_wall_that_is_not_seen(tmp_path):
    ids = np.zeros((64, 64), int)
    ids[:, 40:], ids[:, 60:], ids[20:30, 20:30], ids[40:50, 20:30] = 1, 2, 3, 4
    mask = (ids == np.arange(7)[:, None, None]).astype(np.uint8)[..., None] * 255
    write(tmp_path / "a", "objects-room", 2, mask=mask)
    assert np.array_equal(read(tmp_path / "a").sample(0).ids[0], ids)
    sample = read(tmp_path / "a", repair_walls=True).sample(0)
    assert np.array_equal(sample.ids[0], np.where(ids > 2, ids + 1, ids))
    assert sample.extras["present"][:6].tolist() == [True, True, True, False, True, True]
    mask[3, 20:30, :20], mask[:3, 20:30, :20] = 255, 0
    write(tmp_path / "b", "objects-room", 2, mask=mask)
    assert set(np.unique(read(tmp_path / "b", repair_walls=True).sample(0).ids)) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize(
    ("changes", "settings", "says"),
    [
        ({"mask": None}, {}, "expected a feature 'mask', found color, image"),
        ({"image": None}, {}, "expected a feature 'image'"),
        ({"image": np.zeros(1000, np.uint8)}, {}, "found image of 1000 bytes"),
        ({"image": np.zeros(3675, np.float32)}, {}, "image: expected bytes, found floats"),
        ({"x": None}, {}, "expected one of .*tetrominoes.*; found image of 3675 bytes, features color, image, mask"),
        ({"mask": np.zeros(1000, np.uint8)}, {}, "expected a multiple of 1 x 35 x 35 bytes, found 1000"),
        ({}, {"variant": "clevr"}, "expected clevr; found image of 3675 bytes"),
        ({}, {"mask_axis": "last"}, "expected one entity per pixel, found several.*mask_axis=first"),
        ({"mask": np.full((4, 35, 35, 1), 255, np.uint8)}, {}, "found several. Is it a file of another set"),
    ],
)
def test_other_files_are_refused(tmp_path, changes, settings, says):
    write(tmp_path / "a", "tetrominoes", 3, **changes)
    with pytest.raises(InputError, match=says):
        read(tmp_path / "a", **settings)


def test_files_that_mix_sets(tmp_path):
    rng = np.random.default_rng(0)
    payloads = [writer.example(scene(rng, name)[2]) for name in ("tetrominoes", "clevr")]
    writer.write(tmp_path / "a", payloads)
    with pytest.raises(InputError, match="record 1: image: expected 3675 bytes as in the first record, found 230400"):
        read(tmp_path / "a", train=[0, 2]).sample(1)


@pytest.mark.parametrize("method", ["fork", "fresh"])
@pytest.mark.parametrize("packed", [True, False])
def test_workers_read_the_same(tmp_path, method, packed):
    write(tmp_path / "a", packed=packed)
    source = read(tmp_path / "a")
    expected = [source.sample(index) for index in range(8)]
    order = [7, 2, 5, 0, 1, 3, 6, 4]
    with pool(method) as workers:
        waiting = [workers.apply_async(operator.methodcaller("sample", index), (source,)) for index in order]
        for index, result in zip(order, waiting, strict=True):
            sample = result.get(120)
            assert np.array_equal(sample.frames, expected[index].frames)
            assert np.array_equal(sample.ids, expected[index].ids)
            assert sample.extras["record"] == index


def test_one_sample_of_a_large_file_takes_little_memory(tmp_path):
    payload = writer.example(scene(np.random.default_rng(0), "clevr")[2])
    head = len(payload).to_bytes(8, "little") + bytes(4)
    with (tmp_path / "large").open("wb") as file:  # 1 GB; what is never written takes no space
        for record in range(320):
            file.seek(record * (len(payload) + 16))
            file.write(head + payload if record in (0, 300) else head)
        file.truncate(320 * (len(payload) + 16))
    assert (tmp_path / "large").stat().st_size > 1e9
    tracemalloc.start()
    sample = read(tmp_path / "large", train=[0, 320]).sample(300)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sample.ids.max() == 10
    assert peak < 3 * len(payload)


def test_a_gzip_file_is_copied_in_little_memory(tmp_path):
    payload = writer.example(scene(np.random.default_rng(0), "clevr", 0)[2])
    writer.write(tmp_path / "a", [payload] * 12)
    tracemalloc.start()
    read(tmp_path / "a").sample(3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * len(payload)


def test_real_file(shared_data, tmp_path):
    path = shared_data / "tetrominoes" / "tetrominoes_mini.tfrecords"
    source = read(path, cache=str(tmp_path), train=[0, 10], check_crc=True)
    assert source.variant == "tetrominoes"
    for index in range(10):
        sample = source.sample(index)
        assert np.bincount(sample.ids.ravel()).tolist() == [925, 100, 100, 100]
        assert sample.frames.max() == 255
        assert not sample.frames[0][:, sample.ids[0] == 0].any()
        for entity in range(1, 4):
            rows, columns = np.nonzero(sample.ids[0] == entity)
            assert rows.min() == sample.extras["x"][entity]
            assert columns.min() == sample.extras["y"][entity]
            colour = sample.frames[0][:, rows, columns].max(1)
            assert np.array_equal(colour == 255, sample.extras["color"][entity] == 1)
    assert "multi_object_datasets" in DESCRIPTIONS["multi-object-tfrecords"].obtain


@pytest.mark.parametrize("packed", [True, False])
def test_truncated_files(tmp_path, packed):
    write(tmp_path / "a.tfrecords", packed=packed)
    content = (tmp_path / "a.tfrecords").read_bytes()
    (tmp_path / "a.tfrecords").write_bytes(content[: len(content) // 2 + 9])  # not between two records
    with pytest.raises(InputError, match=r"a\.tfrecords.*incomplete"):
        read(tmp_path / "a.tfrecords")


@pytest.mark.parametrize("bright", [1, 255])
def test_a_pixel_belongs_to_the_first_of_the_brightest_masks(bright):
    masks = np.random.default_rng(0).choice(np.array([0, 0, bright, bright // 2], np.uint8), (2, 5, 8, 6))
    expected = np.where(masks.max(1) > (127 if bright > 1 else 0), masks.argmax(1), -1)
    ids = ids_from_masks(masks)
    assert ids.dtype == np.int64
    np.testing.assert_array_equal(ids, expected)
