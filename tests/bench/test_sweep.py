"""Cost against one number of the settings."""

import json

import pytest

from scenewise.bench import memory, sweep, tables


def test_a_straight_line_is_recognised():
    points = [sweep.Point("frames", t, 1.0 + 2 * t, 1.0, 5.0, float(t * t)) for t in sweep.FRAMES]
    points.append(sweep.Point("refinements", 2, 1.0, 1.0, 1.0, 1.0))
    found = {line.quantity: line for line in sweep.lines(points)}
    assert found["seconds"].slope == pytest.approx(2)
    assert found["seconds"].r_squared == pytest.approx(1)
    assert found["gflop"].r_squared < 0.99
    assert len(tables.sweep_rows(points)) == 5
    assert "frames T" in tables.sweep_markdown(points, sweep.lines(points))


def test_a_small_sweep(monkeypatch):
    monkeypatch.setattr(memory, "measure", lambda spec, training: memory.Memory(1.0, 2.0))
    monkeypatch.setattr(
        sweep, "BASE", {**sweep.BASE, "size": [8, 8], "decoder": {"channels": 4}, "encoder": {"channels": 4}}
    )
    points = sweep.sweep(1, axes=["slots", "frames recomputed"], values=lambda axis: (2, 3))
    assert [(p.axis, p.value) for p in points] == [(a, v) for a in ("slots", "frames recomputed") for v in (2, 3)]
    assert points[1].gflop > points[0].gflop
    assert json.loads(json.dumps(sweep.plain(points)))["lines"]
