"""A model says so when it does not know what it sees."""

import math

import numpy as np
import pytest

from scenewise.checkpoint import Card, Validated
from scenewise.decompose import Decomposer, verdict
from scenewise.summary import DOUBTFUL, KNOWN, NO_OBJECTS, UNDECIDED, UNKNOWN, UNVALIDATED


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 0.3])
def test_the_running_median(scale):
    values = np.random.default_rng(0).lognormal(0, 1, 1001) * scale
    median = verdict.RunningMedian()
    for value in [*values, math.nan]:
        median.add(float(value))
    assert median.value() == pytest.approx(np.median(values), rel=0.012)


def test_the_median_of_nothing_and_of_zeros():
    median = verdict.RunningMedian()
    assert math.isnan(median.value())
    median.add(0.0)
    assert median.value() == 0.0


@pytest.mark.parametrize(
    ("validated", "roles", "expected"),
    [
        (Validated(mse=0.001, mse_high=0.011), ["object", "background"], KNOWN),
        (Validated(mse=0.001, mse_high=0.003), ["object", "background"], DOUBTFUL),
        (Validated(mse=0.001, mse_high=0.002), ["object", "background"], UNKNOWN),
        (Validated(mse=0.0011), ["object", "undecided"], KNOWN),
        (Validated(mse=0.0009), ["object", "background"], UNKNOWN),
        (Validated(), ["object", "background"], UNVALIDATED),
        (Validated(mse=0.001, mse_high=0.003), ["unused", "background"], NO_OBJECTS),
        (Validated(mse=0.001, mse_high=0.003), ["undecided", "background"], UNDECIDED),
    ],
)
def test_the_rule(validated, roles, expected):
    name, message = verdict.judge(0.01, validated, roles, "model")
    assert name == expected
    assert bool(message) == (expected != KNOWN)


def test_the_command_names_the_file(tmp_path):
    file = tmp_path / "my clip.mp4"
    file.touch()
    assert f"--data '{file}'" in verdict.training_command(UNKNOWN, str(file))
    assert "--data FILE" in verdict.training_command(UNKNOWN, "an array")
    assert verdict.training_command(KNOWN, str(file)) == ""


def test_unknown_footage_is_not_presented_as_objects(oracle, video, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, video.shape, dtype=np.uint8)
    result = oracle.decompose(noise)
    result.save(tmp_path / "out")
    summary = result.summary
    assert summary.verdict == UNKNOWN
    assert summary.objects == 0
    assert set(summary.roles) == {"not judged"}
    assert "scenewise train footage" in summary.warning
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Do not take these slots for objects" in page
    assert "scenewise train footage" in page


def test_a_card_without_figures_says_so(oracle, video, tmp_path):
    result = Decomposer(oracle.model, Card(), "new").decompose(video)
    result.save(tmp_path / "out", ["slots"])
    assert result.summary.verdict == UNVALIDATED
    assert result.summary.objects == 2
