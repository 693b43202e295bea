"""What an experiment shows that has no module of its own: every metric, ours beside the papers', and curves.

The file's `published` names the papers' numbers by `MODEL.DATA` or `MODEL.DATA.VARIANT`: a mapping, or a list of
several, of metrics to a number, to `{mean: ..., std: ...}`, or to a list along one of the keys that say which
evaluation is meant (frames, slots, refinements, samples), and `protocol` where it is not the only one:

    published:
      provide.balls-colour: {frames: [10, 20], F-ARI: [1.0, 1.0], MSE: [0.0002, 0.0002]}
      iodine.tetris: {F-ARI: {mean: 0.992, std: 0.004}}
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.experiments.measured_results import quartiles
from scenewise.experiments.results import Presentation, Spread, markdown, mean_of, over_seeds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from scenewise.experiments.experiment import Experiment
    from scenewise.experiments.results import CellResult

AXES = {"samples": "videos", "frames": "frames", "slots": "K", "refinements": "R"}
"""Keys of an evaluation along which numbers may run, and what they are called."""

_BELOW = {"MSE", "NLL", "KL"}
"""Metrics of which less is better: axes begin at 0."""


@dataclass(frozen=True)
class Number:
    """One measured or printed number.

    Attributes:
        model: As the cells are called, like `data` and `variant`.
        protocol: Who computes it.
        metric: Its name.
        at: (key, value) of the evaluation, of the keys of `AXES`.
        ours: Over seeds of the training.
        published: Mean and standard deviation of the paper; NaN where it prints none.
        middle: 25th, 50th and 75th percentile over videos, mean over seeds; None where results have none.
        noise: Over seeds of the posterior noise, means over trainings; empty where there is one.
    """

    model: str
    data: str
    variant: str
    protocol: str
    metric: str
    at: tuple[tuple[str, int | None], ...]
    ours: Spread
    published: tuple[float, float] = (math.nan, math.nan)
    middle: tuple[float, ...] | None = None
    noise: Spread = field(default_factory=lambda: Spread(()))

    @property
    def row(self) -> tuple[str, str, str]:
        """Whose number it is."""
        return self.model, self.data, self.variant

    def text(self) -> str:
        """Return ours, the paper's and their difference."""
        ours = self.ours.text(_digits(self.ours.mean)) if self.ours.values else "-"
        if self.noise.values:
            ours += f", noise ± {self.noise.std:.{_digits(self.noise.mean)}f} ({len(self.noise.values)})"
        mean, std = self.published
        if math.isnan(mean):
            return ours
        paper = f"{mean:.4f}" + ("" if math.isnan(std) else f" ± {std:.4f}")
        difference = f", {self.ours.mean - mean:+.4f}" if self.ours.values else ""
        return f"{ours} [{paper}{difference}]"

    def plain(self) -> dict[str, Any]:
        """Return it as values that JSON can hold."""
        paper = [None if math.isnan(v) else v for v in self.published]
        names = {"model": self.model, "data": self.data, "variant": self.variant, "protocol": self.protocol}
        values = {"metric": self.metric, **dict(self.at), "ours": self.ours.plain(), "published": paper[0]}
        values |= {"noise": self.noise.plain()} if self.noise.values else {}
        return {**names, **values, "published_std": paper[1], "quartiles": self.middle and list(self.middle)}


def _digits(value: float) -> int:
    return 4 if abs(value) < 10 else 1


def show(experiment: Experiment, results: Sequence[CellResult]) -> Presentation:
    """Show a table for each metric, with a column for each evaluation, and curves where there are several."""
    rows = numbers(experiment, results)
    parts = []
    for protocol, metric in dict.fromkeys((n.protocol, n.metric) for n in rows):
        columns = [n for n in rows if (n.protocol, n.metric) == (protocol, metric)]
        parts.append(f"## {metric} (protocol {protocol})\n\n{_table(columns)}")
    note = "\nMean ± std over seeds (number of seeds) [paper's number, ours - paper's]; - where there is none.\n"
    if any(n.noise.values for n in rows):
        note += "Noise: std over seeds of the posterior noise, of means over trainings.\n"
    curved = [n for n in rows if n.ours.values and _axis(rows)]
    figures = {"curves": lambda figure: draw(figure, curved)} if curved else {}
    return Presentation("\n".join(parts) + note, {"rows": [n.plain() for n in rows]}, figures)


def numbers(experiment: Experiment, results: Sequence[CellResult]) -> list[Number]:
    """Return everything that was measured or printed, in the order of the cells; rows of the paper alone come last."""
    paper = list(_papers(experiment.published))
    matches: set[int] = set()
    ours = []
    for number in _ours(results):
        if experiment.metrics and number.metric not in experiment.metrics:
            continue
        match = next((i for i, p in enumerate(paper) if _same(number, p)), None)
        matches |= set() if match is None else {match}
        ours.append(number if match is None else replace(number, published=paper[match].published))
    rows = {n.row[:2] for n in ours}
    rest = [p for i, p in enumerate(paper) if i not in matches]
    return ours + [p for p in rest if p.row[:2] in rows] + [p for p in rest if p.row[:2] not in rows]


def _same(ours: Number, paper: Number) -> bool:
    """Say whether the paper prints this number: what it does not name may be anything."""
    names = (ours.model, ours.data, ours.metric) == (paper.model, paper.data, paper.metric)
    variant = paper.variant in ("", ours.variant)
    return names and variant and paper.protocol in ("", ours.protocol) and set(paper.at) <= set(ours.at)


