"""What the bench counts and times: the arithmetic behind its numbers, not the numbers."""

import json
import subprocess

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from scenewise.bench import cases, floor, machine, memory, naive, named, sweep, tables
from scenewise.bench import measure as measuring
from scenewise.bench.calls import MemoryLayout, Recorder, aten
from scenewise.bench.clock import Lap, Timing, lap
from scenewise.bench.measure import measure
from scenewise.bench.subject import Spec, Subject, balls
from scenewise.config import build, merge
from scenewise.errors import InputError
from scenewise.variational import compiled

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def subject():
    return Subject(Spec("provide", "tiny"))


@pytest.fixture(scope="module")
def result():
    return measure(Spec("provide", "tiny"), 2, with_memory=False)


def test_operations_of_a_convolution_are_those_counted_by_hand():
    x, w = torch.rand(2, 4, 6, 5, requires_grad=True), torch.rand(8, 4, 3, 3, requires_grad=True)
    forward = 2 * (2 * 6 * 5) * 8 * (4 * 9)  # multiply and add, per pixel, output channel and input of the kernel
    with Recorder().recording() as recorder, FlopCounterMode(display=False) as theirs:
        y = torch.nn.functional.conv2d(x, w, torch.rand(8), padding=1)
        assert recorder.flops == forward
        torch.autograd.grad(y.sum(), x, retain_graph=True)
        assert recorder.flops == 2 * forward  # the data gradient alone
        y.sum().backward()
    assert recorder.flops == 4 * forward == theirs.get_total_flops()
    masks = [c.arguments[-1] for c in recorder.calls if c.operation == aten.convolution_backward.default]
    assert masks == [(True, False, False), (True, True, False)]


def test_compiled_cells_are_timed_and_plain_ones_counted(result, monkeypatch):
    made = []

    def traced(graph, inputs):
        made.append(graph)
        return graph

    monkeypatch.setattr(compiled, "quickest", traced)
    found = measure(Spec("provide", "tiny", compile=True), 1, with_memory=False)
    assert len(made) == 2  # the cell that refines and the one that does not
    assert found.streaming.gflop == result.streaming.gflop
    assert found.streaming.refined == result.streaming.refined
    assert "one video, compiled" in tables.notes([found])[0]
    assert "compiled" not in tables.notes([result])[0]


def test_what_ran_covers_every_convolution_of_the_model(subject):
    record = subject.record(training=True)
    weights = {tuple(m.weight.shape) for m in subject.model.modules() if isinstance(m, torch.nn.Conv2d)}
    ran = {c.arguments[1].shape for c in record.calls if c.operation == aten.convolution.default}
    assert weights <= ran
    assert set(record.entered) == {"decoder", "encoder"}


@pytest.mark.parametrize(
    ("model", "overrides"),
    [
        ("provide", {}),
        ("provide", {"grid": "full"}),
        ("provide", {"trailing_refinement": True}),
        ("iodine", {}),
        ("seq-iodine", {}),
    ],
)
def test_the_rule_asks_for_no_more_than_ran(model, overrides):
    subject = Subject(Spec(model, "tiny", overrides))
    subject.settle()
    for training in (True, False):
        record = subject.record(training)
        rule, ran = floor.ruled(record, training), floor.executed(record)
        assert 0 < floor.work_flops(rule) <= 1.01 * floor.work_flops(ran) <= 1.01 * record.flops


def test_the_rule_is_four_decoders_and_three_encoders(subject):
    record = subject.record(training=True)
    shared, once = 0, {"decoder": 0.0, "encoder": 0.0}
    for part, counts in record.forward.items():
        once[part] = sum(c.flops * n for c, n in counts.items() if c in record.differentiated) / record.entered[part]
        shared += sum(c.flops * n for c, n in counts.items() if c not in record.differentiated)
    decodes, refined = record.entered["decoder"], record.entered["encoder"]
    expected = refined * (4 * once["decoder"] + 3 * once["encoder"]) + (decodes - refined) * 3 * once["decoder"]
    found = floor.work_flops(floor.ruled(record, training=True))
    assert found == pytest.approx(expected + 2 * shared, rel=0.05)  # inputs without a gradient need 2, not 3


def test_recomputing_runs_more_and_must_run_no_more():
    kept, recomputed = (Subject(Spec("provide", "tiny", {"recompute": on})).record(True) for on in (False, True))
    assert recomputed.flops > 1.1 * kept.flops
    assert recomputed.entered == kept.entered
    rules = [floor.work_flops(floor.ruled(record, True)) for record in (kept, recomputed)]
    assert rules[0] == pytest.approx(rules[1])


def test_models_of_another_kind_have_no_rule():
    record = Recorder(floor.parts_of(torch.nn.Conv2d(1, 1, 3)))
    assert floor.ruled(record, training=True) == {}


def test_calls_are_timed_in_their_own_layout():
    image = torch.rand(2, 4, 6, 6).contiguous(memory_format=torch.channels_last).bfloat16()
    expanded = torch.rand(3, 1).expand(3, 5)
    for tensor in (image, expanded, torch.rand(0, 2)):
        made = MemoryLayout.of(tensor).make(CPU)
        assert (made.shape, made.stride(), made.dtype) == (tensor.shape, tensor.stride(), tensor.dtype)
    record = Recorder()
    with record.recording():
        torch.nn.Linear(8, 8)(torch.rand(4, 8)).sum().backward()
    laps = floor.time_calls(record.calls, CPU)
    assert laps.keys() == record.calls.keys()
    assert all(each.wall > 0 for each in laps.values())
    assert floor.work_lap({next(iter(laps)): 3.0}, laps).wall == pytest.approx(3 * next(iter(laps.values())).wall)


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


