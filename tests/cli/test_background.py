"""`scenewise background`: two pictures, or a plain word why not."""

import time

import numpy as np
import pytest
from PIL import Image

from scenewise.media import VideoWriter


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def table(tmp_path):
    """A video of a thing that stands there for most of the time."""
    with VideoWriter(tmp_path / "table.mp4", (48, 64), 25) as writer:
        for t in range(60):
            image = np.full((48, 64, 3), (90, 120, 150), np.uint8)
            if t < 45:
                image[16:32, 24:40] = (200, 40, 40)
            writer.write(image)
    return tmp_path / "table.mp4"


def test_the_picture_and_how_sure_it_is(scenewise, table, tmp_path):
    code, out, err = scenewise("background", table, "--out", tmp_path / "empty.png")
    assert (code, err) == (0, "")
    picture = np.array(Image.open(tmp_path / "empty.png"))
    assert picture.shape == (48, 64, 3)
    assert np.abs(picture[24, 32].astype(int) - (90, 120, 150)).max() < 6
    sure = np.array(Image.open(tmp_path / "empty-sure.png"))
    assert sure.shape == (48, 64)
    assert sure[24, 32] == pytest.approx(255 / 4, abs=15)
    assert sure[5, 5] > 240
    assert "empty.png: 64x48" in out
    assert "not sound" not in out


def test_size_and_part(scenewise, table, tmp_path):
    words = ("--size", "24,32", "--crop", "0,0,24,32", "--start", "10", "--every", "2")
    assert scenewise("background", table, "--out", tmp_path / "part.png", *words)[0] == 0
    assert Image.open(tmp_path / "part.png").size == (32, 24)


def test_what_is_there_is_left_alone(scenewise, table, tmp_path):
    (tmp_path / "empty-sure.png").write_bytes(b"mine")
    code, _, err = scenewise("background", table, "--out", tmp_path / "empty.png")
    assert code == 2
    assert "empty-sure.png: is there already" in err
    assert not (tmp_path / "empty.png").exists()
    assert scenewise("background", table, "--out", tmp_path / "empty.png", "--overwrite")[0] == 0


def test_a_picture_that_is_not_sound_says_so(scenewise, tmp_path):
    rng = np.random.default_rng(0)
    frames = np.full((60, 48, 64, 3), 120, np.uint8)
    frames[:, 10:40, 10:50] = rng.integers(0, 256, (60, 30, 40, 3))
    np.save(tmp_path / "restless.npy", frames)
    words = ("--layout", "THWC", "--out", tmp_path / "empty.png")
    code, out, _ = scenewise("background", tmp_path / "restless.npy", *words)
    assert code == 0
    assert "note: not sound" in out


def test_a_moving_camera_is_told_at_once(scenewise, tmp_path):
    wall = np.random.default_rng(0).integers(0, 256, (24, 200, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    with VideoWriter(tmp_path / "panned.mp4", (180, 320), 25) as writer:
        for t in range(500):
            writer.write(wall[:180, 2 * t : 2 * t + 320])
    began = time.process_time()
    code, _, err = scenewise("background", tmp_path / "panned.mp4", "--out", tmp_path / "empty.png")
    assert time.process_time() - began < 2
    assert code == 2
    assert "the camera moves" in err
    assert "--start" in err
    assert not (tmp_path / "empty.png").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("no-such.mp4", "--out", "empty.png"), "no-such.mp4"),
        (("no-such.mp4", "--out", "empty.txt"), "ending in .png"),
        (("no-such.mp4", "--out", "nowhere/empty.png"), "nowhere"),
        (("no-such.mp4", "--out", "empty.png", "--size", "3"), "--size"),
    ],
)
def test_wrong_words(scenewise, tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    code, _, err = scenewise("background", *words)
    assert code == 2
    assert says in err
