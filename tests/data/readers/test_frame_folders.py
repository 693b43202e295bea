"""Frame folders: PROVIDE's PNG trees and whatever else a user keeps in folders."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from PIL import Image

from scenewise.data import SOURCES
from scenewise.data.fingerprints import of_file
from scenewise.data.generated.balls.world import PALETTE, paint
from scenewise.data.readers.frame_folders import clean_mask, read_id_map
from scenewise.errors import InputError


def read(path, split="test", **settings):
    return SOURCES.get("folders")(split, path=str(path), **settings)


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


@pytest.fixture
def tree(tmp_path):
    """PROVIDE's layout: bb_color and bb_binary as test sets of 3 videos, with id maps; returns (folder, source)."""
    source = SOURCES.get("balls-colour")("test", frames=12, size=32)
    for video in range(3):
        sample = source.sample(video)
        for frame in range(12):
            save(tmp_path / "bb_color" / "test" / str(video) / f"{frame}.png", np.moveaxis(sample.frames[frame], 0, -1))
            binary = (sample.ids[frame] > 0).astype(np.uint8) * 255
            save(tmp_path / "bb_binary" / "test" / str(video) / f"{frame}.png", binary)
            save(tmp_path / "ids" / "test" / str(video) / f"{frame}.png", sample.ids[frame].astype(np.uint8))
    return tmp_path, source


def test_provide_tree_bit_for_bit_in_numeric_order(tree):
    root, made = tree
    source = read(root / "bb_color", masks=str(root / "ids"))
    assert len(source) == 3
    assert (source.facts.frames, source.facts.size) == (12, (32, 32))
    for index in range(3):
        expected, sample = made.sample(index), source.sample(index)
        assert np.array_equal(sample.frames, expected.frames)
        assert np.array_equal(sample.ids, expected.ids)
        assert sample.ids.dtype == np.int64
        assert sample.extras["frames"] == [str(i) for i in range(12)]
    part = source.sample(1, 9, 3)
    assert np.array_equal(part.frames, made.sample(1).frames[9:])
    assert np.array_equal(part.ids, made.sample(1).ids[9:])


def test_binary_tree_with_the_coloured_one_as_masks(tree):
    root, made = tree
    for masks_are in ("palette", "colours"):
        source = read(root / "bb_binary", masks=str(root / "bb_color"), masks_are=masks_are)
        ids, expected = source.sample(2).ids, made.sample(2).ids
        assert set(np.unique(source.sample(2).frames)) == {0, 255}
        pairs = set(zip(ids.ravel().tolist(), expected.ravel().tolist(), strict=True))
        assert len(pairs) == len(np.unique(expected)), "ids and truth do not correspond one to one"
        assert (0, 0) in pairs
        if masks_are == "palette":
            assert np.array_equal(ids, expected)


def test_ids_by_colour_hold_for_the_whole_video_even_when_an_object_is_away(tmp_path):
    colours = np.array([[0, 0, 0], [9, 0, 0], [0, 9, 0]], np.uint8)
    for frame, ids in enumerate(([[0, 1], [2, 2]], [[0, 0], [2, 2]])):
        save(tmp_path / "m" / "v" / f"{frame}.png", colours[np.array(ids)])
        save(tmp_path / "i" / "v" / f"{frame}.png", np.zeros((2, 2, 3), np.uint8))
    source = read(tmp_path / "i", masks=str(tmp_path / "m"), masks_are="colours", shares=[0, 0, 1])
    ids = source.sample(0).ids
    assert ids[0, 1, 0] == ids[1, 1, 0] != ids[0, 0, 1]
    assert np.array_equal(source.sample(0, 1, 1).ids[0], ids[1])


def test_crop_and_size_keep_ids_whole(tree):
    root, made = tree
    source = read(root / "bb_color", masks=str(root / "ids"), crop=[4, 2, 24, 28], size=[12, 14])
    sample, full = source.sample(0), made.sample(0).ids
    assert source.facts.size == sample.ids.shape[1:] == sample.frames.shape[2:] == (12, 14)
    assert set(np.unique(sample.ids)) <= set(np.unique(full))
    assert np.array_equal(sample.ids, full[:, 5:28:2, 3:30:2])


def test_splits_by_folder_and_by_share(tree, tmp_path):
    root, _ = tree
    with pytest.raises(InputError, match=r"no folder for split train, found test"):
        read(root / "bb_color", "train")
    for video in range(10):
        save(tmp_path / "flat" / f"clip{video}" / "f1.png", np.full((4, 4), video, np.uint8))
    seen = {
        split: {
            read(tmp_path / "flat", split).sample(i).extras["video"] for i in range(len(read(tmp_path / "flat", split)))
        }
        for split in ("train", "validation", "test")
    }
    assert [len(seen[split]) for split in ("train", "validation", "test")] == [8, 1, 1]
    assert len(set.union(*seen.values())) == 10
    with pytest.raises(InputError, match="none for split test"):
        read(tmp_path / "flat", "test", shares=[1, 0, 0])


def test_videos_of_different_length(tmp_path):
    for video, count in enumerate((2, 5)):
        for frame in range(count):
            save(tmp_path / f"v{video}" / f"{frame}.png", np.zeros((4, 4), np.uint8))
    source = read(tmp_path, shares=[0, 0, 1])
    assert source.facts.frames is None
    assert [source.length(i) for i in range(2)] == [2, 5]
    with pytest.raises(InputError, match="frames 0 to 1"):
        source.sample(0, 0, 3)


