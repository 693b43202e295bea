"""An ONNX graph while it is written: nodes one after the other, each with what it gives for an example."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OPSET = 18
"""Version of the ONNX operators that are used."""

KINDS = {
    torch.float32: 1, torch.uint8: 2, torch.int32: 6, torch.int64: 7, torch.bool: 9, torch.float64: 11,
}  # fmt: skip
"""Numbers that ONNX has for types of numbers."""


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

    def model(
        self, inputs: Mapping[str, Tensor], outputs: Mapping[str, tuple[str, Tensor]], facts: dict[str, str]
    ) -> Any:
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
        described = tuple(
            [helper.make_tensor_value_info(name, KINDS[tensor.dtype], list(tensor.shape)) for name, tensor in each]
            for each in (inputs.items(), [(name, tensor) for name, (_, tensor) in outputs.items()])
        )
        weights = [
            numpy_helper.from_array(tensor.numpy(), name) for name, tensor in self._weights.values() if name in used
        ]
        graph = helper.make_graph(nodes, "frame", described[0], described[1], initializer=weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
        helper.set_model_props(model, facts)
        return model
