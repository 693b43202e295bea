"""What the bench counts of the calls that ran."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from scenewise.bench import floor
from scenewise.bench.calls import MemoryLayout, Recorder, aten

CPU = torch.device("cpu")


def test_operations_of_a_convolution_are_those_counted_by_hand():
    x, w = torch.rand(2, 4, 6, 5, requires_grad=True), torch.rand(8, 4, 3, 3, requires_grad=True)
    forward = 2 * (2 * 6 * 5) * 8 * (4 * 9)  # multiply and add, per pixel, output channel and input of the kernel
    with Recorder().recording() as recorder, FlopCounterMode(display=False) as theirs:
        y = torch.nn.functional.conv2d(x, w, torch.rand(8), padding=1)
        assert recorder.flops == forward
        torch.autograd.grad(y.sum(), x, retain_graph=True)
        assert recorder.flops == 2 * forward  # the data gradient alone
        y.sum().backward()
    assert recorder.flops == 4 * forward == theirs.get_total_flops()
    masks = [c.arguments[-1] for c in recorder.calls if c.operation == aten.convolution_backward.default]
    assert masks == [(True, False, False), (True, True, False)]


def test_calls_are_timed_in_their_own_layout():
    image = torch.rand(2, 4, 6, 6).contiguous(memory_format=torch.channels_last).bfloat16()
    expanded = torch.rand(3, 1).expand(3, 5)
    for tensor in (image, expanded, torch.rand(0, 2)):
        made = MemoryLayout.of(tensor).make(CPU)
        assert (made.shape, made.stride(), made.dtype) == (tensor.shape, tensor.stride(), tensor.dtype)
    record = Recorder()
    with record.recording():
        torch.nn.Linear(8, 8)(torch.rand(4, 8)).sum().backward()
    laps = floor.time_calls(record.calls, CPU)
    assert laps.keys() == record.calls.keys()
    assert all(each.wall > 0 for each in laps.values())
    assert floor.work_lap({next(iter(laps)): 3.0}, laps).wall == pytest.approx(3 * next(iter(laps.values())).wall)
