"""Frames explained by another runtime, against PyTorch."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import signal

import numpy as np
import pytest
import torch
from tests.processes import Process
from tests.runtimes.conftest import clip, stream, tiny

from scenewise.checkpoint import load_model
from scenewise.errors import InputError
from scenewise.runtimes import ENGINES, RUNTIMES, GraphRunner, engage, runner, sessions
from scenewise.runtimes import store as storing
from scenewise.runtimes.exporting import clip_for
from scenewise.variational.gaussian import noise_from, same_noise, seeded_noise

STREAMING = ("dvip", "genesis", "genesis-v2", "iodine", "monet", "mulmon", "provide", "rnem", "seq-iodine", "vae")
NEEDS = pytest.mark.skipif(not RUNTIMES["onnxruntime"].is_there(), reason="onnx and onnxruntime are not installed")


def engaged(model, runtime, store, lines=None):
    lines = [] if lines is None else lines
    model.runner = GraphRunner(model, runtime, store, lines.append)
    return model.runner


def assert_same(ours, theirs, labels=0.9999):
    equal = np.mean([float((a.labels == b.labels).double().mean()) for a, b in zip(ours, theirs, strict=True)])
    assert equal >= labels
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.masks, b.masks, rtol=0, atol=1e-3)
        torch.testing.assert_close(a.reconstruction, b.reconstruction, rtol=0, atol=1e-3)
        torch.testing.assert_close(a.mean, b.mean, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", STREAMING)
def test_models_that_stream_say_the_same(name, runtime, store):
    model = tiny(name)
    video = clip(model, batch=2)
    theirs, after = stream(model, video)
    lines: list[str] = []
    run = engaged(model, runtime, store, lines)
    ours, our_after = stream(model, video)
    assert lines == []
    assert run.refusal is None
    assert len(run.graphs) == 1
    assert_same(ours, theirs)
    assert after.keys() == our_after.keys()
    for key in after:
        torch.testing.assert_close(our_after[key], after[key], rtol=1e-3, atol=1e-3)


def passing(model):
    """Return a video (1, T, C, H, W) over the model's own picture, which is black: three squares come and go."""
    video = torch.zeros(1, 12, *model.frame_shape)
    video[:, 1:, 0, 1:6, 2:7] = 0.9
    video[:, 4:9, 1, 9:14, 9:15] = 0.7
    video[:, 6:9, 2, 2:7, 10:15] = 0.8
    return video + 0.02 * torch.rand(video.shape, generator=torch.Generator().manual_seed(1))


def test_slots_in_windows_come_and_go_as_on_torch(runtime, store):
    model = tiny("provide-windows", slots=5)
    video = passing(model)
    theirs, after = stream(model, video)
    assert {int((part.tracks > 0).sum()) for part in theirs} == {0, 1, 2, 3}
    lines: list[str] = []
    run = engaged(model, runtime, store, lines)
    ours, our_after = stream(model, video)
    assert lines == []
    assert sorted(graph.inputs.count("state.drawers") for graph in run.graphs.values()) == [1, 1, 1]  # 1, 2 and 4
    assert_same(ours, theirs)
    assert all(torch.equal(a.tracks, b.tracks) for a, b in zip(ours, theirs, strict=True))
    assert after.keys() == our_after.keys()
    for key in after:
        torch.testing.assert_close(our_after[key], after[key], rtol=1e-3, atol=1e-3)


def test_more_drawn_slots_than_are_on_change_nothing():
    model = tiny("provide-windows", slots=6)
    video = passing(model)
    _, state = stream(model, video[:, :7])
    with torch.no_grad():
        opened = model.open_frame(video[:, 7], state)
        assert opened["on"].tolist() == [[1, 1, 1, 1, 0, 0]]
        roundings = list(model.roundings(opened))
        assert [sorted(each["drawers"].tolist()) for each in roundings] == [[1, 2, 3, 4], [1, 2, 3, 4, 5]]
        (part, after), *others = (model.explain_opened(video[:, 7], each) for each in (opened, *roundings))
    for other, other_after in others:
        for name, tensor in part.tensors().items():
            torch.testing.assert_close(other.tensors()[name], tensor, rtol=1e-5, atol=1e-5)
        for name, tensor in after.items():
            torch.testing.assert_close(other_after[name], tensor, rtol=1e-5, atol=1e-5)


@NEEDS
def test_a_larger_graph_does_until_a_smaller_one_is_wanted_often(store, monkeypatch):
    model = tiny("provide-windows", slots=5)
    run = engaged(model, RUNTIMES["onnxruntime"], store)
    video, numbers = passing(model), []
    _, state = stream(model, video[:, :7])  # one, two, and three objects
    monkeypatch.setattr(runner, "OFTEN", 2)
    run.graphs = dict(list(run.graphs.items())[-1:])  # that of three alone
    run.demand.clear()
    for frame in video[:, 9:].unbind(1):  # one object is left, which is seen at the end of the first of them
        _, state = model.step(frame, state)
        numbers.append(len(run.graphs))
    assert run.refusal is None
    assert numbers == [1, 1, 2]


