"""R-NEM and its family: the acceptance checks of rnem.md 13, EM where its result is known, and what only it can do."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from scenewise.checkpoint import Card, load_model, save_model
from scenewise.config import build
from scenewise.data import SOURCES
from scenewise.errors import InputError
from scenewise.models.rnem import Rnem, RnemConfig
from scenewise.observation import Observation
from scenewise.variational.bernoulli import imagined_responsibilities, log_likelihood, responsibilities
from scenewise.variational.gaussian import seeded_noise


def rnem(preset: str = "tiny", **changes: object) -> Rnem:
    torch.manual_seed(0)
    return Rnem(build(RnemConfig, {**Rnem.presets[preset], **changes}, "test"))


def tiny(preset: str, **changes: object) -> Rnem:
    return rnem("tiny", **{**{k: v for k, v in Rnem.presets[preset].items() if k in ("cell", "slots")}, **changes})


def bits(batch: int = 2, time: int = 4, size: int = 16, channels: int = 1, seed: int = 1) -> Observation:
    generator = torch.Generator().manual_seed(seed)
    return Observation((torch.rand(batch, time, channels, size, size, generator=generator) > 0.8).float())


def parameters(module: nn.Module | None) -> int:
    return sum(p.numel() for p in module.parameters()) if module is not None else 0


class Pixels(nn.Module):
    """A decoder whose theta is the picture itself, in logits."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        return (self.gain * latent).sigmoid().unflatten(1, (1, 8, 8))


def solvable(**changes: object) -> Rnem:
    """N-EM whose slots are free pictures: EM can explain every image whole."""
    settings = {"cell": "gradient", "size": [8, 8], "widths": [4], "hidden": 64, "slots": 3, "ascent": 2.0}
    model = rnem("tiny", **{**settings, "refinements": 60, "input_noise": 0.0, **changes})
    model.decoder = Pixels()  # type: ignore[assignment]
    nn.init.zeros_(model.beginning)
    return model


# -- sizes and numbers of the spec ----------------------------------------------------------------------------------


def test_published_sizes() -> None:
    model = rnem("paper")
    sizes = [parameters(part) for part in (model.encoder, model.cell, model.decoder, model)]
    assert sizes == [2_140_240, 531_401, 2_280_337, 4_951_978]
    assert parameters(rnem("rnn-em")) == 4_611_827
    assert parameters(rnem("paper", attention=0)) == 4_951_978 - 531_401 + 506_000
    assert rnem("rnn").config.slots == rnem("lstm").config.slots == 1


def test_loss_where_nothing_is_known_has_the_published_value() -> None:
    model = rnem("paper", slots=5, input_noise=0.0)
    nn.init.zeros_(model.decoder.convolutions[-1].weight)  # draws 0.5 everywhere
    terms = {name: term.detach() for name, term in model(bits(1, 2, 64)).terms.items()}
    assert float(terms["intra"]) == pytest.approx(2839.1, rel=1e-3)
    assert float(terms["inter"]) == pytest.approx(11356.5, rel=1e-3)
    assert float(model.loss(terms)) == pytest.approx(14195.7, rel=1e-3)
    assert float(terms["upper"]) == pytest.approx(5678.3, rel=1e-3)


@pytest.mark.parametrize("preset", ["rnn", "lstm"])
def test_one_slot_owns_everything_and_has_no_inter(preset: str) -> None:
    output = tiny(preset)(bits())
    assert torch.equal(output.decomposition.masks, torch.ones_like(output.decomposition.masks))
    assert not output.terms["inter"].any()


