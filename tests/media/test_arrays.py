import os
import re
import subprocess
import sys
import tracemalloc
import zipfile

import h5py
import numpy as np
import pytest

from scenewise.errors import InputError
from scenewise.media import read_video, read_videos

from .footage import images, noise

VIDEOS = np.random.default_rng(0).integers(0, 256, (2, 5, 6, 8, 3), dtype=np.uint8)  # N, T, H, W, C


def save(path, values):
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".npz":
        np.savez(path, frames=values)
    else:
        with h5py.File(path, "w") as file:
            file["group/frames"] = values
    return path


def arranged(values, layout):
    """Axes of NTHWC brought into another order; an axis that is left out keeps its first entry."""
    kept = [letter for letter in "NTHWC" if letter in layout]
    values = values[tuple(slice(None) if letter in layout else 0 for letter in "NTHWC")]
    return values.transpose([kept.index(letter) for letter in layout])


@pytest.mark.parametrize("ending", [".npy", ".npz", ".h5"])
@pytest.mark.parametrize("layout", ["NTHWC", "TNHWC", "NTCHW", "TNCHW", "CWHTN"])
def test_every_video_comes_back_bit_for_bit(tmp_path, ending, layout):
    path = save(tmp_path / f"set{ending}", arranged(VIDEOS, layout))
    readers = read_videos(path, layout=layout)
    assert [reader.name for reader in readers] == ["set_0", "set_1"]
    for reader, video in zip(readers, VIDEOS, strict=True):
        assert np.array_equal(images(reader), video)
        assert (reader.size, reader.length_hint) == ((6, 8), 5)
        assert [(f.index, f.time_s) for f in reader] == [(i, None) for i in range(5)]


@pytest.mark.parametrize("layout", ["THWC", "TCHW", "thwc"])
def test_without_n_there_is_one_video(tmp_path, layout):
    path = save(tmp_path / "clip.npy", arranged(VIDEOS, layout.upper()))
    reader = read_video(path, layout=layout)
    assert (reader.name, images(reader).tolist()) == ("clip", VIDEOS[0].tolist())


def test_without_channels_frames_are_grey(tmp_path):
    path = save(tmp_path / "clip.npy", VIDEOS[0, ..., 0])
    assert np.array_equal(images(read_video(path, layout="THW")), np.repeat(VIDEOS[0, ..., :1], 3, axis=-1))


def test_four_channels_are_laid_on_black(tmp_path):
    clear = np.concatenate([VIDEOS[0], VIDEOS[1, ..., :1]], axis=-1)
    path = save(tmp_path / "clip.npy", clear)
    expected = VIDEOS[0] * (VIDEOS[1, ..., :1] / 255)
    assert np.abs(images(read_video(path, layout="THWC")) - expected).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_hold_zero_to_one(tmp_path, dtype):
    path = save(tmp_path / "clip.npy", (VIDEOS[0] / 255).astype(dtype))
    assert np.abs(images(read_video(path, layout="THWC")).astype(int) - VIDEOS[0]).max() <= (dtype == np.float16)


def test_bool_is_black_and_white(tmp_path):
    path = save(tmp_path / "clip.h5", VIDEOS[0, ..., 0] > 128)
    assert np.array_equal(images(read_video(path, layout="THW"))[..., 0], 255 * (VIDEOS[0, ..., 0] > 128))


def test_integers_of_zero_and_one_are_read_with_a_warning(tmp_path):
    path = save(tmp_path / "clip.npy", (VIDEOS[0, ..., 0] > 128).astype(np.uint8))
    reader = read_video(path, layout="THW")
    with pytest.warns(UserWarning, match="nearly black; store bool"):
        assert images(reader).max() == 1
    assert len(reader.problems) == 1


def test_every_start_stop_crop_and_size_select(tmp_path):
    path = save(tmp_path / "clip.npy", VIDEOS[0])
    reader = read_video(path, layout="THWC", start=1, stop=5, every=2, crop=(2, 0, 4, 8), size=(2, 4))
    assert [f.index for f in reader] == [1, 3]
    expected = VIDEOS[0, 1:5:2, 2:].reshape(2, 2, 2, 4, 2, 3).mean((2, 4))
    assert np.abs(images(reader) - expected).max() <= 1


