"""Files of Binding and Tagger: tiny files come back bit for bit, others are refused."""

from __future__ import annotations

import math
import pickle
import tracemalloc

import h5py
import numpy as np
import pytest
import torch

from scenewise.data import SOURCES
from scenewise.errors import InputError

RNG = np.random.default_rng(0)


def read(name, path, split="train", **settings):
    return SOURCES.get(name)(split, path=str(path), **settings)


def shapes(count):
    """Return images and groups (1, N, H, W, 1): figures 1 and 2 overlap in a row of group 0."""
    groups = np.zeros((1, count, 6, 7, 1), np.float32)
    groups[:, :, :2], groups[:, :, 3:5] = 1, 2
    images = (groups > 0).astype(np.float32)
    images[:, :, 2, :4] = 1
    images[:, np.arange(count), 5, np.arange(count) % 7] = 1
    return images, groups


def write_binding(path, **changes):
    made = {}
    with h5py.File(path, "w") as file:
        for group, count in (("train_single", 5), ("train_multi", 10), ("test", 4)):
            images, groups = made[group] = shapes(count)
            for name, values in {"default": images, "groups": groups, **changes}.items():
                if values is not None:
                    file.create_dataset(f"{group}/{name}", data=values, compression="gzip")
    return made


def test_binding_shapes(tmp_path):
    made = write_binding(tmp_path / "a.h5")
    for split, group, start, count in (
        ("train", "train_multi", 0, 9),
        ("validation", "train_multi", 9, 1),
        ("test", "test", 0, 4),
    ):
        source = read("shapes-h5", tmp_path / "a.h5", split)
        assert (len(source), source.facts.max_objects, source.facts.overlap) == (count, 2, "ignore")
        images, groups = made[group]
        for index in range(count):
            sample = source.sample(index)
            assert np.array_equal(sample.frames[:, 0], images[:, start + index, ..., 0] * 255)
            stored = groups[:, start + index, ..., 0]
            unsure = (images[:, start + index, ..., 0] > 0) & (stored == 0)
            assert np.array_equal(sample.ids, np.where(unsure, -1, stored))
            assert (sample.ids[0, 2] == [-1] * 4 + [0] * 3).all()
    assert len(read("shapes-h5", tmp_path / "a.h5", single=True)) == 4


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"default": None}, "expected array /train_multi/default, found groups"),
        ({"groups": None}, "expected array /train_multi/groups"),
        ({"default": np.zeros((10, 6, 7))}, r"train_multi/default: expected shape \(1, any"),
        ({"groups": np.zeros((1, 10, 6, 6, 1))}, r"train_multi/groups: expected shape \(1, 10, 6, 7, 1\), found"),
    ],
)
def test_other_shapes_are_refused(tmp_path, changes, says):
    write_binding(tmp_path / "a.h5", **changes)
    with pytest.raises(InputError, match=says):
        read("shapes-h5", tmp_path / "a.h5")


