"""Compiled decodes against plain ones: the same numbers frame by frame, other graphs for other shapes and weights."""

from __future__ import annotations

import shutil
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

from scenewise.config import build
from scenewise.errors import InputError
from scenewise.models import MODELS
from scenewise.models.contract import SceneModel
from scenewise.observation import Observation
from scenewise.variational import compiled
from scenewise.variational.compiled import CompiledEngine, compile_decodes
from scenewise.variational.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Sequence

ITERATIVE = ("iodine", "mulmon", "provide", "seq-iodine")


class Maker:
    """Leaves traced graphs as they are, and counts them."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, graph: Any, inputs: Sequence[Tensor]) -> Any:
        self.made += 1
        assert all(tensor.is_contiguous() for tensor in inputs)
        return graph


def tiny(name: str, **settings: Any) -> SceneModel:
    torch.manual_seed(0)
    cls = MODELS.get(name)
    return cls(build(cls.config_class, {**cls.presets["tiny"], **settings}, "tiny")).eval()


def watch(model: SceneModel, batch: int = 2, frames: int = 3) -> list[Tensor]:
    """Return all that a model says of a video, frame by frame where it has a state."""
    generator = torch.Generator().manual_seed(5)
    images = torch.rand(batch, frames, *model.frame_shape, generator=generator)
    said: list[Tensor] = []
    if model.keeps_slots:
        state = model.initial_state(batch)
        for t in range(frames):
            part, state = model.step(images[:, t], state)
            said += part.tensors().values()
        return said + list(state.values())
    size = model.viewpoint_size
    cameras = None if size is None else torch.randn(batch, frames, size, generator=generator)
    with torch.no_grad():
        output = model(Observation(images, None, cameras))
        return [*output.decomposition.tensors().values(), *output.terms.values()]


def closest(found: list[Tensor], expected: list[Tensor]) -> float:
    """Return the largest difference, relative to the largest magnitude of its tensor."""
    pairs = zip(found, expected, strict=True)
    return max(float((f - e).abs().max() / e.abs().max().clamp_min(1e-12)) for f, e in pairs)


def test_every_iterative_model_has_an_engine() -> None:
    iterative = [
        name for name in MODELS.names() if type(tiny(name).engine) is Engine
    ]  # windows have an engine of their own
    assert sorted(iterative) == list(ITERATIVE)


@pytest.mark.parametrize("name", ITERATIVE)
def test_traced_decodes_say_the_same(name: str) -> None:
    model, maker = tiny(name), Maker()
    expected = watch(model)
    compile_decodes(model, maker)
    found = watch(model)
    assert closest(found, expected) <= 1e-6
    made = maker.made
    assert 1 <= made <= 3  # one that refines, one that does not; MulMoN draws views one by one and together
    watch(model)
    assert maker.made == made


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("provide", {"inputs": {"previous_frame": True}, "budget": {"trailing": True, "grid": "triangular"}}),
        ("seq-iodine", {"readout": "pre", "scale": "softplus", "mixture": "channel"}),
    ],
)
def test_settings_change_nothing(name: str, settings: dict[str, Any]) -> None:
    model = tiny(name, **settings)
    expected = watch(model)
    compile_decodes(model, Maker())
    assert closest(watch(model), expected) <= 1e-6


def test_other_shapes_and_weights_get_graphs_of_their_own() -> None:
    model, maker = tiny("provide", composed_until=[0, 10]), Maker()
    compile_decodes(model, maker)
    watch(model, frames=1)
    once = maker.made
    watch(model, batch=1, frames=1)
    assert maker.made == 2 * once
    model.begin_step(5)  # another weight of the composed image
    found = watch(model, frames=2)
    assert maker.made == 3 * once
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.1)
    found = watch(model, frames=2)
    assert maker.made == 3 * once
    model.engine = Engine(**{each.name: getattr(model.engine, each.name) for each in fields(Engine)})
    assert closest(found, watch(model, frames=2)) <= 1e-6


def test_training_is_not_touched() -> None:
    model, maker = tiny("provide"), Maker()
    observation = Observation(torch.rand(2, 2, *model.frame_shape, generator=torch.Generator().manual_seed(1)))

    def gradients() -> list[Tensor]:
        model.zero_grad()
        model.loss(model(observation).terms).mean().backward()
        return [p.grad.clone() for p in model.parameters() if p.grad is not None]

    expected = gradients()
    compile_decodes(model, maker)
    assert closest(gradients(), expected) == 0
    assert maker.made == 0


def test_a_model_without_decodes_is_told_so() -> None:
    with pytest.raises(InputError, match="monet has no decodes"):
        compile_decodes(tiny("monet"))


def test_inference_mode_is_refused_as_before() -> None:
    model = tiny("provide")
    compile_decodes(model, Maker())
    with torch.inference_mode(), pytest.raises(InputError, match="inference_mode"):
        model.engine.decode(None, None, None, None, True)  # type: ignore[arg-type]


def test_a_failing_compiler_is_told_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(graph: Any, **_: Any) -> Any:
        def run(*inputs: Tensor) -> Any:
            raise RuntimeError("no compiler\nmore of it")

        return run

    monkeypatch.setattr(torch, "compile", refuse)
    model = tiny("provide")
    compile_decodes(model)
    with pytest.raises(InputError, match=r"torch\.compile failed: no compiler.*C\+\+ compiler"):
        watch(model)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_compiled_decodes_say_the_same() -> None:
    model = tiny("provide")
    expected = watch(model)
    compile_decodes(model)
    assert closest(watch(model), expected) <= 1e-4  # sums are taken in another order


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_captured_decodes_say_the_same() -> None:
    model = tiny("provide").cuda()
    images = torch.rand(3, 2, *model.frame_shape, device="cuda")

    def run() -> list[Tensor]:
        state, said = {n: t.cuda() for n, t in model.initial_state(2).items()}, list[Tensor]()
        for image in images:
            part, state = model.step(image, state)
            said += [part.masks, part.appearance, part.mean, part.log_likelihood]
        return said

    expected = run()
    compile_decodes(model)
    assert closest(run(), expected) <= 1e-4
    assert isinstance(model.engine, CompiledEngine)
    assert all(isinstance(graph, compiled.GraphReplay) for graph in model.engine.graphs.values())
