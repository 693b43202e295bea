"""`--engine`: what explains frames, and what is recorded of it."""

import json

import pytest
from tests.cli.conftest import write_clip

from scenewise.decompose import engines
from scenewise.media import read_palette_png
from scenewise.runtimes import RUNTIMES, sessions

NEEDS = pytest.mark.skipif(not RUNTIMES["onnxruntime"].is_there(), reason="onnx and onnxruntime are not installed")


@pytest.fixture
def decompose(scenewise, model, clip, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(*words, name, using=model):
        words = ("--model", using, "--out", tmp_path / name, "--device", "cpu", "--formats", "labels,masks", *words)
        code, _, err = scenewise("decompose", clip, *words)
        record = tmp_path / name / "clip" / "run.json"
        return code, err, json.loads(record.read_text()) if record.exists() else None

    return run


@NEEDS
def test_another_engine_writes_the_same_and_is_recorded(decompose, tmp_path):
    _, _, plain = decompose(name="torch")
    code, err, record = decompose("--engine", "onnxruntime", name="onnx")
    assert code == 0
    assert "arning" not in err
    assert plain["settings"]["engine"] == "torch"  # eight frames are few
    assert record["settings"]["engine"] == "onnxruntime"
    assert record["problems"] == plain["problems"]
    for picture in sorted((tmp_path / "torch" / "clip" / "masks").iterdir()):
        theirs, ours = (
            read_palette_png(tmp_path / kind / "clip" / "masks" / picture.name) for kind in ("torch", "onnx")
        )
        assert (theirs == ours).mean() >= 0.9999
    assert len(list((tmp_path / "cache" / "scenewise" / "graphs").iterdir())) == 1


@NEEDS
def test_a_model_that_cannot_be_run_so_says_why_in_the_record(decompose):
    code, _, record = decompose("--engine", "onnxruntime", name="out", using="ddpae-moving-mnist")
    assert code == 0
    assert any(problem.startswith("ran on torch, not on onnxruntime: ") for problem in record["problems"])


@NEEDS
def test_long_videos_get_a_quick_engine_by_themselves(decompose, monkeypatch):
    monkeypatch.setattr(engines, "LONG", 8)
    monkeypatch.setattr(sessions, "package_version", lambda name: None if name == "openvino" else "1")
    assert decompose(name="long")[2]["settings"]["engine"] == "onnxruntime"
    monkeypatch.setattr(engines, "LONG", 9)
    assert decompose(name="short")[2]["settings"]["engine"] == "torch"


def test_an_engine_that_is_not_installed_is_refused(decompose, monkeypatch):
    monkeypatch.setattr(sessions, "package_version", lambda name: None)
    code, err, _ = decompose("--engine", "openvino", name="out")
    assert code == 2
    assert "pip install 'scenewise[fast]'" in err


@NEEDS
def test_a_batch_takes_an_engine(scenewise, model, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_clip(tmp_path / "one.mp4", 6)
    words = ("--model", model, "--device", "cpu", "--workers", 1, "--formats", "labels", "--engine", "onnxruntime")
    code, _, _ = scenewise("batch", tmp_path / "one.mp4", "--out", tmp_path / "out", *words)
    assert code == 0
    (record,) = (tmp_path / "out").rglob("run.json")
    assert json.loads(record.read_text())["settings"]["engine"] == "onnxruntime"
