"""GENESIS-V2: what its specification says (monet_genesis.md 3, 5)."""

import math

import pytest
import torch

from scenewise.config import build
from scenewise.errors import InputError
from scenewise.models.genesis_v2 import GenesisV2, GenesisV2Config, stopped
from scenewise.nn.layers import coordinates
from scenewise.observation import Observation
from scenewise.variational.geco import goal
from scenewise.variational.stick_breaking import mask_divergence

from .overfitting import overfit


def genesis(preset: str = "tiny", **changes: object) -> GenesisV2:
    torch.manual_seed(0)
    return GenesisV2(build(GenesisV2Config, {**GenesisV2.presets[preset], **changes}, "test"))


def frames(batch: int = 2, time: int = 1, size: int = 16) -> Observation:
    return Observation(torch.rand(batch, time, 3, size, size, generator=torch.Generator().manual_seed(1)))


def explained(model: GenesisV2, seed: int = 0, slots: int = 3, batch: int = 2):
    noise = torch.randn(model.noise_shape(batch, 1, slots), generator=torch.Generator().manual_seed(seed))
    return model.explain(frames(batch).frames[:, 0], noise[:, 0])


def test_the_paper_has_the_published_sizes() -> None:
    model = genesis("paper")
    assert model.segmenter.learned.weight.shape == (8, 64, 1, 1)
    assert float(model.segmenter.gate) == 0
    assert float(model.segmenter.log_scale.exp()) == pytest.approx(1 / (5 * math.log(2)))
    assert model.features[1].out_channels == 128
    layer_norm, first, _, second = model.head
    assert layer_norm.normalized_shape == (128,)
    assert (first.out_features, second.out_features) == (128, 2 * 64)
    assert [(layer.kernel_size, layer.stride) for layer in model.decoder.layers] == [((5, 5), (2, 2))] * 4
    assert model.decoder.output.out_channels == 4
    assert sum(p.numel() for p in model.prior.cell.parameters()) == 4 * 256 * (64 + 256 + 2)


def test_embeddings_start_as_places() -> None:
    model = genesis(gate=0.0)
    embeddings = model.segmenter(torch.randn(2, 8, 16, 16))
    torch.testing.assert_close(embeddings[:, -2:], coordinates(16, 16).expand(2, -1, -1, -1))
    assert not embeddings[:, :-2].any()


def test_masks_against_a_loop_over_pixels() -> None:
    model = genesis()
    embeddings = torch.randn(1, 8, 6, 5)
    chances = torch.rand(1, 1, 6, 5)
    masks = model.segmenter.carve(embeddings, chances, 3).exp()[0, :, 0]
    scope, scale = torch.ones(6, 5), float(model.segmenter.log_scale.exp())
    for k in range(2):
        best = max(((i, j) for i in range(6) for j in range(5)), key=lambda p: float(chances[0, 0][p] * scope[p]))
        for i in range(6):
            for j in range(5):
                away = float((embeddings[0, :, i, j] - embeddings[0, :, best[0], best[1]]).square().sum())
                alpha = min(max(math.exp(-away / scale), 0.01), 0.99)
                assert float(masks[k, i, j]) == pytest.approx(float(scope[i, j]) * alpha, rel=1e-3)
                scope[i, j] *= 1 - alpha
    torch.testing.assert_close(masks[2], scope.detach(), rtol=1e-3, atol=1e-6)


def test_alpha_halves_at_the_distance_that_its_scale_says() -> None:
    """With s = 1 / (K ln 2), alpha = 2^(-K d²)."""
    model = genesis("paper", gate=0.0)
    place = torch.zeros(1, 8, 1, 2)
    place[0, 7, 0, 1] = math.sqrt(1 / 5)
    masks = model.segmenter.carve(place, torch.tensor([[[[1.0, 0.5]]]]), 2).exp()
    torch.testing.assert_close(masks[0, 0, 0, 0], torch.tensor([0.99, 0.5]))


def test_gradients_pass_through_where_alpha_is_cut() -> None:
    model = genesis(gate=0.0)
    embeddings = torch.zeros(1, 8, 1, 2)
    embeddings[0, 7, 0, 1] = 2.0  # alpha = exp(-4 * 3 ln 2), far below 0.01
    masks = model.segmenter.carve(embeddings, torch.tensor([[[[1.0, 0.5]]]]), 2)
    assert float(masks[0, 0, 0, 0, 1].exp()) == pytest.approx(0.01)
    masks[0, 0, 0, 0, 1].backward()
    alpha, away = math.exp(-4 * 3 * math.log(2)), 4 * 3 * math.log(2)
    assert float(model.segmenter.log_scale.grad) == pytest.approx(alpha * away / 0.01, rel=1e-3)  # d log(0.01 + alpha)


def test_slots_have_no_order_and_seeds_decide() -> None:
    model = genesis(masks="attention").eval()
    shown = [model(frames(1), seed=seed).decomposition.labels for seed in (0, 0, *range(1, 12))]
    assert torch.equal(shown[0], shown[1])
    assert len({int(labels[0, 0, 0, 0]) for labels in shown}) == 3  # the corner's slot, K = 3


def test_the_random_map_is_uniform_and_part_of_the_noise() -> None:
    model = genesis()
    assert model.noise_shape(2, 1, 5) == (2, 1, 1 + math.ceil(256 / (5 * 8)), 5, 8)
    noise = torch.randn(model.noise_shape(1, 1))[:, 0]
    other = noise.clone()
    other[:, 0] += 1
    images = frames(1).frames[:, 0]
    one, two = (model.explain(images, n) for n in (noise, other))
    assert torch.equal(one.attention, two.attention)
    assert not torch.allclose(one.latents, two.latents)
    other[:, 1:] = torch.randn_like(other[:, 1:])
    assert not torch.allclose(model.explain(images, other).attention, one.attention)


