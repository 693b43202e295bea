"""Acceptance checks of PROVIDE: the grid, the flags, the published sizes."""

import dataclasses

import numpy as np
import pytest
import torch

from scenewise.config import build, merge, replace
from scenewise.errors import InputError
from scenewise.models.provide import Provide
from scenewise.models.provide_config import PRESETS, ProvideConfig
from scenewise.nn.refiner import GravesLSTM2d
from scenewise.observation import Observation
from scenewise.variational.refinement import normalise

TINY = build(ProvideConfig, PRESETS["tiny"], "tiny")


def tiny(**settings) -> Provide:
    torch.manual_seed(0)
    return Provide(replace(TINY, settings, "test"))


def clip(batch: int = 2, frames: int = 3) -> Observation:
    return Observation(torch.rand(batch, frames, 3, 16, 16, generator=torch.Generator().manual_seed(2)))


def count_calls(model: Provide, frames: int, **kwargs) -> tuple[list[int], list[int]]:
    """Decodes and refinements per frame, counted by hooks."""
    decodes, refinements = [0], [0]
    model.decoder.register_forward_hook(lambda *_: decodes.__setitem__(0, decodes[0] + 1))
    model.refine.register_forward_hook(lambda *_: refinements.__setitem__(0, refinements[0] + 1))
    state, table = model.initial_state(1), []
    for t in range(frames):
        decodes[0] = refinements[0] = 0
        _, state = model.step(clip(1, frames).frames[:, t], state, **kwargs)
        table.append((decodes[0], refinements[0]))
    return [d for d, _ in table], [r for _, r in table]


@pytest.mark.parametrize(
    ("budget", "trailing", "decodes", "refinements"),
    [
        (6, False, [6, 5, 4, 3, 2, 2, 2], [5, 4, 3, 2, 1, 1, 1]),
        (6, True, [6, 5, 4, 3, 2, 2, 2], [5, 5, 4, 3, 2, 2, 2]),
        (5, False, [5, 4, 3, 2, 2, 2, 2], [4, 3, 2, 1, 1, 1, 1]),
        (5, True, [5, 4, 3, 2, 2, 2, 2], [4, 4, 3, 2, 2, 2, 2]),
    ],
)
def test_cells_per_frame(budget: int, trailing: bool, decodes: list[int], refinements: list[int]) -> None:
    model = tiny(refinements=budget, budget={"trailing": trailing})
    assert count_calls(model, 7) == (decodes, refinements)


@pytest.mark.parametrize(
    ("grid", "refinements"),
    [
        ("triangular", [5, 4, 3, 2, 1, 1]),
        ("full", [5] * 6),
        ("halving", [5, 2, 1, 1, 1, 1]),
        ("first", [5, 1, 1, 1, 1, 1]),
    ],
)
def test_choices_of_the_grid(grid: str, refinements: list[int]) -> None:
    model = tiny(refinements=6, budget={"grid": grid})
    assert [model.decodes(frame) - 1 for frame in range(6)] == refinements


def test_full_grid_refines_every_frame_alike() -> None:
    assert count_calls(tiny(refinements=4, budget={"grid": "full"}), 3) == ([4, 4, 4], [3, 3, 3])
    assert count_calls(tiny(refinements=4), 3, refinements=2) == ([2, 2, 2], [1, 1, 1])


def test_published_parameter_counts() -> None:
    paper = Provide(build(ProvideConfig, {"inputs": {"left_out": ["leave_one_out"]}}, "paper"))
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in paper.named_children()}
    assert sizes == {"refine": 2_645_376, "decoder": 167_684, "prior": 33_024}
    assert sum(p.numel() for p in paper.parameters()) == 2_846_212
    reference = Provide(build(ProvideConfig, PRESETS["reference"], "reference"))
    assert sum(p.numel() for p in reference.refine.parameters()) == 2_654_592
    assert sum(p.numel() for p in reference.parameters()) == 2_977_940


