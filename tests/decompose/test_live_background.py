"""What is drawn over where frames come one by one: learned from them, renewed, in memory that does not grow."""

import numpy as np
import pytest
import torch
from tests.decompose.test_background import apart, filmed, halved, model, wall

import scenewise as sw
from scenewise.decompose import live_background
from scenewise.decompose.live_background import LiveBackground

__all__ = ["model"]


def picture_after(background, frames):
    picture = None
    for frame in frames:
        new = background.see(frame)
        picture = picture if new is None else new
    return picture


def kept(seed):
    return torch.from_numpy(wall(seed)).permute(2, 0, 1).float() / 255


def test_a_camera_of_another_scene_is_drawn_over_what_it_shows(model):
    result = model.decompose(iter(filmed(wall(1))), name="camera")
    frames = list(result)
    first, last = frames[0].appearance[0] / 255, frames[-1].appearance[0] / 255
    empty = halved(wall(1))
    assert apart(first, filmed(wall(1))[0].reshape(24, 2, 40, 2, 3).mean((1, 3)) / 255) < 0.05, "the first frame"
    assert apart(last, empty) < 0.02
    assert apart(first[4:10, :6], empty[4:10, :6]) > 0.1 > apart(last[4:10, :6], empty[4:10, :6]), "the square has left"
    assert result.clip.reading["background"] == "live"
    assert sum("learned as frames came" in problem for problem in result.clip.problems) == 1


def test_the_models_picture_stays_while_it_shows_the_scene():
    background = LiveBackground(kept(0))
    picture = picture_after(background, filmed(wall(0)))
    assert torch.equal(picture[0], kept(0))
    assert (background.origin, background.notes) == ("model", ())


def test_a_camera_that_moves_is_told():
    panned = [np.roll(wall(1), 7 * t, 1) for t in range(20)]
    background = LiveBackground(kept(0))
    picture_after(background, panned)
    assert any("the camera moves" in note and "--background" in note for note in background.notes)


def test_what_was_moved_is_in_the_picture_after_a_while(monkeypatch):
    monkeypatch.setattr(live_background, "MOST_FRAMES", 24)
    monkeypatch.setattr(live_background, "LONGEST_STRIDE", 2)
    with_chair = wall(1)
    with_chair[30:40, 50:70] = 255
    background = LiveBackground(kept(0))
    before = picture_after(background, filmed(wall(1), 60))
    after = picture_after(background, filmed(with_chair, 100))
    chair = np.s_[:, 32:38, 52:68]
    assert float((before[0][chair] - kept(1)[chair]).abs().mean()) < 0.02
    assert float((after[0][chair] - 1).abs().mean()) < 0.02


def test_frames_that_are_kept_lie_evenly_and_do_not_grow_in_number(monkeypatch):
    looked = []
    made = live_background.emptiest

    def counted(frames):
        looked.append([int(frame[0, 0, 0]) + 256 * int(frame[0, 0, 1]) for frame in frames])
        return made(frames)

    monkeypatch.setattr(live_background, "emptiest", counted)
    background = LiveBackground(torch.zeros(3, 8, 8))
    for number in range(16000):
        frame = np.full((8, 8, 3), 100, np.uint8)
        frame[0, 0, :2] = number % 256, number // 256
        background.see(frame)
    assert [numbers[-1] + 1 for numbers in looked[:4]] == [20, 40, 80, 159]  # every second from the 121st on
    assert len(looked) < 16
    for numbers in looked:
        assert len(numbers) <= 120
        assert len(set(np.diff(numbers))) == 1, "evenly"
    assert 119 * 64 - 1 <= looked[-1][-1] - looked[-1][0] <= 120 * 64


@pytest.mark.parametrize("first", [0, 1])
def test_the_first_frame_decides_where_the_model_has_a_picture_of_its_own(first):
    background = LiveBackground(kept(0))
    shown = background.see(wall(first))[0]
    assert background.origin == ("live" if first else "model")
    assert float((shown - kept(first)).abs().max()) < 1e-6


def test_a_camera_is_drawn_over_a_given_picture_and_learns_none(model):
    frames = list(sw.stream(iter(filmed(wall(1))), model, background=wall(1)))
    assert apart(frames[0].appearance[0] / 255, halved(wall(1))) < 0.02
