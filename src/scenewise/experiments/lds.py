"""The experiment of the LDS papers: what a prior against duplicate slots changes (BMVC 2021; ICLR 2021 submission).

Their Table 1 (MSE and mIoU with and without), Figure 3 (likeness of latents, and images with duplicates), the inference
gap, and its correlations with the scores (lds.md 4 and 5). Variant `lds0` is without the prior, any other with it;
runs of the same seed are compared. Of the first seed of each model pictures are kept (Figure 2, and 4 of a failure).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.experiments.results import Presentation, Spread, markdown, over_seeds, spread
from scenewise.metrics import pearson, rescaled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scenewise.checkpoint import LoadedModel
    from scenewise.experiments.cell_folder import CellFolder
    from scenewise.experiments.experiment import Experiment
    from scenewise.experiments.results import CellResult

WITHOUT = "lds0"
EACH = ("lds MSE", "lds mIoU", "lds ELBO", "lds-gap gap")
"""Metrics whose score of every image is kept: correlations need it."""

_DRAWN = 4  # images in a picture
_TABLE = (("MSE", 4), ("mIoU", 4), ("F-ARI", 4), ("ELBO", 1))
_LIKE = ("Sim", "Sim of means", "unsigned Sim")
_DOUBLE = ("duplicates", "object duplicates", "background split", "object in two", "background in two")
_FEWEST = 10  # images from which a correlation is told
_GAP = ("gap", "gap of 50", "spread", "effective samples")


@dataclass(frozen=True)
class Pair:
    """A model on data without and with the prior, runs of the same seeds side by side.

    Attributes:
        model: The model.
        data: The data.
        variant: The variant with the prior.
        runs: (without, with) by seed.
    """

    model: str
    data: str
    variant: str
    runs: tuple[tuple[CellResult, CellResult], ...]

    def differences(self, protocol: str, metric: str) -> Spread:
        """Return with minus without, over seeds."""
        return Spread.of(plus.mean(protocol, metric) - zero.mean(protocol, metric) for zero, plus in self.runs)

    def side(self, protocol: str, metric: str, plus: bool) -> Spread:
        """Return a metric of the runs without or with the prior."""
        return spread((run[plus] for run in self.runs), protocol, metric)


def show(experiment: Experiment, results: Sequence[CellResult]) -> Presentation:
    """Show the papers' tables and figures from whatever cells there are."""
    comparisons = pairs(results)
    parts = [
        ("Reconstruction and segmentation", _scores(experiment, results)),
        ("What the prior changes", _effects(experiment, comparisons)),
        ("Duplicates (Figure 3)", _duplicates(comparisons)),
        ("Inference gap", _gaps(comparisons)),
        ("Correlations over images", _correlations(comparisons)),
    ]
    text = "\n".join(f"## {title}\n\n{part}" for title, part in parts if part)
    figures: dict[str, Callable[[Any], None]] = {}
    if comparisons:
        figures = {"figure3": lambda figure: _draw_duplicates(figure, comparisons)}
        figures["differences"] = lambda figure: _draw_differences(figure, comparisons)
        if image_changes(comparisons, "ELBO"):
            figures["dots"] = lambda figure: _draw_dots(figure, comparisons)
    plain_rows = []
    for (model, data, variant), together in over_seeds(results).items():
        measured = [row for evaluation in together[0].scores["scores"] for row in evaluation["rows"]]
        for protocol, name in dict.fromkeys((row["protocol"], row["metric"]) for row in measured):
            names = {"model": model, "data": data, "variant": variant, "protocol": protocol, "metric": name}
            plain_rows.append(names | spread(together, protocol, name).plain())
    effects = [
        {"model": pair.model, "data": pair.data, "metric": name, **pair.differences("lds", name).plain()}
        for pair in comparisons
        for name in ("MSE", "mIoU", *_LIKE, *_DOUBLE)
    ]
    return Presentation(text, {"rows": plain_rows, "effects": effects}, figures)


