"""A measurement as a whole."""

import json

import pytest

from scenewise.bench import measure as measuring
from scenewise.bench import tables
from scenewise.bench.measure import measure
from scenewise.bench.subject import Spec
from scenewise.variational import compiled


def test_compiled_cells_are_timed_and_plain_ones_counted(result, monkeypatch):
    made = []

    def traced(graph, inputs):
        made.append(graph)
        return graph

    monkeypatch.setattr(compiled, "quickest", traced)
    found = measure(Spec("provide", "tiny", engine="compile"), 1, with_memory=False)
    assert len(made) == 2  # the cell that refines and the one that does not
    assert found.streaming.gflop == result.streaming.gflop
    assert found.streaming.refined == result.streaming.refined
    assert "one video, compiled" in tables.notes([found])[0]
    assert "compiled" not in tables.notes([result])[0]


def test_result_as_json(result):
    found = json.loads(json.dumps(result.plain()))
    assert set(found) == {"name", "spec", "settings", "repeats", "training", "streaming"}
    assert found["settings"]["size"] == [16, 16]
    for name in ("training", "streaming"):
        phase = found[name]
        assert phase["seconds"]["low"] <= phase["seconds"]["median"] <= phase["seconds"]["high"]
        assert phase["rule"]["seconds"] > 0
        assert phase["rule"]["ratio"]["median"] > 0
        assert phase["frames_per_second"] == pytest.approx(phase["frames"] / phase["seconds"]["median"])
        assert phase["gflop"] >= phase["executed"]["gflop"] > 0
        assert phase["memory"] is None
        assert phase["naive"] is None


def test_repeats_end_in_time(monkeypatch):
    assert list(measuring.rounds(2)) == [1, 2]
    assert list(measuring.rounds(None))[-1] == measuring.MOST
    monkeypatch.setattr(measuring, "ENOUGH", 0.0)
    assert list(measuring.rounds(None))[-1] == measuring.FEWEST
