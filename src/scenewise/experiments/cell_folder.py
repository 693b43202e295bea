"""The folder of a cell: an ordinary run of `scenewise train`, and its scores beside it.

A cell whose weights are ready has scores only.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenewise.checkpoint import load_model
from scenewise.config import plain
from scenewise.data.contract import SOURCES
from scenewise.decompose.run import versions
from scenewise.errors import InputError
from scenewise.evaluation.evaluate import evaluate
from scenewise.media.files import write_atomically, writing
from scenewise.training.folder import RECIPE, RunFolder
from scenewise.training.plan import make_plan
from scenewise.training.recipes import differences
from scenewise.training.run import train

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scenewise.checkpoint import Loaded
    from scenewise.data.contract import Source
    from scenewise.experiments.experiment import Cell, Scoring
    from scenewise.training.recipes import Recipe
    from scenewise.training.reporter import Reporter
    from scenewise.training.run import Outcome

SCORES = "scores.json"
_ELSEWHERE = ("data.settings.path:", "data.settings.files:", "training.initial_model:")
"""Settings that say where things lie, not what they are."""


@dataclass(frozen=True)
class State:
    """How far a cell is.

    Attributes:
        step: Steps its training has done.
        steps: Steps of its training; 0 where the weights are ready.
        scored: Evaluations that are done for the model as it is.
        scorings: Evaluations in all.
        model: Whether there is a model to evaluate.
    """

    step: int
    steps: int
    scored: int
    scorings: int
    model: bool

    @property
    def trained(self) -> bool:
        """Whether its training is finished."""
        return self.model and self.step >= self.steps


class CellFolder:
    """A cell on disk.

    Args:
        cell: The cell.
        out: The experiment's folder.
        words: Settings `key=value` laid over every recipe.
    """

    def __init__(self, cell: Cell, out: str | Path, words: Sequence[str] = ()) -> None:
        self.cell, self.words = cell, words
        self.out = Path(out)
        self.path = self.out / cell.name
        self.run = RunFolder(self.path)

    def recipe(self) -> Recipe:
        """Return what is trained; raises InputError as `Cell.recipe`."""
        return self.cell.recipe(self.words, self.out)

    def state(self) -> State:
        """Say how far it is, without loading anything large but weights that are ready: their fingerprint counts.

        Raises:
            InputError: Scores or weights cannot be read.
        """
        kept = self._kept()
        if self.cell.weights is not None:
            same = kept.get("fingerprint") == load_model(self.cell.weights).fingerprint
            return State(0, 0, self._done(kept) if same else 0, len(self.cell.scoring), True)
        begun = (self.path / RECIPE).is_file()
        steps = self.run.recipe().training.steps if begun else self.recipe().training.steps
        there = (self.run.model / "config.json").is_file()
        step = self.run.steps_done()
        done = self._done(kept) if kept.get("step") == step else 0
        return State(step, steps, done, len(self.cell.scoring), there)

    def check(self) -> None:
        """Check that it can be trained, or that what lies there is a training of this cell; or that weights are there.

        Raises:
            InputError: The recipe cannot work, the folder holds something else, or weights or their data are wrong.
        """
        if self.cell.weights is not None:
            self._check_weights(self.cell.weights)
            return
        recipe = self.recipe()
        if (self.path / RECIPE).is_file():
            self._check_same(recipe)
        else:
            make_plan(recipe)

    def train(self, reporter: Reporter) -> Outcome | None:
        """Train it, or continue; return None where it is finished already or its weights are ready.

        Raises:
            InputError: As `scenewise train`; or the folder holds a run with other settings.
        """
        if self.cell.weights is not None:
            return None
        recipe = self.recipe()
        if not (self.path / RECIPE).is_file():
            return train(recipe, self.path, reporter=reporter)
        self._check_same(recipe)
        return None if self.state().trained else train(self.run.recipe(), self.path, resume=True, reporter=reporter)

    def _check_weights(self, weights: str) -> None:
        if (self.path / RECIPE).is_file():
            remedy = "Choose another --out."
            raise InputError(self.path, f"holds a training; the cell has the weights {weights}.", remedy)
        load_model(weights)
        for scoring in self.cell.scoring:
            self._source(scoring)

    def _check_same(self, recipe: Recipe) -> None:
        found = [d for d in differences(self.run.recipe(), recipe) if not d.startswith(_ELSEWHERE) or "None" in d]
        if found:
            remedy = "Lay the run's settings over the cells as key=value words, or choose another --out."
            raise InputError(self.path, f"holds a run with other settings: {'; '.join(found)}.", remedy)

    def score(
        self,
        device: str = "cpu",
        progress: Callable[[str, int, int], None] | None = None,
        measure: Callable[[Path, Cell], dict[str, Any]] | None = None,
    ) -> int:
        """Evaluate the model by what is not done yet; every evaluation is kept as soon as it is done.

        Args:
            device: Where to compute.
            progress: Called with the protocol, frames done and their number.
            measure: Measures more; see `experiment`.

        Returns:
            How many evaluations were made now.

        Raises:
            InputError: There is no model, or it cannot be scored on the data.
        """
        loaded = load_model(self.cell.weights or self.run.model, device)
        kept = self._kept()
        if kept.get("fingerprint") != loaded.fingerprint:
            kept = self._fresh(loaded)
        kept["step"] = self.run.steps_done()
        made = 0
        for scoring in self.cell.scoring:
            if plain(scoring) in [done["scoring"] for done in kept["scores"]]:
                continue
            kept["scores"].append(self._evaluate(loaded, scoring, progress))
            self._write(kept)
            made += 1
        if measure is not None and self.cell.weights is None and "measured" not in kept:
            kept["measured"] = measure(self.path, self.cell)
            made += 1
        self._write(kept)
        return made

    def scores(self) -> dict[str, Any]:
        """Return what `score` kept, empty where it kept nothing; evaluations that the cell no longer names are out."""
        kept = self._kept()
        return kept | {"scores": [s for s in kept["scores"] if s["scoring"] in self._wanted()]} if kept else {}

    def _wanted(self) -> list[dict[str, Any]]:
        return [plain(scoring) for scoring in self.cell.scoring]

    def _done(self, kept: dict[str, Any]) -> int:
        return sum(done["scoring"] in self._wanted() for done in kept.get("scores", []))

    def _source(self, scoring: Scoring) -> Source:
        if scoring.source is None:
            data = self.cell.data_part(self.words, self.out)
            return SOURCES.get(data.source)(split=scoring.split, **data.settings)
        return SOURCES.get(scoring.source)(split=scoring.split, **scoring.settings)

    def _evaluate(
        self, loaded: Loaded, scoring: Scoring, progress: Callable[[str, int, int], None] | None
    ) -> dict[str, Any]:
        source, started = self._source(scoring), time.perf_counter()
        rows = evaluate(
            loaded.model,
            source,
            [scoring.protocol],
            videos=scoring.samples,
            frames=scoring.frames,
            seeds=scoring.seeds,
            slots=scoring.slots,
            batch=scoring.batch,
            progress=None if progress is None else lambda done, total: progress(scoring.protocol, done, total),
        )
        told = {"scoring": plain(scoring), "data": source.fingerprint(), "rows": rows}
        return told | {"seconds": round(time.perf_counter() - started, 2)}

    def _fresh(self, loaded: Loaded) -> dict[str, Any]:
        card = loaded.card
        facts = {"name": self.cell.name, "fingerprint": loaded.fingerprint, "kept_step": card.steps}
        return {**facts, "hours": card.hours, "hardware": card.hardware, "versions": versions(), "scores": []}

    def _kept(self) -> dict[str, Any]:
        try:
            kept = json.loads((self.path / SCORES).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise InputError(self.path / SCORES, f"cannot be read: {error}.", "Remove it to score again.") from error
        return kept if isinstance(kept, dict) else {}

    def _write(self, kept: dict[str, Any]) -> None:
        with writing(self.path / SCORES):
            self.path.mkdir(parents=True, exist_ok=True)  # a training makes it; ready weights have none
        write_atomically(self.path / SCORES, json.dumps(kept) + "\n")
