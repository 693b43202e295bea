"""IODINE and SEQ-IODINE: what the papers and their public code say."""

import math
from unittest import mock

import numpy as np
import pytest
import torch

from scenewise.config import build, merge
from scenewise.errors import InputError
from scenewise.models.iodine import Iodine, IodineConfig
from scenewise.models.seq_iodine import SeqIodine, SeqIodineConfig
from scenewise.observation import Observation
from scenewise.variational.refinement import INPUTS

SMALL = {
    "size": [16, 16], "slots": 3, "latent": 8, "hidden": 16, "decoder": {"channels": 8},
    "encoder": {"channels": 8, "layers": 2, "code": 16},
}  # fmt: skip


def iodine(preset: str = "tiny", **changes: object) -> Iodine:
    torch.manual_seed(0)
    return Iodine(build(IodineConfig, merge(Iodine.presets[preset], changes), "test"))


def seq_iodine(preset: str = "tiny", **changes: object) -> SeqIodine:
    torch.manual_seed(0)
    return SeqIodine(build(SeqIodineConfig, merge(SeqIodine.presets[preset], changes), "test"))


def frames(batch: int = 2, time: int = 3, size: int = 16) -> torch.Tensor:
    return torch.rand(batch, time, 3, size, size, generator=torch.Generator().manual_seed(1))


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_paper_has_the_published_layers_of_clevr6() -> None:
    model = iodine("paper")
    conv = 64 * 9 * 64 + 64
    assert parameters(model.decoder) == (66 * 9 * 64 + 64) + 3 * conv + (64 * 9 * 4 + 4)
    assert parameters(model.refine.encoder) == (17 * 9 * 64 + 64) + 3 * conv + (64 * 256 + 256)
    assert parameters(model.refine.cell) == 4 * 256 * (512 + 256 + 1)  # 512 = code + lambda + its gradient
    assert parameters(model.refine.update) == 256 * 128 + 128


@pytest.mark.parametrize(
    ("preset", "size", "slots", "concatenated", "outputs"),
    [("paper-sprites", (64, 64), 6, 192, 32), ("paper-tetris", (35, 35), 4, 256, 64)],
)
def test_sprites_and_tetris_have_the_published_layers(
    preset: str, size: tuple[int, int], slots: int, concatenated: int, outputs: int
) -> None:
    """The tables of appendices C.2 and C.3."""
    model = iodine(preset)
    config, latent = model.config, outputs // 2
    assert (config.size, config.slots, config.refinements, config.sigma) == (size, slots, 5, 0.1)
    conv = 32 * 25 * 32 + 32
    assert parameters(model.decoder) == ((latent + 2) * 25 * 32 + 32) + 3 * conv + (32 * 25 * 4 + 4)
    encoder = model.refine.encoder
    assert parameters(encoder) == (17 * 25 * 32 + 32) + 2 * conv + (32 * 128 + 128)
    assert [encoder.first.stride, *(layer.stride for layer in encoder.rest)] == [1, (1, 1), (1, 1)]
    assert 128 + 4 * latent == concatenated
    if preset == "paper-tetris":
        assert model.refine.cell is None
        assert parameters(model.refine.update) == concatenated * outputs + outputs
    else:
        assert parameters(model.refine.cell) == 4 * 128 * (concatenated + 128 + 1)
        assert parameters(model.refine.update) == 128 * outputs + outputs


class Watched:
    """What a model draws in each decode, and lambda where it refines, in float64.

    Args:
        model: Whose forward pass to watch.
        video: What it gets.
        noise: Of all decodes.
    """

    def __init__(self, model: Iodine, video: torch.Tensor, noise: torch.Tensor) -> None:
        self.drawn: list[tuple[np.ndarray, np.ndarray]] = []
        self.posteriors: list[np.ndarray] = []
        hooks = [
            model.decoder.register_forward_hook(lambda _, __, out: self.drawn.append(tuple(map(exact, out)))),
            model.refine.register_forward_pre_hook(lambda _, args: self.posteriors.append(exact(args[1]))),
        ]
        output = model(Observation(video), noise=noise)
        self.terms, self.shown = output.terms, output.decomposition
        for hook in hooks:
            hook.remove()


