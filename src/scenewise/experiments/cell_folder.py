"""The folder of a cell: an ordinary run of `scenewise train`, and its scores beside it.

A cell whose weights are ready, or whose model is another experiment's, has scores only. Below the experiments' folders
lie `data`, which they make for themselves, and in each `campaign` with the locks and logs of its cells.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenewise.checkpoint import load_model
from scenewise.config import plain
from scenewise.data.contract import SOURCES
from scenewise.errors import InputError
from scenewise.evaluation.evaluate import evaluate
from scenewise.evaluation.protocols import PROTOCOLS
from scenewise.experiments.experiment import hooks_of
from scenewise.experiments.measured_results import weights_hash
from scenewise.experiments.pictures import write_pictures
from scenewise.experiments.results import SCORES, of_cell, read_scores
from scenewise.media.files import read_json_mapping, write_atomically, writing
from scenewise.media.folders import lock
from scenewise.run_record import versions
from scenewise.training.folder import RECIPE, RunFolder
from scenewise.training.plan import make_plan
from scenewise.training.recipe import differences
from scenewise.training.run import train

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from scenewise.checkpoint import LoadedModel
    from scenewise.data.contract import Source
    from scenewise.experiments.experiment import Cell, Scoring
    from scenewise.training.recipe import Recipe
    from scenewise.training.reporter import Reporter
    from scenewise.training.run import TrainingOutcome

    Extra = Callable[["CellFolder", LoadedModel], dict[str, Any]]

FAILURE, USAGE, CAMPAIGN = "failure.json", "usage.json", "campaign"
_ELSEWHERE = ("data.settings.path:", "data.settings.files:", "training.initial_model:")
"""Settings that say where things lie, not what they are."""


def extras_of(module: str) -> dict[str, Extra]:
    """Return what an experiment gets out of models beside scores, by the name under which that is kept.

    Args:
        module: Name of the experiment's module; its functions are `measure` and `pictures`, kept as `measured` and
            `pictures`.
    """
    hooks = hooks_of(module)
    functions = {"measured": "measure", "pictures": "pictures"}
    return {kept: getattr(hooks, name) for kept, name in functions.items() if hasattr(hooks, name)}


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

    def __init__(self, cell: Cell, out: str | Path, words: Sequence[str] = (), root: str | Path | None = None) -> None:
        self.cell, self.words = cell, words
        self.out = Path(out)
        self.root = Path(out if root is None else root)
        self.path = self.out / cell.name
        self.run = RunFolder(self.root / cell.home / cell.origin.name if cell.origin else self.path)

    def recipe(self) -> Recipe:
        """Return what is trained; raises InputError as `Cell.recipe`."""
        return self.cell.recipe(self.words, self._home, self.data)

    @property
    def data(self) -> Path | None:
        """The folder of made data, None where the cell's are not made yet."""
        data, folder = self.cell.made, self.root / "data"
        return folder if data is not None and data.is_whole(folder) else None

    @property
    def _home(self) -> Path:
        """The folder of the cells among which its model is trained."""
        return self.run.path.parent

    @property
    def start(self) -> Path | None:
        """The folder of the training whose model this one starts from."""
        return None if self.cell.start is None else self._home / self.cell.start

    def state(self) -> State:
        """Say how far it is, without loading anything large but weights that are ready: their fingerprint counts.

        Raises:
            InputError: Scores or weights cannot be read.
        """
        record = self._record()
        if self.cell.weights is not None:
            same = record.get("fingerprint") == load_model(self.cell.weights).fingerprint
            return State(0, 0, self._count(record) if same else 0, len(self.cell.scoring), True)
        recipe_file = (self.run.path / RECIPE).is_file()
        steps = (self.run.recipe() if recipe_file else self.recipe()).steps
        model = (self.run.model / "config.json").is_file()
        step = self.run.steps_done()
        scored = self._count(record) if record.get("step") == step else 0
        return State(step, steps, scored, len(self.cell.scoring), model)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the locks of the cell and of its training.

        Raises:
            BusyError: Another process works on one of them.
        """
        with ExitStack() as held:
            for path in dict.fromkeys([self.path, self.run.path]):
                held.enter_context(lock(path.parent / CAMPAIGN / f"{path.name}.lock"))
            yield

    def failure(self) -> dict[str, Any] | None:
        """Return what the last attempt failed with: `error`, `traceback`, `time` and `step`; None where it did not."""
        try:
            return {"error": "unknown"} | read_json_mapping(self.path / FAILURE, "why an attempt failed", "")
        except InputError:
            return None

    def fail(self, error: str, traceback: str = "") -> None:
        """Keep why an attempt failed."""
        facts = {"time": time.strftime("%Y-%m-%d %H:%M:%S"), "step": self.run.steps_done()}
        with writing(self.path / FAILURE):
            self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / FAILURE, json.dumps({**facts, "error": error, "traceback": traceback}, indent=1))

    def forget_failure(self) -> None:
        """Begin another attempt: a run begins in a folder that is empty."""
        (self.path / FAILURE).unlink(missing_ok=True)

    def finished(self, extras: Collection[str] = ()) -> bool:
        """Say whether nothing is left to do.

        Args:
            extras: What the experiment keeps beside scores; see `extras_of`.
        """
        state = self.state()
        return state.trained and state.scored == state.scorings and set(extras) <= set(self._record())

    def check(self) -> None:
        """Check that it can be trained, or that what lies there is a training of this cell; or that weights are there.

        Raises:
            InputError: The recipe cannot work, the folder holds something else, or weights or their data are wrong; or
                nothing is called as an evaluation has it.
        """
        for scoring in self.cell.scoring:
            PROTOCOLS.get(scoring.protocol)
        weights = self.cell.weights
        if weights is not None:
            if (self.path / RECIPE).is_file():
                remedy = "Choose another --out."
                raise InputError(self.path, f"holds a training; the cell has the weights {weights}.", remedy)
            load_model(weights)
            for scoring in self.cell.scoring:
                self._source(scoring)
        elif (self.run.path / RECIPE).is_file():
            self._check_same()
        else:
            plans = [make_plan(part) for part in self.recipe().parts()]
            for before, plan in itertools.pairwise(plans):
                plan.check_start(before)

    def prepare(self, tell: Callable[[str], None] | None = None) -> None:
        """Make the data that it needs, where they are not there.

        Args:
            tell: Called with a line on what is being done.

        Raises:
            InputError: They cannot be made.
        """
        if self.cell.made is not None:
            self.cell.made.make(self.root / "data", tell)

    def train(self, reporter: Reporter, minutes: float | None = None) -> TrainingOutcome | None:
        """Train it, or continue; return None where it is finished already or its weights are ready.

        Args:
            reporter: Hears of everything.
            minutes: Stop cleanly after that many.

        Raises:
            InputError: As `scenewise train`; or the folder holds a run with other settings.
        """
        if self.cell.weights is not None:
            return None
        self.prepare(reporter.noted)
        path = self.run.path
        if not (path / RECIPE).is_file():
            return train(self.recipe(), path, minutes=minutes, reporter=reporter)
        self._check_same()
        if self.state().trained:
            return None
        return train(self.run.recipe(), path, resume=True, minutes=minutes, reporter=reporter)

    def _check_same(self) -> None:
        recipe = self.cell.recipe(self.words, self._home, self.root / "data")  # as it was begun, also without its data
        before, now = ([stage.slug for stage in one.stages] for one in (self.run.recipe(), recipe))
        changes = [] if before == now else [f"stages: {before} in the run, {now} now"]
        for old, new in zip(self.run.recipe().parts(), recipe.parts(), strict=False):
            changes += [d for d in differences(old, new) if not d.startswith(_ELSEWHERE) or "None" in d]
        if changes:
            remedy = "Lay the run's settings over the cells as key=value words, or choose another --out."
            problem = f"holds a run with other settings: {'; '.join(dict.fromkeys(changes))}."
            raise InputError(self.run.path, problem, remedy)

    def score(
        self,
        device: str = "cpu",
        progress: Callable[[str, int, int], None] | None = None,
        extras: Mapping[str, Extra] | None = None,
    ) -> int:
        """Evaluate the model by what is not done yet; every evaluation is kept as soon as it is done.

        Args:
            device: Where to compute.
            progress: Called with the protocol, frames done and their number.
            extras: What is kept beside scores; see `extras_of`.

        Returns:
            How many evaluations were made now, extras among them.

        Raises:
            InputError: There is no model, or it cannot be scored on the data.
        """
        loaded = load_model(self.cell.weights or self.run.model, device)
        record = self._record()
        if record.get("fingerprint") != loaded.fingerprint:
            card = loaded.card
            record = {"name": self.cell.name, "fingerprint": loaded.fingerprint, "kept_step": card.steps}
            record |= {"hours": card.hours, "hardware": card.hardware, "versions": versions(), "commit": commit()}
            if self.cell.weights is not None:
                record["weights"] = weights_hash(self.cell.weights)
            record |= {**self.usage(), "scores": []}
        record["step"] = self.run.steps_done()
        scored = [evaluation["scoring"] for evaluation in record["scores"]]
        missing = [scoring for scoring in self.cell.scoring if plain(scoring) not in scored]
        for together in _together(missing):
            record["scores"] += self._evaluate(loaded, together, progress)
            self._write(record)
        new = {name: extra for name, extra in (extras or {}).items() if name not in record}
        for name, extra in new.items():
            values = extra(self, loaded)
            record[name] = write_pictures(self.path, values) if name == "pictures" else values
            self._write(record)
        self._write(record)
        return len(missing) + len(new)

    def scores(self) -> dict[str, Any]:
        """Return what `score` kept, empty where it kept nothing; evaluations that the cell no longer names are out."""
        return of_cell(self.cell, self._record())

    def _count(self, record: dict[str, Any]) -> int:
        return len(of_cell(self.cell, record).get("scores", []))

    def source(self, split: str = "test", name: str | None = None, **settings: Any) -> Source:
        """Return a split of the cell's data, or of another source.

        Args:
            split: "train", "validation" or "test".
            name: Of the other source.
            **settings: Of the other source, or laid over those of the cell's data.

        Raises:
            InputError: There is no such source, or a setting is wrong.
        """
        if name is None:
            data = self.cell.data_part(self.words, self._home, self.data)
            return SOURCES.get(data.source)(split=split, **{**data.settings, **settings})
        return SOURCES.get(name)(split=split, **settings)

    def _source(self, scoring: Scoring) -> Source:
        return self.source(scoring.split, scoring.source, **(scoring.settings if scoring.source else {}))

    def _evaluate(
        self, loaded: LoadedModel, together: Sequence[Scoring], progress: Callable[[str, int, int], None] | None
    ) -> list[dict[str, Any]]:
        """Make evaluations that share their computation; of data without ground truth they have no rows."""
        first, started = together[0], time.perf_counter()
        if not self._source(first).facts.has_ids:
            data = self._source(first).fingerprint()
            return [{"scoring": plain(scoring), "data": data, "rows": [], "seconds": 0.0} for scoring in together]
        source, protocols = self._source(first), list(dict.fromkeys(scoring.protocol for scoring in together))
        lengths = list(dict.fromkeys(scoring.frames for scoring in together))
        rows = evaluate(
            loaded.model,
            source,
            protocols,
            videos=first.samples,
            frames=lengths,  # type: ignore[arg-type]
            seeds=(first.seed,),
            slots=first.slots,
            refinements=first.refinements,
            batch=first.batch,
            labels="masks",  # as the papers score
            progress=None if progress is None else lambda done, total: progress(", ".join(protocols), done, total),
        )
        seconds = round((time.perf_counter() - started) / len(together), 2)
        whole = {row["length"] for row in rows} if None in lengths else set()
        evaluations = []
        for scoring in together:
            spans = whole if scoring.frames is None else {scoring.frames}
            part = [row for row in rows if row["protocol"] == scoring.protocol and row["length"] in spans]
            facts = {"data": source.fingerprint(), "rows": part, "seconds": seconds}
            evaluations.append({"scoring": plain(scoring), **facts})
        return evaluations

    def usage(self) -> dict[str, float]:
        """Return `memory_gib`, the most memory its training has held, where that is known."""
        try:
            facts = read_json_mapping(self.run.path / USAGE, "what a training has used", "")
        except InputError:
            return {}
        return {name: value for name, value in facts.items() if isinstance(value, (int, float))}

    def note_usage(self, memory_gib: float) -> None:
        """Keep the most memory that a training has held, over all its starts."""
        most = max(memory_gib, self.usage().get("memory_gib", 0.0))
        write_atomically(self.run.path / USAGE, json.dumps({"memory_gib": round(most, 3)}) + "\n")

    def _record(self) -> dict[str, Any]:
        return read_scores(self.path)

    def _write(self, record: dict[str, Any]) -> None:
        with writing(self.path / SCORES):
            self.path.mkdir(parents=True, exist_ok=True)  # a training makes it; ready weights have none
        write_atomically(self.path / SCORES, json.dumps(record) + "\n")


def _together(scorings: Sequence[Scoring]) -> list[list[Scoring]]:
    """Return evaluations in groups that share one pass: they differ in frames or in a protocol of labels alone."""
    groups: dict[str, list[Scoring]] = {}
    for scoring in scorings:
        own = "" if PROTOCOLS.get(scoring.protocol).function is None else scoring.protocol  # a pass of its own
        whole = scoring.frames is None or own
        key = dataclasses.replace(scoring, protocol=own, frames=scoring.frames if whole else 1)
        groups.setdefault(repr(key), []).append(scoring)
    return list(groups.values())


def commit() -> str | None:
    """Return the commit of the working copy this package is part of, with a + where files differ from it."""
    import subprocess

    def git(*words: str) -> str:
        folder = str(Path(__file__).resolve().parent)
        answer = subprocess.run(["git", "-C", folder, *words], capture_output=True, text=True, timeout=20, check=True)
        return answer.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # a package installed inside another repository is not
        return git("rev-parse", "--short=10", "HEAD") + ("+" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.SubprocessError):
        return None
