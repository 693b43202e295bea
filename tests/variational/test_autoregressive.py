"""Priors over slots, and how much an explanation costs under them, against plain loops and torch's distributions."""

import torch
from torch.distributions import Normal, kl_divergence

from scenewise.variational.autoregressive import AutoregressivePrior, ConditionalPrior, prior_gaussian
from scenewise.variational.explanation import ImageExplanation
from scenewise.variational.gaussian import Gaussian


def prior() -> AutoregressivePrior:
    torch.manual_seed(0)
    return AutoregressivePrior(4, 8)


def test_standard_deviations_start_near_one_and_never_reach_zero() -> None:
    p = prior_gaussian(torch.tensor([0.0, 100.0, 0.0, -100.0]))
    assert (0.5 * p.log_variance).exp()[0].item() == torch.sigmoid(torch.tensor(4.0)).add(1e-4)
    torch.testing.assert_close((0.5 * p.log_variance).exp()[1], torch.tensor(1e-4))
    torch.testing.assert_close(p.mean, torch.tensor([0.0, 1.0]))


def test_the_published_sizes() -> None:
    lstm = AutoregressivePrior(64, 256)
    assert sum(p.numel() for p in lstm.parameters()) == 4 * 256 * (64 + 256 + 2) + 256 * 128 + 128
    mlp = ConditionalPrior(64, 16, 256)
    expected = (64 * 256 + 256) + (256 * 256 + 256) + (256 * 32 + 32)
    assert sum(p.numel() for p in mlp.parameters()) == expected


def test_the_first_slot_is_standard_and_each_sees_those_before_it_alone() -> None:
    model, latents = prior(), torch.randn(2, 5, 4)
    p = model(latents)
    assert not p.mean[:, 0].any()
    assert not p.log_variance[:, 0].any()
    changed = latents.clone()
    changed[:, 2] += 1
    other = model(changed)
    assert torch.equal(p.mean[:, :3], other.mean[:, :3])
    assert not torch.allclose(p.mean[:, 3], other.mean[:, 3])
    torch.testing.assert_close(model(latents[:, :2]).mean, p.mean[:, :2])


def test_drawing_follows_the_prior_slot_by_slot() -> None:
    model, noise = prior(), torch.randn(2, 4, 4)
    drawn = model.draw(noise)
    p = model(drawn)
    torch.testing.assert_close(drawn, p.mean + (0.5 * p.log_variance).exp() * noise)


def test_both_forms_of_the_kl() -> None:
    torch.manual_seed(0)
    q, p = (Gaussian(torch.randn(6, 2, 3), torch.randn(6, 2, 3)) for _ in range(2))
    noise = torch.randn(6, 2, 3)
    nothing = torch.zeros(6, 2, 1, 1, 1)
    explained = ImageExplanation(nothing, nothing, q.sample(noise), q, p, torch.zeros(6))
    as_q, as_p = (Normal(g.mean, (0.5 * g.log_variance).exp()) for g in (q, p))
    torch.testing.assert_close(explained.kl(), kl_divergence(as_q, as_p))
    at_sample = as_q.log_prob(explained.latents) - as_p.log_prob(explained.latents)
    torch.testing.assert_close(explained.kl("sample"), at_sample, rtol=1e-4, atol=1e-4)


def test_the_kl_at_the_sample_is_the_closed_form_on_average() -> None:
    generator = torch.Generator().manual_seed(0)
    q = Gaussian(torch.tensor([0.5, -1.0]), torch.tensor([-1.0, 0.3]))
    p = Gaussian(torch.tensor([0.0, 0.2]), torch.tensor([0.0, 0.5]))
    drawn = q.sample(torch.randn(200_000, 2, generator=generator))
    estimate = (q.log_density(drawn) - p.log_density(drawn)).mean(0)
    torch.testing.assert_close(estimate, q.kl(p), rtol=0.02, atol=0.01)


def test_an_explanation_of_images_becomes_one_of_videos() -> None:
    q = Gaussian(torch.arange(6.0).view(6, 1, 1), torch.zeros(6, 1, 1))
    masks, appearance = torch.zeros(6, 1, 1, 2, 2), torch.rand(6, 1, 3, 2, 2)
    explained = ImageExplanation(masks, appearance, q.mean, q, Gaussian.standard(q.mean), torch.arange(6.0))
    d = explained.decomposition(2, 3)
    assert d.log_likelihood.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert d.kl.flatten().tolist() == [0.5 * i * i for i in range(6)]
    assert torch.equal(d.appearance[1, 2], appearance[5])
