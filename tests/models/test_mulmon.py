"""MulMON: views one after the other, queries, and what mulmon.md 3, 4 and 8 say of them."""

import gc
from typing import Any

import pytest
import torch
from torch import Tensor

from scenewise.config import build, merge
from scenewise.errors import InputError
from scenewise.models.iodine import Iodine, IodineConfig
from scenewise.models.mulmon import Mulmon, MulmonConfig
from scenewise.observation import Observation
from scenewise.variational.gaussian import Gaussian, seeded_noise


def mulmon(preset: str = "tiny", **changes: object) -> Mulmon:
    torch.manual_seed(0)
    return Mulmon(build(MulmonConfig, merge(Mulmon.presets[preset], changes), "test"))


def scene(batch: int = 2, views: int = 4, size: int = 16) -> Observation:
    generator = torch.Generator().manual_seed(1)
    frames = torch.rand(batch, views, 3, size, size, generator=generator)
    return Observation(frames, None, torch.randn(batch, views, 3, generator=generator))


class Spy:
    """An engine that remembers how its decodes were called and what they gave."""

    def __init__(self, model: Mulmon) -> None:
        self.engine, self.calls, self.alive = model.engine, list[dict[str, Any]](), list[int]()
        model.engine = self  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def decode(self, context: Any, posterior: Tensor, refinement: Any, noise: Tensor, refine: bool) -> Any:
        after = self.engine.decode(context, posterior, refinement, noise, refine)
        kl = after[0].terms["kl"].detach()
        self.calls.append({"refine": refine, "state": refinement, "prior": context.prior, "kl": kl, "context": context})
        self.calls[-1] |= {"posterior": posterior, "nll": after[0].terms["nll"].detach()}
        return after


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_paper_has_the_public_codes_layers() -> None:
    model = mulmon("paper")
    conv = 32 * 9 * 32 + 32
    assert parameters(model.decoder.view) == 3 * 128 + 128 + 128 * 3 + 3
    assert parameters(model.decoder.project) == (16 + 3) * 512 + 512
    assert parameters(model.decoder.projected) == 512 * 16 + 16
    assert parameters(model.decoder.slot) == (18 * 9 * 32 + 32) + 3 * conv + 32 * 4 + 4
    strided = (17 * 9 * 32 + 32) + conv + (32 * 9 * 64 + 64) + (64 * 9 * 64 + 64)
    assert parameters(model.refine.encoder) == strided + (64 * 3 * 3 * 256 + 256) + (256 * 128 + 128)
    assert parameters(model.refine.cell) == 4 * 128 * (128 + 64 + 128 + 1)
    assert parameters(model.refine.update) == 128 * 32 + 32
    assert model.decodes() == 5
    assert mulmon("lds").config.duplicates.weight == 1.0


class AtOneView(torch.nn.Module):
    """MulMON's decoder at one viewpoint, as a decoder that knows of none."""

    def __init__(self, decoder: torch.nn.Module, viewpoint: Tensor) -> None:
        super().__init__()
        self.decoder, self.viewpoint = decoder, viewpoint

    def forward(self, latent: Tensor, h: Tensor) -> Any:
        return self.decoder(latent, self.viewpoint.unsqueeze(1).expand(-1, latent.shape[1], -1))


class PriorAtStart(Iodine):
    """IODINE whose prior is its trained start."""

    def context(self, images: Tensor, carry: Any) -> Any:
        context = super().context(images, carry)
        start = self.initial.expand(len(images), carry[0].shape[1], -1)
        return type(context)(images, carry, self.engine.posterior(start), context.weights)


