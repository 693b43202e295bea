"""Clips that are drawn: unlike frames are as frequent as frequent ones, and pictures vary with their frames."""

import numpy as np
import pytest

from scenewise.data import SOURCES
from scenewise.data.footage.sampling import NOMINAL, ClipSampler, Draw, Variation, clusters


def _frames() -> np.ndarray:
    """200 frames of a grey scene, but a white half in frames 150 to 159 and a black one in 190 to 193."""
    frames = np.full((200, 16, 24, 3), 120, np.uint8)
    frames[150:160, :, :12], frames[190:194, :, 12:] = 255, 0
    return frames


def test_frames_that_look_alike_are_together() -> None:
    groups = [set(group.tolist()) for group in clusters(_frames())]
    rest = set(range(200)) - set(range(150, 160)) - set(range(190, 194))
    assert groups == [rest, set(range(150, 160)), set(range(190, 194))]


def test_rare_frames_are_drawn_as_often_as_frequent_ones() -> None:
    drawing = ClipSampler(Variation(clusters=True), {0: (0, 200)}, lambda file: _frames(), 3)
    draws = [drawing.draw(index) for index in range(600)]
    rare = np.mean([draw.begin + 2 >= 150 and draw.begin < 160 for draw in draws])
    assert rare == pytest.approx(1 / 3, abs=0.08)
    assert all(0 <= draw.begin <= 197 for draw in draws)
    assert [drawing.draw(index) for index in range(600)] == draws


def test_draws_lie_inside_their_part_whatever_the_step() -> None:
    drawing = ClipSampler(Variation(steps=9, flips=True, shift=(2, 3)), {4: (20, 40)}, lambda file: _frames(), 4)
    draws = [drawing.draw(index) for index in range(300)]
    assert all(draw.file == 4 and draw.begin >= 20 and draw.begin + 3 * draw.step < 40 for draw in draws)
    assert {draw.step for draw in draws} == set(range(1, 7))  # (40 - 20 - 1) // 3 is the longest that fits
    assert {draw.flip for draw in draws} == {False, True}
    assert {draw.shift[0] for draw in draws} == set(range(-2, 3))


def test_images_are_mirrored_and_shifted_with_borders_repeated() -> None:
    images = np.arange(2 * 3 * 4 * 1).reshape(2, 3, 4, 1)
    varied = Draw(0, 0, 1, flip=True, shift=(1, -1)).varied(images)
    expected = np.pad(images[:, :, ::-1], ((0, 0), (1, 0), (0, 1), (0, 0)), mode="edge")[:, :3, 1:]
    assert np.array_equal(varied, expected)


def test_a_source_varies_picture_and_frames_alike(tmp_path) -> None:
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 256, (16, 24, 3)).astype(np.uint8)
    np.save(tmp_path / "still.npy", np.repeat(scene[None], 60, 0))
    settings = {
        "files": [str(tmp_path / "still.npy")], "layout": "THWC", "size": [16, 24], "cache": str(tmp_path / "cache"),
        "clip_length": 3, "background": "emptiest", "variation": {"flips": True, "shift": [2, 3]},
    }  # fmt: skip
    source = SOURCES.get("footage")("train", **settings)
    assert len(source) == NOMINAL
    pictures = [source.background(index) for index in range(20)]
    for index, picture in enumerate(pictures):
        assert picture.shape == (3, 16, 24)
        assert np.abs(picture.astype(int) - source.sample(index).frames[1]).max() <= 1
    assert len({picture.tobytes() for picture in pictures}) > 10
    validation = SOURCES.get("footage")("validation", **settings)
    assert len(validation) < 10
    assert np.abs(np.moveaxis(validation.background(0), 0, -1).astype(int) - scene).max() <= 1


def test_sources_without_a_picture_say_so(tmp_path) -> None:
    np.save(tmp_path / "v.npy", _frames())
    source = SOURCES.get("footage")("train", files=[str(tmp_path / "v.npy")], layout="THWC", cache=str(tmp_path))
    assert source.background(0) is None
    assert len(source) < 100
