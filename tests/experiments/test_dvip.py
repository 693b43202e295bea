"""DVIP's table: pairs, divisions, single moving parts and what is told of them, on made-up latents and tiny models."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from scenewise.config import build
from scenewise.data import SOURCES
from scenewise.errors import InputError
from scenewise.experiments import dvip
from scenewise.experiments.dvip import explained, independent, information, pairs, picture, split
from scenewise.metrics import gaussian_information
from scenewise.models.dvip import PRESETS, Dvip, DvipConfig


class Channels(torch.nn.Module):
    """Draws unit 0 of part i on channel `order[i]` of 3, as one pixel."""

    def __init__(self, *order, leak=0.0):
        super().__init__()
        self.order, self.leak = order, leak
        self.register_buffer("progress", torch.zeros(()))

    def draw(self, latents):
        image = torch.zeros(*latents.shape[:-2], 3, 1, 1)
        for part, channel in enumerate(self.order):
            image[..., channel, 0, 0] += latents[..., part, 0]
            image[..., self.order[1 - part], 0, 0] += self.leak * latents[..., part, 0]
        return image


def tiny(**settings):
    torch.manual_seed(0)
    return Dvip(build(DvipConfig, {**PRESETS["tiny"], **settings}, "tiny")).eval()


def walk(clips=40, frames=6, parts=2, units=3, seed=0):
    return np.random.default_rng(seed).standard_normal((clips, frames, parts, units)).astype(np.float32)


def test_pairs_are_consecutive_one_per_clip_and_never_begin_with_the_first_frame():
    samples = (np.arange(200)[:, None] * 100 + np.arange(6)).astype(np.float32)[..., None, None]
    earlier, later = pairs(samples)
    assert earlier.shape == later.shape == (200, 1)
    assert (later - earlier == 1).all()
    assert sorted(set((earlier[:, 0] % 100).tolist())) == [1, 2, 3, 4]
    assert (earlier[:, 0] // 100 == np.arange(200)).all()
    with pytest.raises(InputError, match="at least 3"):
        pairs(samples[:, :2])


def test_one_part_moves_at_a_time():
    samples = walk()
    drawn = independent(Channels(1, 0), samples)
    assert drawn.shape == (4, 40, 5, 3, 1, 1)
    whole, first, second, frozen = drawn[..., 0, 0].numpy()
    assert np.array_equal(whole[..., 1], samples[:, 1:, 0, 0])
    assert np.array_equal(first[..., 1], samples[:, 1:, 0, 0])
    assert np.array_equal(first[..., 0], np.repeat(samples[:, 1:2, 1, 0], 5, 1))
    assert np.array_equal(second[..., 0], samples[:, 1:, 1, 0])
    assert np.array_equal(frozen, np.repeat(frozen[:, :1], 5, 1))
    model = tiny()
    latents = walk(units=4)
    assert torch.allclose(independent(model, latents)[0, :, 2], model.draw(torch.from_numpy(latents[:, 3])), atol=1e-6)


def test_split_is_one_for_single_channels_and_a_half_for_mixed_ones():
    assert split(Channels(0, 1), walk()) == pytest.approx(1)
    assert split(Channels(1, 0), walk()) == pytest.approx(1)
    assert split(Channels(0, 1, leak=1.0), walk()) == pytest.approx(0.5, abs=0.1)
    assert split(Channels(0, 1, leak=0.5), walk(200)) == pytest.approx(0.8, abs=0.03)


def test_explained_finds_which_part_knows_which_place():
    samples = walk(400)
    positions = np.stack([samples[:, :, 1, :2], np.square(samples[:, :, 0, 1:])], 2)  # (N, T, digits, 2)
    found = explained(samples, positions)
    assert found.shape == (2, 2, 2)
    assert found[1, 0] == pytest.approx([1, 1])
    assert found[0, 1] == pytest.approx([1, 1])
    assert np.abs(found[[0, 1], [0, 1]]).max() < 0.05


def test_information_of_parts_and_of_a_latent_without():
    rng = np.random.default_rng(0)
    earlier = rng.standard_normal((400, 8))
    later = 0.9 * earlier + np.sqrt(0.19) * rng.standard_normal(earlier.shape)
    found = information(earlier, later, 4, 4)
    assert found["same"] == pytest.approx(gaussian_information(0.9, 2), abs=0.2)
    assert abs(found["cross"]) < 0.1
    assert (found["same_mean"], found["cross_mean"]) == (found["same"], found["cross"])
    assert found["same_low"] == pytest.approx(found["same"], abs=0.1)
    rotation = np.linalg.qr(rng.standard_normal((8, 8)))[0]
    mixed = later * np.linspace(0.2, 3, 8) @ rotation  # no division of the units is a division of the causes
    entangled = information(earlier * np.linspace(0.2, 3, 8) @ rotation, mixed, None, 2)
    assert entangled["same"] - entangled["cross"] >= entangled["same_mean"] - entangled["cross_mean"]


def test_information_as_the_authors_have_it():
    """Bits of raw units: pooled pairs in order of clips, and for a latent without parts the best of 20 divisions."""
    rng = np.random.default_rng(0)
    latents = rng.standard_normal((300, 6, 2, 2))
    for t in range(1, 6):
        latents[:, t] = 0.9 * latents[:, t - 1] + np.sqrt(0.19) * latents[:, t]
    found = dvip.authors_information(latents, 2)
    assert found["same"] == pytest.approx(gaussian_information(0.9, 2) / np.log(2), abs=0.4)
    assert abs(found["cross"]) < 0.4  # pairs of one clip depend on each other, which raises it
    assert (found["same_mean"], found["cross_mean"], found["pairs"]) == (found["same"], found["cross"], 1000)
    whole = np.concatenate([latents, latents + 0.1 * rng.standard_normal(latents.shape)], 3).reshape(300, 6, 1, 8)
    divided = dvip.authors_information(whole[:60], 2)
    assert divided["pairs"] == 300
    assert divided["same"] - divided["cross"] > divided["same_mean"] - divided["cross_mean"]


def test_a_tiny_model_is_measured_and_shown():
    source = SOURCES.get("moving-mnist-colour")("test", size=16, digit=7)
    rows = {}
    for name, model in (("factored", tiny()), ("entangled", tiny(num_factors=1, latent=8))):
        found = dvip.infer(model, source, 40, 6)
        alone = dvip.infer(model, source, 1, 6)
        np.testing.assert_allclose(found.samples[:1], alone.samples, atol=1e-4)
        rows[name] = dvip.measurements(model, source, found)
        assert json.loads(json.dumps(rows[name])) == rows[name]
        assert (rows[name]["d"], rows[name]["samples"]) == (4, 40)
        assert rows[name]["elbo"] == pytest.approx(
            rows[name]["log_likelihood"] - (rows[name]["kl_first"] + 5 * rows[name]["kl_later"]) / 6, rel=1e-4
        )
    assert sum(rows["factored"]["kl_parts"]) == pytest.approx(1)
    assert 1 / 3 <= rows["factored"]["split"] <= 1
    assert rows["entangled"]["split"] is None
    experiment = SimpleNamespace(published={"factored": {"elbo": -2902, "same": 4.61, "cross": 0.75}})
    results = [
        SimpleNamespace(
            cell=SimpleNamespace(model=name, data="d", variant="plain", seed=seed),
            scores={"measured": {**row, "dead": dead}},
        )
        for name, row in rows.items()
        for seed, dead in ((0, []), (1, [1] if name == "factored" else []))
    ]
    shown = dvip.show(experiment, results)
    assert "part [1] is dead" in shown.text
    lines = {tuple(cell.strip() for cell in line.split("|")[1:3]): line.split("|") for line in shown.text.split("\n")}
    head = [cell.strip() for cell in shown.text.split("\n")[0].split("|")]
    bits = head.index("same, bits")
    paper = [cell.strip() for cell in lines["factored", "paper"]]
    assert paper[bits : bits + 3] == ["4.61", "0.75", "0.16"]  # and not beside our nats
    assert paper[head.index("same")] == ""
    ours = [cell.strip() for cell in lines["factored", "0"]]
    assert ours[bits] == f"{rows['factored']['authors']['same']:.2f}"
    assert lines["factored", "all"][bits].split()[0] == ours[bits]
    assert "the last 200 pooled pairs" in shown.text
    for result in results:
        result.scores["measured"].pop("authors")  # as measured before
    assert "4.61" in dvip.show(experiment, results).text
    assert "where the truth is 0.83" in shown.text
    assert f"{rows['factored']['elbo']:.1f} (1)" in shown.text  # the mean leaves the dead run out
    assert set(shown.figures) == {"correlation-factored", "correlation-entangled"}
    assert dvip.show(experiment, [SimpleNamespace(scores={})]).figures == {}


def test_only_digits_that_are_known_count_as_apart():
    row = {"dead": [], "split": 0.9, "explained": [[[0.9, 0.7], [0.1, 0.0]], [[0.0, 0.1], [0.6, 0.8]]]}
    assert dvip.is_apart(row)
    missed = {**row, "explained": [[[0.9, 0.7], [0.1, 0.0]], [[0.8, 0.8], [0.2, 0.3]]]}
    assert dvip.missing_digits(missed) == [1]
    for wrong in (missed, {**row, "dead": [1]}, {**row, "split": 0.7}, {**row, "split": None}):
        assert not dvip.is_apart(wrong)


def test_pictures():
    drawn = torch.zeros(3, 2, 5, 1, 4, 4)
    drawn[1, 0, 2] = 1.0
    whole = picture(drawn)[::2, ::2]  # each pixel is drawn as 2 x 2
    assert whole.shape == (2 * 3 * 6, 5 * 6, 3)
    assert whole[6:10, 12:16].min() == 255  # second row of the first clip, third frame
    assert whole[:4, :4].max() == whole[18:22, 12:16].max() == 0


def released(model, seed, split, elbo=1290.0):
    shares = [[[0.9, 0.9], [0.1, 0.1]], [[0.1, 0.1], [0.9, 0.9]]]
    return {"model": model, "seed": seed, "split": split, "elbo": elbo, "dead": [], "explained": shares}


def test_what_becomes_of_digits_that_were_held_apart():
    rows = [
        released("factored-shipped", 0, 0.52),
        released("factored-held", 0, 0.97),
        released("factored-released", 0, 0.95),
        released("factored-held", 1, 0.96),
        released("factored-released", 1, 0.55),
        released("factored-held", 2, 0.6),
        released("factored-held", 3, 0.9),
        released("factored-held", 4, 0.98),
        released("factored-released", 4, 0.82),
    ]
    lines = dvip.table_of_release(rows).splitlines()
    assert [line.split("|")[-2].strip() for line in lines[5:]] == [
        "and stay", "and mix again", "were not, so it tells nothing", "not released yet",
        "and drift together",
    ]  # fmt: skip
    assert "0.52, 1290.0" in lines[5]
    assert dvip.table_of_release(rows[:1]) == ""


def test_a_street_has_no_digits():
    source = SOURCES.get("avenue")("test", size=16, frames=6)
    model = tiny(num_factors=8, latent=2, size=[16, 16])
    facts = dvip.measurements(model, source, dvip.infer(model, source, 24, 5))
    assert facts["split"] is None
    assert facts["explained"] is None
    row = {**facts, "model": "factored", "seed": 0}
    assert dvip.missing_digits(row) == []
    assert not dvip.is_apart(row)
    entangled = tiny(num_factors=1, latent=16, size=[16, 16])
    assert dvip.measurements(entangled, source, dvip.infer(entangled, source, 24, 5))["d"] == 2


@pytest.mark.parametrize(("parts", "rows"), [(2, 4 * 3), (8, 9)])
def test_the_picture_shows_each_part_alone(parts, rows):
    source, model = SOURCES.get("avenue")("test", size=16, frames=10), tiny(num_factors=parts, size=[16, 16])
    folder = SimpleNamespace(cell=SimpleNamespace(seed=0, name="x"), source=lambda: source)
    drawn = dvip.pictures(folder, SimpleNamespace(model=model))["independent"]
    assert drawn.shape == (rows * 18 * 2, 9 * 18 * 2, 3)
    folder.cell.seed = 1
    assert dvip.pictures(folder, SimpleNamespace(model=model)) == {}
