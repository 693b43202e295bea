"""The tables of the LDS papers from results that are made up."""

import dataclasses

import numpy as np
import pytest
from matplotlib.figure import Figure

from scenewise.experiments import comparison, lds, lds_ablations
from scenewise.experiments.experiment import Cell, CellGroup, Experiment, Scoring
from scenewise.experiments.results import CellResult, Spread, markdown, write

PUBLISHED = {"Paper": {"iodine.cle-mv.lds0": {"mIoU": [0.2, 0.1]}, "iodine.cle-mv.lds1": {"mIoU": [0.7, 0.1]}}}


def result(variant, seed, protocols, slots=None, **views):
    """Return the result of a cell: {protocol: {metric: values of images}}, with so many views of each scene."""
    cell = Cell("iodine", "cle-mv", variant, seed, CellGroup(variants={variant: {}}), (Scoring("lds"),))
    keys = {"source": None, "settings": {}, "split": "test", "frames": None, "slots": slots}
    scores = [
        {
            "scoring": {"protocol": protocol, **keys},
            "rows": [
                {
                    "protocol": protocol,
                    "metric": name,
                    "mean": float(np.mean(each)),
                    "each": [list(each)],
                    "videos": len(each) // views.get(protocol, 1),
                    "frames": len(each),
                }
                for name, each in metrics.items()
            ],
        }
        for protocol, metrics in protocols.items()
    ]
    return CellResult(cell, {"scores": scores, "step": 10, "hours": 1.0})


@pytest.fixture
def results():
    random = np.random.default_rng(0)
    found = []
    for seed in (0, 1):
        for variant, iou, same in (("lds0", 0.3, 0.6), ("lds1", 0.5, 0.2)):
            values = {"mIoU": iou + 0.1 * seed + 0.01 * random.normal(size=30), "MSE": random.random(30)}
            values |= {"Sim": np.full(30, same), "duplicates": np.full(30, same), "ELBO": random.normal(size=30)}
            gaps = {name: random.random(20) for name in ("gap", "gap of 50", "spread", "effective samples")}
            found.append(result(variant, seed, {"lds": values, "lds-gap": gaps}))
    return found


@pytest.fixture
def experiment(results):
    return Experiment("lds", "What it is", "lds", PUBLISHED, "small", tuple(r.cell for r in results))


def test_seeds_are_compared_with_themselves(results):
    (pair,) = lds.pairs(results)
    assert [(zero.cell.name, plus.cell.name) for zero, plus in pair.runs] == [
        (f"iodine.cle-mv.lds0.seed{s}", f"iodine.cle-mv.lds1.seed{s}") for s in (0, 1)
    ]
    expected = [plus.mean("lds", "mIoU") - zero.mean("lds", "mIoU") for zero, plus in pair.runs]
    assert pair.differences("lds", "mIoU").values == pytest.approx(expected)
    assert lds.pairs(results[1:])[0].runs == ((results[2], results[3]),)


def test_tables_hold_our_numbers_beside_the_papers(experiment, results):
    shown = lds.show(experiment, results)
    row = next(line for line in shown.text.splitlines() if "lds1" in line)
    assert Spread.of(r.mean("lds", "mIoU") for r in results[1::2]).text() in row
    assert "0.7000 ± 0.1000" in row
    effect = next(line for line in shown.text.splitlines() if "mIoU" in line and "of 2 seeds" in line)
    assert "+0.5000" in effect
    assert "2 of 2 seeds" in effect
    like = next(line for line in shown.text.splitlines() if "| Sim " in line)
    assert "+0.400" in like
    assert "Figure 3" in shown.text
    known = {(r["metric"], r["variant"]): r["mean"] for r in shown.data["rows"]}
    assert known["Sim", "lds1"] == pytest.approx(0.2)


@pytest.mark.parametrize("kept", [slice(0, 1), slice(1, 2), slice(0, 2)])
def test_any_cells_give_a_table(experiment, results, kept, tmp_path):
    shown = lds.show(experiment, results[kept])
    assert "Reconstruction" in shown.text
    for file in write(experiment, shown, tmp_path):
        assert file.stat().st_size > 100
    assert len(list(tmp_path.glob("*.png"))) == (3 if kept == slice(0, 2) else 0)


