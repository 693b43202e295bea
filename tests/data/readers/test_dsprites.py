"""dSprites: tiny files come back bit for bit, others are refused."""

from __future__ import annotations

import pickle
import tracemalloc

import h5py
import numpy as np
import pytest

from scenewise.data import SOURCES
from scenewise.errors import InputError

RNG = np.random.default_rng(0)


def read(name, path, split="train", **settings):
    return SOURCES.get(name)(split, path=str(path), **settings)


def sprites(count=20):
    return RNG.integers(0, 2, (count, 8, 8)).astype(np.uint8)


@pytest.mark.parametrize("ending", ["npz", "npy", "h5"])
def test_dsprites_bit_for_bit(tmp_path, ending):
    images, path = sprites(), tmp_path / f"dsprites.{ending}"
    if ending == "npz":
        np.savez_compressed(path, imgs=images, metadata=np.array({"title": "pickled"}, dtype=object))
    elif ending == "npy":
        np.save(path, images)
    else:
        with h5py.File(path, "w") as file:
            file["imgs"], file["latents/classes"] = images, np.zeros((20, 6))
    seen = []
    for split, count in (("train", 16), ("validation", 2), ("test", 2)):
        source = read("dsprites-npz", path, split)
        assert (len(source), source.facts.size, source.facts.channels) == (count, (8, 8), 1)
        source = pickle.loads(pickle.dumps(source))
        for index in range(count):
            sample = source.sample(index)
            seen.append(sample.extras["record"])
            assert np.array_equal(sample.frames[0, 0], images[seen[-1]] * 255)
            assert np.array_equal(sample.ids[0], images[seen[-1]])
    assert sorted(seen) == list(range(20))
    assert seen != sorted(seen)
    assert [read("dsprites-npz", path, seed=1).sample(i).extras["record"] for i in range(16)] != seen[:16]
    assert len(list(tmp_path.iterdir())) == (2 if ending == "npz" else 1)


def test_dsprites_factors_and_memory(tmp_path):
    """The whole set as a file with holes: 3 GB that take no space."""
    path = tmp_path / "dsprites.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("imgs", (737_280, 64, 64), np.uint8, chunks=(1, 64, 64))
    source = read("dsprites-npz", path, "test")
    assert len(source) == 73_728
    tracemalloc.start()
    sample = source.sample(70_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6
    classes, values = sample.extras["classes"], sample.extras["values"]
    bases = np.array([737_280, 245_760, 40_960, 1024, 32, 1])
    assert classes @ bases == sample.extras["record"]
    assert values[1] == classes[1] + 1
    assert np.isclose(values[2], 0.5 + 0.1 * classes[2])
    assert np.isclose(values[3], classes[3] * 2 * np.pi / 39)
    assert np.allclose(values[4:], classes[4:] / 31)


def test_dsprites_is_unpacked_in_little_memory(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", imgs=np.zeros((10_000, 64, 64), np.uint8))
    tracemalloc.start()
    read("dsprites-npz", tmp_path / "a.npz", cache=str(tmp_path / "cache")).sample(3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6e6
    assert [place.suffix for place in (tmp_path / "cache").iterdir()] == [".npy"]


def test_dsprites_of_other_kinds(tmp_path):
    np.savez(tmp_path / "a.npz", images=sprites())
    with pytest.raises(InputError, match=r"expected an array imgs, found images\.npy"):
        read("dsprites-npz", tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", imgs=np.zeros((3, 8, 8, 3)))
    with pytest.raises(InputError, match=r"imgs: expected imgs .*found float64"):
        read("dsprites-npz", tmp_path / "b.npz")
    np.savez_compressed(tmp_path / "c.npz", imgs=sprites(500))
    whole = (tmp_path / "c.npz").read_bytes()
    (tmp_path / "c.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"c\.npz: expected an npz file"):
        read("dsprites-npz", tmp_path / "c.npz")
    with pytest.raises(InputError, match="nothing there"):
        read("dsprites-npz", tmp_path / "absent.npz")
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["images"] = sprites()
    with pytest.raises(InputError, match="expected array /imgs, found images"):
        read("dsprites-npz", tmp_path / "d.h5")
    assert not list(tmp_path.glob("*.npy"))


def test_images_without_figures(tmp_path):
    np.save(tmp_path / "dsprites.npy", np.zeros((20, 8, 8), np.uint8))
    sample = read("dsprites-npz", tmp_path / "dsprites.npy").sample(0)
    assert sample.ids.shape == (1, *sample.frames.shape[2:])
    assert not sample.ids.any()