def test_one_view_without_queries_is_iodine_with_prior_lam0_and_normalised_weights() -> None:
    model, observation = mulmon(viewpoint_noise=0.0), scene(views=1)
    shared = {"size": [16, 16], "slots": 3, "latent": 8, "hidden": 16, "mixture": "channel"}
    shared |= {"encoder": {"kind": "strided", "channels": 8, "code": 16}, "decoder": {"channels": 8}}
    shared |= {"inputs": {"likelihood": "log", "mask_gradient": "logit"}}
    twin = PriorAtStart(build(IodineConfig, {**shared, "refinements": 3, "final_decode": False}, "twin"))
    twin.refine.load_state_dict(model.refine.state_dict())
    twin.initial.data.copy_(model.initial.data)
    assert observation.viewpoints is not None
    object.__setattr__(twin.engine, "decoder", AtOneView(model.decoder, observation.viewpoints[:, 0]))
    noise = torch.randn(model.noise_shape(2, 1))
    found = model(observation, noise=noise).terms
    expected = twin(observation, noise=noise[:, :, :3]).terms
    assert float(found["query"].detach().abs().sum()) == 0
    for name in ("nll", "kl", "duplicates"):  # weights (it + 1) / 3 there, 2 (it + 1) / (3 * 4) here
        torch.testing.assert_close(found[name], expected[name] * 2 / 4, rtol=1e-4, atol=1e-3)


def test_every_view_starts_at_its_prior_with_the_lstm_at_zero() -> None:
    model = mulmon().eval()
    spy = Spy(model)
    model(scene())
    for view in range(4):
        start, *later = spy.calls[view * model.decodes() : (view + 1) * model.decodes()]
        torch.testing.assert_close(start["kl"], torch.zeros(2), rtol=0, atol=1e-6)
        assert not any(part.any() for part in start["state"])
        assert all(bool((call["kl"] > 1e-6).all()) for call in later)
        assert all(bool(call["state"][0].any()) for call in later)


def test_the_prior_of_a_view_is_the_last_posterior_and_keeps_its_gradient() -> None:
    model = mulmon().eval()
    spy = Spy(model)
    model(scene(views=2))
    first, last = spy.calls[0]["prior"], spy.calls[model.decodes()]["prior"]
    assert torch.equal(first.mean[0, 0], model.initial.chunk(2)[0])
    q = model.engine.posterior(spy.calls[model.decodes() - 1]["posterior"])
    assert torch.equal(last.mean, q.mean)
    assert torch.equal(last.log_variance, q.log_variance)
    (gradient,) = torch.autograd.grad(last.mean.sum(), model.refine.update.weight)
    assert gradient.abs().sum() > 0


def test_first_prior_may_be_standard_normal() -> None:
    model = mulmon(first_prior="standard_normal").eval()
    d = model(scene()).decomposition
    assert not d.prior_mean.any()
    assert not d.prior_log_variance.any()
    q = Gaussian(d.mean[:, 0], d.log_variance[:, 0])
    by_hand = torch.distributions.kl_divergence(
        torch.distributions.Normal(q.mean, (0.5 * q.log_variance).exp()), torch.distributions.Normal(0.0, 1.0)
    )
    torch.testing.assert_close(d.kl[:, 0], by_hand.sum((1, 2)))


@pytest.mark.parametrize("views", [1, 2, 4])
def test_terms_are_averages_over_decodes_and_views(views: int) -> None:
    """With weights that sum to 1, more views of the same cost cost the same (mulmon.md 8.3)."""
    model = mulmon().eval()
    torch.nn.init.zeros_(model.refine.update.weight)
    torch.nn.init.zeros_(model.refine.update.bias)
    one = scene(views=1)
    assert one.viewpoints is not None
    same = Observation(one.frames.expand(-1, views, -1, -1, -1), None, one.viewpoints.expand(-1, views, -1))
    noise = torch.randn(2, 1, 1, 3, 8).expand(*model.noise_shape(2, views))
    output = model(same, noise=noise)
    torch.testing.assert_close(output.terms["nll"], -output.decomposition.log_likelihood[:, 0], rtol=1e-4, atol=1e-2)


def test_later_views_and_decodes_weigh_more() -> None:
    model = mulmon().eval()
    spy = Spy(model)
    terms = model(scene(views=2)).terms
    nll = torch.stack([call["nll"] for call in spy.calls[:6]]).view(2, 3, 2)
    weights = torch.tensor([1 / 3, 2 / 3])[:, None] * torch.tensor([1 / 6, 2 / 6, 3 / 6])
    torch.testing.assert_close(terms["nll"], (weights.unsqueeze(2) * nll).sum((0, 1)), rtol=1e-5, atol=1e-3)


