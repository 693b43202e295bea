"""A crop used in training belongs to the model: videos are shown in it, boxes are in source pixels."""

import json

import numpy as np
import pytest

from scenewise.checkpoint import Card, Reference, load_model, readme, save_model
from scenewise.data import SOURCES
from scenewise.decompose import Decomposer
from scenewise.media import VideoWriter, read_video

CROP, SIZE = (8, 32, 32, 32), (48, 80)


def written(path, size=SIZE, frames=10):
    """A red square at rows 12 to 20, columns 40 to 48, on black."""
    with VideoWriter(path, size, 10) as writer:
        for _ in range(frames):
            image = np.zeros((*size, 3), np.uint8)
            image[12:20, 40:48] = (255, 0, 0)
            writer.write(image)
    return path


@pytest.fixture
def cropped(oracle):
    card = Card(validated=Reference(mse=0.1, mse_high=0.1), crop=CROP, source_size=SIZE)
    return Decomposer(oracle.model, card, "cropped")


@pytest.mark.parametrize("open_video", [str, read_video], ids=["path", "reader"])
def test_the_crop_is_applied_and_boxes_are_in_source_pixels(cropped, tmp_path, open_video):
    file = written(tmp_path / "clip.mp4")
    result = cropped.decompose(open_video(file))
    assert result.clip.crop == CROP
    result.save(tmp_path / "out", ["tracks"])
    row = (tmp_path / "out" / "tracks.csv").read_text().splitlines()[0].split(",")
    left, top, width, height = (float(value) for value in row[2:6])
    assert (left, top) == pytest.approx((40, 12), abs=2.5)  # pixels of the model are two source pixels
    assert (width, height) == pytest.approx((8, 8), abs=2.5)
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["settings"]["input"]["crop"] == list(CROP)


def test_a_crop_that_was_asked_for_wins(cropped, tmp_path):
    file = written(tmp_path / "clip.mp4")
    assert cropped.decompose(file, crop=(0, 0, 48, 80)).clip.crop == (0, 0, 48, 80)
    assert cropped.decompose(read_video(file, crop=(0, 0, 16, 16))).clip.crop == (0, 0, 16, 16)


def test_frames_of_another_size_are_shown_whole_and_that_is_said(cropped, tmp_path):
    result = cropped.decompose(written(tmp_path / "other.mp4", (96, 160)))
    assert result.clip.crop == (0, 0, 96, 160)
    result.save(tmp_path / "out", ["tracks"])
    assert any("--crop" in problem for problem in result.summary.problems)


def test_arrays_and_models_without_a_crop_are_left_alone(cropped, oracle, video, tmp_path):
    assert cropped.decompose(video).clip.crop == (0, 0, *video.shape[1:3])
    assert oracle.decompose(written(tmp_path / "clip.mp4")).clip.crop == (0, 0, *SIZE)


def test_the_card_tells_of_the_crop(tiny, tmp_path):
    card = Card(name="cropped", crop=CROP, source_size=SIZE)
    folder = save_model(tiny.model, tmp_path / "model", card)
    assert load_model(folder).card == card
    assert "32 x 32 pixels from (32, 8) of source frames of 80 x 48" in readme(tiny.model, card)
    assert "source frames" not in readme(tiny.model, Card(name="whole"))


def test_footage_hands_its_crop_to_the_card(tmp_path):
    file = written(tmp_path / "clip.mp4", frames=60)
    settings = {"files": [str(file)], "size": [16, 16], "clip_length": 2, "cache": str(tmp_path / "cache")}
    source = SOURCES.get("footage")("train", crop=list(CROP), **settings)
    assert (source.crop, source.source_size) == (CROP, SIZE)
    assert SOURCES.get("balls-colour")("train").crop is None
