"""The protocols `lds` and `lds-gap` against the measures taken by hand."""

import json

import numpy as np
import pytest
import torch

from scenewise.config import build
from scenewise.data.contract import Facts, Sample, Source
from scenewise.errors import InputError
from scenewise.evaluation import PROTOCOLS
from scenewise.evaluation.evaluate import evaluate
from scenewise.evaluation.lds import subset
from scenewise.metrics import duplicates, inference_gap, mean_iou, takeover
from scenewise.models.contract import MODELS
from scenewise.observation import Observation

VIEWS, SCENES = 2, 3


class Scenes(Source):
    """Three scenes of two views, 16 x 16, with two objects."""

    facts = Facts(3, (16, 16), VIEWS, 2, origin="test")

    def __len__(self):
        return SCENES

    def sample(self, index, start=0, frames=None):
        random = np.random.default_rng(index)
        ids = np.zeros((VIEWS, 16, 16), np.int64)
        ids[:, 2:7, 3:9], ids[:, 9:14, 6:12] = 1, 2
        images = random.integers(0, 256, (VIEWS, 3, 16, 16)).astype(np.uint8)
        return Sample(images[start:][:frames], ids[start:][:frames])

    def fingerprint(self):
        return "test"


def model(name, **changes):
    torch.manual_seed(0)
    kind = MODELS.get(name)
    return kind(build(kind.config_class, {**kind.presets["tiny"], **changes}, "test")).eval()


def rows(found, *protocols, **options):
    made = evaluate(found, Scenes(), protocols or ("lds",), videos=SCENES, batch=2, **options)
    return {row["metric"]: row for row in made}


def test_every_image_is_measured_by_itself():
    iodine = model("iodine")
    found = rows(iodine)
    labels, errors = [], []
    for part in ((0, 1), (2,)):
        samples = [Scenes().sample(i) for i in part]
        frames = torch.from_numpy(np.stack([s.frames for s in samples])).float() / 255
        with torch.no_grad():
            explained = iodine(Observation(frames)).decomposition
        labels.append(explained.labels.flatten(0, 1).numpy())
        errors.append((explained.reconstruction - frames).square().sum(2).mean((2, 3)).flatten())
    ids = np.concatenate([Scenes().sample(i).ids for i in range(SCENES)])
    np.testing.assert_allclose(found["mIoU"]["each"][0], mean_iou(np.concatenate(labels), ids).each, rtol=1e-5)
    np.testing.assert_allclose(found["MSE"]["each"][0], torch.cat(errors), rtol=1e-4)
    assert found["MSE"]["mean"] == pytest.approx(3 * found["MSE per channel"]["mean"], rel=1e-4)
    assert found["mIoU greedy"]["mean"] >= found["mIoU"]["mean"]
    assert {row["frames"] for row in found.values()} == {SCENES * VIEWS}
    assert json.dumps(list(found.values()), allow_nan=False)


def test_seeds_give_mean_and_spread():
    found = rows(model("iodine"), seeds=(0, 1, 2))["Sim"]
    assert found["mean"] == pytest.approx(np.mean(found["values"]), abs=1e-5)
    assert found["std"] == pytest.approx(np.std(found["values"], ddof=1), abs=1e-5)
    assert len(found["each"]) == 3
    assert len(set(found["values"])) == 3


def test_equal_slots_are_alike_and_samples_less_so():
    """Before the first refinement all slots share one posterior: their means are equal."""
    iodine = model("iodine", final_decode=False, refinements=1)
    found = rows(iodine)
    assert found["Sim of means"]["mean"] == pytest.approx(1, abs=1e-4)
    assert found["LDS of means"]["mean"] == pytest.approx((1.38365 - 50) * 6, abs=0.01)
    assert found["Sim"]["mean"] < 0.9


def test_duplicates_are_found_in_masks_and_appearance():
    iodine = model("iodine")
    found = rows(iodine)
    samples = [Scenes().sample(i) for i in (0, 1)]
    with torch.no_grad():
        part = iodine(Observation(torch.from_numpy(np.stack([s.frames for s in samples])).float() / 255)).decomposition
    by_hand = takeover(part.masks.flatten(0, 1)[:, :, 0], part.appearance.flatten(0, 1))
    for take, suffix in ((0.5, " at 0.5"), (0.7, ""), (0.9, " at 0.9")):
        expected = duplicates(by_hand, take=take)
        np.testing.assert_array_equal(found[f"duplicates{suffix}"]["each"][0][:4], expected.any)
        np.testing.assert_array_equal(found[f"background split{suffix}"]["each"][0][:4], expected.background)


def test_the_gap_is_that_of_the_models_own_weights(monkeypatch):
    monkeypatch.setattr("scenewise.evaluation.lds.SAMPLES", 60)
    iodine = model("iodine")
    found = rows(iodine, "lds-gap")
    last = torch.from_numpy(Scenes().sample(2).frames).float()[None] / 255
    expected = inference_gap(iodine.log_weights(Observation(last), 60)[""][0])
    for name, values in (
        ("gap", expected.gap),
        ("log p", expected.evidence),
        ("effective samples", expected.effective),
    ):
        np.testing.assert_allclose(found[name]["each"][0][4:], values, rtol=1e-4)
    assert found["gap of 50"]["mean"] > 0


def test_a_model_without_weights_is_told_in_its_row():
    found = rows(model("provide"), "lds-gap")["gap"]
    assert (found["mean"], found["note"]) == (None, "provide does not weigh its samples")
    assert rows(model("provide"), "lds")["mIoU"]["mean"] > 0


def test_it_runs_beside_the_others_but_never_by_default():
    assert not PROTOCOLS.get("lds").default
    made = evaluate(model("iodine"), Scenes(), ["savi", "lds"], videos=SCENES)
    assert [row["protocol"] for row in made[:2]] == ["savi", "savi"]
    assert made[-1]["protocol"] == "lds"
    with pytest.raises(InputError, match=r"lsd: is not a protocol\. Did you mean 'lds'"):
        evaluate(model("iodine"), Scenes(), ["lsd"])


def test_the_hundred_images_are_always_the_same():
    assert subset(100) is None
    first, second = subset(2000), subset(2000)
    assert first.tolist() == second.tolist()
    assert len(set(first.tolist())) == 100
    assert first.max() < 2000


def test_carved_masks_are_not_asked_who_takes_over():
    """MONet's attention leaves a removed slot's pixels to nobody; its decoder's masks are compared instead."""
    monet = model("monet", size=[16, 16])
    found = rows(monet, slots=3)
    part_frames = torch.from_numpy(np.stack([Scenes().sample(i).frames for i in (0, 1)])).float() / 255
    with torch.no_grad():
        part = monet(Observation(part_frames), 3).decomposition
        masks, _ = monet.decode(part.mean.flatten(0, 1))
    expected = duplicates(takeover(masks[:, :, 0], part.appearance.flatten(0, 1)))
    np.testing.assert_array_equal(found["duplicates"]["each"][0][:4], expected.any)
