"""--json: on every verb one document on the standard output and nothing beside it, with a field for each fact."""

import json
import re
import select
import signal
import subprocess
import sys
import time

import pytest
import yaml
from tests.cli.conftest import write_clip
from tests.cli.test_experiment import CONTENT

from scenewise.checkpoint import Card
from scenewise.cli import VERBS
from scenewise.data.shards import writer

CLIP = ("--model", "MODEL", "--device", "cpu", "--formats", "slots", "--stop", "3", "--out", "OUT")
VIDEOS = ("--samples", "2", "--set", "size=16", "frames=2")
SCENE = ("cle-mv#3", "--set", "size=16", "frames=3", "smooth=false")
WORDS = {
    "demo": (("demo", "--model", "MODEL", "--frames", "2", "--out", "OUT"), {"report", "frames"}),
    "decompose": (("decompose", "CLIP", *CLIP), {"videos", "failed"}),
    "background": (("background", "LONGER", "--out", "OUT.png"), {"picture", "sure", "size"}),
    "predict": (("predict", "CLIP", "--observe", "2", "--steps", "2", *CLIP[:-4], "--out", "OUT"), {"videos"}),
    "sample": (("sample", "GENESIS", "--count", "1", "--out", "OUT"), {"seed"}),
    "traverse": (("traverse", "IODINE", "CLIP", "--values", "2", "--dimensions", "1", "--out", "OUT"), {"traversals"}),
    "refine": (("refine", "IODINE", "CLIP", "--frames", "1", "--out", "OUT"), {"refinements"}),
    "render": (("render", *SCENE, "--model", "MULMON", "--observe", "0", "--out", "OUT"), {"report"}),
    "train": (("train", "provide-tiny", "--dry-run"), {"recipe", "stages"}),
    "evaluate": (
        ("evaluate", "MODEL", "--data", "balls-colour", "--samples", "1", "--frames", "2", "--set", "size=16"),
        {"scores"},
    ),
    "experiment": (("experiment",), {"name", "sizes", "summary"}),
    "experiment --list": (("experiment", "TINY", "--size", "smoke", "--list"), {"cell", "step", "scored", "error"}),
    "experiment --dry-run": (("experiment", "TINY", "--size", "smoke", "--dry-run"), {"cells", "core_seconds"}),
    "experiment, run": (
        ("experiment", "TINY", "--size", "smoke", "--only", "variant=lds0", "--out", "OUT"),
        {"done", "failed", "left", "busy", "stopped", "tables"},
    ),
    "experiment --show": (("experiment", "lds", "--out", "OUT", "--show"), {"tables"}),
    "experiment --page": (("experiment", "--page", "OUT.md"), {"page"}),
    "models": (("models",), {"models", "weights"}),
    "recipes": (("recipes",), {"name"}),
    "settings": (("settings", "iodine"), {"meaning", "paper"}),
    "data list": (("data", "list"), {"name", "what"}),
    "data show": (("data", "show", "balls-binary", "--out", "OUT"), {"videos", "fingerprint", "files", "extras"}),
    "data make": (("data", "make", "balls-binary", *VIDEOS, "--out", "OUT"), {"videos", "format", "out", "shards"}),
    "data make, one file": (("data", "make", "balls-binary", *VIDEOS, "--out", "OUT.h5"), {"videos", "format", "out"}),
    "data check": (("data", "check", "MADE"), {"splits", "broken"}),
    "data bench": (
        ("data", "bench", "balls-binary", "--seconds", "0.01", "--rounds", "1", "--workers", "1"),
        {"sources"},
    ),
    "bench": (("bench", "iodine", "--presets", "tiny", "--repeats", "1"), {"results", "machine"}),
    "completion": (("completion", "bash"), {"shell", "script"}),
    "doctor": (("doctor",), {"lines", "wrong"}),
}
"""Words of a verb and fields of its answer, or of the first of its rows."""

ELSEWHERE = {"batch", "serve", "view"}  # they have processes or go on until they are ended: as processes, below
SLOW = {"demo", "render", "bench", "experiment, run", "experiment --show", "experiment --page"}


@pytest.fixture(scope="session")
def places(model, untrained, clip, tmp_path_factory):
    """What capital words stand for."""
    folder = tmp_path_factory.mktemp("json")
    write_clip(folder / "longer.mp4", 24)
    (folder / "tiny.yaml").write_text(yaml.safe_dump(CONTENT))
    writer.make(writer.make_plan("balls-binary", "test", {"size": 16, "frames": 3}, 2, "npy", 2), folder / "made")
    models = {name.upper(): untrained(name, Card(name=name)) for name in ("genesis", "iodine", "mulmon")}
    return {"MODEL": model, "CLIP": clip, "TINY": str(folder / "tiny.yaml"), "MADE": str(folder / "made"),
            "LONGER": str(folder / "longer.mp4"), **models}  # fmt: skip


