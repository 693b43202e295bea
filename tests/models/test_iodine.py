"""IODINE and SEQ-IODINE: what the papers and their public code say (iodine.md 3, 5, 6, 10.8, 11)."""

import math

import pytest
import torch

from scenewise.config import build
from scenewise.errors import InputError
from scenewise.models.iodine import Iodine, IodineConfig
from scenewise.models.seq_iodine import SeqIodine, SeqIodineConfig
from scenewise.observation import Observation


def iodine(preset: str = "tiny", **changes: object) -> Iodine:
    torch.manual_seed(0)
    return Iodine(build(IodineConfig, {**Iodine.presets[preset], **changes}, "test"))


def seq_iodine(**changes: object) -> SeqIodine:
    torch.manual_seed(0)
    return SeqIodine(build(SeqIodineConfig, {**SeqIodine.presets["tiny"], **changes}, "test"))


def frames(batch: int = 2, time: int = 3, size: int = 16) -> torch.Tensor:
    return torch.rand(batch, time, 3, size, size, generator=torch.Generator().manual_seed(1))


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_clevr6_has_the_published_layers() -> None:
    model = iodine("clevr6")
    conv = 64 * 9 * 64 + 64
    assert parameters(model.decoder) == (66 * 9 * 64 + 64) + 3 * conv + (64 * 9 * 4 + 4)
    assert parameters(model.refine.encoder) == (17 * 9 * 64 + 64) + 3 * conv + (64 * 256 + 256)
    assert parameters(model.refine.cell) == 4 * 256 * (512 + 256 + 1)  # 512 = code + lambda + its gradient
    assert parameters(model.refine.update) == 256 * 128 + 128


@pytest.mark.parametrize(("preset", "concatenated", "outputs"), [("multi-dsprites", 192, 32), ("tetris", 256, 64)])
def test_sprites_and_tetris_have_the_published_sizes(preset: str, concatenated: int, outputs: int) -> None:
    model = iodine(preset)
    code = model.config.code
    assert code + 4 * model.config.latent == concatenated
    assert model.refine.update.out_features == outputs
    assert (model.refine.cell is None) == (preset == "tetris")


def test_official_has_the_public_codes_prior_and_posterior_at_rest() -> None:
    model = iodine("official", size=[16, 16])
    q = model.engine.posterior(torch.zeros(1, 1, 2 * model.config.latent))
    torch.testing.assert_close((0.5 * q.log_variance).exp(), torch.full_like(q.mean, math.log(2) ** 0.5))
    prior = model.place(torch.zeros(1, 3, 16, 16), model.beginning(1)[1]).prior
    torch.testing.assert_close((0.5 * prior.log_variance[0, 0, 0]).exp(), torch.tensor(0.8326))
    assert model.config.sigma * math.sqrt(3) / math.pi == pytest.approx(0.03, abs=1e-4)


def test_decodes_weigh_from_nothing_to_one() -> None:
    """With equal cells the weighted sum of terms is the mean weight times a cell's term (iodine.md 5)."""
    for final, weights in ((True, [0, 1 / 2, 1]), (False, [1 / 2, 1])):
        model = iodine(final_decode=final)
        torch.nn.init.zeros_(model.refine.update.weight)
        torch.nn.init.zeros_(model.refine.update.bias)
        noise = torch.randn(1, 1, 1, 3, 8).expand(*model.noise_shape(1, 1))
        output = model(Observation(frames(1, 1)), noise=noise)
        once = -output.decomposition.log_likelihood[0, 0]
        assert model.decodes() == len(weights)
        torch.testing.assert_close(output.terms["nll"][0], sum(weights) * once, rtol=1e-4, atol=1e-3)


def test_the_last_refinement_is_trained_by_the_final_decode_alone() -> None:
    model = iodine(refinements=1)
    model.loss(model(Observation(frames(1, 1))).terms).mean().backward()
    assert model.refine.update.weight.grad is not None
    model = iodine(refinements=1, final_decode=False)
    model.loss(model(Observation(frames(1, 1))).terms).mean().backward()
    assert model.refine.update.weight.grad is None


def test_frames_are_explained_by_themselves() -> None:
    model, video = iodine(), frames()
    noise = torch.randn(model.noise_shape(2, 3))
    together = model(Observation(video), noise=noise).decomposition
    alone = model(Observation(video[:, 1:2]), noise=noise[:, 1:2]).decomposition
    torch.testing.assert_close(together.masks[:, 1:2], alone.masks, rtol=1e-4, atol=1e-5)


def test_cutting_the_gradient_changes_gradients_and_nothing_else() -> None:
    whole, cut = iodine(refinements=3), iodine(refinements=3, bptt="detach_lambda")
    outputs = [model(Observation(frames())) for model in (whole, cut)]
    assert torch.equal(outputs[0].decomposition.masks, outputs[1].decomposition.masks)
    for model, output in zip((whole, cut), outputs, strict=True):
        model.loss(output.terms).mean().backward()
    assert not torch.allclose(whole.decoder.canvas.output.weight.grad, cut.decoder.canvas.output.weight.grad)


