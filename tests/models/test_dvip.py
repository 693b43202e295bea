"""DVIP against its table of sizes, closed forms, and what may depend on what."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from scenewise.config import build
from scenewise.data import SOURCES
from scenewise.errors import InputError
from scenewise.models.dvip import PRESETS, Dvip, DvipConfig, Transition
from scenewise.observation import Observation
from scenewise.variational.gaussian import Gaussian, log_peak


def make(preset="tiny", **settings):
    torch.manual_seed(0)
    return Dvip(build(DvipConfig, {**PRESETS[preset], **settings}, preset))


def count(module):
    return sum(p.numel() for p in module.parameters())


def frames(model, batch=2, time=4):
    generator = torch.Generator().manual_seed(5)
    return Observation(torch.rand(batch, time, *model.frame_shape, generator=generator))


def test_parameter_counts_are_the_paper_s():
    with torch.device("meta"):
        model, entangled = make("paper"), make("entangled")
    assert count(model.encoder) == 3_020_640
    assert count(model.combine) == 3_560
    assert count(model.generator) == 2_922_727
    assert count(model.transitions) == 2 * 53_524
    assert count(model) == 6_053_975
    assert count(entangled.transitions) == 57_384
    assert count(entangled) == 6_004_311


@pytest.mark.parametrize(("layers", "widths"), [(2, [10, 128, 20]), (5, [10, 128, 128, 128, 128, 20]), (1, [10, 20])])
def test_layers_of_a_transition(layers, widths):
    found = Transition(DvipConfig(transition_layers=layers)).layers
    assert [found[0].in_features, *(layer.out_features for layer in found)] == widths


@pytest.mark.parametrize(("preset", "constant"), [("paper", -2774.5), ("avenue", 7113.9)])
def test_elbo_of_a_perfect_frame_without_kl(preset, constant):
    """G = x and q = p leave the Gaussian's constant: nats per frame on three channels (dvip.md 2)."""
    config = build(DvipConfig, PRESETS[preset], preset)
    assert log_peak(config.sigma) * 3 * 64 * 64 == pytest.approx(constant, abs=0.1)
    model = make(sigma=config.sigma)
    with torch.no_grad():
        for parameter in (*model.generator[2][-2].parameters(), *model.combine.parameters()):
            parameter.zero_()  # draws black; q = N(0, I) as p is at the first frame
    output = model(Observation(torch.zeros(2, 1, 3, 16, 16)))
    assert output.terms["kl"].abs().max() < 1e-5
    assert output.terms["nll"].tolist() == pytest.approx([-constant / 16] * 2, abs=0.1 / 16)
    assert output.decomposition.log_likelihood.flatten().tolist() == pytest.approx([constant / 16] * 2, abs=0.1 / 16)


