"""IODINE's Figure 5: how well one linear layer reads an object's factors from its code.

The layer is trained after the model, on scenes of the training split, and tested on scenes of the test split: cross
entropy for factors of several kinds, squared error for the position. A VAE has one code for a scene; from that the same
layer has to read the factors of all objects at once, in the order that the paper chose to make this easy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.experiments.results import Presentation, Spread, markdown, over_seeds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scenewise.checkpoint import LoadedModel
    from scenewise.experiments.cell_folder import CellFolder
    from scenewise.experiments.experiment import Experiment
    from scenewise.experiments.object_codes import SlotCodes
    from scenewise.experiments.results import CellResult

FIT, TEST = 1500, 320
"""Scenes that the layer is trained and tested on."""

_STEPS, _RATE, _DECAY = 400, 0.05, 1e-4
_POSITION = ("x", "y")
FACTORS = ("colour", "shape", "size", "material", "position")
"""What is shown, in this order."""


def measure(folder: CellFolder, model: LoadedModel) -> dict[str, Any]:
    """Train the layer on a cell's codes and test it.

    Keys: objects (on which it was tested), scores (accuracy by factor, R2 of the position and of other numbers) and
    frequent (accuracy of always naming the most frequent kind; 0 for numbers).
    """
    from scenewise.experiments.object_codes import object_codes

    train, test = folder.source("train"), folder.source()
    places = train.facts.max_objects
    fit = object_codes(model.model, train, FIT, places=places)
    held = object_codes(model.model, test, TEST, places=places)
    scores = readout(fit, held)
    frequent = {name: baseline(fit, held, name) for name in scores}
    return {"objects": int(held.present.sum()), "scores": scores, "frequent": frequent}


def readout(fit: SlotCodes, held: SlotCodes) -> dict[str, float]:
    """Return how well one linear layer that learned on some codes reads others, by factor.

    Returns:
        Accuracy of factors of several kinds, R2 of others; R2 of x and y, over both, is `position`. Factors that are
        the same everywhere are left out.
    """
    import torch

    names = [name for name in fit.factors if len(np.unique(fit.column(name))) > 1]
    kinds = {name: np.unique(fit.column(name)) for name in names if not fit.is_ordered(name)}
    centre, spread = fit.codes.mean(0), fit.codes.std(0) + 1e-6
    inputs, tests = (torch.tensor((c.codes - centre) / spread, dtype=torch.float32) for c in (fit, held))
    heads = {name: torch.nn.Linear(inputs.shape[1], fit.places * len(kinds.get(name, [0]))) for name in names}
    targets = {name: _target(fit, name, kinds) for name in names}
    for head in heads.values():
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
    present = torch.from_numpy(fit.present)
    numbers = [value for head in heads.values() for value in head.parameters()]
    optimizer = torch.optim.Adam(numbers, _RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
    for _ in range(_STEPS):
        optimizer.zero_grad()
        losses = []
        for name, head in heads.items():
            outputs = head(inputs).unflatten(1, (fit.places, -1))[present]
            target = targets[name][present]
            if name in kinds:
                losses.append(torch.nn.functional.cross_entropy(outputs, target))
            else:
                losses.append((outputs[:, 0] - target).square().mean())
        torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        answers = {name: head(tests).unflatten(1, (fit.places, -1)).numpy() for name, head in heads.items()}
    return _scores(fit, held, answers, kinds)


def _target(codes: SlotCodes, name: str, kinds: Mapping[str, np.ndarray]) -> Any:
    """Return a factor of all objects as numbers of kinds, or with mean 0 and variance 1 over objects, (N, L)."""
    import torch

    values = codes.factors[name]
    if name in kinds:
        return torch.from_numpy(np.searchsorted(kinds[name], values).clip(0, len(kinds[name]) - 1))
    column = codes.column(name)
    return torch.tensor((values - column.mean()) / column.std(), dtype=torch.float32)


def _scores(
    fit: SlotCodes, held: SlotCodes, answers: Mapping[str, np.ndarray], kinds: Mapping[str, np.ndarray]
) -> dict[str, float]:
    scores, errors = {}, {}
    for name, drawn in answers.items():
        if name in kinds:
            named = kinds[name][drawn.argmax(2)][held.present]
            scores[name] = float((named == held.column(name)).mean())
            continue
        known, truth = fit.column(name), held.column(name)
        values = drawn[..., 0][held.present] * known.std() + known.mean()
        errors[name] = np.array([((values - truth) ** 2).sum(), ((truth - truth.mean()) ** 2).sum()])
        scores[name] = float(1 - errors[name][0] / errors[name][1])
    if set(_POSITION) <= set(errors):
        lost, all_of_it = errors["x"] + errors["y"]
        scores = {name: value for name, value in scores.items() if name not in _POSITION}
        scores["position"] = float(1 - lost / all_of_it)
    return scores


def baseline(fit: SlotCodes, held: SlotCodes, name: str) -> float:
    """Return the accuracy of always naming the most frequent kind, 0 for numbers."""
    if name not in fit.factors or fit.is_ordered(name):
        return 0.0
    kinds, counts = np.unique(fit.column(name), return_counts=True)
    return float((held.column(name) == kinds[counts.argmax()]).mean())


def show(experiment: Experiment, results: Sequence[CellResult]) -> Presentation:
    """Show accuracies and R2 of every model, what always naming the most frequent kind reaches, and bars."""
    rows: list[dict[str, Any]] = []
    for (model, data, variant), together in over_seeds(results).items():
        measured = [result.measured for result in together if result.measured]
        if not measured:
            continue
        names = dict.fromkeys(name for one in measured for name in one["scores"])
        scores = {name: Spread.of(one["scores"][name] for one in measured if name in one["scores"]) for name in names}
        frequent = {name: float(np.mean([one["frequent"].get(name, 0.0) for one in measured])) for name in names}
        objects = int(np.mean([one["objects"] for one in measured]))
        rows.append({"row": (model, data, variant), "scores": scores, "frequent": frequent, "objects": objects})
    factors = [name for name in FACTORS if any(name in row["scores"] for row in rows)]
    factors += sorted({name for row in rows for name in row["scores"]} - set(factors))
    head = ["model", "data", "variant", *(f"{n} (R2)" if n == "position" else n for n in factors), "objects"]
    lines = [[*row["row"], *(_cell(row, name) for name in factors), row["objects"]] for row in rows]
    note = (
        "\nMean ± std over seeds (number of seeds) [always the most frequent kind]. The paper shows bars without "
        "numbers.\n"
    )
    plain = [
        {"cell": ".".join(row["row"]), **{name: spread.plain() for name, spread in row["scores"].items()}}
        for row in rows
    ]
    figures = {"bars": lambda figure: draw_bars(figure, rows, factors)} if rows else {}
    return Presentation(markdown(head, lines) + note, {"rows": plain}, figures)


def _cell(row: Mapping[str, Any], name: str) -> str:
    if name not in row["scores"]:
        return "-"
    chance = f" [{row['frequent'][name]:.3f}]" if row["frequent"][name] else ""
    return f"{row['scores'][name].text(3)}{chance}"


def draw_bars(figure: Any, rows: Sequence[Mapping[str, Any]], factors: Sequence[str]) -> None:
    """Draw bars by factor, one of each model, with a mark at what the most frequent kind gives."""
    axes = figure.subplots()
    width = min(0.4, 0.8 / max(1, len(rows)))
    for number, row in enumerate(rows):
        places = [(n + (number - (len(rows) - 1) / 2) * width, name) for n, name in enumerate(factors)]
        bars = [(x, name) for x, name in places if name in row["scores"]]
        heights = [max(0.0, row["scores"][name].mean) for _, name in bars]
        errors = [row["scores"][name].std for _, name in bars]  # NaN, for one seed, draws nothing
        axes.bar([x for x, _ in bars], heights, width * 0.92, yerr=errors, label=" ".join(row["row"]), capsize=2)
        for x, name in bars:
            level = row["frequent"][name]
            if level:
                axes.hlines(level, x - width / 2, x + width / 2, color="black", linewidth=1.2)
    axes.set_xticks(range(len(factors)), [f"{n} (R²)" if n == "position" else n for n in factors])
    axes.set(ylim=(0, 1), ylabel="accuracy", title="One linear layer on codes; black: always the most frequent kind")
    axes.grid(axis="y", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
