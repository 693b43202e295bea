"""MONet: what monet_genesis.md says of it (1.1 to 1.7, 5), and what our preset adds."""

import math

import pytest
import torch
from torch.distributions import Normal
from torch.nn import functional

from scenewise.config import build, merge
from scenewise.errors import InputError
from scenewise.models.monet import Monet, MonetConfig
from scenewise.observation import Observation

from .overfitting import overfit


def monet(preset: str = "tiny", **changes: object) -> Monet:
    torch.manual_seed(0)
    return Monet(build(MonetConfig, merge(Monet.presets[preset], changes), "test"))


def images(batch: int = 2, size: int = 16, time: int = 1) -> Observation:
    return Observation(torch.rand(batch, time, 3, size, size, generator=torch.Generator().manual_seed(1)))


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_paper_has_the_published_layers() -> None:
    model = monet("paper")
    assert parameters(model.decoder) == (18 * 9 * 32 + 32) + 3 * (32 * 9 * 32 + 32) + (32 * 4 + 4)
    convolutions = (4 * 9 * 32 + 32) + (32 * 9 * 32 + 32) + (32 * 9 * 64 + 64) + (64 * 9 * 64 + 64)
    assert parameters(model.encoder) == convolutions + (1024 * 256 + 256) + (256 * 32 + 32)
    assert sum(p.numel() for p in model.attention.bottom.parameters()) == 2 * 1024 * 128 + 128 * 128 + 256 + 1024
    assert model.attention.output.out_channels == 1


@pytest.mark.parametrize(
    ("preset", "slots", "sigmas", "weights", "lds"),
    [
        ("paper", 5, (0.09, 0.11), (0.5, 0.5), 0.0),
        ("genesis-paper", 5, (0.7, 0.7), (1.0, 1.0), 0.0),
        ("ocl", 7, (0.06, 0.1), (0.5, 0.5), 0.0),
        ("lds", 7, (0.09, 0.11), (0.5, 0.5), 0.5),
    ],
)
def test_presets_are_the_columns_of_the_table(
    preset: str, slots: int, sigmas: tuple[float, float], weights: tuple[float, float], lds: float
) -> None:
    config = build(MonetConfig, Monet.presets[preset], "test")
    assert (config.slots, config.sigma_bg, config.sigma_fg) == (slots, *sigmas)
    assert (config.kl_weight, config.mask_kl_weight, config.duplicates.weight) == (*weights, lds)


def test_narrow_start_is_a_truncated_normal() -> None:
    model = monet(narrow_start=True, attention_channels=16)
    weight = model.attention.bottom[0].weight
    assert weight.std().item() == pytest.approx(0.02 * 0.88, rel=0.05)  # cut at two standard deviations
    assert weight.abs().max() <= 0.04
    assert not model.encoder.output.bias.any()
    assert model.attention.down[0].norm.weight.eq(1).all()


@pytest.mark.parametrize("slots", [1, 2, 9])
def test_masks_sum_to_one_for_any_number_of_slots(slots: int) -> None:
    masks = monet(slots=3)(images(), slots=slots).decomposition.masks
    assert masks.shape[2] == slots
    torch.testing.assert_close(masks.sum(2), torch.ones_like(masks[:, :, 0]))


def test_more_slots_at_test_leave_the_first_ones_as_they_are() -> None:
    model = monet(slots=3)
    few, many = (model(images(), slots=k).decomposition.masks for k in (3, 5))
    torch.testing.assert_close(few[:, :, :2], many[:, :, :2])
    torch.testing.assert_close(few[:, :, 2], many[:, :, 2:].sum(2))


def test_attention_runs_once_less_than_there_are_slots() -> None:
    model, calls = monet(), []
    model.attention.register_forward_hook(lambda *args: calls.append(args[1][0][:, 3]))
    masks = model(images(), slots=4).decomposition.masks[:, 0, :, 0]
    assert len(calls) == 3
    for k, scope in enumerate(calls):
        torch.testing.assert_close(scope.exp(), 1 - masks[:, :k].sum(1), rtol=1e-4, atol=1e-5)


