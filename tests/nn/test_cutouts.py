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


def test_displacement_is_that_of_least_squared_difference() -> None:
    """Pixel by pixel: 4 pixels each way, a parabola through the least error and its neighbours on either side."""
    generator = torch.Generator().manual_seed(3)
    coarse = torch.rand(2, 3, 5, 6, generator=generator)
    before = torch.nn.functional.interpolate(coarse, size=(17, 21), mode="bicubic", align_corners=True)
    now = before.roll((1, -2), (2, 3)) + 0.01 * torch.rand(before.shape, generator=generator)
    owner = torch.zeros(2, 17, 21, dtype=torch.int64)
    owner[0, 4:9, 5:12], owner[0, 12:16, 0:3], owner[1, 0:5, 15:21] = 1, 3, 2
    owner[0, 6, 7] = 0

    def error(video: int, slot: int, dy: int, dx: int) -> float:
        total = 0.0
        for y, x in (owner[video] == slot).nonzero().tolist():
            there = before[video, :, min(max(y + dy, 0), 16), min(max(x + dx, 0), 20)]
            total += float((there - now[video, :, y, x]).double().square().sum())
        return total

    distance = displacement(before, now, owner, 4)
    for video, slot in ((0, 1), (0, 3), (1, 2)):
        errors = {(dy, dx): error(video, slot, dy, dx) for dy in range(-4, 5) for dx in range(-4, 5)}
        dy, dx = min(errors, key=lambda key: errors[key])
        if errors[dy, dx] >= 0.75 * errors[0, 0]:
            assert not distance[video, slot].any()
            continue

        def lowest(low: float, middle: float, high: float) -> float:
            return min(max((low - high) / (2 * (low - 2 * middle + high)), -0.5), 0.5)

        x = dx + (lowest(*(errors[dy, dx + i] for i in (-1, 0, 1))) if abs(dx) < 4 else 0)
        y = dy + (lowest(*(errors[dy + i, dx] for i in (-1, 0, 1))) if abs(dy) < 4 else 0)
        assert distance[video, slot].tolist() == pytest.approx([-x, -y], abs=1e-3)
    assert distance[0, 1].abs().max() > 0.5
    assert not distance[0, [0, 2]].any()


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
