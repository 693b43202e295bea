"""Closed forms against autograd, on random and on saturated inputs."""

import math

import numpy as np
import pytest
import torch

from scenewise.variational.gaussian import Gaussian, log_density, seeded_noise
from scenewise.variational.mixture import SpatialMixture, memo
from scenewise.variational.refinement import Inputs, Weights, area_entropy, image_gradients, step_terms


def make(kind: str, slots: int = 4, channels: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    frame = torch.rand(2, channels, 6, 5, generator=generator)
    appearance = torch.rand(2, slots, channels, 6, 5, generator=generator)
    logits = torch.randn(2, slots, 1, 6, 5, generator=generator) * 2
    if kind == "one slot owns every pixel":
        logits[:, 0] += 40
    if kind == "no slot explains a pixel":
        appearance[..., 2, 2] = 30.0
    return frame, appearance, logits


KINDS = ["random", "one slot owns every pixel", "no slot explains a pixel"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mixture", ["pixel", "channel"])
@pytest.mark.parametrize("composed", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("slots", [1, 4])
def test_closed_form_gradients_equal_autograd(kind: str, mixture: str, composed: float, slots: int) -> None:
    frame, appearance, logits = (t.double() for t in make(kind, slots))
    appearance.requires_grad_()
    logits.requires_grad_()
    weights = Weights(3.0, 1.0, 0.2, 0.05)
    m = SpatialMixture(frame, appearance, logits, 0.4, mixture, composed)
    loss = 3 * -m.log_likelihood.sum() + 0.2 * m.mask_entropy.sum() + 0.05 * area_entropy(m.masks).sum()
    by_appearance, by_logits = torch.autograd.grad(loss, (appearance, logits))
    closed = image_gradients(
        SpatialMixture(frame, appearance.detach(), logits.detach(), 0.4, mixture, composed), weights
    )
    torch.testing.assert_close(closed.appearance, by_appearance, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(closed.logits, by_logits, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("composed", [0.0, 0.3, 1.0])
def test_mask_gradient_equals_autograd_with_free_masks(composed: float) -> None:
    frame, appearance, logits = (t.double() for t in make("random"))
    masks = logits.softmax(1).requires_grad_()
    log_n = log_density(frame.unsqueeze(1), appearance, 0.4).sum(2, keepdim=True)
    mixed = (masks * log_n.exp()).sum(1).log().sum()
    whole = log_density(frame, (masks * appearance).sum(1), 0.4).sum()
    (expected,) = torch.autograd.grad(-((1 - composed) * mixed + composed * whole), masks)
    found = SpatialMixture(frame, appearance, logits, 0.4, "pixel", composed).mask_gradient()
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_everything_is_finite_in_float32(kind: str) -> None:
    frame, appearance, logits = make(kind)
    m = SpatialMixture(frame, appearance, logits, 0.1)
    gradients = image_gradients(m, Weights(1, 1, 0.1, 0.1))
    values = [m.log_likelihood, m.leave_one_out, m.mask_posterior, gradients.masks, gradients.appearance]
    assert all(v.isfinite().all() for v in values)


@pytest.mark.parametrize("kind", KINDS)
def test_leave_one_out_is_the_mixture_of_the_others(kind: str) -> None:
    frame, appearance, logits = (t.double() for t in make(kind))
    found = SpatialMixture(frame, appearance, logits, 0.4).leave_one_out
    for k in range(4):
        others = [j for j in range(4) if j != k]
        expected = SpatialMixture(frame, appearance[:, others], logits[:, others], 0.4).log_likelihood
        torch.testing.assert_close(found[:, k], expected)


def test_pixel_and_channel_mixtures_agree_for_one_slot() -> None:
    frame, appearance, logits = make("random", slots=1)
    pixel = SpatialMixture(frame, appearance, logits, 0.4, "pixel").log_likelihood
    channel = SpatialMixture(frame, appearance, logits, 0.4, "channel").log_likelihood
    torch.testing.assert_close(pixel, channel)
    expected = -0.5 * ((frame - appearance[:, 0]) / 0.4) ** 2 - math.log(0.4 * math.sqrt(2 * math.pi))
    torch.testing.assert_close(pixel, expected.sum(1, keepdim=True))


@pytest.mark.parametrize("output", ["gaussian", "logistic"])
@pytest.mark.parametrize("mixture", ["pixel", "channel"])
def test_mask_posterior_is_the_likelihood_of_all_channels_over_its_sum_over_slots(mixture: str, output: str) -> None:
    """IODINE section 2.2: p(x | mu_k) / sum_j p(x | mu_j), whatever the mixture does with its channels."""
    frame, appearance, logits = (t.double() for t in make("random"))
    x, mu, sigma = frame.numpy(), appearance.numpy(), 0.3
    spread = sigma * math.sqrt(3) / math.pi
    expected = np.zeros((2, 4, 1, 6, 5))
    for b, i, j in np.ndindex(2, 6, 5):
        likelihoods = np.ones(4)
        for k, c in np.ndindex(4, 3):
            away = x[b, c, i, j] - mu[b, k, c, i, j]
            bell = math.exp(-(away**2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi))
            logistic = 1 / (4 * spread * math.cosh(away / (2 * spread)) ** 2)
            likelihoods[k] *= bell if output == "gaussian" else logistic
        expected[b, :, 0, i, j] = likelihoods / likelihoods.sum()
    found = SpatialMixture(frame, appearance, logits, sigma, mixture, output=output).mask_posterior
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)


MEMOS = [name for name, value in vars(SpatialMixture).items() if isinstance(value, memo)]


@pytest.mark.parametrize("output", ["gaussian", "logistic"])
@pytest.mark.parametrize("mixture", ["pixel", "channel"])
@pytest.mark.parametrize("name", MEMOS)
def test_what_was_first_looked_at_without_a_graph_still_has_its_gradient(name: str, mixture: str, output: str) -> None:
    frame, appearance, logits = (t.double() for t in make("random"))
    leaves = (appearance.requires_grad_(), logits.requires_grad_())
    touched, fresh = (SpatialMixture(frame, *leaves, 0.4, mixture, 0.3, output) for _ in range(2))
    with torch.no_grad():
        for each in MEMOS:
            getattr(touched, each)
        image_gradients(touched, Weights(1, 1, 0.1, 0.1))
    weighing = torch.rand_like(getattr(fresh, name).detach())
    found, expected = (
        torch.autograd.grad((getattr(each, name) * weighing).sum(), leaves, allow_unused=True)
        for each in (touched, fresh)
    )
    assert any(g is not None for g in found)
    for a, b in zip(found, expected, strict=True):
        assert (a is None and b is None) or torch.equal(a, b)


def test_a_mixture_works_everything_out_once() -> None:
    frame, appearance, logits = make("random")
    assert len(MEMOS) >= 12
    for graph in (False, True):
        m = SpatialMixture(frame, appearance.requires_grad_(graph), logits.requires_grad_(graph), 0.4)
        for name in MEMOS:
            first = getattr(m, name)
            with torch.no_grad():
                assert getattr(m, name) is first
            assert getattr(m, name) is first
    with pytest.raises(AttributeError):
        m.masks = logits


def test_area_entropy_is_least_when_one_slot_takes_all() -> None:
    even = torch.full((1, 4, 1, 8, 8), 0.25)
    one = torch.zeros(1, 4, 1, 8, 8)
    one[:, 2] = 1
    assert area_entropy(even).item() == pytest.approx(64 * math.log(4), rel=1e-6)
    assert area_entropy(one).item() == pytest.approx(0, abs=1e-6)


def test_entropy_weight_lowers_mask_entropy_under_optimisation() -> None:
    frame, appearance, logits = make("random")
    logits = logits.requires_grad_()
    before = SpatialMixture(frame, appearance, logits, 0.4).mask_entropy.mean().item()
    optimiser = torch.optim.SGD([logits], lr=0.5)
    for _ in range(50):
        terms = step_terms(
            SpatialMixture(frame, appearance, logits, 0.4), Gaussian(torch.zeros(2, 4, 1), torch.zeros(2, 4, 1)),
            Gaussian(torch.zeros(2, 4, 1), torch.zeros(2, 4, 1)),
        )  # fmt: skip
        optimiser.zero_grad()
        terms["entropy"].sum().backward()
        optimiser.step()
    assert SpatialMixture(frame, appearance, logits, 0.4).mask_entropy.mean().item() < 0.5 * before


def test_gradient_inputs_carry_no_graph_and_the_others_do() -> None:
    frame, appearance, logits = make("random")
    appearance.requires_grad_()
    logits.requires_grad_()
    m = SpatialMixture(frame, appearance, logits, 0.4)
    shared, per_slot = Inputs().build(m, image_gradients(m, Weights()))
    assert not shared.requires_grad
    for channel, carries in ((slice(0, 6), True), (slice(6, 11), False)):  # mu, m, logits, posterior | gradients
        grads = torch.autograd.grad(
            per_slot[:, :, channel].square().sum(), (appearance, logits), retain_graph=True, allow_unused=True
        )
        assert any(g is not None and bool((g != 0).any()) for g in grads) is carries


def test_kl_and_its_gradient() -> None:
    q = Gaussian(torch.randn(3, 4, requires_grad=True), torch.randn(3, 4, requires_grad=True))
    p = Gaussian(torch.randn(3, 4), torch.randn(3, 4))
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(q.mean, (0.5 * q.log_variance).exp()),
        torch.distributions.Normal(p.mean, (0.5 * p.log_variance).exp()),
    )
    torch.testing.assert_close(q.kl(p), expected, rtol=1e-5, atol=1e-5)
    by_autograd = torch.autograd.grad(q.kl(p).sum(), q)
    for found, wanted in zip(q.kl_gradient(p), by_autograd, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_noise_depends_on_seed_and_keys_alone() -> None:
    first = seeded_noise((3, 2), 7, 1, 2)
    torch.manual_seed(0)
    assert torch.equal(first, seeded_noise((3, 2), 7, 1, 2))
    assert not torch.equal(first, seeded_noise((3, 2), 7, 2, 1))
    assert not torch.equal(first, seeded_noise((3, 2), 8, 1, 2))


def test_densities_that_lie_far_apart_without_a_graph_and_with_one() -> None:
    """A sigma of 0.01 puts slots thousands of nats apart: sums over slots against float64."""
    frame, appearance = torch.rand(2, 3, 6, 7), torch.rand(2, 4, 3, 6, 7)
    logits = 20 * torch.randn(2, 4, 1, 6, 7)
    log_n = -0.5 * ((appearance - frame.unsqueeze(1)).double() / 0.01).square() - math.log(0.01) - 0.9189385332
    joint = logits.double().log_softmax(1) + log_n.sum(2, keepdim=True)
    for graph in (False, True):
        mixture = SpatialMixture(frame, appearance, logits.clone().requires_grad_(graph), 0.01)
        torch.testing.assert_close(mixture.log_mixture.double(), joint.logsumexp(1), rtol=1e-5, atol=1e-3)
        torch.testing.assert_close(mixture.responsibilities.double(), joint.softmax(1), rtol=0, atol=1e-3)
        torch.testing.assert_close(mixture.responsibilities.sum(1), torch.ones(2, 1, 6, 7), rtol=0, atol=1e-3)
