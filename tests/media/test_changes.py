"""Files that change while they are read: frames of two versions are never taken for one video."""

import os
import shutil

import h5py
import numpy as np
import pytest
from PIL import Image
from tests.media.footage import ramp, write_video

from scenewise.data import SOURCES
from scenewise.data.shards.reader import MadeSource
from scenewise.data.shards.writer import make, make_plan
from scenewise.errors import InputError
from scenewise.media import read_video


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """The length of files is looked at before every read."""
    monkeypatch.setattr("scenewise.media.npy.LOOK_AFTER", 0.0)


def append(path):
    with path.open("ab") as file:
        file.write(bytes(1000))


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def replace(path):
    write_video(path.with_name("other.mkv"), 255 - ramp(30))
    path.with_name("other.mkv").rename(path)


def rewrite(path):
    """Other content of the same length."""
    content = bytearray(path.read_bytes())
    content[-100:] = bytes(100)
    path.write_bytes(content)
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 1_000_000))


@pytest.mark.filterwarnings("ignore:.*is cut off")
@pytest.mark.parametrize("change", [append, truncate, replace, rewrite])
@pytest.mark.parametrize("frames", [0, 1])
def test_a_video_that_changes_is_refused(tmp_path, change, frames):
    write_video(tmp_path / "clip.mkv", ramp(30))
    reader = read_video(tmp_path / "clip.mkv")
    video = iter(reader)
    for _ in range(frames):
        next(video)
    change(tmp_path / "clip.mkv")
    with pytest.raises(InputError, match=r"clip\.mkv: has changed since it was opened"):
        list(video)
    with pytest.raises(InputError, match="has changed since it was opened"):
        next(iter(reader))


def test_a_video_that_is_removed_is_read_to_its_end_and_then_gone(tmp_path):
    write_video(tmp_path / "clip.mkv", ramp(30))
    reader = read_video(tmp_path / "clip.mkv")
    video = iter(reader)
    first = next(video)
    (tmp_path / "clip.mkv").unlink()
    assert [first.index, *(frame.index for frame in video)] == list(range(30))
    with pytest.raises(InputError, match=r"clip\.mkv: expected .* found nothing there\. Check the path"):
        list(reader)


@pytest.mark.parametrize("name", ["clip.mkv", "images"])
def test_a_video_that_may_no_longer_be_read(tmp_path, name, monkeypatch):
    write_video(tmp_path / "clip.mkv", ramp(3))
    (tmp_path / "images").mkdir()
    for number in range(3):
        Image.fromarray(ramp(3)[number]).save(tmp_path / "images" / f"{number}.png")
    reader = read_video(tmp_path / name)

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("av.open", refuse)
    monkeypatch.setattr("PIL.Image.open", refuse)
    with pytest.raises(InputError, match="may not be read by this user"):
        list(reader)