def test_recomputed_cells_give_the_same_gradients() -> None:
    stored, recomputed = (
        tiny(entropy_weight=0.1, area_entropy_weight=0.1, duplicates={"weight": 0.1}),
        tiny(entropy_weight=0.1, area_entropy_weight=0.1, duplicates={"weight": 0.1}, recompute=True),
    )
    losses = []
    for model in (stored, recomputed):
        loss = model.loss(model(clip()).terms).mean()
        loss.backward()
        losses.append(loss)
    torch.testing.assert_close(*losses)
    for a, b in zip(stored.parameters(), recomputed.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-4 * a.grad.abs().max().item())


def test_posterior_gradient_input_equals_autograd_of_the_step_loss() -> None:
    """The vector the refinement network sees is the layer norm of the true gradient, reconstruction part included."""
    model = tiny(entropy_weight=0.1)
    seen: list[torch.Tensor] = []
    model.refine.register_forward_pre_hook(lambda _, args: seen.append(args[1].detach().clone()))
    frame = clip(2, 1).frames[:, 0]
    noise = torch.randn(model.noise_shape(2, 1), generator=torch.Generator().manual_seed(4))
    model(Observation(frame.unsqueeze(1)), noise=noise)
    lam = model.initial.detach().expand(2, TINY.slots, -1).clone().requires_grad_()
    mean, log_variance = lam.chunk(2, -1)
    hidden = torch.zeros(2, TINY.slots, TINY.hidden)
    appearance, logits = model.decoder(mean + (log_variance / 2).exp() * noise[:, 0, 0], hidden)
    log_n = -0.5 * ((frame.unsqueeze(1) - appearance) ** 2 / TINY.sigma**2).sum(2, keepdim=True)
    nll = -torch.logsumexp(logits.log_softmax(1) + log_n, 1).sum()
    prior = model.prior(hidden)
    kl = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, (log_variance / 2).exp()),
        torch.distributions.Normal(prior.mean, (prior.log_variance / 2).exp()),
    ).sum()
    entropy = -(logits.softmax(1) * logits.log_softmax(1)).sum()
    (gradient,) = torch.autograd.grad(100 * nll + 10 * kl + 0.1 * entropy, lam)
    torch.testing.assert_close(seen[0][..., 2 * TINY.latent :], normalise(gradient, 1), rtol=1e-3, atol=1e-3)


def test_evaluation_detaches_between_cells_and_gives_identical_outputs() -> None:
    model = tiny()
    graph = model(clip(), seed=1).decomposition
    with torch.no_grad():
        free = model(clip(), seed=1).decomposition
    torch.testing.assert_close(graph.masks, free.masks)
    assert not free.masks.requires_grad


def test_prediction_sees_zero_gradients_and_its_own_reconstruction() -> None:
    model = tiny()
    _, state = model.step(clip().frames[:, 0], model.initial_state(2))
    seen: list[tuple] = []
    model.refine.register_forward_pre_hook(lambda _, args: seen.append(args))
    predicted, _ = model.predict(state, 1)
    (shared, per_slot), vectors, *_ = seen[0]
    assert torch.equal(per_slot[:, :, 6:10], torch.zeros_like(per_slot[:, :, 6:10]))  # LN of zero gradients
    assert torch.equal(vectors[..., 2 * TINY.latent :], torch.zeros_like(vectors[..., 2 * TINY.latent :]))
    torch.testing.assert_close(shared[:, :3], predicted.reconstruction[:, 0])


def test_prediction_flags() -> None:
    frames = clip().frames
    outputs = {}
    for z in ("initial", "prior_sample", "prior_mean"):
        for readout in ("first", "refined"):
            model = tiny(prediction={"latent": z, "readout": readout})
            _, state = model.step(frames[:, 0], model.initial_state(2, seed=1))
            outputs[z, readout] = model.predict(state, 2)[0].reconstruction
    values = list(outputs.values())
    assert all(not torch.equal(a, b) for i, a in enumerate(values) for b in values[:i])


def test_shared_first_sample_repeats_the_first_noise_in_every_frame() -> None:
    for kind, same in (("shared", True), ("per_frame", False)):
        model = tiny(first_sample=kind)
        state = model.initial_state(1, seed=9)
        drawn = []
        for t in range(2):
            drawn.append(model.frame_noise(state, 0, None))
            _, state = model.step(clip(1).frames[:, t], state)
        assert torch.equal(*drawn) is same


