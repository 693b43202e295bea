"""scenewise sample: new scenes, whole or not at all."""

import json

import numpy as np
import pytest
from PIL import Image

from scenewise.checkpoint import Card


@pytest.fixture(scope="module")
def genesis(untrained):
    """Folder of an untrained GENESIS."""
    return untrained("genesis", Card(name="tiny-genesis"))


def test_scenes_are_written_with_their_slots(scenewise, genesis, tmp_path):
    code, out, _ = scenewise("sample", genesis, "--count", 3, "--seed", 5, "--out", tmp_path / "out")
    assert code == 0
    assert "3 scenes of 3 slots, seed 5" in out
    with np.load(tmp_path / "out" / "samples.npz") as arrays:
        images, masks, appearance = arrays["images"], arrays["masks"], arrays["appearance"]
    assert masks.shape == (3, 3, 16, 16)
    assert appearance.shape == (3, 3, 16, 16, 3)
    np.testing.assert_allclose(masks.sum(1), 1, atol=1e-5)
    composed = np.einsum("nkhw,nkhwc->nhwc", masks, appearance)
    assert np.abs(images / 255 - composed).max() <= 0.5 / 255 + 1e-6
    sheet = np.asarray(Image.open(tmp_path / "out" / "samples.png"))
    assert sheet.shape == (3 * 2 * 2 * 18, (1 + 3) * 2 * 18, 3)  # two rows a scene, pixels and gaps doubled
    np.testing.assert_array_equal(sheet[:32:2, :32:2], images[0])
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / "images" / "00002.png")), images[2])
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (record["count"], record["slots"], record["seed"], record["model"]["name"]) == (3, 3, 5, "tiny-genesis")


def test_the_same_seed_gives_the_same_scenes_however_many(scenewise, genesis, tmp_path):
    found = []
    for name, count, seed in (("a", 2, 1), ("b", 4, 1), ("c", 2, 2)):
        assert scenewise("sample", genesis, "--count", count, "--seed", seed, "--out", tmp_path / name)[0] == 0
        with np.load(tmp_path / name / "samples.npz") as arrays:
            found.append(arrays["appearance"][:2])
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)
    assert not np.allclose(found[0], found[2], atol=1e-3)


def test_the_number_of_slots_can_be_chosen(scenewise, genesis, tmp_path):
    assert scenewise("sample", genesis, "--count", 1, "--slots", 5, "--out", tmp_path / "out")[0] == 0
    with np.load(tmp_path / "out" / "samples.npz") as arrays:
        assert arrays["masks"].shape[1] == 5


def test_results_are_replaced_only_when_asked(scenewise, genesis, tmp_path):
    words = ("sample", genesis, "--count", 1, "--out", tmp_path / "out")
    assert scenewise(*words)[0] == 0
    code, _, err = scenewise(*words)
    assert code == 2
    assert "not empty" in err
    assert scenewise(*words, "--overwrite")[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--count", 0), "count"),
        (("--count", 5000), "1024"),
        (("--seed", -1), "seed"),
        (("--slots", 0), "slots"),
        (("--refinements", 3), "does not refine"),
        (("--device", "tpu"), "device"),
    ],
)
def test_what_cannot_be_is_told_and_nothing_is_written(scenewise, genesis, tmp_path, words, message):
    code, _, err = scenewise("sample", genesis, *words, "--out", tmp_path / "out")
    assert code == 2
    assert message in err
    assert not (tmp_path / "out").exists()


def test_models_without_a_prior_over_scenes_say_which_have_one(scenewise, model, tmp_path):
    code, _, err = scenewise("sample", model, "--out", tmp_path / "out")
    assert code == 2
    assert "provide cannot make up scenes" in err
    assert "genesis" in err
    assert not (tmp_path / "out").exists()
