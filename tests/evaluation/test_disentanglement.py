"""The protocol `disentanglement` on models whose slots' codes are known (mulmon.md 6)."""

import json
import sys

import numpy as np
import pytest
import torch

from scenewise.config import build
from scenewise.data.contract import Facts, ObjectKeys, Sample, Source
from scenewise.decomposition import Decomposition
from scenewise.errors import InputError
from scenewise.evaluation.disentanglement import gather, slots_of_objects
from scenewise.evaluation.evaluate import evaluate
from scenewise.evaluation.request import EvaluationRequest
from scenewise.models.contract import MODELS, Output
from scenewise.models.iodine import Iodine
from scenewise.models.mulmon import Mulmon

SHAPES, SIDE, VIEWS = ("bar", "box", "dot"), 16, 2


@pytest.fixture(autouse=True)
def small_forests(monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.setattr(sys.modules["scenewise.metrics.dci"], "TREES", 20)


class Things(Source):
    """Scenes of two things on their halves of the picture; every view shows them the other way round."""

    facts = Facts(3, (SIDE, SIDE), VIEWS, 2, origin="things")
    object_keys = ObjectKeys(shape="shape", material="material", position="pixel_coords", place="positions")

    def __len__(self):
        return 60

    def fingerprint(self):
        return "things"

    def sample(self, index, start=0, frames=None):
        random = np.random.default_rng(index)
        shapes, places = random.integers(0, 3, 2), random.uniform(0, 1, (2, 2))
        ids = np.zeros((VIEWS, SIDE, SIDE), np.int64)
        for row, (left, top) in enumerate((places * 4).astype(int)):
            ids[0, top + 2 : top + 6, 8 * row + left : 8 * row + left + 4] = row + 1
        ids[1] = ids[0, :, ::-1]
        pictures = np.repeat((ids * 100 + 10)[:, None], 3, 1).astype(np.uint8)
        pictures[:, 0, 0, 0] = index  # by which the models here know the scene
        coords = np.concatenate([places[None] * [[[1, 1]], [[-1, 1]]], np.ones((VIEWS, 2, 1))], -1)
        extras = {
            "shape": np.array(SHAPES)[shapes],
            "material": np.array(["wood", "wood"]),
            "positions": np.concatenate([places, np.ones((2, 1))], 1),
            "pixel_coords": coords,
            "viewpoints": np.eye(VIEWS, 3, dtype=np.float32),
        }
        span = slice(start, None if frames is None else start + frames)
        per_view = {name: extras[name][span] for name in ("pixel_coords", "viewpoints")}
        return self.with_objects(Sample(pictures[span], ids[span], extras | per_view))


def answers(kind, code):
    """Return a model that owns every object exactly, in shuffled slots; `code` gives the means of the objects."""

    class Answers(kind):
        def __init__(self):
            super().__init__(build(kind.config_class, kind.presets["tiny"], "test"))

        def forward(self, observation, slots=None, refinements=None, seed=0, noise=None):
            parts = [self.part(round(float(frames[0, 0, 0, 0]) * 255), len(frames)) for frames in observation.frames]
            masks, means = (torch.stack(found).float() for found in zip(*parts, strict=True))
            rest = torch.zeros_like(means)
            nothing = torch.zeros(means.shape[:2])
            drawn = masks.expand(-1, -1, -1, 3, -1, -1)
            return Output(lambda: Decomposition(masks, drawn, means, rest, rest, rest, nothing, nothing), {})

        def part(self, scene, views):
            sample, order = Things().sample(scene, 0, views), np.random.default_rng(scene).permutation(3)
            slots = torch.nn.functional.one_hot(torch.from_numpy(np.argsort(order)[sample.ids]), 3)
            means = np.zeros((views, 3, 5))  # the background's code is 0
            means[:, np.argsort(order)[1:]] = code(sample.extras, views)
            return slots.movedim(-1, 1).unsqueeze(2), torch.from_numpy(means)

    return Answers().eval()


def factors_of(extras, views, turn=None, world=True):
    """Return the factors themselves, x, y, two numbers of the shape and one that is noise, shape (V, 2, 5)."""
    shape = np.array([SHAPES.index(name) for name in extras["shape"]])
    noise = extras["positions"][:, 0] * 1000 % 1
    place = np.repeat(extras["positions"][None, :, :2], views, 0) if world else extras["pixel_coords"][..., :2]
    rest = np.repeat(np.stack([shape == 0, shape == 1, noise], -1)[None], views, 0)
    found = np.concatenate([place - 0.5, rest], -1)
    return found if turn is None else found @ turn


def scores(model, **options):
    made = evaluate(model, Things(), ["disentanglement"], videos=60, batch=16, **options)
    assert json.dumps(made, allow_nan=False)
    assert {(row["protocol"], row["videos"]) for row in made} == {("disentanglement", 60)}
    return {row["metric"]: row["mean"] for row in made}


def test_codes_that_are_the_factors_are_disentangled():
    found = scores(answers(Mulmon, factors_of))
    assert found["disentanglement"] > 0.95
    assert found["disentanglement by forests"] > 0.9
    assert found["accuracy of shape"] == 1
    assert found["accuracy of most frequent shape"] < 0.6
    assert found["normalised RMSE of x"] < 0.05
    assert found["objects"] == 120  # one sample for an object, though there are two views
    assert found["objects left out"] == 0
    assert found["disentanglement of shuffled codes"] < 0.6
    assert found["disentanglement by forests of shuffled codes"] < 0.4
    assert not any("material" in name for name in found)  # all are of wood


def test_turned_codes_are_not():
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((5, 5)))[0]
    found = scores(answers(Mulmon, lambda extras, views: factors_of(extras, views, turn)))
    assert found["disentanglement"] < 0.5
    assert found["normalised RMSE of x"] < 0.05  # they tell as much