def test_correlations_are_those_of_drops_and_of_rises(results):
    zero, plus = results[:2]
    drop, rise = lds.correlation(zero, plus, "mIoU")
    gaps = [r.each("lds-gap", "gap") for r in (zero, plus)]
    assert drop == pytest.approx(np.corrcoef(gaps[0] - gaps[1], plus.each("lds", "mIoU")[:20])[0, 1])
    changes = [plus.each("lds", name) - zero.each("lds", name) for name in ("ELBO", "mIoU")]
    assert rise == pytest.approx(np.corrcoef(*changes)[0, 1])


def test_gaps_of_scenes_are_not_paired_with_scores_of_views():
    values, gaps = {"mIoU": np.arange(40.0), "ELBO": np.arange(40.0)}, {"gap": np.arange(20.0)}
    for views, known in ((1, True), (2, False)):
        zero, plus = (result(v, 0, {"lds": values, "lds-gap": gaps}, lds=views) for v in ("lds0", "lds1"))
        zero.scores["scores"][1]["rows"][0]["each"] = [[0.0] * 20]
        assert np.isfinite(lds.correlation(zero, plus, "mIoU")[0]) == known


def test_without_gaps_there_is_no_correlation_with_them():
    zero, plus = (result(v, 0, {"lds": {"mIoU": [0.1, 0.2], "ELBO": [1.0, 2.5]}}) for v in ("lds0", "lds1"))
    drop, _ = lds.correlation(zero, plus, "mIoU")
    assert np.isnan(drop)


def test_ablations_are_shown_by_slots_at_test(experiment, tmp_path):
    found = []
    for variant, base in (("k7", 0.4), ("k9", 0.5)):
        parts = [result(variant, 0, {"lds": {"mIoU": [base + k / 100], "MSE": [0.1]}}, k) for k in (7, 9)]
        found.append(CellResult(parts[0].cell, {"scores": [s for p in parts for s in p.scores["scores"]], "step": 1}))
    shown = lds_ablations.show(experiment, found)
    rows = {(r["variant"], r["slots"]): r["mIoU"]["mean"] for r in shown.data["rows"]}
    assert rows == pytest.approx({("k7", 7): 0.47, ("k7", 9): 0.49, ("k9", 7): 0.57, ("k9", 9): 0.59})
    assert any(file.suffix == ".png" for file in write(experiment, shown, tmp_path))


def test_without_a_module_every_metric_is_shown(experiment, results):
    shown = comparison.show(dataclasses.replace(experiment, published={}, metrics=()), results)
    assert {row["metric"] for row in shown.data["rows"]} >= {"mIoU", "gap"}
    assert {row["variant"] for row in shown.data["rows"]} == {"lds0", "lds1"}


def test_spreads_leave_out_what_is_missing():
    found = Spread.of([1.0, float("nan"), 3.0])
    assert (found.mean, found.text(1)) == (2, f"2.0 ± {2**0.5:.1f} (2)")
    assert Spread.of([]).text() == "-"
    assert Spread.of([0.5]).plain() == {"mean": 0.5, "std": None, "values": [0.5]}


def test_tables_are_aligned():
    lines = markdown(["a", "long head"], [["wide cell", 1]]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1].strip("|-") == ""


def test_dots_are_what_the_prior_changes_of_each_image():
    zero = result("lds0", 0, {"lds": {"ELBO": [1.0, 2.0, 3.0]}, "lds-gap": {"gap": [5.0, 4.0, 4.0]}})
    plus = result("lds1", 0, {"lds": {"ELBO": [2.0, 2.0, 5.0]}, "lds-gap": {"gap": [3.0, 4.0, 5.0]}})
    comparisons = lds.pairs([zero, plus])
    assert lds.image_changes(comparisons, "ELBO")["iodine cle-mv"].tolist() == [1.0, 0.0, 2.0]
    assert lds.image_changes(comparisons, "gap")["iodine cle-mv"].tolist() == [2.0, 0.0, -1.0]
    experiment = Experiment("lds", "", "lds", {}, "small", (zero.cell, plus.cell))
    shown = lds.show(experiment, [zero, plus])
    figure = Figure()
    shown.figures["dots"](figure)
    left, right = figure.axes
    assert left.lines[0].get_ydata().tolist() == [2.0, 0.0, -1.0]
    assert right.lines[1].get_ydata().tolist() == [1.0, 1.0]
