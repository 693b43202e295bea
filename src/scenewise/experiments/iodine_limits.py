"""IODINE's Figure 11: where segmentation goes by colour, and where it does not need it.

Beside the scores stands how far the division of all pixels agrees with the truth and with a division by colour alone:
the adjusted Rand index of the slots that own pixels against the true objects with the background, and against clusters
of the pixels' colours, as many as there are slots (k-means).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.experiments import comparison
from scenewise.experiments.iodine_pictures import pictures
from scenewise.experiments.results import Presentation, Spread, markdown, over_seeds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scenewise.checkpoint import LoadedModel
    from scenewise.experiments.cell_folder import CellFolder
    from scenewise.experiments.experiment import Experiment
    from scenewise.experiments.results import CellResult

__all__ = ["measure", "pictures", "show"]

IMAGES = 64
_ROUNDS = 25  # of k-means


def measure(folder: CellFolder, model: LoadedModel) -> dict[str, Any]:
    """Compare divisions of test images with the truth and with a division by colour.

    Keys: `truth` and `colour` (means of the adjusted Rand index over images, all pixels), `colour and truth`, what a
    division by colour alone would reach, and images.
    """
    from scenewise.experiments.explanations import explain_scenes
    from scenewise.metrics import adjusted_rand_index

    source = folder.source()
    scenes = explain_scenes(model.model, source, range(min(IMAGES, len(source))))
    values: dict[str, list[float]] = {"truth": [], "colour": [], "colour and truth": []}
    for n in range(len(scenes.frames)):
        pixels = np.moveaxis(scenes.frames[n, 0], 0, -1)
        clusters, labels = by_colour(pixels, scenes.part.slots), scenes.labels(n)
        pairs = {"colour": (labels, clusters)}
        if scenes.ids is not None:
            pairs |= {"truth": (labels, scenes.ids[n, 0]), "colour and truth": (clusters, scenes.ids[n, 0])}
        for name, (one, other) in pairs.items():
            values[name].append(float(adjusted_rand_index(one[None], other[None], foreground=False).mean))
    return {name: float(np.mean(numbers)) for name, numbers in values.items() if numbers} | {
        "images": len(scenes.frames)
    }


def by_colour(pixels: np.ndarray, clusters: int) -> np.ndarray:
    """Return a division of pixels by their colours alone: k-means from colours that are far apart.

    Args:
        pixels: Floats, shape (H, W, C).
        clusters: K; fewer where there are fewer colours.

    Returns:
        int64, shape (H, W).
    """
    colours = pixels.reshape(-1, pixels.shape[-1]).astype(np.float64)
    centres = colours[:1]
    for _ in range(1, clusters):
        distance = ((colours[:, None] - centres) ** 2).sum(2).min(1)
        if distance.max() <= 0:
            break
        centres = np.concatenate([centres, colours[[distance.argmax()]]])
    nearest = np.zeros(len(colours), np.int64)
    for _ in range(_ROUNDS):
        nearest = ((colours[:, None] - centres) ** 2).sum(2).argmin(1)
        counts = np.bincount(nearest, minlength=len(centres))[:, None]
        sums = np.stack([np.bincount(nearest, channel, len(centres)) for channel in colours.T], 1)
        moved = np.where(counts > 0, sums / np.maximum(counts, 1), centres)
        if np.allclose(moved, centres):
            break
        centres = moved
    return nearest.reshape(pixels.shape[:2])


def show(experiment: Experiment, results: Sequence[CellResult]) -> Presentation:
    """Show all metrics, and how far divisions go by colour."""
    scores = comparison.show(experiment, results)
    head = ["model", "data", "variant", "slots and truth", "slots and colours", "colours and truth", "images"]
    lines, rows = [], []
    for names, together in over_seeds(results).items():
        measured = [result.measured for result in together if result.measured]
        if not measured:
            continue
        spreads = [
            Spread.of(one[key] for one in measured if key in one) for key in ("truth", "colour", "colour and truth")
        ]
        lines.append([*names, *(spread.text(3) for spread in spreads), measured[0]["images"]])
        rows.append({"cell": ".".join(names), **{k: v for k, v in measured[0].items() if k != "images"}})
    table = f"## Divisions of all pixels: adjusted Rand index\n\n{markdown(head, lines)}" if lines else ""
    return Presentation(f"{scores.text}\n{table}", {**scores.data, "divisions": rows}, scores.figures)
