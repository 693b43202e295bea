"""What choices of a model cost, and what they bring: PROVIDE's ablation (Table 3) and its grids (Appendix F.1).

Beside what `comparison` shows stands the work of a training step on one video: decodes, operations and what is held for
the backward pass, by the length of the clip. They are counted, not timed, so that any machine gives the same: by
`torch.utils.flop_counter`, and as the bytes of distinct tensors that autograd saves. Processor time of a step is beside
them; that of whole trainings, and the memory of their processes, stands where cells are told.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.experiments import comparison
from scenewise.experiments.results import Presentation, markdown, over_seeds

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from scenewise.checkpoint import LoadedModel
    from scenewise.experiments.cell_folder import CellFolder
    from scenewise.experiments.experiment import Experiment
    from scenewise.experiments.results import CellResult
    from scenewise.models.contract import SceneModel

LENGTHS = (4, 10, 20, 40)
"""Frames of the clips of which the work is counted; longer than a video are left out."""

_REPEATS = 3
_DRAWN = "F-ARI"
_LOSS = "NLL"


def measure(folder: CellFolder, model: LoadedModel) -> dict[str, Any]:
    """Count the work of a training step on one video of the cell's data; see `work_of`."""
    source = folder.source("validation")
    longest = source.length(0)
    frames = source.sample(0, 0, min(longest, max(LENGTHS))).frames
    return {"work": [work_of(model.model, frames[:length]) for length in LENGTHS if length <= longest]}


def work_of(model: SceneModel, frames: np.ndarray) -> dict[str, float]:
    """Return the work of a training step on one video.

    Args:
        model: Any model of videos.
        frames: uint8, shape (T, C, H, W).

    Returns:
        `frames`, `decodes` of all of them, `gflop` (billions of operations of both passes, of matrix products and
        convolutions), `graph_mib` (held for the backward pass) and `cpu_seconds`, the median of three.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from scenewise.observation import Observation

    device = next(model.parameters()).device
    observation = Observation(torch.from_numpy(frames[None].astype(np.float32) / 255).to(device))

    def step() -> None:
        loss = model.loss(model(observation).terms).sum()
        loss.backward()
        model.zero_grad()

    with FlopCounterMode(display=False) as counter:
        step()
    laps = []
    for _ in range(_REPEATS):
        began = time.process_time()
        step()
        laps.append(time.process_time() - began)
    decodes = getattr(model, "decodes", None)
    return {
        "frames": len(frames),
        "decodes": sum(decodes(frame) for frame in range(len(frames))) if decodes else float("nan"),
        "gflop": counter.get_total_flops() / 1e9,
        "graph_mib": saved_bytes(model, observation) / 2**20,
        "cpu_seconds": statistics.median(laps),
    }


def saved_bytes(model: SceneModel, observation: Any) -> int:
    """Return the bytes of distinct tensors, weights apart, that a forward pass saves for the backward pass."""
    import torch

    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    held: dict[int, torch.UntypedStorage] = {}

    def hold(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            held[storage.data_ptr()] = storage  # kept, so that its address is not given to another
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(hold, lambda tensor: tensor):
        model.loss(model(observation).terms)
    return sum(storage.nbytes() for storage in held.values())


def show(experiment: Experiment, results: Sequence[CellResult]) -> Presentation:
    """Show what `comparison` shows, the work, and quality against work."""
    presentation, rows = comparison.show(experiment, results), work_rows(results)
    if not rows:
        return presentation
    points = quality(experiment, results, rows)
    figures = dict(presentation.figures) | ({"work": lambda figure: draw(figure, points)} if points else {})
    text = f"{presentation.text}\n## Work of a training step on one video\n\n{_table(rows)}"
    return Presentation(text, {**presentation.data, "work": rows}, figures)


def work_rows(results: Sequence[CellResult]) -> list[dict[str, Any]]:
    """Return the work of each model, data, variant and length of clips, of its first seed that has it."""
    rows = []
    for (model, data, variant), together in over_seeds(results).items():
        measured = [result.scores["measured"]["work"] for result in together if "measured" in result.scores]
        rows += [{"model": model, "data": data, "variant": variant, **work} for one in measured[:1] for work in one]
    return rows


def _table(rows: Sequence[dict[str, Any]]) -> str:
    lengths = sorted({row["frames"] for row in rows})
    names = ("model", "data", "variant", "frames")
    head = [*names, "decodes", "GFLOP", "held, MiB", "CPU s"]
    lines = []
    for row in (row for length in lengths for row in rows if row["frames"] == length):
        work = (f"{row['decodes']:g}", f"{row['gflop']:.2f}", f"{row['graph_mib']:.0f}", f"{row['cpu_seconds']:.2f}")
        lines.append([*(str(row[name]) for name in names), *work])
    note = "Operations of both passes and what is held for the backward pass are counted; time is the processor's."
    return f"{markdown(head, lines)}\n{note}\n"


def quality(
    experiment: Experiment, results: Sequence[CellResult], rows: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return for each model, data and variant the operations of a frame, and F-ARI and NLL at the longest clips scored.

    Keys: model, data, variant, `gflop` of one frame in the longest clip counted, `F-ARI` and `NLL` (mean, std).
    """
    points: dict[tuple[str, str, str], dict[str, Any]] = {}
    for number in comparison.numbers(experiment, results):
        if number.metric in (_DRAWN, _LOSS) and number.protocol in ("provide", "bound") and number.ours.values:
            points.setdefault(number.row, {})[number.metric] = (number.ours.mean, number.ours.std)
    work = {(row["model"], row["data"], row["variant"]): row["gflop"] / row["frames"] for row in rows}
    names = ("model", "data", "variant")
    return [
        dict(zip(names, row, strict=True), gflop=work[row], **values) for row, values in points.items() if row in work
    ]


def draw(figure: Any, points: Sequence[dict[str, Any]]) -> None:
    """Draw F-ARI and NLL against operations, a point for each variant."""
    metrics = [metric for metric in (_DRAWN, _LOSS) if any(metric in point for point in points)]
    data = list(dict.fromkeys(point["data"] for point in points))
    for axes, metric in zip(np.atleast_1d(figure.subplots(1, len(metrics))), metrics, strict=True):
        for point in (point for point in points if metric in point):
            mean, std = point[metric]
            colour = f"C{data.index(point['data'])}"
            axes.errorbar(point["gflop"], mean, yerr=np.nan_to_num(std), marker="o", capsize=3, color=colour)
            axes.annotate(point["variant"], (point["gflop"], mean), (5, 4), textcoords="offset points", fontsize=8)
        axes.set(xlabel="GFLOP a frame, both passes", ylabel="NLL, nats a frame" if metric == _LOSS else metric)
        axes.margins(x=0.25)
        axes.grid(alpha=0.3)
    if len(data) > 1:
        handles = [figure.axes[0].plot([], [], "o", color=f"C{i}", label=name)[0] for i, name in enumerate(data)]
        figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8)