def exact(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


def step_loss(x: np.ndarray, means: np.ndarray, logits: np.ndarray, posterior: np.ndarray) -> tuple[float, float]:
    """Return -log p(x | z) (IODINE eq. 1) with sigma = .1, and KL(q || N(0, 1)), of one image."""
    masks = np.exp(logits - logits.max(0))
    masks = masks / masks.sum(0)
    log_n = -((x - means) ** 2) / (2 * 0.1**2) - np.log(0.1 * np.sqrt(2 * np.pi))
    log_n = log_n.sum(1)
    top = log_n.max(0)
    log_p = top + np.log((masks[:, 0] * np.exp(log_n - top)).sum(0))
    mean, log_variance = np.split(posterior, 2, -1)
    return -log_p.sum(), 0.5 * (np.exp(log_variance) + mean**2 - 1 - log_variance).sum()


@pytest.mark.parametrize("preset", ["paper", "paper-sprites", "paper-tetris"])
def test_every_preset_of_the_paper_weighs_step_t_of_T_by_t_over_T(preset: str) -> None:  # noqa: N802
    """Eq. 4: L = sum_{t = 1}^T t / T L(t)."""
    model = iodine(
        preset, size=[8, 8], slots=3, refinements=3, encoder={"channels": 4}, decoder={"channels": 4}, latent=4
    )
    video = frames(1, 1, 8)
    watched = Watched(model, video, torch.randn(model.noise_shape(1, 1)))
    assert (len(watched.drawn), len(watched.posteriors)) == (3, 2)  # nothing draws lambda(4): nothing works it out
    last = exact(torch.cat([watched.shown.mean, watched.shown.log_variance], -1))[0]
    posteriors = [*(vectors[:, :, :8] for vectors in watched.posteriors), last]
    losses = [
        step_loss(exact(video[0, 0]), means[0], logits[0], posterior[0])
        for (means, logits), posterior in zip(watched.drawn, posteriors, strict=True)
    ]
    for name, index in (("nll", 0), ("kl", 1)):
        expected = sum(t / 3 * loss[index] for t, loss in enumerate(losses, 1))
        assert watched.terms[name].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("left_out", [*INPUTS, "image and coordinates"])
def test_each_of_the_eleven_inputs_can_be_left_out(left_out: str) -> None:
    names = left_out.split(" and ")
    model, whole = iodine("paper", **SMALL, inputs={"left_out": names}), iodine("paper", **SMALL)
    widths = {"image": 3, "means": 3, "mean_gradient": 3, "coordinates": 2, "posterior_gradient": 0}
    lost = sum(widths.get(name, 1) for name in names)
    assert parameters(whole.refine.encoder) - parameters(model.refine.encoder) == lost * 9 * 8
    seen: list[tuple] = []
    model.refine.register_forward_pre_hook(lambda _, args: seen.append((*args[0], args[1])))
    output = model(Observation(frames()))
    model.loss(output.terms).mean().backward()
    shared, per_slot, vectors = seen[0]
    assert shared.shape[1] + per_slot.shape[2] == 17 - lost
    assert vectors.shape[-1] == (16 if left_out == "posterior_gradient" else 32)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.refine.parameters())


def test_without_the_posterior_gradient_nothing_is_differentiated_to_refine() -> None:
    model = iodine("paper", **SMALL, inputs={"left_out": ["posterior_gradient"]})
    with mock.patch.object(torch.autograd, "grad", side_effect=ZeroDivisionError), torch.no_grad():
        model(Observation(frames()))
    other = seq_iodine(inputs={"left_out": ["posterior_gradient"]})
    _, state = other.step(frames()[:, 0], other.initial_state(2))
    assert other.predict(state, 2)[0].masks.isfinite().all()


@pytest.mark.parametrize(
    "changes", [{}, {"prior_std": 0.8326, "scale": "softplus"}, {"prior_std": 30.0, "scale": "softplus"}]
)
def test_the_first_posterior_can_be_the_prior(changes: dict[str, object]) -> None:
    """Appendix C: q(z; lambda(1)) = N(0, 1), which nothing trains."""
    model = iodine("paper", **SMALL, initial_posterior="prior", **changes)
    q = model.engine.posterior(model.beginning(2)[0])
    torch.testing.assert_close(q.mean, torch.zeros(2, 3, 8))
    std = torch.full((2, 3, 8), float(changes.get("prior_std", 1.0)))
    torch.testing.assert_close((0.5 * q.log_variance).exp(), std, rtol=1e-5, atol=0)
    assert "initial" not in dict(model.named_parameters())
    one = iodine("paper", **SMALL, refinements=1, initial_posterior="prior", **changes)
    torch.testing.assert_close(one(Observation(frames())).terms["kl"], torch.zeros(2), rtol=0, atol=1e-4)


