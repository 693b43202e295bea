"""PROVIDE's Figure 5: models look at 20 frames of bouncing balls and predict 10 more.

Means over the first 3, 5, 7 and 10 predicted frames of ARI, F-ARI and MSE, by the protocol `prediction`, beside the
frames observed and beside repeating the last of them. The papers' plots have no numbers; those of their Table 1 for the
first 20 frames stand beside what was observed. PROVIDE tells of Figure 5 that it is ahead of R-NEM for about the first
5 to 7 frames, and on longer rollouts on colour alone; ahead of DDPAE for 3 frames, behind afterwards.

Below stand cosines of the velocities of slots and objects (PROVIDE Fig. 6; DDPAE's figure on its own balls): both
papers show curves, none prints numbers. PROVIDE is ahead of DDPAE in the first three frames there, and behind later.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from scenewise.evaluation.motion import AHEAD, COSINE, COUNTED, SPEED
from scenewise.experiments.results import Presentation, markdown, over_seeds, spread
from scenewise.metrics import HORIZONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scenewise.experiments.experiment import Experiment
    from scenewise.experiments.results import CellResult

PROTOCOL = "prediction"
METRICS = ("F-ARI", "ARI", "MSE")
STILL = " of last frame"


def show(experiment: Experiment, results: Sequence[CellResult]) -> Presentation:
    """Show a table of each metric, with the papers' numbers of observed frames, of velocities, and one figure."""
    rows, motion = [row for metric in METRICS for row in scores(results, metric)], velocities(results)
    head = ["model", "data", "seeds", "paper, 20 frames", "observed", *(f"first {j}" for j in HORIZONS)]
    tables = []
    for metric in METRICS:
        lines = []
        for row in (row for row in rows if row["metric"] == metric):
            paper = experiment.published.get(f"{row['model']}.{row['data']}", {}).get(metric)
            ahead = [_text(row["ahead"].get(j)) for j in HORIZONS]
            lines.append([row["model"], row["data"], row["seeds"], _text(paper), _text(row["observed"]), *ahead])
        tables.append(f"## {metric}\n\n{markdown(head, lines)}")
    if motion:
        tables.append(f"## Velocity cosine, {AHEAD} frames predicted after 10\n\n{_velocity_table(motion)}")
    data = {"rows": rows, "velocities": motion}
    return Presentation("\n".join(tables), data, {"horizons": lambda figure: draw(figure, rows)})


def velocities(results: Sequence[CellResult]) -> list[dict[str, Any]]:
    """Return how well the slots of every model move, as plain rows.

    Returns:
        Rows with model, data, variant, seeds, `cosine` by predicted frame, its mean `first`, `speed_error` and
        `counted`, the share of objects and frames that count.
    """
    rows = []
    for (model, data, variant), together in over_seeds(results).items():
        cosines = {j: spread(together, PROTOCOL, f"{COSINE} {j}").mean for j in range(1, AHEAD + 1)}
        counted = spread(together, PROTOCOL, COUNTED).mean
        if math.isnan(counted):
            continue
        first, error = (spread(together, PROTOCOL, f"{name} first {AHEAD}").mean for name in (COSINE, SPEED))
        names = {"model": model, "data": data, "variant": variant, "seeds": len(together)}
        numbers = {"first": _plain(first), "speed_error": _plain(error), "counted": counted}
        rows.append({**names, "cosine": {j: _plain(value) for j, value in cosines.items()}, **numbers})
    return rows


def scores(results: Sequence[CellResult], metric: str) -> list[dict[str, Any]]:
    """Return one metric of every model, and of repeating the last frame it saw, as plain rows.

    Returns:
        Rows with model, data, variant, metric, seeds, `observed` and `ahead`, by the number of predicted frames.
    """
    rows = []
    for (model, data, variant), together in over_seeds(results).items():
        for suffix in ("", STILL):
            ahead = {j: spread(together, PROTOCOL, f"{metric} first {j}{suffix}") for j in HORIZONS}
            if not any(numbers.values for numbers in ahead.values()):
                continue
            observed = math.nan if suffix else spread(together, PROTOCOL, f"{metric} observed").mean
            names = {"model": f"{model}{suffix and ', last frame repeated'}", "data": data, "variant": variant}
            means = {j: numbers.mean for j, numbers in ahead.items() if numbers.values}
            rows.append(
                {**names, "metric": metric, "seeds": len(together), "observed": _plain(observed), "ahead": means}
            )
    return rows


def draw(figure: Any, rows: Sequence[dict[str, Any]]) -> None:
    """Draw one panel per metric: observed frames at 0, then means over the first j predicted frames."""
    colours: dict[tuple[str, str], Any] = {}
    for axes, metric in zip(figure.subplots(1, len(METRICS)), METRICS, strict=True):
        for row in (row for row in rows if row["metric"] == metric):
            model, _, still = row["model"].partition(",")
            points = ([] if row["observed"] is None else [(0, row["observed"])]) + list(row["ahead"].items())
            style = {"linestyle": ":" if still else "-", "marker": None if still else "o", "markersize": 4}
            label = f"{model}, {row['data']}{' (last frame repeated)' if still else ''}"
            colour = colours.get((model, row["data"]))
            (line,) = axes.plot(*zip(*points, strict=True), label=label, color=colour, **style)
            colours[(model, row["data"])] = line.get_color()
        axes.set(title=metric, xlabel="predicted frames", xticks=[0, *HORIZONS])
        axes.grid(alpha=0.3)
        axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)


def _velocity_table(rows: Sequence[dict[str, Any]]) -> str:
    frames = [f"frame {j}" for j in range(1, AHEAD + 1)]
    head = ["model", "data", "seeds", *frames, f"first {AHEAD}", f"speed error first {AHEAD}", "counted"]
    names = ("first", "speed_error", "counted")
    return markdown(
        head,
        [
            [*(row[key] for key in ("model", "data", "seeds")), *map(_text, row["cosine"].values())]
            + [_text(row[name]) for name in names]
            for row in rows
        ],
    )


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value
