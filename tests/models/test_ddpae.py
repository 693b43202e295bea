"""DDPAE: sizes of the paper, poses, what latents may know, closed forms, prediction, slots, and that it learns."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from scenewise.config import build
from scenewise.errors import InputError
from scenewise.metrics.velocity import box_centres, velocity_similarity_of_positions
from scenewise.models.ddpae import BLACK, PRESETS, Beliefs, Ddpae, DdpaeConfig, MotionState, as_slots
from scenewise.nn.spatial_transformer import centres, draw_in
from scenewise.observation import Observation
from scenewise.variational.gaussian import Gaussian

from .overfitting import overfit


def make(preset="tiny", **changes):
    torch.manual_seed(0)
    return Ddpae(build(DdpaeConfig, {**PRESETS[preset], **changes}, preset))


def clips(model, batch=2, frames=6, seed=1):
    return torch.rand(batch, frames, *model.frame_shape, generator=torch.Generator().manual_seed(seed))


def count(module):
    return sum(p.numel() for p in module.parameters())


def agitated(model):
    """Large weights, so that a wrong input shows."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim > 1 and "decoder" not in name:
                p.normal_(0, p[0].numel() ** -0.5, generator=torch.Generator().manual_seed(p.numel()))
    return model


@pytest.mark.parametrize(
    ("preset", "pose", "recurrence", "encoder", "decoder", "total"),
    [
        ("paper", 488_044, 66_304, 76_000, 76_016, 706_364),
        ("balls", 1_293_420, 165_120, 174_432, 174_448, 1_807_420),
    ],
)
def test_parameters_are_as_many_as_in_the_papers_code(preset, pose, recurrence, encoder, decoder, total):
    model = make(preset)
    content = model.content
    found = count(model.pose), count(content.over_time) + count(content.head), count(content.encoder)
    assert (*found, count(model.decoder), count(model)) == (pose, recurrence, encoder, decoder, total)
    if preset == "paper":
        assert count(model.pose.encoder) == 305_504


def test_shapes_of_the_paper():
    model = make("paper").eval()
    frames = clips(model, 1, 20)
    with torch.no_grad():
        found = model.explain(frames[:, :10], 20, model.draws_of(model.noise_shape(1, 20), 0, None, frames.device))
    assert found.components.shape == (1, 20, 2, 1, 64, 64)
    assert found.mean.shape == (1, 20, 1, 64, 64)
    assert model.poses(found.posterior.marginals().mean).shape == (1, 20, 2, 3)
    assert found.posterior.content.mean.shape == (1, 2, 128)


def test_weights_start_as_in_the_papers_code():
    model = make("paper")
    assert float(model.pose.encoder[2].weight.detach().std()) == pytest.approx(0.02, rel=0.05)
    assert float(model.decoder[1].weight.detach().mean()) == pytest.approx(1.0, abs=0.02)
    assert float(model.pose.start_mean.bias.detach().abs().max()) == 0
    fast = make("fast")
    assert fast.pose.start_mean.bias.tolist() == [2.0, 0.0, 0.0]
    spread = functional.softplus(fast.pose.motion_spread.bias)
    torch.testing.assert_close(spread, torch.full((3,), 0.1))


@pytest.mark.parametrize("base", [2.0, 4.0])
def test_poses_stay_in_the_frame(base):
    model = make(base_scale=base)
    poses = model.squash(20 * torch.randn(1000, 3, generator=torch.Generator().manual_seed(0)))
    scale, places = poses[:, 0], centres(poses)
    assert (float(scale.min()), float(scale.max())) == (base - 1, base + 1)
    reach = (scale - 0.5)[:, None] / (2 * scale)[:, None]
    assert bool(((places - 0.5).abs() <= reach + 1e-6).all())
    widest = centres(model.squash(torch.tensor([base, 50.0, -50.0])))
    half = (base - 0.5) / (2 * base)
    torch.testing.assert_close(widest, torch.tensor([0.5 - half, 0.5 + half]))


