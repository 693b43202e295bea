"""ONNX files that run without scenewise."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tests.runtimes.conftest import tiny

from scenewise.decompose import Decomposer
from scenewise.errors import InputError
from scenewise.runtimes import RUNTIMES, exporting
from scenewise.runtimes.decompositions import UnknownOperationError
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


def test_what_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(InputError, match="provide-windows works on frames before and after its graphs"):
        Decomposer(tiny("provide-windows")).export(tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file"):
        Decomposer(tiny("vae")).export(tmp_path / "file")


def test_a_gradient_that_is_not_written_out_is_told(tmp_path, monkeypatch):
    def refuse(*_):
        raise UnknownOperationError("slice_backward with a step")

    monkeypatch.setattr(exporting, "traced", refuse)
    with pytest.raises(InputError, match="vae cannot be written: slice_backward with a step"):
        Decomposer(tiny("vae")).export(tmp_path / "out")