def test_terms_are_sums_of_the_decomposition_and_kl_is_torch_s():
    model = make()
    output = model(frames(model))
    d = output.decomposition
    whole = kl_divergence(
        Normal(d.mean, (0.5 * d.log_variance).exp()), Normal(d.prior_mean, (0.5 * d.prior_log_variance).exp())
    )
    torch.testing.assert_close(d.kl, whole.sum((2, 3)), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(output.terms["kl"], d.kl.sum(1))
    torch.testing.assert_close(output.terms["nll"], -d.log_likelihood.sum(1))
    assert not d.prior_mean[:, 0].any()
    assert not d.prior_log_variance[:, 0].any()
    torch.testing.assert_close(model.loss(output.terms), output.terms["nll"] + output.terms["kl"])


def test_a_part_is_predicted_from_its_own_past_alone():
    model = make(num_factors=3)
    jacobian = torch.autograd.functional.jacobian(
        lambda z: torch.stack(model.predicted(z)), torch.randn(1, 3, 4), vectorize=True
    )  # (2, 1, K, d, 1, K, d)
    for i in range(3):
        for j in range(3):
            assert bool(jacobian[:, :, i, :, :, j].any()) == (i == j)


def test_of_second_order_a_part_is_predicted_from_its_own_two_past_latents():
    model = make(num_factors=3, order=2)
    jacobian = torch.autograd.functional.jacobian(
        lambda z, before: torch.stack(model.predicted(z, before)), (torch.randn(1, 3, 4), torch.randn(1, 3, 4))
    )  # twice (2, 1, K, d, 1, K, d)
    for past in jacobian:
        for i in range(3):
            for j in range(3):
                assert bool(past[:, :, i, :, :, j].any()) == (i == j)
    assert [layer.in_features for layer in model.transitions[0].layers][:2] == [8, 16]
    z = torch.randn(2, 3, 4)
    torch.testing.assert_close(model.predicted(z), model.predicted(z, torch.zeros_like(z)))


def test_of_second_order_priors_see_the_last_two_samples_and_zero_before_the_first():
    model = make(order=2)
    observation = frames(model)
    d = model(observation, seed=3).decomposition
    state, samples = model.initial_state(2, seed=3), [torch.zeros(2, 2, 4)]
    assert not state["before"].any()
    for t in range(4):
        one, state = model.step(observation.frames[:, t], state)
        torch.testing.assert_close(one.prior_mean, d.prior_mean[:, t : t + 1])  # fold == forward
        torch.testing.assert_close(one.mean, d.mean[:, t : t + 1])
        if t:
            with torch.no_grad():
                raw = [
                    move(torch.cat([samples[-2][:, k], samples[-1][:, k]], 1))
                    for k, move in enumerate(model.transitions)
                ]
            torch.testing.assert_close(d.prior_mean[:, t], torch.stack(raw, 1)[..., :4])
        else:
            assert not d.prior_mean[:, 0].any()
        samples.append(state["latent"])
    torch.testing.assert_close(state["before"], samples[-2])


def test_of_second_order_prediction_goes_on_from_both():
    model = make(order=2)
    observation = frames(model)
    _, state = model.step(observation.frames[:, 0], model.initial_state(2))
    _, state = model.step(observation.frames[:, 1], state)
    d, after = model.predict(state, 3)
    with torch.no_grad():
        first = model.predicted(state["latent"], state["before"])
        second = model.predicted(first.mean, state["latent"])
        third = model.predicted(second.mean, first.mean)
    expected = torch.stack([first.mean, second.mean, third.mean], 1)
    torch.testing.assert_close(d.prior_mean, expected)
    torch.testing.assert_close(after["before"], second.mean)
    assert "before" not in make().initial_state()


def test_the_reference_is_as_the_authors_have_it():
    with torch.device("meta"):
        model, entangled = make("reference"), make("reference-entangled")
    assert (model.config.order, model.config.latent, model.config.slots, entangled.config.latent) == (2, 25, 2, 50)
    first, *_, last = model.transitions[0].layers
    assert (first.in_features, last.out_features) == (50, 50)
    # features, joint layer on 3 x 50, two heads: no layers on the prediction
    assert count(model.combine) == (32 * 50 + 50) + (150 * 50 + 50) + 2 * (50 * 50 + 50)
    assert isinstance(model.generator[2][-1], torch.nn.Sigmoid)
    small = make(**{**PRESETS["reference"], "latent": 4})
    drawn = small.draw(torch.randn(5, 2, 4))
    assert 0 < drawn.min() < drawn.max() < 1
    assert small(frames(small, time=5)).terms["nll"].shape == (2,)


def test_the_last_bias_starts_higher():
    plain, raised = make(mean_activation="sigmoid"), make(mean_activation="sigmoid", output_bias=0.5)
    assert torch.equal(raised.generator[2][-2].bias, plain.generator[2][-2].bias + 0.5)
    assert torch.equal(raised.generator[2][-2].weight, plain.generator[2][-2].weight)


def test_without_layers_of_its_own_the_prediction_is_joined_as_it_is():
    model = make(prior_layers=False)
    features, prior = torch.randn(3, 16), Gaussian(torch.randn(3, 8), torch.randn(3, 8))
    bend = torch.nn.functional.leaky_relu
    joined = torch.cat([bend(model.combine.frame(bend(features, 0.2)), 0.2), prior.mean, prior.log_variance], 1)
    hidden = bend(model.combine.joint(joined), 0.2)
    torch.testing.assert_close(model.combine(features, prior).mean, model.combine.mean(hidden))


def test_batch_norm_may_pool_over_the_videos_of_each_frame():
    model = make(norm_per_frame=True)
    observation = frames(model, batch=3)
    norm = model.encoder[1]
    with torch.no_grad():
        hidden = [model.encoder[0](frame) for frame in observation.frames.unbind(1)]
    model.train().begin_step(0)
    model(observation)
    expected = torch.zeros(8)
    for one in hidden:
        expected = 0.9 * expected + 0.1 * one.mean((0, 2, 3))
    torch.testing.assert_close(norm.running_mean, expected, rtol=1e-4, atol=1e-6)
    quiet = make(norm_per_frame=True)(observation).terms["nll"]
    torch.testing.assert_close(quiet, make()(observation).terms["nll"])  # running statistics do not pool


def test_one_part_is_the_entangled_model():
    model = make(num_factors=1, latent=8)
    jacobian = torch.autograd.functional.jacobian(lambda z: model.predicted(z).mean, torch.randn(1, 1, 8))
    assert bool((jacobian != 0).all())
    assert model(frames(model)).decomposition.slots == 1
    assert build(DvipConfig, PRESETS["entangled"], "").slots == 1


def test_only_the_kl_teaches_the_transitions():
    model = make()
    for term, learns in (("nll", False), ("kl", True)):
        model.zero_grad()
        # The sample of the last frame but one reaches the last likelihood through the posterior's inputs alone.
        model(frames(model)).terms[term].sum().backward()
        taught = [p.grad is not None and bool(p.grad.any()) for p in model.transitions.parameters()]
        assert all(taught) if learns else not any(taught)
    assert all(p.grad is not None for p in model.encoder.parameters())


def test_batch_norm_pools_over_the_batch_in_announced_steps_alone():
    model = make()
    observation = frames(model)
    norm = model.encoder[1]
    before = norm.running_mean.clone()
    quiet = model.train()(observation).terms["nll"]
    assert torch.equal(norm.running_mean, before)
    model.begin_step(0)
    taught = model(observation).terms["nll"]
    assert not torch.equal(norm.running_mean, before)
    assert not torch.allclose(taught, quiet)
    hidden = model.encoder[0](observation.frames.flatten(0, 1))
    torch.testing.assert_close(norm.running_mean, 0.1 * hidden.mean((0, 2, 3)), rtol=1e-4, atol=1e-6)
    after = norm.running_mean.clone()
    model(observation)
    assert torch.equal(norm.running_mean, after)


def test_frozen_parts_draw_one_picture_and_slots_show_what_moves():
    model = make()
    latents = 30 * torch.randn(1, 1, 2, 4).expand(1, 5, 2, 4)
    drawn = model.draw(latents)
    assert torch.equal(drawn, drawn[:, :1].expand_as(drawn))
    with torch.no_grad():
        model.generator[0].weight[:, 4:] = 0  # the second part is not drawn
    masks, appearance = model.decode(latents[:, 0])
    assert bool((masks[:, 0] >= masks[:, 1]).all())
    assert masks[:, 0].max() > 0.9
    torch.testing.assert_close((masks * appearance).sum(1), model.draw(latents[:, 0]))


def test_slots_are_compared_with_their_mean_so_far():
    model = make()
    observation = frames(model)
    _, state = model.step(observation.frames[:, 0], model.initial_state(2))
    d, state = model.step(observation.frames[:, 1], state)
    whole = model(observation).decomposition
    torch.testing.assert_close(state["total"], whole.mean[:, :2].sum(1))
    masks, _ = model.decode(state["latent"], state)
    torch.testing.assert_close(masks, d.masks[:, 0])
    usual = whole.mean[:, :2].sum(1) / 3
    with torch.no_grad():
        other = state["latent"].clone()
        other[:, 0] = usual[:, 0]
        change = (model.draw(other) - model.draw(state["latent"])).abs().sum(1, keepdim=True)
    assert torch.corrcoef(torch.stack([change.flatten(), masks[:, 0].flatten()]))[0, 1] > 0.3


def test_prediction_follows_the_prior_and_can_be_sampled():
    for how in ("prior_mean", "prior_sample"):
        model = make(predict_z=how)
        _, state = model.step(frames(model).frames[:, 0], model.initial_state(2, seed=1))
        d, _ = model.predict(state, 3)
        with torch.no_grad():
            first = model.predicted(state["latent"])
            torch.testing.assert_close(d.prior_mean[:, 0], first.mean)
            second = model.predicted(first.mean)
        assert torch.allclose(d.prior_mean[:, 1], second.mean, atol=1e-5) == (how == "prior_mean")
        assert not d.kl.any()
        assert d.log_likelihood.flatten().tolist() == pytest.approx([log_peak(0.5) * 768] * 6)


def test_literal_activations_bound_the_heads():
    plain, literal = make(), make(literal_activations=True, mean_activation="relu")
    z = 20 * torch.randn(64, 2, 4)
    assert literal.predicted(z).log_variance.min() >= -1.7581
    assert literal.draw(z).min() >= 0
    assert plain.draw(z).min() < 0
    features, prior = torch.randn(64, 16), Gaussian(torch.randn(64, 8), torch.randn(64, 8))
    for bent, straight in zip(literal.combine(features, prior), plain.combine(features, prior), strict=True):
        torch.testing.assert_close(bent, torch.nn.functional.leaky_relu(straight, 0.2))


def test_wide_log_variances_are_clamped_and_counted():
    model = make()
    assert not model(frames(model)).terms["clamped"].any()
    with torch.no_grad():
        model.combine.scale.bias.fill_(50.0)
    output = model(frames(model))
    assert output.terms["clamped"].tolist() == [32.0, 32.0]  # 4 frames of 8 units
    assert output.decomposition.log_variance.max() == 10
    assert math.isfinite(float(output.terms["kl"].detach().sum()))


def test_warm_up_of_the_kl():
    model = make(kl_warmup=9)
    terms = {"nll": torch.ones(1), "kl": torch.ones(1)}
    for step, weight in ((0, 0.1), (4, 0.5), (9, 1.0), (99, 1.0)):
        model.begin_step(step)
        assert model.loss(terms).item() == pytest.approx(1 + weight)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"size": [16, 32]}, "equal powers of 2"),
        ({"size": [24, 24]}, "equal powers of 2"),
        ({"norm": "group", "width": 6}, "by 4"),
    ],
)
def test_settings_that_cannot_work_together_are_told(wrong, says):
    with pytest.raises(InputError, match=says):
        make(**wrong)


