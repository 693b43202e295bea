"""The ecker-lab benchmark: videos and run-length masks come back bit for bit, others are refused."""

from __future__ import annotations

import json
import pickle
import tracemalloc

import h5py
import numpy as np
import pytest

from scenewise.data import SOURCES
from scenewise.data.readers.ecker import decode_row_rle
from scenewise.errors import InputError

RNG = np.random.default_rng(0)
SIZE = (8, 10)


def read(path, split="test", **settings):
    return SOURCES.get("ecker")(split, path=str(path), **{"frames": None, **settings})


def encode(mask):
    """Write a mask as "start length ...", starts from 1, row by row."""
    flat = np.concatenate([[0], mask.ravel().astype(int), [0]])
    starts, ends = np.flatnonzero(np.diff(flat) == 1), np.flatnonzero(np.diff(flat) == -1)
    return " ".join(f"{start + 1} {end - start}" for start, end in zip(starts, ends, strict=True))


def clips(count=4, time=5):
    """Return videos (N, T, 3, H, W), ids (N, T, H, W) of 0 to 3, and what the JSON file says."""
    videos = RNG.integers(0, 256, (count, time, 3, *SIZE)).astype(np.uint8)
    ids = RNG.integers(0, 4, (count, time, *SIZE))
    ids[1, 2][ids[1, 2] == 2] = 0  # object 2 is away
    ids[2] = 0
    truth = []
    for video in ids:
        frames = []
        for frame in video:
            there = [number for number in (1, 2, 3) if (frame == number).any()]
            masks = [encode(frame == number) for number in there] + [encode(frame == 0), encode(frame < 0)]
            frames.append({"masks": masks, "ids": [7 * number for number in there] + [90, 91], "num_bg": 2})
        truth.append(frames)
    return videos, ids, truth


def write(folder, kind="hdf5", splits=("train", "val", "test"), prefix="", with_truth=True, dtype=np.uint8):
    made = {}
    file = h5py.File(folder / "vmds.hdf5", "w") if kind == "hdf5" else None
    for split in (*splits, "occl/test") if file else splits:
        videos, _ids, truth = made[split] = clips()
        if file:
            file[f"{prefix}{split}"] = videos.astype(dtype)
        else:
            np.save(folder / f"vmds_{split}.npy", videos.astype(dtype))
        if with_truth:
            (folder / "gt_jsons").mkdir(exist_ok=True)
            place = folder / "gt_jsons" / f"vmds_{split.replace('/', '_')}.json"
            place.write_text(json.dumps(truth))
    if file:
        file.close()
    return made


def check(source, index, videos, ids):
    sample = source.sample(index)
    assert np.array_equal(sample.frames, videos[index])
    assert np.array_equal(sample.ids, ids[index])
    assert (sample.frames.dtype, sample.ids.dtype) == (np.uint8, np.int64)
    part = source.sample(index, 2, 2)
    assert np.array_equal(part.frames, videos[index][2:4])
    assert np.array_equal(part.ids, ids[index][2:4])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(("kind", "prefix"), [("hdf5", ""), ("hdf5", "vmds_"), ("npy", "")])
def test_bit_for_bit(tmp_path, kind, prefix, dtype):
    made = write(tmp_path, kind, prefix=prefix, dtype=dtype)
    path = tmp_path / "vmds.hdf5" if kind == "hdf5" else tmp_path
    for split, key in (("train", "train"), ("validation", "val"), ("test", "test")):
        source = read(path, split)
        assert (len(source), source.facts.frames, source.facts.max_objects, source.facts.size) == (4, 5, 4, SIZE)
        for index in range(4):
            check(source, index, *made[key][:2])


def test_challenge_sets_and_single_files(tmp_path):
    made = write(tmp_path)
    check(read(tmp_path / "vmds.hdf5", key="occl/test"), 1, *made["occl/test"][:2])
    folder = tmp_path / "npy"
    folder.mkdir()
    made = write(folder, "npy", ("test", "test_occl"))
    check(read(folder, key="test_occl"), 1, *made["test_occl"][:2])
    check(read(folder), 1, *made["test"][:2])
    check(read(folder / "vmds_test_occl.npy"), 1, *made["test_occl"][:2])


def test_ids_hold_for_the_whole_video(tmp_path):
    _, ids, _ = write(tmp_path)["test"]
    source = read(tmp_path / "vmds.hdf5")
    assert set(np.unique(source.sample(1, 2, 1).ids)) == {0, 1, 3}
    assert not source.sample(2).ids.any()
    assert np.array_equal(source.sample(1, 2, 1).ids[0], ids[1, 2])


def test_files_without_truth(tmp_path):
    write(tmp_path, with_truth=False)
    source = read(tmp_path / "vmds.hdf5")
    assert not source.facts.has_ids
    assert source.sample(0).ids is None


