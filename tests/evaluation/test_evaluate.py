"""Several numbers of a setting give one row each; NLL and KL are those of the decomposition."""

import numpy as np
import pytest
import torch

from scenewise.config import build
from scenewise.data.contract import SOURCES
from scenewise.errors import InputError
from scenewise.evaluation.evaluate import evaluate
from scenewise.metrics import adjusted_rand_index
from scenewise.models.contract import MODELS
from scenewise.observation import Observation

VIDEOS, FRAMES = 3, 4


def model(name, **settings):
    torch.manual_seed(0)
    made = MODELS.get(name)
    return made(build(made.config_class, {**made.presets["tiny"], **settings}, "tiny")).eval()


@pytest.fixture(scope="module")
def source():
    return SOURCES.get("balls-colour")("test", size=16, max_balls=2, min_balls=2, frames=FRAMES)


def by(rows, **keys):
    """Return the one row that has some values."""
    (row,) = [row for row in rows if all(row[key] == value for key, value in keys.items())]
    return row


@pytest.mark.parametrize("name", ["provide", "iodine", "seq-iodine"])
def test_a_row_for_each_number_equals_an_evaluation_of_its_own(source, name):
    found = model(name)
    asked = {"videos": VIDEOS, "batch": 2, "seeds": (0, 1)}
    rows = evaluate(found, source, ["provide", "savi", "bound"], frames=[2, 4], slots=[3, 4], **asked)
    assert len({(row["length"], row["slots"], row["protocol"], row["metric"]) for row in rows}) == len(rows)
    for length, slots in ((2, 3), (4, 4)):
        for alone in evaluate(found, source, ["provide", "savi", "bound"], frames=length, slots=slots, **asked):
            keys = {key: alone[key] for key in ("protocol", "metric", "length", "slots")}
            together = by(rows, **keys)
            assert together.keys() == alone.keys()
            assert together["values"] == pytest.approx(alone["values"], rel=1e-5, abs=1e-9)


def test_refinements_and_videos_may_be_several_too(source):
    rows = evaluate(model("iodine"), source, ["provide"], frames=1, refinements=[1, 2], videos=[2, 3])
    assert {(row["refinements"], row["videos"]) for row in rows} == {(1, 2), (1, 3), (2, 2), (2, 3)}
    assert (
        by(rows, metric="MSE", refinements=1, videos=2)["mean"]
        != by(rows, metric="MSE", refinements=2, videos=2)["mean"]
    )


def test_nll_and_kl_are_nats_per_frame(source):
    found = model("iodine")
    rows = evaluate(found, source, ["bound"], frames=2, videos=VIDEOS, batch=VIDEOS)
    clips = np.stack([source.sample(i, 0, 2).frames for i in range(VIDEOS)])
    with torch.no_grad():
        part = found(Observation(torch.from_numpy(clips).float() / 255), seed=0).decomposition
    log_density = torch.distributions.Normal(part.appearance, found.config.sigma).log_prob(
        torch.from_numpy(clips).float()[:, :, None] / 255
    )
    log_mixed = (part.masks.log()[:, :, :, 0] + log_density.sum(3)).logsumexp(2).sum((2, 3))
    assert by(rows, metric="NLL")["mean"] == pytest.approx(-float(log_mixed.mean()), rel=1e-4)
    q = torch.distributions.Normal(part.mean, (part.log_variance / 2).exp())
    p = torch.distributions.Normal(torch.zeros_like(part.mean), torch.ones_like(part.mean))
    kl = torch.distributions.kl_divergence(q, p).sum((2, 3))
    assert by(rows, metric="KL")["mean"] == pytest.approx(float(kl.mean()), rel=1e-4)
    assert by(rows, metric="KL")["each"][0] == pytest.approx(kl.mean(1).tolist(), rel=1e-4)
    assert by(rows, metric="ELBO")["mean"] == pytest.approx(float((log_mixed - kl).mean()), rel=1e-4)


