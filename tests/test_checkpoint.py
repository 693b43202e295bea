"""Model folders: round trip, and everything that can be wrong with one."""

import hashlib
import json
import os
import pickle
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from scenewise import checkpoint, model_folders
from scenewise.checkpoint import Card, Reference, Score, as_device, load_model, save_model, shipped
from scenewise.config import build
from scenewise.errors import InputError
from scenewise.models import MODELS
from scenewise.observation import Observation

CARD = Card(
    name="small",
    summary="Takes nothing apart",
    scores=(Score("provide", "F-ARI", "balls | test", 0.5, 0.4, 0.6, 200),),
    validated=Reference(0.001, 0.004, "balls", "mean over frames"),
    seeds=(0, 1),
    limitations=("Everything",),
)


@pytest.fixture(scope="module")
def model():
    provide = MODELS.get("provide")
    return provide(build(provide.config_class, provide.presets["tiny"], "tiny"))


@pytest.fixture
def folder(model, tmp_path):
    return save_model(model, tmp_path / "small", CARD)


def change(folder, **values):
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def test_round_trip_keeps_weights_settings_card_and_outputs(model, folder):
    loaded = load_model(folder)
    assert loaded.card == CARD
    assert loaded.model.config == model.config
    assert not loaded.model.training
    assert all(torch.equal(t, loaded.model.state_dict()[n]) for n, t in model.state_dict().items())
    observation = Observation(torch.rand(1, 2, 3, 16, 16))
    with torch.no_grad():
        assert torch.equal(model(observation).decomposition.masks, loaded.model(observation).decomposition.masks)


def test_fingerprint_is_stable_and_follows_settings_and_weights(model, folder, tmp_path):
    first = load_model(folder).fingerprint
    assert load_model(shutil.copytree(folder, tmp_path / "copy")).fingerprint == first
    assert load_model(folder, slots=7).fingerprint != first
    tensors = load_file(folder / "model.safetensors")
    tensors["initial"] += 1
    save_file(tensors, folder / "model.safetensors")
    change(folder, weights_sha256=hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest())
    assert load_model(folder).fingerprint != first


def test_loading_leaves_the_random_state_alone(folder):
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    load_model(folder)
    assert torch.equal(torch.rand(4), expected)


def test_settings_can_be_replaced(folder):
    assert load_model(folder, slots=9, refinements=2).model.config.slots == 9
    with pytest.raises(InputError, match=r"slts.*'slots'"):
        load_model(folder, slts=9)
    with pytest.raises(InputError, match=r"allowed range \[1, 256\]"):
        load_model(folder, slots=0)


def test_saving_again_replaces_the_folder_and_leaves_nothing_behind(model, folder):
    save_model(model, folder, Card(name="second"))
    assert load_model(folder).card.name == "second"
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert [p.name for p in folder.parent.iterdir()] == ["small"]


def test_a_process_that_died_between_two_renames_is_repaired(model, folder):
    folder.rename(folder.with_name(".small.previous"))
    save_model(model, folder, Card(name="second"))
    assert [p.name for p in folder.parent.iterdir()] == ["small"]


def test_a_folder_with_other_files_is_not_replaced(model, tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(InputError, match="not a model folder"):
        save_model(model, tmp_path, CARD)
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_nothing_is_half_written_when_writing_fails(model, folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_atomically", full)
    with pytest.raises(InputError, match="no space left"):
        save_model(model, folder, Card(name="second"))
    assert load_model(folder).card.name == "small"
    assert [p.name for p in folder.parent.iterdir()] == ["small"]


def test_the_card_is_told_in_words(model, folder):
    text = (folder / "README.md").read_text()
    for fact in (
        "# small",
        f"{sum(p.numel() for p in model.parameters()):,}",
        "0.5000 (0.4000 to 0.6000)",
        "balls \\| test, 200 videos",
        "- Everything",
    ):
        assert fact in text


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"format": 4}, "Upgrade"),
        ({"format": "1"}, "whole number"),
        ({"model": "provid"}, "Did you mean 'provide'"),
        ({"model": 3}, "must be a name"),
        ({"config": {"slts": 3}}, "Did you mean 'slots'"),
        ({"config": {"slots": 1000}}, r"slots is 1000; allowed range \[1, 256\]"),
        ({"config": {"slots": "many"}}, "of type int"),
        ({"config": {"size": [15, 16]}}, "divisible"),
        ({"config": []}, "must be a mapping"),
        ({"card": {"nme": ""}}, "Did you mean 'name'"),
        ({"card": {"scores": [{"metrc": 1}]}}, "Did you mean 'metric'"),
        ({"weights": 1}, "unknown key 'weights'"),
    ],
)
def test_a_wrong_config_is_refused(folder, values, message):
    change(folder, **values)
    with pytest.raises(InputError, match=message):
        load_model(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "\x00\xff", '{"format": 1}'])
