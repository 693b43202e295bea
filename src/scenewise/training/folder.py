"""The folder of a run: settings, metrics, checkpoints, events. Whatever happens, what is in it is whole."""

from __future__ import annotations

import csv
import io
import platform
import re
import time
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml

from scenewise.config import build, plain
from scenewise.errors import InputError
from scenewise.media.files import check_readable, read_bytes, read_yaml, write_atomically, writing
from scenewise.media.folders import BusyError, FolderLock
from scenewise.models import renamed
from scenewise.training.recipe import Recipe, differences
from scenewise.training.recipes import from_plain, with_current_names
from scenewise.training.states import check_state
from scenewise.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scenewise.training.plan import Plan

RECIPE, STAGES = "recipe.yaml", "stages"
KEPT = 2
"""How many checkpoints are kept: the newest, and the one before it in case the newest cannot be read."""


class RunFolder:
    """One run on disk, or one stage of it.

    A run of a recipe with stages holds its recipe, the newest model, and a folder `stages/NUMBER-NAME` per stage, each
    as the folder of a run without stages: recipe, tables, pictures, checkpoints and the stage's best model.

    Args:
        path: The folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.model = self.path / "model"
        self.images = self.path / "images"
        self.tensorboard = self.path / "tensorboard"
        self.checkpoints = self.path / "checkpoints"

    def stage(self, number: int, slug: str) -> RunFolder:
        """Return the folder of a stage, counted from 0."""
        return RunFolder(self.path / STAGES / f"{number + 1}-{slug}")

    @property
    def stages(self) -> list[RunFolder]:
        """The stages that have begun, in order; empty where the run has none."""
        listed = (path for path in (self.path / STAGES).glob("*-*") if re.match(r"[0-9]{1,4}-", path.name))
        folders = (path for path in listed if (path / RECIPE).is_file())
        return [RunFolder(path) for path in sorted(folders, key=lambda path: int(path.name.partition("-")[0]))]

    def check_free(self) -> None:
        """Check that a run may begin here.

        Raises:
            InputError: The folder holds files already, or is none.
        """
        if self.path.exists() and not self.path.is_dir():
            raise InputError(self.path, "is no folder; one is to be written.", "Choose another --out.")
        if self.path.exists() and any(self.path.iterdir()):
            remedy = "Add --resume to continue it, or choose another --out."
            raise InputError(
                self.path, "holds files already.", remedy if (self.path / RECIPE).exists() else "Choose another --out."
            )

    @contextmanager
    def claimed(self, resume: bool) -> Iterator[None]:
        """Keep other processes from training in the folder meanwhile; it is made, or left as it was on an error.

        Args:
            resume: There should be a run in it; nothing is made.

        Raises:
            InputError: Another process trains in it, or it cannot be made.
        """
        fresh = [] if resume else [path for path in (self.path, *self.path.parents) if not path.exists()]
        with writing(self.path / RECIPE):
            if fresh:
                self.path.mkdir(parents=True, exist_ok=True)
        try:
            lock = FolderLock(self.path) if self.path.is_dir() else nullcontext()  # what else it is, `begin` tells
        except BusyError:
            remedy = "Wait for it, stop it, or choose another --out."
            raise InputError(self.path, "another process is training in this folder.", remedy) from None
        try:
            with lock:
                yield
        finally:
            with suppress(OSError):  # all that has files in it stays
                for path in fresh:
                    path.rmdir()

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Make the folder of a new run or stage; what a process that died at this very place left is taken over.

        Args:
            settings: What `settings_of` gives; written last, so that a folder that has it is whole.
        """
        text = yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True)
        staged = bool(settings["recipe"]["stages"])  # each stage has a folder of its own for these
        with writing(self.path / RECIPE):
            for folder in (self.path, *(() if staged else (self.images, self.tensorboard, self.checkpoints))):
                folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / RECIPE, text)

    @property
    def begun(self) -> bool:
        """Whether a run or stage has begun here."""
        return (self.path / RECIPE).is_file()

    def recipe(self) -> Recipe:
        """Return the recipe the run was begun with.

        Raises:
            InputError: There is no run in the folder.
        """
        values = with_current_names(self.settings()["recipe"], warn=False)
        if isinstance(values.get("stages"), list):
            stages = values["stages"]
            values["stages"] = [with_current_names(s, warn=False) if isinstance(s, dict) else s for s in stages]
        return from_plain(values, str(self.path / RECIPE))

    def check_same(self, plan: Plan, may_lengthen: bool = True) -> bool:
        """Check that a stage can go on as `plan`; more steps than it had been planned with lengthen it.

        Returns:
            Whether it was lengthened.

        Raises:
            InputError: Settings or data differ; the message lists every difference.
        """
        settings = self.settings()
        old, new = self.recipe(), plan.recipe
        lengthened = new.training.steps > old.training.steps and may_lengthen
        if lengthened:
            old = replace(old, training=replace(old.training, steps=new.training.steps))
        problems = differences(old, new)
        before, current = settings["data"]["fingerprint"], plan.train.fingerprint()
        if before != current:
            problems.append(f"data fingerprint: {before} in the run, {current} now")
        model = renamed.current(new.model.name, settings["model"])
        if not problems and build(type(plan.config), model, str(self.path / RECIPE)) != plan.config:
            problems.append("the model's effective settings changed with the version of scenewise")
        if problems:
            raise InputError(
                self.path,
                "cannot be resumed with another recipe: " + "; ".join(problems) + ".",
                "Leave out recipe and settings to go on as it began, or begin anew with another --out.",
            )
        if lengthened:
            steps = settings["recipe"]["training"]["steps"]
            self.log(f"lengthened from {steps} to {new.training.steps} steps")
            self.begin(settings_of(plan) | {"lengthened": [*settings.get("lengthened", ()), steps]})
        return lengthened

    def settings(self) -> dict[str, Any]:
        """Return what `begin` wrote.

        Raises:
            InputError: There is no run, or its settings cannot be read.
        """
        file = self.path / RECIPE
        if not file.exists():
            raise InputError(self.path, "holds no run to resume.", "Leave out --resume to begin one.")
        settings = read_yaml(file, "recipe, model and data", "Begin the run anew.")
        start, lengthened = settings.get("start", ["", ""]), settings.get("lengthened", [])
        if (
            not all(isinstance(settings.get(key), dict) for key in ("recipe", "model", "data"))
            or not isinstance(settings["data"].get("fingerprint"), str)
            or not (isinstance(start, list) and [type(part) for part in start] == [str, str])
            or not (isinstance(lengthened, list) and all(type(steps) is int for steps in lengthened))
        ):
            raise InputError(file, "must hold recipe, model and data, as they were written.", "Begin the run anew.")
        return settings

    # -- checkpoints --------------------------------------------------------------------------------------------

    def save(self, state: Mapping[str, Any]) -> Path:
        """Write a checkpoint, whole or not at all, and drop all but the last two."""
        path = self.checkpoints / f"step_{state['step']:09d}.pt"
        with io.BytesIO() as buffer:
            torch.save(dict(state), buffer)
            write_atomically(path, buffer.getvalue())
        for old in self._saved()[:-KEPT]:
            old.unlink(missing_ok=True)
        return path

    def latest(self) -> dict[str, Any] | None:
        """Return the newest checkpoint that can be read, or None where none was written yet; nothing is unpickled.

        Raises:
            InputError: There are checkpoints and none can be read.
        """
        saved = self._saved()
        for path in reversed(saved):
            try:
                check_readable(path)
                state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
                check_state(state, _step(path))
            except Exception as error:  # a damaged archive raises anything
                self.log(f"checkpoint {path.name} cannot be read: {str(error)[:500]}")
            else:
                return state
        if saved:
            raise InputError(self.checkpoints, "holds no checkpoint that can be read.", "Begin the run anew.")
        return None

    def steps_done(self) -> int:
        """Return the step of the newest checkpoint by its name, of all stages together; 0 where there is none."""
        if self.stages:
            return sum(stage.steps_done() for stage in self.stages)
        saved = self._saved()
        return _step(saved[-1]) if saved else 0

    def _saved(self) -> list[Path]:
        return sorted(path for path in self.checkpoints.glob("step_*.pt") if _STEP.fullmatch(path.stem))

    # -- records ------------------------------------------------------------------------------------------------

    def log(self, text: str) -> None:
        """Add a line to events.log."""
        with writing(self.path / "events.log"), (self.path / "events.log").open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {' '.join(text.split())}\n")

    def table(self, name: str, step: int) -> Table:
        """Open a CSV file for rows after `step`; later rows, left by a run that died, are dropped."""
        return Table(self.path / name, step)