def _ours(results: Sequence[CellResult]) -> Iterator[Number]:
    """Yield a number for each metric of an evaluation, of rows by seed of the training and seed of the noise."""
    for names, together in over_seeds(results).items():
        values: dict[tuple[Any, ...], dict[tuple[int, int], Mapping[str, Any]]] = {}
        for result in together:
            for evaluation in result.scores.get("scores", []):
                settings = evaluation["scoring"]
                at = tuple((key, settings.get(key)) for key in AXES)
                for row in evaluation["rows"]:
                    rows = values.setdefault((settings["protocol"], row["metric"], at), {})
                    rows[result.cell.seed, settings.get("seed", 0)] = row
        for (protocol, metric, at), rows in values.items():
            trainings, seeds = (dict.fromkeys(pair[i] for pair in rows) for i in (0, 1))
            ours = Spread.of(mean_of(row for pair, row in rows.items() if pair[0] == one) for one in trainings)
            noise = Spread.of(mean_of(row for pair, row in rows.items() if pair[1] == one) for one in seeds)
            middle = [q for row in rows.values() if (q := quartiles(row)) is not None]
            percentiles = tuple(np.mean(middle, axis=0).tolist()) if middle else None
            several = noise if len(seeds) > 1 else Spread(())
            yield Number(*names, protocol, metric, at, ours, middle=percentiles, noise=several)


def _papers(published: Mapping[str, Any]) -> Iterator[Number]:
    for name, blocks in published.items():
        model, data, *variant = name.split(".", 2)
        for block in blocks if isinstance(blocks, list) else [blocks]:
            axes = {key: block[key] for key in AXES if key in block}
            along = next((key for key, value in axes.items() if isinstance(value, list)), None)
            for metric, value in block.items():
                if metric in ("protocol", "where", *AXES):
                    continue
                places = [(None, value)] if along is None else zip(axes[along], value, strict=True)
                for place, number in places:
                    at = tuple({**axes, **({along: place} if along else {})}.items())
                    pair = (number["mean"], number["std"]) if isinstance(number, dict) else (number, math.nan)
                    names = (model, data, variant[0] if variant else "", block.get("protocol", ""), metric)
                    yield Number(*names, at, Spread(()), pair)


def _table(chosen: Sequence[Number]) -> str:
    """Return one metric: a row per model, data and variant, a column per evaluation."""
    points: dict[tuple[str, str, str], list[dict[str, int | None]]] = {}
    for number in chosen:
        points.setdefault(number.row, []).append(dict(number.at))
    # The keys of evaluations of which some row has several; what else was measured is the same in each row.
    varied = [key for key in AXES if any(len({at[key] for at in row if key in at}) > 1 for row in points.values())]
    columns = list(dict.fromkeys(_column(n, varied) for n in chosen))
    rows: dict[tuple[str, str, str], dict[str, str]] = {}
    for number in chosen:
        rows.setdefault(number.row, {})[_column(number, varied)] = number.text()
    head = ["model", "data", "variant", *columns]
    ours = [dict(n.at) for n in chosen if n.ours.values]
    same = {key: dict.fromkeys(at[key] for at in ours if at[key] is not None) for key in AXES if key not in varied}
    fixed = ", ".join(" or ".join(_named(key, value) for value in values) for key, values in same.items() if values)
    table = markdown(head, [[*row, *(cells.get(column, "-") for column in columns)] for row, cells in rows.items()])
    return table + (f"\n{fixed}\n" if fixed else "")


def _column(number: Number, varied: Sequence[str]) -> str:
    at = dict(number.at)
    named = [_named(key, at[key]) for key in varied if key in at]
    return ", ".join(named) or "value"


def _named(key: str, value: int | None) -> str:
    if key in ("frames", "samples"):
        return f"{'all' if value is None else value} {AXES[key]}"
    return f"{AXES[key]} {'own' if value is None else value}"


def _axis(numbers: Sequence[Number]) -> str | None:
    """Return the key that curves run along: the first of which there are at least three numbers."""
    for key in ("frames", "refinements", "slots"):
        if len({dict(n.at).get(key) for n in numbers if n.ours.values} - {None}) >= 3:
            return key
    return None


def draw(figure: Any, numbers: Sequence[Number]) -> None:
    """Draw a panel per metric: ours as lines, with quartiles over videos where one seed is drawn; papers' dotted."""
    along = _axis(numbers)
    metrics = list(dict.fromkeys((n.protocol, n.metric) for n in numbers))[:4]
    for axes, (protocol, metric) in zip(np.atleast_1d(figure.subplots(1, len(metrics))), metrics, strict=True):
        rows: dict[tuple[str, str, str], list[Number]] = {}
        for number in numbers:
            if (number.protocol, number.metric) == (protocol, metric) and dict(number.at).get(str(along)) is not None:
                rows.setdefault(number.row, []).append(number)
        for row, line in rows.items():
            _draw_line(axes, str(along), row, line)
        twice = [name for _, name in metrics].count(metric) > 1
        axes.set(title=f"{metric} ({protocol})" if twice else metric, xlabel=AXES[str(along)])
        if metric in _BELOW:
            axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
        axes.grid(alpha=0.3)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=7)


def _draw_line(axes: Any, along: str, row: tuple[str, str, str], line: Sequence[Number]) -> None:
    line = sorted(line, key=lambda n: dict(n.at)[along] or 0)
    places = [dict(n.at)[along] for n in line]
    (curve,) = axes.plot(places, [n.ours.mean for n in line], marker="o", markersize=3, label=" ".join(row))
    if all(n.middle is not None for n in line):
        low, high = ([(n.middle or ())[i] for n in line] for i in (0, 2))
        axes.fill_between(places, low, high, color=curve.get_color(), alpha=0.15, linewidth=0)
    if not all(math.isnan(n.published[0]) for n in line):
        axes.plot(places, [n.published[0] for n in line], linestyle=":", color=curve.get_color())
