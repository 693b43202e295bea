"""Forward and backward pass of a training step, one operation after the other or replayed from a captured CUDA graph.

A step of a small model is thousands of operations of a few microseconds each, and a host takes longer to launch one
than a GPU to compute it: an H200 is busy for 15 of the 190 ms that a step of PROVIDE takes (16 clips of 3 frames).
Captured as a graph, all are launched at once.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from scenewise.observation import Observation

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from lightning.fabric import Fabric

    from scenewise.models.contract import Output, SceneModel
    from scenewise.training.clips import ClipBatch
    from scenewise.training.recipe import TrainingPart

T = TypeVar("T")
Scores = tuple[Tensor, dict[str, Tensor]]
"""Loss, of no dimension, and terms, each of shape (n,), without a graph."""

INPUTS = ("frames", "noise", "viewpoints", "background")
SETTLED = 3
"""Steps of one form, one after the other, after which the form is worth a graph."""


class Explain(nn.Module):
    """A model's forward pass and loss as one module, so that processes agree on its gradients.

    Attributes:
        output: What the last forward pass gave; None where it was a captured one.
    """

    output: Output | None = None

    def __init__(self, model: SceneModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, clip: ClipBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the mean loss of a part of a batch, and its terms, each of shape (n,)."""
        noise = clip["noise"] if clip["noise"].numel() else None
        viewpoints = clip["viewpoints"] if clip["viewpoints"].numel() else None
        background = clip["background"].float() / 255 if clip["background"].numel() else None
        observation = Observation(clip["frames"].float() / 255, viewpoints=viewpoints, background=background)
        output: Output = self.model(observation, seed=clip["seed"], noise=noise)
        self.output = output
        return self.model.loss(output.terms).mean(), dict(output.terms)


def passes(
    fabric: Fabric, wrapped: Any, training: TrainingPart, say: Callable[[str], None]
) -> Callable[[ClipBatch, int], Scores]:
    """Return what adds the gradients of one part of a batch: from captured graphs where that was asked for and can be.

    Args:
        fabric: Wraps the model.
        wrapped: The model in `Explain`, as `fabric` set it up.
        training: Of the recipe.
        say: Takes one line about what cannot be captured.
    """
    ordinary = Pass(fabric, wrapped, training.accumulation)
    alone = fabric.world_size == training.accumulation == 1
    return CapturedPass(ordinary, say) if training.captured and alone and fabric.device.type == "cuda" else ordinary


class Pass:
    """One operation after the other, on any device and in any number of processes.

    Args:
        fabric: Wraps the model.
        wrapped: The model in `Explain`, as `fabric` set it up.
        parts: Parts of a batch; gradients are those of their mean, and processes meet in the last.
    """

    def __init__(self, fabric: Fabric, wrapped: Any, parts: int) -> None:
        self.fabric, self.wrapped, self.parts = fabric, wrapped, parts

    def __call__(self, clip: ClipBatch, part: int) -> Scores:
        """Add the gradients of one part of a batch, and return its scores."""
        with self.fabric.no_backward_sync(self.wrapped, enabled=part + 1 < self.parts):
            loss, terms = self.wrapped(clip)
            self.fabric.backward(loss / self.parts)
        return loss.detach(), {name: term.detach() for name, term in terms.items()}


class Graph(Protocol):
    """Repeats what a function did to tensors, without the function."""

    def capture(self, run: Callable[[], T]) -> T:
        """Take down what a function does; what it returns holds tensors that `replay` writes anew."""

    def replay(self) -> None:
        """Do it again, with what its tensors hold by now."""


