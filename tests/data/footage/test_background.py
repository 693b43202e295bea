"""The emptiest picture: objects that stand still most of the time are not in it."""

import numpy as np
import pytest

from scenewise.data.footage.background import emptiest
from scenewise.errors import InputError


def _video(light: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """A box stands on a table for 85 of 100 frames, another crosses the scene; return frames and the empty table."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[0:36, 0:64]
    empty = np.stack([120 + columns, 130 + 0.5 * columns, np.where(rows < 20, 90, 160)], -1)
    frames = np.repeat(empty[None], 100, 0).astype(float)
    frames[:85, 12:26, 20:30] = (60, 40, 200)
    for t in range(30, 60):
        frames[t, 5:12, 2 * (t - 30) : 2 * (t - 30) + 5] = (20, 220, 30)
    if light:
        frames *= np.linspace(0.85, 1.15, 100)[:, None, None, None]
    frames += rng.normal(0, 2, frames.shape)
    return frames.round().clip(0, 255).astype(np.uint8), empty / 255


@pytest.mark.parametrize("light", [False, True])
def test_what_stands_still_most_of_the_time_is_taken_away(light: bool) -> None:
    frames, empty = _video(light)
    background = emptiest(frames)
    assert background.picture.dtype == np.float32
    assert background.picture.shape == (36, 64, 3)
    assert np.abs(np.median(frames, 0) / 255 - empty)[14:24, 22:28].max() > 0.3, "the median holds the box"
    assert np.abs(background.picture - empty).max(-1).mean() < (0.03 if light else 0.005)
    assert np.abs(background.picture - empty)[14:24, 22:28].max() < 0.05
    assert background.sound


@pytest.mark.parametrize(("share", "level"), [(0.5, 150), (0.65, 190), (0.65, 230), (0.8, 150)])
def test_what_fills_most_of_a_frame_is_no_light(share: float, level: int) -> None:
    rng = np.random.default_rng(0)
    empty = 110 + np.broadcast_to(0.8 * np.arange(40)[None, :, None], (24, 40, 3)).copy()
    empty[17:] = 180
    frames = np.repeat(empty[None], 60, 0)
    frames[:36, 6:20, 8:14] = 40
    for frame in frames[3::6]:  # an arm before the lens
        width = int(40 * share)
        left = rng.integers(0, 41 - width)
        frame[:, left : left + width] = level
    background = emptiest(frames.round().astype(np.uint8))
    assert np.abs(background.picture - empty / 255).max() < 0.02
    assert background.sound


def test_support_says_how_often_a_place_was_seen_empty() -> None:
    support = emptiest(_video()[0]).support
    assert support.shape == (36, 64)
    assert support[14:24, 22:28].mean() == pytest.approx(0.15, abs=0.03)
    assert support[30:, :].mean() > 0.9


def test_noise_is_that_of_the_frames() -> None:
    assert emptiest(_video()[0]).noise == pytest.approx(2 / 255, rel=0.15)


def test_large_frames_give_a_picture_of_their_size() -> None:
    frames, empty = _video()
    large = frames.repeat(5, 1).repeat(5, 2)[:, :-3, :-2]  # 177 x 318: sides that no block divides
    background = emptiest(large)
    assert background.picture.shape == (177, 318, 3)
    reference = empty.repeat(5, 0).repeat(5, 1)[:-3, :-2]
    assert np.abs(background.picture - reference).mean() < 0.01


def test_a_camera_that_moves_has_no_sound_picture() -> None:
    rng = np.random.default_rng(1)
    scene = rng.integers(0, 256, (9, 60, 3)).repeat(4, 0).repeat(4, 1).astype(np.uint8)
    frames = np.stack([scene[:, 2 * t : 2 * t + 64] for t in range(60)])
    background = emptiest(frames)
    assert not background.sound
    assert "camera" in background.reasons[0]


def test_too_few_frames_or_another_array_are_refused() -> None:
    with pytest.raises(InputError, match="at least 20"):
        emptiest(np.zeros((5, 8, 8, 3), np.uint8))
    with pytest.raises(InputError, match="uint8"):
        emptiest(np.zeros((50, 8, 8, 3), np.float32))
