"""DAVIS: palette masks with voids, one object of 2016, lists, masks a pixel off, and real masks."""

from __future__ import annotations

import pickle
import tracemalloc

import numpy as np
import pytest
from PIL import Image
from tests.processes import pool

from scenewise.data import SOURCES
from scenewise.errors import InputError
from scenewise.media import read_palette_png, write_palette_png
from scenewise.media.frames import load_image

SIZE = (24, 40)
SEQUENCES = {"bear": 3, "bike-packing": 5, "camel": 4}


def read(path, split="train", **settings):
    return SOURCES.get("davis")(split, path=str(path), **settings)


def ids_of(sequence, frame):
    """Object 1 is away in frame 1, object 7 is the largest id, there is a void; frame 2 shows nothing."""
    ids = np.zeros(SIZE, np.uint8)
    if frame != 2:
        ids[2:10, 3 + frame : 12 + frame] = 1 if frame != 1 else 0
        ids[8:20, 20:33] = 7
        ids[19, :] = 255
    return np.roll(ids, len(sequence), 1)


def write_frame(root, sequence, frame, size=SIZE):
    place = root / "JPEGImages" / "480p" / sequence / f"{frame:05d}.jpg"
    place.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(frame + len(sequence)).integers(0, 256, (6, 10, 3), dtype=np.uint8)
    Image.fromarray(noise).resize(size[::-1]).save(place, quality=95)


@pytest.fixture
def root(tmp_path):
    for sequence, count in SEQUENCES.items():
        for frame in range(count):
            write_frame(tmp_path, sequence, frame)
            for top in ("Annotations", "Annotations_unsupervised"):
                place = tmp_path / top / "480p" / sequence / f"{frame:05d}.png"
                place.parent.mkdir(parents=True, exist_ok=True)
                write_palette_png(place, ids_of(sequence, frame))
    (tmp_path / "ImageSets" / "2017").mkdir(parents=True)
    (tmp_path / "ImageSets" / "2017" / "train.txt").write_text("camel\nbear\n")
    (tmp_path / "ImageSets" / "2017" / "val.txt").write_text("bike-packing")
    return tmp_path


def expected(sequence, frame):
    ids = ids_of(sequence, frame).astype(np.int64)
    ids[ids == 255] = -1
    return ids


def test_frames_and_ids_bit_for_bit_in_the_order_of_the_list(root):
    source = read(root)
    assert (len(source), source.facts.size, source.facts.frames, source.facts.has_ids) == (2, SIZE, None, True)
    for index, sequence in enumerate(("camel", "bear")):
        sample = source.sample(index)
        files = sorted((root / "JPEGImages" / "480p" / sequence).iterdir())
        assert np.array_equal(sample.frames, np.moveaxis(np.stack([load_image(file) for file in files]), -1, 1))
        assert np.array_equal(sample.ids, np.stack([expected(sequence, f) for f in range(SEQUENCES[sequence])]))
        assert sample.ids.dtype == np.int64
        assert sample.extras["video"] == sequence
        assert source.length(index) == SEQUENCES[sequence]
    part = source.sample(0, 1, 2)
    assert np.array_equal(part.ids, source.sample(0).ids[1:3])
    assert part.extras["stems"] == ["00001", "00002"]
    assert [read(root, "validation").sample(i).extras["video"] for i in range(1)] == ["bike-packing"]
    assert len(read(root, track="unsupervised")) == 2


def test_clips_do_not_reach_over_the_end_of_a_video(root):
    source = read(root, clip=2)
    assert [(source.sample(i).extras["video"], *source.sample(i).extras["frames"]) for i in range(len(source))] == [
        ("camel", 0, 1),
        ("camel", 2, 3),
        ("bear", 0, 1),
    ]
    assert source.facts.frames == 2
    assert np.array_equal(source.sample(1).ids, read(root).sample(0).ids[2:])
    with pytest.raises(InputError, match="at least 9 frames, found at most 4"):
        read(root, clip=9)


def test_test_list_without_masks_of_all_frames(root):
    (root / "ImageSets" / "2017" / "test-dev.txt").write_text("dancer\n")
    for frame in range(3):
        write_frame(root, "dancer", frame)
    source = read(root, "test")
    assert not source.facts.has_ids
    assert source.sample(0).ids is None
    assert source.sample(0).frames.shape == (3, 3, *SIZE)
    assert len(read(root, "test", subset="val")) == 1
    assert read(root, "test", subset="val").facts.has_ids


def test_2016_has_one_object(root):
    for sequence in ("bear", "camel"):
        for frame in range(SEQUENCES[sequence]):
            mask = (ids_of(sequence, frame) == 7).astype(np.uint8) * 255
            image = Image.fromarray(mask)
            if frame == 1:
                image = image.convert("RGB")  # some files of the set are
            image.save(root / "Annotations" / "480p" / sequence / f"{frame:05d}.png")
    (root / "ImageSets" / "480p").mkdir()
    lines = "".join(f"/JPEGImages/480p/bear/{f:05d}.jpg /Annotations/480p/bear/{f:05d}.png\n" for f in range(3))
    (root / "ImageSets" / "480p" / "train.txt").write_text(lines)
    source = read(root, year=2016)
    assert len(source) == 1
    assert np.array_equal(source.sample(0).ids, np.stack([ids_of("bear", f) == 7 for f in range(3)]).astype(np.int64))
    with pytest.raises(InputError, match=r"found 0 and 255 as DAVIS 2016 has. Set year=2016"):
        read(root).sample(0)


