"""A run from recipe to model: stage after stage, begun or resumed, everything on disk whole at any moment."""

from __future__ import annotations

import dataclasses
import os
import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from scenewise.checkpoint import as_device, find, load_model, read_card, save_model
from scenewise.errors import InputError
from scenewise.media.interruption import Interruption
from scenewise.training.folder import RunFolder, settings_of
from scenewise.training.plan import cautions, device_name, forecast, make_plan
from scenewise.training.recipe import StagePlace, differences
from scenewise.training.reporter import Reporter

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from scenewise.training.books import Books
    from scenewise.training.plan import Forecast, Plan
    from scenewise.training.recipe import Recipe


@dataclass(frozen=True)
class TrainingOutcome:
    """How a run ended.

    Attributes:
        folder: The run's folder.
        step: Steps done in all, stages together.
        steps: Steps of the recipe, stages together.
        stopped: None at the last step, else "time limit", "no gain" (see `training.patience`), "Ctrl-C", "SIGTERM", or
            "--until" before later stages.
        model: The model folder, or None where none was written yet.
    """

    folder: Path
    step: int
    steps: int
    stopped: str | None
    model: Path | None


def is_first() -> bool:
    """Return whether this process is the one that writes and reports; always, where there is only one."""
    ranks = (os.environ.get(name, "") for name in ("RANK", "SLURM_PROCID", "NODE_RANK", "LOCAL_RANK"))
    return not any(rank.isdecimal() and int(rank) > 0 for rank in ranks)


def train(
    recipe: Recipe,
    out: str | Path,
    resume: bool = False,
    minutes: float | None = None,
    reporter: Reporter | None = None,
    until: str | None = None,
    start: tuple[str, str | Path] | None = None,
) -> TrainingOutcome:
    """Train a recipe, or continue a run of it.

    Args:
        recipe: What to train.
        out: The run's folder.
        resume: Continue the run in `out`; it ends with the weights an uninterrupted run ends with.
        minutes: Stop cleanly after that many minutes; the recipe's limit where None.
        reporter: Hears of everything.
        until: Name of the last stage to train; all where None.
        start: Name of the first stage to train, and the model to begin it with, in place of the stages before.

    Raises:
        InputError: With everything that is wrong, before anything is computed; or a loss is not finite.
    """
    run = Run(recipe, out, resume, until, start)
    return run.train(minutes, reporter or Reporter())


def estimate(
    recipe: Recipe, out: str | Path, until: str | None = None, start: tuple[str, str | Path] | None = None
) -> list[Forecast]:
    """Check everything a run needs and estimate its stages; nothing is trained or written.

    Raises:
        InputError: With everything that is wrong.
    """
    return Run(recipe, out, False, until, start).estimate()


