import torch
from torch.distributions import Independent, MultivariateNormal, Normal

from scenewise.variational.gaussian import Gaussian
from scenewise.variational.importance import importance_log_weights

N, K, Z = 2, 2, 3


def gaussians(seed):
    generator = torch.Generator().manual_seed(seed)
    return Gaussian(torch.randn(N, K, Z, generator=generator), torch.randn(N, K, Z, generator=generator))


def as_torch(one, n):
    return Independent(Normal(one.mean[n].double(), (0.5 * one.log_variance[n].double()).exp()), 2)


def test_weights_are_the_densities_of_an_independent_library():
    q, p, seen = gaussians(0), gaussians(1), {0: [], 1: []}

    def likelihood(n, latents):
        seen[n].append(latents)
        return {"": latents.sum((1, 2)), "other": latents[:, 0, 0]}

    weights = importance_log_weights(q, p, likelihood, 60)
    assert list(weights) == ["", "other"]
    assert {(w.shape, w.dtype) for w in weights.values()} == {((N, 60), torch.float64)}
    for n in range(N):
        assert [len(part) for part in seen[n]] == [25, 25, 10]
        z = torch.cat(seen[n]).double()
        ratio = as_torch(p, n).log_prob(z) - as_torch(q, n).log_prob(z)
        torch.testing.assert_close(weights[""][n], z.sum((1, 2)) + ratio, atol=1e-5, rtol=1e-6)
        torch.testing.assert_close(weights["other"][n], z[:, 0, 0] + ratio, atol=1e-5, rtol=1e-6)


def test_few_samples_are_the_first_of_many_and_images_differ():
    q, p = gaussians(0), gaussians(0)
    likelihood = lambda n, latents: {"": latents.sum((1, 2))}  # noqa: E731
    many, few = (importance_log_weights(q, p, likelihood, s)[""] for s in (60, 30))
    assert torch.equal(many[:, :30], few)
    equal = Gaussian(q.mean[:1].expand(N, K, Z), q.log_variance[:1].expand(N, K, Z))
    other = importance_log_weights(equal, equal, likelihood, 30)[""]
    assert not torch.equal(other[0], other[1])
    assert not torch.equal(few, importance_log_weights(q, p, likelihood, 30, seed=1)[""])


def test_the_exact_posterior_weighs_every_sample_by_the_evidence():
    """x = sum of z over slots + noise, one dimension: solved by hand; no diagonal q is exact but that of one slot."""
    x, sigma = torch.tensor(0.8), 0.5
    mean = x / (1 + sigma**2)
    q = Gaussian(mean.reshape(1, 1, 1), torch.tensor(sigma**2 / (1 + sigma**2)).log().reshape(1, 1, 1))
    p = Gaussian(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1))
    likelihood = lambda _, z: {"": Normal(z[:, 0, 0].double(), sigma).log_prob(x.double())}  # noqa: E731
    evidence = MultivariateNormal(torch.zeros(1), torch.eye(1) * (1 + sigma**2)).log_prob(x.reshape(1))
    weights = importance_log_weights(q, p, likelihood, 7)[""]
    torch.testing.assert_close(weights, evidence.double().expand(1, 7), atol=1e-5, rtol=0)