def test_tables(result):
    assert [len(row) for row in tables.rows([result])] == [len(tables.HEAD)] * 2
    lines = tables.markdown([result], machine.facts(CPU)).splitlines()
    assert lines[0].count("|") == lines[1].count("|") == lines[2].count("|")
    assert any("16x16, K 3, R 3" in line for line in lines)


def test_memory_of_a_process_of_its_own():
    kept = []
    small = memory.watched(lambda: None)
    large = memory.watched(lambda: kept.append(torch.ones(50_000_000)))
    assert small.growth < 50
    assert 180 < large.growth < 260
    assert large.peak >= large.growth


def test_memory_is_seen_by_a_child_after_it_is_given_back(monkeypatch):
    monkeypatch.setattr(Subject, "train", lambda self, recorder=None: torch.ones(50_000_000).sum())
    question = json.dumps({"spec": Spec("provide", "tiny").plain(), "training": True})
    assert 180 < json.loads(memory.main(question))["growth"] < 260


def test_memory_of_a_training_step_in_a_child():
    found = memory.measure(Spec("provide", "tiny", batch=4, frames=8, threads=1), training=True)
    assert 1 < found.growth < found.peak


def test_a_child_that_fails_is_told(monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "Traceback\nRuntimeError: not enough memory")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(InputError, match="RuntimeError: not enough memory"):
        memory.measure(Spec("provide", "tiny"), training=True)


def test_frames_are_videos_of_balls():
    colour, binary = balls((3, 16, 24), 2, 3), balls((1, 16, 16), 1, 2)
    assert tuple(colour.shape) == (2, 3, 3, 16, 24)
    assert colour.min() == 0
    assert colour.max() <= 1
    assert tuple(binary.shape) == (1, 2, 1, 16, 16)
    assert set(binary.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(colour[:, 0], colour[:, 1])


def test_spread_and_lap():
    assert Timing.of([3.0]) == Timing(3.0, 3.0, 3.0)
    assert Timing.of([1.0, 2.0, 3.0, 4.0, 5.0]) == Timing(3.0, 2.0, 4.0)
    found = lap(lambda: sum(range(10_000)), CPU)
    assert isinstance(found, Lap)
    assert found.wall > 0


def test_the_main_cases_are_measured_when_nothing_is_named():
    specs, skipped = cases.specs(cases.BenchRequest(batch=1))
    assert [s.name for s in specs] == ["provide-paper", "iodine-64", "iodine-128", "mulmon-64"]
    assert {s.batch for s in specs} == {1}
    assert skipped == []
    assert [s.name for s in cases.specs(cases.BenchRequest(["provide"]))[0]] == ["provide paper"]


@pytest.mark.parametrize("name", sorted(named.CASES))
def test_every_case_has_a_model_and_settings_that_it_knows(name):
    (spec,), skipped = cases.specs(cases.BenchRequest(cases=[name]))
    assert skipped == []
    kind = spec.model_class()
    build(kind.config_class, merge(kind.presets[spec.preset], spec.overrides), name)


def test_presets_are_of_models_that_are_named():
    with pytest.raises(InputError, match="none is named; found fast"):
        cases.specs(cases.BenchRequest(presets=["fast"]))


def test_cases_of_models_that_are_not_there_are_skipped(monkeypatch):
    monkeypatch.setattr(cases, "CASES", named.CASES | {"later": named.Case("later", "paper", 1, 1)})
    specs, skipped = cases.specs(cases.BenchRequest(cases=["provide-paper", "later"]))
    assert [s.name for s in specs] == ["provide-paper"]
    assert (specs[0].batch, specs[0].frames) == (2, 4)
    assert specs[0].overrides["refinements"] == 6
    assert "not registered" in skipped[0]


def test_numbers_given_go_before_those_of_a_case():
    request = cases.BenchRequest(cases=["provide-paper"], batch=1, frames=3, slots=7, bf16=True, recompute=True)
    (spec,), _ = cases.specs(request)
    assert (spec.batch, spec.frames) == (1, 3)
    assert spec.overrides["slots"] == 7
    assert spec.overrides["bf16_convolutions"]
    assert spec.overrides["recompute"]


def test_without_a_checkout_there_is_no_plain_version(monkeypatch, tmp_path):
    monkeypatch.setattr(naive, "naive_file", lambda: tmp_path / "naive.py")
    with pytest.raises(InputError, match="needs a checkout of the source"):
        naive.check()


def test_plain_version_is_timed_in_turn(monkeypatch, tmp_path):
    file = tmp_path / "naive.py"
    file.write_text("import contextlib\n\ndef engaged(model):\n    return contextlib.nullcontext()\n")
    monkeypatch.setattr(naive, "naive_file", lambda: file)
    naive.plain_version.cache_clear()
    found = measure(Spec("provide", "tiny"), 2, against_naive=True, with_memory=False)
    naive.plain_version.cache_clear()
    assert found.training.naive.gflop_ratio == 1
    assert found.streaming.naive.time_ratio.median > 0
    assert len(tables.plain_rows([found])[0]) == len(tables.PLAIN_HEAD)


def test_repeats_end_in_time(monkeypatch):
    assert list(measuring.rounds(2)) == [1, 2]
    assert list(measuring.rounds(None))[-1] == measuring.MOST
    monkeypatch.setattr(measuring, "ENOUGH", 0.0)
    assert list(measuring.rounds(None))[-1] == measuring.FEWEST


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
