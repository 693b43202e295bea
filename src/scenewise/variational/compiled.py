"""Decodes as compiled graphs, for quicker streaming of small models, where the overhead of each operation weighs most.

A decode differentiates its decoder, which `torch.compile` does not look into. Here it is traced first, so that the
gradient is written out and one graph of plain operations on fixed shapes remains. On a CPU `torch.compile` makes a few
dozen fused C++ functions of it: that needs a C++ compiler, and takes minutes the first time and seconds once they
are on disk. On a GPU the graph is captured as a CUDA graph, one launch instead of hundreds: an H200 streams six times
as many frames a second of one video.

What is computed is what `Engine.decode` computes, in another order of summation. Training is as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
from torch import Tensor

from scenewise.errors import InputError
from scenewise.variational.engine import Decode, Engine, FrameContext, Pair, Terms
from scenewise.variational.gaussian import Gaussian

if TYPE_CHECKING:
    from torch import fx

Graph = Callable[..., Sequence[Tensor]]
Maker = Callable[["fx.GraphModule", Sequence[Tensor]], Graph]
"""Makes a quicker graph of a traced one, given inputs to try it on."""

_MIXTURE = ("log_masks", "masks", "log_likelihood")
"""What a mixture works out for its decomposition; the graph gives it."""


class Iterative(Protocol):
    """A model, as far as compiling its decodes goes."""

    registered_name: ClassVar[str]
    engine: Engine | None


def compile_decodes(model: Iterative, make: Maker | None = None) -> None:
    """Let a model run its decodes as compiled graphs wherever it does not train; they are made when first needed.

    Args:
        model: A model of iterative inference; weights may still be loaded and moved afterwards.
        make: What makes a traced graph quicker; `quickest` where None.

    Raises:
        InputError: The model has none.
    """
    if model.engine is None or not model.engine.traceable:
        remedy = "Compile models of iterative inference, or run this one as it is."
        raise InputError(
            "compile", f"{model.registered_name} has no decodes of iterative inference that can be compiled.", remedy
        )
    model.engine = CompiledEngine.of(model.engine, make or quickest)


def plain_engine(engine: Engine | None) -> Engine | None:
    """Return the engine that a compiled one was made of; any other as it is."""
    return engine.plain() if isinstance(engine, CompiledEngine) else engine


@dataclass(frozen=True)
class CompiledEngine(Engine):
    """An engine that runs decodes as compiled graphs where no training graph is wanted.

    Attributes:
        make: What makes a traced graph quicker.
        graphs: What was made so far, by whether to refine, weights, and shapes, number types and device of the inputs.
    """

    make: Maker = field(default_factory=lambda: quickest)
    graphs: dict[Any, Graph] = field(default_factory=dict, init=False, compare=False, repr=False)

    @classmethod
    def of(cls, engine: Engine, make: Maker) -> CompiledEngine:
        """Return an engine's compiled twin."""
        return cls(**{each.name: getattr(engine, each.name) for each in fields(Engine)}, make=make)

    def plain(self) -> Engine:
        """Return the engine it is the twin of."""
        return Engine(**{each.name: getattr(self, each.name) for each in fields(Engine)})

    def decode(
        self, context: FrameContext, posterior: Tensor, refinement: Pair, noise: Tensor, refine: bool
    ) -> tuple[Decode, Tensor, Pair]:
        """Run one decode; see `Engine.decode`.

        Raises:
            InputError: The decode cannot be compiled, or it is called in `torch.inference_mode`.
        """
        if torch.is_grad_enabled() or torch.is_inference_mode_enabled() or self.decoder.training:
            return super().decode(context, posterior, refinement, noise, refine)
        tensors = (context.frame, *context.time, *context.prior, posterior, *refinement, noise, *context.extra)
        inputs = [tensor.detach().contiguous() for tensor in tensors]
        appearance, logits, latent, *others = self._graph(context, inputs, refine)(*inputs)
        mixture = self.explain(context.frame, (appearance, logits), context.composed_weight)
        vars(mixture).update(zip(_MIXTURE, others, strict=False))  # where a mixture keeps what it works out
        terms = Terms(lambda: self._terms(mixture, self.posterior(posterior), context.prior, latent))
        decode = Decode(latent, (appearance, logits), mixture, terms)
        if not refine:
            return decode, posterior, refinement
        after, hidden, memory = others[len(_MIXTURE) :]
        return decode, after, (hidden, memory)

    def _graph(self, context: FrameContext, inputs: Sequence[Tensor], refine: bool) -> Graph:
        signature = tuple((tensor.shape, tensor.dtype, tensor.device) for tensor in inputs)
        key = (refine, context.weights, context.composed_weight, signature)
        if key not in self.graphs:
            self.graphs[key] = self.make(self._traced(context, inputs, refine), inputs)
        return self.graphs[key]

    def _traced(self, context: FrameContext, inputs: Sequence[Tensor], refine: bool) -> fx.GraphModule:
        """Return a decode as one graph of plain operations; parameters stay the modules' own."""
        from torch.fx.experimental.proxy_tensor import make_fx

        def run(*tensors: Tensor) -> tuple[Tensor, ...]:
            """Decode, and refine where wanted, from tensors to tensors, as tracing takes it."""
            frame, h, c, mean, log_variance, lam, h_r, c_r, eps = tensors[:9]
            prior = Gaussian(mean, log_variance)
            local = FrameContext(frame, (h, c), prior, context.weights, context.composed_weight, tensors[9:])
            decode, after, state = Engine.decode(self, local, lam, (h_r, c_r), eps, refine)
            mixture = decode.mixture
            more = (getattr(mixture, name) for name in _MIXTURE)
            outputs = (mixture.appearance, mixture.logits, decode.latent.detach(), *more)
            return (*outputs, after, *state) if refine else outputs

        graph = make_fx(run)(*inputs)
        graph.graph.eliminate_dead_code()
        graph.recompile()
        return graph