def test_one_slot_is_a_gaussian_of_the_first_sigma() -> None:
    model, observation = monet(sigma_bg=0.2, sigma_fg=0.7), images()
    output = model(observation, slots=1)
    drawn = output.decomposition.appearance[:, 0, 0]
    expected = -Normal(drawn, 0.2).log_prob(observation.frames[:, 0]).sum((1, 2, 3))
    torch.testing.assert_close(output.terms["nll"].detach(), expected, rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(output.terms["mask_kl"].detach(), torch.zeros(2))


@pytest.mark.parametrize("slots", [1, 3])
def test_mixtures_differ_for_more_than_one_slot(slots: int) -> None:
    losses = [monet(mixture=m)(images(), slots=slots, seed=1).terms["nll"].detach() for m in ("pixel", "channel")]
    assert torch.allclose(*losses, rtol=1e-5) == (slots == 1)


def test_foreground_slots_have_the_second_sigma() -> None:
    model, observation = monet(sigma_bg=0.3, sigma_fg=0.6), images()
    output = model(observation)
    d = output.decomposition
    sigma = torch.tensor([0.3, 0.6, 0.6])[:, None, None, None]
    density = Normal(d.appearance[:, 0], sigma).log_prob(observation.frames).exp()
    expected = -(d.masks[:, 0] * density).sum(1).log().sum((1, 2, 3))
    torch.testing.assert_close(output.terms["nll"].detach(), expected, rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(d.log_likelihood[:, 0], -expected, rtol=1e-4, atol=1e-2)


def test_mask_kl_is_zero_where_the_decoder_draws_the_attentions_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    model, observation = monet(), images()
    log_masks = model.attend(observation.frames[:, 0], 3)
    appearance = torch.rand(2, 3, 3, 16, 16)
    monkeypatch.setattr(model.decoder, "forward", lambda *_: (appearance, log_masks + 5))
    torch.testing.assert_close(model(observation).terms["mask_kl"], torch.zeros(2), rtol=0, atol=1e-3)
    monkeypatch.setattr(model.decoder, "forward", lambda *_: (appearance, log_masks.flip(1)))
    assert (model(observation).terms["mask_kl"] > 1).all()


def test_masks_learn_from_likelihood_and_from_the_mask_kl() -> None:
    for term in ("nll", "mask_kl"):
        model = monet()
        model(images()).terms[term].sum().backward()
        assert model.attention.output.weight.grad.abs().sum() > 0


def test_loss_weighs_its_terms() -> None:
    weights = {"kl_weight": 0.3, "mask_kl_weight": 0.7, "mask_entropy_weight": 0.1, "area_entropy_weight": 0.01}
    model = monet(**weights, duplicates={"weight": 0.2})
    values = {"nll": 1.0, "kl": 10.0, "mask_kl": 100.0, "duplicates": 1000.0, "mask_entropy": 1e4, "area_entropy": 1e5}
    terms = {name: torch.tensor([value]) for name, value in values.items()}
    assert model.loss(terms).item() == pytest.approx(1 + 3 + 70 + 200 + 1000 + 1000)


def test_entropy_of_masks_is_that_of_torch() -> None:
    output = monet()(images())
    masks = output.decomposition.masks[:, 0, :, 0].movedim(1, -1)
    expected = torch.distributions.Categorical(masks).entropy().sum((1, 2))
    torch.testing.assert_close(output.terms["mask_entropy"].detach(), expected, rtol=1e-4, atol=1e-3)


def test_kl_at_the_sample_is_that_of_torch_and_closed_form_on_average() -> None:
    model, observation = monet(kl="sample"), images()
    noise = torch.randn(model.noise_shape(2, 1), generator=torch.Generator().manual_seed(3))
    output = model(observation, noise=noise)
    d = output.decomposition
    q = Normal(d.mean[:, 0], (0.5 * d.log_variance[:, 0]).exp())
    z = q.mean + q.stddev * noise[:, 0, 0]
    expected = (q.log_prob(z) - Normal(0, 1).log_prob(z)).sum((1, 2))
    torch.testing.assert_close(output.terms["kl"].detach(), expected, rtol=1e-4, atol=1e-4)
    many = torch.stack([model(observation, seed=s).terms["kl"].detach() for s in range(40)])
    torch.testing.assert_close(many.mean(0), d.kl[:, 0], rtol=0, atol=5 * (many.std(0) / 40**0.5).max().item())


def test_scope_prior_breaks_sticks_with_the_decoders_logits() -> None:
    model = monet(prior_mode="scope")
    latents = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0))
    logits = model.decoder(latents, latents[..., :0])[1].detach()
    first, second = logits[:, 0].sigmoid(), logits[:, 1].sigmoid()
    expected = torch.stack([first, (1 - first) * second, (1 - first) * (1 - second)], 1)
    torch.testing.assert_close(model.decode(latents)[0], expected)
    softmax = monet().decode(latents)[0]
    torch.testing.assert_close(softmax, logits.softmax(1))


