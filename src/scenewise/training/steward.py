"""What happens between two steps, always in this order: rows, validation, pictures, checkpoint, stop."""

from __future__ import annotations

import collections
import json
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from lightning.pytorch.callbacks import Callback
from torch.utils.tensorboard import SummaryWriter

from scenewise.media.contact_sheet import png
from scenewise.media.files import write_atomically
from scenewise.training.forecast import cells_of
from scenewise.training.panels import panel
from scenewise.training.reporter import Progress
from scenewise.training.schedule import clip_length, work
from scenewise.training.validation import validate

if TYPE_CHECKING:
    from types import FrameType

    import lightning

    from scenewise.training.folder import RunFolder
    from scenewise.training.keeper import Keeper
    from scenewise.training.learner import Learner, NonFiniteError
    from scenewise.training.reporter import Reporter


class Steward(Callback):
    """Keeps the books of a run; only the first process writes.

    Args:
        folder: The run's folder.
        keeper: Keeps the best model.
        reporter: Hears of everything.
        minutes: Time limit of this start of the run, or None.
        seconds: Seconds trained before this start.
    """

    def __init__(
        self, folder: RunFolder, keeper: Keeper, reporter: Reporter, minutes: float | None, seconds: float
    ) -> None:
        self.folder, self.keeper, self.reporter = folder, keeper, reporter
        self.limit = None if minutes is None else minutes * 60
        self.before = seconds
        self.stopped: str | None = None
        self._validated = -1
        self._signal: str | None = None
        self._handlers: dict[int, Any] = {}
        self._times: collections.deque[tuple[float, int]] = collections.deque(maxlen=20)

    @property
    def seconds(self) -> float:
        """Seconds trained in all."""
        return self.before + time.monotonic() - self._begun

    # -- what Lightning calls -----------------------------------------------------------------------------------

    def setup(self, trainer: lightning.Trainer, pl_module: Any, stage: str) -> None:
        """Start the clock."""
        self._begun = self._checkpoint_time = time.monotonic()

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Open the books and take over Ctrl-C and SIGTERM, after Lightning has set its own handlers."""
        if threading.current_thread() is threading.main_thread():
            self._handlers = {n: signal.signal(n, self._on_signal) for n in (signal.SIGINT, signal.SIGTERM)}
        if trainer.is_global_zero:
            self._rows = self.folder.table("metrics.csv", pl_module.done)
            self._validations = self.folder.table("validation.csv", pl_module.done)
            self._board = SummaryWriter(str(self.folder.tensorboard), purge_step=pl_module.done + 1)
        self._begun = self._checkpoint_time = time.monotonic()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Do what is due after a step; parts of a step pass by."""
        learner: Learner = pl_module
        if (batch_idx + 1) % learner.training_settings.accumulation:
            return
        learner.finish_step()
        if trainer.is_global_zero:
            self._record(learner)
            self._look(learner)
            self._save_if_due(learner)
        self._stop_if_due(trainer, learner)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Save the state the run ended with and close the books; at the time limit, look at the model once more."""
        if trainer.is_global_zero:
            if self.stopped == "time limit" and self._validated != pl_module.done:
                self.validate(pl_module)
            self.save(pl_module)
            self._board.close()
        self._release()

    def on_exception(self, trainer: lightning.Trainer, pl_module: Any, exception: BaseException) -> None:
        """Give signals back whatever happened."""
        self._release()

    # -- what is due --------------------------------------------------------------------------------------------

    def _record(self, learner: Learner) -> None:
        training, measured, step = learner.training_settings, learner.measured, learner.done
        self._times.append((time.monotonic(), step))
        terms = measured.terms or {}
        if step % training.log_every == 0 or step in (1, training.steps):
            row = {"loss": measured.loss, **terms, "gradient_norm": measured.gradient, "learning_rate": measured.rate}
            self._rows.add({"step": step, **row, "clip": measured.frames, "seconds": round(self.seconds, 3)})
            for name, value in row.items():
                self._board.add_scalar(f"training/{name}", value, step)
        rate = self._rate()
        left = self._seconds_left(learner, rate)
        self.reporter.progressed(Progress(step, training.steps, rate, left, measured.loss, terms, measured.frames))

    def _rate(self) -> float:
        """Return steps per second over the last steps."""
        (begin, first), (end, last) = self._times[0], self._times[-1]
        if last == first:
            return 1.0 / max(1e-9, end - self._begun)
        return (last - first) / max(1e-9, end - begin)

    def _seconds_left(self, learner: Learner, rate: float) -> float:
        training = learner.training_settings
        here = cells_of(learner.model, clip_length(training, learner.done - 1))
        cells = work(training, lambda n: cells_of(learner.model, n), learner.done)
        left = cells / here / rate
        return left if self.limit is None else max(0.0, min(left, self.limit - (time.monotonic() - self._begun)))

    def _look(self, learner: Learner) -> None:
        training, step = learner.training_settings, learner.done
        if step % training.validate_every == 0 or step == training.steps:
            self.validate(learner)
        if step % training.images_every == 0 or step == training.steps:
            self.picture(learner)

    def validate(self, learner: Learner) -> None:
        """Validate, log it, and keep the model if it is the best so far."""
        learner.swap_averaged()
        found = validate(learner.model, learner.plan, learner.device)
        best = self.keeper.offer(learner.model, found, learner.done, self.seconds)
        learner.swap_averaged()
        row = found.row()
        self._validations.add({"step": learner.done, **row, "best": int(best)})
        for name, value in row.items():
            self._board.add_scalar(f"validation/{name}", value, learner.done)
        self._validated = learner.done
        self.reporter.validated(learner.done, found, best)

    def picture(self, learner: Learner) -> None:
        """Write a panel of decompositions."""
        learner.swap_averaged()
        image = panel(learner.model, learner.plan, learner.device)
        learner.swap_averaged()
        write_atomically(self.folder.images / f"step_{learner.done:07d}.png", png(image))
        self._board.add_image("decompositions", image, learner.done, dataformats="HWC")

    def save(self, learner: Learner) -> None:
        """Write a checkpoint of this moment."""
        state = {**learner.state(), "seconds": self.seconds, "best": self.keeper.best}
        path = self.folder.save(state)
        self._board.flush()
        self._checkpoint_time = time.monotonic()
        self.folder.log(f"checkpoint {path.name}")

    def _save_if_due(self, learner: Learner) -> None:
        training = learner.training_settings
        late = time.monotonic() - self._checkpoint_time >= training.checkpoint_minutes * 60
        if learner.done < training.steps and (learner.done % training.checkpoint_every == 0 or late):
            self.save(learner)

    # -- stopping -----------------------------------------------------------------------------------------------

    def _stop_if_due(self, trainer: lightning.Trainer, learner: Learner) -> None:
        late = self.limit is not None and time.monotonic() - self._begun >= self.limit
        reason = self._signal or ("time limit" if late else None)
        stop = reason is not None
        if trainer.world_size > 1:  # all processes stop after the same step
            stop = trainer.strategy.reduce_boolean_decision(stop, all=False)
        if stop:
            self.stopped = reason or "another process"
            trainer.should_stop = True

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if self._signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt  # asked twice: now
        self._signal = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
        self.reporter.noted(f"{self._signal}: finishing this step and saving.")

    def _release(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}


def save_failure(folder: RunFolder, error: NonFiniteError) -> None:
    """Write what a broken step saw: step, term and videos as failure.json, frames and noise as failure.npz."""
    clip = error.clip
    facts = {
        "step": error.step,
        "term": error.term,
        "message": str(error),
        "videos": [int(i) for i in clip["indices"]],
        "rows": [int(i) for i in clip["rows"]],
        "seed": int(clip["seed"]),
    }
    np.savez(folder.path / "failure.npz", frames=clip["frames"].cpu().numpy(), noise=clip["noise"].cpu().numpy())
    write_atomically(folder.path / "failure.json", json.dumps(facts, indent=2) + "\n")
    folder.log(f"failure: {error}")
