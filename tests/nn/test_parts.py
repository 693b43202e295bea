"""First guesses: connected parts of what the background does not explain."""

import math

import pytest
import torch

from scenewise.nn.parts import parts_of, strangeness

LIMITS = (0.08, 0.12)


def _difference() -> torch.Tensor:
    """Two frames: one with a large and a small square, a speck and a thread; one with nothing."""
    difference = torch.zeros(2, 3, 20, 30)
    difference[0, 0, 2:6, 20:26] = 0.4
    difference[0, 1, 8:18, 3:11] = -0.3
    difference[0, :, 1, 1] = 0.5
    difference[0, :, 19, 14:30] = 0.5
    return difference


def _parts(difference: torch.Tensor, owned: torch.Tensor | None = None, most: int = 4, least: float = 4.0):
    owned = torch.zeros(2, 20, 30, dtype=torch.bool) if owned is None else owned
    return parts_of(difference.norm(dim=1), difference, owned, most, LIMITS, least)


def test_parts_come_largest_first_with_box_and_colour() -> None:
    parts = _parts(_difference())
    assert parts.valid.tolist() == [[True, True, False, False], [False] * 4]
    x, y, wide, high = parts.windows[0, 0].tolist()
    assert x == pytest.approx((3 + 10) / 29 - 1)
    assert y == pytest.approx((8 + 17) / 19 - 1)
    assert math.exp(wide) == pytest.approx(8 / 30)
    assert math.exp(high) == pytest.approx(10 / 20)
    torch.testing.assert_close(parts.colours[0, 0], torch.tensor([0.0, -0.3, 0.0]))
    torch.testing.assert_close(parts.colours[0, 1], torch.tensor([0.4, 0.0, 0.0]))


def test_owned_small_or_surplus_parts_are_left_out() -> None:
    owned = torch.zeros(2, 20, 30, dtype=torch.bool)
    owned[0, 8:18, 3:11] = True
    assert _parts(_difference(), owned).valid.sum() == 1
    assert _parts(_difference(), least=30.0).valid.sum() == 1
    assert _parts(_difference(), most=1).valid.sum() == 1
    assert _parts(_difference(), most=0).windows.shape == (2, 0, 4)


def test_pale_parts_are_left_out() -> None:
    assert not _parts(_difference() * 0.25).valid.any()  # 0.1: above the first limit, below the second


def test_a_shadow_counts_for_less_than_a_change_of_colour() -> None:
    picture = torch.tensor([0.6, 0.5, 0.4]).view(1, 3, 1, 1)
    darker, brighter = -0.2 * picture, 0.2 * picture
    other = torch.tensor([-0.1, 0.12, 0.0]).view(1, 3, 1, 1)  # across: its product with the picture is 0
    length = picture.norm()
    along = 0.2 * length / math.sqrt(3)
    assert float(strangeness(darker, picture, 0.5)) == pytest.approx(0.5 * float(along), rel=1e-5)
    assert float(strangeness(brighter, picture, 0.5)) == pytest.approx(float(along), rel=1e-5)
    assert float(strangeness(other, picture, 0.5)) == pytest.approx(math.sqrt(2) * float(other.norm()), rel=1e-5)