@pytest.fixture
def images(tmp_path):
    """A folder of ten images."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(10):
        Image.fromarray(ramp(10)[number]).save(folder / f"{number:02}.png")
    return folder


def test_an_image_that_goes_before_it_is_read(images):
    video = iter(read_video(images))
    next(video)
    (images / "07.png").unlink()
    with pytest.raises(InputError, match=r"07\.png"):
        list(video)


def test_an_image_that_comes_while_others_are_read(images):
    video = iter(read_video(images))
    next(video)
    shutil.copy(images / "09.png", images / "10.png")
    with pytest.raises(InputError, match="images: has changed since it was opened"):
        list(video)


def test_an_image_of_which_half_is_there(images):
    video = iter(read_video(images))
    next(video)
    truncate(images / "07.png")
    with pytest.raises(InputError, match=r"07\.png"):
        list(video)


def test_files_that_are_no_images_may_come_and_go(images):
    video = iter(read_video(images))
    next(video)
    (images / "Thumbs.db").write_bytes(b"x")
    (images / "results").mkdir()
    assert len(list(video)) == 9


@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_arrays_that_become_shorter(tmp_path, ending):
    frames = np.zeros((30, 64, 64, 3), np.uint8)
    path = tmp_path / f"clip.{ending}"
    np.save(path, frames) if ending == "npy" else np.savez(path, frames=frames)
    video = iter(read_video(path, layout="THWC"))
    next(video)
    os.truncate(path, 5000)
    with pytest.raises(InputError, match=r"clip\.np"):
        list(video)


STORED = {"whole": {}, "chunks": {"chunks": True}, "shuffled": {"chunks": True, "shuffle": True}}
LAYOUTS = {
    "rnem-h5": {"test/features": (4, 6, 8, 8, 1), "test/groups": (4, 6, 8, 8, 1)},
    "multi-object-hdf5": {"image": (6, 8, 8, 3), "mask": (6, 8, 8, 1)},
    "dsprites-npz": {"imgs": (6, 64, 64)},
    "ecker": {"test": (6, 10, 3, 8, 8)},
    "shapes-h5": {"test/default": (1, 6, 8, 8, 1), "test/groups": (1, 6, 8, 8, 1)},
}


def write_ones(path, shapes, stored):
    with h5py.File(path, "w") as file:
        for name, shape in shapes.items():
            file.create_dataset(name, data=np.full(shape, 2, np.uint8), **STORED[stored])


@pytest.mark.parametrize("stored", STORED)
def test_frames_in_hdf5_that_become_fewer_are_not_zeros(tmp_path, stored):
    write_ones(tmp_path / "clip.h5", {"frames": (30, 32, 32, 3)}, stored)
    video = iter(read_video(tmp_path / "clip.h5", layout="THWC"))
    next(video)
    truncate(tmp_path / "clip.h5")
    with pytest.raises(InputError, match=r"clip\.h5: has become shorter since it was opened"):
        next(video)


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("name", LAYOUTS)
def test_records_in_hdf5_that_become_fewer_are_not_zeros(tmp_path, name, stored):
    write_ones(tmp_path / "set.h5", LAYOUTS[name], stored)
    source = SOURCES.get(name)("test", path=str(tmp_path / "set.h5"), test=[0, 6])
    assert source.sample(0).frames.any()
    os.truncate(tmp_path / "set.h5", (tmp_path / "set.h5").stat().st_size - 1)
    with pytest.raises(InputError, match=r"set\.h5: has become shorter since it was opened"):
        source.sample(5)


@pytest.mark.parametrize(
    ("form", "ending"), [("npy", ".npy"), ("npy", ".npz"), ("hdf5", ".h5"), ("webdataset", ".tar")]
)
def test_shards_that_become_shorter(tmp_path, form, ending):
    """A look at a part of a map that its file has no longer ends a process by a signal."""
    make(make_plan("balls-binary", "train", {"frames": 4}, 4, form), tmp_path / "balls")
    source = MadeSource(tmp_path / "balls", "train")
    source.sample(0)
    os.truncate(next((tmp_path / "balls").rglob(f"*{ending}")), 200)
    with pytest.raises(InputError, match="has become shorter since" if form == "npy" else "00000"):
        source.sample(3)


def test_arrays_of_a_data_set_that_become_shorter(tmp_path):
    np.save(tmp_path / "mnist_test_seq.npy", np.zeros((20, 7, 64, 64), np.uint8))
    source = SOURCES.get("moving-mnist-npy")("test", path=str(tmp_path / "mnist_test_seq.npy"))
    source.sample(0)
    os.truncate(tmp_path / "mnist_test_seq.npy", 5000)
    with pytest.raises(InputError, match=r"mnist_test_seq\.npy: has become shorter"):
        source.sample(6)


def test_shards_that_were_removed_are_read_as_far_as_they_are_open(tmp_path):
    np.save(tmp_path / "mnist_test_seq.npy", np.full((20, 7, 64, 64), 5, np.uint8))
    source = SOURCES.get("moving-mnist-npy")("test", path=str(tmp_path / "mnist_test_seq.npy"))
    (tmp_path / "mnist_test_seq.npy").unlink()
    assert (source.sample(6).frames == 5).all()
