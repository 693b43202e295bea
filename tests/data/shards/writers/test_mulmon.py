"""Generated scenes in MulMON's layout: what is read back is what was made."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from scenewise.data import SOURCES
from scenewise.data.contract import Facts, Sample
from scenewise.data.shards.writers.mulmon import packed, write_mulmon, write_mulmon_raw
from scenewise.errors import InputError


def made_by_hand():
    """Return two views of two objects, of which the first is nearer in one view and hidden in the other."""
    ids = np.zeros((2, 4, 4), int)
    ids[0, :2], ids[0, 2:, :2], ids[1] = 1, 2, 2
    amodal = np.zeros((2, 2, 4, 4), bool)
    amodal[:, 0, :2], amodal[0, 1, 2:], amodal[1, 1] = True, True, True
    extras = {
        "shape": np.array(["cube", "duck"]),
        "size": np.array(["large", "small"]),
        "material": np.array(["metal", "rubber"]),
        "colour": np.array(["red", "blue"]),
        "positions": np.arange(6.0).reshape(2, 3),
        "rotation": np.array([np.pi, 0.0]),
        "camera": np.ones((2, 3)),
        "pixel_coords": np.array([[[1, 1, 5.0], [2, 2, 7.0]], [[1, 1, 9.0], [2, 2, 4.0]]]),
        "amodal": amodal,
    }
    return Sample(np.zeros((2, 3, 4, 4), np.uint8), ids, extras)


def test_labels_are_ranks_by_nearness_and_silhouettes_keep_the_order_of_objects():
    sample = made_by_hand()
    images, masks, scene = packed(sample)
    assert images.shape == (2, 4, 4, 3)
    assert scene["depth_orders"] == [[0, 1], [1, 0]]
    np.testing.assert_array_equal(masks[0, ..., 0], sample.ids[0])  # object 1 is nearest
    np.testing.assert_array_equal(masks[1, ..., 0], 1)  # object 2 is, and object 1 is hidden
    np.testing.assert_array_equal(np.moveaxis(masks[..., 1:], 3, 1), sample.extras["amodal"])
    assert scene["objects"][0]["bbox"] == [0, 0, 4, 2]
    assert scene["objects"][0]["rotation"] == pytest.approx(180)


@pytest.mark.parametrize("layout", ["packaged", "raw"])
@pytest.mark.parametrize("name", ["cle-mv", "dolphin"])
def test_what_is_read_back_is_what_was_made(tmp_path, name, layout):
    pytest.importorskip("mujoco", reason="needs mujoco: pip install 'scenewise[scenes3d]'")
    source = SOURCES.get(name)("train", seed=4, size=32, frames=4)
    told = []
    write = write_mulmon if layout == "packaged" else write_mulmon_raw
    path = write(source, tmp_path, "train", [0, 5], progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]
    back = SOURCES.get("mulmon")("train", path=str(tmp_path), train=(0, 2), silhouettes=True)
    assert len(back) == 2
    assert path == (tmp_path / "clevr_mv_train.json" if layout == "packaged" else tmp_path)
    for row, index in enumerate((0, 5)):
        made, read = source.sample(index), back.sample(row)
        np.testing.assert_array_equal(read.frames, made.frames)
        np.testing.assert_array_equal(read.ids, made.ids)
        np.testing.assert_array_equal(read.extras["silhouettes"], made.extras["amodal"])
        np.testing.assert_array_equal(read.extras["cameras"], made.extras["camera"])
        np.testing.assert_allclose(read.extras["viewpoints"], made.extras["viewpoints"])
        np.testing.assert_array_equal(read.extras["3d_coords"], made.extras["positions"])
        np.testing.assert_allclose(np.deg2rad(read.extras["rotation"]), made.extras["rotation"])
        for ours, theirs in (("shape",) * 2, ("size",) * 2, ("material",) * 2, ("colour", "color")):
            assert read.extras[theirs] == made.extras[ours].tolist()
    scene = (
        json.loads(path.read_text())["scenes"][0]
        if layout == "packaged"
        else json.loads((tmp_path / "scenes" / "CLEVR_new_000000.json").read_text())
    )
    orders = scene["depth_orders"]
    assert len({tuple(order) for order in orders}) > 1  # labels do change from view to view


class ByHand:
    """As much of a source as the writers need."""

    facts = Facts(3, (4, 4), 2, 2)

    def sample(self, index):
        return made_by_hand()


def test_raw_files_have_the_names_and_arrays_of_the_generator(tmp_path):
    write_mulmon_raw(ByHand(), tmp_path, "test", [3, 4])
    names = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    views = [f"CLEVR_new_00000{scene}_0{view}" for scene in (0, 1) for view in (0, 1)]
    assert names == [
        *(f"images/{view}.png" for view in views),
        *(f"masks/{view}.npy" for view in views),
        *(f"scenes/CLEVR_new_00000{scene}.json" for scene in (0, 1)),
    ]
    images, masks, scene = packed(made_by_hand(), "test", 1)
    for view in range(2):
        np.testing.assert_array_equal(np.load(tmp_path / f"masks/CLEVR_new_000001_0{view}.npy"), masks[view])
        with Image.open(tmp_path / f"images/CLEVR_new_000001_0{view}.png") as image:
            np.testing.assert_array_equal(np.asarray(image), images[view])
    assert json.loads((tmp_path / "scenes/CLEVR_new_000001.json").read_text()) == scene
    assert {"split", "image_index", "image_filename", "camera", "depth_orders", "objects"} == set(scene)


def test_scenes_that_are_there_are_replaced_only_on_request(tmp_path):
    write_mulmon_raw(ByHand(), tmp_path / "raw", "train", [0])
    with pytest.raises(InputError, match="scenes: is there already"):
        write_mulmon_raw(ByHand(), tmp_path / "raw", "train", [0])
    path = write_mulmon(ByHand(), tmp_path, "train", [0, 1])
    with pytest.raises(InputError, match=r"clevr_mv_train\.json: is there already"):
        write_mulmon(ByHand(), tmp_path, "train", [0])
    write_mulmon(ByHand(), tmp_path, "test", [0])
    write_mulmon(ByHand(), tmp_path, "train", [0], overwrite=True)
    assert len(json.loads(path.read_text())["scenes"]) == 1
    assert len(list((tmp_path / "data").iterdir())) == 2


def test_what_cannot_be_written_is_refused(tmp_path):
    sample = made_by_hand()
    known = {key: value for key, value in sample.extras.items() if key != "camera"}
    with pytest.raises(InputError, match="does not know camera"):
        packed(dataclasses.replace(sample, extras=known))
    with pytest.raises(InputError, match="names no scene"):
        write_mulmon(None, tmp_path, "train", [])
    with pytest.raises(InputError, match="does not know shape"):
        write_mulmon(SOURCES.get("shapes")("train"), tmp_path, "train", [0])
    assert not list(tmp_path.iterdir())