def test_a_fixed_first_posterior_starts_from_trained_weights_and_stays_the_prior() -> None:
    trained, fixed = iodine("paper", **SMALL), iodine("paper", **SMALL, initial_posterior="prior")
    fixed.load_state_dict(fixed.adapt(trained.state_dict()))
    assert torch.equal(fixed.initial, torch.zeros(16))
    assert trained.adapt(trained.state_dict()).keys() == trained.state_dict().keys()


def test_official_has_the_public_codes_prior_and_posterior_at_rest() -> None:
    model = iodine("official", size=[16, 16])
    q = model.engine.posterior(torch.zeros(1, 1, 2 * model.config.latent))
    torch.testing.assert_close((0.5 * q.log_variance).exp(), torch.full_like(q.mean, math.log(2) ** 0.5))
    prior = model.context(torch.zeros(1, 3, 16, 16), model.beginning(1)[1]).prior
    torch.testing.assert_close((0.5 * prior.log_variance[0, 0, 0]).exp(), torch.tensor(0.8326))
    assert model.config.sigma * math.sqrt(3) / math.pi == pytest.approx(0.03, abs=1e-4)


def test_decodes_weigh_from_nothing_to_one() -> None:
    """With equal cells the weighted sum of terms is the mean weight times a cell's term ."""
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
        iodine(size=[24, 24], decoder={"kind": "deconv"})
    with pytest.raises(InputError, match="of all slots"):
        iodine(inputs={"left_out": ["image", "likelihood", "coordinates"]})
    with pytest.raises(InputError, match="Did you mean 'image'"):
        iodine(inputs={"left_out": ["imag"]})
    with pytest.raises(InputError, match="groups"):
        iodine(decoder={"kind": "coarse", "channels": 6})
    with pytest.raises(InputError, match="refinements"):
        iodine()(Observation(frames()), refinements=0)
    with pytest.raises(InputError, match="slots"):
        iodine()(Observation(frames()), slots=0)


def test_odd_sizes_are_drawn_whole() -> None:
    model = iodine("tiny", size=[35, 21], decoder={"kind": "coarse"}, encoder={"kind": "strided"})
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
    kinds = {"proportional": [1 / 3, 2 / 3, 1], "linear": [0, 0.5, 1], "uniform": [1, 1, 1]}
    for kind, weights in kinds.items():
        output = seq_iodine(readout=readout, step_weights=kind)(Observation(video))
        expected = (-output.decomposition.log_likelihood * torch.tensor(weights)).sum(1)
        torch.testing.assert_close(output.terms["nll"], expected, rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(
            output.terms["kl"], (output.decomposition.kl * torch.tensor(weights)).sum(1), rtol=1e-4, atol=1e-3
        )


def test_one_frame_still_trains() -> None:
    assert seq_iodine()(Observation(frames(2, 1))).terms["nll"].abs().sum() > 0


def test_seq_iodine_is_the_papers_sum_of_predictions() -> None:
    """Appendix A.1 and eq. 4: what the frames before made of lambda is scored against frame t, weighted t / T."""
    model = seq_iodine("paper", **SMALL)
    video = frames(1, 4)
    watched = Watched(model, video, torch.randn(model.noise_shape(1, 4)))
    assert (len(watched.drawn), len(watched.posteriors)) == (4, 4)
    losses = [
        step_loss(exact(video[0, t]), means[0], logits[0], watched.posteriors[t][0, :, :16])
        for t, (means, logits) in enumerate(watched.drawn)
    ]
    for name, index in (("nll", 0), ("kl", 1)):
        expected = sum(t / 4 * loss[index] for t, loss in enumerate(losses, 1))
        assert watched.terms[name].item() == pytest.approx(expected, rel=1e-5)


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
