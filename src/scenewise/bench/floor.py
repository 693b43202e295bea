"""The least time a model's convolutions and large linear layers take: how often each must run, and how long it takes.

With D one forward pass of the decoder over all slots and E one of the refinement encoder, a refined decode needs at
least 4 D + 3 E in training (D forward; D for the posterior gradient, which is a backward pass to the data alone; 2 D
and 2 E for the training backward pass) and 2 D + E in inference; a decode that is not refined needs 3 D and D.
"""

from __future__ import annotations

import statistics
from collections import Counter
from typing import TYPE_CHECKING

import torch

from scenewise.bench.calls import CONVOLUTIONS, PRODUCTS, Call, Recorder, aten
from scenewise.bench.clock import Lap, lap

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import nn

    Work = Mapping[Call, float]
    """How often each call must run."""

_SHARE = 0.01
"""Matrix products that are less than this share of the whole work are not timed."""
_LONG, _MOST = 0.02, 15
"""A short call is timed again until this many seconds or calls have passed."""


def parts_of(model: nn.Module) -> dict[str, nn.Module]:
    """Return decoder and refinement encoder of a model of iterative inference; nothing where the rule has no sense."""
    engine = getattr(model, "engine", None)
    decoder, refiner = getattr(engine, "decoder", None), getattr(engine, "refiner", None)
    if decoder is None or refiner is None:
        return {}
    return {"decoder": decoder, "encoder": getattr(refiner, "encoder", refiner)}


def executed(record: Recorder) -> Work:
    """Return what really ran: every convolution and every large matrix product."""
    least = _SHARE * record.flops
    return {call: n for call, n in record.calls.items() if _timed(call, n, least)}


def ruled(record: Recorder, training: bool) -> Work:
    """Return what must run by the rule above, given the forward calls that ran; empty where the rule has no sense.

    Args:
        record: Of a training step, or of inference.
        training: Which of the two.
    """
    decodes, refined = record.entered["decoder"], record.entered["encoder"]
    if not decodes:
        return {}
    forward = record.forward["decoder"] + record.forward["encoder"]
    calls = Counter(forward)
    for call, count in record.forward["decoder"].items():
        if refined and call in record.differentiated:
            _add(calls, _backward(record, call, True, False), count * refined / decodes)
    for call, count in forward.items() if training else ():
        _add(calls, _backward(record, call, call in record.differentiated, True), _trained(record, call, count))
    least = _SHARE * work_flops(calls)
    return {call: n for call, n in calls.items() if _timed(call, n, least)}


def work_flops(work: Work) -> float:
    """Return the floating-point operations of some work."""
    return sum(call.flops * count for call, count in work.items())


def work_lap(work: Work, laps: Mapping[Call, Lap]) -> Lap:
    """Return how long some work takes, given how long each call takes."""
    wall, cpu = (sum(laps[call][i] * count for call, count in work.items()) for i in range(2))
    return Lap(wall, cpu)


@torch.no_grad()
def time_calls(calls: Iterable[Call], device: torch.device) -> dict[Call, Lap]:
    """Return the time of each call alone: the median of a few, after one to warm up."""
    return {call: _time_call(call, device) for call in calls}


def _time_call(call: Call, device: torch.device) -> Lap:
    arguments = call.make(device)  # made and dropped one call at a time: large models have gigabytes of them

    def once() -> None:
        call.operation(*arguments)

    once()
    laps: list[Lap] = []
    while not laps or (sum(each.wall for each in laps) < _LONG and len(laps) < _MOST):
        laps.append(lap(once, device))
    return Lap(statistics.median(each.wall for each in laps), statistics.median(each.cpu for each in laps))


def _timed(call: Call, count: float, least: float) -> bool:
    return call.operation in CONVOLUTIONS or (call.operation in PRODUCTS and call.flops * count >= least)


def _trained(record: Recorder, call: Call, count: int) -> int:
    """Return how many of `count` forward calls need a training backward: not those the loss sees nothing of.

    So it is with a refinement after the last decode, which some models make for the sake of the next frame.
    """
    if call.operation is not aten.convolution.default:
        return count
    x, w, _, *rest = call.arguments
    backward = [each for each in record.calls if each.operation is aten.convolution_backward.default]
    trains = [each for each in backward if each.arguments[-1][1]]  # by the weight
    ran = sum(record.calls[each] for each in trains if each.arguments[1:3] + each.arguments[4:-1] == (x, w, *rest))
    return min(count, ran or count)


def _add(total: Counter[Call], calls: Iterable[Call], count: float) -> None:
    for call in calls:
        total[call] += count  # type: ignore[assignment]  # shares of refined decodes need not be whole


def _backward(record: Recorder, call: Call, data: bool, weight: bool) -> list[Call]:
    """Return the calls that differentiate a forward call by its data, its weight, or both."""
    if call.operation is aten.convolution.default:
        x, w, bias, *rest = call.arguments
        mask = (data, weight, weight and bias is not None)
        arguments = (record.outputs[call], x, w, None if bias is None else bias.shape, *rest, mask)
        return [Call(aten.convolution_backward.default, arguments, call.flops * (data + weight))]
    *_, x, w = call.arguments
    gradient = record.outputs[call]
    product = aten.bmm.default if len(x.shape) == 3 else aten.mm.default
    by_data = Call(product, (gradient, w.transposed()), call.flops)
    by_weight = Call(product, (x.transposed(), gradient), call.flops)
    return [by_data] * data + [by_weight] * weight
