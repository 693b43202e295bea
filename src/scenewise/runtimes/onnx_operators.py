"""How PyTorch's operations are written as ONNX: one function for each, by name.

A function is given the graph being written, an example of the operation's result, and the operation's arguments, in
which tensors are `Value`s. It returns the name of the output, or the value itself where nothing is to be done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from scenewise.runtimes.decompositions import UnknownOperationError
from scenewise.runtimes.onnx_writer import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from scenewise.runtimes.onnx_writer import OnnxGraph, Value

OPERATORS: dict[str, Callable[..., Any]] = {}


def operator(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that enters a function for operations of some names."""

    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        OPERATORS.update(dict.fromkeys(names, function))
        return function

    return enter


def _plain(kind: str) -> Callable[..., Any]:
    """Return what writes an operation that ONNX has as it is."""

    def write(graph: OnnxGraph, result: Tensor, *inputs: Value) -> Any:
        return graph.add(kind, *inputs)

    return write


for _name, _kind in {
    "neg": "Neg", "exp": "Exp", "log": "Log", "abs": "Abs", "sqrt": "Sqrt", "sigmoid": "Sigmoid", "tanh": "Tanh",
    "relu": "Relu", "maximum": "Max", "minimum": "Min", "mm": "MatMul", "bmm": "MatMul", "matmul": "MatMul",
    "cos": "Cos", "sin": "Sin", "reciprocal": "Reciprocal", "floor": "Floor", "round": "Round", "sign": "Sign",
    "sgn": "Sign", "bitwise_not": "Not", "logical_not": "Not", "bitwise_and": "And", "logical_and": "And",
    "bitwise_or": "Or", "logical_or": "Or", "isnan": "IsNaN", "softplus": "Softplus", "erf": "Erf",
}.items():  # fmt: skip
    OPERATORS[_name] = _plain(_kind)


@operator("alias", "detach", "clone", "contiguous", "lift_fresh_copy")
def same(graph: OnnxGraph, result: Tensor, x: Value, **_: Any) -> Any:
    """Write nothing: memory has no layout here."""
    return x


# -- element by element ---------------------------------------------------------------------------------------------


def _number(like: Tensor, value: Any) -> Any:
    """Return a number as a tensor of the kind that a result has, so that both sides of an operation agree."""
    return torch.tensor(value, dtype=like.dtype) if isinstance(value, bool | int | float) else value


def _arithmetic(kind: str) -> Callable[..., Any]:
    def write(graph: OnnxGraph, result: Tensor, a: Any, b: Any, alpha: float = 1, **_: Any) -> Any:
        a, b = (_typed(graph, result, each) for each in (a, b))
        if alpha != 1:
            b = graph.add("Mul", b, _number(result, alpha))
        return graph.add(kind, a, b)

    return write


def _typed(graph: OnnxGraph, result: Tensor, value: Any) -> Any:
    """Return an operand in the number type of the result."""
    if isinstance(value, bool | int | float):
        return _number(result, value)
    if value.tensor.dtype == result.dtype:
        return value
    return graph.add("Cast", value, to=KINDS[result.dtype])


for _name, _kind in {"add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div"}.items():
    OPERATORS[_name] = _arithmetic(_kind)


@operator("rsqrt")
def rsqrt(graph: OnnxGraph, result: Tensor, x: Value) -> Any:
    """1 / sqrt(x)."""
    return graph.add("Reciprocal", graph.add("Sqrt", x))


@operator("expm1")
def expm1(graph: OnnxGraph, result: Tensor, x: Value) -> Any:
    """exp(x) - 1."""
    return graph.add("Sub", graph.add("Exp", x), 1.0)


@operator("elu")
def elu(graph: OnnxGraph, result: Tensor, x: Value, alpha: float = 1, scale: float = 1, inner: float = 1) -> Any:
    """ELU, and SELU, which has a scale."""
    if inner != 1:
        raise UnknownOperationError("elu with a scale of its input")
    name = graph.add("Elu", x, alpha=float(alpha))
    return name if scale == 1 else graph.add("Mul", name, float(scale))


@operator("log_sigmoid_forward")
def log_sigmoid(graph: OnnxGraph, result: Any, x: Value) -> Any:
    """-log(1 + exp(-x)); the second result is of no use without a gradient."""
    return graph.add("Neg", graph.add("Softplus", graph.add("Neg", x))), None