def test_increments_add_up_before_they_are_squashed():
    """z_t = squash(z_1 + beta_1 + ... + beta_t): the first frame has beta_1 already."""
    model = agitated(make()).eval()
    frames = clips(model, 1, 5)
    noise = torch.randn(model.noise_shape(1, 5), generator=torch.Generator().manual_seed(3))
    draws = model.draws_of(tuple(noise.shape), 0, noise, frames.device)
    found = model.explain(frames[:, :2], 5, draws)
    raw = found.posterior.start.sample(draws.start)
    for t in range(5):
        raw = (
            raw
            + found.posterior.motion.mean[:, t]
            + ((0.5 * found.posterior.motion.log_variance[:, t]).exp() * noise[:, :, 8 + 3 + 3 * t : 8 + 6 + 3 * t])
        )
        scale = raw[..., :1].clamp(1, 3)
        pose = torch.cat([scale, raw[..., 1:].tanh() * (scale - 0.5)], -1)
        objects = model.decoder(found.posterior.content.sample(draws.content).flatten(0, 1)).unflatten(0, (1, 2))
        torch.testing.assert_close(found.components[:, t], draw_in(objects, pose, (16, 16)), rtol=1e-4, atol=1e-5)


def test_the_future_enters_no_latent_and_the_past_does():
    model = agitated(make(observed=3))
    frames = clips(model, 2, 6)
    noise = torch.randn(model.noise_shape(2, 6), generator=torch.Generator().manual_seed(1))
    before = model(Observation(frames), noise=noise)
    changed = frames.clone()
    changed[:, 3:] = 1 - changed[:, 3:]
    after = model(Observation(changed), noise=noise)
    for name in ("masks", "mean", "log_variance", "kl"):
        assert torch.equal(getattr(after.decomposition, name), getattr(before.decomposition, name))
    assert not torch.equal(after.terms["nll"], before.terms["nll"])
    changed = frames.clone()
    changed[:, 2] = 1 - changed[:, 2]
    moved = model(Observation(changed), noise=noise).decomposition
    pose = slice(-3, None)
    assert torch.equal(moved.mean[:, :2, :, pose], before.decomposition.mean[:, :2, :, pose])
    assert not torch.allclose(moved.mean[:, 2:, :, pose], before.decomposition.mean[:, 2:, :, pose], atol=1e-6)


def test_time_order_matters():
    model = agitated(make(observed=4))
    frames = clips(model, 1, 4)
    forward, backward = (model.eval()(Observation(f)).decomposition for f in (frames, frames.flip(1)))
    assert not torch.allclose(forward.mean[..., :-1, :], backward.mean.flip(1)[..., :-1, :], atol=1e-4)


def test_the_recurrence_is_that_of_cells_in_two_loops():
    """Component by component over time, the neighbour's output beside the frame's code; then onward."""
    model = agitated(make(slots=4))
    pose, frames = model.pose, clips(model, 2, 3)
    outputs, state = pose.look(frames, 3)
    lstm = pose.over_time
    weights = (lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0, lstm.bias_hh_l0)
    before, ends = [torch.zeros(2, 8)] * 3, []
    for n in range(3):
        hidden = cell = torch.zeros(2, 8)
        mine = []
        for t in range(3):
            given = torch.cat([pose.encoder(frames[:, t]), before[t]], -1)
            i, f, g, o = (given @ weights[0].T + weights[2] + hidden @ weights[1].T + weights[3]).chunk(4, -1)
            cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
            hidden = o.sigmoid() * cell.tanh()
            mine.append(hidden)
            torch.testing.assert_close(outputs[:, t, n], hidden, rtol=1e-4, atol=1e-5)
        before = mine
        ends.append((hidden, cell))
    torch.testing.assert_close(state.cell, torch.stack([c for _, c in ends], 1), rtol=1e-4, atol=1e-5)
    after = pose.go_on(state)
    first = pose.onward(torch.cat([state.hidden[:, 0], torch.zeros(2, 8)], -1), ends[0])
    second = pose.onward(torch.cat([state.hidden[:, 1], first[0]], -1), ends[1])
    torch.testing.assert_close(after.hidden[:, 1], second[0], rtol=1e-4, atol=1e-5)
    alone = agitated(make(slots=4, independent=True)).pose
    assert alone.onward.input_size == 8
    swapped = MotionState(state.hidden.flip(1), state.cell.flip(1))
    torch.testing.assert_close(alone.go_on(swapped).hidden, alone.go_on(state).hidden.flip(1))


