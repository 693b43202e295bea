"""GENESIS and GENESIS-S: what their specification says (monet_genesis.md 2, 5)."""

import pytest
import torch
from torch.distributions import Normal

from scenewise.checkpoint import Card, load_model, save_model
from scenewise.config import build, merge
from scenewise.errors import InputError
from scenewise.models.genesis import Genesis, GenesisConfig
from scenewise.observation import Observation
from scenewise.variational.geco import goal

from .overfitting import overfit


def genesis(preset: str = "tiny", **changes: object) -> Genesis:
    torch.manual_seed(0)
    return Genesis(build(GenesisConfig, merge(Genesis.presets[preset], changes), "test"))


def frames(batch: int = 2, time: int = 1, size: int = 16) -> Observation:
    return Observation(torch.rand(batch, time, 3, size, size, generator=torch.Generator().manual_seed(1)))


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_the_paper_has_the_published_sizes() -> None:
    model = genesis("paper")
    assert parameters(model.inference.cell) == 4 * 128 * (256 + 64 + 128 + 2)
    assert parameters(model.inference.first) == 256 * 128 + 128
    assert parameters(model.inference.rest) == 128 * 128 + 128
    assert parameters(model.prior.cell) == 4 * 256 * (64 + 256 + 2)
    assert model.inference.encoder.layers[-1].convolution.kernel_size == (16, 16)
    assert parameters(model.mask_decoder.output) == 32 + 1
    encoder = (4 * 9 * 32 + 32) + (32 * 9 * 32 + 32) + (32 * 9 * 64 + 64) + (64 * 9 * 64 + 64)
    hidden = 64 * 4 * 4 * 256 + 256 + 256 * 32 + 32
    assert parameters(model.components.encoder) == encoder + hidden
    assert model.components.decoder.output.out_channels == 3
    assert (model.config.sigma, model.config.latent, model.config.slots) == (0.7, 80, 5)


def test_genesis_s_has_one_latent_that_draws_mask_and_appearance() -> None:
    model = genesis(stages="one")
    assert model.config.latent == model.config.mask_latent == 8
    assert model.components is None
    assert model.mask_decoder.output.out_channels == 4
    d = model(frames()).decomposition
    assert d.mean.shape == (2, 1, 3, 8)
    assert 0 < d.appearance.min() < d.appearance.max() < 1
    assert genesis("genesis-s").config.latent == 64


def test_terms_against_distributions_and_a_loop_over_slots() -> None:
    model, seen = genesis(kl="sample").eval(), frames()
    noise = torch.randn(model.noise_shape(2, 1))
    output = model(seen, noise=noise)
    d = output.decomposition
    p = torch.zeros(2, 16, 16, 3)
    for k in range(3):
        n = Normal(d.appearance[:, 0, k], 0.7).log_prob(seen.frames[:, 0]).exp()
        p += (d.masks[:, 0, k] * n).permute(0, 2, 3, 1)
    torch.testing.assert_close(output.terms["nll"], -p.log().sum((1, 2, 3)), rtol=1e-4, atol=1e-2)
    latent = d.mean + (0.5 * d.log_variance).exp() * noise[:, :, 0]
    q, prior = (Normal(m, (0.5 * v).exp()) for m, v in ((d.mean, d.log_variance), (d.prior_mean, d.prior_log_variance)))
    kl = (q.log_prob(latent) - prior.log_prob(latent)).sum((1, 2, 3))
    torch.testing.assert_close(output.terms["kl"], kl, rtol=1e-4, atol=1e-3)
    closed = torch.distributions.kl_divergence(q, prior).sum((2, 3))
    torch.testing.assert_close(d.kl, closed, rtol=1e-4, atol=1e-3)


