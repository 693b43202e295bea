"""Multi-view scenes: packaged, raw and Jaco files come back bit for bit, ids hold across views."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import pickle
import tracemalloc

import h5py
import numpy as np
import pytest
from PIL import Image

from scenewise.data import SOURCES
from scenewise.data.readers.mulmon import viewpoints
from scenewise.data.shards.writer import make, make_plan
from scenewise.errors import InputError
from scenewise.training.clips import Clips
from scenewise.training.recipe import TrainingPart

RNG = np.random.default_rng(0)
VIEWS, SIZE = 4, (8, 10)


def read(path, split="train", **settings):
    return SOURCES.get("mulmon")(split, path=str(path), **settings)


def scene(objects=3, size=SIZE):
    """Return images (V, H, W, 4), masks (V, H, W, 1 + N), ids (V, H, W) and the JSON entry; object 0 is away once."""
    images = RNG.integers(0, 256, (VIEWS, *size, 4)).astype(np.uint8)
    ids = RNG.integers(0, objects + 1, (VIEWS, *size))
    ids[2][ids[2] == 1] = 0
    orders = [RNG.permutation(objects).tolist() for _ in range(VIEWS)]
    if objects:
        orders[2] = [*(number for number in orders[2] if number), 0]  # hidden and farthest: its label is absent
    masks = np.zeros((VIEWS, *size, 1 + objects), np.uint8)
    for view, order in enumerate(orders):
        for rank, number in enumerate(order, 1):
            masks[view, ..., 0][ids[view] == number + 1] = rank
            masks[view, ..., 1 + number] = (ids[view] == number + 1) | (ids[view] == 0)
    entry = {
        "image_index": 0,
        "camera": {"location": (RNG.random((VIEWS, 3)) + 1).tolist()},
        "depth_orders": orders,
        "objects": [{"shape": "cube", "size": "large", "3d_coords": [1, 2, n]} for n in range(objects)],
    }
    return images, masks, ids, entry


def write_packed(folder, splits=("train", "test"), counts=(3, 0, 2), form="npz", size=SIZE, **changes):
    made = {}
    (folder / "data").mkdir()
    for split in splits:
        made[split], entries = [], []
        for number, objects in enumerate(counts):
            images, masks, ids, entry = scene(objects, size)
            arrays = {k: v for k, v in {"images": images, "masks": masks, **changes}.items() if v is not None}
            name = f"data/CLEVR_new_{split}{number}.npy"
            with (folder / name).open("wb") as file:
                if form == "npz":
                    np.savez(file, **arrays)
                else:
                    np.save(file, arrays, allow_pickle=True)
            entries.append({**entry, "data_path": name})
            made[split].append((images, masks, ids, entry))
        index = {"info": {}, "num_views": VIEWS, "shape_gallery": [], "scenes": entries}
        (folder / f"clevr_mv_{split}.json").write_text(json.dumps(index))
    return made


def write_raw(folder, counts=(3, 1, 2, 3), size=SIZE):
    made = []
    for name in ("images", "masks", "scenes"):
        (folder / name).mkdir()
    for number, objects in enumerate(counts):
        images, masks, ids, entry = scene(objects, size)
        images[..., 3] = 255
        stem = f"CLEVR_new_{number:06d}"
        for view in range(VIEWS):
            Image.fromarray(images[view]).save(folder / "images" / f"{stem}_{view:02d}.png")
            np.save(folder / "masks" / f"{stem}_{view:02d}.npy", masks[view])
        (folder / "scenes" / f"{stem}.json").write_text(json.dumps(entry))
        made.append((images, masks, ids, entry))
    return made


def check(source, index, images, masks, ids, entry):
    sample = source.sample(index)
    assert np.array_equal(sample.frames, np.moveaxis(images[..., :3], -1, 1))
    assert np.array_equal(sample.ids, ids)
    assert np.array_equal(sample.extras["cameras"], entry["camera"]["location"])
    assert sample.extras["count"] == len(entry["objects"])
    part = source.sample(index, 1, 2)
    assert np.array_equal(part.frames, sample.frames[1:3])
    assert np.array_equal(part.ids, ids[1:3])
    assert np.array_equal(part.extras["viewpoints"], sample.extras["viewpoints"][1:3])
    return sample


def test_packaged_scenes(tmp_path):
    made = write_packed(tmp_path)
    for split in ("train", "test"):
        for path in (tmp_path, tmp_path / f"clevr_mv_{split}.json"):
            source = read(path, split)
            assert (len(source), source.facts.frames, source.facts.size, source.facts.max_objects) == (3, 4, SIZE, 3)
            for index in range(3):
                check(source, index, *made[split][index])
    extras = read(tmp_path).sample(0).extras
    assert extras["shape"] == ["cube"] * 3
    assert extras["3d_coords"][2] == [1, 2, 2]
    with pytest.raises(InputError, match=r"\*_val\*\.json, or a folder .*; found clevr_mv_test\.json, clevr_mv_train"):
        read(tmp_path, "validation")
    with pytest.raises(InputError, match="is the train file; test was asked for"):
        read(tmp_path / "clevr_mv_train.json", "test")


def test_the_label_is_a_rank_and_the_id_is_not(tmp_path):
    """The trap: a label stands for another object in another view."""
    _images, masks, _ids, entry = write_packed(tmp_path)["train"][0]
    sample = read(tmp_path, silhouettes=True).sample(0)
    for view in range(VIEWS):
        for number in range(3):
            rank = entry["depth_orders"][view].index(number) + 1
            assert np.array_equal(sample.ids[view] == number + 1, masks[view, ..., 0] == rank)
            assert not (sample.ids[view] == number + 1)[~sample.extras["silhouettes"][view, number]].any()
    assert not np.array_equal(sample.ids, masks[..., 0])
    assert 1 not in sample.ids[2]


def test_viewpoints():
    found = viewpoints(np.array([[2.0, 0, 5], [0, 3, 5], [-3, -4, 1]]))
    assert np.allclose(found, [[0, 0, 0], [-1, 1, 0], [-1.6, -0.8, 0]])


def test_pickled_scenes_only_on_request(tmp_path):
    made = write_packed(tmp_path, form="pickle")
    with pytest.raises(InputError, match=r"may be a pickled mapping. Set allow_pickle=true if you trust"):
        read(tmp_path)
    check(read(tmp_path, allow_pickle=True), 2, *made["train"][2])


def test_raw_scenes(tmp_path):
    made = write_raw(tmp_path)
    source = read(tmp_path)
    assert len(source) == 3
    for index in range(3):
        check(source, index, *made[index])
    check(read(tmp_path, "test", train=[0, 2], test=[2, 4]), 1, *made[3])
    (tmp_path / "masks" / "CLEVR_new_000001_02.npy").unlink()
    with pytest.raises(InputError, match=r"CLEVR_new_000001_02\.npy: expected a file"):
        source.sample(1)
    for file in (tmp_path / "images").glob("CLEVR_new_000002_*"):
        file.unlink()
    with pytest.raises(InputError, match=r"expected images CLEVR_new_000002_00\.png and so on, found none"):
        source.sample(2)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"masks": None}, "expected masks, found images"),
        ({"images": None}, "expected images, found masks"),
        ({"images": np.zeros((VIEWS, *SIZE), np.uint8)}, r"images: expected shape .*found \(4, 8, 10\)"),
        ({"images": np.zeros((VIEWS, *SIZE, 3), np.float32)}, "images: expected whole numbers, found type float32"),
        ({"images": np.zeros((VIEWS, *SIZE, 1), np.uint8)}, "expected 3 or more channels"),
        (
            {"masks": np.zeros((VIEWS, 8, 9, 4), np.uint8)},
            r"masks: expected shape \(4, 8, 10, any\), found \(4, 8, 9, 4",
        ),
        ({"masks": np.zeros((VIEWS, *SIZE, 3), np.uint8)}, r"masks of 1 \+ 3 channels as the JSON file has objects"),
        ({"masks": np.full((VIEWS, *SIZE, 4), 9, np.uint8)}, "expected labels 0 to 3, found 9 to 9"),
    ],
)
def test_other_scene_files_are_refused(tmp_path, changes, says):
    write_packed(tmp_path, **changes)
    with pytest.raises(InputError, match=says):
        read(tmp_path).sample(0)


def test_json_files_that_do_not_fit(tmp_path):
    write_packed(tmp_path)
    place = tmp_path / "clevr_mv_train.json"
    whole = json.loads(place.read_text())

    def changed(**keys):
        return json.dumps({**whole, "scenes": [{**whole["scenes"][0], **keys}]})

    short = [order[:1] for order in whole["scenes"][0]["depth_orders"]]
    cases = [
        (place.read_text()[:500], "expected a JSON file of scenes"),
        (json.dumps({"scenes": []}), "expected a list of scenes"),
        (json.dumps({"scenes": [{"objects": []}]}), "scene 0: expected data_path, found objects"),
        (changed(data_path="data/absent.npy"), "absent.npy: expected a file"),
        (changed(camera={}), "expected a scene with camera.location"),
        (changed(depth_orders=[[0, 0, 1]] * VIEWS), "expected every object once, found .0, 0, 1"),
        (changed(depth_orders=short), "found 2 to|labels 0 to 1"),
        (changed(depth_orders=[[0, 1, 2]]), "4 images, 1 depth orders and 4 cameras"),
    ]
    for text, says in cases:
        place.write_text(text)
        with pytest.raises(InputError, match=says):
            read(tmp_path).sample(0)


def test_truncated_scene(tmp_path):
    write_packed(tmp_path)
    place = tmp_path / "data" / "CLEVR_new_train0.npy"
    place.write_bytes(place.read_bytes()[:300])
    with pytest.raises(InputError, match=r"CLEVR_new_train0\.npy: expected a scene file"):
        read(tmp_path)
    with pytest.raises(InputError, match="found no JSON file"):
        read(tmp_path / "data")


def test_crop_and_size_keep_ids_whole(tmp_path):
    ids = write_packed(tmp_path)["train"][0][2]
    sample = read(tmp_path, crop=[0, 2, 8, 8], size=[4, 4]).sample(0)
    assert np.array_equal(sample.ids, ids[:, 1::2, 3::2])
    assert sample.frames.shape == (VIEWS, 3, 4, 4)


def test_workers_and_fingerprint(tmp_path):
    made = write_packed(tmp_path)
    source = read(tmp_path)
    check(pickle.loads(pickle.dumps(source)), 2, *made["train"][2])
    assert source.fingerprint() != read(tmp_path, "test").fingerprint()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_jaco(tmp_path, dtype):
    images = RNG.integers(0, 2, (5, 3, 8, 8, 3)) * 255
    views = RNG.random((5, 3, 7)).astype(np.float32)
    with h5py.File(tmp_path / "gqn_jaco_train.h5", "w") as file:
        file["images"] = images.astype(dtype) if dtype == np.uint8 else (images / 255).astype(dtype)
        file["viewpoints"] = views
    source = read(tmp_path / "gqn_jaco_train.h5")
    assert (len(source), source.facts.frames, source.facts.has_ids) == (5, 3, False)
    sample = source.sample(4, 1, 2)
    assert np.array_equal(sample.frames, np.moveaxis(images[4, 1:3], -1, 1))
    assert sample.ids is None
    assert np.array_equal(sample.extras["viewpoints"], views[4, 1:3])
    with pytest.raises(InputError, match="is the train file"):
        read(tmp_path / "gqn_jaco_train.h5", "test")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["images"] = images.astype(np.uint8)
    with pytest.raises(InputError, match="expected array /viewpoints, found images"):
        read(tmp_path / "other.h5")


DECODING = {
    "packaged": ("scenewise.data.readers.mulmon.load_packaged", 1),
    "raw": ("scenewise.data.readers.mulmon.load_image", VIEWS),
    "jaco": ("scenewise.data.readers.mulmon.to_uint8", 1),
    "npy": ("scenewise.data.shards.npy.unpack", 1),
    "hdf5": ("scenewise.data.shards.hdf5.unpack", 1),
    "webdataset": ("scenewise.data.shards.webdataset.png_pixels", 2 * VIEWS),  # images and ids
}
"""What decodes images of a layout, and how often it is called for a scene."""


def of_layout(folder, layout):
    """Return three scenes of a layout; those that `data make` writes are made from packaged ones."""
    if layout == "raw":
        write_raw(folder)
        return read(folder, train=(0, 3))
    if layout == "jaco":
        with h5py.File(folder / "gqn_jaco_train.h5", "w") as file:
            file["images"] = RNG.random((3, VIEWS, *SIZE, 3)).astype(np.float32)
            file["viewpoints"] = RNG.random((3, VIEWS, 7)).astype(np.float32)
        return read(folder / "gqn_jaco_train.h5")
    write_packed(folder, counts=(3, 1, 2))
    if layout == "packaged":
        return read(folder)
    make(make_plan("mulmon", "train", {"path": str(folder)}, 3, layout, 2), folder / "made")
    return SOURCES.get("made")("train", path=str(folder / "made"))


@pytest.mark.parametrize("layout", DECODING)
def test_a_training_step_decodes_every_scene_once(tmp_path, monkeypatch, layout):
    source = of_layout(tmp_path, layout)
    known = [source.sample(index).extras["viewpoints"].astype(np.float32) for index in range(3)]
    (place, each), counted = DECODING[layout], []
    module, name = place.rsplit(".", 1)
    decode = getattr(importlib.import_module(module), name)
    monkeypatch.setattr(place, lambda *args: counted.append(name) or decode(*args))
    training = TrainingPart(steps=2, batch=3, curriculum=((0, VIEWS),))
    clip = Clips(source, training, {}, viewpoints=True)[1]
    assert counted == [name] * 3 * each
    np.testing.assert_array_equal(clip["viewpoints"].numpy(), [known[index] for index in clip["indices"]])
    for index in range(3):
        np.testing.assert_array_equal(source.viewpoints(index, 1, 2), known[index][1:3])
    assert len(counted) == 3 * each
    with pytest.raises(InputError, match=r"views|frames"):
        source.viewpoints(0, 1, VIEWS)


def peak_of(read_it):
    """Return what `read_it` returns and the most memory that was allocated meanwhile."""
    tracemalloc.start()
    found = read_it()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found, peak


@pytest.mark.parametrize("layout", ["packaged", "raw"])
def test_one_scene_of_a_large_set_takes_little_memory(tmp_path, layout):
    """1 GB of scenes that share the files of one, so that they take no space."""
    write, many = (write_packed, write_raw)[layout == "raw"], 400
    write(tmp_path, counts=(6,), size=(256, 256))
    if layout == "packaged":
        place = tmp_path / "clevr_mv_train.json"
        index = json.loads(place.read_text())
        place.write_text(json.dumps({**index, "scenes": index["scenes"] * many}))
        total = many * (tmp_path / "data" / "CLEVR_new_train0.npy").stat().st_size
    else:
        files = [path for path in tmp_path.rglob("CLEVR*") if path.is_file()]
        for path, number in itertools.product(files, range(1, many)):
            os.link(path, path.with_name(path.name.replace("_000000", f"_{number:06d}")))
        total = sum(path.stat().st_size for path in tmp_path.rglob("CLEVR*"))
    assert total > 1e9
    source = read(tmp_path)
    sample, peak = peak_of(lambda: source.sample(len(source) - 1))
    assert peak < 4 * (sample.frames.nbytes + sample.ids.nbytes)


def test_one_scene_of_many_takes_little_memory(tmp_path):
    with h5py.File(tmp_path / "jaco_train.h5", "w") as file:
        file.create_dataset("images", (8000, 11, 64, 64, 3), np.uint8, chunks=(1, 11, 64, 64, 3))
        file["viewpoints"] = np.zeros((8000, 11, 7), np.float32)
    sample, peak = peak_of(lambda: read(tmp_path / "jaco_train.h5").sample(7000))
    assert peak < 6 * sample.frames.nbytes


def test_raw_scenes_without_objects(tmp_path):
    made = write_raw(tmp_path, counts=(0, 2))
    source = read(tmp_path, train=(0, 2))
    check(source, 0, *made[0])
    assert not source.sample(0).ids.any()
    check(source, 1, *made[1])


def raw_changed(folder, view, change):
    """Change the mask of a view of the first raw scene."""
    place = folder / "masks" / f"CLEVR_new_000000_0{view}.npy"
    np.save(place, change(np.load(place)))


@pytest.mark.parametrize(
    ("view", "change", "says"),
    [
        (1, lambda mask: mask[..., 0], r"000000_01\.npy: expected masks \(H, W, 1 \+ N\), found \(8, 10\)"),
        (1, lambda mask: mask[:, :9], "000000.json: expected images and masks of one shape in all views"),
        (1, lambda mask: mask[..., :3], "000000.json: expected images and masks of one shape in all views"),
        (2, lambda mask: np.full_like(mask, 9), "expected labels 0 to 3, found 9 to 9"),
        (3, lambda mask: np.array([{}], object), "expected a plain npy array"),
    ],
)
def test_raw_masks_that_do_not_fit(tmp_path, view, change, says):
    write_raw(tmp_path)
    raw_changed(tmp_path, view, change)
    with pytest.raises(InputError, match=says):
        read(tmp_path).sample(0)


def test_damaged_raw_files(tmp_path):
    write_raw(tmp_path)
    for name in ("images/CLEVR_new_000001_02.png", "masks/CLEVR_new_000002_01.npy", "scenes/CLEVR_new_000003.json"):
        place = tmp_path / name
        place.write_bytes(place.read_bytes()[: place.stat().st_size // 2])
    source = read(tmp_path, train=(0, 3))
    for number, name in ((1, r"000001_02\.png"), (2, r"000002_01\.npy: expected a plain npy array")):
        with pytest.raises(InputError, match=name):
            source.sample(number)
    with pytest.raises(InputError, match=r"000003\.json: expected a JSON file of scenes"):
        read(tmp_path, "test", train=(0, 3), test=(3, 4))
    place = tmp_path / "scenes" / "CLEVR_new_000000.json"
    known = json.loads(place.read_text())
    del known["depth_orders"]
    place.write_text(json.dumps(known))
    with pytest.raises(InputError, match=r"000000\.json: expected a scene with camera.location, depth_orders"):
        read(tmp_path, train=(0, 3))
    (tmp_path / "images" / "CLEVR_new_000001_02.png").unlink()
    with pytest.raises(InputError, match="expected one each, found 2 images"):
        source.sample(1)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"images": None}, "expected array /images, found viewpoints"),
        ({"images": np.zeros((5, 3, 8, 8), np.uint8)}, r"images: expected shape .*found \(5, 3, 8, 8\)"),
        ({"viewpoints": np.zeros((5, 4, 7))}, r"viewpoints: expected shape \(5, 3, any\), found \(5, 4, 7\)"),
        ({"viewpoints": np.zeros((5, 3, 7), int)}, "viewpoints: expected floats"),
    ],
)
def test_other_jaco_files_are_refused(tmp_path, changes, says):
    arrays = {"images": np.zeros((5, 3, 8, 8, 3), np.uint8), "viewpoints": np.zeros((5, 3, 7)), **changes}
    with h5py.File(tmp_path / "gqn_jaco_train.h5", "w") as file:
        for name, values in arrays.items():
            if values is not None:
                file[name] = values
    with pytest.raises(InputError, match=says):
        read(tmp_path / "gqn_jaco_train.h5")


def test_a_truncated_jaco_file(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"] = np.zeros((5, 3, 8, 8, 3), np.uint8)
    content = (tmp_path / "a.h5").read_bytes()
    (tmp_path / "a.h5").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"a\.h5: expected an HDF5 file"):
        read(tmp_path / "a.h5")