class Run:
    """All stages of a recipe in one folder.

    Args:
        recipe: What to train.
        out: The run's folder.
        resume: Continue the run that is there.
        until: Name of the last stage to train.
        start: Name of the first stage to train, and the model to begin it with.

    Raises:
        InputError: With everything that is wrong; nothing has been written.
    """

    def __init__(
        self,
        recipe: Recipe,
        out: str | Path,
        resume: bool = False,
        until: str | None = None,
        start: tuple[str, str | Path] | None = None,
    ) -> None:
        self.recipe, self.folder, self.resume = recipe, RunFolder(out), resume
        parts = recipe.parts()
        self.last = len(parts) - 1 if until is None else recipe.stage_number(until)
        if resume and start is None and recipe.stages and self.folder.begun:
            start = tuple(self.folder.settings().get("start") or ()) or None  # type: ignore[assignment]
        self.first = 0 if start is None else recipe.stage_number(start[0])
        self.start = None if start is None else (start[0], str(find(start[1]).absolute()))
        if self.first > self.last:
            raise InputError("--until", f"{until} comes before --from {start and start[0]}.", "Name a later stage.")
        if len({part.training.devices for part in parts}) > 1:
            raise InputError("training.devices", "must be the same in all stages.", "Set training.devices for all.")
        device = as_device(parts[0].training.device)
        self.nodes = check_world(parts[0].training.devices, os.environ, parts[0].training.nodes)
        devices, count = parts[0].training.devices, torch.cuda.device_count()
        if device.type == "cuda" and devices // self.nodes > count:
            raise InputError("training.devices", f"is {devices}; this machine has {count} GPUs.", "Ask for fewer.")
        plans = [make_plan(part) for part in parts]
        for before, plan in zip(plans[self.first :], plans[self.first + 1 :], strict=False):
            plan.check_start(before)
        plans = [dataclasses.replace(plan, start=self._model_before(number)) for number, plan in enumerate(plans)]
        self.plans, self.device = plans, device
        if self.start is not None:
            plans[self.first].make_model()  # weights that do not fit are refused here

    def place(self, number: int) -> StagePlace:
        """Return where a stage stands, counted from 0."""
        names = [stage.name for stage in self.recipe.stages] or [""]
        return StagePlace(number + 1, len(names), names[number])

    def stage_folder(self, number: int) -> RunFolder:
        """Return the folder of a stage: that of the run where the recipe has none."""
        stages = self.recipe.stages
        return self.folder.stage(number, stages[number].slug) if stages else self.folder

    def train(self, minutes: float | None, reporter: Reporter) -> TrainingOutcome:
        """Train stage after stage until the end or until something stops the run."""
        first_process = is_first()
        self._support_precision(reporter)
        for caution in dict.fromkeys(text for plan in self.plans for text in cautions(plan.config)):
            reporter.noted(caution)
        with self.folder.claimed(self.resume) if first_process else nullcontext():
            return self._train(minutes, reporter)

    def _train(self, minutes: float | None, reporter: Reporter) -> TrainingOutcome:
        """Train in a folder that is this run's alone."""
        from lightning.fabric import Fabric

        training, first_process = self.recipe.parts()[0].training, is_first()
        if first_process:
            self._begin()  # before other processes are launched
        fabric = Fabric(
            accelerator="gpu" if self.device.type == "cuda" else "cpu",
            devices=training.devices // self.nodes,
            num_nodes=self.nodes,
            strategy="ddp" if training.devices > 1 else "auto",
        )
        fabric.launch()
        numbers = [n for n in range(self.first, self.last + 1) if not self._is_done(n)]
        forecasts = [self._forecast(number) for number in numbers] if first_process else []
        hours = {number: forecast.hours for number, forecast in zip(numbers, forecasts, strict=False)}
        if forecasts:
            reporter.planned(forecasts)
        limit = training.minutes if minutes is None else minutes
        deadline = None if limit is None else time.monotonic() + limit * 60
        stopped = None

        def on_signal(name: str) -> None:
            reporter.noted(f"{name}: finishing this step and saving.")

        with Interruption(on_signal) as interruption:
            for number in numbers:
                later = 3600 * sum(value for n, value in hours.items() if n > number)
                stopped = self._train_stage(fabric, number, later, reporter, interruption, deadline)
                if stopped is not None:
                    break
        if stopped is None and self.last + 1 < len(self.plans):
            stopped = "--until"
        # `BestModel` has written the run's model whenever it wrote a stage's.
        model = self.folder.model if (self.folder.model / "config.json").is_file() else None
        return TrainingOutcome(self.folder.path, self.folder.steps_done(), self.recipe.steps, stopped, model)

    def estimate(self) -> list[Forecast]:
        """Return estimates of all stages of this run that are not done; raises InputError where it cannot begin."""
        if not self.resume:
            self.folder.check_free()
        return [self._forecast(number) for number in range(self.first, self.last + 1) if not self._is_done(number)]

    def _forecast(self, number: int) -> Forecast:
        from scenewise.training.loop import memory_remedy

        plan = self.plans[number]
        step = self.stage_folder(number).steps_done() if self.resume else 0
        with memory_remedy(plan, lambda: step):
            return forecast(plan, plan.make_model(warm=False), self.device, step, self.folder.path, self.place(number))

    # -- on disk ------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Begin the run's folder, or check that the run in it is this one; more steps lengthen its newest stage."""
        last, start = self.plans[-1], {} if self.start is None else {"start": list(self.start)}
        whole = settings_of(last, self.recipe) | start
        if not self.resume:
            self.folder.check_free()
            self.folder.begin(whole)
            return
        recipe = self.folder.recipe()
        numbers = [number for number in range(len(self.plans)) if self.stage_folder(number).begun]
        names = [f"stages.{stage.slug}." for stage in recipe.stages]
        checked = tuple(names[number] for number in numbers if names)  # stages that have begun are compared below
        problems = [line for line in differences(recipe, self.recipe) if names and not line.startswith(checked)]
        if problems:
            remedy = "Leave out recipe and settings to go on as it began, or begin anew with another --out."
            raise InputError(self.folder.path, f"cannot be resumed: {'; '.join(problems)}.", remedy)
        lengthened = [
            self.stage_folder(number).check_same(self.plans[number], may_lengthen=number == numbers[-1])
            for number in numbers
        ]
        if any(lengthened) and recipe.stages:
            self.folder.begin(whole)

    def _is_done(self, number: int) -> bool:
        folder, training = self.stage_folder(number), self.plans[number].recipe.training
        if not (self.resume and folder.begun and folder.steps_done() >= training.steps):
            return False
        return training.motion is None or bool(read_card(folder.model).motion)

    def _model_before(self, number: int) -> Path | None:
        """Return the model folder that a stage begins with, None for the recipe's own initial model."""
        if self.start is not None and number == self.first:
            return find(self.start[1])
        return self.stage_folder(number - 1).model if number > self.first else None

    def _train_stage(
        self,
        fabric: Any,
        number: int,
        later: float,
        reporter: Reporter,
        interruption: Interruption,
        deadline: float | None,
    ) -> str | None:
        """Train one stage; return what stopped it before its last step."""
        from scenewise.training.books import NO_GAIN, Books
        from scenewise.training.loop import fit
        from scenewise.training.validation import BestModel

        plan, folder, books = self.plans[number], self.stage_folder(number), None
        if is_first() and not folder.begun:
            folder.begin(settings_of(plan))
        fabric.barrier()
        state = folder.latest()
        moments = None
        if state is None and number > self.first and plan.recipe.training.carry_moments:
            moments = self.stage_folder(number - 1).latest()
        if is_first():
            place, step = self.place(number), 0 if state is None else int(state["step"])
            folder.log("begun" if state is None else f"resumed at step {step}")
            reporter.begun(place, plan.recipe.training.steps, step)
            folders = [folder.model] if folder.path == self.folder.path else [folder.model, self.folder.model]
            start = self._model_before(number) or plan.recipe.training.initial_model
            best = BestModel(
                folders,
                plan,
                device_name(self.device),
                place.name,
                ()
                if start is None
                else read_card(start).stages,  # those before, as the card of the first model has them
                tuple(folder.settings().get("lengthened", ())),
                -float("inf") if state is None else float(state["best"]),
            )
            books = Books(folder, plan, best, reporter, self.device, state, place, later, deadline)
        narrow = plan.recipe.training.precision == "tf32"
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = narrow
        try:
            step, stopped = fit(fabric, plan, folder, books, state, moments, interruption, deadline)
        finally:
            if books is not None:
                books.close()
        if books is not None:
            folder.log(f"{'stopped by ' + stopped if stopped else 'finished'} at step {step}")
        if plan.recipe.training.motion is not None and stopped in (None, NO_GAIN):
            if books is not None:
                stopped = self._learn_motion(plan, books, interruption, deadline) or stopped
            stopped = fabric.broadcast(stopped)
        fabric.barrier()
        return stopped

    def _learn_motion(self, plan: Plan, books: Books, interruption: Interruption, deadline: float | None) -> str | None:
        """Let the best model of a stage learn how objects move, and write it anew; return what stopped it, if so."""
        from scenewise.training.motion import StoppedError, learn_motion

        def stop() -> str | None:
            late = deadline is not None and time.monotonic() >= deadline
            return interruption.name or ("time limit" if late else None)

        saved = load_model(books.best.folders[0], self.device)
        sources = (plan.train, plan.validation)
        try:
            learned = learn_motion(saved.model, plan.recipe.training, sources, books.reporter.followed, stop)
        except StoppedError as error:
            books.folder.log(f"stopped by {error} while it learned how objects move")
            return str(error)
        for folder in reversed(books.best.folders):  # the stage's is last: by its card a run knows that all is done
            save_model(saved.model, folder, dataclasses.replace(saved.card, motion=str(learned)))
        books.folder.log(f"learned how objects move: {learned}")
        books.reporter.noted(f"learned how objects move: {learned}")
        return None

    def _support_precision(self, reporter: Reporter) -> None:
        """Take float32 where a stage wants bf16 and the device has none; one line says so."""
        if has_bf16(self.device) or all(plan.recipe.training.precision != "bf16" for plan in self.plans):
            return
        reporter.noted(f"{device_name(self.device)} has no bf16: convolutions run in float32")
        for number, plan in enumerate(self.plans):
            if plan.recipe.training.precision == "bf16":
                config = dataclasses.replace(plan.config, bf16_convolutions=False)
                self.plans[number] = dataclasses.replace(plan, config=config)


