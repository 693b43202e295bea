"""Work that is counted, and quality against it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from scenewise.config import build, merge
from scenewise.experiments import quality_and_work
from scenewise.experiments.experiment import Cell, CellGroup, Experiment, Scoring
from scenewise.experiments.quality_and_work import saved_bytes, work_of
from scenewise.experiments.results import CellResult
from scenewise.models.provide import PRESETS, Provide
from scenewise.models.provide_config import ProvideConfig


class Line(torch.nn.Module):
    """A loss of two matrix products and a square, whose work is known."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = torch.nn.Linear(width, width, bias=False)
        self.second = torch.nn.Linear(width, 1, bias=False)

    def forward(self, observation):
        self.terms = observation.frames.flatten(1)
        return self

    def loss(self, terms):
        return self.second(self.first(terms)).square().sum()


def test_operations_are_those_of_both_passes():
    model = Line(48)
    work = work_of(model, np.full((1, 3, 4, 4), 200, np.uint8))
    forward = 2 * 48 * 48 + 2 * 48
    backward = 2 * 48 * 48 + 2 * 2 * 48  # both weights, and the input of the second
    assert work["gflop"] * 1e9 == pytest.approx(forward + backward)
    assert work["frames"] == 1
    assert np.isnan(work["decodes"])
    assert all(parameter.grad is None for parameter in model.parameters())


def test_what_is_held_is_what_the_backward_pass_reads():
    from scenewise.observation import Observation

    observation = Observation(torch.rand(1, 1, 3, 4, 4))
    held = saved_bytes(Line(48), observation)
    assert held == 4 * (48 + 48 + 1)  # the frame, the first product and the second; weights are not counted


@pytest.mark.parametrize(("grid", "decodes"), [("triangular", 4 + 3 + 2 + 2), ("full", 16), ("first", 4 + 2 + 2 + 2)])
def test_a_grid_with_more_decodes_works_more(grid, decodes):
    frames = np.random.default_rng(0).integers(0, 255, (4, 3, 16, 16)).astype(np.uint8)
    work = {}
    for name in ("one", grid):
        budget = {"refinements": 2} if name == "one" else {"refinements": 4, "budget": {"grid": name}}
        work[name] = work_of(Provide(build(ProvideConfig, merge(PRESETS["tiny"], budget), "tiny")), frames)
    assert work[grid]["decodes"] == decodes
    assert work["one"]["decodes"] == 8
    ratio = decodes / 8
    assert work[grid]["gflop"] / work["one"]["gflop"] == pytest.approx(ratio, rel=0.35)
    assert work[grid]["graph_mib"] > work["one"]["graph_mib"]


def result(variant, f_ari, gflop):
    cell = Cell("provide", "balls", variant, 0, CellGroup(variants={variant: {}}), (Scoring("provide"),))
    rows = [{"protocol": "provide", "metric": "F-ARI", "mean": f_ari, "values": [f_ari], "videos": 2, "frames": 4}]
    work = [{"frames": 4, "decodes": 8, "gflop": gflop, "graph_mib": 3.0, "cpu_seconds": 0.1}]
    settings = {"protocol": "provide", "frames": 4, "samples": 2, "slots": None, "refinements": None, "seed": 0}
    return CellResult(cell, {"scores": [{"scoring": settings, "rows": rows}], "step": 5, "measured": {"work": work}})


def test_quality_stands_against_the_work_of_a_frame():
    results = [result("full", 0.9, 8.0), result("one", 0.5, 2.0)]
    experiment = Experiment("grid", "", "quality_and_work", {}, "small", tuple(r.cell for r in results))
    shown = quality_and_work.show(experiment, results)
    points = quality_and_work.quality(experiment, results, shown.data["work"])
    assert [(p["variant"], p["gflop"], p["F-ARI"][0]) for p in points] == [("full", 2.0, 0.9), ("one", 0.5, 0.5)]
    assert "| full    | 4      | 8       | 8.00  | 3         | 0.10  |" in shown.text
    figure = Figure()
    shown.figures["work"](figure)
    (axes,) = figure.axes
    assert {text.get_text() for text in axes.texts} == {"full", "one"}


def test_without_measurements_the_comparison_is_all():
    bare = result("full", 0.9, 8.0)
    bare = CellResult(bare.cell, {**bare.scores, "measured": {"work": []}})
    experiment = Experiment("grid", "", "quality_and_work", {}, "small", (bare.cell,))
    shown = quality_and_work.show(experiment, [bare])
    assert "Work of a training step" not in shown.text
    assert "work" not in shown.figures
