"""What an experiment measured: results of cells, means over seeds, tables and figures.

Nothing here loads models, so that tables are shown in a second.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.config import plain
from scenewise.errors import InputError
from scenewise.media.files import write_atomically, writing

if TYPE_CHECKING:
    from scenewise.experiments.experiment import Cell, Experiment

Draw = Callable[[Any], None]
"""Draws on a matplotlib Figure."""

SCORES = "scores.json"
"""What was scored, in a cell's folder."""


@dataclass(frozen=True)
class Result:
    """A cell and what `CellFolder.scores` holds of it."""

    cell: Cell
    scores: Mapping[str, Any]

    def row(self, protocol: str, measure: str, **scoring: Any) -> Mapping[str, Any] | None:
        """Return the row of a measure, None where there is none.

        Args:
            protocol: Its protocol.
            measure: Its name.
            **scoring: What else the evaluation must be, such as slots=9.
        """
        for done in self.scores.get("scores", []):
            told = done["scoring"]
            if told["protocol"] != protocol or any(told.get(key) != value for key, value in scoring.items()):
                continue
            for row in done["rows"]:
                if row["measure"] == measure:
                    return dict(row)
        return None

    def mean(self, protocol: str, measure: str, **scoring: Any) -> float:
        """Return the mean of a measure over images and posterior seeds, NaN where there is none."""
        row = self.row(protocol, measure, **scoring)
        return math.nan if row is None or row["mean"] is None else float(row["mean"])

    def each(self, protocol: str, measure: str, **scoring: Any) -> np.ndarray | None:
        """Return a measure of each image under the first posterior seed, None where it was not kept."""
        row = self.row(protocol, measure, **scoring)
        return None if row is None or "each" not in row else np.array(row["each"][0], float)


def read_scores(folder: Path) -> dict[str, Any]:
    """Return what was scored in a cell's folder, empty where nothing was.

    Raises:
        InputError: It cannot be read.
    """
    try:
        read = json.loads((folder / SCORES).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(folder / SCORES, f"cannot be read: {error}.", "Remove it to score again.") from error
    return filled(read) if isinstance(read, dict) else {}


def filled(scores: dict[str, Any]) -> dict[str, Any]:
    """Return scores whose evaluations name every setting, those that came later by their defaults."""
    from scenewise.experiments.experiment import Scoring

    usual = plain(Scoring())
    return scores | {"scores": [{**s, "scoring": {**usual, **s["scoring"]}} for s in scores.get("scores", [])]}


def of_cell(cell: Cell, scores: Mapping[str, Any]) -> dict[str, Any]:
    """Return scores without the evaluations that the cell no longer names."""
    wanted = [plain(scoring) for scoring in cell.scoring]
    return {**scores, "scores": [s for s in scores["scores"] if s["scoring"] in wanted]} if scores else {}


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
        known = {"mean": self.mean, "std": self.std}
        return {k: v if math.isfinite(v) else None for k, v in known.items()} | {"values": list(self.values)}


@dataclass(frozen=True)
class Shown:
    """What an experiment shows.

    Attributes:
        text: Tables in markdown.
        data: The numbers, plain values.
        figures: Who draws what, by the name of the figure.
    """

    text: str
    data: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Draw] = field(default_factory=dict)


def over_seeds(results: Sequence[Result]) -> dict[tuple[str, str, str], list[Result]]:
    """Return results by (model, data, variant), in the order of the cells."""
    together: dict[tuple[str, str, str], list[Result]] = {}
    for result in results:
        together.setdefault((result.cell.model, result.cell.data, result.cell.variant), []).append(result)
    return together


def spread(results: Iterable[Result], protocol: str, measure: str, **scoring: Any) -> Spread:
    """Return a measure over the seeds of results; arguments as of `Result.row`."""
    return Spread.of(result.mean(protocol, measure, **scoring) for result in results)


def provenance(results: Sequence[Result]) -> str:
    """Return a table that says how the numbers were made: once per model, data and variant."""
    rows = []
    for (model, data, variant), together in over_seeds(results).items():
        seeds = " ".join(str(result.cell.seed) for result in together)
        evaluations = [done for result in together for done in result.scores.get("scores", [])]
        protocols = _distinct(_protocol(done) for done in evaluations)
        prints = _distinct(str(done.get("data", ""))[:12] for done in evaluations)
        facts = [result.scores for result in together]
        steps = _distinct(str(fact.get("kept_step") or fact.get("step") or "-") for fact in facts)
        hours = sum(float(fact.get("hours") or 0) for fact in facts)
        memory = max((fact["memory_gib"] for fact in facts if "memory_gib" in fact), default=None)
        hardware, commits = (_distinct(str(fact.get(key) or "-") for fact in facts) for key in ("hardware", "commit"))
        weights = together[0].cell.weights
        trained = f"weights {weights}" if weights is not None else steps
        told = [trained, f"{hours:.2f}", "-" if memory is None else f"{memory:.1f}", protocols, prints]
        rows.append([f"{model}.{data}.{variant}", seeds, *told, hardware, commits])
    head = ["cells", "seeds", "steps", "hours", "GiB", "protocol (videos)", "data", "hardware", "commit"]
    return markdown(head, rows)


def _protocol(done: Mapping[str, Any]) -> str:
    return f"{done['scoring']['protocol']} ({done['scoring']['samples']})"


def _distinct(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(words))


def markdown(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; columns are as wide as they need to be, so that it can be read as it is."""
    lines = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(3, *(len(line[c]) for line in lines)) for c in range(len(head))]
    shown = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |" for line in lines]
    rule = "|" + "|".join("-" * (w + 2) for w in widths) + "|"
    return "\n".join([shown[0], rule, *shown[1:]]) + "\n"


def write(experiment: Experiment, shown: Shown, out: str | Path, made: str = "") -> list[Path]:
    """Write tables as markdown and JSON and figures as PNG, and return the files.

    Args:
        experiment: What was shown.
        shown: Tables, numbers and figures.
        out: Folder of the files; made where it is not there.
        made: How the numbers were made.

    Raises:
        InputError: The folder cannot be written.
    """
    base = Path(out) / experiment.name
    head = f"# {experiment.name}, size {experiment.size}\n\n{experiment.summary}"
    text = "\n\n".join([head, shown.text, experiment.note, made])
    content = {"experiment": experiment.name, "size": experiment.size, **shown.data}
    files = [base.with_suffix(".md"), base.with_suffix(".json")]
    with writing(base):
        base.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(files[0], text)
    write_atomically(files[1], json.dumps(content, indent=1) + "\n")
    for name, draw in shown.figures.items():
        files.append(base.with_name(f"{base.name}-{name}.png"))
        write_atomically(files[-1], _png(draw))
    return files


def _png(draw: Draw) -> bytes:
    """Return a figure as a file, without a display."""
    import io

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure, buffer = Figure(figsize=(9, 3.6), dpi=120, layout="constrained"), io.BytesIO()
    FigureCanvasAgg(figure)
    draw(figure)
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
