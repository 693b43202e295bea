"""Frames to come, cut out of the last one that was seen."""

import pytest
import torch

from scenewise.nn.cutouts import Motion, displacement, moved_cutouts

HEIGHT, WIDTH = 12, 17


def _scene() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Frame, owner and wall: slot 1 red at rows 4 to 7, columns 2 to 4, slot 2 green further right."""
    wall = torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0)) * 0.3
    frame, owner = wall + 0.05, torch.zeros(1, HEIGHT, WIDTH, dtype=torch.int64)
    for slot, columns, colour in ((1, slice(2, 5), (1.0, 0.0, 0.0)), (2, slice(9, 12), (0.0, 1.0, 0.0))):
        frame[0, :, 4:8, columns] = torch.tensor(colour).view(3, 1, 1)
        owner[0, 4:8, columns] = slot
    return frame, owner, wall


def _composed(means: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    return (logits.softmax(1) * means).sum(1)


def test_a_scene_at_rest_stays_as_it_was_seen() -> None:
    frame, owner, wall = _scene()
    shift = torch.tensor([[[0.0, 0.0], [0.4 / 8, 0.0], [0.0, 0.0]]])  # less than half a pixel
    torch.testing.assert_close(_composed(*moved_cutouts(frame, owner, wall, shift)), frame, atol=2e-3, rtol=0)


def test_an_object_goes_on_and_leaves_the_wall_behind() -> None:
    frame, owner, wall = _scene()
    shift = torch.tensor([[[0.0, 0.0], [5 * 2 / (WIDTH - 1), 2 * 2 / (HEIGHT - 1)], [0.0, 0.0]]])
    means, logits = moved_cutouts(frame, owner, wall, shift)
    expected = frame.clone()
    expected[0, :, 4:8, 2:5] = wall[0, :, 4:8, 2:5]
    expected[0, :, 6:10, 7:10] = frame[0, :, 4:8, 2:5]  # and hides a column of the other
    torch.testing.assert_close(_composed(means, logits), expected, atol=2e-3, rtol=0)
    assert (logits.argmax(1)[0, 0, 6:10, 7:10] == 1).all()
    assert (logits.argmax(1)[0, 0, 4:8, 10:12] == 2).all()


def test_half_a_pixel_is_shared_between_two() -> None:
    frame, owner, wall = _scene()
    shift = torch.tensor([[[0.0, 0.0], [1.5 * 2 / (WIDTH - 1), 0.0], [0.0, 0.0]]])
    masks = moved_cutouts(frame, owner, wall, shift)[1].softmax(1)[0, 1, 0, 5]
    assert masks[2:8].tolist() == pytest.approx([0, 0.5, 1, 1, 0.5, 0], abs=1e-3)


@pytest.mark.parametrize("step", [(0, 0), (3, 0), (-2, 1), (1, -4)])
def test_how_far_an_object_went_is_measured(step: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(1)
    thing, wall = torch.rand(3, 5, 6, generator=generator), torch.full((1, 3, 20, 24), 0.5)
    before, now, owner = wall.clone(), wall.clone(), torch.zeros(1, 20, 24, dtype=torch.int64)
    before[0, :, 8:13, 9:15] = thing
    now[0, :, 8 + step[1] : 13 + step[1], 9 + step[0] : 15 + step[0]] = thing
    owner[0, 8 + step[1] : 13 + step[1], 9 + step[0] : 15 + step[0]] = 1
    distance = displacement(before, now, owner, 3)[0]
    assert distance[1].tolist() == pytest.approx(step, abs=0.25)
    assert not distance[[0, 2]].any()


def test_noise_is_no_motion() -> None:
    generator = torch.Generator().manual_seed(2)
    before, now = 0.5 + 0.02 * torch.randn(2, 1, 3, 12, 12, generator=generator)
    owner = torch.zeros(1, 12, 12, dtype=torch.int64)
    owner[0, 3:9, 3:9] = 1
    assert not displacement(before, now, owner, 2).any()


def test_a_steady_motion_keeps_its_speed_and_a_wavering_one_loses_it() -> None:
    shares, known = [], torch.ones(1, 3, dtype=torch.bool)
    motion = Motion.unknown(torch.zeros(1, 3, 2))
    for t in range(12):
        steps = torch.tensor([[[0.0, 0.0], [1.5, -0.5], [1.0 if t % 3 else -1.0, 0.0]]])
        motion = motion.after(steps, known)
        shares.append(motion.share[0, :, 0].tolist())
    assert shares[0] == pytest.approx([0.4] * 3), "one step has none to be compared with"
    assert shares[-1][1] > 0.85 > 0.4 > shares[-1][2] >= 0
    assert motion.pace[0, 1].tolist() == pytest.approx([1.5, -0.5])
    again = motion.after(torch.zeros(1, 3, 2), ~known)
    assert again.share[0, :, 0].tolist() == pytest.approx([0.4] * 3), "other objects"