def test_queries_are_scored_from_the_final_posterior() -> None:
    model = mulmon(viewpoint_noise=0.0, views={"most": 2})
    observation, noise = scene(views=5), torch.randn(mulmon().noise_shape(2, 5))
    output = model(observation, noise=noise, seed=3)
    observed, queried = model.split(5, 3)
    expected = -output.decomposition.log_likelihood[:, queried].mean(1)
    torch.testing.assert_close(output.terms["query"], expected, rtol=1e-4, atol=1e-2)
    assert sorted(observed + queried) == list(range(5))
    assert model.loss({**output.terms, "query": output.terms["query"] + 1}).sub(model.loss(output.terms)).eq(1).all()


def test_number_and_order_of_views_come_from_the_seed_alone() -> None:
    model = mulmon()
    splits = [model.split(10, seed) for seed in range(600)]
    assert splits == [model.split(10, seed) for seed in range(600)]
    counts = torch.tensor([len(observed) for observed, _ in splits]).bincount(minlength=8)
    assert counts[0] == counts[7] == 0
    assert bool((counts[1:7] > 60).all())  # 100 each expected, standard deviation 9
    first = torch.tensor([observed[0] for observed, _ in splits]).bincount(minlength=10)
    assert bool((first > 30).all())
    few = mulmon(views={"least": 2, "most": 2, "queries": 3}).split(10, 0)
    assert (len(few[0]), len(few[1])) == (2, 3)
    assert model.eval().split(10, 0) == (list(range(10)), [])


def test_batch_permutation_permutes_everything() -> None:
    model, observation = mulmon(), scene(batch=3)
    assert observation.viewpoints is not None
    noise, order = torch.randn(model.noise_shape(3, 4)), torch.tensor([2, 0, 1])
    moved = Observation(observation.frames[order], None, observation.viewpoints[order])
    one, two = model(observation, noise=noise, seed=5), model(moved, noise=noise[order], seed=5)
    torch.testing.assert_close(two.decomposition.masks, one.decomposition.masks[order], rtol=1e-3, atol=1e-4)
    for name, term in one.terms.items():
        torch.testing.assert_close(two.terms[name], term[order], rtol=1e-3, atol=1e-2)


def test_viewpoints_are_absolute() -> None:
    """To turn all cameras alike is no invariance (mulmon.md 8.6)."""
    model, observation = mulmon().eval(), scene()
    assert observation.viewpoints is not None
    turned = Observation(observation.frames, None, -observation.viewpoints)
    nll = [model(o).terms["nll"].detach() for o in (observation, turned)]
    assert not torch.allclose(*nll, rtol=0, atol=1e-2)


@pytest.mark.parametrize("products", [False, True])
def test_a_view_depends_on_its_viewpoint(products: bool) -> None:
    model = mulmon(projection={"products": products})
    latents = torch.randn(1, 3, 8)
    views = [model.decode(latents, {"viewpoint": torch.tensor([[x, 0.0, 0.0]])})[1] for x in (0.0, 0.0, 1.0)]
    assert torch.equal(views[0], views[1])
    assert not torch.allclose(views[0], views[2])
    assert torch.equal(views[0], model.decode(latents)[1])


def test_observe_and_render_are_forward_in_evaluation_mode() -> None:
    model, observation = mulmon().eval(), scene()
    assert observation.viewpoints is not None
    whole = model(observation, seed=7).decomposition
    posterior = model.infer(observation.frames, observation.viewpoints, seed=7)
    torch.testing.assert_close(posterior.mean, whole.mean[:, 2])
    shown = model.render(posterior, observation.viewpoints[:, 1:3], seed=None)
    mean_noise = torch.zeros(model.noise_shape(2, 4))
    for v, r in ((v, r) for v in range(4) for r in range(model.decodes())):
        mean_noise[:, v, r] = seeded_noise((2, 3, 8), 7, v, r)
    exact = model(observation, noise=mean_noise).decomposition  # its last draw is the posterior's mean
    torch.testing.assert_close(shown.masks, exact.masks[:, 1:3], rtol=1e-4, atol=1e-5)
    assert not shown.masks.requires_grad
    assert not posterior.mean.requires_grad
    samples = [model.render(posterior, observation.viewpoints, seed=s).reconstruction for s in (1, 1, 2)]
    assert torch.equal(samples[0], samples[1])
    assert not torch.allclose(samples[0], samples[2])