@operator("glu")
def glu(graph: OnnxGraph, result: Tensor, x: Value, dim: int = -1) -> Any:
    """The first half of an axis times the sigmoid of the second."""
    axis = dim % len(x.shape)
    half = x.shape[axis] // 2
    values, gate = graph.add("Split", x, [half, half], outputs=2, axis=axis)
    return graph.add("Mul", values, graph.add("Sigmoid", gate))


@operator("logit")
def logit(graph: OnnxGraph, result: Tensor, x: Value, eps: float | None = None) -> Any:
    """log(x / (1 - x)), x kept away from 0 and 1 by `eps`."""
    name: Any = x if eps is None else graph.add("Min", graph.add("Max", x, float(eps)), 1 - float(eps))
    return graph.add("Log", graph.add("Div", name, graph.add("Sub", 1.0, name)))


@operator("leaky_relu")
def leaky_relu(graph: OnnxGraph, result: Tensor, x: Value, slope: float = 0.01) -> Any:
    """max(x, slope x)."""
    return graph.add("LeakyRelu", x, alpha=float(slope))


@operator("silu")
def silu(graph: OnnxGraph, result: Tensor, x: Value) -> Any:
    """X sigmoid(x)."""
    return graph.add("Mul", x, graph.add("Sigmoid", x))


@operator("pow")
def power(graph: OnnxGraph, result: Tensor, x: Value, exponent: Any) -> Any:
    """Squares are products."""
    return graph.add("Mul", x, x) if exponent == 2 else graph.add("Pow", x, _number(result, exponent))


@operator("logaddexp")
def logaddexp(graph: OnnxGraph, result: Tensor, a: Value, b: Value) -> Any:
    """max(a, b) + log(1 + exp(-|a - b|))."""
    apart = graph.add("Neg", graph.add("Abs", graph.add("Sub", a, b)))
    return graph.add("Add", graph.add("Max", a, b), graph.add("Softplus", apart))


@operator("clamp", "clamp_min")
def clamp(graph: OnnxGraph, result: Tensor, x: Value, min: Any = None, max: Any = None) -> Any:
    """Between two bounds, or on one side of one: `clamp_max` is written apart."""
    name = x
    if min is not None:
        name = graph.add("Max", name, _number(result, min))
    return name if max is None else graph.add("Min", name, _number(result, max))


@operator("clamp_max")
def clamp_max(graph: OnnxGraph, result: Tensor, x: Value, bound: Any) -> Any:
    """min(x, bound)."""
    return graph.add("Min", x, _number(result, bound))


def _comparison(kind: str, negated: bool = False) -> Callable[..., Any]:
    def write(graph: OnnxGraph, result: Tensor, a: Value, b: Any) -> Any:
        name = graph.add(kind, a, _number(a.tensor, b))
        return graph.add("Not", name) if negated else name

    return write


for _name, _kind in {"gt": "Greater", "ge": "GreaterOrEqual", "lt": "Less", "le": "LessOrEqual", "eq": "Equal"}.items():
    OPERATORS[_name] = _comparison(_kind)
OPERATORS["ne"] = _comparison("Equal", negated=True)


@operator("where")
def where(graph: OnnxGraph, result: Tensor, condition: Value, a: Any, b: Any) -> Any:
    """One or the other."""
    return graph.add("Where", condition, _typed(graph, result, a), _typed(graph, result, b))


@operator("masked_fill")
def masked_fill(graph: OnnxGraph, result: Tensor, x: Value, mask: Value, value: Any) -> Any:
    """A number where a mask says so."""
    return graph.add("Where", mask, _typed(graph, result, value), x)


@operator("lerp")
def lerp(graph: OnnxGraph, result: Tensor, a: Value, b: Value, weight: Any) -> Any:
    """A + weight (b - a)."""
    return graph.add("Add", a, graph.add("Mul", graph.add("Sub", b, a), _number(result, weight)))


@operator("_to_copy", "to")
def cast(graph: OnnxGraph, result: Tensor, x: Value, **_: Any) -> Any:
    """Another number type."""
    return x if x.tensor.dtype == result.dtype else graph.add("Cast", x, to=KINDS[result.dtype])


@operator("zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full", "empty_like", "new_empty")
def constant(graph: OnnxGraph, result: Tensor, *_: Any, **__: Any) -> Any:
    """What depends on a tensor's shape alone."""
    return type(_[0])(result)


# -- sums -----------------------------------------------------------------------------------------------------------


def _reduction(kind: str) -> Callable[..., Any]:
    def write(graph: OnnxGraph, result: Tensor, x: Value, dims: Any = None, keep: bool = False, **_: Any) -> Any:
        axes = _axes(x, dims)
        if x.tensor.dtype != result.dtype:
            x = graph.add("Cast", x, to=KINDS[result.dtype])
        return graph.add(kind, x, axes, keepdims=int(keep))

    return write