def test_frames(tmp_path):
    videos, ids, _ = write(tmp_path)["test"]
    source = read(tmp_path / "vmds.hdf5", frames=3)
    assert np.array_equal(source.sample(0).frames, videos[0, :3])
    assert np.array_equal(source.sample(0).ids, ids[0, :3])
    with pytest.raises(InputError, match="videos of 5 frames, 10 asked"):
        read(tmp_path / "vmds.hdf5", frames=10)


def test_run_lengths():
    assert decode_row_rle("", (2, 3)).sum() == 0
    assert decode_row_rle("1 6", (2, 3)).all()
    assert decode_row_rle("2 1 4 2", (2, 3)).tolist() == [[False, True, False], [True, True, False]]
    for _ in range(20):
        mask = RNG.random((7, 9)) < 0.4
        assert np.array_equal(decode_row_rle(encode(mask), (7, 9)), mask)
    for text in ("0 2", "5 3", "3 2 1 1", "2 -1"):
        with pytest.raises(InputError, match="expected runs in order inside 2 x 3"):
            decode_row_rle(text, (2, 3))


def test_other_files_are_refused(tmp_path):
    write(tmp_path, splits=("train",))
    path = tmp_path / "vmds.hdf5"
    with pytest.raises(InputError, match=r"expected array 'val'; found occl/test \(4, 5, 3, 8, 10\), train"):
        read(path, "validation")
    with pytest.raises(InputError, match="expected array 'test'"):
        read(path)
    with h5py.File(tmp_path / "b.hdf5", "w") as file:
        file["test"] = np.zeros((3, 5, 8, 10, 3), np.uint8)
        file["val"] = np.zeros((3, 5, 8, 10), np.uint8)
        file["train"] = np.full((3, 5, 3, 8, 10), 300.0)
    with pytest.raises(InputError, match="Channels come third"):
        read(tmp_path / "b.hdf5")
    with pytest.raises(InputError, match=r"val: expected shape .* found \(3, 5, 8, 10\)"):
        read(tmp_path / "b.hdf5", "validation")
    with pytest.raises(InputError, match="expected values 0 to 255, found 300 to 300"):
        read(tmp_path / "b.hdf5", "train").sample(0)
    with pytest.raises(InputError, match=r"expected one file SET_test\.npy; of npy files it has none"):
        read(tmp_path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"vmds\.hdf5: expected an HDF5 file"):
        read(path)


def test_masks_that_do_not_match(tmp_path):
    _, _, truth = write(tmp_path)["test"]
    path, place = tmp_path / "vmds.hdf5", tmp_path / "gt_jsons" / "vmds_test.json"
    whole = place.read_text()
    cases = [
        (json.dumps(truth[:3]), "expected masks of 4 videos as in vmds.hdf5, found 3"),
        (whole[: len(whole) // 2], "breaks off or is another file"),
        ("{}", "breaks off or is another file"),
        (json.dumps([frames[:2] for frames in truth]), "at least 5 frames, found 2"),
        (whole.replace('"ids"', '"idx"'), "expected a list of frames with masks, ids"),
        (whole.replace('"masks": ["', '"masks": ["70 20 '), "expected runs in order"),
    ]
    for text, says in cases:
        place.write_text(text)
        with pytest.raises(InputError, match=says):
            read(path).sample(0)
    with pytest.raises(InputError, match="nothing there"):
        read(path, truth=str(tmp_path / "absent.json"))


def test_crop_and_size_keep_ids_whole(tmp_path):
    _, ids, _ = write(tmp_path)["test"]
    sample = read(tmp_path / "vmds.hdf5", crop=[0, 2, 8, 8], size=[4, 4]).sample(0)
    assert np.array_equal(sample.ids, ids[0][:, 1::2, 3::2])
    assert sample.frames.shape == (5, 3, 4, 4)


def test_workers_and_fingerprint(tmp_path):
    videos, ids, truth = write(tmp_path)["test"]
    source = read(tmp_path / "vmds.hdf5")
    before = source.fingerprint()
    check(pickle.loads(pickle.dumps(source)), 3, videos, ids)
    truth[0][0]["ids"][0] = 5
    (tmp_path / "gt_jsons" / "vmds_test.json").write_text(json.dumps(truth))
    assert read(tmp_path / "vmds.hdf5").fingerprint() != before


def test_one_sample_of_large_files_takes_little_memory(tmp_path):
    with h5py.File(tmp_path / "vmds.hdf5", "w") as file:
        file.create_dataset("test", (3000, 10, 3, 64, 64), np.uint8, chunks=(1, 10, 3, 64, 64))
    frame = {"masks": ["1 2 " + " ".join(f"{i} 1" for i in range(10, 1000, 2)), "4000 9"], "ids": [1, 2], "num_bg": 1}
    (tmp_path / "vmds_test.json").write_text(json.dumps([[frame] * 10] * 3000))
    assert (tmp_path / "vmds_test.json").stat().st_size > 3e7
    tracemalloc.start()
    source = read(tmp_path / "vmds.hdf5")
    sample = source.sample(2900)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sample.ids.any()
    assert peak < 8 * sample.frames.nbytes + 3000 * 200
