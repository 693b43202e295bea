"""IODINE's Figures 6 and 30 to 32: one number of a latent is changed at a time, and what that changes is measured.

Figures set the numbers with the largest KL to values between -1.25 and 1.25 and draw the image anew. The table says of
what each number changes, over the slots that say most in several images, when it goes from one end to the other: where
the slot lies (shift of its mask's centre, in pixels), how large it is (change of its mask's area), its colour (mean
over its mask, RGB in [0, 1]) and its outline (1 - IoU of the masks, one moved onto the other's centre).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.experiments.results import Presentation, markdown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scenewise.checkpoint import LoadedModel
    from scenewise.data.contract import Source
    from scenewise.experiments.cell_folder import CellFolder
    from scenewise.experiments.experiment import Experiment
    from scenewise.experiments.results import CellResult
    from scenewise.explore.moment import Moment

SPAN, STEPS, DIMENSIONS, IMAGES = 1.25, 9, 6, 24
_PICTURES = 3  # traversals that are drawn
EFFECTS = ("right", "down", "area", "colour", "outline")


def measure(folder: CellFolder, model: LoadedModel) -> dict[str, Any]:
    """Measure what every number of a slot's latent changes; nothing of models without slots.

    Keys: dimensions (those with the largest mean KL first), kl (mean, nats), images, and of each dimension the mean
    size of the change of `right`, `down` (pixels), `area` (logarithm of the ratio), `colour` and `outline`.
    """
    if getattr(model.model, "fixed_slots", False):
        return {}
    source = folder.source()
    moments = [moment_of(model, source, n) for n in range(min(IMAGES, len(source)))]
    chosen = [(moment, moment.most_informed) for moment in moments]
    kl = np.mean([moment.kl[slot] for moment, slot in chosen], 0)
    changes = np.mean([effects(moment, slot) for moment, slot in chosen], 0)  # (Z, 5)
    order = np.argsort(-kl, kind="stable")
    columns = {name: changes[order, n].round(4).tolist() for n, name in enumerate(EFFECTS)}
    return {"dimensions": order.tolist(), "kl": kl[order].round(3).tolist(), "images": len(moments), **columns}


def moment_of(model: LoadedModel, source: Source, index: int) -> Moment:
    """Return the first frame of a sample as a model explains it."""
    from scenewise.decompose.decomposer import Decomposer
    from scenewise.explore.exploration import VideoExploration

    frames = np.moveaxis(source.sample(index, 0, 1).frames, 1, -1)
    name = model.card.name or "model"
    decomposer = Decomposer(model.model, model.card, name, str(model.path), model.fingerprint)
    return VideoExploration.of(decomposer, frames).moment(0)


def effects(moment: Moment, slot: int) -> np.ndarray:
    """Return the size of every change when each number goes from -SPAN to SPAN, shape (Z, 5), in the order `EFFECTS`.

    Args:
        moment: The frame.
        slot: Whose latent is changed.
    """
    import torch

    mean = moment.posterior.mean
    units = mean.shape[1]
    latents = mean.repeat(2 * units, 1, 1)  # (2 Z, K, Z)
    every = torch.arange(units)
    latents[every, slot, every], latents[every + units, slot, every] = -SPAN, SPAN
    drawing = moment.draw(latents)
    masks, colours = drawing.masks[:, slot], drawing.appearance[:, slot]
    facts = [_facts(mask, image) for mask, image in zip(masks, colours, strict=True)]
    pairs = zip(facts[:units], facts[units:], masks[:units], masks[units:], strict=True)
    return np.array([_change(low, high, first, last) for low, high, first, last in pairs])


def _facts(mask: np.ndarray, image: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """Return the centre (x, y), the area and the mean colour of a slot."""
    area = float(mask.sum()) + 1e-6
    rows, columns = np.indices(mask.shape)
    centre = np.array([(mask * columns).sum(), (mask * rows).sum()]) / area
    return centre, area, (mask[..., None] * image).sum((0, 1)) / area


def _change(low: Any, high: Any, first: np.ndarray, last: np.ndarray) -> list[float]:
    (centre, area, colour), (other, size, shade) = low, high
    right, down = np.abs(other - centre)
    shift = np.rint(centre - other).astype(int)
    moved = np.roll(last, (shift[1], shift[0]), (0, 1))
    outline = 1 - np.minimum(first, moved).sum() / max(1e-6, float(np.maximum(first, moved).sum()))
    distance = float(np.sqrt(((shade - colour) ** 2).sum()))
    return [float(right), float(down), abs(float(np.log(size / area))), distance, float(outline)]


def pictures(folder: CellFolder, model: LoadedModel) -> dict[str, np.ndarray]:
    """Return traversals of test images, of models without slots also of images with several objects; first seed."""
    from scenewise.explore.traversal import traverse

    if folder.cell.seed:
        return {}
    source, cell = folder.source(), folder.cell
    places = {f"traversal{n + 1}": (source, n) for n in range(_PICTURES)}
    if getattr(model.model, "fixed_slots", False):
        several = folder.source("test", "clevr6", size=source.facts.size[0])
        places = {"traversal1": (source, 0), "several1": (several, 0)}
    sheets = {}
    for name, (data, index) in places.items():
        moment = moment_of(model, data, index)
        walk = traverse(moment, dimensions=min(DIMENSIONS, moment.kl.shape[1]), steps=STEPS, span=SPAN)
        what = "the latent" if moment.slots == 1 else f"slot {walk.slot + 1} of {moment.slots}"
        sheets[name] = walk.figure(f"{cell.model}, {cell.data}: {what}, the numbers with the largest KL")
    return sheets


def show(experiment: Experiment, results: Sequence[CellResult]) -> Presentation:
    """Show what the numbers with the largest KL change, and how many say anything."""
    text, data = [], []
    for result in (result for result in results if result.measured):
        facts, cell = result.measured, result.cell
        head = ["number", "KL, nats", "right, px", "down, px", "area, log", "colour", "outline", "mostly"]
        rows, largest = [], {name: max(1e-9, max(facts[name])) for name in EFFECTS}
        for rank, dimension in enumerate(facts["dimensions"][:DIMENSIONS]):
            values = {name: facts[name][rank] for name in EFFECTS}
            most = max(EFFECTS, key=lambda name: values[name] / largest[name])
            texts = [f"{values[name]:.2f}" for name in EFFECTS]
            rows.append([f"z{dimension}", f"{facts['kl'][rank]:.2f}", *texts, most])
        informed = sum(kl > 0.1 for kl in facts["kl"])
        counted = (
            f"{informed} of {len(facts['kl'])} numbers have a KL above 0.1 nats; means over {facts['images']} slots."
        )
        text.append(f"## {cell.name}\n\n{markdown(head, rows)}\n{counted}\n")
        data.append({"cell": cell.name, "informed": informed, **facts})
    note = "\nMostly: the change that comes closest to the largest of its kind that any number makes.\n" if text else ""
    return Presentation("\n".join(text) + note, {"rows": data}, {})
