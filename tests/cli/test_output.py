"""-q, -v, --log-level and --json, which every verb has."""

import json
import subprocess
import sys

import pytest

from scenewise.cli import VERBS


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_the_options(scenewise, verb):
    out = scenewise(verb, "--help")[1] if verb != "data" else scenewise(verb, "make", "--help")[1]
    assert all(option in out for option in ("--json", "--quiet", "--verbose", "--log-level"))


def test_quiet_prints_errors_alone(scenewise, model, clip, tmp_path):
    words = ("--model", model, "--device", "cpu", "--formats", "slots", "--refinements", 60)
    code, out, err = scenewise("decompose", clip, "gone.mp4", "--out", tmp_path / "a", "-q", *words)
    assert (code, out) == (2, "")
    assert err.splitlines() == ["error: gone.mp4: expected a file or folder; found nothing there. Check the path."]
    assert scenewise("models", "--quiet") == (0, "", "")
    assert scenewise("models", "--log-level", "error") == (0, "", "")


def test_answers_as_json(scenewise, model, clip, tmp_path):
    words = ("--model", model, "--device", "cpu", "--formats", "slots")
    code, out, _ = scenewise("decompose", clip, "--out", tmp_path / "a", "--json", *words)
    (video,) = json.loads(out)["videos"]
    assert code == 0
    assert (video["frames"], video["files"]) == (8, ["slots.json", "run.json"])
    made = json.loads(scenewise("data", "make", "balls-binary", "--samples", 2, "--out", tmp_path / "b", "--json")[1])
    assert (made["videos"], made["shards"]["whole"]) == (2, 1)
    assert json.loads(scenewise("doctor", "--json")[1])["lines"]
    planned = json.loads(scenewise("train", "provide-tiny", "--dry-run", "--device", "cpu", "--json")[1])
    assert planned["recipe"]["training"]["device"] == "cpu"
    assert planned["stages"][0]["steps"] > 0


def test_errors_as_json(scenewise, model, tmp_path):
    code, out, err = scenewise("sample", model, "--out", tmp_path / "a", "--json", "--seed", "-1")
    assert code == 2
    assert json.loads(out)["error"]["subject"] == "--seed"
    assert err.startswith("error: --seed")


@pytest.mark.slow
def test_verbose_tells_more(model, clip, tmp_path):
    words = ("decompose", clip, "--out", str(tmp_path / "a"), "--model", model, "--device", "cpu", "--formats", "slots")
    command = [sys.executable, "-m", "scenewise.cli", *words]
    done = subprocess.run([*command, "-v"], capture_output=True, text=True, check=True)
    assert "INFO scenewise: done in" in done.stderr
    done = subprocess.run([*command, "-vv"], capture_output=True, text=True)  # the results are there already
    assert done.returncode == 2
    assert "not empty" in done.stderr


def test_unknown_options_are_told_with_the_usage_of_the_verb(scenewise):
    code, _, err = scenewise("decompose", "clip.mp4", "--out", "x", "--slotz", "4")
    assert code == 2
    assert "usage: scenewise decompose" in err
    assert "Did you mean '--slots'?" in err