def test_priors_are_those_of_the_slots_before() -> None:
    model = genesis().eval()
    noise = torch.randn(model.noise_shape(2, 1))
    d = model(frames(), noise=noise).decomposition
    latent = (d.mean + (0.5 * d.log_variance).exp() * noise[:, :, 0])[:, 0, :, :8]
    torch.testing.assert_close(d.prior_mean[:, 0, :, :8], model.prior(latent).mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(d.prior_mean[:, 0, :, 8:], model.components.prior(latent).mean, rtol=1e-4, atol=1e-5)
    assert not d.prior_mean[:, 0, 0, :8].any()


def test_masks_are_broken_off_one_after_another_and_the_last_takes_the_rest() -> None:
    model = genesis().eval()
    latents = torch.randn(2, 3, 12)
    masks, _ = model.decode(latents)
    shares = model.mask_decoder(latents[:, :2, :8].flatten(0, 1)).sigmoid().unflatten(0, (2, 2))
    left = torch.ones_like(shares[:, 0])
    for k in range(2):
        torch.testing.assert_close(masks[:, k], left * shares[:, k], rtol=1e-4, atol=1e-6)
        left = left * (1 - shares[:, k])
    torch.testing.assert_close(masks[:, 2], left, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("stages", ["two", "one"])
def test_slots_see_slots_before_them_alone(stages: str) -> None:
    model = genesis(stages=stages).eval()
    noise = torch.randn(model.noise_shape(1, 1))
    changed = noise.clone()
    changed[:, :, :, 1, :8] += 1
    one, other = (model(frames(1), noise=n).decomposition for n in (noise, changed))
    assert torch.equal(one.mean[:, :, :2, :8], other.mean[:, :, :2, :8])
    assert not torch.allclose(one.mean[:, :, 2, :8], other.mean[:, :, 2, :8])
    assert torch.equal(one.masks[:, :, 0], other.masks[:, :, 0])


def test_one_slot_skips_the_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    model = genesis()
    for part in (model.inference, model.mask_decoder):
        monkeypatch.setattr(part, "forward", lambda *_: pytest.fail("was asked"))
    output = model(frames(), slots=1)
    d = output.decomposition
    assert bool((d.masks == 1).all())
    assert torch.equal(d.mean[..., :8], d.prior_mean[..., :8])
    assert torch.equal(d.log_variance[..., :8], d.prior_log_variance[..., :8])
    assert output.terms["nll"].isfinite().all()


@pytest.mark.parametrize("stages", ["two", "one"])
@pytest.mark.parametrize("slots", [1, 2, 9])
def test_masks_sum_to_one_for_any_number_of_slots(stages: str, slots: int) -> None:
    model = genesis(stages=stages)
    d = model(frames(), slots=slots).decomposition
    assert (d.masks.sum(2) - 1).abs().max() < 1e-3
    masks, appearance = model.eval().sample(2, slots=slots)
    assert (masks.sum(1) - 1).abs().max() < 1e-3
    assert appearance.shape == (2, slots, 3, 16, 16)


def test_mixtures_agree_for_one_slot_and_differ_for_more() -> None:
    joint, each = genesis(mixture="pixel", sigma=0.1), genesis(mixture="channel", sigma=0.1)
    one = [model(frames(), slots=1).terms["nll"] for model in (joint, each)]
    more = [model(frames()).terms["nll"] for model in (joint, each)]
    torch.testing.assert_close(one[0], one[1])
    assert (more[0] - more[1]).abs().min() > 1e-2


@pytest.mark.parametrize("channels", [1, 3])
def test_our_decoder_draws_every_number_of_colours(channels: int) -> None:
    model = genesis(decoder={"kind": "coarse", "channels": [8]}, channels=channels)
    d = model(Observation(torch.rand(2, 1, channels, 16, 16))).decomposition
    assert d.appearance.shape == (2, 1, 3, channels, 16, 16)
    assert 0 < d.appearance.min() < d.appearance.max() < 1


def test_components_can_be_inferred_from_means_under_pooled_masks() -> None:
    model = genesis(encoder={"kind": "means", "pooling": 2})
    output = model(frames(4))
    model.loss(output.terms).sum().backward()
    assert model.components.encoder.hidden.weight.grad.abs().sum() > 0


def test_evaluation_uses_running_statistics() -> None:
    model, seen = genesis(), frames(4)
    for _ in range(3):
        model(seen)
    model.eval()
    noise = torch.randn(model.noise_shape(4, 1))
    together = model(seen, noise=noise).decomposition.masks
    alone = model(Observation(seen.frames[2:3]), noise=noise[2:3]).decomposition.masks
    torch.testing.assert_close(together[2:3], alone, rtol=1e-4, atol=1e-5)
    model.train()
    assert not torch.allclose(model(seen, noise=noise).decomposition.masks, together, atol=1e-4)


def test_batch_norms_need_more_than_one_frame_in_training_alone() -> None:
    model = genesis()
    with pytest.raises(InputError, match="batch of 1"):
        model(frames(1))
    assert model(frames(1, 2)).terms["nll"].isfinite().all()
    assert model.eval()(frames(1)).terms["nll"].isfinite().all()
    assert genesis(gated={"norm": "group"})(frames(1)).terms["nll"].isfinite().all()


def test_geco_weighs_the_kl_and_goes_on_where_it_was(tmp_path) -> None:
    model, seen = genesis(geco={"step": 1e-4}), frames()
    output = model(seen)
    torch.testing.assert_close(model.loss(output.terms), output.terms["nll"] + output.terms["kl"])
    for _ in range(4):
        model.end_step(model(seen))
    beta = float(model.geco.beta)
    assert beta < 1
    torch.testing.assert_close(model.loss(output.terms), output.terms["nll"] + beta * output.terms["kl"])
    kept = load_model(save_model(model, tmp_path / "kept", Card(name="x"))).model
    assert float(kept.geco.beta) == beta
    for m in (model.eval(), kept):
        m.end_step(m(seen))
    assert float(kept.geco.beta) == float(model.geco.beta) < beta


def test_new_scenes_come_from_the_prior_slot_after_slot() -> None:
    model = genesis().eval()
    noise = torch.randn(2, 3, 12)
    latent = model.prior.draw(noise[..., :8])
    p = model.components.prior(latent)
    component = p.mean + (0.5 * p.log_variance).exp() * noise[..., 8:]
    expected = model.decode(torch.cat([latent, component], -1))
    for found, wanted in zip(model.imagine(noise), expected, strict=True):
        torch.testing.assert_close(found, wanted)


def test_settings_that_cannot_work_are_told() -> None:
    for changes, message in (
        ({"gated": {"strides": [2, 2]}}, r"gated\.strides"),
        ({"size": [18, 18]}, "divisible by the product"),
        ({"gated": {"norm": "group", "channels": 6}}, r"gated\.channels"),
        ({"gated": {"norm": "group"}, "features": 18}, "features"),
        ({"decoder": {"kind": "coarse", "channels": [6]}}, "groups"),
        ({"decoder": {"kind": "coarse", "colour": "flat", "channels": 8}}, "flat"),
        ({"decoder": {"channels": []}}, r"decoder\.channels"),
    ):
        with pytest.raises(InputError, match=message):
            genesis(**changes)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"stages": "one"}, {"gated": {"norm": "group"}, "sigma": 0.3}])
def test_eight_images_are_overfit(squares: Observation, changes: dict[str, object]) -> None:
    model = genesis(**changes)
    found, floor = overfit(model, squares), goal(0.0, model.config.sigma, 3 * 16 * 16)
    above = [nll - floor for nll in found["nll"]]
    assert sum(found["loss"][-10:]) < sum(found["loss"][:10])
    assert sum(above[-10:]) < 0.5 * sum(above[:10])
