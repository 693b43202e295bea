"""A training step on a device that holds no numbers: every tensor is where it must be, and no step asks for a value.

Torch's `meta` device refuses what would make a GPU wait for the host (a number read back) and what would fail on it (an
operation on tensors of two devices), on any machine.
"""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import torch

from scenewise.config import build
from scenewise.models import MODELS
from scenewise.observation import Observation

PRESETS = [(name, preset) for name in MODELS.names() for preset in MODELS.get(name).presets]


@pytest.fixture(autouse=True)
def no_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device has no bfloat16 of its own."""
    enabled = torch.is_autocast_enabled
    monkeypatch.setattr(torch, "autocast", lambda *args, **options: contextlib.nullcontext())
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda kind="cpu": kind != "meta" and enabled(kind))


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_a_step_waits_for_nothing(name: str, preset: str) -> None:
    if name == "provide-windows":
        pytest.skip("looks for the parts of a frame on the host")
    kind = MODELS.get(name)
    with torch.device("meta"):
        model: Any = kind(build(kind.config_class, kind.presets[preset], preset))
    model = model.to("meta")
    model.check_frames = lambda frames: None  # looks at the values of frames, once, before anything is computed
    frames = torch.empty(2, 3, *model.frame_shape, device="meta")
    size = model.viewpoint_size
    cameras = None if size is None else torch.empty(2, 3, size, device="meta")
    noise = torch.empty(model.noise_shape(2, 3), device="meta")
    model.begin_step(3)
    output = model(Observation(frames, viewpoints=cameras), noise=noise)
    loss = model.loss(output.terms).mean()
    loss.backward()
    assert loss.device.type == "meta"
    assert any(parameter.grad is not None for parameter in model.parameters())
