"""IODINE's Figure 10: an arrangement of tetrominoes that has three explanations, seen again and again.

Twelve blocks of one colour can be divided into three pieces in exactly three ways. Only noise differs between runs, so
what a model settles on shows which explanations its inference can reach. A run counts as one of the divisions where
blocks with one slot, the owner of most of their pixels, are its pieces; anything else is no valid division. Runs with
the same division differ in which slot holds which piece. As a yardstick, the same is asked of ordinary images of the
data set, whose true division must be met.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.data.generated.tetrominoes.pieces import BLOCK, blocks, draw
from scenewise.data.generated.tetrominoes.source import COLOURS, SHAPES
from scenewise.experiments.results import Presentation, markdown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scenewise.checkpoint import LoadedModel
    from scenewise.experiments.cell_folder import CellFolder
    from scenewise.experiments.experiment import Experiment
    from scenewise.experiments.explanations import SceneExplanations
    from scenewise.experiments.results import CellResult

    Cells = frozenset[tuple[int, int]]

ARRANGEMENTS = {
    "stairs": (".##.", "####", "####", "..##"),
    "bracket": ("####", "#.#.", "#.#.", "####"),
    "hook": ("##.##", "###.#", "###.#"),
}
"""Blocks that three pieces cover in exactly three ways."""

RUNS, SIZE = 200, 35
_COLOUR = "cyan"
_PATHS = 4  # runs whose way through the latents is drawn
_SHARE = 0.5  # of a block's pixels that its slot must own
_SHARE_OF_PIECE = 0.9  # of a piece's pixels, in an ordinary image


def cells_of(rows: Sequence[str]) -> Cells:
    """Return (row, column) of the blocks of an arrangement."""
    return frozenset((r, c) for r, row in enumerate(rows) for c, mark in enumerate(row) if mark == "#")


def divisions(cells: Cells, shapes: Sequence[int] = SHAPES) -> list[dict[int, Cells]]:
    """Return every way to cover blocks by pieces, as blocks by the place of the piece in the row of choices.

    Args:
        cells: (row, column) of the blocks.
        shapes: Numbers of the pieces in use.
    """
    if not cells:
        return [{}]
    row, column = min(cells)
    ways = []
    for shape in shapes:
        offsets = sorted(map(tuple, blocks(shape).tolist()))
        up, left = offsets[0]
        piece = frozenset((row + r - up, column + c - left) for r, c in offsets)
        if piece <= cells:
            rest = divisions(cells - piece, shapes)
            ways += [dict(enumerate([piece, *way.values()])) for way in rest]
    return ways


def image_of(rows: Sequence[str], size: int = SIZE) -> tuple[np.ndarray, tuple[int, int]]:
    """Return an arrangement as an image in the middle of black, and the row and column of its corner in pixels.

    Returns:
        Float in [0, 1], shape (3, H, W), and the corner.
    """
    cells = cells_of(rows)
    height, width = (max(place[axis] for place in cells) + 1 for axis in (0, 1))
    top, left = (size - height * BLOCK) // 2, (size - width * BLOCK) // 2
    way = divisions(cells)[0]  # any: blocks look the same whatever piece they belong to
    corners, numbers = [], []
    for piece in way.values():
        low = np.array(sorted(piece)).min(0)
        shape = {tuple(place) for place in (np.array(sorted(piece)) - low).tolist()}
        numbers.append(next(p for p in SHAPES if {tuple(b) for b in blocks(p).tolist()} == shape))
        corners.append(low * BLOCK + (top, left))
    colours = np.array([[COLOURS[_COLOUR]] * len(numbers)], np.uint8)
    frames, _ = draw(np.array([numbers]), np.array([corners]), colours, size)
    return frames[0, 0].astype(np.float32) / 255, (top, left)


def outcome(labels: np.ndarray, corner: tuple[int, int], rows: Sequence[str]) -> tuple[int | None, Any]:
    """Return which division a run settled on, None where on none, and which slot holds which piece.

    Args:
        labels: The slot of each pixel, shape (H, W).
        corner: Row and column of the arrangement in pixels.
        rows: The arrangement.
    """
    owners = {}
    for row, column in cells_of(rows):
        top, left = corner[0] + row * BLOCK, corner[1] + column * BLOCK
        counts = np.bincount(labels[top : top + BLOCK, left : left + BLOCK].reshape(-1))
        if counts.max() <= _SHARE * BLOCK**2:
            return None, None
        owners[row, column] = int(counts.argmax())
    groups = {slot: frozenset(p for p, s in owners.items() if s == slot) for slot in set(owners.values())}
    for number, way in enumerate(divisions(cells_of(rows))):
        if set(groups.values()) == set(way.values()):
            slots = {piece: slot for slot, piece in groups.items()}
            return number, tuple(slots[piece] for piece in way.values())
    return None, None


def measure(folder: CellFolder, model: LoadedModel) -> dict[str, Any]:
    """Count what a model settles on, and follow its latents.

    Keys: runs; ordinary (see `ordinary`); arrangements, by name with `divisions` (how often each), `invalid`, and
    `orders` (how many assignments of slots to pieces were seen in each division); latents of the first arrangement:
    `points` (of each run, all slots together, two principal components), `explained` (their share of the variance),
    `background` (the slot that holds it) and `paths` (of `chosen` runs, by refinement).
    """
    size = model.model.config.size[0]
    arrangements = {}
    for name, rows in ARRANGEMENTS.items():
        seen = [outcome(*run) for run in _runs(model, rows, size)[1]]
        ways = Counter(number for number, _ in seen)
        orders = {number: {order for n, order in seen if n == number} for number in range(3)}
        counts = [ways[number] for number in range(3)]
        arrangements[name] = {
            "divisions": counts,
            "invalid": ways[None],
            "orders": [len(orders[number]) for number in range(3)],
        }
    facts = {"runs": RUNS, "ordinary": ordinary(folder, model), "arrangements": arrangements}
    return {**facts, "latents": _latents(model, size)}


def pictures(folder: CellFolder, model: LoadedModel) -> dict[str, np.ndarray]:
    """Return one run of each outcome: the division, its slots, and a run with the same division in other slots."""
    from scenewise.experiments.explanations import framed
    from scenewise.explore.figure import FigureRow, figure

    size, sheets = model.model.config.size[0], {}
    for name, rows in ARRANGEMENTS.items():
        scenes, runs = _runs(model, rows, size)
        outcomes = [outcome(*run) for run in runs]
        lines = []
        for n in _examples(outcomes):
            number, _ = outcomes[n]
            label = "no valid division" if number is None else f"division {number + 1}"
            share = sum(other == number for other, _ in outcomes) / len(outcomes)
            slots = [framed(scenes.slot(n, k), k) for k in range(scenes.part.slots)]
            panels = [scenes.image(n), scenes.reconstruction(n), scenes.segmentation(n), *slots]
            lines.append(FigureRow(label, panels, f"{100 * share:.1f} % of runs, run {n + 1}"))
        columns = ["image", "all slots", "segmentation", *(f"slot {k + 1}" for k in range(scenes.part.slots))]
        sheets[name] = figure(f"{len(outcomes)} runs on one image with three divisions", columns, lines)
    return sheets


def _examples(outcomes: Sequence[tuple[int | None, Any]]) -> list[int]:
    """Return a run of each division, a second in other slots of the most frequent one, and two that are none."""
    frequent = Counter(number for number, _ in outcomes if number is not None).most_common()
    chosen = []
    for rank, (number, _) in enumerate(frequent):
        runs = [n for n, (other, _) in enumerate(outcomes) if other == number]
        chosen.append(runs[0])
        different = [n for n in runs if outcomes[n][1] != outcomes[runs[0]][1]]
        chosen += different[:1] if rank == 0 else []
    return chosen + [n for n, (number, _) in enumerate(outcomes) if number is None][:2]


def _runs(model: LoadedModel, rows: Sequence[str], size: int) -> tuple[SceneExplanations, list[tuple[Any, ...]]]:
    from scenewise.experiments.explanations import explain_scenes

    image, corner = image_of(rows, size)
    scenes = explain_scenes(model.model, np.repeat(image[None, None], RUNS, 0))
    return scenes, [(scenes.labels(n), corner, rows) for n in range(RUNS)]


def ordinary(folder: CellFolder, model: LoadedModel) -> float:
    """Return in which share of ordinary images every piece has one slot to itself, by most of its pixels' owner."""
    from scenewise.experiments.explanations import explain_scenes

    scenes = explain_scenes(model.model, folder.source(), range(RUNS))
    whole = 0
    for n in range(len(scenes.frames)):
        ids, labels = scenes.ids[n, 0], scenes.labels(n)  # type: ignore[index]  # the source knows them
        parts = [np.bincount(labels[ids == name]) for name in np.unique(ids[ids > 0])]
        owned = all(part.max() > _SHARE_OF_PIECE * part.sum() for part in parts)
        whole += owned and len({int(part.argmax()) for part in parts}) == len(parts)
    return whole / len(scenes.frames)


