"""A training step on a device that holds no numbers: every tensor is where it must be, and no step asks for a value.

Torch's `meta` device refuses what would make a GPU wait for the host (a number read back) and what would fail on it (an
operation on tensors of two devices), on any machine.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from scenewise.config import build, plain, replace
from scenewise.models import MODELS
from scenewise.observation import Observation

if TYPE_CHECKING:
    from collections.abc import Iterator


def form(value: Any) -> Any:
    """Return plain settings with numbers reduced to whether they are 0, which leaves something out."""
    if isinstance(value, dict):
        return tuple((key, form(value[key])) for key in sorted(value))
    if isinstance(value, (list, tuple)):
        return tuple(map(form, value))
    return value if isinstance(value, bool) or not isinstance(value, (int, float)) else value == 0


def presets() -> list[Any]:
    """Return names of models and presets; of presets that differ in sizes and weights alone, the last."""
    found = {}
    for name in MODELS.names():
        kind = MODELS.get(name)
        for preset in kind.presets:
            found[name, form(plain(build(kind.config_class, kind.presets[preset], preset)))] = preset
    return [pytest.param(name, preset) for (name, _), preset in found.items()]


MOST = {"refinements": 2, "slots": 3}  # what runs again and again asks for nothing that it did not ask for before


@pytest.fixture(autouse=True)
def no_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device has no bfloat16 of its own."""
    enabled = torch.is_autocast_enabled
    monkeypatch.setattr(torch, "autocast", lambda *args, **options: contextlib.nullcontext())
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda kind="cpu": kind != "meta" and enabled(kind))


def make(name: str, preset: str) -> Any:
    kind = MODELS.get(name)
    config = build(kind.config_class, kind.presets[preset], preset)
    numbers = {field.name for field in dataclasses.fields(config)} & MOST.keys()
    fewer = {key: min(getattr(config, key), MOST[key]) for key in numbers}
    with torch.device("meta"):
        model: Any = kind(replace(config, fewer, "test"))
    model = model.to("meta")
    model.check_frames = lambda frames: None  # looks at the values of frames, once, before anything is computed
    return model


def run(model: Any) -> torch.Tensor:
    """Run the passes of a training step; return the loss."""
    frames = torch.empty(2, 2, *model.frame_shape, device="meta")  # a first frame and one after another
    size = model.viewpoint_size
    cameras = None if size is None else torch.empty(2, 2, size, device="meta")
    noise = torch.empty(model.noise_shape(2, 2), device="meta")
    model.begin_step(3)
    output = model(Observation(frames, viewpoints=cameras), noise=noise)
    loss = model.loss(output.terms).mean()
    loss.backward()
    return loss


class NothingFromHost(TorchDispatchMode):
    """Refuses operations that bring numbers from the host to the device, which a captured graph cannot repeat."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        tensors = [each for each in args if isinstance(each, torch.Tensor)]
        on_host = [each for each in tensors if each.device.type == "cpu" and each.numel()]
        if isinstance(result, torch.Tensor) and result.device.type == "meta" and on_host and on_host[0].ndim:
            raise AssertionError(f"{function} takes {on_host[0].shape} from the host")
        return result


@pytest.mark.parametrize(("name", "preset"), presets())
def test_a_step_waits_for_nothing_and_one_of_a_form_brings_nothing_from_the_host(
    name: str, preset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps without a form run one operation after the other; they may bring numbers, and still wait for none."""
    if name == "provide-windows":
        pytest.skip("looks for the parts of a frame on the host")
    model = make(name, preset)
    model.begin_step(3)
    has_form = model.step_form() is not None
    if has_form:
        model.write_live(torch.device("meta"))
    with nothing_from_host(monkeypatch) if has_form else contextlib.nullcontext():
        loss = run(model)
    assert loss.device.type == "meta"
    assert any(parameter.grad is not None for parameter in model.parameters())


@contextlib.contextmanager
def nothing_from_host(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Refuse numbers from the host, by whatever way they come."""
    tensor = torch.tensor

    def only_on_the_host(*args: Any, **options: Any) -> torch.Tensor:
        assert str(options.get("device", "cpu")) == "cpu", "torch.tensor brings numbers from the host"
        return tensor(*args, **options)

    def never(self: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
        assert self.device.type == "cpu", "new_tensor brings numbers from the host"
        return tensor(*args, **options)

    with monkeypatch.context() as patch, NothingFromHost():
        patch.setattr(torch, "tensor", only_on_the_host)
        patch.setattr(torch.Tensor, "new_tensor", never)
        yield


def test_what_comes_from_the_host_is_seen() -> None:
    with NothingFromHost(), pytest.raises(AssertionError, match="from the host"):
        torch.zeros(3).to("meta")