# -- every member of the family -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["relational", "plain", "lstm", "gradient"])
def test_every_cell_streams_as_it_runs_and_learns_with_all_its_weights(cell: str) -> None:
    model, observation = rnem("tiny", cell=cell), bits()
    whole = model(observation, seed=5)
    model.loss(whole.terms).mean().backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    state = model.initial_state(2, seed=5)
    for t in range(4):
        part, state = model.step(observation.frames[:, t], state)
        torch.testing.assert_close(part.masks[:, 0], whole.decomposition.masks[:, t], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(part.appearance[:, 0], whole.decomposition.appearance[:, t], rtol=1e-4, atol=1e-5)
    assert not any(tensor.requires_grad for tensor in state.values())


@pytest.mark.parametrize("cell", ["relational", "plain", "lstm", "gradient"])
def test_permuting_the_first_gamma_permutes_everything(cell: str) -> None:
    model, observation = rnem("tiny", cell=cell), bits()
    noise = torch.randn(model.noise_shape(2, 4), generator=torch.Generator().manual_seed(1))
    first, second = (model(observation, noise=n) for n in (noise, noise[:, :, :, [2, 0, 1]]))
    order = [2, 0, 1]
    for field in ("masks", "appearance", "mean"):
        expected = getattr(first.decomposition, field)[:, :, order]
        torch.testing.assert_close(getattr(second.decomposition, field), expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(second.terms["intra"], first.terms["intra"], rtol=1e-4, atol=1e-2)


def test_recomputing_changes_no_gradient() -> None:
    observation, gradients = bits(), []
    for recompute in (False, True):
        model = rnem("tiny", recompute=recompute)
        model.loss(model(observation, seed=2).terms).mean().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-4)


def test_one_step_is_residual_encoder_cell_decoder_and_e_step() -> None:
    model, observation = rnem("tiny", input_noise=0.0), bits(1, 2)
    d = model(observation, seed=3).decomposition
    gamma = seeded_noise((1, 3, 256), 3, 0, 0).abs().view(1, 3, 1, 16, 16)
    gamma = gamma / gamma.sum(1, keepdim=True)
    torch.testing.assert_close(d.masks[:, 0], gamma)
    assert not d.appearance[:, 0].any()
    code = torch.stack([model.encoder(gamma[:, k] * observation.frames[:, 0]) for k in range(3)], 1)
    latent = model.cell(code, {"hidden": torch.zeros(1, 3, 24)})["latent"]
    psi = torch.stack([model.decoder(latent[:, k]) for k in range(3)], 1)
    torch.testing.assert_close(d.mean[:, 1], latent, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(d.appearance[:, 1], psi, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(d.masks[:, 1], responsibilities(psi, observation.frames[:, 1]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(d.log_likelihood[:, 1], log_likelihood(psi, observation.frames[:, 1]))
    assert not d.kl.any()


def test_gradient_flows_back_through_the_prediction_that_was_subtracted() -> None:
    model = rnem("tiny", cell="plain")
    psi = torch.rand(1, 3, 1, 16, 16).requires_grad_()
    state = {**model.initial_state(1), "psi": psi, "frame": torch.tensor(1)}
    reading = model.read(bits(1, 1).frames[:, 0], state, 0)
    assert not reading.gamma.requires_grad
    model.update(reading, state, 0, True)["psi"].sum().backward()
    assert bool((psi.grad != 0).any())


# -- noise, seeds, frames -------------------------------------------------------------------------------------------


def test_a_fifth_of_the_bits_read_is_flipped_from_the_seed_alike_for_all_slots() -> None:
    model, seen = rnem("tiny"), bits(8, 1).frames[:, 0]
    state = model.initial_state(8, seed=9)
    flipped = model.flip(seen, state, 0, None)
    assert float((flipped != seen).float().mean()) == pytest.approx(0.2, abs=0.03)
    assert torch.equal(model.flip(seen, state, 0, None), flipped)
    assert not torch.equal(model.flip(seen, {**state, "frame": torch.tensor(1)}, 0, None), flipped)
    given = torch.randn(8, 3, 256, generator=torch.Generator().manual_seed(0))
    assert float((model.flip(seen, state, 0, given) != seen).float().mean()) == pytest.approx(0.2, abs=0.03)
    assert torch.equal(model.flip(seen, state, 0, given.flip(1)), model.flip(seen, state, 0, given))
    grey = torch.full_like(seen, 0.3)
    assert {round(v, 4) for v in model.flip(grey, state, 0, None).unique().tolist()} == {0.3, 0.7}


def test_noise_outside_training_can_be_turned_off() -> None:
    loud, quiet = rnem("tiny"), rnem("tiny", noise_eval=False)
    quiet.load_state_dict(loud.state_dict())
    seen, state = bits(2, 1).frames[:, 0], loud.initial_state(2)
    assert not torch.equal(loud.eval().flip(seen, state, 0, None), seen)
    assert not torch.equal(quiet.train().flip(seen, state, 0, None), seen)
    assert torch.equal(quiet.eval().flip(seen, state, 0, None), seen)


def test_the_state_records_the_seed_and_the_frame() -> None:
    model, frames = rnem("tiny"), bits().frames
    _, state = model.step(frames[:, 0], model.initial_state(2, seed=7))
    assert int(state["seed"]) == 7
    assert int(state["frame"]) == 1


def test_only_black_and_white_of_the_right_size_is_taken() -> None:
    model = rnem("tiny", grey="refuse")
    grey = bits()
    grey.frames[0, 1, 0, :8] = 0.4
    with pytest.raises(InputError, match=r"black and white.*50% of one are grey"):
        model(grey)
    with pytest.raises(InputError, match="black and white"):
        model.step(grey.frames[:, 1], model.initial_state(2))
    with pytest.raises(InputError, match=r"\(1, 16, 16\)"):
        model(bits(channels=3))
    with pytest.raises(InputError, match=r"\(1, 16, 16\)"):
        model(bits(size=32))
    cut, kept = (rnem("tiny", grey=g)(grey, seed=1).decomposition.masks for g in ("threshold", "keep"))
    assert not torch.equal(cut, kept)
    clean = Observation((grey.frames >= 0.5).float())
    assert torch.equal(cut, model(clean, seed=1).decomposition.masks)


def test_what_a_codec_leaves_of_black_and_white_is_cut_at_half_and_remarked() -> None:
    model, clean = rnem("tiny", grey="refuse"), bits()
    assert model.remark(clean.frames) is None
    noise = torch.rand(clean.frames.shape, generator=torch.Generator().manual_seed(0))
    compressed = (clean.frames - noise * 0.09).abs()
    compressed[0, 1, 0, 3] = (clean.frames[0, 1, 0, 3] - 0.45).abs()  # one row of sixteen
    with pytest.raises(InputError, match="black and white"):
        model(Observation(compressed * 0.85))  # most are white no longer
    read = model(Observation(compressed), seed=1).decomposition.masks
    assert torch.equal(read, model(clean, seed=1).decomposition.masks)
    assert "cut at half" in (model.remark(compressed) or "")
    assert rnem("tiny", grey="keep").remark(compressed) is None


def test_settings_that_cannot_work_are_told() -> None:
    with pytest.raises(InputError, match="divisible by 8"):
        rnem("paper", size=[20, 20])
    with pytest.raises(InputError, match="divisible by 16"):
        rnem("fast", size=[40, 40])
    with pytest.raises(InputError, match="one per step, 3"):
        rnem("tiny", weights=[1.0, 2.0])(bits())
    with torch.no_grad():
        assert rnem("tiny", weights=[1.0, 2.0])(bits()).terms["intra"].isfinite().all()
    with pytest.raises(InputError, match="nothing to predict"):
        rnem("tiny")(bits(1, 1))
    model = rnem("tiny", cell="plain")
    with pytest.raises(InputError, match="no attention"):
        model.attention(model.initial_state())


def test_channels_of_a_pixel_have_one_owner() -> None:
    d = rnem("tiny", channels=3)(bits(channels=3)).decomposition
    assert d.masks.shape == (2, 4, 3, 1, 16, 16)
    assert d.appearance.shape == (2, 4, 3, 3, 16, 16)


# -- losses over steps ----------------------------------------------------------------------------------------------


def test_step_weights() -> None:
    observation = bits()
    steps = rnem("tiny").step_losses(observation, seed=4)
    assert steps["intra"].shape == (2, 3)
    for settings, weights in (
        ({}, [1, 1, 1]),
        ({"step_weights": "last"}, [0, 0, 1]),
        ({"weights": [1, 0, 3]}, [1, 0, 3]),
    ):
        terms = rnem("tiny", **settings)(observation, seed=4).terms
        w = torch.tensor(weights) / sum(weights)
        torch.testing.assert_close(terms["intra"], (steps["intra"] * w).sum(1), rtol=1e-4, atol=1e-2)
        upper = ((steps["upper_intra"] + steps["upper_inter"]) * w).sum(1)
        torch.testing.assert_close(terms["upper"], upper, rtol=1e-4, atol=1e-2)


def test_relational_losses_take_the_pixels_of_the_frame_read() -> None:
    model, observation = rnem("tiny"), bits()
    whole = model.step_losses(observation, seed=4)
    everywhere = model.step_losses(observation, torch.ones(2, 4, 1, 16, 16), seed=4)
    only = torch.zeros(2, 4, 1, 16, 16)
    only[:, 1] = 1  # frame 1 is read in the second of three steps
    second = model.step_losses(observation, only, seed=4)
    for name, values in whole.items():
        torch.testing.assert_close(everywhere[name], values)
        torch.testing.assert_close(second[name], values * torch.tensor([0.0, 1.0, 0.0]))


# -- EM where its result is known -----------------------------------------------------------------------------------


def test_em_explains_an_image_it_can_explain() -> None:
    model, observation = solvable(), bits(1, 1, 8)
    state, likelihoods = model.initial_state(1, seed=2), []
    with torch.no_grad():
        for r in range(60):
            reading = model.read(observation.frames[:, 0], state, r)
            likelihoods.append(float(log_likelihood(reading.psi, reading.pixels)))
            state = model.update(reading, state, r, False)
    climbed = torch.tensor(likelihoods[2:]).diff()  # from the first picture on that theta drew
    assert bool((climbed > -1e-3).all())
    assert likelihoods[-1] > -12 > -20 > likelihoods[2]
    d = model(observation, seed=2).decomposition
    torch.testing.assert_close(d.masks[:, 0], responsibilities(d.appearance[:, 0], observation.frames[:, 0]))
    assert float((d.reconstruction - observation.frames).abs().max()) < 0.2


def test_gradient_ascent_is_the_jacobian_times_the_residual() -> None:
    model = rnem("tiny", cell="gradient", hidden=5)
    theta, masked = torch.randn(1, 1, 5), torch.randn(1, 1, 1, 16, 16)
    jacobian = torch.autograd.functional.jacobian(lambda t: model.decoder(t).flatten(), theta[0])  # (256, 1, 5)
    expected = theta + 0.1 * (masked.flatten() @ jacobian[:, 0])
    torch.testing.assert_close(model.ascend(masked, theta)["hidden"], expected, rtol=1e-4, atol=1e-5)


def test_reading_twice_is_reading_two_copies_of_a_frame() -> None:
    model, observation = rnem("tiny", input_noise=0.0), bits(2, 2)
    copies = Observation(observation.frames.repeat_interleave(2, 1))
    twice, once = model(observation, refinements=2, seed=1), model(copies, refinements=1, seed=1)
    torch.testing.assert_close(twice.decomposition.masks, once.decomposition.masks[:, 1::2])
    torch.testing.assert_close(twice.terms["intra"], once.terms["intra"])


# -- prediction, pooling, saving ------------------------------------------------------------------------------------


def test_prediction_reads_what_it_drew() -> None:
    model, frames = rnem("tiny", input_noise=0.0), bits().frames
    _, state = model.step(frames[:, 0], model.initial_state(2))
    predicted, after = model.predict(state, 2)
    psi = state["psi"]
    gamma = imagined_responsibilities(psi)
    torch.testing.assert_close(predicted.appearance[:, 0], psi)
    torch.testing.assert_close(predicted.masks[:, 0], gamma)
    masked = gamma * ((gamma * psi).sum(1, keepdim=True) - psi)
    with torch.no_grad():
        code = model.encoder(masked.flatten(0, 1)).unflatten(0, (2, 3))
        expected = model.decoder(model.cell(code, {"hidden": state["hidden"]})["latent"].flatten(0, 1))
    torch.testing.assert_close(predicted.appearance[:, 1], expected.unflatten(0, (2, 3)), rtol=1e-4, atol=1e-5)
    assert int(after["frame"]) == 3


def test_black_pixels_of_a_decomposition_may_go_to_the_emptiest_slot() -> None:
    model, observation = rnem("tiny"), bits()
    shared = model(observation, seed=1)
    a = shared.decomposition
    model.config = replace(model.config, black_pixels="emptiest")
    given = model(observation, seed=1)
    b = given.decomposition
    assert torch.equal(a.masks[:, 0], b.masks[:, 0])  # random at first
    white = observation.frames[:, 1:, None].expand_as(a.masks[:, 1:]) == 1
    assert torch.equal(a.masks[:, 1:][white], b.masks[:, 1:][white])
    assert not torch.equal(a.masks, b.masks)
    torch.testing.assert_close(b.masks.sum(2), torch.ones_like(b.masks[:, :, 0]))
    assert torch.equal(a.appearance, b.appearance)  # EM went on as before
    assert all(torch.equal(shared.terms[name], given.terms[name]) for name in shared.terms)


def test_predicting_a_certain_future_is_seeing_it() -> None:
    model = solvable(refinements=1)
    theta = torch.full((1, 3, 64), -30.0)
    theta[0, 0, :20] = theta[0, 1, 30:40] = 30.0
    state = {**model.initial_state(1), "hidden": theta, "latent": theta, "psi": model.draw(theta).detach()}
    state["frame"] = torch.tensor(1)
    seen, next_seen = model.step(state["psi"].amax(1).round(), state)
    predicted, next_predicted = model.predict(state, 1)
    torch.testing.assert_close(predicted.masks, seen.masks)
    torch.testing.assert_close(next_predicted["psi"], next_seen["psi"])


def test_pooled_model_shows_frames_at_their_full_size() -> None:
    model = rnem("tiny", size=[32, 32], pooling=2)
    observation = bits(2, 3, 32)
    d = model(observation, seed=1).decomposition
    assert d.masks.shape == (2, 3, 3, 1, 32, 32)
    torch.testing.assert_close(d.masks.sum(2), torch.ones(2, 3, 1, 32, 32))
    small = model.read(observation.frames[:, 0], model.initial_state(2, seed=1), 0)
    torch.testing.assert_close(d.masks[:, 0, :, :, ::2, 1::2], small.gamma)
    torch.testing.assert_close(d.masks[:, 1], responsibilities(d.appearance[:, 1], observation.frames[:, 1]))
    predicted, _ = model.predict(model.step(observation.frames[:, 0], model.initial_state(2))[1], 2)
    torch.testing.assert_close(predicted.masks[:, 0], imagined_responsibilities(predicted.appearance[:, 0]))


def test_saved_model_explains_alike(tmp_path: Path) -> None:
    model, observation = rnem("tiny"), bits()
    save_model(model, tmp_path / "model", Card())
    again = load_model(tmp_path / "model").model
    expected = model.eval()(observation, seed=3).decomposition.masks
    assert torch.equal(again(observation, seed=3).decomposition.masks, expected)


@pytest.mark.slow
def test_learns_eight_videos_by_heart() -> None:
    source = SOURCES.get("balls-binary")(channels=1, size=16, min_balls=2, max_balls=2, radii=[1.5], masses=[1.0])
    frames = torch.from_numpy(source.batch(range(8), 0, 6)[0]).float() / 255
    model = rnem("tiny", grey="refuse", input_noise=0.0, hidden=64, code=64)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    values = []
    for _ in range(600):
        loss = model.loss(model(Observation(frames), seed=0).terms).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        values.append(loss.item())
    assert values[-1] < 0.1 * values[0]
