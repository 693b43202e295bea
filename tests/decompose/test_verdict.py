"""A model says so when it does not know what it sees."""

import dataclasses
import math
import os

import numpy as np
import pytest
import torch

from scenewise.checkpoint import Card, Reference, save_model
from scenewise.config import build, plain
from scenewise.decompose import Decomposer, verdict
from scenewise.models.contract import MODELS
from scenewise.summary import DOUBTFUL, KNOWN, NO_OBJECTS, UNDECIDED, UNKNOWN, UNVALIDATED
from scenewise.training import recipes
from scenewise.training.folder import RunFolder


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 0.3])
def test_the_running_median(scale):
    values = np.random.default_rng(0).lognormal(0, 1, 1001) * scale
    median = verdict.RunningMedian()
    for value in [*values, math.nan]:
        median.add(float(value))
    assert median.value() == pytest.approx(np.median(values), rel=0.012)


def test_the_median_of_nothing_and_of_zeros():
    median = verdict.RunningMedian()
    assert math.isnan(median.value())
    median.add(0.0)
    assert median.value() == 0.0


@pytest.mark.parametrize(
    ("validated", "roles", "expected"),
    [
        (Reference(mse=0.001, mse_high=0.011), ["object", "background"], KNOWN),
        (Reference(mse=0.001, mse_high=0.003), ["object", "background"], DOUBTFUL),
        (Reference(mse=0.001, mse_high=0.002), ["object", "background"], UNKNOWN),
        (Reference(mse=0.0011), ["object", "undecided"], KNOWN),
        (Reference(mse=0.0009), ["object", "background"], UNKNOWN),
        (Reference(), ["object", "background"], UNVALIDATED),
        (Reference(mse=0.001, mse_high=0.003), ["unused", "background"], NO_OBJECTS),
        (Reference(mse=0.001, mse_high=0.003), ["undecided", "background"], UNDECIDED),
    ],
)
def test_the_rule(validated, roles, expected):
    name, message = verdict.judge(0.01, validated, roles, "model")
    assert name == expected
    assert bool(message) == (expected != KNOWN)


def test_too_few_frames_of_validation_are_told():
    validated = Reference(data="footage, validation split", protocol="too few frames to tell")
    name, message = verdict.judge(0.01, validated, ["object", "background"], "m")
    assert name == UNVALIDATED
    assert "(too few frames to tell)" in message


def test_the_last_tenth_of_a_clip_is_known_unless_it_shows_something_else():
    """The yardstick is of the part before: the same kind of frames is known, fog in all of them is not."""
    random = np.random.default_rng(0)
    validation = random.lognormal(math.log(0.002), 0.4, 24)
    card = Reference(mse=float(validation.mean()), mse_high=float(np.percentile(validation, 99)), data="footage")
    roles = ["background", "object"]
    alike = random.lognormal(math.log(0.002), 0.4, 60)
    assert verdict.judge(float(np.median(alike)), card, roles, "m")[0] == KNOWN
    assert verdict.judge(float(np.median(1.6 * card.mse_high * np.ones(60))), card, roles, "m")[0] == DOUBTFUL
    assert verdict.judge(float(np.median(10 * alike)), card, roles, "m")[0] == UNKNOWN


def test_near_uniform_masks_are_not_only_background():
    """Masks of .2 to .36 decide for nobody, whichever slot leads."""
    validated = Reference(mse=0.001, mse_high=0.03)
    assert verdict.judge(0.01, validated, ["background", "unused"], "m", decided=False)[0] == UNDECIDED
    assert verdict.judge(0.01, validated, ["background", "unused"], "m", decided=True)[0] == NO_OBJECTS
    assert verdict.judge(0.01, validated, ["background", "object"], "m", decided=False)[0] == KNOWN


@pytest.mark.parametrize(("flat", "expected"), [(0.011, KNOWN), (0.009, UNKNOWN)])
def test_a_model_that_explains_no_more_than_one_colour_would_does_not_know_its_footage(flat, expected):
    good = Reference(mse=0.02, mse_high=0.04)  # whatever its card says
    assert verdict.judge(0.01, good, ["background", "object"], "m", flat=flat)[0] == expected


@pytest.mark.parametrize(("largest", "expected"), [(0.36, UNDECIDED), (0.95, NO_OBJECTS)])
def test_masks_that_all_slots_share(oracle, video, tmp_path, largest, expected):
    """All slots draw the whole frame: one leads everywhere, by a hair or clearly."""

    class Sharing(type(oracle.model)):
        def explain(self, frame):
            part = super().explain(frame)
            masks = torch.full_like(part.masks, (1 - largest) / 3)
            masks[:, :, 0] = largest
            return dataclasses.replace(part, masks=masks, appearance=frame[:, None, None].expand_as(part.appearance))

    model = Decomposer(Sharing(), Card(validated=Reference(mse=1e-4, mse_high=1e-3)), "sharing")
    result = model.decompose(video)
    result.save(tmp_path / "out", ["tracks"])
    assert result.summary.verdict == expected
    assert result.summary.objects == 0


