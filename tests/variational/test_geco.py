"""GECO against the numbers of its specification (monet_genesis.md 2.4)."""

import math
from itertools import pairwise

import pytest
import torch

from scenewise.config import build
from scenewise.variational.geco import Geco, GecoSettings, goal

SHAPE = (3, 64, 64)


def geco(shape: tuple[int, int, int] = SHAPE, sigma: float = 0.7, **settings: object) -> Geco:
    return Geco(build(GecoSettings, settings, "test"), sigma, shape)


def betas(part: Geco, err: float, steps: int = 20) -> list[float]:
    found = [float(part.beta)]
    for _ in range(steps):
        part.update(torch.tensor([err, err]))
        found.append(float(part.beta))
    return found


@pytest.mark.parametrize(("mse", "per_element"), [(0.0032, 0.5655), (0.0022, 0.5645), (0.0, 0.5623)])
def test_goals_at_sigma_0_7_are_those_of_the_official_code(mse: float, per_element: float) -> None:
    assert goal(mse, 0.7, 1) == pytest.approx(per_element, abs=1e-4)
    assert goal(mse, 0.7, 3 * 64 * 64) == pytest.approx(per_element * 3 * 64 * 64, abs=1.3)


@pytest.mark.parametrize("sigma", [0.05, 0.1, 0.7, 1.5])
def test_the_goal_is_the_nll_of_a_frame_that_is_off_by_the_target(sigma: float) -> None:
    off = torch.full(SHAPE, 0.0032**0.5)
    nll = -torch.distributions.Normal(torch.zeros(SHAPE), sigma).log_prob(off).sum()
    assert goal(0.0032, sigma, off.numel()) == pytest.approx(nll.item(), rel=1e-4)


@pytest.mark.parametrize("update", ["exponential", "softplus"])
def test_beta_falls_above_the_goal_and_rises_below(update: str) -> None:
    above, below = geco(update=update), geco(update=update)
    falls, rises = betas(above, above.goal + 100), betas(below, below.goal - 100)
    assert all(b < a for a, b in pairwise(falls))
    assert all(b > a for a, b in pairwise(rises))


def test_it_rises_ten_times_faster_than_it_falls_in_log_scale() -> None:
    above, below = geco(), geco()
    fall, rise = betas(above, above.goal + 100)[-1], betas(below, below.goal - 100)[-1]
    assert math.log(fall) == pytest.approx(-20 * 1e-5 * 100, rel=1e-3)
    assert math.log(rise) / -math.log(fall) == pytest.approx(10, rel=1e-3)


def test_the_step_shrinks_with_the_number_of_pixels() -> None:
    large = geco((3, 128, 128))
    assert math.log(betas(large, large.goal + 100, 1)[-1]) == pytest.approx(-100 * 1e-5 / 4, rel=1e-2)


def test_the_running_mean_begins_at_the_first_err() -> None:
    part = geco()
    for err in (100.0, 200.0):
        part.update(torch.tensor(err))
    assert float(part.err) == pytest.approx(0.99 * 100 + 0.01 * 200)


def test_softplus_moves_additively_and_both_forms_keep_their_limits() -> None:
    part = geco(update="softplus", start=20.0, step=1e-2, speed_up=1.0)
    part.update(torch.tensor(part.goal - 100))
    assert float(part.beta) == pytest.approx(21.0, abs=1e-3)
    for update in ("exponential", "softplus"):
        part = geco(update=update, step=1.0, limits=[1e-5, 1e3])
        assert betas(part, part.goal + 1e4)[-1] == pytest.approx(1e-5)
        assert betas(part, part.goal - 1e6, 800)[-1] == pytest.approx(1e3)


def test_it_can_move_now_and_then_or_not_at_all() -> None:
    slow = geco(every=3)
    found = betas(slow, slow.goal + 100, 6)
    assert [a == b for a, b in pairwise(found)] == [True, True, False] * 2
    assert set(betas(geco(on=False, start=0.5), 1e6)) == {0.5}


def test_a_restored_run_goes_on_where_it_was() -> None:
    first, second = geco(), geco()
    betas(first, 7000.0, 5)
    second.load_state_dict(first.state_dict())
    assert betas(first, 9000.0, 5) == betas(second, 9000.0, 5)
