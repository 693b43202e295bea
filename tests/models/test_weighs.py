"""Models that weigh samples of their posterior: the mean of log w is the bound that the model itself reports."""

import pytest
import torch

from scenewise.config import build
from scenewise.models.contract import MODELS, SceneModel, Weighs
from scenewise.observation import Observation
from scenewise.variational.gaussian import Gaussian

WEIGHING = [name for name in MODELS.names() if issubclass(MODELS.get(name), Weighs)]


def make(name: str, **changes: object) -> SceneModel:
    torch.manual_seed(0)
    kind = MODELS.get(name)
    return kind(build(kind.config_class, {**kind.presets["tiny"], **changes}, "test")).eval()


def observation(model: SceneModel, batch: int = 2, time: int = 2) -> Observation:
    generator = torch.Generator().manual_seed(1)
    frames = torch.rand(batch, time, *model.frame_shape, generator=generator)
    size = model.viewpoint_size
    return Observation(frames, None, None if size is None else torch.randn(batch, time, size, generator=generator))


def check_mean(weights: torch.Tensor, expected: torch.Tensor) -> None:
    error = 4 * weights.std(-1) / weights.shape[-1] ** 0.5 + 0.1
    assert ((weights.mean(-1) - expected).abs() < 2 * error).all()


@pytest.mark.parametrize("name", WEIGHING)
def test_weights_are_seeded_and_finite(name: str) -> None:
    model = make(name)
    given = observation(model)
    first = model.log_weights(given, 30, seed=3, slots=2)
    again = model.log_weights(given, 30, seed=3, slots=2)
    assert "" in first
    for variant, weights in first.items():
        assert weights.shape[0] == 2
        assert weights.shape[1] in (1, 2)
        assert (weights.shape[2], weights.dtype) == (30, torch.float64)
        assert weights.isfinite().all()
        assert torch.equal(weights, again[variant])
    assert not torch.equal(first[""], model.log_weights(given, 30, seed=4, slots=2)[""])


@pytest.mark.parametrize("mixture", ["pixel", "channel"])
def test_monet_weighs_with_the_masks_of_its_attention(mixture: str) -> None:
    """The same bound, from the samples of `forward`."""
    model = make("monet", mixture=mixture, mask_kl_weight=0.1, kl_weight=0.1)
    given = observation(model, 1, 2)
    weights = model.log_weights(given, 300)
    output = model(Observation(given.frames.expand(300, -1, -1, -1, -1)), seed=0)  # every row draws noise of its own
    sampled = output.decomposition
    check_mean(weights[""], (sampled.log_likelihood - sampled.kl).mean(0, keepdim=True))
    divergence = output.terms["mask_kl"].mean()
    found = (weights[""] - weights["with mask KL"]).mean(-1).sum()
    assert found == pytest.approx(divergence.item(), rel=0.02)


@pytest.mark.parametrize("views", [1, 3])
def test_mulmon_weighs_the_last_view_against_its_prior(views: int) -> None:
    model = make("mulmon")
    given = observation(model, 1, views)
    weights = model.log_weights(given, 300, seed=2)[""]
    assert weights.shape == (1, 1, 300)
    frames, cameras = given.frames, given.viewpoints
    assert cameras is not None
    q = model.infer(frames, cameras, seed=2)
    before = model.infer(frames[:, :-1], cameras[:, :-1], seed=2) if views > 1 else None
    standard = Gaussian(torch.zeros_like(q.mean), torch.zeros_like(q.mean))
    prior = before or (standard if model.config.first_prior != "lam0" else model.engine.posterior(model.beginning(1)))
    likelihoods = []
    for seed in range(300):
        z = q.sample(torch.randn(q.mean.shape, generator=torch.Generator().manual_seed(seed)))
        masks, appearance = model.decode(z, {"viewpoint": cameras[:, -1]})
        mixture = model.engine.explain(frames[:, -1], (appearance, masks.log()))
        likelihoods.append(mixture.log_likelihood.sum())
    expected = torch.stack(likelihoods).mean() - q.kl(prior).sum()
    check_mean(weights[0, 0], expected.double())
