import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import scenewise
from scenewise.errors import InputError
from scenewise.media import files, read_video, read_videos

from .footage import noise, write_video


def test_read_video_is_public():
    assert scenewise.read_video is read_video


def test_importing_media_loads_no_heavy_library():
    code = "import scenewise.media, sys; print([m for m in ('av','PIL','h5py','torch','numpy') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["a.mp4", "a.png", "a.npy", "a.h5", "folder"])
def test_a_missing_path_is_named(tmp_path, name):
    with pytest.raises(InputError, match=f"{name}: expected .*found") as caught:
        read_video(tmp_path / name, layout="THW")
    assert caught.value.remedy


def test_an_unknown_ending_lists_the_known_ones(tmp_path):
    (tmp_path / "a.docx").write_bytes(b"x")
    with pytest.raises(InputError, match=r"\.mp4.*\.png.*\.npz.*found '\.docx'"):
        read_video(tmp_path / "a.docx")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["a.mp4", "a.gif", "a.png", "a.npy", "a.h5", "a"])
def test_a_pipe_does_not_hang(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match="regular file"):
        read_video(tmp_path / name, layout="THW")


def test_a_folder_named_like_a_video_is_a_folder(tmp_path):
    (tmp_path / "clip.mp4").mkdir()
    with pytest.raises(InputError, match="expected images"):
        read_video(tmp_path / "clip.mp4")


def _refuse(*_args, **_options):
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize("name", ["a.mp4", "a.png", "a.npy"])
def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch, name):
    (tmp_path / name).write_bytes(b"x")
    monkeypatch.setattr(files.os, "access", lambda *_: False)
    monkeypatch.setattr(files.Path, "open", _refuse)
    with pytest.raises(InputError, match=f"{name}: may not be read") as caught:
        read_video(tmp_path / name, layout="THW")
    assert "permissions" in caught.value.remedy


def test_a_file_in_a_protected_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(files.Path, "is_dir", _refuse)
    with pytest.raises(InputError, match=r"a\.mp4: may not be read"):
        read_video(tmp_path / "a.mp4")


def test_a_file_in_a_folder_that_may_not_be_entered_is_no_missing_one(tmp_path, monkeypatch):
    monkeypatch.setattr(files.Path, "lstat", _refuse)
    with pytest.raises(InputError, match=r"0\.png: may not be read"):
        files.check_readable(tmp_path / "0.png")


@pytest.mark.parametrize("path", ["x" * 5000 + ".mp4", "a\0b.mp4"], ids=["long", "null"])
def test_a_name_that_no_file_can_have_is_an_input_error(path):
    with pytest.raises(InputError, match="expected"):
        read_video(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_protected_file_is_named(tmp_path):
    write_video(tmp_path / "clip.mp4", noise())
    (tmp_path / "clip.mp4").chmod(0)
    with pytest.raises(InputError, match="may not be read"):
        read_video(tmp_path / "clip.mp4")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("size", 0),
        ("size", (4, -1)),
        ("size", 10**6),
        ("size", (4, 4, 4)),
        ("crop", (0, 0, 0, 4)),
        ("crop", (-1, 0, 4, 4)),
        ("crop", (0, 0, 4)),
        ("every", 0),
        ("start", -1),
        ("stop", 0),
        ("channels", 2),
    ],
)
def test_options_out_of_range_are_named(tmp_path, option, value):
    write_video(tmp_path / "clip.mp4", noise())
    with pytest.raises(InputError, match=f"^{option}: expected .*found"):
        read_video(tmp_path / "clip.mp4", **{option: value})


def test_a_folder_of_videos_opens_each(tmp_path):
    for name in ("b10.mp4", "b9.avi"):
        write_video(tmp_path / name, noise())
    (tmp_path / "notes.txt").write_text("x")
    assert [reader.name for reader in read_videos(tmp_path)] == ["b9", "b10"]


@pytest.mark.parametrize(
    ("name", "safe"), [("a b:c*.mp4", "a_b_c"), ("..mp4.mp4", "mp4"), ("été 1.mp4", "été_1"), ("a.b.mp4", "a.b")]
)
def test_names_are_safe_for_folders(tmp_path, name, safe):
    write_video(tmp_path / "clip.mp4", noise(1))
    (tmp_path / "clip.mp4").rename(tmp_path / name)
    assert read_video(tmp_path / name).name == safe


def test_text_paths_and_relative_paths_work(tmp_path, monkeypatch):
    write_video(tmp_path / "clip.mp4", noise())
    monkeypatch.chdir(tmp_path)
    assert next(iter(read_video("clip.mp4"))).image.shape == (20, 24, 3)
    np.save(tmp_path / "clip.npy", noise())
    assert read_video(Path("clip.npy"), layout="THWC").length_hint == 6