def test_files_of_n_em_are_sent_to_their_reader(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["training/features"] = np.zeros((1, 3, 8, 8, 1))
    with pytest.raises(InputError, match=r"found training. Use source rnem-h5"):
        read("shapes-h5", tmp_path / "a.h5")


def write_tagger(path, textured=False, count=10, table=True, **changes):
    """Write a file; return images (N, H, W) in 0 to 1 and ids (N, H, W)."""
    side = 6
    ids = RNG.integers(0, 3, (count, side, side))
    if textured:
        ids = np.where(RNG.random(ids.shape) < 0.6, 0, ids)
        features = RNG.random((count, 1, side, side)).astype(np.float32)
        order = np.array([1, 0, 2])  # entity 1 is the background
        mask = (order[ids][:, None] == np.arange(3)[:, None, None]).astype(np.float32) * 0.6 + 0.1
        arrays = {"features": features, "mask": mask[:, :, None], "codes": np.ones((count, 3))}
        expected = np.array([1, 0, 2])[order][ids]
    else:
        ids = RNG.integers(-1, 4, (count, side, side))
        features = (ids != 0).astype(np.float32).reshape(count, -1)
        mask = (ids[:, None] == np.arange(1, 4)[:, None, None]).astype(np.float32)
        mask = np.where((ids < 1)[:, None], np.float32(1 / 3), mask)
        arrays = {"features": features, "mask": mask.reshape(count, 3, -1), "targets": np.zeros((count, 3))}
        expected = ids
    with h5py.File(path, "w") as file:
        for name, values in {**arrays, **changes}.items():
            if values is not None:
                file[name] = values
        if table:
            kind = [("split", "S6"), ("source", "S8"), ("start", "i8"), ("stop", "i8"), ("available", "?")]
            rows = [("train", 0, 6), ("valid", 6, 7), ("test", 7, 9), ("single", 9, 10)]
            sources = ("mask", "features")
            file.attrs["split"] = np.array([(n, s, a, b, True) for n, a, b in rows for s in sources], kind)
    return features.reshape(count, side, side), expected


@pytest.mark.parametrize("textured", [True, False])
def test_tagger_files(tmp_path, textured):
    images, ids = write_tagger(tmp_path / "a.h5", textured)
    for split, first, count in (("train", 0, 6), ("validation", 6, 1), ("test", 7, 2)):
        source = read("tagger-h5", tmp_path / "a.h5", split)
        assert (len(source), source.facts.size, source.facts.binary) == (count, (6, 6), not textured)
        assert source.facts.max_objects == (2 if textured else 3)
        for index in range(count):
            sample = source.sample(index)
            assert np.array_equal(sample.frames[0, 0], np.rint(images[first + index] * 255))
            assert np.array_equal(sample.ids[0], ids[first + index])
    assert read("tagger-h5", tmp_path / "a.h5", single=True).sample(0).extras["record"] == 9


def test_tagger_without_a_table(tmp_path):
    write_tagger(tmp_path / "a.h5", table=False)
    assert read("tagger-h5", tmp_path / "a.h5").records == range(8)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("features", (80_000, 400), np.float32, chunks=(1, 400))
        file.create_dataset("mask", (80_000, 3, 400), np.float32, chunks=(1, 3, 400))
    spans = [read("tagger-h5", tmp_path / "b.h5", split).records for split in ("train", "validation", "test")]
    assert spans == [range(50_000), range(50_000, 60_000), range(60_000, 70_000)]
    assert read("tagger-h5", tmp_path / "b.h5", single=True).records == range(70_000, 80_000)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"mask": None}, "expected array /mask, found features, targets"),
        ({"features": np.zeros((10, 35), np.float32)}, r"mask: expected shape \(10, any, 35\), found"),
        ({"features": np.zeros((10, 36), np.int32)}, "features: expected floats, found type int32"),
        ({"features": np.zeros((10, 3, 6, 6), np.float32)}, r"features: expected shape \(any, 1, any, any\)"),
    ],
)
def test_other_tagger_files_are_refused(tmp_path, changes, says):
    write_tagger(tmp_path / "a.h5", **changes)
    with pytest.raises(InputError, match=says):
        read("tagger-h5", tmp_path / "a.h5")


def test_truncated_files(tmp_path):
    for name, write in (("shapes-h5", write_binding), ("tagger-h5", write_tagger)):
        write(tmp_path / "a.h5")
        whole = (tmp_path / "a.h5").read_bytes()
        (tmp_path / "a.h5").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(InputError, match=r"a\.h5: expected an HDF5 file"):
            read(name, tmp_path / "a.h5")


def test_crop_and_size_keep_ids_whole(tmp_path):
    _, ids = write_tagger(tmp_path / "a.h5")
    sample = read("tagger-h5", tmp_path / "a.h5", crop=[0, 1, 4, 4], size=[2, 2], channels=3).sample(1)
    assert np.array_equal(sample.ids[0], ids[1][1:4:2, 2:5:2])
    assert sample.frames.shape == (1, 3, 2, 2)


