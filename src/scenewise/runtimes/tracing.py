"""A model's work on one frame, or one decode, as a graph of plain operations on tensors of fixed shapes."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from scenewise.models.contract import SceneModel
from scenewise.models.stages import Stages
from scenewise.nn.layers import pooling_as_one
from scenewise.runtimes.decompositions import table
from scenewise.variational.gaussian import noise_from, seeded_noise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import fx

    from scenewise.decomposition import Decomposition
    from scenewise.models.contract import State

_FAR = 1_000_003  # added to a seed, to see which numbers follow it


@dataclass(frozen=True)
class NoiseRule:
    """Which noise a graph is given: `seeded_noise` of numbers that follow the video's seed and the frame's number.

    Attributes:
        shape: Of the noise.
        numbers: Seed and keys, each as (times the seed, times the frame's number, plus).
    """

    shape: tuple[int, ...]
    numbers: tuple[tuple[int, int, int], ...]

    def noise(self, seed: int, frame: int) -> Tensor:
        """Return the noise of a frame."""
        first, *keys = (a * seed + b * frame + c for a, b, c in self.numbers)
        return seeded_noise(self.shape, first, *keys)


@dataclass(frozen=True)
class FrameTrace:
    """What a model does with a frame.

    Attributes:
        graph: From frame, state and noise, in the order of `inputs`, to what `outputs` names.
        inputs: Examples of what the graph is given, by name: "frame", "state.NAME" and "noise.N".
        outputs: Names of what it gives: "part.NAME" of the decomposition and "next.NAME" of the state after it.
        kept: Names of the state that stay as they are.
        counts: Whole numbers of the state that grow, by how much.
        noises: Of each noise, which it is.
    """

    graph: fx.GraphModule
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]
    kept: tuple[str, ...]
    counts: dict[str, int]
    noises: tuple[NoiseRule, ...]


class Count(int):
    """A whole number of a state while a frame is traced: a number and no tensor, so that it is no part of the graph."""

    def __add__(self, other: int) -> Count:
        """Return the sum as another of its kind."""
        return Count(int(self) + other)

    def detach(self) -> Count:
        """Return itself, as a tensor without a graph does."""
        return self


@contextmanager
def unchecked(model: SceneModel) -> Iterator[None]:
    """Let a model take frames without looking at their values, which a trace has none of."""
    vars(model)["check_frames"] = lambda frames: None
    try:
        yield
    finally:
        del vars(model)["check_frames"]


def explains_alone(model: SceneModel) -> bool:
    """Return whether a model explains frames by themselves, and links their slots afterwards."""
    return type(model).explain_frame is SceneModel.explain_frame


def explainer(model: SceneModel) -> Callable[..., tuple[Decomposition, State]]:
    """Return what explains a frame by plain operations: slots that are linked are linked afterwards."""
    if isinstance(model, Stages):
        return model.explain_opened
    return model.explain_alone if explains_alone(model) else model.explain_frame


@torch.no_grad()
def trace_frame(model: SceneModel, frame: Tensor, state: State, refinements: int | None) -> FrameTrace:
    """Trace how a model explains a frame.

    Args:
        model: In evaluation mode, on the CPU.
        frame: Shape (B, C, H, W).
        state: The state before it.
        refinements: R; the settings' value where None.
    """
    explain = explainer(model)
    noises = noise_rules(model, frame, state, refinements)
    numbers: Any = {name: Count(tensor) for name, tensor in state.items() if not tensor.ndim}
    tensors = {name: tensor.detach().contiguous() for name, tensor in state.items() if tensor.ndim}
    drawn = [rule.noise(int(state["seed"]), int(state["frame"])) for rule in noises]
    names, counts, kept = list[str](), dict[str, int](), list[str]()

    def run(image: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        given = dict(zip(tensors, others[: len(tensors)], strict=True))
        left = iter(others[len(tensors) :])
        with noise_from(lambda *_: next(left)):
            part, after = explain(image, numbers | given, refinements)
        results = {f"part.{name}": tensor for name, tensor in part.tensors().items()}
        counts.update({name: after[name] - numbers[name] for name in numbers})
        kept[:] = [name for name in given if after[name] is given[name]]
        results |= {f"next.{name}": after[name] for name in after if name not in numbers and name not in kept}
        names[:] = list(results)
        return tuple(results.values())

    inputs = {"frame": frame.detach().contiguous()}
    inputs |= {f"state.{name}": tensor for name, tensor in tensors.items()}
    inputs |= {f"noise.{number}": noise for number, noise in enumerate(drawn)}
    with unchecked(model), pooling_as_one():
        graph = plain_graph(run, list(inputs.values()))
    return FrameTrace(graph, inputs, tuple(names), tuple(kept), counts, noises)


def plain_graph(run: Callable[..., tuple[Tensor, ...]], inputs: Sequence[Tensor]) -> fx.GraphModule:
    """Return a function's graph for inputs of such shapes, gradients written out and nothing changed in place."""
    from torch._guards import TracingContext, tracing
    from torch._subclasses import FakeTensorMode
    from torch.func import functionalize
    from torch.fx.experimental.proxy_tensor import make_fx

    with tracing(
        TracingContext(FakeTensorMode(allow_fallback_kernels=True))
    ):  # else each node makes one: twice as slow
        first = make_fx(run)(*inputs)  # with the gradients that the function takes
        first.graph.eliminate_dead_code()
        for node in first.graph.nodes:
            if node.target is torch.ops.aten.view.default:  # what replaces an operation may lie otherwise in memory
                node.target = torch.ops.aten.reshape.default
        first.recompile()
        graph: fx.GraphModule = make_fx(functionalize(first), decomposition_table=table())(*inputs)
    graph.graph.eliminate_dead_code()
    return graph


def noise_rules(model: SceneModel, frame: Tensor, state: State, refinements: int | None) -> tuple[NoiseRule, ...]:
    """Return which noise a frame takes, found by looking at what is drawn for other seeds and frames."""
    seed, number = int(state["seed"]), int(state["frame"])

    def drawn(seed: int, number: int) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        calls: list[Any] = []

        def draw(shape: tuple[int, ...], *numbers: int) -> Tensor:
            calls.append((tuple(shape), numbers))
            return seeded_noise(shape, *numbers)

        with noise_from(draw):
            explainer(model)(frame, state | {"seed": torch.tensor(seed), "frame": torch.tensor(number)}, refinements)
        return calls

    here, elsewhere = drawn(seed, number), drawn(seed + _FAR, number)
    alike = model.frame_form(number, refinements) == model.frame_form(number + 1, refinements)
    later = drawn(seed, number + 1) if alike else here
    rules = []
    for (shape, values), (_, by_seed), (_, by_frame) in zip(here, elsewhere, later, strict=True):
        slopes = [((b - a) // _FAR, c - a) for a, b, c in zip(values, by_seed, by_frame, strict=True)]
        offsets = [value - a * seed - b * number for value, (a, b) in zip(values, slopes, strict=True)]
        rules.append(NoiseRule(shape, tuple((a, b, c) for (a, b), c in zip(slopes, offsets, strict=True))))
    return tuple(rules)