@NEEDS
def test_a_model_that_cannot_be_run_so_runs_on_torch_and_says_why_once(store, monkeypatch):
    model, lines = tiny("rnem"), []
    video = clip(model)
    theirs, _ = stream(model, video)
    monkeypatch.setattr(model, "frame_form", lambda *_: None)
    run = engaged(model, RUNTIMES["onnxruntime"], store, lines)
    ours, _ = stream(model, video)
    assert all(torch.equal(a.masks, b.masks) for a, b in zip(ours, theirs, strict=True))
    assert len(lines) == 1
    assert lines[0] == f"note: rnem runs on torch, not on onnxruntime: {run.refusal}"


@NEEDS
def test_clips_as_wholes_stay_with_torch_which_is_said_at_once(store):
    lines: list[str] = []
    model = tiny("ddpae")
    assert f"clips of {model.window} frames as wholes" in engaged(model, RUNTIMES["onnxruntime"], store, lines).refusal
    assert len(lines) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["provide-balls-colour", "provide-balls-binary", "provide-windows-balls-colour", "monet-multi-dsprites",
     "rnem-balls"],
)  # fmt: skip
def test_shipped_weights_say_the_same_for_twenty_frames(name, runtime, store):
    model = load_model(name).model.eval()
    video = clip_for(model)
    assert video.shape[1] == 20
    theirs, _ = stream(model, video)
    run = engaged(model, runtime, store)
    ours, _ = stream(model, video)
    assert run.refusal is None
    assert run.graphs
    equal = np.mean([float((a.labels == b.labels).double().mean()) for a, b in zip(ours, theirs, strict=True)])
    assert equal >= 0.9999


@NEEDS
def test_other_refinements_slots_and_seeds_have_graphs_of_their_own(store):
    model = tiny("provide")
    frames = clip(model, frames=4)
    run = None
    for slots, refinements, seed in ((3, None, 0), (4, 4, 1)):
        said = []
        for runs in (False, True):
            model.runner = run = engaged(model, RUNTIMES["onnxruntime"], store) if runs and run is None else run
            model.runner = run if runs else None
            state = model.initial_state(1, slots, seed)
            for frame in frames.unbind(1):
                part, state = model.step(frame, state, refinements)
            said.append(part)
        torch.testing.assert_close(said[1].masks, said[0].masks, rtol=0, atol=1e-4)
    assert run.refusal is None
    assert len(run.graphs) >= 2


@NEEDS
def test_videos_side_by_side_have_the_noise_each_has_alone(store):
    model = tiny("provide")
    engaged(model, RUNTIMES["onnxruntime"], store)
    video = clip(model)
    alone, _ = stream(model, video)
    with same_noise(2):
        both, _ = stream(model, torch.cat([video, video]))
    torch.testing.assert_close(both[-1].masks[1:], alone[-1].masks, rtol=0, atol=1e-4)


@NEEDS
def test_a_graph_that_gives_something_else_is_not_used(store, monkeypatch):
    wrong = dataclasses.replace(
        RUNTIMES["onnxruntime"],
        start=lambda content: lambda inputs: [1.01 * a for a in RUNTIMES["onnxruntime"].start(content)(inputs)],
    )
    model, lines = tiny("provide"), []
    video = clip(model)
    theirs, _ = stream(model, video)
    run = engaged(model, wrong, store, lines)
    ours, _ = stream(model, video)
    assert "differ" in run.refusal
    assert len(lines) == 1
    assert torch.equal(ours[-1].masks, theirs[-1].masks)


@NEEDS
def test_what_follows_the_number_of_a_frame_is_seen_at_the_second_frame(store, monkeypatch):
    model, lines = tiny("provide"), []
    rules = runner.NoiseRule.noise
    monkeypatch.setattr(runner.NoiseRule, "noise", lambda rule, seed, frame: rules(rule, seed, 1))
    run = engaged(model, RUNTIMES["onnxruntime"], store, lines)
    stream(model, clip(model))
    assert run.refusal is not None
    assert run.graphs


@NEEDS
def test_training_watched_decodes_and_gradients_stay_with_torch(store):
    model = tiny("provide")
    run = engaged(model, RUNTIMES["onnxruntime"], store)
    video, engine = clip(model), model.engine
    model.engine = dataclasses.replace(engine)
    stream(model, video)
    assert not run.graphs
    model.engine = engine
    stream(model, video)
    assert run.graphs