def pictures(folder: CellFolder, model: LoadedModel) -> dict[str, np.ndarray]:
    """Return images as the model of the first seed explains them (Figure 2); see `component_figure`."""
    from scenewise.experiments.components import component_figure, images_of

    if folder.cell.seed:
        return {}
    images = images_of(model.model, folder.source(), _DRAWN)
    return {"components": component_figure(folder.cell.name, model.model, images)}


def pairs(results: Sequence[CellResult]) -> list[Pair]:
    """Return what can be compared: seeds that were run both without and with the prior."""
    together, comparisons = over_seeds(results), []
    for (model, data, variant), plus in together.items():
        zero = {result.cell.seed: result for result in together.get((model, data, WITHOUT), [])}
        runs = tuple((zero[result.cell.seed], result) for result in plus if result.cell.seed in zero)
        if variant != WITHOUT and runs:
            comparisons.append(Pair(model, data, variant, runs))
    return comparisons


# -- tables ---------------------------------------------------------------------------------------------------------


def _scores(experiment: Experiment, results: Sequence[CellResult]) -> str:
    papers = list(experiment.published)
    head = ["model", "data", "variant", "steps", *(name for name, _ in _TABLE)]
    head += [f"{name} {paper}" for paper in papers for name in ("MSE", "mIoU")]
    rows = []
    for (model, data, variant), together in over_seeds(results).items():
        means = [spread(together, "lds", name).text(digits) for name, digits in _TABLE]
        printed = []
        for paper in papers:
            numbers = _published(experiment, paper, model, data, variant)
            texts = [" ± ".join(f"{v:.4f}" for v in numbers.get(name, ())) for name in ("MSE", "mIoU")]
            printed += [text or "-" for text in texts]
        steps = "/".join(sorted({str(result.scores["step"]) for result in together}))
        rows.append([model, data, variant, steps, *means, *printed])
    note = (
        "MSE: squared RGB distance on [0, 1]. mIoU: Hungarian, background included. Mean ± std over seeds (number).\n"
    )
    return markdown(head, rows) + "\n" + note


def _published(experiment: Experiment, paper: str, *names: str) -> dict[str, list[float]]:
    return dict(experiment.published[paper].get(".".join(names), {}))


def _effects(experiment: Experiment, comparisons: Sequence[Pair]) -> str:
    rows = []
    for pair in comparisons:
        for name in ("MSE", "mIoU"):
            ours, theirs = pair.differences("lds", name), _papers_difference(experiment, pair, name)
            paper = "-" if math.isnan(theirs) else f"{theirs:+.4f}"
            rows.append([pair.model, pair.data, name, _signed(ours), paper, _agreement(ours, theirs)])
    head = ["model", "data", "metric", "with - without", "paper", "same direction"]
    return markdown(head, rows) if rows else ""


def _agreement(ours: Spread, theirs: float) -> str:
    """Say in how many seeds a difference has the sign of the paper's."""
    if math.isnan(theirs) or not ours.values:
        return "-"
    if theirs == 0:
        return "paper: none"
    return f"{sum(value * theirs > 0 for value in ours.values)} of {len(ours.values)} seeds"


def _papers_difference(experiment: Experiment, pair: Pair, metric: str) -> float:
    """Return with minus without of the first paper, NaN where it has no such numbers."""
    paper = next(iter(experiment.published), "")
    sides = [
        _published(experiment, paper, pair.model, pair.data, variant) if paper else {}
        for variant in (WITHOUT, pair.variant)
    ]
    return sides[1][metric][0] - sides[0][metric][0] if all(metric in side for side in sides) else math.nan


def _signed(values: Spread, digits: int = 4) -> str:
    text = values.text(digits)
    return f"+{text}" if values.mean > 0 else text