def write_large(path, kind):
    """Write a file of more than 1 GB whose chunks are never filled, so that it takes no space."""
    many, side = 3000, 256
    arrays = {
        "binding": {"train_multi/default": (1, many, side, side, 1), "train_multi/groups": (1, many, side, side, 1)},
        "shapes": {"features": (many, side * side), "mask": (many, 3, side * side)},
        "textured": {"features": (many, 1, side, side), "mask": (many, 3, 1, side, side)},
    }[kind]
    with h5py.File(path, "w") as file:
        for name, shape in arrays.items():
            record = (1, 1, *shape[2:]) if kind == "binding" else (1, *shape[1:])
            file.create_dataset(name, shape, np.float32, chunks=record)
    return sum(4 * math.prod(shape) for shape in arrays.values())


@pytest.mark.parametrize(
    ("name", "kind", "looked_at"),
    [("shapes-h5", "binding", 1), ("tagger-h5", "shapes", 0), ("tagger-h5", "textured", 3)],
)
def test_one_image_of_a_large_file_takes_little_memory(tmp_path, name, kind, looked_at):
    total = write_large(tmp_path / "a.h5", kind)
    assert total > 1e9
    tracemalloc.start()
    source = read(name, tmp_path / "a.h5")
    opening = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    sample = source.sample(2000)
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert opening < 1e6 + looked_at * 64 * 256 * 256 * 4  # of 64 images, to see which mask is the background
    assert peak < 4 * (sample.frames.nbytes + sample.ids.nbytes)


class Samples(torch.utils.data.Dataset):
    """Frames and ids of a source, for a loader."""

    def __init__(self, source):
        self.source = source

    def __len__(self):
        return len(self.source)

    def __getitem__(self, index):
        sample = self.source.sample(index)
        return sample.frames, sample.ids


@pytest.mark.parametrize(("name", "write"), [("shapes-h5", write_binding), ("tagger-h5", write_tagger)])
def test_workers_open_the_file_anew(tmp_path, name, write):
    """Also where the process that begins them has it open already."""
    write(tmp_path / "a.h5")
    source = read(name, tmp_path / "a.h5")
    expected = [source.sample(index) for index in range(len(source))]
    again = pickle.loads(pickle.dumps(source))
    assert again.facts == source.facts
    assert again.fingerprint() == source.fingerprint()
    assert np.array_equal(again.sample(3).frames, expected[3].frames)
    loader = torch.utils.data.DataLoader(
        Samples(source), batch_size=None, num_workers=2, multiprocessing_context="fork"
    )
    made = list(loader)
    assert len(made) == len(expected)
    for (frames, ids), sample in zip(made, expected, strict=True):
        assert np.array_equal(frames, sample.frames)
        assert np.array_equal(ids, sample.ids)


def test_images_without_figures(tmp_path):
    nothing = np.zeros((1, 10, 6, 7, 1), np.float32)
    with h5py.File(tmp_path / "binding.h5", "w") as file:
        file["train_multi/default"], file["train_multi/groups"] = nothing, nothing
    write_tagger(tmp_path / "a.h5", features=np.zeros((10, 36), np.float32))
    clear = np.zeros((10, 3, 1, 6, 6), np.float32)
    clear[:, 1] = 1
    write_tagger(tmp_path / "b.h5", True, mask=clear)
    for name, file in (
        ("shapes-h5", "binding.h5"),
        ("tagger-h5", "a.h5"),
        ("tagger-h5", "b.h5"),
    ):
        sample = read(name, tmp_path / file).sample(0)
        assert sample.ids.shape == (1, *sample.frames.shape[2:])
        assert not sample.ids.any()


def test_fields_that_a_file_may_lack(tmp_path):
    write_tagger(tmp_path / "a.h5", targets=None)
    assert set(read("tagger-h5", tmp_path / "a.h5").sample(0).extras) == {"record"}


def test_files_of_binding_and_tagger_are_told_apart(tmp_path):
    write_binding(tmp_path / "binding.h5")
    write_tagger(tmp_path / "tagger.h5")
    with pytest.raises(InputError, match="expected array /features, found test, train_multi, train_single"):
        read("tagger-h5", tmp_path / "binding.h5")
    with pytest.raises(InputError, match="expected group 'train_multi', found features, mask, targets"):
        read("shapes-h5", tmp_path / "tagger.h5")
