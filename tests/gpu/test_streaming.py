"""Frame after frame on a device: as on the CPU, with captured graphs as without, and in memory that does not grow."""

import pytest
import torch

from scenewise.models import MODELS
from scenewise.variational.compiled import compile_decodes

COMPILED = ("iodine", "provide", "seq-iodine")


def stream(model, frames, seed=3):
    """Return the decompositions of frames (B, T, C, H, W), one by one."""
    state, parts = model.initial_state(len(frames), seed=seed), []
    for time in range(frames.shape[1]):
        part, state = model.step(frames[:, time : time + 1], state)
        parts.append(part)
    return parts


def recurrent():
    return [name for name in MODELS.names() if MODELS.get(name).keeps_slots]


@pytest.mark.parametrize("name", recurrent())
def test_a_stream_is_the_stream_of_the_cpu(make, observe, device, name):
    model = make(name).eval()
    frames = observe(model, frames=5).frames
    expected = stream(model, frames)
    for part, other in zip(stream(model.to(device), frames.to(device)), expected, strict=True):
        torch.testing.assert_close(part.masks.cpu(), other.masks, rtol=0, atol=2e-2)
        torch.testing.assert_close(part.reconstruction.cpu(), other.reconstruction, rtol=0, atol=2e-2)


@pytest.mark.parametrize("name", COMPILED)
def test_captured_graphs_change_nothing(make, observe, device, name):
    model = make(name).eval().to(device)
    frames = observe(model, frames=5).frames.to(device)
    expected = stream(model, frames)
    compile_decodes(model, None if device.type == "cuda" else lambda graph, inputs: graph)
    for part, other in zip(stream(model, frames), expected, strict=True):
        torch.testing.assert_close(part.masks, other.masks, rtol=0, atol=1e-3)


def test_memory_does_not_grow(make, observe, device):
    if device.type != "cuda":
        pytest.skip("counts what a GPU has allocated")
    model = make("provide").eval().to(device)
    frames = observe(model, batch=1, frames=1).frames.to(device)
    state, allocated = model.initial_state(1), []
    for _ in range(60):
        _, state = model.step(frames, state)
        allocated.append(torch.cuda.memory_allocated(device))
    assert max(allocated[30:]) <= max(allocated[:30])