def test_views_may_come_one_at_a_time_and_their_order_matters() -> None:
    model, observation = mulmon().eval(), scene(views=2)
    frames, cameras = observation.frames, observation.viewpoints
    assert cameras is not None
    first = model.infer(frames[:, :1], cameras[:, :1])
    context = model.context(frames[:, 1], cameras[:, 1], first)
    eps = [seeded_noise((2, 3, 8), 0, 1, r) for r in range(model.decodes())]
    after, _ = model.refine_view(context, torch.cat([*first], -1), eps, scored=False)
    torch.testing.assert_close(model.infer(frames, cameras).mean, after.chunk(2, -1)[0])
    later = model.infer(frames[:, 1:], cameras[:, 1:], posterior=first)
    assert later.mean.shape == first.mean.shape
    other = model.infer(frames.flip(1), cameras.flip(1))
    assert not torch.allclose(other.mean, after.chunk(2, -1)[0])


@pytest.mark.slow
def test_memory_of_observing_does_not_grow_with_views() -> None:
    model, observation = mulmon().eval(), scene(batch=1, views=6)
    assert observation.viewpoints is not None
    alive = []
    decode = model.decoder.register_forward_hook(
        lambda *_: alive.append(sum(issubclass(type(o), Tensor) for o in gc.get_objects()))
    )
    gc.collect()
    model.infer(observation.frames, observation.viewpoints)
    decode.remove()
    per_view = model.decodes()
    assert len(alive) == 6 * per_view
    assert max(alive[-per_view:]) <= max(alive[per_view : 2 * per_view]) + 2


def test_recomputing_changes_no_gradient() -> None:
    gradients = []
    for recompute in (False, True):
        model = mulmon(recompute=recompute, kl_estimate="sample")
        model.loss(model(scene(), seed=2).terms).mean().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-3)


def test_one_sample_of_the_kl_has_the_closed_form_as_mean() -> None:
    model, closed = mulmon(kl_estimate="sample"), mulmon()
    spy = Spy(closed)
    closed.eval()(scene(batch=1, views=1), seed=3)
    call = spy.calls[closed.decodes() - 1]
    draws = torch.randn(4000, 1, 3, 8, generator=torch.Generator().manual_seed(2))

    class Given:
        terms: dict[str, Tensor] = {}  # noqa: RUF012

    found = torch.cat([model.terms_of(Given(), call["context"], call["posterior"].detach(), d)["kl"] for d in draws])  # type: ignore[arg-type]
    error = found.std() / len(draws) ** 0.5
    assert float((found.mean() - call["kl"]).detach().abs()) < 5 * float(error.detach())


def test_sigma_falls_to_its_end() -> None:
    model = mulmon(sigma=0.1, sigma_start=0.5, sigma_steps=100)
    for step, sigma in ((0, 0.5), (50, 0.25), (90, 0.1), (1000, 0.1)):
        model.begin_step(step)
        assert model.engine.sigma == pytest.approx(sigma)
    still = mulmon()
    still.begin_step(0)
    assert still.engine.sigma == 0.1


def test_wrong_views_are_told() -> None:
    model, observation = mulmon().eval(), scene()
    frames, cameras = observation.frames, observation.viewpoints
    assert cameras is not None
    with pytest.raises(InputError, match="takes 3 numbers for each view; found viewpoints of 2"):
        model.infer(frames, cameras[..., :2])
    with pytest.raises(InputError, match="one viewpoint for each frame"):
        model.infer(frames, cameras[:, :3])
    with pytest.raises(InputError, match="no view to observe"):
        model.infer(frames[:, :0], cameras[:, :0])
    posterior = model.infer(frames, cameras)
    for wrong in (cameras[..., :2], cameras[0], cameras[:1]):
        with pytest.raises(InputError, match=r"\(B, V, D\)"):
            model.render(posterior, wrong)
    with pytest.raises(InputError, match="at least 1"):
        model(observation, refinements=0)


def test_settings_that_cannot_work_are_told() -> None:
    with pytest.raises(InputError, match=r"more than views\.most"):
        mulmon(views={"least": 3, "most": 2})
    with pytest.raises(InputError, match="31 or more"):
        mulmon(encoder={"kind": "unpadded"})
    with pytest.raises(InputError, match="groups"):
        mulmon(decoder={"kind": "coarse", "channels": 6})


