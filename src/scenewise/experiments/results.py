"""What an experiment measured: results of cells, means over seeds, tables and figures.

Nothing here loads models, so that tables are shown in a second.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.config import plain
from scenewise.evaluation.rows import renamed
from scenewise.experiments.pictures import drawn
from scenewise.media.files import read_json_mapping, reading, write_atomically, writing

if TYPE_CHECKING:
    from scenewise.experiments.experiment import Cell, Experiment
    from scenewise.experiments.pictures import Draw

SCORES = "scores.json"
"""What was scored, in a cell's folder."""

_AGAIN = "Remove it to score again."


@dataclass(frozen=True)
class CellResult:
    """A cell and what `CellFolder.scores` holds of it.

    Attributes:
        cell: The cell.
        scores: Its evaluations and what was measured.
        pictures: Files of its pictures.
    """

    cell: Cell
    scores: Mapping[str, Any]
    pictures: tuple[Path, ...] = ()

    @property
    def measured(self) -> Mapping[str, Any]:
        """What `measure` of the experiment's module returned; empty where it was not called."""
        return self.scores.get("measured") or {}

    def rows(self, protocol: str, metric: str, **scoring: Any) -> list[Mapping[str, Any]]:
        """Return the rows of a metric: those of the first evaluation that fits, one for each seed of its noise.

        Args:
            protocol: Its protocol.
            metric: Its name.
            **scoring: What else the evaluation must be, such as slots=9.
        """
        first: dict[str, Any] | None = None
        rows: list[Mapping[str, Any]] = []
        for evaluation in self.scores.get("scores", []):
            settings = evaluation["scoring"]
            row = next((row for row in evaluation["rows"] if row["metric"] == metric), None)
            unfit = settings["protocol"] != protocol or any(settings.get(k) != value for k, value in scoring.items())
            if row is None or unfit:
                continue
            noiseless = {key: value for key, value in settings.items() if key != "seed"}
            first = first or noiseless
            rows += [dict(row)] if noiseless == first else []
        return rows

    def mean(self, protocol: str, metric: str, **scoring: Any) -> float:
        """Return the mean of a metric over images and seeds of the noise, NaN where there is none."""
        return mean_of(self.rows(protocol, metric, **scoring))

    def each(self, protocol: str, metric: str, **scoring: Any) -> np.ndarray | None:
        """Return the score of each image under the first seed of the noise, None where it is not in the results."""
        rows = self.rows(protocol, metric, **scoring)
        return None if not rows or "each" not in rows[0] else np.array(rows[0]["each"][0], float)


def mean_of(rows: Iterable[Mapping[str, Any]]) -> float:
    """Return the mean over rows of one metric that differ in the seed of the noise, NaN where none has a score."""
    return Spread.of(math.nan if row["mean"] is None else row["mean"] for row in rows).mean


def read_scores(folder: Path) -> dict[str, Any]:
    """Return what was scored in a cell's folder, empty where nothing was.

    Raises:
        InputError: It cannot be read.
    """
    if not (folder / SCORES).exists():
        return {}
    content = read_json_mapping(folder / SCORES, "scores of a cell", _AGAIN)
    with reading(folder / SCORES, "scores of a cell", _AGAIN):
        scores = current(content)
        for row in (row for evaluation in scores["scores"] for row in evaluation["rows"]):
            values = [row["mean"], row.get("std"), *row.get("values", ())]
            if not isinstance(row["metric"], str) or not isinstance(row["protocol"], str):
                raise ValueError("a row without a name")
            if not all(value is None or isinstance(value, (int, float)) for value in values):
                raise ValueError(f"scores of {row['metric']} that are no numbers")
    return scores


def current(scores: dict[str, Any]) -> dict[str, Any]:
    """Return scores of a file, maybe an earlier one, in today's words.

    Evaluations name every setting, those that came later by their defaults. One of several seeds of the noise, whose
    rows held the values of all, becomes one evaluation per seed. What rows called `measure` is their `metric`.
    """
    from scenewise.experiments.experiment import Scoring

    usual = plain(Scoring())
    evaluations = [one for evaluation in scores.get("scores", []) for one in _by_seed(evaluation)]
    return scores | {"scores": [{**one, "scoring": {**usual, **one["scoring"]}} for one in evaluations]}