@pytest.mark.parametrize(
    "settings",
    [
        {"cell": "graves"}, {"prior": {"scale": "softplus_logvar"}}, {"mixture": "channel"},
        {"inputs": {"left_out": ["leave_one_out"]}},
        {"inputs": {"mask_posterior": "softmax_of_lik"}}, {"inputs": {"mask_gradient": "logit"}},
        {"inputs": {"previous_frame": True}},
        {"inputs": {"pretrained_features": True}},
        {"prior": {"conditional": False}}, {"conditional_decoder": False}, {"mean_activation": "linear"},
        {"decoder": {"kind": "coarse"}}, {"decoder": {"kind": "unpadded"}}, {"decoder": {"kind": "deconv"}},
        {"decoder": {"kind": "coarse", "colour": "flat"}}, {"budget": {"grid": "full"}},
        {"encoder": {"kind": "gap"}}, {"encoder": {"kind": "strided"}},
        {"step_weights": "refined"}, {"inputs": {"likelihood": "probability"}},
        {"step_weights": "absolute"}, {"budget": {"trailing": True}}, {"first_sample": "shared"},
        {"composed_until": (5, 10)},
        {"area_entropy_weight": 0.5}, {"duplicates": {"weight": 0.5}},
        {"pooling": 2}, {"pooling": 2, "inputs": {"previous_frame": True}, "recompute": True},
        {"bf16_convolutions": True}, {"recompute": True, "inputs": {"previous_frame": True}},
        {"prior": {"conditional": False}, "conditional_decoder": False, "budget": {"grid": "full"}},
    ],
)  # fmt: skip
def test_every_flag_trains_and_streams(settings: dict) -> None:
    model = tiny(**settings)
    loss = model.loss(model(clip()).terms).mean()
    loss.backward()
    assert loss.isfinite()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert grads
    assert all(g.isfinite().all() for g in grads)
    _, state = model.step(clip().frames[:, 0], model.initial_state(2))
    assert model.predict(state, 2)[0].masks.isfinite().all()


def test_softplus_prior_never_narrows_below_unit_variance() -> None:
    h = torch.randn(1, 3, TINY.hidden) * 10
    assert bool((tiny(prior={"scale": "softplus_logvar"}).prior(h).log_variance >= 0).all())
    free = tiny().prior(h * 100).log_variance
    assert free.min() >= -10
    assert free.max() <= 10


def test_without_conditions_the_prior_is_standard_and_h_does_not_draw() -> None:
    model = tiny(prior={"conditional": False}, conditional_decoder=False)
    d = model(clip()).decomposition
    assert torch.equal(d.prior_mean, torch.zeros_like(d.prior_mean))
    latents, state = torch.randn(1, 3, 8), model.initial_state(1)
    moved = {**state, "hidden": torch.randn_like(state["hidden"])}
    assert torch.equal(model.decode(latents, state)[0], model.decode(latents, moved)[0])
    assert not torch.equal(tiny().decode(latents, state)[0], tiny().decode(latents, moved)[0])


def test_composed_likelihood_hands_over_by_the_schedule() -> None:
    model, weights = tiny(composed_until=(10, 30)), []
    for step in (0, 9, 10, 20, 30, 99):
        model.begin_step(step)
        weights.append(model.composed_weight)
    assert weights == [1, 1, 1, 0.5, 0, 0]
    assert tiny().composed_weight == 0


def test_area_entropy_enters_by_the_schedule() -> None:
    model, weights = tiny(area_entropy_weight=2.0, area_entropy_from=(10, 30)), []
    for step in (0, 10, 20, 30, 99):
        model.begin_step(step)
        weights.append(model.weights.area_entropy)
    assert weights == [0, 0, 1, 2, 2]
    assert tiny(area_entropy_weight=2.0).weights.area_entropy == 2


def test_beta_schedule_follows_the_last_nll() -> None:
    model = tiny(beta_schedule=True)
    output = model(clip())
    d = output.decomposition
    for nll, beta in ((700.0, 300.0), (300.0, 100.0), (700.0, 300.0), (100.0, 300.0)):
        fake = dataclasses.replace(d, log_likelihood=torch.full_like(d.log_likelihood, -nll))
        model.end_step(dataclasses.replace(output, explain=lambda fake=fake: fake))
        assert model.weights.reconstruction == beta