def test_a_model_no_better_than_one_colour_explains_nothing(oracle, video, tmp_path):
    """Whatever its card allows: frames of noise have a variance of 1/12."""
    noise = np.random.default_rng(0).integers(0, 256, video.shape, dtype=np.uint8)
    assert verdict.flat_error(noise[0]) == pytest.approx(1 / 12, rel=0.1)
    lenient = Decomposer(oracle.model, Card(validated=Reference(mse=10.0, mse_high=10.0)), "lenient")
    result = lenient.decompose(noise)
    result.save(tmp_path / "out", ["tracks"])
    assert result.summary.verdict == UNKNOWN
    assert "explains nothing" in result.summary.message
    almost_grey = np.full((12, 16, 16, 3), 128, np.uint8)
    almost_grey[:, 0, 0] = 130
    grey = lenient.decompose(almost_grey)
    assert verdict.flat_error(almost_grey[0]) < 1e-5
    grey.save(tmp_path / "grey", ["tracks"])
    assert grey.summary.mse > 0.005, "it draws no grey; without the least error the next case could not be told"


def run_of(tmp_path, file, steps=100, done=40, minutes=8.0, finished=False):
    """Return the model folder of a run on a file: 40 of 100 steps in 8 minutes."""
    torch.manual_seed(0)
    kind = MODELS.get("provide")
    model = kind(build(kind.config_class, kind.presets["tiny"], "preset"))
    done = steps if finished else done
    run = RunFolder(tmp_path / "runs" / "mine")
    recipe = recipes.from_plain({"data": {"source": "footage", "settings": {"files": [str(file)]}}}, "test")
    recipe = dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, steps=steps))
    run.begin({"recipe": plain(recipe), "model": {}, "data": {}})
    run.save({"step": done})
    save_model(model, run.model, Card(steps=done, hours=minutes / 60))
    return run.model


def test_an_unfinished_run_is_resumed_for_the_minutes_it_needs(tmp_path):
    file, other = tmp_path / "clip.mp4", tmp_path / "other.mp4"
    file.touch()
    other.touch()
    model = run_of(tmp_path, file)
    command = verdict.training_command(UNDECIDED, str(file), str(model))
    assert command == f"scenewise train --resume --out {model.parent} --minutes 12"  # 60 of 100 steps, .2 min each
    assert "--learn" in verdict.training_command(UNDECIDED, str(other), str(model))
    assert verdict.training_command(KNOWN, str(file), str(model)) == ""


def test_a_finished_run_is_lengthened(tmp_path):
    (tmp_path / "clip.mp4").touch()
    model = run_of(tmp_path, tmp_path / "clip.mp4", finished=True)
    command = verdict.training_command(NO_OBJECTS, str(tmp_path / "clip.mp4"), str(model))
    assert command == f"scenewise train --resume --out {model.parent} training.steps=200"


@pytest.mark.parametrize("kind", ["pipe", "deep"])
def test_a_recipe_that_is_no_recipe_stops_nothing(tmp_path, kind):
    file = tmp_path / "clip.mp4"
    file.touch()
    model = run_of(tmp_path, file)
    recipe = model.parent / "recipe.yaml"
    recipe.unlink()
    if kind == "pipe":
        os.mkfifo(recipe)  # reading it would wait for ever
    else:
        recipe.write_text("recipe: " + "[" * 20_000)
    assert "--learn" in verdict.training_command(UNDECIDED, str(file), str(model))


def test_a_folder_that_is_taken_is_not_proposed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mp4").touch()
    (tmp_path / "objects").mkdir()
    assert verdict.training_command(UNKNOWN, "clip.mp4") == "scenewise decompose clip.mp4 --out objects-2 --learn 5"


def test_the_command_names_the_file(tmp_path):
    file = tmp_path / "my clip.mp4"
    file.touch()
    assert f"decompose '{file}'" in verdict.training_command(UNKNOWN, str(file))
    assert "--data FILE" in verdict.training_command(UNKNOWN, "an array")
    assert verdict.training_command(KNOWN, str(file)) == ""
    chosen = verdict.training_command(UNKNOWN, str(file), "", {"every": 2, "layout": "THWC", "key": "two words"})
    assert chosen.endswith(" --layout THWC --key 'two words'")


def test_unknown_footage_is_not_presented_as_objects(oracle, video, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, video.shape, dtype=np.uint8)
    result = oracle.decompose(noise)
    result.save(tmp_path / "out")
    summary = result.summary
    assert summary.verdict == UNKNOWN
    assert summary.objects == 0
    assert set(summary.roles) == {"not judged"}
    assert "scenewise train footage" in summary.warning  # an array is no file to learn from
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Do not take these slots for objects" in page
    assert "scenewise train footage" in page


def test_a_card_without_figures_says_so(oracle, video, tmp_path):
    result = Decomposer(oracle.model, Card(), "new").decompose(video)
    result.save(tmp_path / "out", ["slots"])
    assert result.summary.verdict == UNVALIDATED
    assert result.summary.objects == 2
