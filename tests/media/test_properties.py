"""What must hold for any array, any crop, and any bytes at all."""

import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from scenewise.errors import InputError
from scenewise.media import VideoWriter, read_video, read_videos

from .footage import images, noise, ramp, write_video

ENDINGS = ["mp4", "mov", "mkv", "webm", "avi", "gif", "png", "jpg", "bmp", "tif", "webp", "npy", "npz", "h5"]
FORMAT_STARTS = [
    b"",
    b"\x00\x00\x00\x18ftypmp42",
    b"\x1aE\xdf\xa3",
    b"RIFF\x10\0\0\0AVI ",
    b"GIF89a",
    b"\x89PNG\r\n\x1a\n",
]
FORMAT_STARTS += [
    b"\xff\xd8\xff\xe0",
    b"BM",
    b"II*\0",
    b"RIFF\x10\0\0\0WEBP",
    b"\x93NUMPY\1\0",
    b"PK\3\4",
    b"\x89HDF\r\n\x1a\n",
]


def drain(path):
    """Read everything, with all warnings let pass."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for reader in read_videos(path, layout="THW"):
            for frame in reader:
                assert frame.image.dtype == np.uint8
                assert frame.image.shape == (*reader.size, 3)


def _drain_or_refuse(path):
    """Anything but an `InputError` that names the file and the remedy fails the test."""
    refusal = None
    try:
        drain(path)
    except InputError as error:
        refusal = error
    assert refusal is None or (refusal.subject.startswith(str(path)) and refusal.remedy)


@settings(max_examples=150)
@given(st.sampled_from(ENDINGS), st.sampled_from(FORMAT_STARTS), st.binary(max_size=300))
def test_random_bytes_raise_input_errors_only(ending, start, rest):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a.{ending}"
        path.write_bytes(start + rest)
        _drain_or_refuse(path)


@pytest.fixture(scope="module")
def good_files(tmp_path_factory):
    """One good file of each kind."""
    folder = tmp_path_factory.mktemp("good")
    for ending in ("mp4", "mov", "mkv", "webm", "avi"):
        codec = {"mp4": "libx264", "webm": "libvpx-vp9"}.get(ending)
        write_video(folder / f"a.{ending}", noise(6, 16, 16), codec=codec)
    from PIL import Image

    pages = [Image.fromarray(frame) for frame in ramp(6)]
    pages[0].save(folder / "a.gif", save_all=True, append_images=pages[1:])
    for ending in ("png", "jpg", "bmp", "tif", "webp"):
        pages[0].save(folder / f"a.{ending}")
    grey = noise(4, 6, 8)[..., 0]
    np.save(folder / "a.npy", grey)
    np.savez(folder / "a.npz", grey)
    import h5py

    with h5py.File(folder / "a.h5", "w") as file:
        file["a"] = grey
    for path in folder.iterdir():
        drain(path)
    return {path.suffix[1:]: path.read_bytes() for path in folder.iterdir()}


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(ENDINGS), st.data())
def test_damaged_files_raise_input_errors_only(good_files, ending, data):
    content = bytearray(good_files[ending])
    for _ in range(data.draw(st.integers(0, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(content)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a.{ending}"
        path.write_bytes(content[:cut])
        _drain_or_refuse(path)


@st.composite
def arrays_with_layout(draw):
    letters = draw(st.sampled_from(["NTHWC", "THWC", "NTHW", "THW", "HWC", "HW"]))
    layout = "".join(draw(st.permutations(letters)))
    shape = [draw(st.sampled_from([1, 3, 4])) if x == "C" else draw(st.integers(1, 5)) for x in layout]
    dtype = draw(st.sampled_from([np.uint8, np.bool_]))
    return layout, draw(arrays(dtype, tuple(shape)))


@settings(max_examples=60)
@given(arrays_with_layout(), st.sampled_from(["npy", "npz", "h5"]))
@pytest.mark.filterwarnings("ignore:.*nearly black")
def test_any_layout_gives_each_frame_its_place(given_array, ending):
    import h5py

    layout, values = given_array
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a.{ending}"
        if ending == "h5":
            with h5py.File(path, "w") as file:
                file["a"] = values
        else:
            (np.save if ending == "npy" else np.savez)(path, values)
        read = np.stack([images(reader) for reader in read_videos(path, layout=layout)])  # (N, T, H, W, 3)
    full = values.transpose([layout.index(x) for x in "NTHWC" if x in layout])
    full = full.reshape([values.shape[layout.index(x)] if x in layout else 1 for x in "NTHWC"]).astype(float)
    full = full * 255 if values.dtype == bool else full
    expected = full[..., :3] * full[..., 3:] / 255 if full.shape[-1] == 4 else full
    assert np.abs(read - expected).max() <= 0.5


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_video(path, noise(9, 12, 14))
    return path


@settings(max_examples=60)
@given(st.data())
def test_any_selection_is_what_slicing_gives(clip, data):
    frames = noise(9, 12, 14)
    top, left = data.draw(st.integers(0, 11)), data.draw(st.integers(0, 13))
    height, width = data.draw(st.integers(1, 12 - top)), data.draw(st.integers(1, 14 - left))
    start, every = data.draw(st.integers(0, 8)), data.draw(st.integers(1, 10))
    stop = data.draw(st.none() | st.integers(start + 1, 20))
    reader = read_video(clip, crop=(top, left, height, width), start=start, stop=stop, every=every)
    expected = frames[start:stop:every, top : top + height, left : left + width]
    assert np.array_equal(images(reader), expected)
    assert reader.length_hint == len(expected)


@settings(max_examples=25)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 12))
def test_any_size_is_written_and_read(height, width, count):
    with tempfile.TemporaryDirectory() as folder:
        with VideoWriter(Path(folder) / "a.mp4", (height, width), 10) as writer:
            for frame in ramp(count, height, width):
                writer.write(frame)
        read = images(read_video(Path(folder) / "a.mp4", crop=(0, 0, height, width)))
    assert np.abs(read.astype(int) - ramp(count, height, width)).max() <= 4