def _axes(x: Value, dims: Any) -> list[int]:
    dims = [dims] if isinstance(dims, int) else dims
    return [d % len(x.shape) for d in dims] if dims else list(range(len(x.shape)))


for _name, _kind in {
    "sum": "ReduceSum", "mean": "ReduceMean", "amax": "ReduceMax", "amin": "ReduceMin", "prod": "ReduceProd",
}.items():  # fmt: skip
    OPERATORS[_name] = _reduction(_kind)


@operator("logsumexp")
def logsumexp(graph: OnnxGraph, result: Tensor, x: Value, dims: Any, keep: bool = False) -> Any:
    """The largest is taken out, so that nothing overflows."""
    axes = _axes(x, dims)
    largest = graph.add("ReduceMax", x, axes, keepdims=1)
    total = graph.add("Log", graph.add("ReduceSum", graph.add("Exp", graph.add("Sub", x, largest)), axes, keepdims=1))
    whole = graph.add("Add", total, largest)
    return whole if keep else graph.add("Squeeze", whole, axes)


@operator("_softmax", "softmax")
def softmax(graph: OnnxGraph, result: Tensor, x: Value, dim: int, *_: Any) -> Any:
    """Over one axis."""
    return graph.add("Softmax", x, axis=dim % len(x.shape))


@operator("_log_softmax", "log_softmax")
def log_softmax(graph: OnnxGraph, result: Tensor, x: Value, dim: int, *_: Any) -> Any:
    """Over one axis."""
    return graph.add("LogSoftmax", x, axis=dim % len(x.shape))


@operator("cumsum")
def cumsum(graph: OnnxGraph, result: Tensor, x: Value, dim: int, **_: Any) -> Any:
    """Along one axis."""
    return graph.add("CumSum", x, torch.tensor(dim % len(x.shape)))


# -- shapes ---------------------------------------------------------------------------------------------------------


@operator("view", "_unsafe_view", "reshape", "unsqueeze", "squeeze", "_reshape_alias")
def reshape(graph: OnnxGraph, result: Tensor, x: Value, *_: Any) -> Any:
    """Another shape of the same numbers."""
    return x if x.shape == tuple(result.shape) else graph.add("Reshape", x, list(result.shape))


@operator("expand")
def expand(graph: OnnxGraph, result: Tensor, x: Value, *_: Any, **__: Any) -> Any:
    """Repeated along axes of one."""
    return x if x.shape == tuple(result.shape) else graph.add("Expand", x, list(result.shape))


@operator("permute")
def permute(graph: OnnxGraph, result: Tensor, x: Value, dims: Sequence[int]) -> Any:
    """Axes in another order."""
    return graph.add("Transpose", x, perm=[d % len(x.shape) for d in dims])


@operator("transpose")
def transpose(graph: OnnxGraph, result: Tensor, x: Value, a: int, b: int) -> Any:
    """Two axes change places."""
    order = list(range(len(x.shape)))
    order[a], order[b] = order[b], order[a]
    return graph.add("Transpose", x, perm=order)


@operator("t")
def turned(graph: OnnxGraph, result: Tensor, x: Value) -> Any:
    """A matrix turned."""
    return graph.add("Transpose", x, perm=[1, 0])


@operator("slice")
def cut(
    graph: OnnxGraph, result: Tensor, x: Value, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Any:
    """Part of an axis."""
    side, start = x.shape[dim], start or 0
    stop = side if end is None else min(end, side)
    return x if tuple(result.shape) == x.shape else graph.add("Slice", x, [start], [stop], [dim % len(x.shape)], [step])


@operator("select")
def select(graph: OnnxGraph, result: Tensor, x: Value, dim: int, index: int) -> Any:
    """One entry of an axis."""
    return graph.add("Gather", x, torch.tensor(index % x.shape[dim]), axis=dim % len(x.shape))


@operator("flip")
def flip(graph: OnnxGraph, result: Tensor, x: Value, dims: Sequence[int]) -> Any:
    """Axes backwards."""
    many = len(dims)
    return graph.add("Slice", x, [-1] * many, [-(1 << 40)] * many, [d % len(x.shape) for d in dims], [-1] * many)


@operator("cat")
def cat(graph: OnnxGraph, result: Tensor, parts: Sequence[Value], dim: int = 0) -> Any:
    """One after the other; of those without entries, nothing."""
    parts = [part for part in parts if part.tensor.numel()]
    return parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=dim % result.ndim)


