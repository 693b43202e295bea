"""The training loop, top to bottom: rate, forward, backward, clip, step, books, stop."""

from __future__ import annotations

import contextlib
import json
import math
import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from scenewise.errors import InputError, is_out_of_memory
from scenewise.media.files import write_atomically
from scenewise.training.books import NO_GAIN
from scenewise.training.clips import ClipBatch, Clips, InOrder
from scenewise.training.passes import Explain, passes
from scenewise.training.recipe import clip_length, learning_rate, longest_clip
from scenewise.training.states import fits, take_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lightning.fabric import Fabric

    from scenewise.media.interruption import Interruption
    from scenewise.models.contract import SceneModel
    from scenewise.training.books import Books
    from scenewise.training.folder import RunFolder
    from scenewise.training.plan import Plan

OPTIMIZERS = {"adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop}


class NonFiniteError(InputError):
    """A loss or gradient that is NaN or infinite.

    Attributes:
        step: The training step, from 0.
        term: What is not finite, in words.
    """

    def __init__(self, step: int, term: str) -> None:
        self.step, self.term = step, term
        super().__init__(
            f"step {step}",
            f"{term} is not finite; the run stops, its last checkpoint is whole.",
            "See failure.json in the run's folder; try a lower training.learning_rate or training.precision=float32.",
        )


def fit(
    fabric: Fabric,
    plan: Plan,
    folder: RunFolder,
    books: Books | None,
    state: dict[str, Any] | None,
    moments: dict[str, Any] | None,
    interruption: Interruption,
    deadline: float | None,
) -> tuple[int, str | None]:
    """Train one stage to its last step, or until something stops it.

    Args:
        fabric: Launched; it wraps the model, hands clips out and reduces over processes.
        plan: What is trained on what.
        folder: The stage's folder.
        books: Writes tables, pictures, models and checkpoints; of the first process only.
        state: The checkpoint to continue from, or None at the beginning.
        moments: The checkpoint of the stage before, whose moments are taken over; None where there is none.
        interruption: Says whether Ctrl-C or SIGTERM came.
        deadline: Moment of `time.monotonic` from which on the stage stops after its step.

    Returns:
        Steps done in all, and what stopped the stage before its last one.

    Raises:
        NonFiniteError: A loss or gradient is not finite; what the step saw is saved first.
        InputError: Memory ran out; the message says what makes a step smaller.
    """
    training = plan.recipe.training
    descent = Descent(fabric, plan, folder, state, moments)
    model, averages = descent.model, descent.averages
    step = first = descent.first
    stopped = None

    with memory_remedy(plan, lambda: step):
        while step < training.steps and stopped is None:
            row, frames = descent.step(step)
            step += 1

            # books: tables, validation and the best model, pictures, checkpoint
            if books is not None:
                books.record(step, row, frames, model)
                if books.look_is_due(step):
                    with averages.swapped(model):
                        books.look(step, model)
                if step < training.steps and books.save_is_due(step):
                    books.save(checkpoint(step, model, descent.optimizer, averages))

            # stop: all processes after the same step
            reason = _stop_reason(interruption, deadline, books)
            if step < training.steps and _any(fabric, reason is not None):
                stopped = reason or "another process"

    if books is not None and step > first:
        if stopped in (None, "time limit", NO_GAIN):
            with averages.swapped(model):
                books.end(step, model, stopped)
        books.save(checkpoint(step, model, descent.optimizer, averages))
    return step, stopped


class Descent:
    """The gradient descent of one stage: the model, the clips that it sees, and what moves its weights.

    Args:
        fabric: As of `fit`, like the others.
        plan: What is trained on what.
        folder: The stage's folder.
        state: The checkpoint to continue from, or None.
        moments: The checkpoint whose moments are taken over, or None.

    Attributes:
        model: What is trained, on its device.
        averages: Of its weights.
        optimizer: What moves them, as Fabric wraps it.
        first: Steps done before.
    """

    def __init__(
        self,
        fabric: Fabric,
        plan: Plan,
        folder: RunFolder,
        state: dict[str, Any] | None,
        moments: dict[str, Any] | None,
    ) -> None:
        self._fabric, self._training, self._folder = fabric, plan.recipe.training, folder
        self._source = plan.recipe.data.source
        self.first = 0 if state is None else int(state["step"])
        self.model, optimizer = _model_and_optimizer(fabric, plan, folder, state, moments)
        averaged = None if state is None else state.get("averaged")
        self.averages = Averages(self.model, self._training.ema, averaged)
        self._explain, self.optimizer = fabric.setup(Explain(self.model), optimizer)
        self._pass = passes(fabric, self._explain, self._training, folder.log)
        self._loader = _loader(plan, self.model, self.first, fabric)
        self._clips: Iterator[Any] = iter(fabric.setup_dataloaders(self._loader, use_distributed_sampler=False))

    def step(self, step: int) -> tuple[dict[str, float], int]:
        """Make one step.

        Args:
            step: Its number, from 0.

        Returns:
            Loss, its terms in nats per clip, norm of the gradient and learning rate; and how many frames clips have.

        Raises:
            NonFiniteError: A loss or gradient is not finite; what the step saw is saved first.
        """
        model, training, optimizer = self.model, self._training, self.optimizer
        rate = learning_rate(training, step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        model.begin_step(step)

        # forward and backward
        parts: list[Tensor] = []
        for part in range(training.accumulation):
            clip: ClipBatch = next(self._clips)
            if model.remarks and step == self.first and not part and self._fabric.is_global_zero:
                remark = model.remark(clip["frames"].float() / 255)
                if remark is not None:
                    warnings.warn(f"{self._source}: {remark}", stacklevel=2)
            loss, terms = self._pass(clip, part)
            parts.append(torch.stack([loss, *(term.mean() for term in terms.values())]))

        # step; the one moment in which the host waits for a GPU
        length = nn.utils.clip_grad_norm_(model.parameters(), training.gradient_clip or math.inf)
        total, *values, norm = _mean(self._fabric, torch.cat([torch.stack(parts).mean(0), length[None]])).tolist()
        if not math.isfinite(total) or not math.isfinite(norm):
            part, term = _culprit(parts, list(terms)) or (len(parts) - 1, "gradient")
            error = NonFiniteError(step, term)
            if term != "gradient" or (math.isfinite(total) and self._fabric.is_global_zero):  # or another does
                _save_failure(self._folder, error, self._loader.dataset[(step - self.first) * len(parts) + part])
            raise error
        optimizer.step()
        optimizer.zero_grad()
        if self._explain.module.output is not None:
            model.end_step(self._explain.module.output)
        self.averages.update(model, step + 1)
        row = {"loss": total, **dict(zip(terms, values, strict=True))}
        return row | {"gradient_norm": norm, "learning_rate": rate}, clip["frames"].shape[1]


class Averages:
    """Averaged weights (an exponential moving average), where a recipe wants them.

    Args:
        model: Whose weights.
        decay: Per step; None for no averages.
        weights: Averages to go on with; the model's weights where None.
    """

    def __init__(self, model: SceneModel, decay: float | None, weights: dict[str, Tensor] | None = None) -> None:
        self.decay = decay
        start = dict(model.named_parameters()) if weights is None else weights
        self.weights = {} if decay is None else {name: tensor.detach().clone() for name, tensor in start.items()}

    @torch.no_grad()
    def update(self, model: SceneModel, step: int) -> None:
        """Take in the weights after a step; early averages forget faster."""
        if self.decay is None:
            return
        for name, parameter in model.named_parameters():
            self.weights[name] = self.weights[name].to(parameter.device)
        means = [self.weights[name] for name, _ in model.named_parameters()]
        torch._foreach_lerp_(means, list(model.parameters()), 1 - min(self.decay, (1 + step) / (10 + step)))

    @contextlib.contextmanager
    def swapped(self, model: SceneModel) -> Iterator[None]:
        """Let the model have the averages meanwhile; nothing happens where there are none."""
        with torch.no_grad():
            trained = {name: p.detach().clone() for name, p in model.named_parameters()} if self.weights else {}
            for name in trained:
                model.get_parameter(name).copy_(self.weights[name])
        try:
            yield
        finally:
            with torch.no_grad():
                for name, tensor in trained.items():
                    model.get_parameter(name).copy_(tensor)


def checkpoint(step: int, model: SceneModel, optimizer: Any, averages: Averages) -> dict[str, Any]:
    """Return all that a stage needs to continue, as tensors and plain values on the CPU."""
    state = {
        "step": step,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "trained": [name for name, parameter in model.named_parameters() if parameter.requires_grad],
        **({"averaged": averages.weights} if averages.weights else {}),
    }
    return _to_cpu(state)


def carry_moments(optimizer: torch.optim.Optimizer, model: SceneModel, before: dict[str, Any]) -> None:
    """Take over an optimiser's moments, weight by weight, wherever a weight has the name and shape it had before.

    Args:
        optimizer: Of the new stage; nothing is taken over from another kind.
        model: Whose weights it moves.
        before: A checkpoint of the stage before.
    """
    state = optimizer.state_dict()
    old = {name: before["optimizer"]["state"].get(number, {}) for number, name in enumerate(before["trained"])}
    weights = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    for number, (name, weight) in enumerate(weights):
        moments = old.get(name, {})
        if moments and fits(moments, weight, optimizer):
            state["state"][number] = moments
    optimizer.load_state_dict(state)


def noise_shapes(model: SceneModel, lengths: set[int]) -> dict[int, tuple[int, ...]]:
    """Return the shape of one clip's posterior noise for every clip length."""
    return {length: model.noise_shape(1, length)[1:] for length in lengths}


def _model_and_optimizer(
    fabric: Fabric,
    plan: Plan,
    folder: RunFolder,
    state: dict[str, Any] | None,
    moments: dict[str, Any] | None,
) -> tuple[SceneModel, torch.optim.Optimizer]:
    """Return a stage's model on its device and what moves it, as far as they have come; arguments as of `fit`."""
    training = plan.recipe.training
    model = plan.make_model().to(fabric.device)  # before the optimiser takes up its state, which goes where weights are
    trained = [p for p in model.parameters() if p.requires_grad]
    fused = {"fused": True} if training.optimizer == "adam" and fabric.device.type == "cuda" else {}
    optimizer = OPTIMIZERS[training.optimizer](trained, lr=training.learning_rate, **fused)
    if state is not None:
        take_up(state, model, optimizer, folder.checkpoints)
    elif moments is not None:
        carry_moments(optimizer, model, moments)
    return model, optimizer


def _loader(plan: Plan, model: SceneModel, first: int, fabric: Fabric) -> DataLoader[ClipBatch]:
    training, cameras = plan.recipe.training, model.viewpoint_size is not None
    shapes = noise_shapes(model, {length for _, length in training.curriculum} | {longest_clip(training)})
    place = (first, fabric.global_rank, fabric.world_size)
    clips = Clips(plan.train, training, shapes, *place, cameras, model.takes_background)
    return DataLoader(
        clips,
        batch_size=None,
        sampler=InOrder(len(clips)),
        num_workers=training.workers,
        pin_memory=fabric.device.type == "cuda",
        persistent_workers=training.workers > 0,
    )


def _mean(fabric: Fabric, values: Tensor) -> Tensor:
    """Return the mean over processes."""
    if fabric.world_size == 1:
        return values
    reduced: Any = fabric.all_reduce(values, reduce_op="mean")
    return reduced


def _stop_reason(interruption: Interruption, deadline: float | None, books: Books | None) -> str | None:
    """Return why this process would stop now, None where it would go on."""
    if interruption.name:
        return interruption.name
    if deadline is not None and time.monotonic() >= deadline:
        return "time limit"
    return NO_GAIN if books is not None and books.patience_is_over else None


def _any(fabric: Fabric, condition: bool) -> bool:
    """Return whether a condition holds in any process."""
    if fabric.world_size == 1:
        return condition
    return float(fabric.all_reduce(torch.tensor(float(condition), device=fabric.device), reduce_op="sum")) > 0  # type: ignore[arg-type]


def _culprit(parts: list[Tensor], names: list[str]) -> tuple[int, str] | None:
    """Return which part of a batch has a loss that is not finite, and which number makes it so; None where none has.

    Args:
        parts: Of each the loss and its terms.
        names: Of the terms.
    """
    for part, (loss, *terms) in enumerate(torch.stack(parts).tolist()):
        if not math.isfinite(loss):
            broken = [name for name, term in zip(names, terms, strict=True) if not math.isfinite(term)]
            return part, f"the term {broken[0]!r}" if broken else "the loss"
    return None


def _to_cpu(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, dict):
        return {key: _to_cpu(v) for key, v in value.items()}
    return [_to_cpu(v) for v in value] if isinstance(value, list) else value


def _save_failure(folder: RunFolder, error: NonFiniteError, clip: ClipBatch) -> None:
    """Write what a broken step saw as failure.json and failure.npz."""
    facts = {
        "step": error.step,
        "term": error.term,
        "message": str(error),
        "videos": [int(i) for i in clip["indices"]],
        "rows": [int(i) for i in clip["rows"]],
        "seed": int(clip["seed"]),
    }
    np.savez(folder.path / "failure.npz", frames=clip["frames"].numpy(), noise=clip["noise"].numpy())
    write_atomically(folder.path / "failure.json", json.dumps(facts, indent=2) + "\n")
    folder.log(f"failure: {error}")


@contextlib.contextmanager
def memory_remedy(plan: Plan, done: Callable[[], int]) -> Iterator[None]:
    """Where memory runs out, say how large a step was and which settings make it smaller.

    Args:
        plan: What is trained.
        done: Gives the steps done so far.

    Raises:
        InputError: Memory ran out.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        training, config = plan.recipe.training, plan.config
        refinements = getattr(config, "refinements", None)
        size = f"batch {training.batch}, K = {config.slots}, T = {clip_length(training, done())} frames"
        size += f", R = {refinements} refinements" if refinements else ""
        smaller = "Raise training.accumulation (the batch stays what it is), or lower training.batch"
        if hasattr(config, "recompute") and not config.recompute:
            smaller = f"Set model.settings.recompute=true. {smaller}"
        raise InputError(
            "memory", f"ran out at step {done()} with {size}.", f"{smaller} or the clip length."
        ) from error
