"""The mixture under given masks, against densities of torch."""

import pytest
import torch
from torch.distributions import Normal

from scenewise.variational.gaussian import gaussian_by_spread
from scenewise.variational.likelihood import masked_log_likelihood


def scene(slots: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(slots)
    masks = torch.randn(2, slots, 1, 4, 5, generator=generator).log_softmax(1)
    sigmas = torch.tensor([0.3] + [0.5] * (slots - 1))
    frame = torch.rand(2, 3, 4, 5, generator=generator)
    return frame, torch.rand(2, slots, 3, 4, 5, generator=generator), masks, sigmas


@pytest.mark.parametrize("mixture", ["pixel", "channel"])
def test_mixture_equals_the_sum_of_densities(mixture: str) -> None:
    frame, means, masks, sigmas = scene(4)
    log_n = Normal(means.double(), sigmas.double()[:, None, None, None]).log_prob(frame.double().unsqueeze(1))
    density = log_n.sum(2, keepdim=True).exp() if mixture == "pixel" else log_n.exp()
    expected = (masks.double().exp() * density).sum(1).log().sum((1, 2, 3))
    found = masked_log_likelihood(frame, means, masks, sigmas, mixture)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("slots", "same"), [(1, True), (3, False)])
def test_mixtures_agree_for_one_slot_alone(slots: int, same: bool) -> None:
    made = scene(slots)
    joint, each = (masked_log_likelihood(*made, mixture) for mixture in ("pixel", "channel"))
    assert torch.allclose(joint, each, rtol=1e-5, atol=1e-3) == same


def test_far_slots_and_small_sigmas_stay_finite() -> None:
    frame, masks = torch.ones(1, 3, 2, 2), torch.tensor([0.0, -100.0])[None, :, None, None, None].expand(1, 2, 1, 2, 2)
    means = torch.zeros(1, 2, 3, 2, 2, requires_grad=True)
    found = masked_log_likelihood(frame, means, masks, torch.tensor([0.06, 0.1]))
    found.sum().backward()
    assert found.isfinite().all()
    assert means.grad is not None
    assert means.grad.isfinite().all()


@pytest.mark.parametrize("spread", ["softplus", "exp"])
def test_spread_is_a_standard_deviation(spread: str) -> None:
    raw = torch.tensor([[0.5, -1.0, 0.0, -2.0]])
    std = gaussian_by_spread(raw, spread).log_variance.mul(0.5).exp()
    expected = raw[:, 2:].exp() if spread == "exp" else (1 + (raw[:, 2:] + 0.5).exp()).log()
    torch.testing.assert_close(std, expected)
    assert gaussian_by_spread(torch.full((1, 2), -1e4), spread).log_variance.isfinite().all()
