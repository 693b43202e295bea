"""IODINE's Figures 20 to 22 and 24 to 29: latents of objects in two dimensions, mask logits, samples of the prior.

Latents are projected on their first two principal components and by t-SNE, coloured by factor. Beside the pictures
stands a number for what they are shown for: how often the five nearest latents of an object are of its kind, against
how often any other latent is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.experiments.results import Presentation, markdown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scenewise.checkpoint import LoadedModel
    from scenewise.experiments.cell_folder import CellFolder
    from scenewise.experiments.experiment import Experiment
    from scenewise.experiments.results import CellResult, Draw

SCENES, NEIGHBOURS = 160, 5
"""Scenes whose objects are projected, and neighbours that are asked."""

_SHOWN, _SAMPLES = 4, 8  # images with mask logits, and samples of the prior
_KINDS = ("colour", "shape", "size", "material", "x", "y")
_PALETTE = {
    "gray": "#808080", "red": "#d62728", "blue": "#1f3fd6", "green": "#2ca02c", "brown": "#8c564b", "purple": "#9467bd",
    "cyan": "#17becf", "yellow": "#e6c200", "magenta": "#e377c2",
}  # fmt: skip


def measure(folder: CellFolder, model: LoadedModel) -> dict[str, Any]:
    """Project the latents of objects.

    Keys: components (N, 2) with `explained` (their shares of the variance), t_sne (N, 2), factors (of each object, by
    name), `agreement` and `chance` (by factor of several kinds: the share of the nearest latents, and of all others,
    that are of an object's kind).
    """
    from scenewise.experiments.object_codes import object_codes
    from scenewise.experiments.projection import neighbour_agreement, principal_components, t_sne

    objects = object_codes(model.model, folder.source(), SCENES)
    points = objects.codes.astype(np.float64)
    projection = principal_components(points)
    factors = {name: objects.column(name) for name in _KINDS if name in objects.factors}
    kinds = {name: values for name, values in factors.items() if not objects.is_ordered(name)}
    return {
        "components": projection.of(points).round(3).tolist(),
        "explained": projection.shares.round(4).tolist(),
        "t_sne": t_sne(points).round(2).tolist(),
        "factors": {name: (v.round(3) if v.dtype.kind == "f" else v).tolist() for name, v in factors.items()},
        "agreement": {name: neighbour_agreement(points, values, NEIGHBOURS) for name, values in kinds.items()},
        "chance": {name: _chance(values) for name, values in kinds.items()},
    }


def _chance(kinds: np.ndarray) -> float:
    """Return how often any other latent is of an object's kind."""
    same = kinds[:, None] == kinds[None]
    return float((same.sum() - len(kinds)) / (len(kinds) * max(1, len(kinds) - 1)))


def pictures(folder: CellFolder, model: LoadedModel) -> dict[str, np.ndarray]:
    """Return masks and mask logits of some test images, and images drawn from samples of the prior."""
    if folder.cell.seed:
        return {}
    return {"logits": mask_logits(folder, model), "prior": prior_samples(model)}


def mask_logits(folder: CellFolder, model: LoadedModel) -> np.ndarray:
    """Return two rows for each image: it and the masks; the true objects and the mask logits, each from black up.

    Returns:
        uint8, shape (height, width, 3).
    """
    from scenewise.decomposition import as_picture
    from scenewise.experiments.explanations import evenly, explain_scenes
    from scenewise.explore.figure import FigureRow, figure
    from scenewise.media.palette import slot_colours

    scenes, rows = explain_scenes(model.model, folder.source(), range(_SHOWN)), []
    logits = np.asarray(scenes.decodes[-1].mixture.logits[:, :, 0].detach().cpu())  # (N, K, H, W)
    for n in range(len(scenes.frames)):
        ids = np.zeros(scenes.frames.shape[-2:], int) if scenes.ids is None else scenes.ids[n, 0].clip(0)
        colours = np.concatenate([np.zeros((1, 3)), slot_colours(max(1, int(ids.max())))]) / 255
        masks = [as_picture(mask[..., None]) for mask in scenes.masks(n)]
        rows.append(FigureRow(f"image {n + 1}", [scenes.image(n), *masks], "and masks", space=10 if n else 0))
        rows.append(FigureRow("truth", [as_picture(colours[ids]), *map(evenly, logits[n])], "and mask logits"))
    slots = [f"slot {k + 1}" for k in range(scenes.part.slots)]
    return figure(f"{folder.cell.model}, {folder.cell.data}: masks and mask logits", ["", *slots], rows)


def prior_samples(model: LoadedModel) -> np.ndarray:
    """Return images whose slots were drawn from the prior, each by itself, with their slots.

    Returns:
        uint8, shape (height, width, 3).
    """
    import torch

    from scenewise.experiments.explanations import framed
    from scenewise.explore.figure import FigureRow, figure
    from scenewise.explore.moment import Drawing

    net: Any = model.model
    slots = net.config.slots
    latents = torch.randn(_SAMPLES, slots, net.config.latent, generator=torch.Generator().manual_seed(0))
    masks, appearance = net.decode(latents.to(next(net.parameters()).device) * net.config.prior_std)
    drawing = Drawing(masks[:, :, 0].float().cpu().numpy(), np.moveaxis(appearance.float().cpu().numpy(), 2, -1))
    alone = [drawing.alone(k) for k in range(slots)]
    rows = [
        FigureRow(str(n + 1), [drawing.images[n], *(framed(alone[k][n], k) for k in range(slots))])
        for n in range(_SAMPLES)
    ]
    columns = ["all slots", *(f"slot {k + 1}" for k in range(slots))]
    return figure("Drawn from the prior, each slot by itself", columns, rows)


def show(experiment: Experiment, results: Sequence[CellResult]) -> Presentation:
    """Show how often near latents are of a kind, and the projections by factor."""
    head = ["model", "data", "variant", "seed", "factor", "nearest are of its kind", "any others are", "objects"]
    rows, data, figures = [], [], {}
    for result in (result for result in results if result.measured):
        cell, facts = result.cell, result.measured
        for name, share in facts["agreement"].items():
            chance, count = facts["chance"][name], len(facts["components"])
            row = [cell.model, cell.data, cell.variant, cell.seed, name]
            rows.append([*row, f"{share:.3f}", f"{chance:.3f}", count])
            data.append({"cell": cell.name, "factor": name, "agreement": share, "chance": chance, "objects": count})
        if not cell.seed:
            name = f"{cell.data}-{cell.variant}"
            shares = " and ".join(f"{100 * share:.0f} %" for share in facts["explained"]) + " of the variance"
            figures[f"components-{name}"] = _drawing(
                facts, "components", f"{cell.data}, first principal components: {shares}"
            )
            figures[f"tsne-{name}"] = _drawing(facts, "t_sne", f"{cell.data}, t-SNE")
    note = f"\nOf the {NEIGHBOURS} nearest latents of every object's latent.\n"
    return Presentation(markdown(head, rows) + note, {"rows": data}, figures)


def _drawing(facts: Any, key: str, title: str) -> Draw:
    return lambda figure: draw_projection(figure, np.array(facts[key]), facts["factors"], title)


def draw_projection(figure: Any, points: np.ndarray, factors: dict[str, list[Any]], title: str) -> None:
    """Draw points (N, 2), one panel for each factor that they are coloured by."""
    from matplotlib import colormaps

    names = [name for name in _KINDS if name in factors and len(set(factors[name])) > 1]
    columns = max(1, len(names) if len(names) <= 4 else 3)
    lines = -(-len(names) // columns) or 1
    figure.set_size_inches(3.2 * columns, 2.9 * lines + 0.3)
    figure.suptitle(title, fontsize=11)
    panels = np.atleast_1d(figure.subplots(lines, columns, squeeze=False)).reshape(-1)
    for axes, name in zip(panels, names, strict=False):
        values = np.array(factors[name])
        if values.dtype.kind == "f":
            axes.scatter(*points.T, c=values, s=7, cmap="viridis")
        else:
            for number, kind in enumerate(np.unique(values)):
                own = values == kind
                shade = _PALETTE.get(str(kind), colormaps["tab20"](number % 20))
                axes.scatter(*points[own].T, s=7, color=shade, label=str(kind))
            if len(np.unique(values)) <= 9:
                axes.legend(fontsize=6, markerscale=1.4, borderpad=0.2, handletextpad=0.1)
        axes.set(title=f"by {name}", xticks=[], yticks=[])
    for axes in panels[len(names) :]:
        axes.axis("off")