def test_divergence_is_the_mean_of_its_samples():
    model, sampled = make(), make(sampled_kl=True)
    generator = torch.Generator().manual_seed(0)
    q, p = (Gaussian(torch.randn(4, generator=generator), torch.randn(4, generator=generator)) for _ in range(2))
    noise = torch.randn(20_000, 4, generator=generator)
    each = sampled.divergence(q, p, noise)
    x = q.sample(noise)
    densities = [torch.distributions.Normal(g.mean, (0.5 * g.log_variance).exp()).log_prob(x) for g in (q, p)]
    torch.testing.assert_close(each, densities[0] - densities[1], rtol=1e-3, atol=1e-3)
    error = each.std(0) / math.sqrt(len(noise))
    closed = model.divergence(q, p, noise)
    assert bool(((each.mean(0) - closed).abs() < 3 * error).all())
    expected = torch.distributions.kl_divergence(
        *(torch.distributions.Normal(g.mean, (0.5 * g.log_variance).exp()) for g in (q, p))
    )
    torch.testing.assert_close(closed, expected, rtol=1e-4, atol=1e-5)


def test_terms_are_the_papers_bound():
    """-log p of every pixel by N(mean, 0.3^2), and KLs against the priors of ddpae.md 3, in nats per clip."""
    model = agitated(make())
    frames = clips(model, 2, 5)
    output = model(Observation(frames), seed=3)
    d = output.decomposition
    density = torch.distributions.Normal(d.reconstruction, 0.3).log_prob(frames)
    torch.testing.assert_close(output.terms["nll"], -density.sum((1, 2, 3, 4)), rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(d.log_likelihood, density.sum((2, 3, 4)), rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(d.kl.sum(1), output.terms["kl"], rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(model.loss(output.terms), output.terms["nll"] + output.terms["kl"])
    draws = model.draws_of(model.noise_shape(2, 5), 3, None, frames.device)
    q = model.explain(frames[:, :2], 5, draws).posterior
    normal = torch.distributions.Normal
    kl = torch.distributions.kl_divergence
    pairs = [(q.content, normal(0, 1)), (q.motion, normal(0, 0.1))]
    pairs.append((q.start, normal(torch.tensor([2.0, 0, 0]), torch.tensor([0.2, 1, 1]))))
    total = sum(kl(normal(g.mean, (0.5 * g.log_variance).exp()), p).flatten(1).sum(1) for g, p in pairs)
    torch.testing.assert_close(output.terms["kl"], total, rtol=1e-4, atol=1e-2)


def test_marginals_add_up_variances():
    motion = Gaussian(torch.ones(1, 3, 1, 3), torch.full((1, 3, 1, 3), math.log(0.5)))
    start = Gaussian(torch.full((1, 1, 3), 2.0), torch.zeros(1, 1, 3))
    found = Beliefs(Gaussian(torch.zeros(1, 1, 4), torch.zeros(1, 1, 4)), start, motion).marginals()
    assert found.mean[0, :, 0, -1].tolist() == [3.0, 4.0, 5.0]
    torch.testing.assert_close(found.log_variance[0, :, 0, -1].exp(), torch.tensor([1.5, 2.0, 2.5]))


def test_evaluation_takes_means_and_training_samples():
    model = make("tiny", norm="batch")
    observation = Observation(clips(model))
    model(observation)
    model.eval()
    first, second = (model(observation, seed=s).decomposition for s in (1, 2))
    assert torch.equal(first.masks, second.masks)
    zeros = torch.zeros(model.noise_shape(2, 6))
    assert torch.equal(model(observation, noise=zeros).decomposition.masks, first.masks)
    alone = model(Observation(observation.frames[1:])).decomposition
    torch.testing.assert_close(alone.masks, first.masks[1:], rtol=1e-4, atol=1e-5)


def test_predicted_frames_alone_are_scored_late_in_training():
    model = make(predict_only_from=5, observed=4)
    frames = clips(model, 2, 6)
    for step, whole in ((4, True), (5, False)):
        model.begin_step(step)
        output = model(Observation(frames), seed=1)
        likelihood = output.decomposition.log_likelihood
        expected = -(likelihood if whole else likelihood[:, 4:]).sum(1)
        torch.testing.assert_close(output.terms["nll"], expected)
    assert model(Observation(frames[:, :3])).terms["nll"].isfinite().all()


# -- slots -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_slots_add_up_to_the_frame(channels):
    components = 0.8 * torch.rand(2, 3, 2, channels, 8, 8, generator=torch.Generator().manual_seed(0))
    components[..., :3, :] = 0
    masks, appearance = as_slots(components)
    assert masks.shape == (2, 3, 3, 1, 8, 8)
    torch.testing.assert_close(masks.sum(2), torch.ones(2, 3, 1, 8, 8))
    torch.testing.assert_close((masks * appearance).sum(2), components.sum(2).clamp_max(1))
    assert not appearance[:, :, -1].any()
    assert bool((masks[:, :, -1, :, :3] == 1).all())
    if channels == 1:
        ink, total = components[:, :, 0, 0, 3:], components.sum(2)[:, :, 0, 3:]
        brightness = (total + BLACK).clamp_max(1)
        torch.testing.assert_close(masks[:, :, 0, 0, 3:], ink / total.clamp_min(1) / brightness)
        torch.testing.assert_close(appearance[:, :, 0, 0, 3:], brightness)


def test_dim_ink_belongs_to_whom_adds_more_than_black_counts():
    dim = torch.tensor([0.0, 0.09, 0.11, 0.3]).view(1, 1, 1, 1, 2, 2)
    masks, _ = as_slots(torch.cat([dim, torch.zeros_like(dim)], 2))
    assert masks[0, 0, :, 0].argmax(0).flatten().tolist() == [2, 2, 0, 0]


def test_a_background_has_no_latent():
    d = make()(Observation(clips(make()))).decomposition
    assert not d.mean[:, :, -1].any()
    assert not (d.log_variance[:, :, -1] - d.prior_log_variance[:, :, -1]).any()


# -- prediction ------------------------------------------------------------------------------------------------------


@pytest.fixture
def observed():
    model = agitated(make(observed=3)).eval()
    frames = clips(model, 2, 8)
    return model, frames, model.step(frames[:, :3], model.initial_state(2))


def test_predicting_is_what_forward_predicts(observed):
    model, frames, (seen, state) = observed
    whole = model(Observation(frames)).decomposition
    ahead, _ = model.predict(state, 5)
    for name in ("masks", "appearance", "mean", "log_variance", "prior_mean", "prior_log_variance", "kl"):
        both = torch.cat([getattr(seen, name), getattr(ahead, name)], 1)
        torch.testing.assert_close(both, getattr(whole, name), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(ahead.mean[:, 0, 0, -3:], ahead.mean[:, -1, 0, -3:], atol=1e-5)


def test_prediction_continues_and_can_be_split(observed, tmp_path):
    model, _, (_, state) = observed
    whole, _ = model.predict(state, 5)
    head, middle = model.predict(state, 2)
    torch.save(middle, tmp_path / "state.pt")
    tail, after = model.predict(torch.load(tmp_path / "state.pt", weights_only=True), 3)
    torch.testing.assert_close(torch.cat([head.masks, tail.masks], 1), whole.masks)
    torch.testing.assert_close(torch.cat([head.kl, tail.kl], 1), whole.kl)
    assert int(after["frame"]) == 8
    assert not whole.masks.requires_grad


def test_impossible_predictions_are_told(observed):
    model, _, (_, state) = observed
    with pytest.raises(InputError, match="steps"):
        model.predict(state, 0)
    with pytest.raises(InputError, match="observed clip"):
        model.predict({"seed": torch.tensor(0)}, 1)
    with pytest.raises(InputError, match="model takes"):
        model.step(torch.zeros(1, 3, 1, 16, 24), model.initial_state(1))


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"size": [16, 32]}, "size"), ({"size": [48, 48]}, "size"), ({"width": 6}, "width"), ({"slots": 1}, "slots")],
)
def test_wrong_settings_are_told(changes, named):
    with pytest.raises(InputError, match=named):
        make(**changes)


