"""Tables of ours beside printed numbers, on made-up results."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from scenewise.experiments import comparison
from scenewise.experiments import experiment as experiments
from scenewise.experiments.results import CellResult


def cell(model="provide", data="balls", variant="plain", seed=0):
    return SimpleNamespace(model=model, data=data, variant=variant, seed=seed)


def done(frames, value, metric="F-ARI", each=None, **scoring):
    row = {"protocol": "provide", "metric": metric, "mean": value}
    row |= {} if each is None else {"each": [each]}
    told = {"protocol": "provide", "samples": 4, "frames": frames, "slots": None, "refinements": None, **scoring}
    return {"scoring": told, "rows": [row]}


def experiment(published, metrics=()):
    return SimpleNamespace(published=published, metrics=metrics)


def cells_of(text, model):
    line = next(line for line in text.splitlines() if line.startswith(f"| {model} "))
    return [word.strip() for word in line.split("|")[1:-1]]


def test_ours_stand_beside_the_papers_with_their_difference_seeds_and_spread():
    results = [
        CellResult(cell(seed=seed), {"scores": [done(10, 0.9 + 0.02 * seed), done(20, 0.8 + 0.02 * seed)]})
        for seed in (0, 1)
    ]
    published = {"provide.balls": {"protocol": "provide", "frames": [10, 20, 30], "F-ARI": [0.95, 0.85, 0.75]}}
    shown = comparison.show(experiment(published), results)
    assert cells_of(shown.text, "provide")[3:] == [
        "0.9100 ± 0.0141 (2) [0.9500, -0.0400]",
        "0.8100 ± 0.0141 (2) [0.8500, -0.0400]",
        "-",
    ]
    paper_alone = next(line for line in shown.text.splitlines() if line.startswith("| provide") and "[0.7500]" in line)
    assert "| - [0.7500]" in paper_alone
    assert {(row["frames"], row["published"]) for row in shown.data["rows"]} == {(10, 0.95), (20, 0.85), (30, 0.75)}


def test_a_printed_spread_a_variant_and_another_protocol_are_heeded():
    results = [CellResult(cell(variant=v), {"scores": [done(1, 0.5)]}) for v in ("small", "large")]
    published = {
        "provide.balls.large": {"F-ARI": {"mean": 0.6, "std": 0.01}},
        "rnem.balls": {"protocol": "savi", "F-ARI": 0.4},
    }
    rows = {(n.model, n.variant): n for n in comparison.numbers(experiment(published), results)}
    assert math.isnan(rows["provide", "small"].published[0])
    assert rows["provide", "large"].published == (0.6, 0.01)
    assert rows["provide", "large"].text() == "0.5000 (1) [0.6000 ± 0.0100, -0.1000]"
    assert rows["rnem", ""].text() == "- [0.4000]"


def test_only_the_metrics_asked_for_are_shown_and_what_is_the_same_in_a_row_is_told_once():
    scores = [done(20, 0.5, slots=9), done(20, 0.1, "ARI", slots=9)]
    text = comparison.show(experiment({}, ("ARI",)), [CellResult(cell(), {"scores": scores})]).text
    assert "F-ARI" not in text
    assert cells_of(text, "provide")[3:] == ["0.1000 (1)"]
    assert "4 videos, 20 frames, K 9" in text


def test_curves_are_drawn_with_quartiles_and_the_papers_dotted():
    each = {5: [0.0, 0.5, 1.0], 10: [0.2, 0.5, 0.8], 15: [0.5, 0.5, 0.5]}
    scores = [done(frames, 0.5, each=values) for frames, values in each.items()]
    published = {"provide.balls": {"frames": [5, 10], "F-ARI": [0.7, 0.9]}}
    shown = comparison.show(experiment(published), [CellResult(cell(), {"scores": scores})])
    figure = Figure()
    shown.figures["curves"](figure)
    ours, paper = figure.axes[0].get_lines()
    assert list(ours.get_xdata()) == [5, 10, 15]
    assert list(paper.get_ydata())[:2] == [0.7, 0.9]
    low, high = shown.data["rows"][0]["quartiles"][0], shown.data["rows"][0]["quartiles"][2]
    assert (low, high) == (0.25, 0.75)


@pytest.mark.parametrize("name", experiments.names())
def test_every_file_of_the_package_can_be_read_at_every_size(name):
    file = experiments.read(name)
    assert set(file.sizes) >= {"smoke", "small"}
    assert file.claim
    for size in file.sizes:
        experiment = experiments.load(name, size)
        if experiment.module == "comparison":
            comparison.numbers(experiment, [])


def printed(name, row, metric):
    return experiments.read(name).published[row][metric]


def test_printed_numbers_are_the_papers():
    """Some of every table, typed from the papers a second time."""
    assert printed("provide-decomposition", "rnem.balls-binary", "F-ARI") == [0.6259, 0.7325, 0.7708, 0.7899]
    assert printed("provide-decomposition", "seq-iodine.clevrer", "ARI") == [0.1171, 0.1378, 0.1558, 0.1684]
    assert printed("provide-decomposition", "provide.balls-colour", "ARI") == [0.7275, 0.7291, 0.7298, 0.7301]
    assert printed("provide-decomposition", "seq-iodine.balls-binary", "MSE") == [0.0385, 0.0782, 0.0846, 0.0968]
    assert printed("provide-generalisation", "seq-iodine.balls-8-colours-678", "F-ARI") == 0.5231
    assert printed("provide-generalisation", "provide.clevrer-6", "ARI") == 0.2839
    assert printed("provide-ablation", "provide.balls-binary.grid-cpg-entropy-long", "ARI") == 0.7263
    assert printed("provide-ablation", "provide.clevrer.grid-long", "F-ARI") == 0.91
    assert printed("iodine-segmentation", "iodine.multi-dsprites-binarized", "F-ARI") == {"mean": 0.648, "std": 0.172}
    assert printed("dvip-street", "factored", "same") == 2.26


def test_seeds_of_the_noise_have_a_spread_of_their_own():
    scores = {(0, 7): 0.5, (0, 8): 0.7, (1, 7): 0.6, (1, 8): 1.0}  # by seed of the training and seed of the noise
    results = [
        CellResult(cell(seed=seed), {"scores": [done(10, scores[seed, noise], seed=noise) for noise in (7, 8)]})
        for seed in (0, 1)
    ]
    shown = comparison.show(experiment({"provide.balls": {"F-ARI": 0.9}}), results)
    (row,) = shown.data["rows"]
    assert row["ours"] == {"mean": pytest.approx(0.7), "std": pytest.approx(np.std([0.6, 0.8], ddof=1)),
                           "values": pytest.approx([0.6, 0.8])}  # fmt: skip
    assert row["noise"]["values"] == pytest.approx([0.55, 0.85])
    assert cells_of(shown.text, "provide")[3:] == ["0.7000 ± 0.1414 (2), noise ± 0.2121 (2) [0.9000, -0.2000]"]
    assert "Noise: std over seeds of the posterior noise" in shown.text
    alone = comparison.show(experiment({}), results[:1])
    assert cells_of(alone.text, "provide")[3:] == ["0.6000 (1), noise ± 0.1414 (2)"]
    once = comparison.show(experiment({}), [CellResult(cell(), {"scores": [done(10, 0.5)]})])
    assert "oise" not in once.text
    assert "noise" not in once.data["rows"][0]