@pytest.mark.parametrize("ending", [".npy", ".npz", ".h5"])
def test_without_a_layout_shape_and_choices_are_named(tmp_path, ending):
    path = save(tmp_path / f"set{ending}", VIDEOS)
    with pytest.raises(InputError) as caught:
        read_video(path)
    assert "(2, 5, 6, 8, 3)" in caught.value.problem
    assert "uint8" in caught.value.problem
    assert "--layout" in caught.value.remedy
    assert "NTHWC, TNHWC" in caught.value.remedy
    assert "NTCHW" not in caught.value.remedy, "6 is no number of channels"


@pytest.mark.parametrize(
    ("layout", "problem"),
    [
        ("THWC", "names 4 axes"),
        ("NTCHW", "gives 6 channels"),
        ("NTHHC", "each once"),
        ("NTXWC", "each once"),
        ("NTCH", "each once"),
        ("", "each once"),
    ],
)
def test_a_layout_that_does_not_fit_is_an_input_error(tmp_path, layout, problem):
    path = save(tmp_path / "set.npy", VIDEOS)
    with pytest.raises(InputError, match=problem) as caught:
        read_video(path, layout=layout)
    assert "NTHWC" in caught.value.remedy


def test_several_videos_are_not_one(tmp_path):
    path = save(tmp_path / "set.npy", VIDEOS)
    with pytest.raises(InputError, match="expected one video; found 2"):
        read_video(path, layout="NTHWC")


@pytest.mark.parametrize(
    ("value", "problem"),
    [(np.nan, "NaN"), (np.inf, "NaN or infinite"), (1.5, r"\[0, 1\]; found \[0, 1.5\]"), (-0.5, r"found \[-0.5, 0\]")],
)
def test_floats_that_are_no_colours_name_the_frame(tmp_path, value, problem):
    values = np.zeros((3, 4, 4), np.float32)
    values[2, 1, 1] = value
    reader = read_video(save(tmp_path / "clip.npy", values), layout="THW")
    with pytest.raises(InputError, match=rf"clip\.npy, video 0, frame 2: .*{problem}") as caught:
        list(reader)
    assert caught.value.remedy


def test_integers_above_255_are_an_input_error(tmp_path):
    path = save(tmp_path / "clip.npy", np.full((2, 4, 4), 256, np.int64))
    with pytest.raises(InputError, match=r"int64 values in \[0, 255\]; found \[256, 256\]"):
        list(read_video(path, layout="THW"))


def test_other_dtypes_are_an_input_error(tmp_path):
    path = save(tmp_path / "clip.npy", np.zeros((2, 4, 4), np.complex64))
    with pytest.raises(InputError, match="complex64"):
        list(read_video(path, layout="THW"))


class Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('unpickled')",))


@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_pickles_are_never_loaded(tmp_path, ending):
    path = save(tmp_path / f"clip{ending}", np.array([Bomb()] * 3, dtype=object))
    with pytest.raises(InputError, match=r"pickled objects.* never loaded"):
        read_video(path, layout="THW")


def test_a_bare_pickle_named_npy_is_never_loaded(tmp_path):
    import pickle

    (tmp_path / "clip.npy").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InputError, match="never loaded"):
        read_video(tmp_path / "clip.npy", layout="THW")


def test_an_array_without_frames_is_an_input_error(tmp_path):
    path = save(tmp_path / "clip.npy", np.zeros((0, 4, 4), np.uint8))
    with pytest.raises(InputError, match="holds no frame"):
        read_video(path, layout="THW")


@pytest.mark.parametrize("ending", [".npy", ".npz", ".h5"])
@pytest.mark.parametrize("kept", [0, 40, 0.5], ids=["empty", "header", "half"])
def test_cut_files_are_input_errors(tmp_path, ending, kept):
    path = save(tmp_path / f"set{ending}", VIDEOS)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if kept < 1 else kept])
    with pytest.raises(InputError, match=f"set{ending}") as caught:
        list(read_videos(path, layout="NTHWC")[1])
    assert caught.value.remedy


@pytest.mark.parametrize("ending", [".npz", ".h5"])
def test_several_arrays_need_a_key(tmp_path, ending):
    path, other = tmp_path / f"set{ending}", np.zeros((7, 2))
    if ending == ".npz":
        np.savez(path, frames=VIDEOS, other=other)
    else:
        with h5py.File(path, "w") as file:
            file["frames"], file["deep/other"] = VIDEOS, other
    assert np.array_equal(images(read_videos(path, layout="NTHWC", key="frames")[1]), VIDEOS[1])
    with pytest.raises(InputError, match=r"frames \(2, 5, 6, 8, 3\).*--key"):
        read_videos(path, layout="NTHWC")
    with pytest.raises(InputError, match=r"no array .frame.*Did you mean .frames."):
        read_videos(path, layout="NTHWC", key="frame")


