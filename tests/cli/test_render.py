"""scenewise render: from a scene's name to a report, a film and arrays, and what it says of bad input."""

import json
import re

import numpy as np
import pytest

from scenewise.checkpoint import Card
from scenewise.data import SOURCES
from scenewise.media import read_video

pytest.importorskip("mujoco", reason="multi-view scenes need mujoco")

FILES = ["arrays.npz", "report.html", "run.json", "sheet.png", "turn.mp4"]


@pytest.fixture(scope="session")
def drawing(untrained):
    """Folder of an untrained model that takes viewpoints."""
    return untrained("mulmon", Card(name="drawing"))


SCENE = ("cle-mv#3", "--set", "size=16", "frames=4", "smooth=false")


def test_render_writes_everything_whole(scenewise, drawing, tmp_path):
    folder = tmp_path / "out"
    code, out, _ = scenewise("render", *SCENE, "--model", drawing, "--observe", "2,0", "--out", folder)
    assert code == 0
    assert "2 views not observed: RMSE" in out
    assert sorted(path.name for path in folder.iterdir()) == FILES
    record = json.loads((folder / "run.json").read_text())
    assert record["files"] == FILES
    assert (record["observed"], record["queried"]) == ([2, 0], [0, 1, 2, 3])
    assert record["settings"]["model"]["name"] == "drawing"
    with np.load(folder / "arrays.npz") as arrays:
        assert arrays["masks"].shape == (4, 3, 16, 16)
        assert arrays["uncertainty"].shape == (4, 16, 16)
        assert arrays["turn_images"].shape == (72, 16, 16, 3)
    assert len(list(read_video(folder / "turn.mp4"))) == 72
    page = (folder / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert page.count("data:image/png") == 2 + 4 * 5 + 4 * len(re.findall(r"</span>slot \d", page))
    assert "data:image/gif" in page
    assert "cle-mv-3" in page


def test_render_draws_the_views_asked_for_and_again_the_same(scenewise, drawing, tmp_path):
    found = []
    for name in "ab":
        words = ("--observe", "1", "--query", "3,0", "--model", drawing, "--out", tmp_path / name)
        assert scenewise("render", *SCENE, *words)[0] == 0
        with np.load(tmp_path / name / "arrays.npz") as arrays:
            found.append(dict(arrays))
    assert found[0]["queried"].tolist() == [3, 0]
    assert all(np.array_equal(found[0][key], found[1][key]) for key in found[0])


def test_render_reads_mulmons_layout_at_any_size(scenewise, drawing, tmp_path):
    from scenewise.data.shards.writers.mulmon import write_mulmon

    source = SOURCES.get("cle-mv")(split="test", size=32, frames=3, smooth=False)
    write_mulmon(source, tmp_path / "set", "test", [5, 6])
    for scene, origin in ((tmp_path / "set", 5), (f"{tmp_path / 'set'}#1", 6)):
        folder = tmp_path / f"out{origin}"
        assert scenewise("render", scene, "--model", drawing, "--observe", 0, "--out", folder)[0] == 0
        record = json.loads((folder / "run.json").read_text())
        assert record["settings"]["source_size"] == [32, 32]
        with np.load(folder / "arrays.npz") as arrays:
            expected = source.sample(origin)
            shrunk = expected.frames.reshape(3, 3, 16, 2, 16, 2).mean((3, 5)).transpose(0, 2, 3, 1)
            assert np.abs(arrays["frames"] - shrunk).mean() < 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("cle-mv#3", "--observe", "0,9"), "views 0 to 3"),
        (("cle-mv#3", "--observe", "0,x"), "whole numbers"),
        (("cle-mv#3", "--observe", "0,0"), "twice"),
        (("cle-mv#3", "--observe", "0", "--query", "4"), "--query"),
        (("cle-mv#100000", "--observe", "0"), "scenes 0 to"),
        (("cle-mw#3", "--observe", "0"), "cle-mv"),
        (("cle-mv#3", "--observe", "0", "--seed", "-1"), "--seed"),
    ],
)
def test_render_tells_what_cannot_be(scenewise, drawing, tmp_path, words, message):
    more = SCENE[1:] if words[0].startswith("cle-mv") else ()
    code, _, err = scenewise("render", *words, *more, "--model", drawing, "--out", tmp_path / "out")
    assert code == 2
    assert message in err
    assert not (tmp_path / "out").exists()


def test_render_needs_viewpoints_and_a_model_that_takes_them(scenewise, drawing, model, tmp_path):
    out = ("--observe", "0", "--out", tmp_path / "out")
    code, _, err = scenewise("render", "balls-colour#0", "--model", drawing, *out)
    assert (code, "viewpoints" in err) == (2, True)
    code, _, err = scenewise("render", *SCENE, "--model", model, *out)
    assert (code, "does not draw scenes" in err) == (2, True)


def test_render_replaces_nothing_unasked(scenewise, drawing, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note").write_text("keep")
    words = ("render", *SCENE, "--model", drawing, "--observe", 0, "--query", 1, "--out", tmp_path / "mine")
    code, _, err = scenewise(*words)
    assert (code, "--overwrite" in err) == (2, True)
    assert (tmp_path / "mine" / "note").read_text() == "keep"
    assert scenewise(*words, "--overwrite")[0] == 0
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == FILES
