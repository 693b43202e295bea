"""A traced graph as an ONNX model, which inference runtimes read.

What depends on nothing but weights is computed once, here. Only operations that our models' graphs hold are known
(`onnx_operators`); a graph with any other cannot be written, and its model runs on PyTorch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from scenewise.runtimes.onnx_operators import OPERATORS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import fx

OPSET = 18
"""Version of the ONNX operators that are used."""

_KINDS = {
    torch.float32: 1, torch.uint8: 2, torch.int32: 6, torch.int64: 7, torch.bool: 9, torch.float64: 11,
}  # fmt: skip


class UnknownOperationError(Exception):
    """A graph holds an operation that is not written as ONNX; the message names it."""


@dataclass(frozen=True)
class Value:
    """Something that a node of the graph gives.

    Attributes:
        tensor: An example, or what it is where it depends on weights alone.
        name: In the ONNX graph; None where it depends on weights alone.
    """

    tensor: Tensor
    name: str | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return tuple(self.tensor.shape)


class OnnxGraph:
    """Nodes and weights of an ONNX graph, written one after the other."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._weights: dict[tuple[Any, ...], tuple[str, Tensor]] = {}
        self._same: dict[tuple[Any, ...], tuple[str, ...]] = {}
        self._count = 0

    def name(self, value: Value | Tensor | float | Sequence[int]) -> str:
        """Return the name of a value, a weight, a number (float32) or whole numbers (int64)."""
        if isinstance(value, Value):
            if value.name is not None:
                return value.name
            value = value.tensor
        if not isinstance(value, Tensor):
            whole = not isinstance(value, int | float)
            value = torch.tensor(value, dtype=torch.int64 if whole else torch.float32)
        value = value.detach().contiguous()
        key = (value.dtype, tuple(value.shape), value.numpy().tobytes())
        if key not in self._weights:
            self._weights[key] = (f"w{len(self._weights)}", value)
        return self._weights[key][0]

    def add(self, kind: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        """Add a node; returns the name of its output, or a tuple of names where there are several.

        Args:
            kind: The ONNX operator.
            *inputs: Values, weights or numbers; None for one that is left out; a name for an output of another node.
            outputs: How many it has.
            **attributes: Of the operator.
        """
        from onnx import helper

        names = ["" if each is None else each if isinstance(each, str) else self.name(each) for each in inputs]
        key = (kind, *names, outputs, json.dumps(attributes, sort_keys=True))
        if key not in self._same:
            made = tuple(f"v{self._count + i}" for i in range(outputs))
            self._count += outputs
            self._nodes.append(helper.make_node(kind, names, list(made), **attributes))
            self._same[key] = made
        return self._same[key][0] if outputs == 1 else self._same[key]

    def model(self, inputs: Mapping[str, Tensor], outputs: Mapping[str, tuple[str, Tensor]], facts: dict[str, str]) -> Any:
        """Return the ONNX model.

        Args:
            inputs: Examples, by name.
            outputs: Names inside of the graph and examples, by the names they get.
            facts: Kept beside the graph.
        """
        from onnx import helper, numpy_helper

        nodes = [helper.make_node("Identity", [inner], [name]) for name, (inner, _) in outputs.items()]
        used = {inner for inner, _ in outputs.values()}
        for node in reversed(self._nodes):  # nobody asks for the moments of most norms
            if used & set(node.output):
                nodes.insert(0, node)
                used |= set(node.input)
        described = (
            [helper.make_tensor_value_info(name, _KINDS[tensor.dtype], list(tensor.shape)) for name, tensor in each]
            for each in (inputs.items(), [(name, tensor) for name, (_, tensor) in outputs.items()])
        )
        weights = [numpy_helper.from_array(tensor.numpy(), name) for name, tensor in self._weights.values() if name in used]
        graph = helper.make_graph(nodes, "frame", *described, initializer=weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
        helper.set_model_props(model, facts)
        return model


@torch.no_grad()
def onnx_model(
    graph: fx.GraphModule,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    facts: dict[str, str],
    wanted: Sequence[str] | None = None,
) -> Any:
    """Return a traced graph as an ONNX model.

    Args:
        graph: Of plain operations.
        inputs: Examples of what it is given, by the names that inputs get.
        outputs: Names of what it gives.
        facts: Kept in the model's metadata.
        wanted: The inputs that the model has; all where None.

    Raises:
        UnknownOperationError: There is an operation that is not known.
    """
    writer, env, given = OnnxGraph(), dict[Any, Any](), iter(inputs.items())

    def looked_up(argument: Any) -> Any:
        return torch.fx.node.map_arg(argument, lambda node: env[node])

    for node in graph.graph.nodes:
        if node.op == "placeholder":
            name, tensor = next(given)
            env[node] = Value(tensor, name)
        elif node.op == "get_attr":
            env[node] = Value(_attribute(graph, node.target).detach())
        elif node.op == "call_function":
            args, kwargs = looked_up(node.args), looked_up(node.kwargs)
            env[node] = _called(writer, node.target, args, kwargs)
        else:
            results = looked_up(node.args[0])
    named = {name: (writer.name(value), value.tensor) for name, value in zip(outputs, results, strict=True)}
    return writer.model({name: inputs[name] for name in (inputs if wanted is None else wanted)}, named, facts)


def _called(writer: OnnxGraph, operation: Any, args: Any, kwargs: Any) -> Any:
    """Compute an example of an operation's result, and write the operation unless it depends on weights alone."""

    def example(argument: Any) -> Any:
        return _mapped(argument, lambda value: value.tensor)

    result = operation(*example(args), **example(kwargs))
    if getattr(operation, "__name__", "") == "getitem":
        return args[0][args[1]]
    values = list[Value]()
    _mapped((args, kwargs), values.append)
    if all(value.name is None for value in values):
        return _mapped_tensors(result, Value)
    kind = operation.overloadpacket.__name__
    if kind not in OPERATORS:
        raise UnknownOperationError(str(operation))
    written = OPERATORS[kind](writer, result, *args, **kwargs)
    if isinstance(result, Tensor):
        return _named(result, written)
    return tuple(_named(tensor, each) for tensor, each in zip(result, written, strict=True))


def _named(tensor: Tensor, written: Value | str | None) -> Value | None:
    """Return a result, which lies in memory as PyTorch has it, under the name it has in the ONNX graph."""
    if written is None:
        return None
    return Value(tensor, written.name if isinstance(written, Value) else written)


def _mapped(argument: Any, change: Any) -> Any:
    """Apply a function to all values in nested arguments."""
    if isinstance(argument, Value):
        return change(argument)
    if isinstance(argument, list | tuple):
        return type(argument)(_mapped(each, change) for each in argument)
    if isinstance(argument, dict):
        return {name: _mapped(each, change) for name, each in argument.items()}
    return argument


def _mapped_tensors(result: Any, change: Any) -> Any:
    return change(result) if isinstance(result, Tensor) else tuple(_mapped_tensors(each, change) for each in result)


def _attribute(module: Any, path: str) -> Tensor:
    for name in path.split("."):
        module = getattr(module, name)
    tensor: Tensor = module
    return tensor