def test_compressed_npz_and_fortran_order_are_read(tmp_path):
    np.savez_compressed(tmp_path / "small.npz", frames=VIDEOS)
    np.savez(tmp_path / "turned.npz", frames=np.asfortranarray(VIDEOS))
    for name in ("small.npz", "turned.npz"):
        assert np.array_equal(images(read_videos(tmp_path / name, layout="NTHWC")[1]), VIDEOS[1])


@pytest.mark.parametrize("ending", [".npy", ".npz", ".h5"])
def test_reading_one_video_of_a_large_file_takes_little_memory(tmp_path, ending):
    path = save(tmp_path / f"set{ending}", np.zeros((50, 20, 64, 64, 3), np.uint8))  # 12 MB
    tracemalloc.start()
    try:
        for _ in read_videos(path, layout="NTHWC")[30]:
            pass
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()


def test_real_relational_nem_layout(shared_data):
    path = shared_data / "rnem_balls/balls4mass64_from_gif.h5"
    readers = read_videos(path, layout="TNHWC", key="test/features")
    assert (len(readers), readers[0].length_hint, readers[0].size) == (4, 500, (64, 64))
    with h5py.File(path) as file:
        assert np.array_equal(images(readers[3])[..., 0], file["test/features"][:, 3, ..., 0] * 255)


def test_an_hdf5_file_that_another_program_has_open_is_named_and_its_remedy_works(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["frames"] = noise(3)
    holder = "import h5py, sys; file = h5py.File(sys.argv[1], 'r+'); print('open', flush=True); sys.stdin.read()"
    process = subprocess.Popen([sys.executable, "-c", holder, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline().strip() == b"open"
        with pytest.raises(InputError, match="is locked: another program has it open") as caught:
            read_video(path, layout="THWC")
        setting = re.search(r"HDF5_USE_FILE_LOCKING=FALSE", caught.value.remedy)[0]
        reader = "import sys, scenewise as sw; print(len(list(sw.read_video(sys.argv[1], layout='THWC'))))"
        environment = {**os.environ, **dict([setting.split("=")])}
        told = subprocess.run([sys.executable, "-c", reader, path], env=environment, capture_output=True, text=True)
        assert told.stdout.strip() == "3", told.stderr
    finally:
        process.communicate()


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["frames"] = noise(3)

    def refuse(*words, **options):
        raise OSError(37, "Unable to synchronously open file (unable to lock file, errno = 37, 'No locks available')")

    monkeypatch.setattr(h5py, "File", refuse)
    with pytest.raises(InputError, match="its file system has no locks") as caught:
        read_video(tmp_path / "x.h5", layout="THWC")
    assert "HDF5_USE_FILE_LOCKING=FALSE" in caught.value.remedy


@pytest.mark.parametrize("ending", [".npy", ".npz", ".h5"])
def test_a_file_that_becomes_shorter_is_told(tmp_path, ending, monkeypatch):
    monkeypatch.setattr("scenewise.media.npy.LOOK_AFTER", 0.0)
    path = save(tmp_path / f"video{ending}", np.zeros((50, 64, 64, 3), np.uint8))
    with read_video(path, layout="THWC") as reader:
        frames = iter(reader)
        next(frames)
        os.truncate(path, 5000)
        with pytest.raises(InputError, match="become shorter"):
            next(frames)


def test_a_sparse_file_that_claims_terabytes_is_refused(tmp_path):
    with (tmp_path / "video.npy").open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (10**8, 64, 64, 3)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 10**8 * 64 * 64 * 3)
    with pytest.raises(InputError, match="of which 0 were ever written"):
        read_video(tmp_path / "video.npy", layout="THWC")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_with_a_name_twice_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "clip.npz", "w") as archive:
        for name in ("a.npy", "b.npy", "a.npy"):
            with archive.open(name, "w") as file:
                np.lib.format.write_array(file, np.zeros((2, 8, 8), np.uint8))
    for key in (None, "a"):
        with pytest.raises(InputError, match=r"clip\.npz: holds 'a' more than once\."):
            read_video(tmp_path / "clip.npz", layout="THW", key=key)
