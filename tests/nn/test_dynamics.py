"""The interaction network against its formula, and what must hold of it whatever its weights are."""

from __future__ import annotations

import pytest
import torch

from scenewise.nn.dynamics import HISTORY, Dynamics, Trail
from scenewise.nn.windows import centre_of


def _network(width: int = 8) -> Dynamics:
    torch.manual_seed(0)
    net = Dynamics(width).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(0.3 * torch.randn_like(parameter))
    return net


def _objects(batch: int = 2, slots: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    places = torch.rand(batch, slots, HISTORY, 2, generator=generator, dtype=torch.float64) - 0.5
    sides = -1.5 + 0.3 * torch.randn(batch, slots, 2, generator=generator, dtype=torch.float64)
    present = torch.ones(batch, slots, dtype=torch.bool)
    present[:, 0] = False
    return places, sides, present


def _mlp(layers: torch.nn.Sequential, x: list[float]) -> list[float]:
    values = x
    for layer in layers:
        if isinstance(layer, torch.nn.Linear):
            weight, bias = layer.weight.tolist(), layer.bias.tolist()
            values = [
                sum(w * v for w, v in zip(row, values, strict=True)) + b for row, b in zip(weight, bias, strict=True)
            ]
        else:
            values = [v if v > 0 else float(torch.tensor(v, dtype=torch.float64).exp()) - 1 for v in values]
    return values


def test_it_is_the_formula_of_interaction_networks() -> None:
    net, (places, sides, present) = _network(), _objects(1, 3)
    found = net(places, sides, present)[0].tolist()
    p, s = places[0].tolist(), sides[0].tolist()

    def state(k: int) -> list[float]:
        steps = [16 * (b[axis] - a[axis]) for a, b in zip(p[k], p[k][1:], strict=False) for axis in (0, 1)]
        return [*steps, s[k][0] + 1.5, s[k][1] + 1.5]

    for k in (1, 2):
        other = 3 - k
        away = [4 * (p[other][-1][axis] - p[k][-1][axis]) for axis in (0, 1)]
        distance = (away[0] ** 2 + away[1] ** 2) ** 0.5
        own = [*(4 * x for x in p[k][-1]), *state(k)]
        effect = _mlp(net.pair, [*own, *away, *state(other), distance])
        change = _mlp(net.change, [*own, *effect])
        for axis in (0, 1):
            expected = 2 * p[k][-1][axis] - p[k][-2][axis] + change[axis] / 16
            assert found[k][axis] == pytest.approx(expected, abs=1e-9)
    assert found[0] == pytest.approx([2 * p[0][-1][axis] - p[0][-2][axis] for axis in (0, 1)], abs=1e-12)


def test_objects_that_swap_slots_swap_places() -> None:
    net, (places, sides, present) = _network(), _objects(2, 5)
    order = torch.tensor([3, 0, 4, 1, 2])
    there = net.rollout(places, sides, present, 4)
    swapped = net.rollout(places[:, order], sides[:, order], present[:, order], 4)
    torch.testing.assert_close(swapped, there[:, :, order])


def test_nobody_hears_from_slots_that_hold_nothing() -> None:
    net, (places, sides, present) = _network(), _objects()
    present[:, 3] = False
    other = places.clone()
    other[:, [0, 3]] = 7.0
    torch.testing.assert_close(net(other, sides, present)[:, 1:3], net(places, sides, present)[:, 1:3])
    torch.testing.assert_close(net(places[:, :3], sides[:, :3], present[:, :3]), net(places, sides, present)[:, :3])


def test_before_it_has_learned_objects_go_on_by_their_last_step() -> None:
    places, sides, present = _objects()
    net = Dynamics(8).double()
    assert not net.learned
    future = net.rollout(places, sides, present, 3)
    step = places[:, :, -1] - places[:, :, -2]
    for n in range(3):
        torch.testing.assert_close(future[:, n], places[:, :, -1] + (n + 1) * step)


def test_a_trail_counts_frames_since_an_object_came_into_its_slot() -> None:
    trail = Trail.unknown(torch.zeros(1, 3))
    yes, no = torch.ones(1, 3, dtype=torch.bool), torch.zeros(1, 3, dtype=torch.bool)
    for frame in range(HISTORY + 2):
        trail = trail.after(torch.full((1, 3, 2), float(frame)), yes, yes if frame == 0 else no)
    assert trail.lasted.tolist() == [[HISTORY + 2] * 3]
    assert trail.places[0, 1, :, 0].tolist() == [float(n) for n in range(2, HISTORY + 2)]
    trail = trail.after(torch.zeros(1, 3, 2), torch.tensor([[True, True, False]]), torch.tensor([[False, True, False]]))
    assert trail.lasted.tolist() == [[HISTORY + 3, 1, 0]]
    later = trail.going(torch.ones(1, 3, 2))  # from place 0, or where slot 2's object was last
    assert later.lasted.tolist() == trail.lasted.tolist(), "frames that nobody saw do not count"
    assert later.places[0, 0, -2:].tolist() == [[0, 0], [1, 1]]


def test_the_centre_of_mass_is_told_to_fractions_of_a_pixel() -> None:
    mass = torch.zeros(2, 5, 9)
    mass[0, 1, 2], mass[0, 1, 3] = 1.0, 3.0  # x 2.75, y 1
    x, y = centre_of(mass)[0].tolist()
    assert (x, y) == pytest.approx((2.75 / 4 - 1, 1 / 2 - 1), abs=1e-6)
    assert not centre_of(mass)[1].any()