def _duplicates(comparisons: Sequence[Pair]) -> str:
    """Return likeness of latents and images with duplicates. The papers: all bars favour the prior."""
    rows = []
    for pair in comparisons:
        for name in (*_LIKE, "idle slots", *_DOUBLE, *(f"{name} of 100" for name in _DOUBLE[:3])):
            zero, plus = (pair.side("lds", name, side) for side in (False, True))
            if zero.values:
                rows.append([pair.model, pair.data, name, zero.text(3), plus.text(3), f"{zero.mean - plus.mean:+.3f}"])
        for take in ("0.5", "0.9"):
            name = f"duplicates at {take}"
            zero, plus = (pair.side("lds", name, side) for side in (False, True))
            if zero.values:
                rows.append([pair.model, pair.data, name, zero.text(3), plus.text(3), f"{zero.mean - plus.mean:+.3f}"])
    head = ["model", "data", "metric", "without", "with", "drop"]
    note = "Shares of images, by taking slots away; Sim by cosines. Papers: bars only, positive drops for all models.\n"
    return markdown(head, rows) + "\n" + note if rows else ""


def _gaps(comparisons: Sequence[Pair]) -> str:
    rows = []
    for pair in comparisons:
        for name in (f"{name}{suffix}" for suffix in ("", " with mask KL") for name in _GAP):
            zero, plus = (pair.side("lds-gap", name, side) for side in (False, True))
            if zero.values:
                rows.append([pair.model, pair.data, name, zero.text(2), plus.text(2), f"{zero.mean - plus.mean:+.2f}"])
        bound = pair.differences("lds", "ELBO")
        if bound.values:
            rows.append([pair.model, pair.data, "ELBO, with - without", "", "", _signed(bound, 1)])
    head = ["model", "data", "metric (nats)", "without", "with", "drop"]
    note = "A gap whose spread is above 3 nats has not settled: it mostly shows the spread (lds.md 4.4).\n"
    return markdown(head, rows) + "\n" + note if rows else ""


def _correlations(comparisons: Sequence[Pair]) -> str:
    rows = []
    for pair in comparisons:
        for name in ("MSE", "mIoU"):
            one = [correlation(zero, plus, name) for zero, plus in pair.runs]
            drops, changes = (Spread.of(values) for values in zip(*one, strict=True))
            paper = _PRINTED.get(name, "-") if (pair.model, pair.data) == ("monet", "cle-mv") else "-"
            rows.append([pair.model, pair.data, name, drops.text(3), paper, changes.text(3)])
    head = ["model", "data", "metric", "gap drop : metric with", "paper", "ELBO rise : its rise"]
    return markdown(head, rows) if rows else ""


_PRINTED = {"MSE": "-0.2874", "mIoU": "0.2019"}


def correlation(zero: CellResult, plus: CellResult, metric: str) -> tuple[float, float]:
    """Return two Pearson correlations over images (lds.md 4.5), NaN where values are missing.

    Args:
        zero: Without the prior.
        plus: With it.
        metric: Of the protocol `lds`.

    Returns:
        That of the drop of the gap with the metric under the prior (BMVC), and that of the rise of the ELBO with the
        rise of the metric, both scaled to [0, 1] (ICLR submission).
    """
    gaps = [side.each("lds-gap", "gap") for side in (zero, plus)]
    scores, bounds = ([side.each("lds", name) for side in (zero, plus)] for name in (metric, "ELBO"))
    drop = rise = math.nan
    if gaps[0] is not None and gaps[1] is not None and scores[1] is not None and _same_images(zero, plus):
        count = min(len(gaps[0]), len(gaps[1]), len(scores[1]))
        drop = pearson((gaps[0] - gaps[1])[:count], scores[1][:count]) if count >= _FEWEST else math.nan
    if all(values is not None for values in (*scores, *bounds)):
        rise = pearson(rescaled(bounds[1] - bounds[0]), rescaled(scores[1] - scores[0]))  # type: ignore[operator]
    return drop, rise


def _same_images(zero: CellResult, plus: CellResult) -> bool:
    """Return whether gaps and scores are of the same images, in the same order, as far as both go."""
    keys, origins = ("source", "settings", "split", "frames"), set[tuple[str, ...]]()
    for side in (zero, plus):
        for evaluation in side.scores["scores"]:
            row = evaluation["rows"][0]
            if row["protocol"] in ("lds", "lds-gap"):
                each_video = row["frames"] // row["videos"]  # one where a scene is explained as a whole
                origins.add((*(str(evaluation["scoring"][key]) for key in keys), str(each_video)))
    return len(origins) == 1