def test_settings_that_cannot_work_are_told() -> None:
    with pytest.raises(InputError, match="divisible by 16"):
        iodine(size=[24, 24], decoder="deconv")
    with pytest.raises(InputError, match="groups"):
        iodine(decoder="coarse", decoder_channels=6)
    with pytest.raises(InputError, match="refinements"):
        iodine()(Observation(frames()), refinements=0)
    with pytest.raises(InputError, match="slots"):
        iodine()(Observation(frames()), slots=0)


def test_odd_sizes_are_drawn_whole() -> None:
    model = iodine("tiny", size=[35, 21], decoder="coarse", encoder="strided")
    images = torch.rand(1, 1, 3, 35, 21)
    assert model(Observation(images)).decomposition.masks.shape == (1, 1, 3, 1, 35, 21)


def test_pre_readout_predicts_a_frame_before_it_is_seen() -> None:
    model, video = seq_iodine(), frames()
    other = video.clone()
    other[:, 1] = 1 - other[:, 1]
    noise = torch.randn(model.noise_shape(2, 3))
    first, second = (model(Observation(v), noise=noise).decomposition for v in (video, other))
    assert torch.equal(first.masks[:, :2], second.masks[:, :2])
    assert not torch.allclose(first.masks[:, 2], second.masks[:, 2])


def test_post_readout_has_seen_the_frame() -> None:
    model, video = seq_iodine(readout="post"), frames()
    other = video.clone()
    other[:, 1] = 1 - other[:, 1]
    noise = torch.randn(model.noise_shape(2, 3))
    first, second = (model(Observation(v), noise=noise).decomposition for v in (video, other))
    assert torch.equal(first.masks[:, 0], second.masks[:, 0])
    assert not torch.allclose(first.masks[:, 1], second.masks[:, 1])


@pytest.mark.parametrize("readout", ["pre", "post"])
def test_terms_sum_over_frames_as_weighted(readout: str) -> None:
    video = frames()
    for kind, weights in (("linear", [0, 0.5, 1]), ("uniform", [1, 1, 1])):
        output = seq_iodine(readout=readout, step_weights=kind)(Observation(video))
        expected = (-output.decomposition.log_likelihood * torch.tensor(weights)).sum(1)
        torch.testing.assert_close(output.terms["nll"], expected, rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(
            output.terms["kl"], (output.decomposition.kl * torch.tensor(weights)).sum(1), rtol=1e-4, atol=1e-3
        )


def test_one_frame_still_trains() -> None:
    assert seq_iodine()(Observation(frames(2, 1))).terms["nll"].abs().sum() > 0


def test_lambda_runs_on_from_frame_to_frame() -> None:
    model = seq_iodine()
    start = model.initial_state(2)
    _, state = model.step(frames()[:, 0], start)
    assert int(state["frame"]) == 1
    assert not torch.allclose(state["posterior"], start["posterior"])
    decomposition, _ = model.step(frames()[:, 1], state)
    torch.testing.assert_close(decomposition.mean[:, 0], state["posterior"].chunk(2, -1)[0])


def test_prediction_shows_what_the_next_frame_would_be_scored_against() -> None:
    model = seq_iodine()
    _, state = model.step(frames()[:, 0], model.initial_state(2, seed=3))
    predicted, _ = model.predict(state, 1)
    seen, _ = model.step(frames()[:, 1], state)
    torch.testing.assert_close(predicted.masks, seen.masks)


@pytest.mark.parametrize("changes", [{}, {"mixture": "channel", "output": "logistic", "prior_std": 0.5}])
def test_importance_weights_average_to_the_bound(changes: dict[str, object]) -> None:
    """The mean of log w is E[log p(x|z)] - KL, whatever the weights of training."""
    model = iodine(kl_weight=0.02, reconstruction_weight=3.0, **changes)
    video = Observation(frames(1, 2))
    weights = model.log_weights(video, 400, seed=4)[""]
    assert weights.shape == (1, 2, 400)
    part = model(video, seed=4).decomposition
    std = (0.5 * part.log_variance[0]).exp()
    likelihoods = []
    for t in range(2):
        noise = torch.randn(400, 3, 8, generator=torch.Generator().manual_seed(t))
        drawn = model.decoder(part.mean[0, t] + std[t] * noise, noise[..., :0])
        mixture = model.engine.explain(video.frames[0, t].expand(400, -1, -1, -1), drawn)
        likelihoods.append(mixture.log_likelihood.sum((1, 2, 3)).mean().item())
    expected = torch.tensor(likelihoods) - part.kl[0]
    error = 4 * weights[0].std(1) / 20 + 0.1
    assert ((weights[0].mean(1) - expected).abs() < error).all()