def _by_seed(evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return an evaluation as one per seed of the noise."""
    rows = [renamed(row) for row in evaluation["rows"]]
    settings = {key: value for key, value in evaluation["scoring"].items() if key != "seeds"}
    seeds = evaluation["scoring"].get("seeds")
    if seeds is None or len(seeds) == 1:
        seed = {} if seeds is None else {"seed": seeds[0]}
        return [{**evaluation, "scoring": settings | seed, "rows": rows}]
    seconds = {"seconds": evaluation["seconds"] / len(seeds)} if "seconds" in evaluation else {}
    return [
        {**evaluation, **seconds, "scoring": settings | {"seed": seed}, "rows": [_of_seed(row, i) for row in rows]}
        for i, seed in enumerate(seeds)
    ]


def _of_seed(row: Mapping[str, Any], at: int) -> dict[str, Any]:
    """Return the part of a row of several seeds that belongs to one; quartiles, which were of all, are left out."""
    values = row["values"][at : at + 1]
    part = {key: value for key, value in row.items() if key not in ("each", "quartiles")}
    part |= {"mean": values[0] if values else None, "std": None, "values": values}
    return part | ({"each": [row["each"][at]]} if "each" in row and at < len(row["each"]) else {})


def of_cell(cell: Cell, scores: Mapping[str, Any]) -> dict[str, Any]:
    """Return scores without the evaluations that the cell no longer names."""
    named = [plain(scoring) for scoring in cell.scoring]
    return {**scores, "scores": [s for s in scores["scores"] if s["scoring"] in named]} if scores else {}


@dataclass(frozen=True)
class Spread:
    """A number over training seeds.

    Attributes:
        values: One per seed that has it.
    """

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Keep the values that are numbers."""
        return cls(tuple(float(v) for v in values if math.isfinite(v)))

    @property
    def mean(self) -> float:
        """Their mean; NaN where there is none."""
        return float(np.mean(self.values)) if self.values else math.nan

    @property
    def std(self) -> float:
        """Their standard deviation (n - 1); NaN for fewer than two."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else math.nan

    def text(self, digits: int = 4) -> str:
        """Return "mean ± std (n)", without what is not known."""
        if not self.values:
            return "-"
        spread = f" ± {self.std:.{digits}f}" if len(self.values) > 1 else ""
        return f"{self.mean:.{digits}f}{spread} ({len(self.values)})"

    def plain(self) -> dict[str, Any]:
        """Return it as values that JSON can hold."""
        moments = {"mean": self.mean, "std": self.std}
        return {k: v if math.isfinite(v) else None for k, v in moments.items()} | {"values": list(self.values)}


@dataclass(frozen=True)
class Presentation:
    """What an experiment shows.

    Attributes:
        text: Tables in markdown.
        data: The numbers, plain values.
        figures: Who draws what, by the name of the figure.
    """

    text: str
    data: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Draw] = field(default_factory=dict)


def over_seeds(results: Sequence[CellResult]) -> dict[tuple[str, str, str], list[CellResult]]:
    """Return results by (model, data, variant), in the order of the cells."""
    together: dict[tuple[str, str, str], list[CellResult]] = {}
    for result in results:
        together.setdefault((result.cell.model, result.cell.data, result.cell.variant), []).append(result)
    return together


def spread(results: Iterable[CellResult], protocol: str, metric: str, **scoring: Any) -> Spread:
    """Return a metric over the training seeds of results; arguments as of `Result.rows`."""
    return Spread.of(result.mean(protocol, metric, **scoring) for result in results)


def provenance(results: Sequence[CellResult]) -> str:
    """Return a table that says how the numbers were made: once per model, data and variant."""
    rows = []
    for (model, data, variant), together in over_seeds(results).items():
        seeds = " ".join(str(result.cell.seed) for result in together)
        evaluations = [evaluation for result in together for evaluation in result.scores.get("scores", [])]
        asked = [evaluation["scoring"] for evaluation in evaluations]
        protocols = _distinct(f"{scoring['protocol']} ({scoring['samples']})" for scoring in asked)
        prints = _distinct(str(evaluation.get("data", ""))[:12] for evaluation in evaluations)
        facts = [result.scores for result in together]
        steps = _distinct(str(fact.get("kept_step") or fact.get("step") or "-") for fact in facts)
        hours = sum(float(fact.get("hours") or 0) for fact in facts)
        memory = max((fact["memory_gib"] for fact in facts if "memory_gib" in fact), default=None)
        hardware, commits = (_distinct(str(fact.get(key) or "-") for fact in facts) for key in ("hardware", "commit"))
        weights = together[0].cell.weights
        trained = f"weights {weights}" if weights is not None else steps
        costs = [trained, f"{hours:.2f}", "-" if memory is None else f"{memory:.1f}", protocols, prints]
        rows.append([f"{model}.{data}.{variant}", seeds, *costs, hardware, commits])
    head = ["cells", "seeds", "steps", "hours", "GiB", "protocol (videos)", "data", "hardware", "commit"]
    return markdown(head, rows)


def _distinct(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(words))


def markdown(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; columns are as wide as they need to be, so that it can be read as it is."""
    lines = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(3, *(len(line[c]) for line in lines)) for c in range(len(head))]
    texts = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |" for line in lines]
    rule = "|" + "|".join("-" * (w + 2) for w in widths) + "|"
    return "\n".join([texts[0], rule, *texts[1:]]) + "\n"


def write(experiment: Experiment, presentation: Presentation, out: str | Path, origin: str = "") -> list[Path]:
    """Write tables as markdown and JSON and figures as PNG, and return the files.

    Args:
        experiment: Whose results they are.
        presentation: Tables, numbers and figures.
        out: Folder of the files; made where it is not there.
        origin: How the numbers were made.

    Raises:
        InputError: The folder cannot be written.
    """
    base = Path(out) / experiment.name
    head = f"# {experiment.name}, size {experiment.size}\n\n{experiment.summary}"
    text = "\n\n".join([head, presentation.text, experiment.note, origin])
    content = {"experiment": experiment.name, "size": experiment.size, **presentation.data}
    files = [base.with_suffix(".md"), base.with_suffix(".json")]
    with writing(base):
        base.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(files[0], text)
    write_atomically(files[1], json.dumps(content, indent=1) + "\n")
    for name, draw in presentation.figures.items():
        image = drawn(draw)
        if image is not None:
            files.append(base.with_name(f"{base.name}-{name}.png"))
            write_atomically(files[-1], image)
    return files
