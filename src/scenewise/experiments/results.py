"""What an experiment found: results of cells, means over seeds, tables and figures."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.media.files import write_atomically

if TYPE_CHECKING:
    from scenewise.experiments.experiment import Cell, Experiment

Draw = Callable[[Any], None]
"""Draws on a matplotlib Figure."""


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
            if told["protocol"] != protocol or any(told[key] != value for key, value in scoring.items()):
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


def markdown(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; columns are as wide as they need to be, so that it can be read as it is."""
    lines = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(3, *(len(line[c]) for line in lines)) for c in range(len(head))]
    shown = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |" for line in lines]
    rule = "|" + "|".join("-" * (w + 2) for w in widths) + "|"
    return "\n".join([shown[0], rule, *shown[1:]]) + "\n"


def write(experiment: Experiment, shown: Shown, out: str | Path) -> list[Path]:
    """Write tables as markdown and JSON and figures as PNG, and return the files.

    Raises:
        InputError: The folder cannot be written.
    """
    base = Path(out) / experiment.name
    text = f"# {experiment.name}, size {experiment.size}\n\n{experiment.summary}\n\n{shown.text}"
    content = {"experiment": experiment.name, "size": experiment.size, **shown.data}
    files = [base.with_suffix(".md"), base.with_suffix(".json")]
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
