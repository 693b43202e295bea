"""Frames explained by another runtime than PyTorch: traced once, checked against PyTorch, then run.

A graph is made for each form of frame (`SceneModel.frame_form`) that comes more than once: a first frame that is
refined more often than all later ones is explained by PyTorch. At its first frame a graph is compared with PyTorch; one
that does not give the same is not used. Whatever cannot be run so runs on PyTorch, and why is told in one line.
"""

from __future__ import annotations

import json
import math
import warnings
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from scenewise.decomposition import Decomposition
from scenewise.documents import parse_json
from scenewise.models.contract import SceneModel
from scenewise.models.stages import Stages
from scenewise.runtimes.decompositions import UnknownOperationError
from scenewise.runtimes.onnx_graph import onnx_model
from scenewise.runtimes.store import GraphStore, key_of
from scenewise.runtimes.tracing import NoiseRule, explainer, explains_alone, trace_frame
from scenewise.variational.linking import link

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scenewise.models.contract import State
    from scenewise.runtimes.exported import ExportedGraphs
    from scenewise.runtimes.sessions import Runtime, Session

EQUAL_LABELS = 0.9999
"""Least share of pixels of a frame that must belong to the same slot, rounded to whole pixels in the graph's favour."""

TOLERANCE = 1e-3
"""Largest difference of any number, as a share of 1 plus the largest number of its tensor."""

CHECKS = 2
"""Frames at which a graph is compared with PyTorch, the first that it is given: what follows the number of a frame,
such as its noise, shows in the second."""

_DEPENDS = "what it computes depends on what a frame shows, or on its number"

MOST_GRAPHS = 8
"""Graphs of one model in memory: more forms, batch sizes or numbers of slots than that run on PyTorch."""


OFTEN = 1000
"""Frames after which a smaller graph is made where a larger one does: they gain as long as it takes to make it."""


def graph_facts(model: Any) -> dict[str, Any]:
    """Return what `traced` wrote into an ONNX model besides the graph: names, counts, and rules of its noise."""
    text = {each.key: each.value for each in model.metadata_props}["scenewise"]
    facts: dict[str, Any] = parse_json(text, "graph", "facts about a traced frame", "Trace it again.")
    return facts


