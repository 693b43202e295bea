"""Converted Multi-Object Datasets: the three layouts come back bit for bit, others are refused."""

from __future__ import annotations

import pickle
import tracemalloc

import h5py
import numpy as np
import pytest

from scenewise.data import SOURCES
from scenewise.errors import InputError

RNG = np.random.default_rng(0)


def read(path, split="train", **settings):
    return SOURCES.get("multi-object-hdf5")(split, path=str(path), **settings)


def scenes(count=4, size=(12, 16), entities=4):
    images = RNG.integers(0, 256, (count, *size, 3)).astype(np.uint8)
    ids = RNG.integers(0, entities, (count, *size))
    return images, ids, (ids[:, None] == np.arange(entities)[:, None, None]).astype(np.uint8)[..., None] * 255


def write_morl(path, dtype=np.uint8, scale=1, groups=("train", "val", "test"), **changes):
    made = {}
    with h5py.File(path, "w") as file:
        for group in groups:
            images, _ids, masks = made[group] = scenes()
            arrays = {"imgs": images.astype(dtype), "masks": (masks // scale).astype(dtype), "factors": np.ones((4, 5))}
            for name, values in {**arrays, **changes}.items():
                if values is not None:
                    file[f"{group}/{name}"] = values
    return made


def write_library(path, count=10, **changes):
    images, ids, _ = scenes(count)
    arrays = {
        "image": images,
        "mask": ids[..., None].astype(np.uint8),
        "num_actual_objects": np.full((count, 1), 3),
        "visibility": np.ones((count, 6), np.float32),
        "x": np.arange(count * 6).reshape(count, 6),
    }
    with h5py.File(path, "w") as file:
        for name, values in {**arrays, **changes}.items():
            if values is not None:
                file[name] = values
    return images, ids


def write_genesis(folder, kind="_unique", splits=("training", "validation", "test")):
    made = {}
    for split in splits:
        images, ids, _ = made[split] = scenes(3)
        np.save(folder / f"{split}_images_rand4{kind}.npy", images)
        np.save(folder / f"{split}_masks_rand4{kind}.npy", ids[..., None].astype(np.uint8))
    return made


def check(source, index, image, ids):
    sample = source.sample(index)
    assert np.array_equal(sample.frames[0], np.moveaxis(image, -1, 0))
    assert np.array_equal(sample.ids[0], ids)
    assert (sample.frames.dtype, sample.ids.dtype) == (np.uint8, np.int64)
    return sample


@pytest.mark.parametrize(("dtype", "scale"), [(np.uint8, 1), (np.float32, 1), (np.float32, 255), (np.uint8, 255)])
def test_efficient_morl(tmp_path, dtype, scale):
    made = write_morl(tmp_path / "clevr6_train.h5", dtype, scale)
    for split, group in (("train", "train"), ("validation", "val"), ("test", "test")):
        source = read(tmp_path / "clevr6_train.h5", split)
        assert (len(source), source.facts.max_objects, source.facts.size) == (4, 3, (12, 16))
        for index in range(4):
            sample = check(source, index, made[group][0][index], made[group][1][index])
        assert sample.extras["factors"].tolist() == [1] * 5


def test_object_centric_library(tmp_path):
    images, ids = write_library(tmp_path / "clevr_10-full.hdf5")
    place = 0
    for split, count in (("train", 8), ("validation", 1), ("test", 1)):
        source = read(tmp_path / "clevr_10-full.hdf5", split)
        assert (len(source), source.facts.max_objects) == (count, 5)
        for index in range(count):
            sample = check(source, index, images[place], ids[place])
            assert sample.extras["x"].tolist() == list(range(place * 6, place * 6 + 6))
            place += 1


def test_objects_room_has_four_backgrounds(tmp_path):
    write_library(tmp_path / "objects_room_train-full.hdf5")
    facts = read(tmp_path / "objects_room_train-full.hdf5").facts
    assert facts.background_ids == (0, 1, 2, 3)
    assert facts.max_objects == 2


def test_objects_without_visibility_are_counted(tmp_path):
    write_library(tmp_path / "a.h5", visibility=None)
    assert read(tmp_path / "a.h5").facts.max_objects == 3


def test_published_split_of_the_library(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, channels in (("image", 3), ("mask", 1)):
            file.create_dataset(name, (100_000, 8, 8, channels), np.uint8, chunks=(1, 8, 8, channels))
    spans = [read(tmp_path / "a.h5", split).records for split in ("train", "validation", "test")]
    assert spans == [range(90_000), range(90_000, 95_000), range(95_000, 100_000)]


@pytest.mark.parametrize("kind", ["", "_unique"])
def test_genesis_folder(tmp_path, kind):
    made = write_genesis(tmp_path, kind)
    for split, name in (("train", "training"), ("validation", "validation"), ("test", "test")):
        source = read(tmp_path, split)
        assert len(source) == 3
        check(source, 2, made[name][0][2], made[name][1][2])
    check(read(tmp_path / f"test_images_rand4{kind}.npy", "test"), 1, made["test"][0][1], made["test"][1][1])


def test_masks_are_named_or_found(tmp_path):
    images, ids, _ = scenes()
    np.save(tmp_path / "a.npy", images)
    np.save(tmp_path / "b.npy", ids[..., None])
    with pytest.raises(InputError, match="needs masks"):
        read(tmp_path / "a.npy")
    source = read(tmp_path / "a.npy", masks=str(tmp_path / "b.npy"))
    check(source, 3, images[3], ids[3])
    before = source.fingerprint()
    np.save(tmp_path / "b.npy", ids[..., None] + 1)
    assert read(tmp_path / "a.npy", masks=str(tmp_path / "b.npy")).fingerprint() != before


def test_genesis_folder_that_is_not_whole(tmp_path):
    write_genesis(tmp_path, splits=("training",))
    with pytest.raises(InputError, match=r"expected one test_images_rand4\*\.npy; of npy files it has training"):
        read(tmp_path, "test")
    np.save(tmp_path / "training_masks_rand4_unique.npy", np.zeros((3, 12, 15, 1), np.uint8))
    with pytest.raises(InputError, match=r"masks: expected shape \(3, 12, 16, 1\), found \(3, 12, 15, 1\)"):
        read(tmp_path)
    (tmp_path / "training_masks_rand4_unique.npy").unlink()
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path)
    content = (tmp_path / "training_images_rand4_unique.npy").read_bytes()
    np.save(tmp_path / "training_masks_rand4_unique.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(InputError, match="pickled objects are never loaded"):
        read(tmp_path)
    (tmp_path / "training_images_rand4_unique.npy").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="plain npy array"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"imgs": None}, "expected array /train/imgs, found factors, masks"),
        ({"masks": None}, "expected array /train/masks"),
        ({"imgs": np.zeros((4, 12, 16), np.uint8)}, r"imgs: expected shape .*found \(4, 12, 16\)"),
        ({"imgs": np.zeros((0, 12, 16, 3), np.uint8)}, "imgs: expected shape"),
        ({"imgs": np.zeros((4, 3, 12, 16), np.uint8)}, "expected 1 or 3 channels last"),
        ({"imgs": np.zeros((4, 12, 16, 3), "S1")}, "imgs: expected whole numbers or floats, found type"),
        (
            {"masks": np.zeros((4, 4, 12, 15, 1))},
            r"masks: expected shape \(4, any, 12, 16, 1\), found \(4, 4, 12, 15, 1",
        ),
    ],
)
def test_other_layouts_are_refused(tmp_path, changes, says):
    write_morl(tmp_path / "a.h5", **changes)
    with pytest.raises(InputError, match=says):
        read(tmp_path / "a.h5")


