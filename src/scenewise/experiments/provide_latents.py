"""What single numbers of a slot's latent hold: PROVIDE's walks through latents (Appendix F.5).

As in the authors' code, one number of one slot's z is set to seven values from -2.5 to 2.5 and the frame drawn again;
here z alone, where the code moves the same number of the state with it. What is drawn of the slot then is measured:
where its mask is, how large, and of which colour. A number that moves one of these and leaves the others is what
disentanglement means; the paper shows pictures and no measure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from scenewise.experiments import comparison
from scenewise.experiments.results import Presentation, markdown, over_seeds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scenewise.checkpoint import LoadedModel
    from scenewise.experiments.cell_folder import CellFolder
    from scenewise.experiments.experiment import Experiment
    from scenewise.experiments.results import CellResult
    from scenewise.explore.moment import Drawing, Moment

VALUES = np.linspace(-2.5, 2.5, 7)
"""What a number is set to."""

EFFECTS = ("column", "row", "area", "colour")
"""What is measured of a slot: the centre of its mask as shares of the sides, its area as a share of the frame, and the
mean of its appearance under the mask (the largest change of a channel)."""

DIMENSIONS = 8
"""Numbers of a slot that are moved: those with the largest KL."""

_VIDEOS, _FRAME = 4, 9  # videos, and the frame that is looked at, by which slots have settled
_LEAST = 0.5  # share of what a whole slot covers below which nothing is left to measure a place of
_DRAWN = 6  # rows of the picture


class Walk(NamedTuple):
    """One slot under changes of single numbers.

    Attributes:
        slot: Which, from 0.
        dimensions: By their KL, shape (D,).
        kl: Of each in nats, shape (D,).
        drawings: For each the pictures under `VALUES`.
    """

    slot: int
    dimensions: np.ndarray
    kl: np.ndarray
    drawings: list[Drawing]


def measure(folder: CellFolder, model: LoadedModel) -> dict[str, Any]:
    """Measure what numbers of slots change.

    Returns:
        `rows`: for each rank by KL its mean `kl` and `effects`, one for each of `EFFECTS`; `informed`, how many numbers
        of a slot have a KL above 0.1 nats; `purity`, see `purity`; and `slots`, how many were looked at.
    """
    walks, informed = [], []
    for moment in _moments(folder, model):
        for slot in _objects(moment):
            walks.append(walk(moment, slot))
            informed.append(int((moment.kl[slot] > 0.1).sum()))
    if not walks:
        return {"rows": [], "informed": None, "purity": None, "slots": 0}
    effects = np.array([[effect(drawing, one.slot) for drawing in one.drawings] for one in walks])  # (n, D, 4)
    kl = np.array([one.kl for one in walks])
    rows = [
        {"kl": float(kl[:, rank].mean()), "effects": np.nanmean(effects[:, rank], 0).tolist()}
        for rank in range(effects.shape[1])
    ]
    return {"rows": rows, "informed": float(np.mean(informed)), "purity": purity(effects), "slots": len(walks)}


def pictures(folder: CellFolder, model: LoadedModel) -> dict[str, np.ndarray]:
    """Return the frame as it is drawn while single numbers of one slot change."""
    from scenewise.explore.figure import FigureRow, figure

    if folder.cell.seed:
        return {}
    moment = next(_moments(folder, model))
    slots = _objects(moment)
    if not slots:
        return {}
    one, first = walk(moment, slots[0]), moment.draw(moment.posterior.mean[None])
    rows = [
        FigureRow(f"z{dimension}", [first.images[0], *drawing.images], f"{kl:.2f} nats")
        for dimension, kl, drawing in zip(one.dimensions[:_DRAWN], one.kl, one.drawings, strict=False)
    ]
    columns = ["as it is", *(f"{value:+.1f}" for value in VALUES)]
    return {"walk": figure(f"{folder.cell.name}, slot {one.slot + 1}", columns, rows)}


def _moments(folder: CellFolder, model: LoadedModel) -> Any:
    """Yield a frame of each video."""
    from scenewise.decompose.decomposer import Decomposer
    from scenewise.explore.exploration import VideoExploration

    decomposer, source = Decomposer(model.model, model.card), folder.source()
    for index in range(_VIDEOS):
        frame = min(_FRAME, source.length(index) - 1)
        yield VideoExploration.of(decomposer, source.sample(index, 0, frame + 1)).moment(frame)


def _objects(moment: Moment) -> list[int]:
    """Return the slots that own something and not most of the frame, the most informed first."""
    labels = moment.decomposition.labels[0, 0].cpu().numpy()
    areas = np.bincount(labels.reshape(-1), minlength=moment.slots) / labels.size
    order = np.argsort(-moment.kl.sum(1), kind="stable")
    return [int(slot) for slot in order if 0 < areas[slot] < 0.5]


def walk(moment: Moment, slot: int) -> Walk:
    """Set each of a slot's most informed numbers to `VALUES`, one after the other."""
    import torch

    mean = moment.posterior.mean
    dimensions, drawings = moment.ranking(slot)[:DIMENSIONS].copy(), []
    for dimension in dimensions.tolist():
        latents = mean.repeat(len(VALUES), 1, 1)
        latents[:, slot, dimension] = torch.from_numpy(VALUES).to(mean)
        drawings.append(moment.draw(latents))
    return Walk(slot, dimensions, moment.kl[slot, dimensions], drawings)