def test_each_video_has_its_score(source):
    found = model("iodine")
    row = by(evaluate(found, source, ["provide"], frames=2, videos=VIDEOS, batch=VIDEOS), metric="ARI")
    samples = [source.sample(i, 0, 2) for i in range(VIDEOS)]
    clips = np.stack([sample.frames for sample in samples])
    with torch.no_grad():
        part = found(Observation(torch.from_numpy(clips).float() / 255), seed=0).decomposition
    each = adjusted_rand_index(part.labels.numpy(), np.stack([sample.ids for sample in samples])).each
    assert row["each"][0] == pytest.approx(each.reshape(VIDEOS, 2).mean(1).tolist(), abs=1e-5)
    assert row["mean"] == pytest.approx(float(np.mean(row["each"][0])), abs=1e-5)


def test_progress_reaches_its_total_and_what_cannot_be_is_told(source):
    seen = []
    evaluate(
        model("provide"), source, ["savi", "lds"], videos=2, frames=[1, 3], slots=[3, 4],
        progress=lambda *told: seen.append(told),
    )  # fmt: skip
    assert seen[-1][0] == seen[-1][1] == 2 * 2 * (3 + 1 + 3)
    for wrong in ({"frames": [1, 9]}, {"videos": []}, {"seeds": ()}):
        with pytest.raises(InputError):
            evaluate(model("provide"), source, ["savi"], **{"videos": 2, **wrong})
    with pytest.raises(InputError, match="Did you mean 'bound'"):
        evaluate(model("provide"), source, ["bond"])


@pytest.mark.parametrize("name", ["provide", "iodine", "seq-iodine"])
def test_labels_follow_responsibilities_or_masks(source, name):
    found = model(name)
    clips = np.stack([source.sample(i, 0, FRAMES).frames for i in range(VIDEOS)])
    with torch.no_grad():
        part = found(Observation(torch.from_numpy(clips).float() / 255), seed=0).decomposition
    log_density = torch.distributions.Normal(part.appearance, found.config.sigma).log_prob(
        torch.from_numpy(clips).float()[:, :, None] / 255
    )
    shares = (part.masks.log() + log_density.sum(3, keepdim=True)).softmax(2)  # m_k N_k / sum_j m_j N_j
    torch.testing.assert_close(part.responsibilities, shares, atol=1e-4, rtol=1e-3)
    owners = {"responsibility": shares, "masks": part.masks}
    ids = np.stack([source.sample(i, 0, FRAMES).ids for i in range(VIDEOS)])
    for labels, owner in owners.items():
        rows = evaluate(found, source, ["savi"], videos=VIDEOS, batch=VIDEOS, labels=labels)
        expected = adjusted_rand_index(owner[:, :, :, 0].argmax(2).numpy(), ids, scope="video").mean
        assert by(rows, metric="ARI")["mean"] == pytest.approx(expected, abs=1e-6)
        assert {row["labels"] for row in rows} == {labels}


class Compressed:
    """A source whose frames a codec has left a little beside black and white."""

    def __init__(self, source):
        self.source = source

    def __getattr__(self, name):
        return getattr(self.source, name)

    def __len__(self):
        return len(self.source)

    def batch(self, *words):
        frames, ids = self.source.batch(*words)
        return np.where(frames > 127, np.uint8(251), np.uint8(2)), ids


def test_frames_cut_at_half_are_told_once(recwarn):
    source = SOURCES.get("balls-binary")("test", size=28, channels=1, max_balls=2, min_balls=2, frames=FRAMES)
    rnem = model("rnem", size=[28, 28], grey="refuse")
    exact = evaluate(rnem, source, ["savi"], videos=3, batch=1)
    assert not recwarn.list
    with pytest.warns(UserWarning, match="nearly black and white, as compressed ones are") as told:
        rows = evaluate(rnem, Compressed(source), ["savi"], videos=3, batch=1)
    assert len(told) == 1
    assert rows == exact