def test_missing_truncated_and_foreign_files(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "absent.h5")
    with pytest.raises(InputError, match="path: is not given"):
        read("")
    write_morl(tmp_path / "a.h5", groups=("train",))
    with pytest.raises(InputError, match="expected group 'test', found train"):
        read(tmp_path / "a.h5", "test")
    whole = (tmp_path / "a.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut.h5"):
        read(tmp_path / "cut.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["training/features"] = np.zeros(3)
    with pytest.raises(InputError, match=r"expected EfficientMORL.*found training"):
        read(tmp_path / "other.h5")
    write_morl(tmp_path / "b.h5", np.float32, imgs=np.full((4, 12, 16, 3), 300.0))
    with pytest.raises(InputError, match="record 0: expected values from 0 to 255, found 300"):
        read(tmp_path / "b.h5").sample(0)


def test_crop_and_size_keep_ids_whole(tmp_path):
    _images, ids = write_library(tmp_path / "a.h5")
    sample = read(tmp_path / "a.h5", crop=[2, 4, 8, 12], size=[4, 6]).sample(3)
    assert np.array_equal(sample.ids[0], ids[3][3:10:2, 5:16:2])
    assert sample.frames.shape == (1, 3, 4, 6)


def test_workers_open_the_file_anew(tmp_path):
    images, ids = write_library(tmp_path / "a.h5")
    source = read(tmp_path / "a.h5")
    source.sample(0)
    check(pickle.loads(pickle.dumps(source)), 5, images[5], ids[5])


def test_one_sample_of_a_large_file_takes_little_memory(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, shape in (("imgs", (1200, 240, 320, 3)), ("masks", (1200, 11, 240, 320, 1))):
            file.create_dataset(f"train/{name}", shape, np.uint8, chunks=(1, *shape[1:]))
    tracemalloc.start()
    read(tmp_path / "a.h5").sample(1100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 240 * 320 * 14


def test_scenes_without_objects(tmp_path):
    nothing = np.zeros((4, 4, 12, 16, 1), np.uint8)
    nothing[:, 0] = 255
    write_morl(tmp_path / "morl.h5", masks=nothing)
    write_library(tmp_path / "library.h5", mask=np.zeros((10, 12, 16, 1), np.uint8), visibility=None)
    for name in ("morl", "library"):
        sample = read(tmp_path / f"{name}.h5").sample(0)
        assert sample.ids.shape == (1, 12, 16)
        assert not sample.ids.any()


def test_fields_that_a_file_may_lack(tmp_path):
    images, ids = write_library(tmp_path / "a.h5", num_actual_objects=None, visibility=None, x=None)
    sample = check(read(tmp_path / "a.h5"), 1, images[1], ids[1])
    assert set(sample.extras) == {"record"}
    made = write_morl(tmp_path / "b.h5", factors=None)
    assert "factors" not in check(read(tmp_path / "b.h5"), 1, made["train"][0][1], made["train"][1][1]).extras


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"mask": None}, "expected .*mask"),
        ({"mask": np.zeros((10, 12, 16), np.uint8)}, r"mask: expected shape .*found \(10, 12, 16\)"),
        ({"mask": np.zeros((9, 12, 16, 1), np.uint8)}, r"mask: expected shape \(10, .*found \(9, 12, 16, 1\)"),
        ({"image": np.zeros((10, 12, 16), np.uint8)}, r"image: expected shape .*found \(10, 12, 16\)"),
    ],
)
def test_other_files_of_the_library_are_refused(tmp_path, changes, says):
    write_library(tmp_path / "a.h5", **changes)
    with pytest.raises(InputError, match=says):
        read(tmp_path / "a.h5")