def _latents(model: LoadedModel, size: int) -> dict[str, Any]:
    from scenewise.experiments.projection import principal_components

    scenes, runs = _runs(model, next(iter(ARRANGEMENTS.values())), size)
    ends = np.asarray(scenes.part.mean[:, 0]).reshape(RUNS, -1)
    projection = principal_components(ends, 2)
    chosen = _examples([outcome(*run) for run in runs])[:_PATHS]
    means = np.stack([decode.posterior.mean.cpu().numpy() for decode in scenes.decodes])  # (R, N, K, Z)
    paths = [projection.of(means[:, n].reshape(len(means), -1)).round(3).tolist() for n in chosen]
    return {
        "points": projection.of(ends).round(3).tolist(),
        "explained": [round(share, 4) for share in projection.shares.tolist()],
        "background": [scenes.background(n) for n in range(RUNS)],
        "chosen": chosen,
        "paths": paths,
    }


def show(experiment: Experiment, results: Sequence[CellResult]) -> Presentation:
    """Show how often runs settle on each division, and draw their latents with the ways of some runs."""
    head = ["model", "weights", "arrangement", "division 1", "division 2", "division 3", "none", "slot orders", "runs"]
    lines, data = [], []
    for result in (result for result in results if result.measured):
        runs = result.measured["runs"]
        for name, counts in result.measured["arrangements"].items():
            shares = [f"{100 * count / runs:.1f} %" for count in [*counts["divisions"], counts["invalid"]]]
            names = [result.cell.model, f"{result.cell.variant} seed {result.cell.seed}", name]
            lines.append([*names, *shares, " / ".join(map(str, counts["orders"])), runs])
            data.append({"cell": result.cell.name, "arrangement": name, "runs": runs, **counts})
    measured = [result for result in results if result.measured]
    note = (
        "\nSlot orders: assignments of slots to pieces that were seen, by division; with four slots 24 are possible.\n"
    )
    for result in measured:
        share = f"{100 * result.measured['ordinary']:.1f} %"
        note += f"Of ordinary images {result.cell.name} gives every piece a slot of its own in {share}.\n"
    figures = {"paths": lambda figure: draw_paths(figure, measured[0].measured["latents"])} if measured else {}
    return Presentation(markdown(head, lines) + note, {"rows": data}, figures)


def draw_paths(figure: Any, latents: dict[str, Any]) -> None:
    """Draw the latents of all runs after the last refinement by the slot of the background, and the ways of some."""
    figure.set_size_inches(7, 4.6)
    axes = figure.subplots()
    points, background = np.array(latents["points"]), np.array(latents["background"])
    for slot in sorted(set(background.tolist())):
        own = background == slot
        axes.scatter(*points[own].T, s=12, alpha=0.6, label=f"background in slot {slot + 1}")
    for number, path in enumerate(np.array(latents["paths"])):
        axes.plot(
            *path.T,
            color="black",
            linewidth=0.9,
            marker=".",
            markersize=4,
            label="ways of runs" if not number else None,
        )
        axes.annotate(
            str(latents["chosen"][number] + 1), path[-1], fontsize=8, xytext=(4, 4), textcoords="offset points"
        )
    shares = [f"component {n + 1} ({100 * share:.0f} %)" for n, share in enumerate(latents["explained"])]
    axes.set(title="Latents of all slots after the last refinement", xlabel=shares[0], ylabel=shares[1])
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
