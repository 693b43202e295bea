"""What R-NEM, DDPAE and DVIP cannot take ends with exit code 2, and is told with a name and a remedy."""

import struct

import pytest
import torch

from scenewise.checkpoint import Card, save_model
from scenewise.config import build
from scenewise.models.contract import MODELS

QUIET = ["--formats", "labels"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Save a tiny untrained model; returns its folder."""

    def save(name, **settings):
        torch.manual_seed(0)
        kind = MODELS.get(name)
        model = kind(build(kind.config_class, {**kind.presets["tiny"], **settings}, "test"))
        return save_model(model, tmp_path_factory.mktemp("models") / name, Card(name=name))

    return save


@pytest.mark.parametrize("words", [["decompose"], ["predict", "--observe", 4, "--steps", 2]])
def test_colour_footage_is_not_black_and_white(scenewise, saved, clip, tmp_path, words):
    model = saved("rnem", grey="refuse")
    code, _, told = scenewise(*words, clip, "--model", model, "--out", tmp_path / "out", *QUIET)
    assert code == 2
    assert f"{clip}: frames: must be black and white" in told
    assert "grey=threshold" in told


@pytest.mark.parametrize(
    ("name", "source", "problem"),
    [
        ("rnem", ["balls-colour", "size=16"], "its frames have 3 channels; the model takes 1"),
        ("ddpae", ["moving-mnist-colour", "size=16", "digit=7"], "its frames have 3 channels; the model takes 1"),
        ("rnem", ["moving-mnist"], "the model takes (C, H, W) = (1, 16, 16); found (1, 64, 64)"),
        ("ddpae", ["ddpae-balls", "size=32"], "the model takes (C, H, W) = (1, 16, 16); found (1, 32, 32)"),
        ("dvip", ["moving-mnist-colour", "size=32", "digit=14"], "(C, H, W) = (3, 16, 16); found (3, 32, 32)"),
    ],
)
def test_sources_of_other_colours_and_sizes_are_told(scenewise, saved, name, source, problem):
    """Videos of a person are scaled, sources are not: their scores would be of other data."""
    data, *settings = source
    words = ["evaluate", saved(name), "--data", data, "--samples", 1, "--frames", 3]
    code, _, told = scenewise(*words, *(["--set", *settings] if settings else []))
    assert code == 2
    assert problem in told
    assert "another model" in told


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (["rnem-balls", "model.settings.size=[20,20]"], "size: must be divisible by 16"),
        (["ddpae-balls", "data.settings.size=48"], "size: must be two equal powers of two"),
        (["ddpae-balls", "model.settings.size=[64,64]"], "model.settings.size is (64, 64); the data have (32, 32)"),
        (["dvip-moving-mnist", "data.settings.size=20"], "size: must be two equal powers of 2"),
    ],
)
def test_recipes_of_sizes_that_cannot_be_are_told(scenewise, tmp_path, words, field):
    code, _, told = scenewise("train", *words, "--out", tmp_path / "run")
    assert code == 2
    assert field in told
    assert "Correct these settings" in told
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["rnem", "ddpae", "dvip"])
def test_prediction_has_a_start_and_no_limit(scenewise, saved, clip, tmp_path, name):
    words = ["predict", clip, "--model", saved(name), "--out", tmp_path / "out", *QUIET]
    code, _, told = scenewise(*words, "--observe", 4, "--steps", 0)
    assert code == 2
    assert "steps: must be at least 1; found 0" in told
    code, _, told = scenewise(*words, "--observe", 9, "--steps", 2)
    assert code == 2
    assert f"{clip}: has fewer than the 9 frames to observe" in told
    assert scenewise(*words, "--observe", 4, "--steps", 70)[0] == 0


def test_help_tells_that_prediction_has_no_limit(scenewise, monkeypatch):
    monkeypatch.setenv("COLUMNS", "500")
    assert "no model sets a limit" in scenewise("predict", "--help")[1]


LABELS = struct.pack(">2I", 2049, 1) + bytes(1)
IMAGE = bytes(28 * 28)


@pytest.mark.parametrize(
    ("content", "problem", "remedy"),
    [
        (struct.pack(">4I", 2052, 1, 28, 28) + IMAGE, "magic number 2051 (images), found 2052", "Give MNIST's own"),
        (struct.pack(">4I", 2051, 3, 28, 28) + IMAGE, "is truncated", "Get it anew"),
        (struct.pack(">4I", 2051, 1, 28, 28) + IMAGE + b"0", "is too long", "Get it anew"),
        (LABELS + bytes(20), "magic number 2051 (images), found 2049 (labels)", "Give MNIST's own"),
        (None, "cannot be read", "Check the path"),
    ],
)
def test_idx_files_that_are_wrong_are_named(scenewise, saved, tmp_path, content, problem, remedy):
    images, labels = tmp_path / "images", tmp_path / "labels"
    labels.write_bytes(LABELS)
    if content is not None:
        images.write_bytes(content)
    files = [f"images={images}", f"labels={labels}"]
    evaluation = ["evaluate", saved("ddpae"), "--data", "moving-mnist", "--samples", 1]
    training = ["train", "ddpae-moving-mnist", "--out", tmp_path / "run"]
    for words in (
        [*evaluation, "--set", *files],
        [*evaluation, "--set", files[0], "--set", files[1]],
        [*training, *(f"data.settings.{file}" for file in files)],
    ):
        code, _, told = scenewise(*words)
        assert code == 2
        assert f"{images}: " in told
        assert problem in told
        assert remedy in told
    assert not (tmp_path / "run").exists()