def test_features_are_means_under_the_masks() -> None:
    model = genesis()
    features, log_masks = torch.randn(1, 8, 16, 16), torch.randn(1, 3, 1, 16, 16).log_softmax(1)
    seen = model.features(features)
    for k in range(3):
        mask = log_masks[0, k].exp()
        mean = (mask * seen[0]).sum((1, 2)) / (mask.sum() + 1e-5)
        raw = model.head(mean)
        torch.testing.assert_close(model.infer(features, log_masks).mean[0, k], raw[:8], rtol=1e-3, atol=1e-4)


def test_both_sets_of_masks_are_there_and_the_setting_chooses() -> None:
    found = {name: explained(genesis(masks=name)) for name in ("attention", "decoded")}
    one, other = found["attention"], found["decoded"]
    assert torch.equal(one.attention, other.attention)
    assert torch.equal(one.log_masks, one.attention)
    assert torch.equal(other.log_masks, other.decoded)
    assert torch.equal(one.log_likelihood, other.log_likelihood)
    assert not torch.allclose(one.attention, one.decoded)
    for masks in (one.attention, one.decoded):
        assert (masks.exp().sum(1) - 1).abs().max() < 1e-3


def test_the_kl_of_masks_teaches_the_attention_alone() -> None:
    model = genesis(mask_kl_weight=1.0)
    found = explained(model)
    term = model.terms(found)["mask_kl"]
    torch.testing.assert_close(term, mask_divergence(found.attention, found.decoded))
    term.sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in model.decoder.parameters())
    assert model.segmenter.learned.weight.grad.any()
    same = torch.randn(2, 3, 1, 4, 4).log_softmax(1)
    assert mask_divergence(same, same).abs().max() < 1e-5


def test_it_weighs_as_the_settings_say() -> None:
    plain, weighed = genesis(), genesis(mask_kl_weight=2.0)
    one, other = (model(frames(), seed=3) for model in (plain, weighed))
    torch.testing.assert_close(
        weighed.loss(other.terms) - plain.loss(one.terms), 2 * one.terms["mask_kl"], rtol=1e-3, atol=1e-2
    )


def test_carving_stops_at_the_first_small_mask() -> None:
    masks = torch.tensor([[0.5, 0.25, 0.05, 0.1, 0.1], [0.3, 0.3, 0.2, 0.1, 0.1]])
    log_masks = masks.log()[:, :, None, None, None].expand(-1, -1, 1, 10, 10)
    kept, present = stopped(log_masks, 8.0)
    assert present.tolist() == [[True, True, True, False, False], [True] * 5]
    expected = torch.tensor([[0.5, 0.25, 0.25, 0, 0], [0.3, 0.3, 0.2, 0.1, 0.1]])
    torch.testing.assert_close(kept.exp()[..., 0, 3, 3], expected)
    kept, present = stopped(torch.zeros(2, 1, 1, 10, 10), 1000.0)
    assert present.all()
    torch.testing.assert_close(kept[:, 0, 0], torch.zeros(2, 10, 10))


def test_a_number_of_slots_that_is_found_keeps_the_contract() -> None:
    fixed, dynamic = (genesis(dynamic_slots=on, dynamic_pixels=20.0).eval() for on in (False, True))
    noise = torch.randn(dynamic.noise_shape(1, 1, 12), generator=torch.Generator().manual_seed(0))
    d = dynamic(frames(1), slots=12, noise=noise).decomposition
    used = (d.masks.amax((3, 4, 5)) > 0)[0, 0]
    assert 1 < int(used.sum()) < 12
    assert used.tolist() == sorted(used.tolist(), reverse=True)
    assert (d.masks.sum(2) - 1).abs().max() < 1e-3
    assert not (d.mean - d.prior_mean)[0, 0, ~used].any()
    assert fixed(frames(1), slots=12, noise=noise).decomposition.masks[0, 0].amin((1, 2, 3)).min() >= 0
    dynamic.train()
    assert (dynamic(frames(1), slots=12, noise=noise).decomposition.masks.amax((3, 4, 5)) > 0).all()


def test_mixtures_agree_for_one_slot_and_differ_for_more() -> None:
    joint, each = genesis(mixture="pixel", sigma=0.1), genesis(mixture="channel", sigma=0.1)
    one = [model(frames(), slots=1).terms["nll"] for model in (joint, each)]
    more = [model(frames()).terms["nll"] for model in (joint, each)]
    torch.testing.assert_close(one[0], one[1])
    assert (more[0] - more[1]).abs().min() > 1


def test_geco_weighs_the_kl() -> None:
    model = genesis(geco={"step": 1e-4})
    output = model(frames())
    for _ in range(4):
        model.end_step(model(frames()))
    beta = float(model.geco.beta)
    assert beta < 1
    torch.testing.assert_close(model.loss(output.terms), output.terms["nll"] + beta * output.terms["kl"])


def test_settings_that_cannot_work_are_told() -> None:
    for changes, message in (
        ({"size": [24, 24]}, "squares"),
        ({"encoder_channels": 12}, "encoder_channels"),
        ({"decoder_channels": 12}, "decoder_channels"),
    ):
        with pytest.raises(InputError, match=message):
            genesis(**changes)


@pytest.mark.slow
def test_eight_images_are_overfit(squares: Observation) -> None:
    found = overfit(genesis(groups=2, sigma=0.3, geco={"start": 1e-3}), squares)
    above = [nll - goal(0.0, 0.3, 3 * 16 * 16) for nll in found["nll"]]
    assert sum(above[-10:]) < 0.8 * sum(above[:10])