@dataclass(frozen=True)
class FrameGraph:
    """A model's work on frames of one form, in a runtime.

    Attributes:
        inputs: Names of what the session is given; see `tracing.FrameTrace`.
        outputs: Names of what it gives.
        counts: Whole numbers of the state that grow, by how much.
        noises: Of each noise, which it is.
        session: Runs it.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    counts: Mapping[str, int]
    noises: tuple[NoiseRule, ...]
    session: Session

    @classmethod
    def of(cls, content: bytes, runtime: Runtime) -> FrameGraph:
        """Start a session of an ONNX model that `traced` wrote."""
        import onnx

        facts = graph_facts(onnx.load_from_string(content))
        noises = tuple(
            NoiseRule(tuple(rule["shape"]), tuple(tuple(number) for number in rule["numbers"]))  # type: ignore[misc]
            for rule in facts["noises"]
        )
        return cls(tuple(facts["inputs"]), tuple(facts["outputs"]), facts["counts"], noises, runtime.start(content))

    def run(self, frame: Tensor, state: State) -> tuple[Decomposition, State]:
        """Explain a frame (B, C, H, W)."""
        seed, number = int(state["seed"]), int(state["frame"])
        given = {"frame": frame} | {f"state.{name}": tensor for name, tensor in state.items()}
        given |= {f"noise.{i}": rule.noise(seed, number) for i, rule in enumerate(self.noises)}
        arrays = self.session([given[name].contiguous().numpy() for name in self.inputs])
        results = {name: torch.from_numpy(array) for name, array in zip(self.outputs, arrays, strict=True)}
        parts = {name.removeprefix("part."): each for name, each in results.items() if name.startswith("part.")}
        after = {name.removeprefix("next."): each for name, each in results.items() if name.startswith("next.")}
        after |= {name: state[name] + step for name, step in self.counts.items() if step}
        return Decomposition(**parts), {**state, **after}


def traced(model: SceneModel, frame: Tensor, state: State, refinements: int | None, facts: dict[str, Any]) -> bytes:
    """Return a model's work on frames of one form as an ONNX model.

    Args:
        model: In evaluation mode, on the CPU.
        frame: A frame of the form, (B, C, H, W).
        state: The state before it.
        refinements: R; the settings' value where None.
        facts: More facts to keep in its metadata.

    Raises:
        UnknownOperationError: There is an operation that cannot be written.
        RuntimeError: Operations depend on what the frame shows.
    """
    trace = trace_frame(model, frame, state, refinements)
    used = {node.name for node in trace.graph.graph.nodes if node.op == "placeholder" and node.users}
    placeholders = [node.name for node in trace.graph.graph.nodes if node.op == "placeholder"]
    inputs = [name for name, node in zip(trace.inputs, placeholders, strict=True) if node in used]
    told = {
        "inputs": inputs, "outputs": trace.outputs, "counts": trace.counts,
        "noises": [asdict(rule) for rule in trace.noises],
    }  # fmt: skip
    metadata = {"scenewise": json.dumps(told)} | {name: json.dumps(value) for name, value in facts.items()}
    content: bytes = onnx_model(trace.graph, trace.inputs, trace.outputs, metadata, inputs).SerializeToString()
    return content


class GraphRunner:
    """Explains a model's frames in a runtime wherever that can be done.

    Args:
        model: In evaluation mode.
        runtime: What runs the graphs.
        store: Keeps them; the user's cache where None.
        tell: Is told in one line why PyTorch is used; a warning where None.
        exported: The graphs of an export, which are used where they fit; none where None.

    Attributes:
        refusal: Why PyTorch is used for frames of a form that comes more than once; None while nothing spoke against.
        graphs: Those in use, by the form of frames and state.
        demand: How often a form came that has no graph of its own.
    """

    def __init__(
        self,
        model: SceneModel,
        runtime: Runtime,
        store: GraphStore | None = None,
        tell: Callable[[str], None] | None = None,
        exported: ExportedGraphs | None = None,
    ) -> None:
        runtime.check()
        self.runtime = runtime
        self.refusal: str | None = None
        self._model, self._engine, self._store, self._exported = model, model.engine, store or GraphStore(), exported
        self._tell = tell or (lambda line: warnings.warn(line, stacklevel=2))
        self.graphs: dict[Any, FrameGraph] = {}
        self._checks: dict[Any, int] = {}
        self.demand = Counter[Any]()
        if type(model).step is not SceneModel.step:
            self._refuse(f"it explains clips of {model.window} frames as wholes")

    def explain_frame(self, frame: Tensor, state: State, refinements: int | None = None) -> tuple[Decomposition, State]:
        """Explain one more frame; see `SceneModel.explain_frame`."""
        model = self._model
        opened = model.open_frame(frame, state) if isinstance(model, Stages) else state
        key, given = self._choice(frame, opened, refinements)
        if key is not None and self._is_ready(key, frame, given, refinements):
            part, after = self.graphs[key].run(frame, given)
        else:
            part, after = explainer(model)(frame, opened, refinements)
        if isinstance(model, Stages):
            return model.close_frame(frame, part, opened, after)
        return link(part, after) if explains_alone(model) else (part, after)

    def _choice(self, frame: Tensor, opened: State, refinements: int | None) -> tuple[Any, State]:
        """Return which graph explains a frame, None for none, and what it is given.

        It is that of the smallest shape that does. One that is not there is made, unless there is one of a larger
        shape, which is as good until the smaller one has been wanted often.
        """
        model = self._model
        roundings = model.roundings(opened) if isinstance(model, Stages) else iter([opened])
        first = next(roundings, opened)
        key = self._key(frame, first, refinements)
        if key is None or key in self.graphs:
            return key, first
        self.demand[key] += 1
        for given in roundings if self.demand[key] < OFTEN else ():
            larger = self._key(frame, given, refinements)
            if larger in self.graphs:
                return larger, given
        return key, first

    def _is_ready(self, key: Any, frame: Tensor, state: State, refinements: int | None) -> bool:
        """Make the graph for a frame where there is none, and compare it as long as that is due."""
        problem, left = None, self._checks.get(key, CHECKS if self.runtime.exact else 0)
        try:
            if key not in self.graphs:
                self.graphs[key] = self._made(key, frame, _needed(self._model, state), refinements)
            if left:
                problem = difference(self._model, self.graphs[key], frame, _needed(self._model, state), refinements)
        except (UnknownOperationError, NotImplementedError) as error:  # the second is PyTorch's own
            problem = f"it holds an operation that is not written: {error}"
        except Exception as error:  # whatever goes wrong inside a tracer or a runtime: PyTorch does the work
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            problem = _DEPENDS if "_local_scalar_dense" in str(error) else said  # a number of a tensor is looked at
        self._checks[key] = max(0, left - 1)
        if problem is not None:
            self._refuse(problem)
        return problem is None

    def _key(self, frame: Tensor, state: State, refinements: int | None) -> Any:
        """Return what a graph is made for, None where PyTorch explains the frame."""
        model, number = self._model, int(state["frame"])
        watched = model.engine is not self._engine  # somebody looks at the decodes
        if self.refusal or watched or model.training or torch.is_grad_enabled():
            return None
        if frame.device.type != "cpu":
            self._refuse(f"the model is on {frame.device.type}")
            return None
        form = model.frame_form(number, refinements)
        if form is None:
            self._refuse(_DEPENDS)
            return None
        if form != model.frame_form(number + 1, refinements):
            return None
        shapes = [(name, tuple(tensor.shape)) for name, tensor in _needed(model, state).items() if tensor.ndim]
        numbers = [(name, int(tensor)) for name, tensor in state.items() if not tensor.ndim]
        fixed = tuple(pair for pair in numbers if pair[0] not in ("seed", "frame"))
        key = (form, refinements, tuple(frame.shape), tuple(shapes), fixed)
        return None if key not in self.graphs and len(self.graphs) >= MOST_GRAPHS else key

    def _made(self, key: Any, frame: Tensor, state: State, refinements: int | None) -> FrameGraph:
        """Return the graph for a frame: of an export, from the store, or traced."""
        name = key_of(self._model, key)
        content = None if self._exported is None else self._exported.get(frame, state, refinements)
        content = content or self._store.get(name)
        with suppress(Exception):  # whole, and yet nothing that this runtime takes: made anew
            if content is not None:
                return FrameGraph.of(content, self.runtime)
        content = traced(self._model, frame, state, refinements, {})
        self._store.put(name, content)
        return FrameGraph.of(content, self.runtime)

    def _refuse(self, reason: str) -> None:
        self.refusal = reason
        self._tell(f"note: {self._model.registered_name} runs on torch, not on {self.runtime.name}: {reason}")


def _needed(model: SceneModel, state: State) -> State:
    """Return what of a state the graph sees: of models that explain frames alone, nothing of earlier ones."""
    return {name: tensor for name, tensor in state.items() if not tensor.ndim} if explains_alone(model) else state


def difference(
    model: SceneModel, graph: FrameGraph, frame: Tensor, state: State, refinements: int | None
) -> str | None:
    """Return by what a graph differs from PyTorch on a frame, None where it is equal.

    Equal: the same labels on 99.99 % of pixels, and numbers within `TOLERANCE`.
    """
    expected, expected_after = explainer(model)(frame, state, refinements)
    part, after = graph.run(frame, state)
    other = (part.labels != expected.labels).sum().item()
    if other > math.ceil((1 - EQUAL_LABELS) * part.labels.numel()):
        return f"labels differ on {other} of {part.labels.numel()} pixels"
    pairs = {name: (part.tensors()[name], tensor) for name, tensor in expected.tensors().items()}
    pairs |= {name: (after[name], tensor) for name, tensor in expected_after.items()}
    for name, (ours, theirs) in pairs.items():
        apart = (ours.double() - theirs.double()).abs().max().item()
        if not apart <= TOLERANCE * (1 + theirs.double().abs().max().item()):
            return f"{name} differs by {apart:.2g}"
    return None
