"""The E-step and the losses of black-and-white mixtures against loops and the numbers of rnem.md 6."""

import itertools
import math

import pytest
import torch

from scenewise.variational.bernoulli import (
    imagined_responsibilities,
    log_likelihood,
    losses,
    responsibilities,
    settled,
)


def random_psi(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def bits(*shape: int, seed: int = 1) -> torch.Tensor:
    return (random_psi(*shape, seed=seed) > 0.5).float()


@pytest.mark.parametrize("channels", [1, 3])
def test_e_step_is_bayes_rule_pixel_by_pixel(channels: int) -> None:
    psi, frame = random_psi(2, 3, channels, 4, 5), bits(2, channels, 4, 5)
    gamma = responsibilities(psi, frame)
    for b, y, x in itertools.product(range(2), range(4), range(5)):
        likelihood = []
        for k in range(3):
            p = 1.0
            for c in range(channels):
                white = float(psi[b, k, c, y, x])
                p *= white if frame[b, c, y, x] else 1 - white
            likelihood.append(p)
        for k in range(3):
            assert float(gamma[b, k, 0, y, x]) == pytest.approx(likelihood[k] / sum(likelihood), abs=2e-5)
    assert not gamma.requires_grad


def test_e_step_of_equal_slots_is_uniform_and_of_impossible_pixels_finite() -> None:
    gamma = responsibilities(torch.zeros(1, 4, 1, 2, 2), torch.ones(1, 1, 2, 2))
    torch.testing.assert_close(gamma, torch.full_like(gamma, 0.25))
    assert torch.equal(responsibilities(random_psi(1, 1, 1, 2, 2), bits(1, 1, 2, 2)), torch.ones(1, 1, 1, 2, 2))


def test_losses_have_the_published_values_where_nothing_is_known() -> None:
    psi, frame = torch.full((2, 5, 1, 64, 64), 0.5), bits(2, 1, 64, 64)
    found = losses(psi, frame, responsibilities(psi, frame))
    assert found["intra"].tolist() == pytest.approx([2839.1] * 2, rel=1e-3)
    assert found["inter"].tolist() == pytest.approx([11356.5] * 2, rel=1e-3)
    assert (found["upper_intra"] + found["upper_inter"]).tolist() == pytest.approx([5678.3] * 2, rel=1e-3)


def test_losses_against_loops() -> None:
    psi, frame, gamma = random_psi(1, 2, 1, 3, 3), bits(1, 1, 3, 3), random_psi(1, 2, 1, 3, 3, seed=2).softmax(1)
    intra = inter = 0.0
    for k, y, x in itertools.product(range(2), range(3), range(3)):
        p, g = float(psi[0, k, 0, y, x]), float(gamma[0, k, 0, y, x])
        intra -= g * math.log(p if frame[0, 0, y, x] else 1 - p)
        inter -= (1 - g) * math.log(1 - p)
    found = losses(psi, frame, gamma)
    assert float(found["intra"]) == pytest.approx(intra, rel=1e-5)
    assert float(found["inter"]) == pytest.approx(inter, rel=1e-5)


def test_black_with_some_white_is_a_kl() -> None:
    psi, gamma = random_psi(1, 2, 1, 3, 3), torch.full((1, 2, 1, 3, 3), 0.5)
    found = losses(psi, bits(1, 1, 3, 3), gamma, black=0.3)["inter"]
    p, q = torch.distributions.Bernoulli(0.3), torch.distributions.Bernoulli(psi)
    torch.testing.assert_close(found[0], 0.5 * torch.distributions.kl_divergence(p, q).sum())
    exact = losses(torch.full((1, 2, 1, 3, 3), 0.3), bits(1, 1, 3, 3), gamma, black=0.3)["inter"]
    assert float(exact) == pytest.approx(0, abs=1e-5)


def test_gradients_reach_psi_and_not_gamma() -> None:
    psi, gamma = random_psi(1, 2, 1, 3, 3).requires_grad_(), random_psi(1, 2, 1, 3, 3, seed=2).requires_grad_()
    total = sum(value.sum() for value in losses(psi, bits(1, 1, 3, 3), gamma).values())
    total.backward()  # type: ignore[union-attr]
    assert gamma.grad is None
    assert bool((psi.grad != 0).all())


def test_upper_bound_knows_no_gamma_and_one_slot_has_no_inter() -> None:
    psi, frame = random_psi(1, 3, 1, 4, 4), bits(1, 1, 4, 4)
    first, second = (losses(psi, frame, random_psi(1, 3, 1, 4, 4, seed=s).softmax(1)) for s in (3, 4))
    assert torch.equal(first["upper_intra"], second["upper_intra"])
    assert torch.equal(first["upper_inter"], second["upper_inter"])
    assert not torch.equal(first["intra"], second["intra"])
    assert float(losses(psi[:, :1], frame, torch.ones(1, 1, 1, 4, 4))["inter"]) == 0


def test_relational_loss_counts_the_pixels_it_is_given() -> None:
    psi, frame, gamma = random_psi(1, 2, 1, 4, 4), bits(1, 1, 4, 4), random_psi(1, 2, 1, 4, 4, seed=2).softmax(1)
    whole = losses(psi, frame, gamma)
    everywhere = losses(psi, frame, gamma, pixels=torch.ones(1, 1, 4, 4))
    left = torch.zeros(1, 1, 4, 4)
    left[..., :2] = 1
    halves = [losses(psi, frame, gamma, pixels=p) for p in (left, 1 - left)]
    for name, value in whole.items():
        torch.testing.assert_close(everywhere[name], value)
        torch.testing.assert_close(halves[0][name] + halves[1][name], value)


def test_log_likelihood_is_normalised_over_all_frames() -> None:
    psi = random_psi(1, 3, 2, 1, 2)
    total = 0.0
    for values in itertools.product((0.0, 1.0), repeat=4):
        total += math.exp(float(log_likelihood(psi, torch.tensor(values).view(1, 2, 1, 2))))
    assert total == pytest.approx(1, rel=1e-5)


def test_predicted_pixels_belong_to_who_draws_them_even_faintly() -> None:
    psi = torch.zeros(1, 2, 1, 1, 3)
    psi[0, 0, 0, 0] = torch.tensor([0.15, 0.05, 0.0])
    gamma = imagined_responsibilities(psi)[0, 0, 0, 0]
    assert float(gamma[0]) > 0.99  # above 0.1: taken for white
    assert float(gamma[1]) == pytest.approx(0.95 / 1.95, abs=1e-4)  # below: for black
    assert float(gamma[2]) == pytest.approx(0.5)


def test_black_goes_to_the_slot_that_draws_least_unless_it_draws_there() -> None:
    psi = torch.full((1, 3, 1, 2, 3), 0.01)
    psi[0, 0, 0, 0, 0], psi[0, 1, 0, 1, 1] = 0.9, 0.8  # a ball each; slot 2 is empty but for one doubtful pixel
    psi[0, 2, 0, 1, 2] = 0.3
    frame = torch.zeros(1, 1, 2, 3)
    frame[0, 0, 0, 0] = 1
    gamma = responsibilities(psi, frame)
    drawn = psi.mean((2, 3, 4))
    after = settled(gamma, psi, frame, drawn)
    kept = torch.zeros(2, 3, dtype=torch.bool)
    kept[0, 0] = kept[1, 2] = True  # white; and black where slot 2 expects white
    assert torch.equal(after[0, :, 0, kept], gamma[0, :, 0, kept])
    assert torch.equal(after[0, :, 0, ~kept], torch.tensor([0.0, 0.0, 1.0])[:, None].expand(3, 4))
    imagined = settled(gamma, psi, None, drawn)
    kept[1, 1] = True  # white is predicted there
    assert torch.equal(imagined[0, :, 0, kept], gamma[0, :, 0, kept])
    assert torch.equal(imagined[0, 2, 0, ~kept], torch.ones(3))
    other = settled(gamma, psi, frame, torch.tensor([[0.0, 1.0, 2.0]]))
    assert torch.equal(other[0, 0, 0, 1], torch.ones(3))