def test_ours_starts_from_iodine_and_draws_like_it_from_the_viewpoint_of_zeros() -> None:
    shared = {"size": [16, 16], "slots": 3, "latent": 8, "hidden": 16}
    shared |= {"decoder": {"channels": 8}, "encoder": {"channels": 8, "code": 16}}
    model = mulmon("fast", **shared)
    relative = Iodine(build(IodineConfig, merge(Iodine.presets["fast"], shared), "relative"))
    model.load_state_dict(model.adapt(relative.state_dict()))
    torch.testing.assert_close(model.initial, relative.initial)
    torch.nn.init.zeros_(model.decoder.projected.weight)
    torch.nn.init.zeros_(model.decoder.projected.bias)
    latents = torch.randn(1, 3, 8)
    torch.testing.assert_close(model.decode(latents), relative.decode(latents))
    assert model.adapt(model.state_dict()).keys() == model.state_dict().keys()


def test_a_linear_turn_can_turn_latents_exactly() -> None:
    """With v = (cos - 1, sin, 0), u = z + (cos - 1) P z + sin J z turns two numbers of z by the camera's angle."""
    model = mulmon("fast", size=[16, 16], slots=2, latent=4)
    with torch.no_grad():
        for parameter in (model.decoder.projected.weight, model.decoder.projected.bias, model.decoder.turns):
            parameter.zero_()
        model.decoder.turns[0, 0, 0] = model.decoder.turns[0, 1, 1] = 1
        model.decoder.turns[1, 0, 1], model.decoder.turns[1, 1, 0] = -1, 1
    angle = torch.tensor(0.7)
    latent = torch.randn(1, 2, 4)
    view = torch.stack([angle.cos() - 1, angle.sin(), torch.tensor(0.0)]).expand(1, 2, 3)
    turned = model.decoder.project_slots(latent, view)
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])])
    torch.testing.assert_close(turned[..., :2], latent[..., :2] @ turn.T)
    torch.testing.assert_close(turned[..., 2:], latent[..., 2:])


def test_the_refinement_network_sees_the_viewpoint_where_asked_to() -> None:
    observation = scene(batch=1, views=1)
    assert observation.viewpoints is not None
    for seen in (False, True):
        model = mulmon(inputs={"viewpoint": seen}).eval()
        for parameter in model.decoder.view.parameters():
            torch.nn.init.zeros_(parameter)  # the decoder does not know where it looks from
        other = Observation(observation.frames, None, observation.viewpoints + 1)
        same = torch.equal(*(model(o, seed=1).decomposition.mean for o in (observation, other)))
        assert same != seen


@pytest.mark.parametrize("first_prior", ["lam0", "standard_normal"])
def test_views_one_by_one_say_what_forward_says_of_the_views_so_far(first_prior: str) -> None:
    model, observation = mulmon(first_prior=first_prior).eval(), scene(views=3)
    frames, cameras = observation.frames, observation.viewpoints
    state = model.initial_state(2, seed=5)
    for v in range(3):
        part, state = model.step(frames[:, v], state, viewpoints=cameras[:, v])
        so_far = model(Observation(frames[:, : v + 1], None, cameras[:, : v + 1]), seed=5).decomposition.frame(v)
        torch.testing.assert_close(part.masks[:, 0], so_far.masks[:, 0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(part.mean[:, 0], so_far.mean[:, 0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(part.kl[:, 0], so_far.kl[:, 0], rtol=1e-4, atol=1e-3)
    whole, after = model.step(frames, model.initial_state(2, seed=5), viewpoints=cameras)
    torch.testing.assert_close(whole.masks[:, 2], part.masks[:, 0], rtol=0, atol=0)
    inferred = model.infer(frames, cameras, seed=5)
    torch.testing.assert_close(after["posterior"], torch.cat([*inferred], -1), rtol=1e-4, atol=1e-5)


def test_a_view_without_its_viewpoint_is_refused() -> None:
    model, views = mulmon().eval(), scene()
    with pytest.raises(InputError, match="viewpoints"):
        model.step(views.frames[:, 0], model.initial_state(2))