def test_without_lists_videos_are_shared_out(root, tmp_path_factory):
    bare = tmp_path_factory.mktemp("bare")
    for top in ("JPEGImages", "Annotations"):
        (bare / top).symlink_to(root / top)
    spans = {"train": [0, 1], "validation": [1, 2], "test": [2, 3]}
    found = [read(bare, split, **spans).sample(0).extras["video"] for split in spans]
    assert found == sorted(SEQUENCES)
    with pytest.raises(InputError, match="share records"):
        read(bare, "train", train=[0, 2], test=[1, 3])


def test_mask_a_pixel_off_is_scaled_and_said(root):
    for frame in range(4):
        write_frame(root, "camel", frame, (SIZE[0], SIZE[1] - 1))
        write_frame(root, "bear", min(frame, 2), (SIZE[0], SIZE[1] - 1))
    with pytest.warns(UserWarning, match=r"masks \(24, 40\) were scaled"):
        sample = read(root).sample(0)
    assert sample.ids.shape[1:] == sample.frames.shape[2:] == (SIZE[0], SIZE[1] - 1)
    assert set(np.unique(sample.ids)) <= {-1, 0, 1, 7}
    write_palette_png(root / "Annotations" / "480p" / "camel" / "00003.png", np.zeros((12, 20), np.int64))
    with (
        pytest.warns(UserWarning, match="scaled"),
        pytest.raises(InputError, match=r"camel: expected masks .*found \(12, 20\)"),
    ):
        read(root).sample(0)


def test_crop_and_size_keep_ids_whole(root):
    full = read(root).sample(0).ids
    source = read(root, crop=[2, 4, 20, 32], size=[10, 16])
    sample = source.sample(0)
    assert source.facts.size == sample.frames.shape[2:] == sample.ids.shape[1:] == (10, 16)
    assert np.array_equal(sample.ids, full[:, 3:22:2, 5:36:2])


def test_videos_of_different_sizes_need_a_size(root):
    write_frame(root, "bear", 0, (24, 30))
    with pytest.raises(InputError, match=r"video bear: expected height and width \(24, 40\).*Set size"):
        read(root).sample(1)


def test_what_is_missing_is_named(root, tmp_path_factory):
    with pytest.raises(InputError, match="expected folder JPEGImages/Full-Resolution, found 480p"):
        read(root, resolution="Full-Resolution")
    with pytest.raises(InputError, match=r"expected list test-dev\.txt, found train, val"):
        read(root, "test")
    with pytest.raises(InputError, match="Give the folder DAVIS"):
        read(tmp_path_factory.mktemp("none"))
    with pytest.raises(InputError, match="path"):
        SOURCES.get("davis")("train")
    (root / "Annotations" / "480p" / "camel" / "00001.png").unlink()
    with pytest.raises(InputError, match=r"camel: expected a mask for every image, found none for 00001\.jpg"):
        read(root).sample(0)
    Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(root / "Annotations" / "480p" / "bear" / "00000.png")
    with pytest.raises(InputError, match="found colours"):
        read(root).sample(1)
    (root / "ImageSets" / "2017" / "train.txt").write_text("camel\nabsent\n")
    with pytest.raises(InputError, match="expected sequences absent"):
        read(root)


def test_truncated_files(root):
    for place in ("Annotations/480p/bear/00001.png", "JPEGImages/480p/camel/00001.jpg"):
        content = (root / place).read_bytes()
        (root / place).write_bytes(content[: len(content) // 2])
    for index, name in ((0, r"00001\.jpg"), (1, r"00001\.png")):
        with pytest.raises(InputError, match=name):
            read(root).sample(index)


def _ids(source, index):
    return source.sample(index).ids


@pytest.mark.parametrize("method", ["fork", "fresh"])
def test_workers_read_the_same(root, method):
    source = read(root)
    here = [source.sample(index).ids for index in range(2)]
    with pool(method) as workers:
        there = workers.starmap(_ids, [(source, index) for index in range(2)])
    assert all(np.array_equal(one, other) for one, other in zip(here, there, strict=True))
    before = source.fingerprint()
    assert pickle.loads(pickle.dumps(source)).fingerprint() == before == read(root).fingerprint()
    write_frame(root, "camel", 0, (24, 41))
    assert read(root).fingerprint() != before


def test_a_scaled_sample_is_never_held_in_full_size(tmp_path):
    for frame in range(12):
        write_frame(tmp_path, "long", frame, (480, 854))
        (tmp_path / "Annotations" / "480p" / "long").mkdir(parents=True, exist_ok=True)
        write_palette_png(tmp_path / "Annotations" / "480p" / "long" / f"{frame:05d}.png", np.ones((480, 854), int))
    source = read(tmp_path, train=[0, 1], size=[48, 85])
    source.sample(0, 0, 1)
    tracemalloc.start()
    source.sample(0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * 480 * 854 * 8, "a frame and its ids, and copies of them"


def test_real_masks(shared_data, tmp_path):
    real = shared_data / "davis_palette"
    if not real.is_dir():
        pytest.skip(f"no DAVIS masks at {real}")
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations" / "480p").symlink_to(real)
    files = sorted((real / "dogs-jump").iterdir())
    for frame in range(len(files)):
        write_frame(tmp_path, "dogs-jump", frame, (480, 853))
    with pytest.warns(UserWarning, match=r"\(480, 854\) were scaled to the size of the images, \(480, 853\)"):
        sample = read(tmp_path, train=[0, 1]).sample(0)
    assert sample.ids.shape == (len(files), 480, 853)
    for ids, file in zip(sample.ids, files, strict=True):
        stored = read_palette_png(file)
        assert set(np.unique(ids)) == set(np.unique(stored))
        assert (ids != stored[:, :853]).mean() < 0.02
    assert sample.ids.max() == 20