class Table:
    """A CSV file whose first column is the step; every row is on disk when `add` returns.

    Args:
        path: The file.
        step: Rows of later steps are dropped.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        self.columns: list[str] | None = None
        if path.exists():
            content = read_bytes(path, _LARGEST_TABLE).decode(errors="replace") if path.stat().st_size else ""
            head, *lines = content.split("\n")[:-1] or [""]  # a torn last row has no end
            rows = [line for line in lines if _WHOLE.match(line) and line.count(",") == head.count(",")]
            rows_until = [row for row in rows if int(row.split(",")[0]) <= step]
            self.columns = head.split(",") if rows_until else None
            write_atomically(path, "".join(f"{line}\n" for line in ([head, *rows_until] if rows_until else [])))

    def add(self, row: Mapping[str, Any]) -> None:
        """Append one row; the first row of a file decides its columns."""
        fresh = self.columns is None
        columns = self.columns = self.columns or list(row)
        with writing(self.path), self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore", lineterminator="\n")
            if fresh:
                writer.writeheader()
            writer.writerow({key: f"{v:.9g}" if isinstance(v, float) else v for key, v in row.items()})


_WHOLE = re.compile(r"[0-9]{1,15},")  # how a whole row of a table begins
_STEP = re.compile(r"step_[0-9]{9,12}")
_LARGEST_TABLE = 1 << 30  # bytes


def _step(path: Path) -> int:
    """Return the step of a checkpoint by its name."""
    return int(path.stem.removeprefix("step_"))


def settings_of(plan: Plan, recipe: Recipe | None = None) -> dict[str, Any]:
    """Return what a run's recipe.yaml holds: recipe, the model's effective settings, data and versions.

    Args:
        plan: The stage, or the last of a recipe with stages.
        recipe: That recipe; the plan's own where None.
    """
    return {
        "recipe": plain(recipe or plan.recipe),
        "model": plain(plan.config),
        "data": {"source": plan.recipe.data.source, "fingerprint": plan.train.fingerprint()},
        "versions": {
            "scenewise": __version__,
            "torch": str(torch.__version__),
            "python": platform.python_version(),
        },
    }