def test_sizes_that_differ(tmp_path):
    save(tmp_path / "v" / "1.png", np.zeros((4, 4), np.uint8))
    save(tmp_path / "v" / "2.png", np.zeros((6, 4), np.uint8))
    with pytest.raises(InputError, match=r"2\.png: expected height and width \(4, 4\).*found \(6, 4\)"):
        read(tmp_path, shares=[0, 0, 1]).sample(0)
    assert read(tmp_path, shares=[0, 0, 1], size=[4, 4]).sample(0).frames.shape == (2, 3, 4, 4)
    with pytest.raises(InputError, match="outside"):
        read(tmp_path, shares=[0, 0, 1], crop=[0, 0, 5, 4])


def test_missing_folders_and_masks(tree, tmp_path):
    root, _ = tree
    with pytest.raises(InputError, match="no such folder"):
        read(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="found none"):
        read(tmp_path / "empty")
    (root / "ids" / "test" / "0" / "7.png").unlink()
    with pytest.raises(InputError, match=r"mask for every image.*'7'"):
        read(root / "bb_color", masks=str(root / "ids"))
    with pytest.raises(InputError, match="missing"):
        read(root / "bb_color", masks=str(tmp_path / "empty"))
    with pytest.raises(InputError, match="colour image"):
        read(root / "bb_binary", masks=str(root / "bb_color")).sample(0)


def test_broken_image(tmp_path):
    save(tmp_path / "v" / "1.png", np.zeros((40, 40), np.uint8))
    content = (tmp_path / "v" / "1.png").read_bytes()
    (tmp_path / "v" / "2.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"2\.png"):
        read(tmp_path, shares=[0, 0, 1]).sample(0)


@pytest.mark.parametrize("mode", ["grey", "deep", "palette", "bits"])
def test_id_maps_of_every_kind(tmp_path, mode):
    ids = np.array([[0, 1], [2, 1]])
    if mode == "deep":
        ids = ids * 300
        save(tmp_path / "m.png", ids.astype(np.uint16))
    elif mode == "palette":
        image = Image.fromarray(ids.astype(np.uint8), mode="P")
        image.putpalette([0, 0, 0, 250, 9, 9, 9, 250, 9])
        image.save(tmp_path / "m.png")
    elif mode == "bits":
        ids = ids % 2
        save(tmp_path / "m.png", ids.astype(bool))
    else:
        save(tmp_path / "m.png", ids.astype(np.uint8))
    assert np.array_equal(read_id_map(tmp_path / "m.png"), ids)


def test_real_palette_masks(shared_data):
    files = sorted((shared_data / "davis_palette").glob("*/*.png"))
    assert files
    for file in files:
        ids = read_id_map(file)
        with Image.open(file) as image:
            assert {index for _, index in image.getcolors()} == set(np.unique(ids))
        assert ids.max() < 256


def test_cleaning_a_lossy_mask():
    """Noise on colours and specks are undone; colours 5 and 8, which a hash confuses, stay apart."""
    rng = np.random.default_rng(0)
    ids = np.zeros((40, 40), np.int64)
    for number in range(8):
        row, column = divmod(number, 4)
        ids[3 + 18 * row : 15 + 18 * row, 1 + 10 * column : 9 + 10 * column] = number + 1
    mask = np.moveaxis(paint(ids, 8, "rgb"), 0, -1).astype(int) + rng.integers(-12, 13, (40, 40, 3))
    mask[0, 0] = PALETTE[2]
    assert np.array_equal(clean_mask(np.clip(mask, 0, 255).astype(np.uint8), PALETTE), ids)


def test_fingerprint_follows_contents(tree):
    root, _ = tree
    before = read(root / "bb_color").fingerprint()
    assert read(root / "bb_color").fingerprint() == before
    save(root / "bb_color" / "test" / "0" / "0.png", np.zeros((32, 32, 3), np.uint8))
    assert read(root / "bb_color").fingerprint() != before


def test_settings_that_came_later_leave_the_fingerprint_of_known_data_alone(tree):
    root, _ = tree
    folders = [root / "bb_color" / "test" / str(video) for video in range(3)]
    settings = {"crop": None, "size": None, "masks_are": "ids", "palette_order": "bgr", "shares": [0.8, 0.1, 0.1]}
    images = [of_file(folder / "0.png") for folder in folders]
    known = json.dumps([settings, "test", False, ["0", "1", "2"], [12] * 3, images], sort_keys=True)
    assert read(root / "bb_color").fingerprint() == hashlib.sha256(known.encode()).hexdigest()[:16]
    assert (
        read(root / "bb_color", size=[4, 4], scaling="bicubic").fingerprint()
        != read(root / "bb_color", size=[4, 4]).fingerprint()
    )


def test_some_of_a_splits_videos(tree):
    root, made = tree
    source = read(root / "bb_color", masks=str(root / "ids"), test=[1, 3])
    assert len(source) == 2
    assert source.length(1) == 12
    sample = source.sample(1, 3, 4)
    assert sample.extras == {"video": "2", "frames": ["3", "4", "5", "6"]}
    assert np.array_equal(sample.ids, made.sample(2).ids[3:7])


def test_videos_without_objects_and_broken_masks(tmp_path):
    for frame in range(3):
        for top in ("i", "m"):
            save(tmp_path / top / "v" / f"{frame}.png", np.zeros((40, 40, 3), np.uint8))
    for masks_are in ("palette", "colours"):
        source = read(tmp_path / "i", masks=str(tmp_path / "m"), masks_are=masks_are, shares=[0, 0, 1])
        ids = source.sample(0).ids
        assert ids.shape == (3, 40, 40)
        assert not ids.any()
    place = tmp_path / "m" / "v" / "1.png"
    place.write_bytes(place.read_bytes()[:40])
    with pytest.raises(InputError, match=r"1\.png"):
        source.sample(0)
