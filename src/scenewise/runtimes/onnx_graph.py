"""A traced graph as an ONNX model, which inference runtimes read.

What depends on nothing but weights is computed once, here. Only operations that our models' graphs hold are known
(`onnx_operators`); a graph with any other cannot be written, and its model runs on PyTorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from scenewise.runtimes import onnx_layers  # noqa: F401  # enters its functions
from scenewise.runtimes.decompositions import UnknownOperationError
from scenewise.runtimes.onnx_operators import OPERATORS
from scenewise.runtimes.onnx_writer import OnnxGraph, Value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import fx


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