def test_relative_and_absolute_step_weights() -> None:
    frame = clip(1, 1)
    relative, absolute = (tiny(refinements=3, step_weights=w)(frame).terms["nll"] for w in ("relative", "absolute"))
    torch.testing.assert_close(relative, absolute)  # frame 1: D_1 = R
    frames = clip(1, 4)
    assert not torch.allclose(
        *(tiny(refinements=3, step_weights=w)(frames).terms["nll"] for w in ("relative", "absolute"))
    )


def cells_of(model: Provide, observation: Observation, noise: torch.Tensor) -> tuple[dict, list[dict]]:
    """Return the terms of a clip, and of each decode: means, logits, and where it was refined lambda and h, c."""
    cells: list[dict] = []

    def decoded(_: object, args: tuple, out: tuple) -> None:
        cells.append({"means": out[0].detach(), "logits": out[1].detach(), "h": args[1].detach()})

    def refined(_: object, args: tuple, out: tuple) -> None:
        cells[-1] |= {"lambda": args[1][..., : 2 * TINY.latent].detach(), "after": out[1][0].detach()}

    hooks = [model.decoder.register_forward_hook(decoded), model.refine.register_forward_hook(refined)]
    terms = model(observation, noise=noise).terms
    for hook in hooks:
        hook.remove()
    return terms, cells


def test_refined_step_weights_are_the_papers_sum() -> None:
    """Eq. 3 with its inner sum weighted: sum_t sum_{r = 1}^{R_t} r / R_t L(t, r), R_t = max(R - t, 1)."""
    budget, frames = 4, 5
    model, observation = tiny(refinements=budget, step_weights="refined"), clip(1, frames)
    noise = torch.randn(model.noise_shape(1, frames), generator=torch.Generator().manual_seed(4))
    terms, cells = cells_of(model, observation, noise)
    nll = kl = 0.0
    h, queue = np.zeros((TINY.slots, TINY.hidden)), iter(cells)
    for t in range(1, frames + 1):
        x, steps = observation.frames[0, t - 1].double().numpy(), max(budget - t, 1)
        prior = model.prior(torch.from_numpy(h).float())
        p_mean, p_std = prior.mean.detach().double().numpy(), (0.5 * prior.log_variance.detach().double()).exp().numpy()
        for r in range(1, steps + 1):
            cell = next(queue)
            np.testing.assert_array_equal(cell["h"][0].numpy(), h)
            means, logits = cell["means"][0].double().numpy(), cell["logits"][0].double().numpy()
            masks = np.exp(logits) / np.exp(logits).sum(0)
            density = np.exp(-((x - means) ** 2) / (2 * TINY.sigma**2)) / (TINY.sigma * np.sqrt(2 * np.pi))
            nll -= r / steps * np.log((masks[:, 0] * density.prod(1)).sum(0)).sum()
            mean, log_variance = np.split(cell["lambda"][0].double().numpy(), 2, -1)
            std = np.exp(log_variance / 2)
            divergence = np.log(p_std / std) + (std**2 + (mean - p_mean) ** 2) / (2 * p_std**2) - 0.5
            kl += r / steps * divergence.sum()
        h = cell["after"][0].numpy()  # h of the last refinement of this frame is what the next frame sees
        assert "lambda" not in next(queue)  # the final decode, which is not in the sum
    assert next(queue, None) is None
    assert terms["nll"].item() == pytest.approx(nll, rel=1e-5)
    assert terms["kl"].item() == pytest.approx(kl, rel=1e-5)