def check_world(devices: int, environment: Mapping[str, str], expected: int | None = None) -> int:
    """Check that as many processes were started as will train, where torchrun or SLURM starts them.

    Args:
        devices: How many processes the recipe wants, over all nodes.
        environment: Variables of this process.
        expected: On how many nodes the recipe wants them; None where that is the launcher's to say.

    Returns:
        The number of nodes; 1 where nothing but this process was started.

    Raises:
        InputError: The numbers differ.

    Examples:
        >>> check_world(4, {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "4", "GROUP_WORLD_SIZE": "2"})
        2
        >>> check_world(1, {"SLURM_NTASKS": "4", "SLURM_PROCID": "0"})
        Traceback (most recent call last):
        ...
        scenewise.errors.InputError: training.devices: is 1; SLURM started 4 processes. Set training.devices=4, or ...
    """
    if "TORCHELASTIC_RUN_ID" in environment or {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= environment.keys():
        launcher, world, nodes = "torchrun", environment.get("WORLD_SIZE", "1"), environment.get("GROUP_WORLD_SIZE")
        nodes = nodes or str(_count(world) // max(1, _count(environment.get("LOCAL_WORLD_SIZE", world))))
    elif {"SLURM_NTASKS", "SLURM_PROCID"} <= environment.keys() and environment.get("SLURM_JOB_NAME") not in _BY_HAND:
        launcher, world = "SLURM", environment.get("SLURM_STEP_NUM_TASKS", environment["SLURM_NTASKS"])
        nodes = environment.get("SLURM_STEP_NUM_NODES", environment.get("SLURM_NNODES", "1"))
    else:
        launcher, world, nodes = "", str(devices), "1"
    if expected is not None and expected != max(1, _count(nodes)):
        world_text = f"{launcher} started {_count(nodes)}" if launcher else "no launcher started this process"
        remedy = f"Start it on each: torchrun --nnodes={expected} ..., or leave training.nodes out."
        raise InputError("training.nodes", f"is {expected}; {world_text}.", remedy)
    if _count(world) != devices:
        remedy = f"Set training.devices={_count(world)}, or start {devices}: it counts those of all nodes."
        raise InputError("training.devices", f"is {devices}; {launcher} started {_count(world)} processes.", remedy)
    if devices % max(1, _count(nodes)):
        problem = f"{devices} processes do not divide evenly among {_count(nodes)} nodes."
        raise InputError("training.devices", problem, "Start as many on every node.")
    return max(1, _count(nodes))


_BY_HAND = ("bash", "interactive")
"""Names of SLURM's jobs in which a person types commands."""


def _count(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 1


def has_bf16(device: torch.device) -> bool:
    """Return whether a device convolves in bfloat16."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return supported is not None and bool(supported())