@NEEDS
def test_graphs_are_kept_and_damaged_ones_made_anew(empty_store, monkeypatch):
    model = tiny("vae")
    video, traces = clip(model), []
    trace = runner.traced
    monkeypatch.setattr(runner, "traced", lambda *a: traces.append(1) or trace(*a))
    for _ in range(2):
        engaged(model, RUNTIMES["onnxruntime"], empty_store)
        stream(model, video)
    assert len(traces) == 1
    (file,) = empty_store.folder.iterdir()
    foreign = hashlib.sha256(b"no graph").hexdigest().encode() + b"\nno graph"
    for damage in (b"", file.read_bytes()[:-9], b"0" * 64 + b"\n" + b"no graph", foreign):
        file.write_bytes(damage)
        run = engaged(model, RUNTIMES["onnxruntime"], empty_store)
        stream(model, video)
        assert run.refusal is None
        assert run.graphs
    assert len(traces) == 5
    with torch.no_grad():
        next(model.parameters()).add_(0.1)
    engaged(model, RUNTIMES["onnxruntime"], empty_store)
    stream(model, video)
    assert len(traces) == 6
    assert len(list(empty_store.folder.iterdir())) == 2


def test_the_store_is_bounded_and_what_was_used_last_stays(empty_store, monkeypatch):
    monkeypatch.setattr(storing, "MOST_FILES", 3)
    for number, name in enumerate("abc"):
        empty_store.put(name, name.encode())
        os.utime(empty_store.folder / f"{name}.graph", (number, number))
    assert empty_store.get("a") == b"a"
    empty_store.put("d", b"d")
    assert [empty_store.get(name) for name in "abcd"] == [b"a", None, b"c", b"d"]
    monkeypatch.setattr(storing, "MOST_BYTES", 100)
    empty_store.put("e", b"e" * 200)
    assert empty_store.get("e") == b"e" * 200
    assert len(list(empty_store.folder.iterdir())) == 1


def test_what_is_no_file_counts_as_none(store):
    store.folder.mkdir(parents=True, exist_ok=True)
    os.mkfifo(store.folder / "pipe.graph")
    (store.folder / "zeros.graph").symlink_to("/dev/zero")
    (store.folder / "folder.graph").mkdir()
    (store.folder / "large.graph").touch()
    os.truncate(store.folder / "large.graph", 1 << 40)
    assert [store.get(name) for name in ("pipe", "zeros", "folder", "large")] == [None] * 4


def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    store = storing.GraphStore(tmp_path / "file" / "graphs")
    store.put("a", b"a")
    assert store.get("a") is None


def test_noise_may_come_from_elsewhere():
    asked = []
    with noise_from(lambda *numbers: asked.append(numbers) or seeded_noise(*numbers) + 1):
        given = seeded_noise((2, 3), 5, 1, 2)
    assert torch.equal(given, seeded_noise((2, 3), 5, 1, 2) + 1)
    assert asked == [((2, 3), 5, 1, 2)]


def test_an_engine_that_is_not_installed_is_refused(monkeypatch):
    monkeypatch.setattr(sessions, "package_version", lambda name: None)
    with pytest.raises(InputError, match=r"engine openvino: needs onnx and openvino, .*scenewise\[fast\]"):
        engage(tiny("provide"), "openvino")
    with pytest.raises(InputError, match="there is no engine 'tensorrt'"):
        engage(tiny("provide"), "tensorrt")
    assert set(RUNTIMES) < set(ENGINES)


@NEEDS
def test_engines_replace_one_another():
    model = tiny("provide")
    plain = model.engine
    engage(model, "compile")
    assert type(model.engine) is not type(plain)
    engage(model, "onnxruntime")
    assert model.engine == plain
    assert model.runner.runtime.name == "onnxruntime"
    engage(model, "torch")
    assert model.runner is None


@NEEDS
def test_metadata_says_what_a_graph_takes(store):
    import onnx

    model = tiny("provide")
    state = model.initial_state(1, seed=4)
    frame = clip(model)[:, 0]
    with torch.no_grad():
        content = runner.traced(model, frame, state, None, {"name": "x"})
    facts = {each.key: json.loads(each.value) for each in onnx.load_from_string(content).metadata_props}
    assert facts["name"] == "x"
    assert facts["scenewise"]["inputs"][0] == "frame"
    assert facts["scenewise"]["counts"] == {"seed": 0, "frame": 1}
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)


def drop_sessions_and_get_signals(name: str) -> int:
    """Start three sessions, drop them in the order in which they came, and get a signal after each."""
    from onnx import TensorProto, helper

    x, y = (helper.make_tensor_value_info(end, TensorProto.FLOAT, [1, 4]) for end in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "rectifier", [x], [y])
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    signals: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, frame: signals.append(number))
    open_sessions = [RUNTIMES[name].start(model) for _ in range(3)]
    rectified = [session([np.float32([[-1, 0, 1, 2]])])[0].tolist() for session in open_sessions]
    while open_sessions:
        del open_sessions[0]
        _elsewhere = [bytearray(100_000) for _ in range(200)]  # memory that was a session's is something else's now
        os.kill(os.getpid(), signal.SIGUSR1)
    return 0 if len(signals) == 3 and rectified == [[[0, 0, 1, 2]]] * 3 else 1


def test_a_process_survives_signals_after_sessions_went(runtime):
    process = Process(drop_sessions_and_get_signals, runtime.name)
    assert process.wait(60) == 0
