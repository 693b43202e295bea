"""Ablations of the LDS prior: its width over cosines, and the number of slots (BMVC 2021, figures only; lds.md 4.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.experiments.results import Presentation, Spread, markdown, over_seeds, spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scenewise.experiments.experiment import Experiment
    from scenewise.experiments.results import CellResult

_METRICS = (("MSE", 4), ("mIoU", 4), ("Sim", 3), ("duplicates", 3), ("background split", 3))


def show(experiment: Experiment, results: Sequence[CellResult]) -> Presentation:
    """Show each variant at each number of slots at test."""
    rows, data = [], []
    for (model, source, variant), together in over_seeds(results).items():
        for slots in _slots(together):
            spreads = {name: spread(together, "lds", name, slots=slots) for name, _ in _METRICS}
            texts = [spreads[name].text(digits) for name, digits in _METRICS]
            rows.append([model, source, variant, slots or "own", *texts])
            names = {"model": model, "data": source, "variant": variant, "slots": slots}
            data.append(names | {name: values.plain() for name, values in spreads.items()})
    head = ["model", "data", "variant", "K at test", *(name for name, _ in _METRICS)]
    text = markdown(head, rows) + "\nThe paper: no clear loss in MSE or mIoU over either; it prints no numbers.\n"
    return Presentation(text, {"rows": data}, {"curves": lambda figure: _draw(figure, results)} if rows else {})


def _slots(together: Sequence[CellResult]) -> list[int | None]:
    """Return the numbers of slots at test, in the order of the file."""
    evaluations = [evaluation for result in together for evaluation in result.scores["scores"]]
    return list(dict.fromkeys(evaluation["scoring"]["slots"] for evaluation in evaluations))


def _draw(figure: Any, results: Sequence[CellResult]) -> None:
    """Draw MSE and mIoU: by variant, or by the number of slots at test where there are several."""
    by_variant = over_seeds(results)
    for axes, name in zip(figure.subplots(1, 2), ("MSE", "mIoU"), strict=True):
        if any(len(_slots(together)) > 1 for together in by_variant.values()):
            for names, together in by_variant.items():
                slots = _slots(together)
                points = [spread(together, "lds", name, slots=k) for k in slots]
                _line(axes, [str(k or "own") for k in slots], points, " ".join(names))
            axes.set_xlabel("slots at test")
        else:
            for model, data in dict.fromkeys(names[:2] for names in by_variant):
                variants = {v: r for (m, d, v), r in by_variant.items() if (m, d) == (model, data)}
                _line(axes, list(variants), [spread(r, "lds", name) for r in variants.values()], f"{model} {data}")
        axes.set_ylabel(name)
        axes.legend()


def _line(axes: Any, places: list[str], points: Sequence[Spread], label: str) -> None:
    errors = [float(np.nan_to_num(point.std)) for point in points]
    axes.errorbar(places, [point.mean for point in points], yerr=errors, marker="o", capsize=3, label=label)