def test_models_of_frames_give_a_sample_per_frame_with_places_in_the_picture():
    found = scores(answers(Iodine, lambda extras, views: factors_of(extras, views, world=False)))
    assert found["objects"] == 240
    assert found["normalised RMSE of x"] < 0.05
    assert found["disentanglement"] > 0.95
    ground = scores(answers(Iodine, factors_of))  # in the second view x of the ground is the wrong way round
    assert ground["normalised RMSE of x"] > 0.5


def test_codes_go_with_the_factors_of_their_object():
    model = answers(Mulmon, factors_of)
    asked = EvaluationRequest(model, Things(), 20, VIEWS, (0,), None, None, 8, lambda frames: None)
    found = gather(asked, 0)
    np.testing.assert_allclose(found.codes[:, 0] + 0.5, found.factors["x"], atol=1e-5)
    assert found.scenes.tolist() == [scene for scene in range(20) for _ in range(2)]
    np.testing.assert_array_equal(found.codes[:, 2] > 0.5, found.factors["shape"] == "bar")


def test_the_background_takes_its_slot_and_objects_nobody_shows_are_left_out():
    ids = np.zeros((1, 8, 8), np.int64)
    ids[0, :2, :2], ids[0, 4:, 4:], ids[0, 7, 0] = 1, 2, 3
    labels = np.where(ids == 2, 2, 0)  # slot 0 has everything but object 2
    assert slots_of_objects(labels, ids) == ({2: 2}, 2)
    labels[0, :2, :2] = 1
    assert slots_of_objects(labels, ids) == ({1: 1, 2: 2}, 1)
    labels[0, 7, 0], labels[0, 0, 7] = 3, 3
    assert slots_of_objects(labels, ids) == ({1: 1, 2: 2, 3: 3}, 0)
    labels[0, :4, :6] = 3  # its slot has 1 pixel in 26 of object 3
    assert slots_of_objects(labels, ids)[0].get(3) is None


def test_matching_is_over_all_views_together():
    ids = np.zeros((2, 4, 4), np.int64)
    ids[0, 0], ids[1, :3] = 1, 1
    labels = np.zeros_like(ids)
    labels[0, 0], labels[1, :3] = 1, 2  # another slot in the larger view
    assert slots_of_objects(labels, ids) == ({1: 2}, 0)


def tiny(name):
    torch.manual_seed(0)
    kind = MODELS.get(name)
    return kind(build(kind.config_class, kind.presets["tiny"], "test")).eval()


def test_a_model_can_be_scored_under_several_seeds():
    made = evaluate(tiny("mulmon"), Things(), ["disentanglement"], videos=40, seeds=(0, 1))
    found = {row["metric"]: row for row in made}
    assert 0 <= found["disentanglement"]["mean"] <= 1
    assert len(found["disentanglement"]["values"]) == 2
    assert found["objects"]["values"][0] + found["objects left out"]["values"][0] == 80


def test_every_object_of_every_frame_is_used_or_left_out():
    asked = EvaluationRequest(tiny("iodine"), Things(), 40, VIEWS, (0,), None, None, 16, lambda frames: None)
    found = gather(asked, 0)
    assert len(found.codes) + found.left_out == 40 * VIEWS * 2
    assert found.codes.shape == (len(found.scenes), 8)


class Bare(Things):
    """The same without factors."""

    def sample(self, index, start=0, frames=None):
        whole = super().sample(index, start, frames)
        return Sample(whole.frames, whole.ids, {"viewpoints": whole.extras["viewpoints"]})


class Short(Things):
    """Factors of the first object only."""

    def sample(self, index, start=0, frames=None):
        whole = super().sample(index, start, frames)
        return self.with_objects(Sample(whole.frames, whole.ids, {**whole.extras, "shape": whole.extras["shape"][:1]}))


def test_what_cannot_be_scored_is_told():
    model = answers(Mulmon, factors_of)
    with pytest.raises(InputError, match="does not tell factors"):
        evaluate(model, Bare(), ["disentanglement"], videos=12)
    with pytest.raises(InputError, match="shape: is told of objects 1 to 1; found id 2"):
        evaluate(model, Short(), ["disentanglement"], videos=12)
    with pytest.raises(InputError, match="need 20 samples"):
        evaluate(model, Things(), ["disentanglement"], videos=3)
