"""IODINE's Figures 7 and 19: more objects and slots than in training, and a kind of object never seen.

Figures show inference refinement by refinement on images with more objects than in training: nine, a green sphere among
them, or five tetrominoes. In numbers, of CLEVR: how well the best slot covers green spheres (IoU) and how exactly they
are drawn (squared error over their pixels), beside all other objects of the same images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.experiments import comparison
from scenewise.experiments.results import Presentation, Spread, markdown, over_seeds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scenewise.checkpoint import LoadedModel
    from scenewise.data.contract import Source
    from scenewise.experiments.cell_folder import CellFolder
    from scenewise.experiments.experiment import Experiment
    from scenewise.experiments.explanations import SceneExplanations
    from scenewise.experiments.results import CellResult

IMAGES, OBJECTS, SLOTS = 100, 9, 11
"""Images with a green sphere that are measured; objects and slots of the figure."""

PIECES, SLOTS_OF_PIECES = 5, 6
"""Tetrominoes and slots of the figure; in training there are three pieces and four slots."""

_UNSEEN = ["green", "sphere"]
_SHOWN = 2
_BATCH = 25


def measure(folder: CellFolder, model: LoadedModel) -> dict[str, Any]:
    """Compare green spheres with the other objects of images that hold at least one; nothing of tetrominoes.

    Keys: `green spheres` and `other objects`, each with iou, mse and objects.
    """
    from scenewise.experiments.explanations import explain_scenes

    if has_pieces(folder):
        return {}
    source = unseen(folder, 3, 6)
    values: dict[str, list[tuple[float, float]]] = {"green spheres": [], "other objects": []}
    for first in range(0, IMAGES, _BATCH):
        scenes = explain_scenes(model.model, source, range(first, first + _BATCH))
        for n in range(_BATCH):
            for is_green, iou, error in _objects(scenes, n):
                values["green spheres" if is_green else "other objects"].append((iou, error))
    means = {name: np.mean(pairs, 0).tolist() for name, pairs in values.items()}
    return {name: {"iou": iou, "mse": mse, "objects": len(values[name])} for name, (iou, mse) in means.items()}


def _objects(scenes: SceneExplanations, n: int) -> list[tuple[bool, float, float]]:
    """Return of every object that is seen whether it is a green sphere, the IoU of its best slot, and its error."""
    objects, labels = scenes.samples[n].objects, scenes.labels(n)
    ids = scenes.ids[n, 0]  # type: ignore[index]  # the source knows them
    errors = ((np.asarray(scenes.part.reconstruction[n, 0]) - scenes.frames[n, 0]) ** 2).mean(0)
    facts = []
    for place, number in enumerate(objects.ids.tolist()):  # type: ignore[union-attr]
        seen = ids == number
        if not seen.any():
            continue
        owned = [labels == k for k in range(scenes.part.slots)]
        iou = max(float((own & seen).sum() / (own | seen).sum()) for own in owned if own.any())
        kind = [str(objects.colour[place]), str(objects.shape[place])]  # type: ignore[union-attr,index]
        facts.append((kind == _UNSEEN, iou, float(errors[seen].mean())))
    return facts


def has_pieces(folder: CellFolder) -> bool:
    """Say whether a cell's data are tetrominoes."""
    return folder.cell.data_part().source == "tetrominoes"


def unseen(folder: CellFolder, least: int, most: int) -> Source:
    """Return test images of the size of a cell's data that all hold a green sphere."""
    size = folder.source().facts.size[0]
    settings = {"size": size, "min_objects": least, "max_objects": most, "include": [_UNSEEN]}
    return folder.source("test", "clevr", **settings)


def pictures(folder: CellFolder, model: LoadedModel) -> dict[str, np.ndarray]:
    """Return inference on images of more objects than in training, of the first seed."""
    from scenewise.experiments.explanations import explain_scenes

    if folder.cell.seed:
        return {}
    if has_pieces(folder):
        source = folder.source("test", min_pieces=PIECES, max_pieces=PIECES)
        slots, what = SLOTS_OF_PIECES, f"{PIECES} pieces"
    else:
        source, slots, what = unseen(folder, OBJECTS, OBJECTS), SLOTS, f"{OBJECTS} objects, a green sphere among them"
    scenes = explain_scenes(model.model, source, range(_SHOWN), slots=slots)
    return {f"refinements{n + 1}": refinement_figure(scenes, n, f"{slots} slots, {what}") for n in range(_SHOWN)}


def refinement_figure(scenes: SceneExplanations, n: int, title: str) -> np.ndarray:
    """Return a row for each refinement of an image: what is drawn, where slots are, and slots, the largest first.

    Args:
        scenes: The images.
        n: Which.
        title: Over it.

    Returns:
        uint8, shape (height, width, 3).
    """
    from scenewise.decomposition import as_picture
    from scenewise.experiments.explanations import PAPER, framed
    from scenewise.explore.figure import FigureRow, figure
    from scenewise.media.palette import tinted

    image, rows = scenes.image(n), list[FigureRow]()
    order = np.argsort(-scenes.masks(n).sum((1, 2)), kind="stable").tolist()
    for decode in scenes.decodes:
        masks = decode.mixture.masks[n, :, 0].detach().cpu().numpy()
        appearance = np.moveaxis(decode.mixture.appearance[n].detach().cpu().numpy(), 1, -1)
        reconstruction = as_picture((masks[..., None] * appearance).sum(0))
        parts = masks[..., None] * appearance.clip(0, 1) + (1 - masks[..., None]) * PAPER
        slots = [framed(as_picture(parts[k]), k) for k in order]
        given = None if rows else image
        rows.append(FigureRow(f"r = {decode.number}", [given, reconstruction, tinted(image, masks, order[0]), *slots]))
    return figure(title, ["image", "all slots", "segmentation", *("" for _ in order)], rows)


def show(experiment: Experiment, results: Sequence[CellResult]) -> Presentation:
    """Show all metrics, and green spheres beside the other objects."""
    scores = comparison.show(experiment, results)
    head = ["model", "data", "variant", "objects of", "IoU of the best slot", "MSE over its pixels", "objects"]
    lines, rows = [], []
    for names, together in over_seeds(results).items():
        measured = [result.measured for result in together if result.measured]
        for kind in measured[0] if measured else ():
            parts = [one[kind] for one in measured]
            iou, mse = (Spread.of(part[key] for part in parts) for key in ("iou", "mse"))
            lines.append([*names, kind, iou.text(3), mse.text(5), sum(part["objects"] for part in parts)])
            rows.append({"cell": ".".join(names), "kind": kind, "iou": iou.plain(), "mse": mse.plain()})
    table = f"## Green spheres\n\n{markdown(head, lines)}" if lines else ""
    return Presentation(f"{scores.text}\n{table}", {**scores.data, "unseen": rows}, scores.figures)