class CudaGraph:
    """A `torch.cuda.CUDAGraph`; all graphs of a process share one memory pool, since one runs after the other."""

    pool: Any = None

    def __init__(self) -> None:
        self.graph = torch.cuda.CUDAGraph()

    def capture(self, run: Callable[[], T]) -> T:
        """See `Graph.capture`. Other threads, such as the one that pins clips, may use the GPU meanwhile."""
        CudaGraph.pool = CudaGraph.pool or torch.cuda.graph_pool_handle()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            run()  # libraries set themselves up, for this stream too
        torch.cuda.current_stream().wait_stream(stream)
        with torch.cuda.graph(self.graph, pool=CudaGraph.pool, stream=stream, capture_error_mode="thread_local"):
            return run()

    def replay(self) -> None:
        """See `Graph.replay`."""
        self.graph.replay()


@dataclass(frozen=True)
class _Captured:
    """A captured pass: its graph, and the tensors that it reads and writes."""

    graph: Graph
    inputs: Mapping[str, Tensor]
    scores: Scores
    gradients: Sequence[Tensor | None]


class CapturedPass:
    """Passes of a form that returns as captured graphs, all others one operation after the other.

    Args:
        ordinary: What runs them one operation after the other; one process, batches of one part.
        say: Takes one line about what cannot be captured.
        make_graph: Makes a graph.
    """

    def __init__(self, ordinary: Pass, say: Callable[[str], None], make_graph: Callable[[], Graph] = CudaGraph) -> None:
        self.ordinary, self.say, self.make_graph = ordinary, say, make_graph
        self.explain: Explain = ordinary.wrapped.module
        self.parameters = [p for p in self.explain.parameters() if p.requires_grad]
        self.captured: dict[Hashable, _Captured] = {}
        self.form: Hashable = None
        self.times = 0
        self.able = True

    def __call__(self, clip: ClipBatch, part: int) -> Scores:
        """Let the parameters have the gradients of a batch, and return its scores."""
        form = self._form(clip)
        self.times = self.times + 1 if form == self.form else 1
        self.form = form
        self.explain.model.write_live(clip["frames"].device)
        if form is None or not self.able or (form not in self.captured and self.times <= SETTLED):
            return self.ordinary(clip, part)
        if form not in self.captured:
            try:
                self.captured[form] = self._capture(clip)
            except RuntimeError as error:
                self.able, reason = False, str(error).strip().splitlines()[0][:200]
                self.say(f"steps run one operation after the other; no CUDA graph could be captured: {reason}")
                self._forget_gradients()
                return self.ordinary(clip, part)
        captured = self.captured[form]
        for name, tensor in captured.inputs.items():
            tensor.copy_(clip[name])  # type: ignore[literal-required]
        captured.graph.replay()
        for parameter, gradient in zip(self.parameters, captured.gradients, strict=True):
            parameter.grad = gradient
        return captured.scores

    def _form(self, clip: ClipBatch) -> Hashable:
        """Return the form of a pass; None where it may not be replayed: also where a seed draws its noise."""
        form = self.explain.model.step_form()
        if form is None or not clip["noise"].numel():
            return None
        return form, *(tuple(clip[name].shape) for name in INPUTS)  # type: ignore[literal-required]

    def _capture(self, clip: ClipBatch) -> _Captured:
        inputs = {name: clip[name].clone() for name in INPUTS}  # type: ignore[literal-required]

        def run() -> Scores:
            """Explain the clip and leave the gradients of its loss where the optimiser looks for them."""
            self._forget_gradients()  # so that they are written, not added to
            loss, terms = self.explain({**clip, **inputs})
            loss.backward()
            self.explain.output = None
            return loss.detach(), {name: term.detach() for name, term in terms.items()}

        self.explain.output = None  # with the graph of an earlier pass on another stream, whose nodes would be shared
        gc.collect()
        buffers = [buffer.clone() for buffer in self.explain.buffers()]
        graph = self.make_graph()
        scores = graph.capture(run)
        gradients = [parameter.grad for parameter in self.parameters]
        with torch.no_grad():
            for buffer, before in zip(self.explain.buffers(), buffers, strict=True):
                buffer.copy_(before)
        return _Captured(graph, inputs, scores, gradients)

    def _forget_gradients(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None
