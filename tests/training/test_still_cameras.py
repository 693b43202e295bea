"""Footage of still cameras: what is proposed for it, and a run from the files to a model that follows an object."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from scenewise.checkpoint import load_model
from scenewise.media import VideoWriter, read_video
from scenewise.training import recipes
from scenewise.training.clips import Clips
from scenewise.training.plan import make_plan
from scenewise.training.proposals import propose
from scenewise.training.run import train

FRAMES, HEIGHT, WIDTH = 120, 72, 128


def _scene() -> np.ndarray:
    rows, columns = np.mgrid[0:HEIGHT, 0 : 2 * WIDTH]
    return np.stack([110 + columns / 8, 140 + rows / 2, np.where(rows < 40, 100, 150)], -1)


def _write(path, frames):
    with VideoWriter(path, (HEIGHT, WIDTH), 25) as writer:
        for frame in frames:
            writer.write(frame.round().clip(0, 255).astype(np.uint8))
    return path


@pytest.fixture(scope="module")
def still(tmp_path_factory):
    """Two boxes that cross the picture of a still camera, one after the other and then together."""
    frames = np.repeat(_scene()[None, :, :WIDTH], FRAMES, 0)
    for t in range(FRAMES):
        x = (2 * t) % (WIDTH - 16)
        frames[t, 30:46, x : x + 14] = (220, 30, 40)
        if t >= 60:
            frames[t, 6:20, WIDTH - 20 - x : WIDTH - 6 - x] = (30, 60, 230)
    return _write(tmp_path_factory.mktemp("still") / "still.mp4", frames)


@pytest.fixture(scope="module")
def proposed(still):
    """Values for a recipe, and why."""
    return propose([still])


def test_windows_are_proposed_where_the_camera_stands_still(proposed):
    values, lines = proposed
    assert values["model"]["name"] == "provide-windows"
    settings = values["data"]["settings"]
    assert settings["background"] == "emptiest"
    assert settings["size"] == [48, 80]
    assert values["model"]["settings"]["pooling"] == 2
    height, width = (side // 2 for side in settings["size"])  # at which frames are explained
    assert min(14 / HEIGHT * height, 14 / WIDTH * width) >= 3.9, "small objects have four pixels"
    assert values["model"]["settings"]["slots"] == 4  # two objects, the background, one to spare
    assert 0.04 <= values["model"]["settings"]["sigma"] <= 0.12
    assert any("background picture" in line for line in lines)
    assert any(line.startswith("sigma") and "noise" in line for line in lines)


def test_changes_of_brightness_count_where_nothing_else_tells_objects_from_the_background(tmp_path):
    settings = []
    for name, paint in (("grey", (60, 60, 60)), ("red", (200, 60, 60))):
        frames = np.full((FRAMES, HEIGHT, WIDTH, 3), 120.0)
        for t in range(FRAMES):
            frames[t, 30:46, (2 * t) % (WIDTH - 16) :][:, :14] = paint
        values, lines = propose([_write(tmp_path / f"{name}.mp4", frames)])
        settings.append(values["model"]["settings"]["windows"]["brightness"])
        assert any("windows.brightness" in line for line in lines)
    assert settings == [0.0, 0.75]


def test_whole_frames_are_proposed_where_it_does_not(tmp_path):
    scene = np.random.default_rng(0).integers(0, 256, (9, 40, 3)).repeat(8, 0).repeat(8, 1).astype(float)
    moving = _write(tmp_path / "moving.mp4", [scene[:, t : t + WIDTH] for t in range(FRAMES)])
    values, _ = propose([moving])
    assert "name" not in values["model"]
    assert "background" not in values["data"]["settings"]


WORDS = [
    "training.steps=2", "training.batch=2", "training.curriculum=[[0, 2]]", "training.validation_videos=1",
    "training.device=cpu", "model.settings.latent=8", "model.settings.hidden=16", "training.warm_up=0",
]  # fmt: skip


def test_a_run_keeps_the_picture_with_the_model(still, proposed, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    recipe = recipes.load("footage", WORDS, copy.deepcopy(proposed[0]))
    outcome = train(recipe, tmp_path / "run")
    assert (tmp_path / "run" / "images" / "background.png").is_file()
    loaded = load_model(outcome.model)
    model, validated = loaded.model, loaded.card.validated
    assert (validated.mse, validated.mse_high) == (None, None), "two frames of validation are no yardstick"
    small = next(iter(read_video(still, size=(48, 80)))).image
    picture = model.picture.permute(1, 2, 0).numpy()
    outside = np.ones((48, 80), bool)
    outside[18:33, :13] = False  # where the first frame shows the box
    assert np.abs(picture - small / 255)[outside].max() < 0.06
    assert np.abs(picture - small / 255)[~outside].max() > 0.2


def test_clips_bring_their_picture_varied_as_they_are(proposed, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    plan = make_plan(recipes.load("footage", WORDS, copy.deepcopy(proposed[0])))
    batch = Clips(plan.train, plan.recipe.training, {}, background=True)[0]
    assert batch["background"].shape == (2, 3, 48, 80)
    difference = (batch["frames"].float() - batch["background"].unsqueeze(1).float()).abs().amax(2)
    assert float((difference > 12).float().mean()) < 0.2  # of 255: only the boxes differ
    assert not Clips(plan.train, plan.recipe.training, {})[0]["background"].numel()


def test_a_crop_that_is_asked_for_decides_the_size(still):
    values, _ = propose([still], crop=(0, 0, 72, 72))
    settings = values["data"]["settings"]
    assert settings["crop"] == [0, 0, 72, 72]
    assert settings["size"][0] == settings["size"][1], "the aspect of what is shown, not of the frame"
