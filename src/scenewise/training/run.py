"""A run from recipe to model: begin or resume, train, keep the best, leave everything whole."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import lightning
import torch

from scenewise.checkpoint import as_device
from scenewise.errors import InputError, is_out_of_memory
from scenewise.training.folder import RunFolder
from scenewise.training.forecast import device_name, forecast
from scenewise.training.keeper import Keeper
from scenewise.training.learner import Learner, NonFiniteError, noise_shapes
from scenewise.training.plan import Plan, cautions, make_plan
from scenewise.training.ranks import is_first
from scenewise.training.reporter import Reporter
from scenewise.training.schedule import clip_length, longest_clip
from scenewise.training.steward import Steward, save_failure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scenewise.training.recipes import Recipe, TrainingPart


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        folder: The run's folder.
        step: Steps done in all.
        steps: Steps of the recipe.
        stopped: None at the last step, else "time limit", "Ctrl-C" or "SIGTERM".
        model: The model folder, or None where none was kept yet.
    """

    folder: Path
    step: int
    steps: int
    stopped: str | None
    model: Path | None


def train(
    recipe: Recipe,
    out: str | Path,
    resume: bool = False,
    minutes: float | None = None,
    reporter: Reporter | None = None,
) -> Outcome:
    """Train a recipe, or continue a run of it.

    Args:
        recipe: What to train.
        out: The run's folder.
        resume: Continue the run in `out`; it ends with the weights an uninterrupted run ends with.
        minutes: Stop cleanly after that many minutes; the recipe's limit where None.
        reporter: Hears of everything.

    Raises:
        InputError: With everything that is wrong, before anything is computed; or a loss is not finite.
    """
    reporter = reporter or Reporter()
    plan, folder = make_plan(recipe), RunFolder(out)
    device = as_device(recipe.training.device)
    _check_devices(recipe.training, device)
    plan = _supported(plan, device, reporter)
    for caution in cautions(plan.config):
        reporter.noted(caution)
    state = _begin(folder, plan, resume)
    model = plan.make_model()
    learner = Learner(model, plan, noise_shapes(model, _lengths(recipe.training)), state)
    limit = minutes if minutes is not None else recipe.training.minutes
    keeper = Keeper(folder.model, plan, device_name(device), -math.inf if state is None else float(state["best"]))
    steward = Steward(folder, keeper, reporter, limit, 0.0 if state is None else float(state["seconds"]))
    with _memory_told(learner):
        if is_first():
            reporter.planned(forecast(plan, model, device, learner.first, folder.path))
        _fit(learner, steward, device)
    return _finish(learner, steward)


def _check_devices(training: TrainingPart, device: torch.device) -> None:
    there = torch.cuda.device_count()
    if device.type == "cuda" and training.devices > there:
        raise InputError("training.devices", f"is {training.devices}; this machine has {there} GPUs.", "Ask for fewer.")


def _supported(plan: Plan, device: torch.device, reporter: Reporter) -> Plan:
    """Return the plan in float32 where it wants bf16 and the device has none; one line says so."""
    if plan.recipe.training.precision != "bf16" or _has_bf16(device):
        return plan
    reporter.noted(f"{device_name(device)} has no bf16: convolutions run in float32")
    return dataclasses.replace(plan, config=dataclasses.replace(plan.config, bf16_convolutions=False))


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    known = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return known is not None and bool(known())


def _lengths(training: TrainingPart) -> set[int]:
    return {length for _, length in training.curriculum} | {longest_clip(training)}


def _begin(folder: RunFolder, plan: Plan, resume: bool) -> dict[str, Any] | None:
    """Open the folder; return the state to continue from, if any."""
    if not is_first():
        return folder.latest() if resume else None
    if not resume:
        folder.begin(plan)
        folder.log("begun")
        return None
    folder.check_same(plan)
    state = folder.latest()
    folder.log(f"resumed at step {0 if state is None else state['step']}")
    return state


def _fit(learner: Learner, steward: Steward, device: torch.device) -> None:
    training = learner.training_settings
    if learner.first >= training.steps:
        return
    trainer = _trainer(training, learner.first, steward, device)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice about workers and sharding that does not apply here
            trainer.fit(learner)
    except NonFiniteError as error:
        save_failure(steward.folder, error)
        raise


@contextlib.contextmanager
def _memory_told(learner: Learner) -> Iterator[None]:
    """Where memory runs out, say how large a step was and which settings make it smaller."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise _too_large(learner) from error
        raise


def _too_large(learner: Learner) -> InputError:
    training, config = learner.training_settings, learner.model.config
    frames, refinements = clip_length(training, learner.done), getattr(config, "refinements", None)
    size = f"batch {training.batch}, K = {config.slots}, T = {frames} frames"
    size += f", R = {refinements} refinements" if refinements else ""
    smaller = "Raise training.accumulation (the batch stays what it is), or lower training.batch"
    if hasattr(config, "recompute") and not config.recompute:
        smaller = f"Set model.settings.recompute=true. {smaller}"
    return InputError("memory", f"ran out at step {learner.done} with {size}.", f"{smaller} or the clip length.")


def _trainer(training: TrainingPart, first: int, steward: Steward, device: torch.device) -> lightning.Trainer:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    return lightning.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=training.devices,
        strategy="ddp" if training.devices > 1 else "auto",
        max_steps=training.steps - first,
        max_epochs=-1,
        accumulate_grad_batches=training.accumulation,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[steward],
        default_root_dir=steward.folder.path,
    )


def _finish(learner: Learner, steward: Steward) -> Outcome:
    folder, training = steward.folder, learner.training_settings
    if is_first():
        folder.log(f"{'stopped by ' + steward.stopped if steward.stopped else 'finished'} at step {learner.done}")
    kept = folder.model if (folder.model / "config.json").is_file() else None
    return Outcome(folder.path, learner.done, training.steps, steward.stopped, kept)
