"""`scenewise predict`."""

import json

from scenewise.media import read_palette_png


def test_predict_stands_beside_the_true_future(scenewise, clip, model, tmp_path):
    words = ("predict", clip, "--model", model, "--out", tmp_path / "out", "--observe", 4, "--steps", 6)
    code, out, _ = scenewise(*words)
    assert code == 0
    assert "first 4 predicted frames" in out
    assert "repeated" in out
    record = json.loads((tmp_path / "out" / "clip" / "run.json").read_text())
    assert record["frames"] == 10
    assert [value is None for value in record["prediction"]["mse"]] == [False] * 4 + [True] * 2


def test_predict_gives_results_of_any_size(scenewise, clip, model, tmp_path):
    words = ("--model", model, "--out", tmp_path / "out", "--observe", 4, "--steps", 2, "--size", "24,40")
    assert scenewise("predict", clip, *words)[0] == 0
    masks = sorted((tmp_path / "out" / "clip" / "masks").iterdir())
    assert [read_palette_png(path).shape for path in masks] == [(24, 40)] * 6
    assert scenewise("predict", clip, *words[:-1], 3000)[0] == 2


def test_predict_needs_frames_to_observe(scenewise, clip, model, tmp_path):
    words = ("predict", clip, "--model", model, "--out", tmp_path / "out", "--observe", 40, "--steps", 6)
    code, _, err = scenewise(*words)
    assert code == 2
    assert "fewer than the 40" in err
    assert not (tmp_path / "out").exists()


def test_predict_begins_no_work_on_a_file_that_is_too_short(scenewise, clip, model, tmp_path, monkeypatch):
    def explain(*_, **__):
        raise AssertionError("the model was asked")

    monkeypatch.setattr("scenewise.models.provide.Provide.step", explain)
    words = ("predict", clip, "--model", model, "--out", tmp_path / "out", "--observe", 40, "--steps", 6)
    code, _, err = scenewise(*words)
    assert code == 2
    assert "fewer than the 40" in err
