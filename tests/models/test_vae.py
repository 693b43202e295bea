"""The VAE baselines: what IODINE's and GENESIS's specifications say of them."""

import pytest
import torch

from scenewise.checkpoint import Card, load_model, save_model
from scenewise.config import build, merge
from scenewise.errors import InputError
from scenewise.models.vae import Vae, VaeConfig
from scenewise.observation import Observation

from .overfitting import overfit

GATED = {"encoder": {"kind": "gated", "code": 16}, "gated": {"channels": 4}}


def vae(preset: str = "tiny", **changes: object) -> Vae:
    torch.manual_seed(0)
    return Vae(build(VaeConfig, merge(Vae.presets[preset], changes), "test"))


def frames(batch: int = 2, time: int = 1, channels: int = 3, size: int = 16) -> Observation:
    return Observation(torch.rand(batch, time, channels, size, size, generator=torch.Generator().manual_seed(1)))


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_the_paper_has_iodines_layers_and_three_colours() -> None:
    model, conv = vae("paper"), 64 * 9 * 64 + 64
    assert parameters(model.encoder) == (5 * 9 * 64 + 64) + 3 * conv + (64 * 256 + 256)
    assert parameters(model.decoder) == (66 * 9 * 64 + 64) + 3 * conv + (64 * 9 * 3 + 3)
    assert vae("paper-448").head.out_features == 2 * 7 * 64


def test_genesis_baselines_have_their_layers() -> None:
    bd, dc = vae("bd-vae"), vae("dc-vae")
    assert parameters(bd.decoder) == (66 * 9 * 64 + 64) + 3 * (64 * 9 * 64 + 64) + (64 * 3 + 3)
    widths = [layer.convolution.out_channels // 2 for layer in dc.decoder.layers]
    assert widths == [64, 64, 32, 32, 32, 32]
    assert dc.decoder.output.out_channels == 3
    for model in (bd, dc):
        assert (model.config.latent, model.config.sigma, model.config.geco.on) == (64, 0.7, True)


@pytest.mark.parametrize("decoder", ["broadcast", "deconv", "unpadded", "gated", "coarse"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_decoder_draws_every_number_of_colours(decoder: str, channels: int) -> None:
    model = vae(decoder={"kind": decoder}, channels=channels, **(GATED if decoder == "gated" else {}))
    d = model(frames(channels=channels)).decomposition
    assert d.appearance.shape == (2, 1, 1, channels, 16, 16)
    assert bool((d.masks == 1).all())
    torch.testing.assert_close(d.reconstruction, d.appearance[:, :, 0])


@pytest.mark.parametrize("encoder", [{"kind": "flat"}, {"kind": "strided", "pooling": 2}, {"kind": "gap"}])
def test_every_encoder_of_slots_sees_the_image(encoder: dict[str, object]) -> None:
    output = vae(encoder=encoder)(frames())
    assert output.terms["kl"].isfinite().all()
    with pytest.raises(InputError, match="31 or more"):
        vae(encoder={"kind": "unpadded"})
    with pytest.raises(InputError, match=r"encoder\.kind is 'means'; allowed: flat, gap, strided, unpadded, gated"):
        vae(encoder={"kind": "means"})


def test_terms_are_those_of_a_gaussian_and_closed_forms() -> None:
    model, seen = vae(), frames(3, 2)
    output = model(seen, seed=4)
    d = output.decomposition
    log_p = torch.distributions.Normal(d.reconstruction, 0.1).log_prob(seen.frames).sum((2, 3, 4))
    torch.testing.assert_close(d.log_likelihood, log_p, rtol=1e-4, atol=1e-1)
    torch.testing.assert_close(output.terms["nll"], -log_p.sum(1), rtol=1e-4, atol=1e-1)
    q = torch.distributions.Normal(d.mean, (0.5 * d.log_variance).exp())
    kl = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum((1, 2, 3))
    torch.testing.assert_close(output.terms["kl"], kl, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(model.loss(output.terms), output.terms["nll"] + output.terms["kl"])


def test_geco_moves_the_weight_where_it_is_on_and_is_saved_with_the_model(tmp_path) -> None:
    for on in (False, True):
        model = vae(geco={"on": on, "step": 1e-3})
        for _ in range(3):
            model.end_step(model(frames()))
        assert (float(model.geco.beta) < 1) == on
        assert model.adapts_kl_weight == on
        kept = load_model(save_model(model, tmp_path / str(on), Card(name="x"))).model
        assert torch.equal(kept.geco.beta, model.geco.beta)
        assert torch.equal(kept.geco.err, model.geco.err)


def test_batch_norms_need_more_than_one_frame_in_training_alone() -> None:
    model = vae(**GATED)
    with pytest.raises(InputError, match="batch of 1"):
        model(frames(1))
    assert model.eval()(frames(1)).decomposition.masks.shape[0] == 1
    assert vae(**GATED | {"gated": {"channels": 4, "norm": "group"}})(frames(1)).terms["nll"].isfinite().all()


def test_new_images_are_what_the_decoder_draws_of_standard_noise() -> None:
    model = vae().eval()
    noise = torch.randn(4, 1, 8)
    masks, appearance = model.imagine(noise)
    assert torch.equal(appearance, model.decode(noise)[1])
    assert bool((masks == 1).all())


def test_settings_that_cannot_work_are_told() -> None:
    for changes, message in (
        ({"decoder": {"kind": "deconv"}, "size": [24, 24]}, "divisible by 16"),
        ({"decoder": {"kind": "coarse", "channels": 6}}, "groups"),
        ({**GATED, "size": [18, 18]}, r"gated\.strides"),
        ({**GATED, "gated": {"strides": [2, 2]}}, r"gated\.strides"),
        ({**GATED, "gated": {"channels": 6, "norm": "group"}}, r"gated\.channels"),
    ):
        with pytest.raises(InputError, match=message):
            vae(**changes)


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["tiny", "fast"])
def test_eight_images_are_overfit(preset: str) -> None:
    model = vae(
        preset, size=[16, 16], latent=16, **({} if preset == "tiny" else {"gated": {"strides": [2, 2, 1, 1, 1]}})
    )
    losses = overfit(model, frames(8), 2e-3)["loss"]
    assert sum(losses[-10:]) < 0.6 * sum(losses[:10])
