"""Captured passes give the same steps as one operation after the other, with a stand-in for CUDA graphs here."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lightning.fabric import Fabric

from scenewise.config import build
from scenewise.models import MODELS
from scenewise.training.passes import SETTLED, CapturedPass, Explain, Pass

STEPS = 8


class Rerun:
    """What a CUDA graph does, by running the function again and writing what comes out where it came out first."""

    captures = 0
    replays = 0

    def __init__(self, parameters: list[torch.nn.Parameter]) -> None:
        self.parameters = parameters

    def capture(self, run: Any) -> Any:
        Rerun.captures += 1
        self.run, (loss, terms) = run, run()
        self.outputs = [loss, *terms.values(), *self._gradients()]
        return loss, terms

    def replay(self) -> None:
        Rerun.replays += 1
        loss, terms = self.run()
        for old, new in zip(self.outputs, [loss, *terms.values(), *self._gradients()], strict=True):
            old.copy_(new)

    def _gradients(self) -> list[torch.Tensor]:
        return [p.grad for p in self.parameters if p.grad is not None]


def model_of(name: str, **settings: Any) -> Any:
    torch.manual_seed(0)
    kind = MODELS.get(name)
    return kind(build(kind.config_class, {**kind.presets["tiny"], **settings}, "tiny"))


def clip(model: Any, step: int, frames: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(step)
    images = torch.randint(0, 256, (2, frames, *model.frame_shape), generator=generator, dtype=torch.uint8)
    noise = torch.randn(model.noise_shape(2, frames), generator=generator)
    empty = torch.empty(0)
    return {"frames": images, "noise": noise, "viewpoints": empty, "background": empty, "seed": step}


def train(model: Any, captured: bool, lengths: tuple[int, ...]) -> tuple[list[float], list[str]]:
    """Train, clips of a step being as long as `lengths` say; return losses, and what was said."""
    fabric = Fabric(accelerator="cpu", devices=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    wrapped, optimizer = fabric.setup(Explain(model), optimizer)
    run: Any = Pass(fabric, wrapped, 1)
    lines: list[str] = []
    if captured:
        run = CapturedPass(run, lines.append, lambda: Rerun([p for p in model.parameters() if p.requires_grad]))
    losses = []
    for step, length in enumerate(lengths):
        model.begin_step(step)
        loss, terms = run(clip(model, step, length), 0)
        assert all(not term.requires_grad for term in terms.values())
        losses.append(float(loss))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        optimizer.zero_grad()
    return losses, lines


@pytest.fixture(autouse=True)
def _counts() -> None:
    Rerun.captures = Rerun.replays = 0


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("provide", {}),
        ("provide", {"area_entropy_weight": 0.01, "area_entropy_from": [2, 8]}),
        ("provide", {"composed_until": [0, 6]}),
        ("iodine", {}),
        ("seq-iodine", {}),
        ("monet", {}),
        ("vae", {}),
    ],
)
def test_captured_steps_are_the_steps(name: str, settings: dict[str, Any]) -> None:
    lengths = (1,) * 5 + (2,) * 5
    plain, captured = model_of(name, **settings), model_of(name, **settings)
    expected, _ = train(plain, False, lengths)
    losses, lines = train(captured, True, lengths)
    assert lines == []
    assert Rerun.replays > 0
    assert losses == pytest.approx(expected, rel=1e-5)
    weights = captured.state_dict()
    for key, tensor in plain.state_dict().items():
        torch.testing.assert_close(weights[key], tensor, rtol=1e-4, atol=1e-5)


def test_a_moving_weight_needs_one_graph() -> None:
    """The weight of the area entropy is another in every step, and no graph is captured anew for it."""
    train(model_of("provide", area_entropy_weight=0.01, area_entropy_from=[0, 100]), True, (1,) * STEPS)
    assert Rerun.captures == 1
    assert Rerun.replays == STEPS - SETTLED


def test_every_form_has_a_graph() -> None:
    """Clips of two lengths, and a number of refinements drawn anew in every step: one graph for each that settles."""
    train(model_of("provide"), True, (1,) * 5 + (2,) * 5 + (1,) * 5)
    assert Rerun.captures == 2
    assert Rerun.replays == 2 + 2 + 5


@pytest.mark.parametrize("name", ["genesis", "mulmon", "rnem", "dvip", "ddpae", "provide-windows"])
def test_other_models_go_one_operation_after_the_other(name: str) -> None:
    assert model_of(name, **({"geco": {"on": True}} if name == "genesis" else {})).step_form() is None


def test_what_cannot_be_captured_is_said_and_goes_on() -> None:
    class Broken:
        def capture(self, run: Any) -> Any:
            run()
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore")

        def replay(self) -> None:
            raise AssertionError

    model, plain = model_of("iodine"), model_of("iodine")
    fabric = Fabric(accelerator="cpu", devices=1)
    wrapped = fabric.setup(Explain(model))
    lines: list[str] = []
    run = CapturedPass(Pass(fabric, wrapped, 1), lines.append, Broken)
    one = clip(model, 0, 1)
    for _ in range(SETTLED + 2):
        model.zero_grad()
        loss, _ = run(one, 0)  # type: ignore[arg-type]
    assert lines == [
        "steps run one operation after the other; no CUDA graph could be captured: "
        "CUDA error: operation not permitted when stream is capturing"
    ]
    expected, _ = Explain(plain)(one)  # type: ignore[arg-type]
    expected.backward()
    assert float(loss) == pytest.approx(float(expected.detach()))
    for parameter, other in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, other.grad)