@pytest.mark.slow
def test_two_bouncing_digits_are_learnt():
    """An all-black decoder without KL is what nothing learnt looks like."""
    pytest.importorskip("sklearn")
    source = SOURCES.get("moving-mnist-colour")("train", size=16, digit=7)
    model = make(width=16, sigma=0.125, latent=8, transition_hidden=64)
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    for step in range(600):
        images = torch.from_numpy(source.batch(range(16 * step, 16 * step + 16), 0, 8)[0]).float() / 255
        model.begin_step(step)
        loss = model.loss(model(Observation(images), seed=step).terms).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    unseen = SOURCES.get("moving-mnist-colour")("test", size=16, digit=7)
    shown = torch.from_numpy(unseen.batch(range(64), 0, 8)[0]).float() / 255
    with torch.no_grad():
        d = model(Observation(shown)).decomposition
    black = log_peak(0.125) * 768 - 0.5 * (shown / 0.125).square().sum((2, 3, 4)).mean()
    assert (d.log_likelihood - d.kl).mean() > black + 15


def test_held_parts_are_scored_on_their_own_channels_beside_another_videos() -> None:
    """The term as its definition has it: channel i of video b from part i of b and the rest of video b - 1."""

    def tiny(**settings: float) -> Dvip:
        torch.manual_seed(0)
        return Dvip(build(DvipConfig, {**PRESETS["tiny"], **settings}, "tiny")).eval()

    model = tiny(owned_weight=0.5)
    frames = torch.rand(3, 2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    noise = torch.randn(model.noise_shape(3, 2), generator=torch.Generator().manual_seed(2))
    output = model(Observation(frames), noise=noise)
    d = output.decomposition
    latents = d.mean + (0.5 * d.log_variance).exp() * noise[:, :, 0]  # (B, T, K, d)
    expected = torch.zeros(3)
    for b in range(3):
        for part in range(2):
            other = latents[b - 1].clone()
            other[:, part] = latents[b, :, part]
            with torch.no_grad():
                drawn = model.draw(other)[:, part]
            pixel = torch.distributions.Normal(drawn, model.config.sigma)
            expected[b] -= pixel.log_prob(frames[b, :, part]).sum()
    terms = output.terms
    assert torch.allclose(terms["owned"], expected, rtol=1e-4)
    total = terms["nll"] + terms["kl"] + 0.5 * terms["owned"]
    assert torch.allclose(model.loss(terms), total)
    assert "owned" not in tiny()(Observation(frames), noise=noise).terms
