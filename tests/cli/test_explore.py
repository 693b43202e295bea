"""scenewise traverse and refine: figures and arrays from words, and what they say of bad ones."""

import json

import numpy as np
import pytest
from PIL import Image

from scenewise.checkpoint import Card


@pytest.fixture(scope="session")
def iodine(untrained):
    return untrained("iodine", Card(name="looker"))


def test_traverse_writes_figures_and_arrays_of_each_frame(scenewise, iodine, clip, tmp_path):
    out = tmp_path / "out"
    words = ("--slot", 2, "--frames", "0,3", "--dimensions", 3, "--values", 5, "--out", out)
    code, said, _ = scenewise("traverse", iodine, clip, *words)
    assert code == 0
    assert "frame 3, slot 2" in said
    kinds = ("-alone.png", ".npz", ".png")
    assert sorted(p.name for p in out.iterdir()) == sorted(
        ["run.json", *(f"traversal-{n}{kind}" for n in (0, 3) for kind in kinds)]
    )
    with np.load(out / "traversal-3.npz") as arrays:
        assert arrays["images"].shape == (3, 5, 16, 16, 3)
        assert arrays["masks"].shape == (3, 5, 3, 16, 16)
        assert arrays["slot"] == 1
        assert (np.diff(arrays["kl"]) <= 0).all()
        dimensions = arrays["dimensions"].tolist()
    record = json.loads((out / "run.json").read_text())
    assert record["traversals"][1] == {"frame": 3, "slot": 2, "dimensions": dimensions}
    assert np.asarray(Image.open(out / "traversal-3.png")).std() > 10


def test_refine_writes_what_each_decode_drew(scenewise, iodine, clip, tmp_path):
    out = tmp_path / "out"
    code, said, _ = scenewise("refine", iodine, clip, "--frames", "1", "--refinements", 4, "--out", out)
    assert code == 0
    assert "frame 1, 5 decodes" in said
    with np.load(out / "refinements-1.npz") as arrays:
        assert arrays["nll"].shape == arrays["kl"].shape == (5,)
        assert arrays["images"].shape == (5, 16, 16, 3)
        assert arrays["gradient_means"].shape == (4, 3, 16, 16, 3)
        assert arrays["gradient_masks"].shape == (4, 3, 16, 16, 1)
        np.testing.assert_allclose(arrays["masks"].sum(1), 1, atol=1e-5)


def test_the_same_words_give_the_same_arrays(scenewise, iodine, clip, tmp_path):
    for name in "ab":
        assert scenewise("traverse", iodine, clip, "--seed", 4, "--out", tmp_path / name)[0] == 0
    first, second = (np.load(tmp_path / name / "traversal-3.npz") for name in "ab")
    assert all(np.array_equal(first[key], second[key]) for key in first.files)


def test_views_of_a_scene_are_gone_through_too(scenewise, untrained, tmp_path):
    pytest.importorskip("mujoco", reason="multi-view scenes need mujoco")
    drawing = untrained("mulmon", Card(name="drawing"))
    scene = ("cle-mv#3", "--set", "size=16", "frames=4", "smooth=false")
    assert scenewise("traverse", drawing, *scene, "--frames", "0,2", "--out", tmp_path / "a")[0] == 0
    assert scenewise("refine", drawing, *scene, "--frames", "1", "--out", tmp_path / "b")[0] == 0
    first, other = (np.load(tmp_path / "a" / f"traversal-{v}.npz") for v in (0, 2))
    np.testing.assert_array_equal(first["dimensions"], other["dimensions"])
    assert not np.array_equal(first["images"], other["images"])


@pytest.mark.parametrize(
    ("verb", "words", "told"),
    [
        ("traverse", ["--slot", "0"], "--slot: counts from 1"),
        ("traverse", ["--slot", "9"], "slots 1 to 3; found 9"),
        ("traverse", ["--frames", "8"], "frames 0 to 7; found 8"),
        ("traverse", ["--frames", "one"], "expected whole numbers with commas"),
        ("traverse", ["--values", "1"], "--values: must lie in [2, 99]"),
        ("traverse", ["--span", "nan"], "--span: must be more than 0 and at most 100"),
        ("refine", ["--slot", "7"], "slots 1 to 3; found 7"),
        ("refine", ["--refinements", "0"], "--refinements: must lie in"),
    ],
)
def test_bad_words_are_told_in_one_line_and_nothing_is_left(scenewise, iodine, clip, tmp_path, verb, words, told):
    code, _, errors = scenewise(verb, iodine, clip, *words, "--out", tmp_path / "out")
    assert code == 2
    assert told in errors
    assert not (tmp_path / "out").exists()


def test_models_that_cannot_are_told(scenewise, untrained, clip, tmp_path):
    vae = untrained("vae", Card(name="plain"))
    code, _, errors = scenewise("refine", vae, clip, "--out", tmp_path / "out")
    assert (code, "does not refine" in errors) == (2, True)
    rnem = untrained("rnem", Card(name="grouping"))
    code, _, errors = scenewise("traverse", rnem, clip, "--out", tmp_path / "out")
    assert (code, "cannot draw" in errors) == (2, True)