def test_text_is_the_papers_word_where_paper_departs() -> None:
    settings = {**PRESETS["tiny"], **PRESETS["text"]}
    model = Provide(build(ProvideConfig, settings, "text"))
    assert model.config.step_weights == "refined"
    assert model.engine.inputs.likelihood == "probability"
    assert type(model.refine.cell) is GravesLSTM2d
    assert (model.weights.reconstruction, model.weights.kl, model.weights.entropy) == (10, 1, 0)
    seen: list[torch.Tensor] = []
    model.refine.register_forward_pre_hook(lambda _, args: seen.append(args[0][0].detach()))
    output = model(clip(1, 2))
    model.loss(output.terms).mean().backward()
    assert output.decomposition.appearance.min() < 0  # linear means
    drawn: list[tuple] = []
    model.decoder.register_forward_hook(lambda _, __, out: drawn.append(out))
    seen.clear()
    frame = clip(1, 1).frames[:, 0]
    model.step(frame, model.initial_state(1))
    means, logits = (part[0].detach().double().numpy() for part in drawn[0])
    masks = np.exp(logits) / np.exp(logits).sum(0)
    sigma = TINY.sigma
    density = np.exp(-((frame[0].double().numpy() - means) ** 2) / (2 * sigma**2)) / (sigma * np.sqrt(2 * np.pi))
    likelihood = (masks[:, 0] * density.prod(1)).sum(0)
    away = likelihood - likelihood.mean()
    np.testing.assert_allclose(seen[0][0, 3].numpy(), away / np.sqrt((away**2).mean() + 1e-5), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"size": (18, 16), "decoder": {"kind": "coarse"}}, "divisible by 4"),
        ({"size": (20, 16), "encoder": {"kind": "strided"}}, "divisible by 8"),
        (
            {"decoder": {"kind": "coarse", "channels": 10}},
            r"decoder\.channels must be divisible by groups = 4; found 10",
        ),
        ({"decoder": {"channels": []}}, r"decoder\.channels must name"),
        ({"encoder": {"kind": "unpadded"}}, "31 or more"),
        ({"size": (17, 16), "pooling": 2}, "divisible by pooling"),
        ({"composed_until": (5, 2)}, "composed_until"),
        ({"channels": 1, "inputs": {"pretrained_features": True}}, r"inputs\.pretrained_features"),
    ],
)
def test_settings_that_cannot_work_are_told_first(settings: dict, named: str) -> None:
    with pytest.raises(InputError, match=named):
        tiny(**settings)


def test_a_full_size_model_starts_where_a_half_size_one_ended() -> None:
    half = tiny(size=(32, 32), decoder={"kind": "coarse"}, encoder={"kind": "strided"}, pooling=2)
    ours = {"decoder": {"kind": "coarse", "factor": 8}, "encoder": {"kind": "strided", "pooling": 2}}
    whole = tiny(size=(32, 32), **ours)
    whole.load_state_dict(whole.adapt(half.state_dict()))
    latents, hidden = torch.randn(2, 3, TINY.latent), torch.randn(2, 3, TINY.hidden)
    for coarse, fine in zip(half.decoder(latents, hidden), whole.decoder(latents, hidden), strict=True):
        torch.testing.assert_close(fine, coarse.repeat_interleave(2, -1).repeat_interleave(2, -2))
    frames = torch.rand(2, 3, 3, 32, 32)
    assert whole.loss(whole(Observation(frames)).terms).isfinite().all()
    assert {k: v.shape for k, v in half.adapt(half.state_dict()).items()} == {
        k: v.shape for k, v in half.state_dict().items()
    }


@pytest.mark.slow
def test_overfits_eight_clips_of_four_balls() -> None:
    """Spec smoke check: MSE below 0.005 on eight four-ball clips."""
    from scenewise.data import SOURCES

    torch.manual_seed(0)
    torch.set_num_threads(2)
    frames, _ = SOURCES.get("balls-colour")(split="train").batch(range(8), 0, 2)
    observation = Observation(torch.from_numpy(frames).float() / 255)
    full_size = {"pooling": 1, "decoder": {"factor": 8}, "encoder": {"pooling": 2}, "kl_weight": 0.08}
    model = Provide(build(ProvideConfig, merge(PRESETS["fast"], full_size), "fast"))
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-3)
    error = 1.0
    for step in range(3000):
        output = model(observation, seed=step)
        optimiser.zero_grad()
        model.loss(output.terms).mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        error = (output.decomposition.reconstruction - observation.frames).square().mean().item()
        if error < 0.005:
            break
    assert error < 0.005