def quickest(graph: fx.GraphModule, inputs: Sequence[Tensor]) -> Graph:
    """Return a traced graph as it runs quickest on its device."""
    return GraphReplay(graph, inputs) if inputs[0].is_cuda else fused(graph, inputs)


def fused(graph: fx.GraphModule, inputs: Sequence[Tensor]) -> Graph:
    """Return a graph compiled by `torch.compile`.

    Raises:
        InputError: It fails, as where there is no C++ compiler.
    """
    run: Graph = torch.compile(graph, fullgraph=True, dynamic=False)
    try:
        run(*inputs)
    except Exception as error:  # whatever goes wrong inside a compiler
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        remedy = "Install a C++ compiler such as g++, or do without: results are the same."
        raise InputError("compile", f"torch.compile failed: {said}", remedy) from error
    return run


class GraphReplay:
    """A graph captured on a GPU, to be launched as a whole.

    Args:
        graph: What to capture.
        inputs: Of the shapes it will be given.
    """

    def __init__(self, graph: Graph, inputs: Sequence[Tensor]) -> None:
        self._inputs = [tensor.clone() for tensor in inputs]
        side = torch.cuda.Stream(inputs[0].device)
        side.wait_stream(torch.cuda.current_stream(inputs[0].device))
        with torch.cuda.stream(side):  # libraries set themselves up in the first runs, which cannot be captured
            for _ in range(3):
                graph(*self._inputs)
        torch.cuda.current_stream(inputs[0].device).wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):  # other threads may move what is theirs
            self._outputs = graph(*self._inputs)

    def __call__(self, *inputs: Tensor) -> Sequence[Tensor]:
        """Run the graph; outputs are copies, since the next run writes over its own."""
        for buffer, tensor in zip(self._inputs, inputs, strict=True):
            buffer.copy_(tensor)
        self._graph.replay()
        return [tensor.clone() for tensor in self._outputs]