def words_of(name, places, tmp_path):
    words = WORDS[name][0] if name in WORDS else (name,)
    known = {**places, "OUT": str(tmp_path / "out")}
    return [re.sub(r"^[A-Z]+(?=\.|$)", lambda match: known.get(match[0], match[0]), word) for word in words]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in WORDS]
)
def test_the_answer_is_one_document_with_fields(scenewise, places, tmp_path, monkeypatch, name):
    if name == "render":
        pytest.importorskip("mujoco")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    code, out, err = scenewise(*words_of(name, places, tmp_path), "--json")
    assert code in ((0, 1) if name == "doctor" else (0,)), err
    answer = json.loads(out)
    first = answer[0] if isinstance(answer, list) else answer
    assert WORDS[name][1] <= set(first)
    assert name == "doctor" or "lines" not in first


def test_every_verb_is_tried():
    assert {words[0] for words, _ in WORDS.values()} | ELSEWHERE == set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_an_error_is_one_document_too(scenewise, places, tmp_path, verb):
    wrong = {
        "demo": ("--data", "nothing"), "decompose": ("gone.mp4", "--out", "OUT"), "batch": ("gone", "--out", "OUT"),
        "serve": ("--queue", "0", "--out", "OUT"), "background": ("gone.mp4", "--out", "OUT.png"),
        "predict": ("gone.mp4", "--observe", "1", "--steps", "1", "--out", "OUT"), "sample": ("gone", "--out", "OUT"),
        "view": ("gone.mp4",), "traverse": ("gone", "gone.mp4", "--out", "OUT"),
        "refine": ("gone", "gone.mp4", "--out", "OUT"), "render": ("cle-mv#0", "--model", "gone", "--out", "OUT"),
        "train": ("gone",), "evaluate": ("gone", "--data", "balls-colour"), "experiment": ("gone",),
        "models": ("gone",), "settings": ("gone",), "data": ("show", "gone"), "bench": ("gone",),
    }  # fmt: skip
    if verb not in wrong:
        pytest.skip("takes nothing that could be wrong")
    known = {**places, "OUT": str(tmp_path / "out"), "OUT.png": str(tmp_path / "out.png")}
    code, out, err = scenewise(verb, *(known.get(word, word) for word in wrong[verb]), "--json")
    assert (code in (1, 2), bool(err)) == (True, True)
    if out:
        answer = json.loads(out)
        assert answer.get("error", {}).get("problem") or answer["failed"]


@pytest.mark.parametrize("verb", [*VERBS, "data make", "data check", ""])
def test_words_that_are_not_understood_are_told_as_one_document_too(scenewise, verb):
    for words in (("--nonsense", "--json"), ("--json", "--nonsense"), ("--js", "--nonsense")):
        code, out, err = scenewise(*verb.split(), *words)
        assert code == 2
        assert json.loads(out)["error"]["problem"] in err
        assert "--help" in json.loads(out)["error"]["remedy"]


def test_words_that_are_not_understood_are_not_told_as_json_where_that_goes_to_a_file(scenewise, tmp_path):
    for words in (("--json", tmp_path / "scores.json"), (f"--json={tmp_path / 'scores.json'}",), ()):
        code, out, _ = scenewise("evaluate", *words, "--nonsense")
        assert (code, out) == (2, "")
    code, out, _ = scenewise("decompose", "--json", "clip.mp4", "--nonsense")  # which takes no file
    assert (code, "error" in json.loads(out)) == (2, True)


def test_what_the_system_refuses_is_one_document_too(scenewise, monkeypatch, tmp_path):
    def refuse(*_):
        raise PermissionError(13, "Permission denied", "clip.mp4")

    monkeypatch.setattr("scenewise.cli.models.run", refuse)
    code, out, err = scenewise("models", "--json")
    assert (code, json.loads(out)["error"]["subject"]) == (2, "clip.mp4")
    assert "Permission denied" in err


@pytest.mark.slow
def test_workers_of_a_batch_print_nothing_beside_it(places, tmp_path):
    words = ["batch", places["CLIP"], *("--model", places["MODEL"], "--formats", "slots", "--workers", "2")]
    command = [sys.executable, "-m", "scenewise.cli", *words, "--out", str(tmp_path / "out"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["left"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["view", "serve"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_goes_on_until_it_is_ended_says_where_at_once(places, tmp_path, verb, number, code):
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    words = {
        "view": [places["CLIP"], "--model", places["MODEL"], "--device", "cpu"],
        "serve": ["--model", places["MODEL"], "--device", "cpu", "--out", str(tmp_path / "out"), "--workers", "1"],
    }
    command = [sys.executable, "-m", "scenewise.cli", verb, *words[verb], "--port", "0", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert select.select([process.stdout], [], [], 120)[0], "nothing was said"
        document, brackets = "", 0
        while not document or brackets:
            line = process.stdout.readline()
            brackets += line.count("{") - line.count("}")
            document += line
        assert json.loads(document)["address"].startswith("http://127.0.0.1:")
        time.sleep(1)
        process.send_signal(number)
        rest, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code, err
    assert rest == ""
    assert "Traceback" not in err