def effect(drawing: Drawing, slot: int) -> list[float]:
    """Return how far each of `EFFECTS` of a slot goes over the pictures, largest minus smallest; NaN if it vanishes."""
    masks, appearance = drawing.masks[:, slot], drawing.appearance[:, slot]
    areas = masks.sum((1, 2))
    seen = areas >= _LEAST * np.median(areas)
    height, width = masks.shape[1:]
    weights = masks / np.maximum(areas, 1e-9)[:, None, None]
    columns = (weights.sum(1) * np.arange(width)).sum(1)[seen] / width
    rows = (weights.sum(2) * np.arange(height)).sum(1)[seen] / height
    colours = (weights[..., None] * appearance).sum((1, 2))[seen]
    if seen.sum() < 2:
        return [float("nan")] * len(EFFECTS)
    return [float(np.ptp(v)) for v in (columns, rows, areas / (height * width))] + [float(np.ptp(colours, 0).max())]


def purity(effects: np.ndarray) -> float:
    """Return how far numbers change one thing alone: 1 where each does, 1 / 4 where each changes all alike.

    Each effect is divided by the largest that any number of the slot has; of what a number does then, the share of its
    largest effect counts, and numbers count by the size of theirs.

    Args:
        effects: Shape (slots, D, effects), NaN where a slot vanished.
    """
    effect_sizes = np.nan_to_num(effects)
    scaled = effect_sizes / np.maximum(effect_sizes.max(1, keepdims=True), 1e-9)
    largest, together = scaled.max(2), scaled.sum(2)
    weights = largest.sum()
    return float((largest / np.maximum(together, 1e-9) * largest).sum() / max(weights, 1e-9))


def show(experiment: Experiment, results: Sequence[CellResult]) -> Presentation:
    """Show what `comparison` shows, and what numbers change by their KL."""
    presentation, rows = comparison.show(experiment, results), []
    lines = []
    for (model, data, variant), together in over_seeds(results).items():
        measured = next((r.scores["measured"] for r in together if "measured" in r.scores), None)
        if measured is None or not measured["rows"]:
            continue
        rows.append({"model": model, "data": data, "variant": variant, **measured})
        for rank, row in enumerate(measured["rows"]):
            names = [model, data, variant, f"{measured['purity']:.2f}", f"{measured['informed']:.1f}"]
            names = names if rank == 0 else [""] * len(names)
            lines.append([*names, str(rank + 1), f"{row['kl']:.2f}", *(f"{value:.3f}" for value in row["effects"])])
    head = ["model", "data", "variant", "purity", "numbers above 0.1 nats", "by KL", "nats", *EFFECTS]
    text = presentation.text
    if lines:
        text += f"\n## What single numbers change\n\n{markdown(head, lines)}\n{_NOTE}\n"
    return Presentation(text, {**presentation.data, "latents": rows}, presentation.figures)


_NOTE = """How far a slot's centre (share of the side), area (share of the frame) and colour (0 to 1) go while one
number runs from -2.5 to 2.5, means over slots. Purity: share of a number's largest effect; 1 changes one thing."""
