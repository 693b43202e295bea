"""IODINE's Figures 33 to 40: training without one of the refinement network's inputs.

Curves over training: the loss on training batches, and F-ARI, squared error and KL on validation images, all as the
run's tables have them. Each curve is a training without one input; the black one has all.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.experiments import comparison
from scenewise.experiments.results import Presentation

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from scenewise.checkpoint import LoadedModel
    from scenewise.experiments.cell_folder import CellFolder
    from scenewise.experiments.experiment import Experiment
    from scenewise.experiments.results import CellResult, Draw

WHOLE = "all"
"""The variant that leaves nothing out."""

_POINTS = 30  # of a curve of the loss
_CURVES = {"loss": "loss", "provide F-ARI": "F-ARI", "mse": "MSE", "kl": "KL, nats"}
_TOLD = ("posterior_gradient", "image")  # those of which the paper tells that leaving them out matters


def measure(folder: CellFolder, model: LoadedModel) -> dict[str, Any]:
    """Return the curves of a training, each a list of steps and a list of values.

    Keys: "loss", "provide F-ARI", "mse", "kl".
    """
    steps, values = _columns(folder.run.path / "metrics.csv", "loss")
    parts = np.array_split(np.arange(len(steps)), min(_POINTS, len(steps)))  # means over parts of about equal length
    means = [float(np.mean([values[i] for i in part])) for part in parts]
    curves = {"loss": ([steps[int(part[-1])] for part in parts], means)}
    for name in _CURVES:
        if name != "loss":
            curves[name] = _columns(folder.run.path / "validation.csv", name)
    return {name: [list(steps), [float(f"{v:.5g}") for v in values]] for name, (steps, values) in curves.items()}


def _columns(file: Path, name: str) -> tuple[list[int], list[float]]:
    with file.open(encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row.get(name)]
    return [int(row["step"]) for row in rows], [float(row[name]) for row in rows]


def show(experiment: Experiment, results: Sequence[CellResult]) -> Presentation:
    """Show the metrics of all trainings, and their curves by data set."""
    scores = comparison.show(experiment, results)
    measured = [result for result in results if result.measured]
    figures = {f"curves-{data}": _drawing(measured, data) for data in dict.fromkeys(r.cell.data for r in measured)}
    curves = [{"cell": result.cell.name, **result.measured} for result in measured]
    return Presentation(scores.text, {**scores.data, "curves": curves}, figures)


def _drawing(results: Sequence[CellResult], data: str) -> Draw:
    return lambda figure: draw_curves(figure, [result for result in results if result.cell.data == data], data)


def draw_curves(figure: Any, results: Sequence[CellResult], data: str) -> None:
    """Draw a panel for each quantity, a curve for each training."""
    figure.set_size_inches(10, 7)
    figure.suptitle(f"{data}: trainings without one input", fontsize=11)
    for axes, (name, title) in zip(figure.subplots(2, 2).reshape(-1), _CURVES.items(), strict=True):
        ends = []
        for number, result in enumerate(sorted(results, key=lambda result: result.cell.variant == WHOLE)):
            whole, told = result.cell.variant == WHOLE, result.cell.variant in _TOLD
            style: dict[str, Any] = {"color": "black", "linewidth": 2.2} if whole else {"color": f"C{number % 10}"}
            style |= {} if whole else {"linewidth": 1.8 if told else 0.9, "linestyle": "-" if number < 10 else "--"}
            steps, values = result.measured[name]
            axes.plot(steps, values, label=result.cell.variant.replace("_", " "), marker=".", **style)
            ends += values[len(values) // 4 :]
        axes.set(title=title, xlabel="steps")
        if ends and name != "provide F-ARI":
            low, high = min(ends), float(np.percentile(ends, 98))
            axes.set_ylim(low - 0.05 * (high - low), high + 0.15 * (high - low) + 1e-9)
        axes.grid(alpha=0.3)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=8)
