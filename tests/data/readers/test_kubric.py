"""Raw scenes of Kubric: palette and colour segmentations, JSON files, and what is refused."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from PIL import Image
from tests.processes import pool

from scenewise.data import SOURCES
from scenewise.errors import InputError
from scenewise.media import write_palette_png

SIZE, TIME = (12, 16), 4
COLOURS = np.array([[0, 0, 0], [255, 0, 81], [40, 255, 0], [40, 255, 1]], np.uint8)
NUMBERS = [0, 3, 1, 2]  # by value


def read(path, split="train", **settings):
    return SOURCES.get("kubric-folders")(split, path=str(path), **settings)


def ids_of(frame):
    """Object 1 is away in frame 0, nothing is to be seen in frame 3."""
    ids = np.zeros(SIZE, np.uint8)
    if frame != 3:
        ids[2:8, 1:7], ids[4:11, 8:15] = 2, 3
        ids[1:4, 4:10] = 1 if frame else 0
    return ids


def write_scene(folder, coloured=False):
    folder.mkdir(parents=True)
    for frame in range(TIME):
        rgba = np.full((*SIZE, 4), 255, np.uint8)
        rgba[..., :3] = np.random.default_rng(frame).integers(0, 256, (*SIZE, 3))
        Image.fromarray(rgba).save(folder / f"rgba_{frame:05d}.png")
        if coloured:
            Image.fromarray(COLOURS[ids_of(frame)]).save(folder / f"segmentation_{frame:05d}.png")
        else:
            write_palette_png(folder / f"segmentation_{frame:05d}.png", ids_of(frame))
        Image.fromarray(np.zeros(SIZE, np.float32)).save(folder / f"depth_{frame:05d}.tiff")
    (folder / "metadata.json").write_text(json.dumps({"instances": [{"mass": 1.5}]}))
    return folder


@pytest.fixture
def root(tmp_path):
    for number in (2, 10):
        write_scene(tmp_path / str(number), coloured=number == 10)
    return tmp_path


def test_scenes_bit_for_bit(root):
    source = read(root, train=[0, 2])
    assert (len(source), source.facts.size, source.facts.frames) == (2, SIZE, TIME)
    truth = np.stack([ids_of(frame) for frame in range(TIME)])
    for index, expected in enumerate((truth, np.array(NUMBERS)[truth])):
        sample = source.sample(index)
        for frame in range(TIME):
            pixels = np.random.default_rng(frame).integers(0, 256, (*SIZE, 3))
            assert np.array_equal(sample.frames[frame], np.moveaxis(pixels, -1, 0))
        assert np.array_equal(sample.ids, expected)
        assert sample.extras["video"] == ("2", "10")[index]
        assert sample.extras["metadata"]["instances"][0]["mass"] == 1.5
        assert np.array_equal(source.sample(index, 1, 2).ids, expected[1:3]), "a part knows the whole scene's colours"
    assert np.array_equal(read(root / "2").sample(0).ids, truth)
    assert read(root, masks=False).sample(0).ids is None
    small = read(root, train=[0, 2], crop=[0, 2, 12, 12], size=[6, 6]).sample(0)
    assert np.array_equal(small.ids, truth[:, 1::2, 3:14:2])


def test_split_folders(root):
    write_scene(root / "val" / "0")
    assert len(read(root, "validation")) == 1
    with pytest.raises(InputError, match="share records"):
        read(root, train=[0, 2], test=[1, 2])


def test_what_is_wrong_is_named(root, tmp_path_factory):
    (root / "2" / "segmentation_00001.png").unlink()
    with pytest.raises(InputError, match=r"expected segmentation_00001\.png, found none"):
        read(root).sample(0)
    content = (root / "10" / "rgba_00002.png").read_bytes()
    (root / "10" / "rgba_00002.png").write_bytes(content[:60])
    with pytest.raises(InputError, match=r"rgba_00002\.png"):
        read(root, train=[1, 2]).sample(0)
    (root / "10" / "metadata.json").write_text("{")
    with pytest.raises(InputError, match=r"metadata\.json: expected a JSON file"):
        read(root, train=[1, 2]).sample(0, 0, 1)
    write_palette_png(root / "10" / "segmentation_00003.png", ids_of(0))
    with pytest.raises(InputError, match="expected colours as in the scene's other"):
        read(root, train=[1, 2]).sample(0, 0, 1)
    empty = tmp_path_factory.mktemp("none")
    with pytest.raises(InputError, match=r"expected SCENE/rgba_00000\.png, found nothing"):
        read(empty)
    with pytest.raises(InputError, match="no such folder"):
        read(empty / "absent")


def _ids(source, index):
    return source.sample(index).ids


@pytest.mark.parametrize("method", ["fork", "fresh"])
def test_workers_read_the_same(root, method):
    source = read(root, train=[0, 2])
    with pool(method) as workers:
        found = workers.starmap(_ids, [(source, index) for index in range(2)])
    assert all(np.array_equal(ids, source.sample(index).ids) for index, ids in enumerate(found))
    assert pickle.loads(pickle.dumps(source)).fingerprint() == source.fingerprint()
