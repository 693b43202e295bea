"""The folder of a run: settings, metrics, checkpoints, events. Whatever happens, what is in it is whole."""

from __future__ import annotations

import csv
import io
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml

import scenewise
from scenewise.config import plain
from scenewise.errors import InputError
from scenewise.media.files import write_atomically, writing
from scenewise.training.recipes import Recipe, differences, from_plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scenewise.training.plan import Plan

RECIPE = "recipe.yaml"
KEPT = 2
"""How many checkpoints are kept: the newest, and the one before it in case the newest cannot be read."""


class RunFolder:
    """One run on disk.

    Args:
        path: The folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.model = self.path / "model"
        self.images = self.path / "images"
        self.tensorboard = self.path / "tensorboard"
        self.checkpoints = self.path / "checkpoints"

    def begin(self, plan: Plan) -> None:
        """Make the folder of a new run.

        Raises:
            InputError: It holds files already, or cannot be written.
        """
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            remedy = "Add --resume to continue it, or choose another --out."
            raise InputError(
                self.path, "holds files already.", remedy if (self.path / RECIPE).exists() else "Choose another --out."
            )
        settings = yaml.safe_dump(_settings(plan), sort_keys=False, allow_unicode=True)
        with writing(self.path / RECIPE):
            for folder in (self.path, self.images, self.tensorboard, self.checkpoints):
                folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / RECIPE, settings)

    def recipe(self) -> Recipe:
        """Return the recipe the run was begun with.

        Raises:
            InputError: There is no run in the folder.
        """
        return from_plain(self._kept()["recipe"], str(self.path / RECIPE))

    def check_same(self, plan: Plan) -> None:
        """Check that a run can go on as `plan`.

        Raises:
            InputError: Settings or data differ; the message lists every difference.
        """
        kept = self._kept()
        found = differences(self.recipe(), plan.recipe)
        before, now = kept["data"]["fingerprint"], plan.train.fingerprint()
        if before != now:
            found.append(f"data fingerprint: {before} in the run, {now} now")
        if not found and kept["model"] != plain(plan.config):
            found.append("the model's effective settings changed with the version of scenewise")
        if found:
            raise InputError(
                self.path,
                "cannot be resumed with another recipe: " + "; ".join(found) + ".",
                "Leave out recipe and settings to go on as it began, or begin anew with another --out.",
            )

    def _kept(self) -> dict[str, Any]:
        file = self.path / RECIPE
        try:
            kept = yaml.safe_load(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(self.path, "holds no run to resume.", "Leave out --resume to begin one.") from None
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise InputError(file, f"cannot be read: {error}.", "Begin the run anew.") from error
        if not isinstance(kept, dict) or not {"recipe", "model", "data"} <= kept.keys():
            raise InputError(file, "must hold recipe, model and data.", "Begin the run anew.")
        return kept

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
                state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            except Exception as error:  # a damaged archive raises anything
                self.log(f"checkpoint {path.name} cannot be read: {error}")
            else:
                return state
        if saved:
            raise InputError(self.checkpoints, "holds no checkpoint that can be read.", "Begin the run anew.")
        return None

    def steps_done(self) -> int:
        """Return the step of the newest checkpoint by its name, 0 where none was written yet."""
        saved = self._saved()
        return int(saved[-1].stem.removeprefix("step_")) if saved else 0

    def _saved(self) -> list[Path]:
        return sorted(self.checkpoints.glob("step_*.pt"))

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
            self._keep(step)

    def add(self, row: Mapping[str, Any]) -> None:
        """Append one row; the first row of a file decides its columns."""
        fresh = self.columns is None
        columns = self.columns = self.columns or list(row)
        with writing(self.path), self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore", lineterminator="\n")
            if fresh:
                writer.writeheader()
            writer.writerow({key: _cell(value) for key, value in row.items()})

    def _keep(self, step: int) -> None:
        head, *lines = self.path.read_text(encoding="utf-8").split("\n")[:-1] or [""]  # a torn last row has no end
        rows = [line for line in lines if line.split(",")[0].isdigit() and line.count(",") == head.count(",")]
        kept = [row for row in rows if int(row.split(",")[0]) <= step]
        self.columns = head.split(",") if kept else None
        write_atomically(self.path, "".join(f"{line}\n" for line in ([head, *kept] if kept else [])))


def _cell(value: Any) -> Any:
    return f"{value:.9g}" if isinstance(value, float) else value


def _settings(plan: Plan) -> dict[str, Any]:
    return {
        "recipe": plain(plan.recipe),
        "model": plain(plan.config),
        "data": {"source": plan.recipe.data.source, "fingerprint": plan.train.fingerprint()},
        "versions": {
            "scenewise": scenewise.__version__,
            "torch": str(torch.__version__),
            "python": platform.python_version(),
        },
    }