@operator("stack")
def stack(graph: OnnxGraph, result: Tensor, parts: Sequence[Value], dim: int = 0) -> Any:
    """Along a new axis."""
    axis = dim % result.ndim
    return graph.add("Concat", *(graph.add("Unsqueeze", part, [axis]) for part in parts), axis=axis)


@operator("split", "unsafe_split", "split_with_sizes", "chunk")
def split(graph: OnnxGraph, result: Sequence[Tensor], x: Value, _: Any, dim: int = 0) -> Any:
    """In parts along an axis."""
    sizes = [part.shape[dim] for part in result]
    if len(sizes) == 1:
        return (x,)
    return graph.add("Split", x, sizes, outputs=len(sizes), axis=dim % len(x.shape))


@operator("unbind")
def unbind(graph: OnnxGraph, result: Sequence[Tensor], x: Value, dim: int = 0) -> Any:
    """Entries of an axis, each by itself."""
    axis = dim % len(x.shape)
    if x.shape[axis] == 1:
        return (graph.add("Reshape", x, list(result[0].shape)),)
    parts = graph.add("Split", x, [1] * x.shape[axis], outputs=x.shape[axis], axis=axis)
    return tuple(graph.add("Reshape", part, list(result[0].shape)) for part in parts)


@operator("constant_pad_nd")
def pad(graph: OnnxGraph, result: Tensor, x: Value, sides: Sequence[int], value: float = 0.0) -> Any:
    """Numbers around; the last axis comes first in PyTorch."""
    rest = len(x.shape) - len(sides) // 2
    before, after = ([0] * rest + list(sides[i::2])[::-1] for i in (0, 1))
    return graph.add("Pad", x, [*before, *after], _number(result, value))


@operator("repeat")
def repeat(graph: OnnxGraph, result: Tensor, x: Value, times: Sequence[int]) -> Any:
    """Several times along each axis."""
    x = graph.add("Reshape", x, [1] * (len(times) - len(x.shape)) + list(x.shape))
    return graph.add("Tile", x, list(times))


@operator("index_select")
def index_select(graph: OnnxGraph, result: Tensor, x: Value, dim: int, index: Value) -> Any:
    """Entries of an axis by number."""
    return graph.add("Gather", x, index, axis=dim % len(x.shape))


@operator("gather")
def gather(graph: OnnxGraph, result: Tensor, x: Value, dim: int, index: Value, **_: Any) -> Any:
    """Entries of an axis by number, element by element."""
    return graph.add("GatherElements", x, index, axis=dim % len(x.shape))


@operator("index_add")
def index_add(graph: OnnxGraph, result: Tensor, x: Value, dim: int, index: Value, source: Value) -> Any:
    """Entries of an axis added up by number: the product with a matrix of zeros and ones (entries, side)."""
    axis = dim % len(x.shape)
    chosen: Any
    if index.name is None:
        chosen = torch.nn.functional.one_hot(index.tensor, x.shape[axis]).to(result.dtype)
    else:
        rows = graph.add("Reshape", index, [-1, 1])
        chosen = graph.add("Cast", graph.add("Equal", rows, torch.arange(x.shape[axis])), to=KINDS[result.dtype])
    order = [d for d in range(len(x.shape)) if d != axis] + [axis]
    back = [order.index(d) for d in range(len(order))]
    total = graph.add("MatMul", graph.add("Transpose", source, perm=order), chosen)
    return graph.add("Add", x, graph.add("Transpose", total, perm=back))


@operator("index_copy")
def index_copy(graph: OnnxGraph, result: Tensor, x: Value, dim: int, index: Value, source: Value) -> Any:
    """Entries of the first axis put in place of others, by number."""
    if dim % len(x.shape):
        raise UnknownOperationError("index_copy along another axis than the first")
    return graph.add("ScatterND", x, graph.add("Reshape", index, [-1, 1]), source)


@operator("argmax")
def argmax(graph: OnnxGraph, result: Tensor, x: Value, dim: int, keep: bool = False) -> Any:
    """Number of the largest entry, the first of equal ones."""
    return graph.add("ArgMax", x, axis=dim % len(x.shape), keepdims=int(keep))


@operator("argmin")
def argmin(graph: OnnxGraph, result: Tensor, x: Value, dim: int, keep: bool = False) -> Any:
    """Number of the smallest entry, the first of equal ones."""
    return graph.add("ArgMin", x, axis=dim % len(x.shape), keepdims=int(keep))
