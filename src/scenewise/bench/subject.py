"""What is measured: a model with its settings, and the two things it does: a training step and a streamed frame."""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from scenewise.bench import naive
from scenewise.bench.calls import Recorder
from scenewise.bench.floor import parts_of
from scenewise.checkpoint import as_device, find, load_model, read_config, shipped
from scenewise.config import build, merge
from scenewise.data import SOURCES
from scenewise.errors import InputError, nearest
from scenewise.models import MODELS
from scenewise.observation import Observation
from scenewise.runtimes import engage
from scenewise.variational.gaussian import seeded_noise

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from torch import Tensor

    from scenewise.models.contract import SceneModel, State

_RATE, _CLIP = 1e-4, 5.0
_VIDEO = 16
"""Frames of the video that is streamed; it begins again at its end."""


@dataclass(frozen=True)
class Spec:
    """One thing to measure, as plain values that a child process can be given.

    Attributes:
        model: A registered model, the name of shipped weights, or a model folder.
        preset: Preset of a registered model; None for weights.
        overrides: Settings that differ from the preset's or the weights', plain values by name.
        batch: B of the training step.
        frames: T of the training step.
        device: A torch device.
        threads: Threads of the CPU; torch's own number where None.
        naive: Compute the plain way.
        engine: What explains the frames of a stream, one of `runtimes.ENGINES`.
        case: Name of the case it was made from.
    """

    model: str
    preset: str | None = None
    overrides: dict[str, Any] = field(default_factory=dict)
    batch: int = 1
    frames: int = 2
    device: str = "cpu"
    threads: int | None = None
    naive: bool = False
    engine: str = "torch"
    case: str = ""

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.case or (self.model if self.preset is None else f"{self.model} {self.preset}")

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)

    def model_class(self) -> type[SceneModel]:
        """Return the class of the model.

        Raises:
            InputError: There is no such model or preset.
        """
        if self.preset is None:
            if self.model not in shipped() and not Path(self.model).exists():
                problem = "is no registered model, no weights that ship and no model folder."
                raise InputError(self.model, problem, nearest(self.model, [*MODELS.names(), *shipped()]))
            return MODELS.get(read_config(find(self.model))["model"])
        model_class = MODELS.get(self.model)
        if self.preset not in model_class.presets:
            raise InputError(
                "--presets", f"{self.model} has no preset {self.preset!r}.", nearest(self.preset, model_class.presets)
            )
        return model_class

    def make(self) -> SceneModel:
        """Return the model, on its device.

        Raises:
            InputError: Its settings do not fit together.
        """
        if self.preset is None:
            return load_model(self.model, self.device, **self.overrides).model
        kind: Any = self.model_class()
        torch.manual_seed(0)
        config = build(kind.config_class, merge(kind.presets[self.preset], self.overrides), self.name)
        return kind(config).to(as_device(self.device))


class Subject:
    """A model at work on bouncing balls of its size.

    Args:
        spec: What to measure.
    """

    def __init__(self, spec: Spec) -> None:
        self.spec, self.model = spec, spec.make()
        self.device = as_device(spec.device)
        self.clips = balls(self.model.frame_shape, spec.batch, spec.frames).to(self.device)
        self.video = balls(self.model.frame_shape, 1, _VIDEO).to(self.device)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(trained, lr=_RATE)
        self.state: State | None = None
        self.seen = 0

    def way(self, plain: bool = False) -> AbstractContextManager[None]:
        """Return a context in which the model computes as it is, or the plain way."""
        return naive.engaged(self.model) if plain or self.spec.naive else contextlib.nullcontext()

    def seen_as(self, frames: Tensor) -> Observation:
        """Return frames (B, T, C, H, W) as the model is given them: with some viewpoints where it takes any."""
        size = self.model.viewpoint_size
        cameras = None if size is None else seeded_noise((*frames.shape[:2], size), 0, device=frames.device)
        return Observation(frames, None, cameras)

    def train(self, recorder: Recorder | None = None) -> None:
        """Make one training step: forward, loss, backward, clip to norm, Adam."""
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.model.loss(self.model(self.seen_as(self.clips)).terms).mean()
        if recorder is not None:
            recorder.watching = False
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), _CLIP)
        self.optimizer.step()

    @torch.no_grad()
    def stream(self, recorder: Recorder | None = None) -> None:
        """Explain one more frame, with the state of the frames before it where the model has one."""
        self.model.eval()
        at = self.seen % _VIDEO
        frame = self.video[:, at : at + 1]
        self.seen += 1
        if not self.model.keeps_slots and self.model.runner is None:  # the model alone, without what links slots
            _ = self.model(self.seen_as(frame)).decomposition
            return
        state = self.model.initial_state() if self.state is None else self.state
        _, self.state = self.model.step(frame, state, viewpoints=self.seen_as(frame).viewpoints)

    def settle(self) -> None:
        """Stream until frames cost the same: the first ones may be refined more often."""
        for _ in range(min(int(getattr(self.model.config, "refinements", 1)), _VIDEO) + 1):
            self.stream()

    def engage(self) -> None:
        """Stream by the engine from now on, and make it ready.

        Raises:
            InputError: It is not installed, the model has nothing to compile, or cannot be run so.
        """
        engage(self.model, self.spec.engine, tell=lambda _: None)
        self.settle()
        refusal = getattr(self.model.runner, "refusal", None)
        if refusal:
            raise InputError(f"engine {self.spec.engine}", f"cannot run {self.spec.name}: {refusal}", "Leave it out.")

    def record(self, training: bool, plain: bool = False) -> Recorder:
        """Return what one training step or one streamed frame computes."""
        recorder = Recorder(parts_of(self.model))
        with self.way(plain), recorder.recording():
            (self.train if training else self.stream)(recorder)
        return recorder

    def settings(self) -> dict[str, Any]:
        """Return what the numbers depend on."""
        config = self.model.config
        bf16 = bool(getattr(config, "bf16_convolutions", False))
        return {
            "size": list(self.model.frame_shape[1:]),
            "slots": getattr(config, "slots", None),
            "refinements": getattr(config, "refinements", None),
            "batch": self.spec.batch,
            "frames": self.spec.frames,
            "convolutions": "bfloat16" if bf16 else "float32",
            "recompute": bool(getattr(config, "recompute", False)),
            "compile": self.spec.engine == "compile",
            "engine": self.spec.engine,
            "parameters": sum(p.numel() for p in self.model.parameters()),
        }


def balls(frame_shape: tuple[int, int, int], batch: int, frames: int) -> Tensor:
    """Return videos of bouncing balls in [0, 1], shape (B, T, C, H, W): what a model is really given, not noise."""
    channels, height, width = frame_shape
    name, source_channels = ("balls-colour", 3) if channels >= 3 else ("balls-binary", 1)
    source = SOURCES.get(name)(split="test", size=max(height, width), channels=source_channels, frames=frames)
    clip = torch.from_numpy(np.stack([source.sample(i).frames for i in range(batch)]))[..., :height, :width]
    return clip[:, :, [c % source_channels for c in range(channels)]].float() / 255