def test_positions_are_where_slots_are_drawn():
    """Hand-made poses: the middle of what a component draws lies where the model says it is, in pixels of the frame."""
    model = make(slots=4, base_scale=4.0)
    raw = torch.tensor([[4.0, 0.0, 0.0], [3.5, 0.3, -0.4], [5.0, -1.0, 0.1]])
    mean = torch.cat([torch.zeros(1, 1, 4, 8), torch.cat([raw, torch.zeros(1, 3)])[None, None]], -1)
    masks = draw_in(torch.ones(1, 16, 16), model.poses(mean[:, :, :3]), (64, 64))
    found = model.positions(mean[:, :, :3])
    assert found.shape == (1, 1, 4, 2)
    assert found[0, 0, 3].isnan().all()
    torch.testing.assert_close(found[0, 0, 0], torch.tensor([0.5, 0.5]))
    boxes = box_centres((masks[0, 0, :, 0] > 0.5).long().numpy(), [1])[:, 0]  # pixel / 64
    assert np.abs(found[0, 0, :3].numpy() * 63 - boxes * 64).max() <= 0.75


def test_positions_of_poses_give_the_velocities_of_what_is_drawn():
    """Cosine 1 and speed error 0 where poses follow the balls, whichever component follows which."""
    generator = torch.Generator().manual_seed(0)
    raw = 0.3 * torch.randn(3, 1, 4, 3, generator=generator) + 0.04 * torch.arange(15.0)[:, None, None]
    model = make(slots=5, base_scale=4.0)
    poses = model.poses(torch.cat([torch.zeros(3, 15, 4, 8), raw.expand(3, 15, 4, 3) + torch.zeros(3, 15, 4, 3)], -1))
    drawn = draw_in(torch.ones(1, 1, 8, 8), poses, (128, 128))[:, :, :, 0]
    pixels = torch.arange(128.0)
    middle = torch.stack([drawn.sum(-2) @ pixels, drawn.sum(-1) @ pixels], -1) / drawn.sum((-1, -2))[..., None]
    true = ((middle + 0.5) / 128).numpy().astype(np.float64)
    found = velocity_similarity_of_positions(
        centres(poses).numpy()[:, :, [2, 0, 3, 1]].astype(np.float64), true, 10, matching="ddpae"
    )
    assert found.excluded == 0
    assert float(found.cosine.min()) > 0.99
    assert float(found.speed_error.max()) < 0.05