# -- numbers --------------------------------------------------------------------------------------------------------


# -- figures --------------------------------------------------------------------------------------------------------


def _draw_duplicates(figure: Any, comparisons: Sequence[Pair]) -> None:
    """Draw Figure 3: the drop of Sim, and images with duplicates without and with the prior."""
    left, right = figure.subplots(1, 2)
    names, places = [f"{pair.model}\n{pair.data}" for pair in comparisons], np.arange(len(comparisons))
    drops = [pair.differences("lds", "Sim") for pair in comparisons]
    left.bar(places, [-d.mean for d in drops], yerr=[np.nan_to_num(d.std) for d in drops], width=0.5, color="#4c72b0")
    left.axhline(0, color="black", linewidth=0.8)
    left.set_title("drop of Sim with the prior")
    for shift, plus, colour in ((-0.2, False, "#c44e52"), (0.2, True, "#55a868")):
        sides = [pair.side("lds", "duplicates", plus) for pair in comparisons]
        heights, errors = [100 * s.mean for s in sides], [100 * np.nan_to_num(s.std) for s in sides]
        right.bar(places + shift, heights, yerr=errors, width=0.4, color=colour, label="with" if plus else "without")
    right.set_title("images with duplicates, %")
    right.legend()
    for axes in (left, right):
        axes.set_xticks(places, names)


def _draw_differences(figure: Any, comparisons: Sequence[Pair]) -> None:
    """Draw, per image of the first seed, what the prior changes: ELBO against mIoU and MSE (ICLR submission)."""
    for axes, name in zip(figure.subplots(1, 2), ("mIoU", "MSE"), strict=True):
        for pair in comparisons:
            zero, plus = pair.runs[0]
            x, y = ([side.each("lds", n) for side in (zero, plus)] for n in ("ELBO", name))
            if all(values is not None for values in (*x, *y)):
                changes = rescaled(x[1] - x[0]), rescaled(y[1] - y[0])  # type: ignore[operator]
                axes.plot(*changes, ".", markersize=3, alpha=0.4, label=f"{pair.model} {pair.data}")
        axes.set_xlabel("rise of the ELBO, scaled")
        axes.set_ylabel(f"rise of {name}, scaled")
        axes.legend()


def image_changes(comparisons: Sequence[Pair], metric: str) -> dict[str, np.ndarray]:
    """Return what the prior changes of each image of the first seed: the drop of the gap, or the rise of the ELBO."""
    protocol, sign = ("lds-gap", -1) if metric == "gap" else ("lds", 1)
    changes = {}
    for pair in comparisons:
        zero, plus = (side.each(protocol, metric) for side in pair.runs[0])
        if zero is not None and plus is not None and len(zero) == len(plus):
            changes[f"{pair.model} {pair.data}"] = sign * (plus - zero)
    return changes


def _draw_dots(figure: Any, comparisons: Sequence[Pair]) -> None:
    """Draw a dot per image and their mean: the drop of the gap (BMVC, Table 2), the rise of the ELBO (ICLR, Fig. 5)."""
    kinds = {"gap": "drop of the inference gap, nats", "ELBO": "rise of the ELBO, nats"}
    titles = {name: title for name, title in kinds.items() if image_changes(comparisons, name)}
    for axes, (name, title) in zip(np.atleast_1d(figure.subplots(1, len(titles))), titles.items(), strict=True):
        first = 0
        for label, values in image_changes(comparisons, name).items():
            places = np.arange(first, first + len(values))
            (dots,) = axes.plot(places, values, ".", markersize=3, alpha=0.5, label=label)
            axes.plot(places[[0, -1]], [values.mean()] * 2, color=dots.get_color(), linewidth=2)
            first += len(values)
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set(title=title, xlabel="images, model by model; the line is their mean")
        axes.legend(fontsize=7)
