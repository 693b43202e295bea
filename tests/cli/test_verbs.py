"""predict, evaluate, models, data, doctor and demo."""

import json
import re

import numpy as np
import pytest

from scenewise.checkpoint import Card, Reference, shipped
from scenewise.cli.sources import open_source
from scenewise.media import read_palette_png, read_video


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


SMALL = ("--data", "balls", "--set", "size=16", "frames=5", "--samples", 5, "--batch", 2)


def test_evaluate_names_the_protocol_of_every_number(scenewise, model, tmp_path):
    file = tmp_path / "scores.json"
    code, out, _ = scenewise("evaluate", model, *SMALL, "--seeds", 0, 1, "--json", file)
    assert code == 0
    content = json.loads(file.read_text())
    assert {row["protocol"] for row in content["scores"]} == {"bound", "provide", "rnem", "savi"}
    assert all(len(row["values"]) == 2 and row["std"] is not None for row in content["scores"])
    assert content["scores"][0]["videos"] == 5
    assert content["data"]["fingerprint"]
    assert "±" in out


def test_evaluate_is_repeatable_and_protocols_are_chosen(scenewise, model, tmp_path):
    found = []
    for name in "ab":
        words = ("--protocol", "savi", "--slots", 4, "--json", tmp_path / name)
        assert scenewise("evaluate", model, *SMALL, *words)[0] == 0
        found.append(json.loads((tmp_path / name).read_text())["scores"])
    assert found[0] == found[1]
    assert {row["protocol"] for row in found[0]} == {"savi"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--data", "bals"), "balls"),
        ((*SMALL, "--protocol", "savy"), "savi"),
        ((*SMALL, "--frames", 6), "frames"),
        ((*SMALL, "--samples", 0), "--samples"),
        ((*SMALL, "--json", "/nowhere/scores.json"), "/nowhere"),
        (("--data", "balls", "--set", "siez=16"), "size"),
        (("--data", "balls"), "16, 16"),
    ],
)
def test_evaluate_says_what_is_wrong(scenewise, model, words, message):
    code, _, err = scenewise("evaluate", model, *words)
    assert code == 2
    assert message in err


def test_every_model_that_ships_tells_how_many_slots_it_has(scenewise):
    told = re.findall(r", (\w+) slots,", scenewise("models")[1])
    assert len(told) == len(shipped())
    assert all(int(slots) >= 1 for slots in told)


def test_models_are_listed(scenewise):
    code, out, _ = scenewise("models")
    assert code == 0
    assert "provide" in out
    assert "tiny" in out
    assert "models" in json.loads(scenewise("models", "--json")[1])


def test_data_are_listed(scenewise):
    code, out, _ = scenewise("data", "list")
    assert code == 0
    assert "balls-colour" in out
    assert "rnem-h5" in out


def test_data_made_as_h5_can_be_shown_and_taken_apart(scenewise, model, tmp_path):
    file, sheet = tmp_path / "balls.h5", tmp_path / "sheet.png"
    assert scenewise("data", "make", "balls", "--videos", 2, "--out", file, "--set", "frames=6")[0] == 0
    code, out, _ = scenewise("data", "show", file, "--index", 1, "--out", sheet)
    assert code == 0
    assert "R-NEM" in out
    assert read_video(sheet).size == (2 * 128, 6 * 128)
    words = ("--model", model, "--out", tmp_path / "out", "--formats", "slots")
    code, out, _ = scenewise("decompose", f"{file}#1", *words)
    assert code == 0
    assert "savi" in out


@pytest.mark.parametrize("kind", ["png", "mp4"])
def test_data_made_as_folders_hold_the_truth(scenewise, tmp_path, kind):
    words = ("--videos", 2, "--out", tmp_path / "out", "--format", kind, "--set", "frames=4", "size=32")
    assert scenewise("data", "make", "balls", *words)[0] == 0
    sample = open_source("balls", "test", ["frames=4", "size=32"]).sample(1)
    ids = [read_palette_png(p) for p in sorted((tmp_path / "out" / "ids" / "00001").iterdir())]
    np.testing.assert_array_equal(ids, sample.ids)
    place = tmp_path / "out" / ("images/00001" if kind == "png" else "00001.mp4")
    images = np.stack([frame.image for frame in read_video(place)])
    difference = np.abs(images.astype(int) - np.moveaxis(sample.frames, 1, -1))
    assert difference.max() == 0 if kind == "png" else difference.mean() < 8
    assert scenewise("data", "make", "balls", *words)[0] == 2


@pytest.mark.parametrize(
    "words",
    [
        ("make", "balls", "--out", "x.h5", "--videos", 0),
        ("make", "nothing", "--out", "x.h5"),
        ("show", "balls", "--index", -1),
        ("show", "missing.h5"),
    ],
)
def test_data_says_what_is_wrong(scenewise, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    assert scenewise("data", *words)[0] == 2
    assert list(tmp_path.iterdir()) == []


def test_doctor_knows_what_is_there(scenewise):
    code, out, _ = scenewise("doctor")
    assert code in (0, 1)
    assert ("nothing is wrong" in out) == (code == 0)
    for topic in ("python", "packages", "devices", "threads", "video", "weights", "data", "room"):
        assert topic in out
    assert "could not be checked" not in out


def test_doctor_tells_the_remedy(scenewise, monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    code, out, _ = scenewise("doctor")
    assert code == 1
    assert "export OMP_WAIT_POLICY=PASSIVE" in out


def test_demo_shows_scores_of_two_protocols(scenewise, model, tmp_path):
    out = tmp_path / "demo"
    code, told, _ = scenewise("demo", "--out", out, "--model", model, "--frames", 6)
    assert code == 0
    assert "provide" in told
    assert "savi" in told
    assert "frames/s" in told
    assert "peak memory" in told
    assert str(out / "balls" / "report.html") in told
    assert {p.name for p in out.iterdir()} == {"balls", "balls.mp4", "ids"}
    assert (out / "balls" / "report.html").exists()
    code, _, err = scenewise("demo", "--out", out, "--model", model)
    assert code == 2
    assert "--overwrite" in err


def test_demo_takes_any_generated_source(scenewise, tmp_path):
    code, out, _ = scenewise("demo", "--data", "moving-sprites", "--frames", 2, "--out", tmp_path / "demo")
    assert code == 0
    assert "made 2 frames of moving-sprites" in out
    code, _, err = scenewise("demo", "--data", "rnem-h5", "--out", tmp_path / "other")
    assert code == 2
    assert "seed" in err or "path" in err


def test_other_refinements_than_were_validated_are_told_in_one_line(scenewise, untrained):
    card = Card(name="ranged", validated=Reference(refinements=(3, 9)))
    ranged, plain = untrained("provide", card), untrained("iodine", Card(name="plain"))
    for model, asked, line in (
        (ranged, 12, "note: 12 refinements: ranged may do worse; its scores were validated with 3 to 9.\n"),
        (ranged, 9, ""),
        (plain, 5, "note: 5 refinements: plain may do worse; it was trained with 2.\n"),
    ):
        code, _, err = scenewise("evaluate", model, *SMALL, "--refinements", asked)
        assert code == 0
        assert "".join(row for row in err.splitlines(keepends=True) if "refinements" in row) == line
    assert "refinements" not in scenewise("evaluate", ranged, *SMALL)[2]