def test_an_unreadable_config_is_refused(folder, content):
    (folder / "config.json").write_text(content)
    with pytest.raises(InputError, match=r"config\.json"):
        load_model(folder)


def missing(tensors):
    del tensors["initial"]


def extra(tensors):
    tensors["more"] = torch.zeros(2)


def misshapen(tensors):
    tensors["initial"] = torch.zeros(3)


def whole_numbers(tensors):
    tensors["initial"] = tensors["initial"].long()


def not_a_number(tensors):
    tensors["initial"][0] = float("nan")


def infinite(tensors):
    tensors["initial"][0] = float("inf")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (missing, "'initial' is missing"),
        (extra, "'more' is not one"),
        (misshapen, r"must be \(16,\) float32; found \(3,\) float32"),
        (whole_numbers, "int64"),
        (not_a_number, "'initial' holds NaN"),
        (infinite, "'initial' holds NaN or infinite"),
    ],
)
def test_wrong_tensors_are_refused(folder, spoil, message):
    tensors = load_file(folder / "model.safetensors")
    spoil(tensors)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(InputError, match=message) as caught:
        load_model(folder)
    assert "model.safetensors" in str(caught.value)


class Bomb:
    def __reduce__(self):
        return (os.abort, ())


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_pickle_under_the_name_of_safetensors_is_not_opened(folder, protocol):
    (folder / "model.safetensors").write_bytes(pickle.dumps(Bomb(), protocol=protocol))
    with pytest.raises(InputError, match="is a pickle"):
        load_model(folder)


def test_a_torch_archive_under_the_name_of_safetensors_is_not_opened(folder):
    torch.save({"initial": torch.zeros(2)}, folder / "model.safetensors")
    with pytest.raises(InputError, match="is a pickle"):
        load_model(folder)


@pytest.mark.parametrize("name", ["model.pt", "pytorch_model.bin", "last.ckpt"])
def test_a_pickle_in_place_of_safetensors_is_not_opened(folder, name):
    (folder / "model.safetensors").rename(folder / name)
    with pytest.raises(InputError, match="is a pickle") as caught:
        load_model(folder)
    assert name in str(caught.value)
    with pytest.raises(InputError, match="is a pickle"):
        load_model(folder / name)


@pytest.mark.parametrize("content", [b"", b"1234567", b"\xff" * 64, b"\x10" + b"\x00" * 7 + b"{not json at all"])
def test_damaged_safetensors_are_refused(folder, content):
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"not a whole safetensors file|an empty file"):
        load_model(folder)


def test_truncated_safetensors_are_refused(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InputError, match="not a whole safetensors file"):
        load_model(folder)


def test_places_that_hold_no_model_are_refused(folder, tmp_path):
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"has no model\.safetensors"):
        load_model(folder)
    with pytest.raises(InputError, match=r"has no config\.json"):
        load_model(tmp_path)
    with pytest.raises(InputError, match="Give the folder"):
        load_model(folder / "config.json")
    with pytest.raises(InputError, match="neither a model that ships nor a folder"):
        load_model("no-such-model")


def test_shipped_models_are_found_by_name(model, monkeypatch, tmp_path):
    monkeypatch.setattr(model_folders, "weights_folder", lambda: tmp_path)
    save_model(model, tmp_path / "provide-small", CARD)
    assert shipped() == ["provide-small"]
    assert load_model("provide-small").path == tmp_path / "provide-small"
    with pytest.raises(InputError, match="Did you mean 'provide-small'"):
        load_model("provide-smal")


def test_every_shipped_model_loads_and_is_small():
    for name in shipped():
        loaded = load_model(name)
        assert loaded.card.name == name
        assert (loaded.path / "model.safetensors").stat().st_size <= 12 * 2**20


def test_devices():
    assert as_device("cpu").type == "cpu"
    assert as_device("auto").type in ("cpu", "cuda")
    with pytest.raises(InputError, match="not a device"):
        as_device("gpu")
    with pytest.raises(InputError, match="not there"):
        as_device("cuda:99")


def test_how_a_model_was_computed_is_not_kept(tmp_path):
    made = MODELS.get("provide")
    config = build(made.config_class, made.presets["tiny"] | {"recompute": True, "bf16_convolutions": True}, "tiny")
    loaded = load_model(save_model(made(config), tmp_path / "kept", Card(name="kept")))
    assert not loaded.model.config.recompute
    assert not loaded.model.config.bf16_convolutions
    assert load_model(tmp_path / "kept", bf16_convolutions=True).fingerprint == loaded.fingerprint
