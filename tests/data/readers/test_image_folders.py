"""Image folders: masks as ids, colours, arrays, or one image per entity, and what is refused."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from PIL import Image
from tests.processes import pool

from scenewise.data import SOURCES
from scenewise.errors import InputError
from scenewise.media import write_palette_png

SIZE = (12, 16)
COLOURS = np.array([[64, 64, 64], [9, 200, 3], [9, 200, 4], [250, 0, 0]], np.uint8)


def read(path, split="train", **settings):
    return SOURCES.get("image-folders")(split, path=str(path), **settings)


def ids_of(number):
    """Image 2 is empty, image 3 has one object."""
    ids = np.zeros(SIZE, np.uint8)
    if number != 2:
        ids[1:5, 2:9] = 1
    if number not in (2, 3):
        ids[4:10, 6:13], ids[0, 15] = 2, 3
    return ids


def pixels(number):
    return np.random.default_rng(number).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def save(file, array):
    file.parent.mkdir(parents=True, exist_ok=True)
    np.save(file, array) if file.suffix == ".npy" else Image.fromarray(array).save(file)


def one_hot(ids):
    return np.stack([ids == number for number in range(4)])


@pytest.fixture
def root(tmp_path):
    for number in range(12):
        save(tmp_path / "images" / f"{number}.png", pixels(number))
    return tmp_path


@pytest.mark.parametrize(
    "form", ["colours", "palette", "grey", "ids.npy", "entities.npy", "entities last.npy", "b.npy"]
)
def test_every_kind_of_mask(root, form):
    for number in range(12):
        ids, place = ids_of(number), root / "masks" / f"{number}{'.npy' if 'npy' in form else '.png'}"
        if form == "colours":
            save(place, COLOURS[ids])
        elif form == "palette":
            place.parent.mkdir(exist_ok=True)
            write_palette_png(place, ids)
        elif form in ("grey", "ids.npy"):
            save(place, ids)
        else:
            masks = one_hot(ids) * np.uint8(255) if form != "b.npy" else one_hot(ids)[..., None]
            save(place, np.moveaxis(masks, 0, -1) if "last" in form else masks)
    source = read(root, train=[0, 12])
    assert (len(source), source.facts.size, source.facts.frames) == (12, SIZE, 1)
    for number in range(12):
        sample = source.sample(number)
        assert sample.extras["image"] == f"{number}.png", "10 comes after 9"
        assert np.array_equal(sample.frames[0], np.moveaxis(pixels(number), -1, 0))
        assert np.array_equal(sample.ids[0], ids_of(number))
        assert sample.ids.dtype == np.int64


@pytest.mark.parametrize("together", [True, False])
def test_one_image_per_entity(tmp_path, together):
    for number in range(3):
        save(tmp_path / ("" if together else "images") / f"CLEVR_image_{number}.png", pixels(number))
        for entity, mask in enumerate(one_hot(ids_of(number))):
            place = tmp_path / ("" if together else "masks") / f"CLEVR_mask_{number}_{entity}.png"
            save(place, mask * np.uint8(255))
    source = read(tmp_path, train=[0, 3])
    assert len(source) == 3
    for number in range(3):
        assert np.array_equal(source.sample(number).ids[0], ids_of(number))


def test_splits_swapped_channels_and_no_masks(root):
    sources = [read(root, split, masks=None) for split in ("train", "validation", "test")]
    names = [source.sample(i).extras["image"] for source in sources for i in range(len(source))]
    assert len(set(names)) == len(names) == 12
    assert not sources[0].facts.has_ids
    assert sources[0].sample(0).ids is None
    swapped = read(root, masks=None, channel_order="bgr").sample(1).frames[0]
    assert np.array_equal(swapped, np.moveaxis(pixels(1), -1, 0)[::-1])
    save(root / "val" / "images" / "x.png", pixels(0))
    assert read(root, "validation", masks=None).sample(0).extras["image"] == "x.png"


def test_crop_and_size_keep_ids_whole(root):
    for number in range(12):
        save(root / "masks" / f"{number}.png", COLOURS[ids_of(number)])
    sample = read(root, crop=[0, 2, 12, 12], size=[6, 6]).sample(0)
    assert sample.frames.shape == (1, 3, 6, 6)
    assert np.array_equal(sample.ids[0], ids_of(0)[1::2, 3:14:2])


def test_what_is_wrong_is_named(root):
    with pytest.raises(InputError, match="expected folder masks, found images"):
        read(root)
    with pytest.raises(InputError, match="no such folder"):
        read(root / "absent")
    (root / "void").mkdir()
    with pytest.raises(InputError, match="expected images in images, found nothing"):
        read(root / "void")
    save(root / "masks" / "0.png", COLOURS[ids_of(0)])
    with pytest.raises(InputError, match=r"expected a mask of 1\.png"):
        read(root).sample(1)
    with pytest.raises(InputError, match=r"expected the background \(1, 2, 3\), found colours \(9, 200, 3\)"):
        read(root, background=[1, 2, 3]).sample(0)
    save(root / "masks" / "0.png", np.zeros((4, 4), np.uint8))
    with pytest.raises(InputError, match=r"0\.png: expected masks of height and width \(12, 16\)"):
        read(root).sample(0)
    save(root / "masks" / "1.npy", np.zeros(SIZE))
    with pytest.raises(InputError, match=r"1\.npy: expected whole numbers .* found float64"):
        read(root).sample(1)
    save(root / "masks" / "2.npy", np.array([{}], object))
    with pytest.raises(InputError, match="without pickled objects"):
        read(root).sample(2)
    save(root / "masks" / "3.png", np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8))
    save(root / "images" / "3.png", np.zeros((40, 40, 3), np.uint8))
    save(root / "masks" / "3.png", np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    with pytest.raises(InputError, match=r"3\.png: expected height and width \(12, 16\)"):
        read(root).sample(3)
    with pytest.raises(InputError, match="one colour per object, found 1"):
        read(root, size=[8, 8]).sample(3)
    content = (root / "images" / "4.png").read_bytes()
    (root / "images" / "4.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"4\.png"):
        read(root).sample(4)


def _ids(source, index):
    return source.sample(index).ids


@pytest.mark.parametrize("method", ["fork", "fresh"])
def test_workers_read_the_same(root, method):
    for number in range(12):
        save(root / "masks" / f"{number}.png", COLOURS[ids_of(number)])
    source = read(root)
    with pool(method) as workers:
        found = workers.starmap(_ids, [(source, index) for index in range(4)])
    assert all(np.array_equal(ids[0], ids_of(number)) for number, ids in enumerate(found))
    before = source.fingerprint()
    assert pickle.loads(pickle.dumps(source)).fingerprint() == before
    save(root / "masks" / "0.png", COLOURS[ids_of(2)])
    assert read(root).fingerprint() != before
