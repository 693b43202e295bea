"""ONNX files that run without scenewise."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tests.runtimes.conftest import tiny

from scenewise.checkpoint import load_model
from scenewise.decompose import Decomposer, load
from scenewise.decomposition import Decomposition
from scenewise.errors import InputError
from scenewise.runtimes import RUNTIMES, exporting, runner
from scenewise.runtimes.decompositions import UnknownOperationError
from scenewise.runtimes.exported import ExportedGraphs
from scenewise.runtimes.exporting import clip_for
from scenewise.variational.gaussian import seeded_noise

pytestmark = pytest.mark.skipif(not RUNTIMES["onnxruntime"].is_there(), reason="onnx and onnxruntime are not installed")


def test_the_files_alone_stream_what_the_model_streams(tmp_path):
    import onnxruntime

    model = tiny("provide", refinements=4)
    facts = Decomposer(model, name="small").export(tmp_path / "onnx")
    assert facts == json.loads((tmp_path / "onnx" / "export.json").read_text())
    assert list(facts["files"]) == [f"frame-{n}.onnx" for n in range(3)]
    assert facts["equality"]["share_of_equal_labels"] >= 0.9999
    assert facts["equality"]["frames"] == 20
    sessions = {n: onnxruntime.InferenceSession(tmp_path / "onnx" / f"frame-{n}.onnx") for n in range(3)}
    state, expected = dict(np.load(tmp_path / "onnx" / "state.npz")), model.initial_state(1)
    for number, frame in enumerate(clip_for(model)[:, :6].unbind(1)):
        first = min(number, 2)
        described = facts["files"][f"frame-{first}.onnx"]
        given = {"frame": frame.numpy()} | {f"state.{name}": array for name, array in state.items()}
        for i, rule in enumerate(described["noises"]):
            numbers = [a * 0 + b * number + c for a, b, c in rule["numbers"]]
            given[f"noise.{i}"] = seeded_noise(tuple(rule["shape"]), *numbers).numpy()
        names = list(described["outputs"])
        results = sessions[first].run(names, {name: given[name] for name in described["inputs"]})
        outputs = dict(zip(names, results, strict=True))
        state |= {n.removeprefix("next."): array for n, array in outputs.items() if n.startswith("next.")}
        part, expected = model.step(frame, expected)
        assert {n: list(a.shape) for n, a in outputs.items()} == described["outputs"]
        torch.testing.assert_close(torch.from_numpy(outputs["part.masks"]), part.masks, rtol=0, atol=1e-4)
        torch.testing.assert_close(torch.from_numpy(state["hidden"]), expected["hidden"], rtol=1e-4, atol=1e-4)
    assert "small as ONNX" in (tmp_path / "onnx" / "README.md").read_text()


def test_files_of_an_export_before_go_and_those_of_others_stay(tmp_path):
    model = Decomposer(tiny("vae"), name="still")
    (tmp_path / "frame-9.onnx").touch()
    model.export(tmp_path)
    assert (tmp_path / "frame-9.onnx").exists(), "nobody said that it was ours"
    facts = model.export(tmp_path)
    assert {path.name for path in tmp_path.glob("*.onnx")} == set(facts["files"])


def test_models_without_a_memory_say_that_slots_are_not_linked(tmp_path):
    facts = Decomposer(tiny("monet"), name="still").export(tmp_path)
    assert list(facts["files"]) == ["frame-0.onnx"]
    assert facts["links_slots"]
    assert "links them" in (tmp_path / "README.md").read_text()


@pytest.fixture(scope="module")
def windows(tmp_path_factory):
    """A model of slots in windows, the folder that it was exported to, and what the export said."""
    folder, model = tmp_path_factory.mktemp("windows"), tiny("provide-windows", slots=3, refinements=1)
    with torch.no_grad():  # what the squares come into
        model.picture.fill_(0.05)
    return model, folder, Decomposer(model, name="small").export(folder)


def test_slots_in_windows_come_and_go_by_the_files_alone(windows):
    """The loop of the README beside the files: decodes, gradients and refinements are the files' alone."""
    import onnxruntime

    model, folder, facts = windows
    assert facts["stages"]
    assert facts["equality"]["share_of_equal_labels"] >= 0.9999
    last = max(each["from_frame"] for each in facts["files"].values())
    sizes = {len_of(each, "state.drawers") for each in facts["files"].values() if each["from_frame"] == last}
    assert sizes == {1, 2}
    assert facts["files"].keys() == {path.name for path in folder.glob("*.onnx")}
    alone = load_model(folder).model
    alone.engine = alone.decoder = alone.refine = None
    sessions = {path.name: onnxruntime.InferenceSession(path) for path in folder.glob("*.onnx")}
    state, expected, most = alone.initial_state(), model.initial_state(), 0
    for number, frame in enumerate(squares(model).unbind(1)):
        with torch.no_grad():
            opened = alone.open_frame(frame, state)
            given = next(alone.roundings(opened))
        name = f"frame-{min(number, last)}-drawers-{len(given['drawers'])}.onnx"
        described = facts["files"][name]
        inputs = {"frame": frame.numpy()} | {f"state.{n}": tensor.numpy() for n, tensor in given.items()}
        for i, rule in enumerate(described["noises"]):
            inputs[f"noise.{i}"] = seeded_noise(
                tuple(rule["shape"]), *(b * number + c for _, b, c in rule["numbers"])
            ).numpy()
        names = list(described["outputs"])
        arrays = sessions[name].run(names, {n: inputs[n] for n in described["inputs"]})
        outputs = {n: torch.from_numpy(array) for n, array in zip(names, arrays, strict=True)}
        parts, nexts = (
            {n.removeprefix(side): each for n, each in outputs.items() if n.startswith(side)}
            for side in ("part.", "next.")
        )
        after = {**given, **nexts, "frame": state["frame"] + 1}
        part, state = alone.close_frame(frame, Decomposition(**parts), given, after)
        whole, expected = model.step(frame, expected)
        assert torch.equal(part.tracks, whole.tracks)
        most = max(most, int((part.tracks > 0).sum()))
        torch.testing.assert_close(part.masks, whole.masks, rtol=0, atol=1e-4)
        torch.testing.assert_close(state["window"], expected["window"], rtol=1e-4, atol=1e-4)
    assert most >= 2


