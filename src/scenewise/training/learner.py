"""One training step, and what it must remember to continue exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import lightning
import torch
from torch.utils.data import DataLoader

from scenewise.errors import InputError
from scenewise.observation import Observation
from scenewise.training.clips import Clip, Clips, InOrder
from scenewise.training.schedule import learning_rate

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from scenewise.models.contract import Output, SceneModel
    from scenewise.training.plan import Plan


class NonFiniteError(InputError):
    """A loss or gradient that is NaN or infinite.

    Attributes:
        step: The step.
        term: Which term, or "gradient".
        clip: What the step saw.
    """

    def __init__(self, step: int, term: str, clip: Clip) -> None:
        self.step, self.term, self.clip = step, term, clip
        super().__init__(
            f"step {step}",
            f"{term} is not finite; the run stops, its last checkpoint is whole.",
            "See failure.json in the run's folder; try a lower training.learning_rate or training.precision=float32.",
        )

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, str]]:
        """Let other processes hand it on in words."""
        return (InputError, (self.subject, self.problem, self.remedy))


@dataclass
class Measured:
    """What the last step measured; losses in nats per clip."""

    loss: float = math.nan
    terms: dict[str, float] | None = None
    gradient: float = math.nan
    rate: float = 0.0
    frames: int = 0


class Learner(lightning.LightningModule):
    """A scene model in training: stateless but for weights, the optimiser's moments and averaged weights.

    Args:
        model: What is trained.
        plan: On what and how.
        noise_shapes: Shape of a clip's posterior noise by clip length; empty where the model takes a seed only.
        state: A checkpoint to continue from.
    """

    def __init__(
        self,
        model: SceneModel,
        plan: Plan,
        noise_shapes: dict[int, tuple[int, ...]],
        state: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.model, self.plan, self.training_settings = model, plan, plan.recipe.training
        self.noise_shapes = noise_shapes
        self.done = 0 if state is None else int(state["step"])
        self.first = self.done
        self.measured = Measured()
        self._parts: list[tuple[Tensor, dict[str, Tensor]]] = []
        self._output: Output | None = None
        self._clip: Clip | None = None
        self._optimizer_state = None if state is None else state["optimizer"]
        self.averaged: dict[str, Tensor] | None = None
        if state is not None:
            model.load_state_dict(state["model"])
        if self.training_settings.ema is not None:
            kept = dict(model.named_parameters()) if state is None else state["averaged"]
            self.averaged = {name: t.detach().clone() for name, t in kept.items()}

    # -- what Lightning asks ------------------------------------------------------------------------------------

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimiser, as it was where the run goes on."""
        trained = [p for p in self.model.parameters() if p.requires_grad]
        kind = {"adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop}[self.training_settings.optimizer]
        optimizer = kind(trained, lr=self.training_settings.learning_rate)
        if self._optimizer_state is not None:
            optimizer.load_state_dict(self._optimizer_state)
            self._optimizer_state = None
        return optimizer

    def train_dataloader(self) -> DataLoader[Clip]:
        """Return the clips of this process."""
        world, rank = self.trainer.world_size, self.trainer.global_rank
        cameras = self.model.viewpoint_size is not None
        clips = Clips(self.plan.train, self.training_settings, self.noise_shapes, self.first, rank, world, cameras)
        return DataLoader(
            clips,
            batch_size=None,
            sampler=InOrder(len(clips)),
            num_workers=self.training_settings.workers,
            pin_memory=self.device.type == "cuda",
            persistent_workers=self.training_settings.workers > 0,
        )

    def training_step(self, clip: Clip, _: int) -> Tensor:
        """Explain one part of a batch and return its mean loss."""
        step = int(clip["step"])
        self._set_rate(step)
        self.model.begin_step(step)
        frames = clip["frames"].float() / 255
        noise = clip["noise"] if clip["noise"].numel() else None
        viewpoints = clip["viewpoints"] if clip["viewpoints"].numel() else None
        output = self.model(Observation(frames, viewpoints=viewpoints), seed=clip["seed"], noise=noise)
        loss = self.model.loss(output.terms).mean()
        self._check(step, loss, output, clip)
        self._parts.append((loss.detach(), {name: term.detach().mean() for name, term in output.terms.items()}))
        self._output, self._clip, self.measured.frames = output, clip, frames.shape[1]
        return loss

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        """Measure the gradient's norm, stop where it is not finite, clip it."""
        limit = self.training_settings.gradient_clip or math.inf
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        self.measured.gradient = float(norm)
        if not math.isfinite(self.measured.gradient) and self._clip is not None:
            raise NonFiniteError(self.done, "gradient", self._clip)

    # -- around a step ------------------------------------------------------------------------------------------

    def finish_step(self) -> None:
        """Count a step whose weights are updated, and let the model's and the averaged weights' schedules follow."""
        if self._output is not None:
            self.model.end_step(self._output)
        names = list(self._parts[0][1])
        values = torch.stack([torch.stack([loss, *(terms[n] for n in names)]) for loss, terms in self._parts]).mean(0)
        if self.trainer.world_size > 1:
            values = self.trainer.strategy.reduce(values, reduce_op="mean")  # type: ignore[assignment]
        self.measured.loss, *rest = values.tolist()
        self.measured.terms = dict(zip(names, rest, strict=True))
        self._parts, self._output = [], None
        self.done += 1
        self._average()

    def state(self) -> dict[str, Any]:
        """Return all that a run needs to continue, as tensors and plain values on the CPU."""
        optimizer = self.optimizers(use_pl_optimizer=False)
        kept = {"step": self.done, "model": self.model.state_dict(), "optimizer": optimizer.state_dict()}  # type: ignore[union-attr]
        return _to_cpu(kept | ({} if self.averaged is None else {"averaged": self.averaged}))

    def swap_averaged(self) -> None:
        """Exchange trained and averaged weights, where there are any: once before they are used, once after."""
        if self.averaged is None:
            return
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                kept = parameter.detach().clone()
                parameter.copy_(self.averaged[name])
                self.averaged[name] = kept

    def _average(self) -> None:
        decay = self.training_settings.ema
        if self.averaged is None or decay is None:
            return
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                mean = self.averaged[name] = self.averaged[name].to(parameter.device)
                mean.lerp_(parameter, 1 - min(decay, (1 + self.done) / (10 + self.done)))

    def _set_rate(self, step: int) -> None:
        self.measured.rate = learning_rate(self.training_settings, step)
        for chosen in self.optimizers(use_pl_optimizer=False).param_groups:  # type: ignore[union-attr]
            chosen["lr"] = self.measured.rate

    def _check(self, step: int, loss: Tensor, output: Output, clip: Clip) -> None:
        if bool(loss.isfinite()):
            return
        broken = [name for name, term in output.terms.items() if not bool(term.isfinite().all())]
        raise NonFiniteError(step, f"the term {broken[0]!r}" if broken else "the loss", clip)


def noise_shapes(model: SceneModel, lengths: set[int]) -> dict[int, tuple[int, ...]]:
    """Return the shape of one clip's posterior noise for every clip length; empty where the model takes a seed only."""
    shape: Callable[[int, int], tuple[int, ...]] | None = getattr(model, "noise_shape", None)
    return {} if shape is None else {length: tuple(shape(1, length)[1:]) for length in lengths}


def _to_cpu(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, dict):
        return {key: _to_cpu(v) for key, v in value.items()}
    return [_to_cpu(v) for v in value] if isinstance(value, list) else value
