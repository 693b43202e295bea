"""What the first process writes while a stage trains: tables, TensorBoard, pictures, the best model, checkpoints."""

from __future__ import annotations

import collections
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.media.contact_sheet import png
from scenewise.media.files import write_atomically
from scenewise.training.plan import cells_of
from scenewise.training.recipe import clip_length, work
from scenewise.training.reporter import StepProgress
from scenewise.training.validation import panel, validate

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from scenewise.models.contract import SceneModel
    from scenewise.training.folder import RunFolder
    from scenewise.training.plan import Plan
    from scenewise.training.recipe import StagePlace
    from scenewise.training.reporter import Reporter
    from scenewise.training.validation import BestModel

NO_GAIN = "no gain"
"""What stops a stage whose validations have brought no better bound for as long as the recipe waits."""


class Books:
    """The books of one stage.

    Args:
        folder: The stage's folder.
        plan: What is trained on what.
        best: Writes the best model.
        reporter: Hears of everything.
        device: Where the stage computes.
        state: The checkpoint it continues from, or None.
        place: Where the stage stands in its run.
        later: Estimate of the seconds that later stages take.
        deadline: Moment of `time.monotonic` from which on the stage stops, or None.
    """

    def __init__(
        self,
        folder: RunFolder,
        plan: Plan,
        best: BestModel,
        reporter: Reporter,
        device: torch.device,
        state: dict[str, Any] | None,
        place: StagePlace,
        later: float,
        deadline: float | None,
    ) -> None:
        self.folder, self.plan, self.best, self.reporter, self.device = folder, plan, best, reporter, device
        self.training, self.place, self.later, self.deadline = plan.recipe.training, place, later, deadline
        step = 0 if state is None else int(state["step"])
        self.before = 0.0 if state is None else float(state["seconds"])
        self.metrics, self.validations = folder.table("metrics.csv", step), folder.table("validation.csv", step)
        self.board = Board(folder.tensorboard, step)
        self.start = self.last_checkpoint = time.monotonic()
        self.times = collections.deque[tuple[float, int]]([(self.start, step)], maxlen=20)
        self.last_validation = -1
        picture = plan.picture()
        if picture is not None:
            write_atomically(folder.images / "background.png", png(np.moveaxis(picture, 0, -1)))
        waited = 0 if state is None else int(state.get("waited", 0))
        self.waited = 0 if self.training.patience and waited >= self.training.patience else waited

    @property
    def seconds(self) -> float:
        """Seconds the stage was trained in all."""
        return self.before + time.monotonic() - self.start

    def record(self, step: int, row: dict[str, float], frames: int, model: SceneModel) -> None:
        """Write a row where one is due, and report how far the run is.

        Args:
            step: Steps done.
            row: Loss, its terms in nats per clip, norm of the gradient, learning rate.
            frames: Frames of the step's clips.
            model: Who is trained.
        """
        training = self.training
        self.times.append((time.monotonic(), step))
        if step % training.log_every == 0 or step in (1, training.steps):
            self.metrics.add({"step": step, **row, "clip": frames, "seconds": round(self.seconds, 3)})
            for name, value in row.items():
                self.board.add_scalar(f"training/{name}", value, step)
        (start, first), (latest, last) = self.times[0], self.times[-1]
        rate = (last - first) / max(1e-9, latest - start)
        cells_now = cells_of(model, clip_length(training, step - 1))
        rest = work(training, lambda n: cells_of(model, n), step) / cells_now / rate + self.later
        if self.deadline is not None:
            rest = max(0.0, min(rest, self.deadline - latest))
        terms = {name: value for name, value in row.items() if name not in ("loss", "gradient_norm", "learning_rate")}
        self.reporter.progressed(StepProgress(step, training.steps, rate, rest, row["loss"], terms, frames, self.place))

    def look_is_due(self, step: int) -> bool:
        """Return whether `look` has something to do."""
        training = self.training
        return step == training.steps or step % training.validate_every == 0 or step % training.images_every == 0

    def look(self, step: int, model: SceneModel) -> None:
        """Validate and draw, where it is due; the model has the weights that are to be judged."""
        if step % self.training.validate_every == 0 or step == self.training.steps:
            self.validate(step, model)
        if step % self.training.images_every == 0 or step == self.training.steps:
            image = panel(model, self.plan, self.device)
            write_atomically(self.folder.images / f"step_{step:07d}.png", png(image))
            self.board.add_image("decompositions", image, step)

    def validate(self, step: int, model: SceneModel) -> None:
        """Validate, and write the model if it is the best so far."""
        validation = validate(model, self.plan, self.device)
        best = self.best.offer(model, validation, step, self.seconds)
        self.waited = 0 if best else self.waited + 1
        row = validation.row()
        self.validations.add({"step": step, **row, "best": int(best)})
        for name, value in row.items():
            self.board.add_scalar(f"validation/{name}", value, step)
        self.last_validation = step
        self.reporter.validated(step, validation, best)

    @property
    def patience_is_over(self) -> bool:
        """Whether as many validations in a row as the recipe waits for brought no better bound."""
        return 0 < self.training.patience <= self.waited

    def end(self, step: int, model: SceneModel, stopped: str | None) -> None:
        """Look at the model once more at a time limit; at the last step, complete the card."""
        if stopped == "time limit" and self.last_validation != step:
            self.validate(step, model)
        if stopped in (None, NO_GAIN):
            self.best.complete(step, self.seconds)

    def save_is_due(self, step: int) -> bool:
        """Return whether a checkpoint is due, by steps or by the clock."""
        late = time.monotonic() - self.last_checkpoint >= self.training.checkpoint_minutes * 60
        return step % self.training.checkpoint_every == 0 or late

    def save(self, state: dict[str, Any]) -> None:
        """Write a checkpoint of this moment."""
        path = self.folder.save({**state, "seconds": self.seconds, "best": self.best.bound, "waited": self.waited})
        self.board.flush()
        self.last_checkpoint = time.monotonic()
        self.folder.log(f"checkpoint {path.name}")

    def close(self) -> None:
        """Close the tables of TensorBoard."""
        self.board.close()


class Board:
    """TensorBoard's curves and pictures of one stage; nothing is written where tensorboard is not installed.

    Args:
        folder: Where the files go.
        step: Steps done before; what an interrupted run wrote beyond them is not shown.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._writer: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self._writer = SummaryWriter(str(folder), purge_step=step + 1)

    def add_scalar(self, name: str, value: float, step: int) -> None:
        """Add a point to a curve."""
        if self._writer is not None:
            self._writer.add_scalar(name, value, step)

    def add_image(self, name: str, image: np.ndarray, step: int) -> None:
        """Add a picture, uint8, shape (H, W, 3)."""
        if self._writer is not None:
            self._writer.add_image(name, image, step, dataformats="HWC")

    def flush(self) -> None:
        """Write what is still in memory."""
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        """Close the files."""
        if self._writer is not None:
            self._writer.close()
