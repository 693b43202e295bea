"""Which engine explains a video, where nobody says."""

from scenewise.decompose.engines import engine_for
from scenewise.runtimes import sessions


def test_engines_are_chosen_by_length_and_by_what_is_there(monkeypatch):
    present = {"onnx", "onnxruntime"}
    monkeypatch.setattr(sessions, "package_version", lambda name: "1" if name in present else None)
    assert engine_for(499) == "torch"
    assert engine_for(500) == engine_for(None) == "onnxruntime"
    present.add("openvino")
    assert engine_for(500) == "openvino"
    assert engine_for(500, refines=False) == "onnxruntime"
    present.clear()
    assert engine_for(None) == "torch"
