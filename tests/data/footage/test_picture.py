"""The background picture of a whole file: made once, made again when the file changes, refused where a camera moves."""

import numpy as np
import pytest

import scenewise as sw
from scenewise.data.footage import picture
from scenewise.errors import InputError
from scenewise.media import VideoWriter, read_video


def table(frames=60):
    """A thing that stands on a smooth table for three quarters of the time."""
    rows, columns = np.mgrid[:48, :64]
    empty = np.stack([90 + columns, 120 + rows, np.full_like(rows, 150)], -1).astype(np.uint8)
    video = np.repeat(empty[None], frames, 0)
    video[: 3 * frames // 4, 16:32, 24:40] = (200, 40, 40)
    return video, empty


def panned(frames=60):
    wall = np.random.default_rng(0).integers(0, 256, (9, 40, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    return np.stack([wall[:48, 2 * t : 2 * t + 80] for t in range(frames)])


def written(video, path):
    with VideoWriter(path, video.shape[1:3], 25) as writer:
        for frame in video:
            writer.write(frame)
    return path


def test_the_emptiest_picture_of_a_file_an_array_and_a_reader(tmp_path):
    video, empty = table()
    file = written(video, tmp_path / "table.mp4")
    for source in (video, file, read_video(file)):
        found = sw.background(source, **({} if source is video else {"folder": tmp_path / "cache"}))
        assert np.abs(found.picture - empty / 255).max(-1).mean() < 0.02
        assert np.abs(found.picture - empty / 255)[18:30, 26:38].mean() < 0.03
        assert found.support[24, 32] == pytest.approx(0.25, abs=0.05)
        assert found.sound


def test_a_file_is_read_once_and_again_when_it_changes(tmp_path):
    video, _ = table()
    file, told = written(video, tmp_path / "table.mp4"), []

    def make(**more):
        return sw.background(file, folder=tmp_path / "cache", progress=lambda *state: told.append(state), **more)

    first = make()
    assert told[-1] == ("table", 60, 60)
    told.clear()
    again = make()
    assert not told
    assert np.array_equal(again.picture, first.picture)
    assert np.array_equal(again.support, first.support)
    assert (again.noise, again.reasons) == (first.noise, first.reasons)
    assert make(size=(24, 32)).picture.shape == (24, 32, 3)
    assert told
    told.clear()
    assert make(stop=30).support[24, 32] > 0.9, "the first half never shows it without the thing"
    written(video[::-1], file)
    told.clear()
    make()
    assert told


def test_a_damaged_picture_is_made_anew(tmp_path):
    file = written(table()[0], tmp_path / "table.mp4")
    first = sw.background(file, folder=tmp_path / "cache")
    (stored,) = (tmp_path / "cache").iterdir()
    np.save(tmp_path / "other.npy", np.zeros(3))
    for content in (stored.read_bytes()[:100], (tmp_path / "other.npy").read_bytes(), b""):
        stored.write_bytes(content)
        assert np.array_equal(sw.background(file, folder=tmp_path / "cache").picture, first.picture)


def test_reasons_are_kept_with_the_picture(tmp_path):
    video, _ = table()
    rng = np.random.default_rng(0)
    video[:, 10:40, 10:50] = rng.integers(0, 256, (60, 30, 40, 3))  # something that never rests
    np.save(tmp_path / "restless.npy", video)
    first, again = (
        sw.background(tmp_path / "restless.npy", folder=tmp_path / "cache", layout="THWC") for _ in range(2)
    )
    assert not first.sound
    assert again.reasons == first.reasons
    assert "empty" in first.reasons[0]


def test_a_moving_camera_is_refused_before_the_file_is_read(tmp_path):
    file, told = written(panned(), tmp_path / "panned.mp4"), []
    with pytest.raises(InputError, match=r"camera moves.*vidstab"):
        sw.background(file, folder=tmp_path / "cache", progress=lambda *state: told.append(state))
    assert not told
    assert not (tmp_path / "cache").exists()


def test_too_few_frames_are_refused(tmp_path):
    file = written(table(12)[0], tmp_path / "short.mp4")
    with pytest.raises(InputError, match="at least 20"):
        sw.background(file, folder=tmp_path / "cache")


def test_large_videos_are_made_smaller_unless_a_size_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(picture, "SIDE", 32)
    file = written(table()[0], tmp_path / "table.mp4")
    assert sw.background(file, folder=tmp_path / "cache").picture.shape == (24, 32, 3)
    assert sw.background(file, folder=tmp_path / "cache", size=(48, 64)).picture.shape == (48, 64, 3)