def len_of(described, name):
    return described["inputs"][name][0]


def squares(model):
    """Return a video (1, T, C, H, W) over the model's own picture, into which two squares come."""
    video = torch.full((1, 8, *model.frame_shape), 0.05)
    video[:, 1:, 0, 1:6, 2:7] = 0.9
    video[:, 3:7, 1, 9:14, 9:15] = 0.7
    return video + 0.02 * torch.rand(video.shape, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def scenes(tmp_path):
    """The same of a model of scenes that are seen from several sides."""
    model = tiny("mulmon", refinements=1)
    return model, tmp_path / "onnx", Decomposer(model, name="small").export(tmp_path / "onnx")


@pytest.mark.parametrize("name", ["windows", "scenes"])
def test_the_folder_is_a_model_that_runs_on_its_files(name, tmp_path, monkeypatch, request):
    model, folder, _ = request.getfixturevalue(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(runner, "traced", lambda *_: pytest.fail("a graph was traced"))
    loaded = load(folder, device="cpu").use("onnxruntime")
    assert loaded.name == "small"
    video = squares(model)
    camera = None if model.viewpoint_size is None else torch.ones(1, 8, model.viewpoint_size)
    part, _ = loaded.model.step(video, loaded.initial_state(), viewpoints=camera)
    assert loaded.refusal == ""
    assert loaded.model.runner.graphs
    whole, _ = model.step(video, model.initial_state(), viewpoints=camera)
    torch.testing.assert_close(part.masks, whole.masks, rtol=0, atol=1e-3)


def test_files_of_other_weights_or_shapes_are_not_taken(tmp_path):
    model = tiny("vae")
    Decomposer(model, name="still").export(tmp_path)
    frame, state = torch.zeros(1, *model.frame_shape), model.initial_state()
    graphs = ExportedGraphs.beside(model, tmp_path / "model")
    assert graphs.get(frame, state, None) == (tmp_path / "frame-0.onnx").read_bytes()
    assert graphs.get(frame.repeat(2, 1, 1, 1), state, None) is None
    assert graphs.get(frame, state, 3) is None
    assert ExportedGraphs.beside(model, tmp_path) is None
    with torch.no_grad():
        next(model.parameters()).add_(0.1)
    assert ExportedGraphs.beside(model, tmp_path / "model") is None


def test_what_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"ddpae explains clips of 5 frames as wholes.*Run it by scenewise itself"):
        Decomposer(tiny("ddpae", observed=5)).export(tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file"):
        Decomposer(tiny("vae")).export(tmp_path / "file")


def test_a_gradient_that_is_not_written_out_is_told(tmp_path, monkeypatch):
    def refuse(*_):
        raise UnknownOperationError("slice_backward with a step")

    monkeypatch.setattr(exporting, "traced", refuse)
    with pytest.raises(InputError, match="vae cannot be written: slice_backward with a step"):
        Decomposer(tiny("vae")).export(tmp_path / "out")