@pytest.mark.parametrize("bias", [60.0, -60.0])
def test_saturated_masks_and_small_sigmas_stay_finite(bias: float) -> None:
    """With far slots at log m = -60 K and a residual of 1 at sigma 0.06 (monet_genesis.md 1.7)."""
    model, seen = monet(sigma_bg=0.06, sigma_fg=0.06), []
    model.encoder.register_forward_hook(lambda *args: seen.append(args[1][1]))
    torch.nn.init.constant_(model.attention.output.bias, bias)
    output = model(Observation(torch.ones(1, 1, 3, 16, 16)), slots=7)
    model.loss(output.terms).sum().backward()
    assert all(term.isfinite().all() for term in output.terms.values())
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert seen[0].min().item() == pytest.approx(-14.0)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"size": [35, 35]}, "size"),
        ({"attention_shuffle": 4}, "size / attention_shuffle"),
        ({"encoder": {"groups": 3}}, r"encoder\.channels"),
        ({"decoder": {"kind": "coarse", "channels": [6]}}, r"decoder\.channels"),
        ({"encoder": {"channels": []}}, r"encoder\.channels"),
    ],
)
def test_settings_that_cannot_work_are_told(changes: dict[str, object], word: str) -> None:
    with pytest.raises(InputError, match=word):
        monet(**changes)


def halves() -> tuple[Monet, Monet]:
    half = monet("fast", size=[32, 32], attention_shuffle=1, encoder={"pooling": 1}, decoder={"factor": 4})
    whole = monet("fast")
    whole.load_state_dict(whole.adapt(half.state_dict()))
    return half, whole


def test_full_size_continues_what_half_size_learned() -> None:
    half, whole = halves()
    small = images(size=32)
    large = Observation(functional.interpolate(small.frames[:, 0], scale_factor=2, mode="nearest").unsqueeze(1))
    few, many = (model(o, seed=2).decomposition for model, o in ((half, small), (whole, large)))
    for name in ("masks", "appearance"):
        grown = getattr(few, name)[:, 0].repeat_interleave(2, 3).repeat_interleave(2, 4)
        torch.testing.assert_close(getattr(many, name)[:, 0], grown, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(many.mean, few.mean, rtol=1e-3, atol=1e-3)


def test_flat_slots_have_one_colour_each() -> None:
    appearance = monet("fast")(images(size=64)).decomposition.appearance[:, 0]
    assert torch.equal(appearance, appearance[..., :1, :1].expand_as(appearance))
    image = monet("fast", decoder={"colour": "image"})(images(size=64)).decomposition.appearance[:, 0]
    assert image.std((-1, -2)).min() > 0


def test_bfloat16_stays_near_float32() -> None:
    found = [monet("fast", bf16_convolutions=b)(images(size=64), seed=1) for b in (False, True)]
    a, b = (out.terms["nll"].detach() for out in found)
    assert found[1].decomposition.masks.dtype == torch.float32
    torch.testing.assert_close(a, b, rtol=0.02, atol=1.0)


@pytest.mark.slow
def test_loss_falls_on_eight_images() -> None:
    model = monet()
    frames = torch.rand(8, 1, 3, 1, 1, generator=torch.Generator().manual_seed(1)).repeat(1, 1, 1, 16, 16)
    frames[..., 3:9, 5:12] = 1 - frames[..., 3:9, 5:12]  # a box of another colour
    losses = overfit(model, Observation(frames), 1e-3)["loss"]
    assert all(math.isfinite(loss) for loss in losses)
    assert sum(losses[-20:]) / 20 < 0.6 * losses[0]
