"""The verbs of `scenewise data`: list, show, make, check and bench."""

import json
import os
import select
import signal
import time

import numpy as np
import pytest
from tests.processes import Process, command, main_on_terminal

from scenewise.cli import main
from scenewise.cli.options import open_source
from scenewise.data import SOURCES
from scenewise.data.shards.check import same
from scenewise.data.shards.reader import MadeSource
from scenewise.media import read_palette_png, read_video

SETTINGS = ("frames=4", "size=16")
MAKE = ("--samples", 6, "--shard", 2, "--workers", 1, "--set", *SETTINGS)


@pytest.fixture
def folder(scenewise, tmp_path):
    assert scenewise("data", "make", "balls", "--out", tmp_path / "made", *MAKE)[0] == 0
    return tmp_path / "made"


def test_every_source_is_listed_in_every_form(scenewise):
    code, out, _ = scenewise("data", "list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == SOURCES.names()
    assert all(line.split()[1] in ("generated", "files") for line in out.splitlines())
    long = scenewise("data", "list", "--long")[1]
    for head in ("paper: ", "size: ", "known per object: ", "licence: ", "to get it: "):
        assert head in long
    rows = json.loads(scenewise("data", "list", "--json")[1])
    assert [row["name"] for row in rows] == SOURCES.names()
    assert all(row["what"] for row in rows)
    with SOURCES.trial():
        SOURCES.register("bare")(main)
        assert "The command `scenewise`" in scenewise("data", "list")[1]


def test_a_terminal_shows_a_table():
    leader, follower = os.openpty()
    look = {"COLUMNS": "100", "TERM": "xterm"}
    process = Process(main_on_terminal, os.ttyname(follower), ["data", "list"], environment=look)
    told = b""
    while process.poll() is None or select.select([leader], [], [], 0)[0]:
        if select.select([leader], [], [], 0.02)[0]:
            told += os.read(leader, 4096)
    os.close(follower)
    os.close(leader)
    assert process.wait() == 0
    assert "━" in told.decode()
    assert "tetrominoes" in told.decode()


def test_a_folder_takes_sheet_and_film(scenewise, tmp_path):
    out = tmp_path / "look"
    code, told, _ = scenewise("data", "show", "balls", "--index", 3, "--out", out, "--set", *SETTINGS)
    assert code == 0
    assert "positions" in told
    assert {path.name for path in out.iterdir()} == {"balls-3.png", "balls-3.mp4"}
    assert read_video(out / "balls-3.png").size == ((2 + 4) * 128, 4 * 128)
    film = list(read_video(out / "balls-3.mp4"))
    assert len(film) == 4
    assert film[0].image.shape == (128, 256, 3)


def test_images_are_shown_side_by_side_and_views_without_a_film(scenewise, tmp_path, monkeypatch):
    scenewise("data", "show", "tetrominoes", "--out", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["tetrominoes-0.png"]
    assert read_video(tmp_path / "tetrominoes-0.png").size == ((2 + 3) * 105, 12 * 105)
    kind = type(open_source("balls", "test"))
    original = kind.sample

    def with_views(self, *words):
        found = original(self, *words)
        found.extras["viewpoints"] = found.extras["positions"]
        return found

    monkeypatch.setattr(kind, "sample", with_views)
    scenewise("data", "show", "balls", "--out", tmp_path, "--set", *SETTINGS)
    assert {path.name for path in tmp_path.iterdir()} == {"tetrominoes-0.png", "balls-0.png"}


@pytest.mark.parametrize("format", ["npy", "hdf5", "webdataset"])
def test_a_made_folder_is_a_source_everywhere(scenewise, model, tmp_path, format):
    out = tmp_path / "made"
    assert scenewise("data", "make", "balls", "--out", out, "--format", format, *MAKE)[0] == 0
    there, source = open_source(str(out), "test"), open_source("balls", "test", SETTINGS)
    assert isinstance(there, MadeSource)
    assert same(there.sample(5), source.sample(5))
    scores = []
    for data in (("--data", out), ("--data", "balls", "--set", *SETTINGS)):
        file = tmp_path / "scores.json"
        words = ("--samples", 4, "--batch", 2, "--protocol", "savi", "--json", file)
        assert scenewise("evaluate", model, *data, *words)[0] == 0
        scores.append(json.loads(file.read_text())["scores"])
    assert scores[0] == scores[1]
    if format == "npy":
        code, told, _ = scenewise("data", "show", out / "test", "--index", 5)
        assert code == 0
        assert "bouncing balls" in told
        for name in (out, out / "test"):
            words = ("--model", model, "--out", tmp_path / "out", "--overwrite", "--formats", "slots")
            assert scenewise("decompose", f"{name}#5", *words)[0] == 0
        assert scenewise("data", "show", out, "--split", "train")[0] == 2


@pytest.mark.slow
def test_a_recipe_names_a_made_folder(scenewise, tmp_path):
    out = tmp_path / "made"
    for split in ("train", "validation"):
        assert scenewise("data", "make", "balls", "--split", split, "--out", out, *MAKE)[0] == 0
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"model: {{name: provide, preset: tiny}}\ndata: {{source: made, settings: {{path: {out}}}}}\n"
        "training: {steps: 2, batch: 2, curriculum: [[0, 2]], validate_every: 2, validation_videos: 2,\n"
        "  images_every: 1000, device: cpu}\n"
    )
    code, _, err = scenewise("train", recipe, "--out", tmp_path / "run")
    assert code == 0, err
    assert (tmp_path / "run" / "model").is_dir()


def test_a_second_run_continues_or_is_refused(scenewise, folder):
    words = ("data", "make", "balls", "--out", folder, *MAKE)
    (folder / "test" / "00001.npz").unlink()
    code, told, _ = scenewise(*words)
    assert code == 0
    assert "2 of 3 shards were there already" in told
    code, _, err = scenewise(*words, "seed=4")
    assert code == 2
    assert "seed is 0 there, 4 asked for" in err
    code, _, err = scenewise("data", "make", "balls", "--out", folder / "png", "--format", "png", "--workers", 2)
    assert code == 2
    assert "--workers" in err


def test_check_names_what_is_broken_and_the_remedy(scenewise, folder):
    code, told, _ = scenewise("data", "check", folder)
    assert code == 0
    assert "3 of 3 shards whole, 6 videos, 6 made again" in told
    path = folder / "test" / "00002.npy"
    path.write_bytes(path.read_bytes()[:-1])
    code, told, err = scenewise("data", "check", folder)
    assert code == 2
    assert "shard 00002: 00002.npy has" in err
    assert "data make" in err
    assert scenewise("data", "check", folder.parent)[0] == 2
    assert scenewise("data", "check", folder, "--again", -1)[0] == 2


def test_ctrl_c_leaves_a_folder_that_goes_on(scenewise, tmp_path):
    words = ["data", "make", "balls", "--samples", 1000, "--shard", 10, "--workers", 1, "--out", tmp_path / "made"]
    process = command(*words)
    while not (tmp_path / "made" / "test" / ".making" / "00000.json").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    err = process.communicate()[1]
    assert process.returncode == 130
    assert "of 100 shards are whole and stay" in err
    assert "the same command continues" in err
    assert not list((tmp_path / "made" / "test").glob(".*.part"))
    assert scenewise("data", "show", tmp_path / "made")[0] == 2


@pytest.mark.parametrize("format", ["mulmon", "mulmon-raw"])
def test_scenes_are_made_in_the_layouts_of_mulmon(scenewise, tmp_path, format):
    pytest.importorskip("mujoco", reason="needs mujoco: pip install 'scenewise[scenes3d]'")
    few = ("--samples", 2, "--format", format, "--set", "size=16", "frames=2")
    words = ("data", "make", "cle-mv", "--out", tmp_path / "made", *few)
    assert scenewise(*words)[0] == 0
    back = open_source("mulmon", "test", (f"path={tmp_path / 'made'}", "test=[0,2]"))
    source = open_source("cle-mv", "test", ("size=16", "frames=2"))
    for index in range(2):
        assert (back.sample(index).ids == source.sample(index).ids).all()
        assert (back.sample(index).frames == source.sample(index).frames).all()
    code, _, err = scenewise(*words)
    assert code == 2
    assert "made" in err
    assert scenewise(*words, "--overwrite")[0] == 0


def test_moving_mnist_is_made_in_the_layout_of_its_test_file(scenewise, tmp_path):
    out = tmp_path / "mnist_test_seq.npy"
    words = ("data", "make", "moving-mnist", "--samples", 3, "--format", "mnist-test-seq", "--out", out)
    assert scenewise(*words)[0] == 0
    back, source = open_source("moving-mnist-npy", "test", (f"path={out}",)), open_source("moving-mnist", "test", ())
    assert all((back.sample(index).frames == source.sample(index).frames).all() for index in range(3))
    assert scenewise(*words)[0] == 2
    assert scenewise(*words, "--overwrite")[0] == 0


@pytest.mark.slow
def test_bench_times_sources(scenewise, tmp_path):
    file = tmp_path / "speed.json"
    words = ("--seconds", 0.05, "--rounds", 2, "--json", file, "--set", "seed=1")
    code, told, _ = scenewise("data", "bench", "shapes", "tetrominoes", *words)
    assert code == 0
    assert "samples/s" in told
    rows = json.loads(file.read_text())["sources"]
    assert [row["source"] for row in rows] == ["shapes", "tetrominoes"]
    assert all(row["per_core"] > 0 and set(row["rates"]) == {"1", "2"} for row in rows)


@pytest.mark.slow
def test_bench_tells_what_has_become_slow(scenewise, monkeypatch):
    from scenewise.data.shards import speed

    words = ("data", "bench", "tetrominoes", "--seconds", 0.01, "--rounds", 1, "--workers", 1)
    monkeypatch.setitem(speed.LEAST, "tetrominoes", 1e12)
    assert scenewise(*words)[0] == 0
    code, _, error = scenewise(*words, "--check")
    assert code == 1
    assert "slower than it should be: tetrominoes" in error
    monkeypatch.setitem(speed.LEAST, "tetrominoes", 1.0)
    assert scenewise(*words, "--check")[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("bench", "shaps"), "shapes"),
        (("bench", "--rounds", 0), "--rounds"),
        (("check", "nowhere"), "manifest.json"),
        (("make", "balls", "--out", "x", "--workers", 0), "--workers"),
        (("make", "balls", "--out", "x", "--shard", 0), "--shard"),
        (("make", "tetrominoes", "--out", "x.h5"), "R-NEM"),
        (("make", "tetrominoes", "--out", "x", "--format", "mulmon"), "Try cle-mv"),
        (("make", "tetrominoes", "--out", "x", "--format", "mulmon-raw"), "Try cle-mv"),
        (("make", "tetrominoes", "--out", "x", "--format", "mnist-test-seq"), "has 1; the source has 3"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_written(scenewise, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    code, _, err = scenewise("data", *words)
    assert code == 2
    assert message in err
    assert list(tmp_path.iterdir()) == []


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


def test_films_of_black_and_white_are_taken_apart_by_what_wants_just_that(scenewise, tmp_path):
    words = ("--videos", 1, "--out", tmp_path / "balls", "--format", "mp4", "--set", "frames=4")
    assert scenewise("data", "make", "balls-binary", *words)[0] == 0
    words = ("--model", "rnem-balls", "--out", tmp_path / "out", "--formats", "labels")
    code, out, _ = scenewise("decompose", tmp_path / "balls" / "00000.mp4", *words)
    assert code == 0
    assert "nearly black and white, as compressed ones are" in out
    (record,) = (tmp_path / "out").rglob("run.json")
    assert "cut at half" in record.read_text()


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
