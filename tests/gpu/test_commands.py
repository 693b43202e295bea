"""Every verb that computes, on a device."""

import json

import numpy as np
import pytest

from scenewise.cli import main


@pytest.fixture
def run(device, capsys):
    """Run the command line with --device; returns code and what it printed."""

    def run(*words):
        code = main([str(word) for word in words] + ["--device", device.type])
        return code, capsys.readouterr().out

    return run


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.npy"
    np.save(path, np.random.default_rng(0).integers(0, 255, (6, 64, 64, 3), np.uint8))
    return path


FORMATS = ("--formats", "report,labels")  # which need neither PyAV nor pycocotools: few GPU machines have them


def test_decompose(run, clip, tmp_path):
    words = ("decompose", clip, "--layout", "THWC", "--model", "provide-balls-colour", "--out", tmp_path / "out")
    code, _ = run(*words, *FORMATS)
    assert code == 0
    assert json.loads((tmp_path / "out" / "clip" / "run.json").read_text())["frames"] == 6


def test_predict(run, tmp_path):
    words = ("predict", "balls-colour#3", "--model", "provide-balls-colour", "--observe", 4, "--steps", 2)
    assert run(*words, "--out", tmp_path / "out", *FORMATS)[0] == 0


def test_evaluate(run, tmp_path):
    words = ("evaluate", "provide-balls-colour", "--data", "balls-colour", "--samples", 4, "--frames", 4)
    assert run(*words, "--json", tmp_path / "scores.json")[0] == 0
    assert json.loads((tmp_path / "scores.json").read_text())


def test_render(run, tmp_path):
    pytest.importorskip("mujoco", reason="draws scenes in three dimensions")
    pytest.importorskip("av", reason="films the camera's way round")
    assert run("render", "cle-mv#0", "--observe", "0,1", "--model", "mulmon-cle-mv", "--out", tmp_path / "out")[0] == 0


def test_bench(run):
    code, out = run("bench", "provide", "--presets", "tiny", "--batch", 1, "--frames", 2)
    assert code == 0
    assert "provide tiny" in out
