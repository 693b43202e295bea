"""PROVIDE's Figure 5: its table and figure from scores that are known."""

import pytest
from matplotlib.figure import Figure

from scenewise.experiments import experiment as experiments
from scenewise.experiments.provide_prediction import METRICS, PROTOCOL, STILL, draw, scores, show, velocities
from scenewise.experiments.results import CellResult
from scenewise.metrics import HORIZONS


def results() -> list[CellResult]:
    """Two of the experiment's cells: F-ARI falls by 0.01 a frame from 0.9, the last frame's by 0.05."""
    cells = experiments.load("provide-prediction", "small").cells
    chosen = [cell for cell in cells if cell.data == "balls-binary" and cell.variant == "shipped"]
    assert [cell.model for cell in chosen] == ["provide", "rnem"]
    assert [cell.weights for cell in chosen] == ["provide-balls-binary", "rnem-balls"]
    values = {f"{m} observed": 0.9 for m in METRICS}
    for m in METRICS:
        values |= {f"{m} first {j}": 0.9 - 0.01 * j for j in HORIZONS}
        values |= {f"{m} first {j}{STILL}": 0.9 - 0.05 * j for j in HORIZONS}
    rows = [{"protocol": PROTOCOL, "metric": name, "mean": value} for name, value in values.items()]
    return [CellResult(cell, {"scores": [{"scoring": {"protocol": PROTOCOL}, "rows": rows}]}) for cell in chosen]


def test_rows_hold_the_model_and_standing_still() -> None:
    rows = scores(results(), "F-ARI")
    assert [row["model"] for row in rows] == [
        "provide", "provide, last frame repeated", "rnem", "rnem, last frame repeated",
    ]  # fmt: skip
    assert rows[2]["observed"] == pytest.approx(0.9)
    assert rows[3]["observed"] is None
    assert rows[2]["ahead"] == pytest.approx({3: 0.87, 5: 0.85, 7: 0.83, 10: 0.8})
    assert rows[3]["ahead"][10] == pytest.approx(0.4)


def test_table_has_the_papers_numbers_beside_ours() -> None:
    shown = show(experiments.load("provide-prediction", "small"), results())
    fari = shown.text.split("## ")[1]
    line = next(line for line in fari.splitlines() if line.startswith("| rnem  "))
    assert [cell.strip() for cell in line.split("|")[3:-1]] == [
        "1",
        "0.7325",
        *["0.9000", "0.8700", "0.8500", "0.8300"],
        "0.8000",
    ]
    still = next(line for line in fari.splitlines() if line.startswith("| rnem, last"))
    assert [cell.strip() for cell in still.split("|")[4:6]] == ["-", "-"]
    assert len(shown.data["rows"]) == 4 * len(METRICS)


def test_figure_has_a_panel_per_metric_and_one_colour_per_model() -> None:
    figure = Figure(layout="constrained")
    draw(figure, [row for m in METRICS for row in scores(results(), m)])
    assert [axes.get_title() for axes in figure.axes] == list(METRICS)
    lines = figure.axes[0].get_lines()
    assert [list(line.get_xdata()) for line in lines[:2]] == [[0, 3, 5, 7, 10], [3, 5, 7, 10]]
    colours = [line.get_color() for line in lines]
    assert colours[0] == colours[1] != colours[2] == colours[3]


def test_models_that_were_not_scored_are_left_out() -> None:
    empty = [CellResult(result.cell, {"scores": []}) for result in results()]
    assert scores(empty, "ARI") == []


def test_velocities_have_a_table_where_they_were_compared() -> None:
    plain = results()
    assert "Velocity" not in show(experiments.load("provide-prediction", "small"), plain).text
    values = {f"velocity cosine {j}": 1 - 0.1 * j for j in range(1, 6)}
    values |= {"velocity cosine first 5": 0.7, "speed error first 5": None, "velocities counted": 0.75}
    rows = [{"protocol": PROTOCOL, "metric": name, "mean": value} for name, value in values.items()]
    cells = experiments.load("provide-prediction", "small").cells
    (ddpae,) = (cell for cell in cells if (cell.model, cell.data) == ("ddpae", "balls-binary"))
    scored = [*plain, CellResult(ddpae, {"scores": [{"scoring": {"protocol": PROTOCOL}, "rows": rows}]})]
    (row,) = velocities(scored)
    assert (row["model"], row["first"], row["speed_error"], row["counted"]) == ("ddpae", 0.7, None, 0.75)
    assert row["cosine"] == pytest.approx({1: 0.9, 2: 0.8, 3: 0.7, 4: 0.6, 5: 0.5})
    text = show(experiments.load("provide-prediction", "small"), scored).text.split("## Velocity cosine")[1]
    line = next(line for line in text.splitlines() if line.startswith("| ddpae"))
    assert [cell.strip() for cell in line.split("|")[2:6]] == ["balls-binary", "1", "0.9000", "0.8000"]
    assert [cell.strip() for cell in line.split("|")[-4:-1]] == ["0.7000", "-", "0.7500"]
