"""The refinement engine against autograd: the same numbers, without its graphs and without its repeated work.

`naive.py` computes everything the plain way. In float64 the two agree to 1e-9 of the largest magnitude of each tensor.
In float32 they agree to 1e-5, or to three times what float32 costs the plain way itself, where that is more.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from scenewise.config import build, replace
from scenewise.models.iodine import PRESETS as IODINE_PRESETS
from scenewise.models.iodine import Iodine, IodineConfig
from scenewise.models.provide import Provide
from scenewise.models.provide_config import PRESETS as PROVIDE_PRESETS
from scenewise.models.provide_config import ProvideConfig
from scenewise.observation import Observation
from scenewise.variational.mixture import SpatialMixture
from scenewise.variational.refinement import Weights, area_entropy, image_gradients

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def _load(name: str) -> Any:
    """Import a neighbour of this file, which is no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("naive.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


naive = _load("scenewise_naive_of_tests")

Found = dict[str, Tensor]
WAYS = ("fast", "recompute", "naive")
EXACT, SINGLE = 1e-9, 1e-5
TINY = {
    Provide: build(ProvideConfig, PROVIDE_PRESETS["tiny"], "tiny"),
    Iodine: build(IodineConfig, IODINE_PRESETS["tiny"], "tiny"),
}
FAST = {
    "decoder": {"kind": "coarse"}, "encoder": {"kind": "strided"}, "sigma": 0.55, "kl_weight": 0.02,
    "inputs": {"mask_gradient": "logit"}, "reconstruction_weight": 1.0,
}  # fmt: skip
OFFICIAL = {
    "output": "logistic", "sigma": 0.0544, "prior_std": 0.8326, "scale": "softplus",
    "encoder": {"code_layers": 2, "code_linear": True}, "inputs": {"coordinates": "cosine"},
}  # fmt: skip
BY_LOGIT = {"inputs": {"mask_gradient": "logit"}}
TERMS = {"entropy_weight": 0.3, "area_entropy_weight": 0.2, "duplicates": {"weight": 0.1}}


@contextlib.contextmanager
def precision(bits: int) -> Iterator[torch.dtype]:
    """In this context a model computes in float64 from end to end: its casts to float32 are let be, for the test."""
    if bits == 32:
        yield torch.float32
        return
    cast = Tensor.float
    torch.set_default_dtype(torch.float64)
    try:
        with mock.patch.object(Tensor, "float", lambda t: t if t.dtype == torch.float64 else cast(t)):
            yield torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


@contextlib.contextmanager
def computed(model: nn.Module, way: str) -> Iterator[None]:
    """In this context a model goes one of the WAYS."""
    if way == "naive":
        with naive.engaged(model):
            yield
        return
    before = model.engine
    model.engine = dataclasses.replace(before, recompute=way == "recompute")
    try:
        yield
    finally:
        model.engine = before


def run(model: nn.Module, frames: Tensor, noise: Tensor, way: str) -> Found:
    """Return terms, outputs, what the refinement network saw in every decode, and the gradients of the loss."""
    seen: list[tuple[Tensor, ...]] = []
    model.zero_grad()
    hook = model.refine.register_forward_pre_hook(lambda _, args: seen.append((*args[0], args[1])))
    with computed(model, way):
        output = model(Observation(frames), noise=noise)
        cells = len(seen)  # the backward pass of `recompute` refines once more
        model.loss(output.terms).sum().backward()
        shown = output.decomposition
    hook.remove()
    found = {f"term {name}": term for name, term in output.terms.items()}
    found |= {f"output {name}": tensor for name, tensor in shown.tensors().items()}
    for i, inputs in enumerate(seen[:cells]):
        names = ("shared images", "images per slot", "vectors")
        found |= {f"{name} of decode {i}": tensor for name, tensor in zip(names, inputs, strict=True)}
    found |= {f"gradient {name}": p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {name: tensor.detach().clone() for name, tensor in found.items()}


def everything(
    make: Callable[[], nn.Module], batch: int = 2, time: int = 2, equal: bool = False, single: tuple[str, ...] = WAYS
) -> dict[tuple[int, str], Found]:
    """Return what a model finds, with the same weights, frames and noise: in float64 all WAYS, in float32 `single`."""
    torch.manual_seed(0)
    model, results = make(), {}
    weights, generator = model.state_dict(), torch.Generator().manual_seed(1)
    frames = torch.rand(batch, time, *model.frame_shape, generator=generator)
    noise = torch.randn(model.noise_shape(batch, time), generator=generator)
    if equal:
        noise = noise[..., :1, :].expand_as(noise)
    for bits in (32, 64):
        with precision(bits) as dtype:
            model = make()
            model.load_state_dict(weights)
            model.begin_step(5)
            for way in single if bits == 32 else WAYS:
                results[bits, way] = run(model, frames.to(dtype), noise.to(dtype), way)
    assert len({frozenset(found) for found in results.values()}) == 1
    return results


def apart(a: Tensor, b: Tensor) -> float:
    """Return max |a - b| / max |b|; infinite where either is not finite."""
    difference, top = (a.double() - b.double()).abs().max().item(), b.double().abs().max().item()
    if not (a.isfinite().all() and b.isfinite().all()):
        return float("inf")
    return difference / max(top, 1e-300) if difference else 0.0


def check(a: Found, b: Found, limits: Callable[[str], float]) -> None:
    """Hold every tensor of `a` to `b`."""
    far = {name: apart(tensor, b[name]) for name, tensor in a.items()}
    assert not {name: (value, limits(name)) for name, value in far.items() if not value <= limits(name)}


def lively(model: nn.Module) -> nn.Module:
    """Enlarge a decoder's weights, so that slots differ from the start.

    Else the masks' gradients are differences of nearly equal numbers, of which float32 has lost most digits.
    """
    with torch.no_grad():
        for name, parameter in model.decoder.named_parameters():
            if "norms" not in name:
                parameter.mul_(1.8)
    return model


CASES: dict[str, tuple[type, dict[str, Any]]] = {
    "provide": (Provide, {}),
    "provide-not-square": (Provide, {"size": (12, 20), "cell": "graves", "conditional_decoder": False, **TERMS}),
    "provide-channel-logit": (Provide, {"mixture": "channel", **BY_LOGIT, **TERMS}),
    "provide-channel-mask": (Provide, {"mixture": "channel", "entropy_weight": 0.5}),
    "provide-entropies-logit": (Provide, {**BY_LOGIT, "prior": {"conditional": False}, **TERMS}),
    "provide-composed": (Provide, {"composed_until": (0, 10), **TERMS}),
    "provide-composed-channel": (Provide, {"composed_until": (0, 10), "mixture": "channel", **BY_LOGIT}),
    "provide-composed-alone": (Provide, {"composed_until": (8, 10)}),
    "provide-pooled-inputs": (Provide, {"encoder": {"kind": "gap", "pooling": 2}, "inputs": {"previous_frame": True}}),
    "provide-fast": (Provide, {"pooling": 2, "size": (32, 32), "first_sample": "shared", **FAST}),
    "provide-reference": (
        Provide,
        {"mixture": "channel", "budget": {"trailing": True}, "prior": {"scale": "softplus_logvar"},
         "inputs": {"left_out": ("leave_one_out",), "mask_posterior": "softmax_of_lik"},
         "step_weights": "absolute", "first_sample": "shared"},
    ),
    "provide-text": (Provide, {**PROVIDE_PRESETS["text"], "mixture": "channel"}),
    "iodine": (Iodine, {}),
    "iodine-inputs-left-out": (
        Iodine,
        {"inputs": {"left_out": ("posterior_gradient", "likelihood", "masks")}, "mixture": "channel", "sigma": 0.3},
    ),
    "iodine-first-posterior-fixed": (Iodine, {"initial_posterior": "prior", "scale": "softplus"}),
    "iodine-no-final-decode": (Iodine, {"final_decode": False, "inputs": {"likelihood": "probability"}}),
    "iodine-paper": (
        Iodine, {"final_decode": False, "inputs": {"likelihood": "probability", "mask_gradient": "mask"}, "sigma": 0.3},
    ),
    "iodine-official": (Iodine, {**OFFICIAL, "fan_in_start": True}),
    "iodine-channel": (
        Iodine, {"mixture": "channel", "inputs": {"likelihood": "log"}, "output": "logistic", "sigma": 0.3},
    ),
    "iodine-deconv": (Iodine, {"decoder": {"kind": "deconv"}}),
    "iodine-tetris": (
        Iodine,
        {"size": (35, 35), "decoder": {"channels": 4, "kernel": 5}, "hidden": 0,
         "encoder": {"channels": 4, "kernel": 5, "stride": 1}, "refinements": 1, "slots": 2},
    ),
    "iodine-fast-odd-size": (
        Iodine, {"size": (20, 13), "mean_activation": "sigmoid", "duplicates": {"weight": 0.3}, **FAST},
    ),
    "iodine-cut": (Iodine, {"size": (20, 13), "bptt": "detach_lambda", "decoder": {"kernel": 5}}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_engine_equals_autograd(name: str) -> None:
    kind, settings = CASES[name]
    found = everything(
        lambda: lively(kind(replace(TINY[kind], settings, "test"))),
        time=3 if "previous_frame" in settings.get("inputs", {}) else 2,
    )
    plain, exact = found[32, "naive"], found[64, "naive"]
    rounding = {key: apart(tensor, exact[key]) for key, tensor in plain.items()}
    for way in ("fast", "recompute"):
        check(found[64, way], exact, lambda _: EXACT)
        check(found[32, way], plain, lambda key: max(SINGLE, 3 * rounding[key]))
        for key, tensor in found[32, way].items():  # the forward pass of `recompute` is the same pass
            assert key.startswith("gradient") or torch.equal(tensor, found[32, "fast"][key]), key


class Saturated(nn.Module):
    """A decoder whose drawings are pushed to an extreme."""

    def __init__(self, inner: nn.Module, kind: str) -> None:
        super().__init__()
        self.inner, self.kind = inner, kind

    def forward(self, latent: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        means, logits = self.inner(latent, h)
        first, pixel = torch.zeros_like(logits), torch.zeros_like(logits)
        first[:, 0] = 1
        pixel[..., 2, 3] = 1
        if self.kind.startswith("one slot owns"):
            logits = logits + (50 if "wrongly" in self.kind else 60) * first
        if "wrongly" in self.kind:
            means = means + 5 * first
        if "unexplained" in self.kind:
            means = means + 1.4 * pixel
        return means, logits


def saturated(kind: type, settings: dict[str, Any], extreme: str) -> nn.Module:
    """Return a model at an extreme."""
    settings = {"size": (8, 8), "sigma": 0.1, **settings}
    if extreme == "one slot":
        settings["slots"] = 1
    if extreme == "a pixel unexplained":
        settings["sigma"] = 0.01
    model = kind(replace(TINY[kind], settings, "test"))
    model.decoder = Saturated(model.decoder, extreme)
    model.engine = dataclasses.replace(model.engine, decoder=model.decoder)
    if extreme == "extreme variance":  # log-variances of +-20 by turns
        with torch.no_grad():
            scale = model.initial[model.config.latent :]
            scale.copy_(20.0 * (-1.0) ** torch.arange(len(scale)))
    return model


# What float32 costs either way, measured, and some room. Where a slot's likelihood is about -1e4 (or that of a slot
# which is wrong by 50 standard deviations), float32 knows it to 1e-3, and layer norm shows that beside smaller values.
# Equal slots have constant gradients by their masks: what varies over pixels is nothing but rounding, which layer norm
# sees as far as its eps lets it. The plain way loses as much; where it overflows, it loses everything.
EXTREMES = {
    "one slot owns every pixel": 2e-5,
    "one slot owns every pixel wrongly": 1e-4,
    "a pixel unexplained": 5e-3,
    "one slot": 1e-5,
    "equal slots": 2e-1,
    "extreme variance": 1e-4,
}
SATURATED: dict[str, tuple[type, dict[str, Any]]] = {
    "provide-mask": (Provide, {}),
    "provide-channel-logit": (Provide, {"mixture": "channel", **BY_LOGIT}),
    "iodine": (Iodine, {}),
    "iodine-logistic-mask": (
        Iodine,
        {**OFFICIAL, "mixture": "channel", "inputs": {**OFFICIAL["inputs"], "mask_gradient": "mask"}},
    ),
}


@pytest.mark.parametrize("extreme", EXTREMES)
@pytest.mark.parametrize("name", SATURATED)
def test_the_engine_is_finite_and_right_at_extremes(name: str, extreme: str) -> None:
    kind, settings = SATURATED[name]
    found = everything(
        lambda: saturated(kind, settings, extreme),
        time=2 if kind is Provide else 1,
        equal=extreme == "equal slots",
        single=("fast", "recompute"),
    )
    for way in ("fast", "recompute"):
        check(found[64, way], found[64, "naive"], lambda _: EXACT)
        check(found[32, way], found[64, "naive"], lambda _: EXTREMES[extreme])


@pytest.mark.parametrize("kind", [Provide, Iodine])
@pytest.mark.parametrize("way", WAYS)
def test_without_a_graph_the_results_are_the_same(kind: type, way: str) -> None:
    torch.manual_seed(0)
    model = lively(kind(TINY[kind]))
    frames = Observation(torch.rand(2, 3, *model.frame_shape))
    with computed(model, way):
        graph = model(frames, seed=3)
        with torch.no_grad():
            free = model(frames, seed=3)
    assert not free.decomposition.masks.requires_grad
    for name, term in free.terms.items():
        assert not term.requires_grad
        torch.testing.assert_close(term, graph.terms[name].detach())
    for field in dataclasses.fields(free.decomposition):
        a, b = (getattr(output.decomposition, field.name) for output in (free, graph))
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("frozen", ["initial", "initial refine", "decoder", "initial refine decoder prior"])
def test_frozen_parts_leave_the_others_their_gradients(frozen: str) -> None:
    torch.manual_seed(0)
    model, frames = lively(Provide(TINY[Provide])), torch.rand(1, 2, 3, 16, 16)
    for name in frozen.split():
        getattr(model, name).requires_grad_(False)
    noise, trained = torch.randn(model.noise_shape(1, 2)), [p for p in model.parameters() if p.requires_grad]
    if trained:
        found = {way: run(model, frames, noise, way) for way in WAYS}
        assert sum(name.startswith("gradient") for name in found["fast"]) == len(trained)
        for way in ("fast", "recompute"):
            check(found[way], found["naive"], lambda _: 5 * SINGLE)
    else:
        terms = []
        for way in WAYS:
            with computed(model, way):
                terms.append(model(Observation(frames), noise=noise).terms["nll"].detach())
        torch.testing.assert_close(terms[0], terms[2])
        torch.testing.assert_close(terms[1], terms[2])


def test_steps_and_predictions_are_the_same_the_plain_way() -> None:
    torch.manual_seed(0)
    model = lively(Provide(replace(TINY[Provide], {"inputs": {"previous_frame": True}}, "test")))
    frames, shown = torch.rand(2, 3, 3, 16, 16), []
    for way in ("fast", "naive"):
        with computed(model, way):
            state = model.initial_state(2, seed=5)
            for frame in frames.unbind(1):
                explained, state = model.step(frame, state)
            predicted, state = model.predict(state, 2)
        shown += [(explained.masks, explained.log_likelihood, predicted.masks, predicted.appearance, state["cell"])]
    for fast, plain in zip(*shown, strict=True):
        torch.testing.assert_close(fast, plain, rtol=1e-4, atol=1e-5)


def test_the_plain_way_leaves_a_model_as_it_was() -> None:
    model = Provide(TINY[Provide])
    engine, attributes = model.engine, [set(vars(module)) for module in model.modules()]
    with naive.engaged(model), naive.engaged(model):
        assert model.engine is not engine
    with pytest.raises(ZeroDivisionError), naive.engaged(model):
        model.begin_step(1 // 0)
    assert model.engine is engine
    assert attributes == [set(vars(module)) for module in model.modules()]
    assert functional.elu_ is not functional.elu


@pytest.mark.parametrize("composed", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("mixture", ["pixel", "channel"])
def test_gradient_by_free_masks_is_that_of_the_textbook(mixture: str, composed: float) -> None:
    """Both ways add terms that vanish instead of dividing by small masks; here masks are leaves and P is a sum."""
    generator = torch.Generator().manual_seed(2)
    frame = torch.rand(2, 3, 5, 4, generator=generator).double()
    means = torch.rand(2, 3, 3, 5, 4, generator=generator).double()
    logits = torch.randn(2, 3, 1, 5, 4, generator=generator).double()
    masks = logits.softmax(1).requires_grad_()
    log_n = naive.log_density(frame.unsqueeze(1), means, 0.4, "gaussian")
    n = (log_n.sum(2, keepdim=True) if mixture == "pixel" else log_n).exp()
    log_p = (1 - composed) * (masks * n).sum(1).log().sum()
    log_p = log_p + composed * naive.log_density(frame, (masks * means).sum(1), 0.4, "gaussian").sum()
    loss = -3 * log_p - 0.2 * (masks * masks.log()).sum() + 0.05 * area_entropy(masks).sum()
    (expected,) = torch.autograd.grad(loss, masks)
    closed = image_gradients(SpatialMixture(frame, means, logits, 0.4, mixture, composed), Weights(3, 1, 0.2, 0.05))
    torch.testing.assert_close(closed.masks, expected, rtol=1e-9, atol=1e-9)
    nudge = torch.zeros_like(logits).requires_grad_()
    engine = mock.Mock(sigma=0.4, mixture=mixture, output="gaussian")
    m = naive.NaiveMixture(frame, means, logits, engine, composed, nudge)
    plain = -3 * m.log_likelihood.sum() + 0.2 * m.mask_entropy.sum() + 0.05 * m.area_entropy.sum()
    torch.testing.assert_close(torch.autograd.grad(plain, nudge)[0], expected, rtol=1e-9, atol=1e-9)