# -- learning --------------------------------------------------------------------------------------------------------


def moving_squares(videos, frames=20, size=32, side=10):
    """White squares that move straight and bounce, (N, T, 1, S, S)."""
    generator = torch.Generator().manual_seed(4)
    place, step = (torch.rand(videos, 2, generator=generator) for _ in range(2))
    step = 0.12 * (step - 0.5)
    pixels = torch.arange(size)
    shown = []
    for t in range(frames):
        at = (place + t * step) % 2
        corner = torch.where(at > 1, 2 - at, at).mul(size - side).round()[:, :, None]
        inside = (pixels >= corner) & (pixels < corner + side)  # (N, 2, S)
        shown.append(inside[:, 1, :, None] & inside[:, 0, None])
    return torch.stack(shown, 1)[:, :, None].float()


@pytest.mark.slow
def test_one_square_is_learnt():
    """ddpae.md 11: after 200 steps on 16 clips the error is below half of that of black frames."""
    frames = moving_squares(16)
    model = make("tiny", size=[32, 32], slots=2, observed=10, hidden=32)
    overfit(model, Observation(frames), 2e-3)
    with torch.no_grad():
        made = model.eval()(Observation(frames)).decomposition.reconstruction
    error = (made - frames).square().mean((0, 2, 3, 4))
    assert float(error.mean()) < 0.5 * float(frames.square().mean())
