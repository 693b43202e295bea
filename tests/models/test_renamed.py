"""Settings under old names: what version 1 of model folders held builds the settings of today, and back.

The files in tests/data/format1 were written by the code before settings were nested: the settings of every model that
ships, all settings of every preset, the models' fingerprints, and a run of `provide-tiny-staged` after its first stage.
Those in tests/data/format2 were written before inputs, budgets, priors and predictions had groups.
"""

import json
import warnings
from pathlib import Path

import pytest

from scenewise.checkpoint import CONFIG, find, load_model, read_config, shipped
from scenewise.config import build, plain
from scenewise.errors import InputError, RenamedSettingWarning
from scenewise.models import MODELS
from scenewise.models.renamed import RENAMED, current, original

FORMAT1 = Path(__file__).parents[1] / "data" / "format1"
WEIGHTS, PRESETS, FINGERPRINTS = (
    json.loads((FORMAT1 / f"{name}.json").read_text()) for name in ("weights", "presets", "fingerprints")
)
FORMAT2 = Path(__file__).parents[1] / "data" / "format2"
WEIGHTS2, PRESETS2 = (json.loads((FORMAT2 / f"{name}.json").read_text()) for name in ("weights", "presets"))


@pytest.mark.parametrize("name", WEIGHTS)
def test_shipped_models_have_the_settings_that_format_1_had(name: str) -> None:
    kind = MODELS.get(WEIGHTS[name]["model"]).config_class
    kept = read_config(find(name))
    assert kept["model"] == WEIGHTS[name]["model"]
    old = build(kind, current(kept["model"], WEIGHTS[name]["config"]), "format 1")
    assert build(kind, kept["config"], "today") == old
    assert load_model(name).model.config == old


def test_every_shipped_model_is_among_them_and_is_the_same_model() -> None:
    assert set(FINGERPRINTS) == set(WEIGHTS) <= set(shipped())
    assert {name: load_model(name).fingerprint for name in FINGERPRINTS} == FINGERPRINTS


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_what_they_were(name: str) -> None:
    cls = MODELS.get(name)
    assert set(PRESETS[name]) <= set(cls.presets)
    for preset, flat in PRESETS[name].items():
        assert build(cls.config_class, cls.presets[preset], preset) == build(
            cls.config_class, current(name, flat), preset
        )


@pytest.mark.parametrize("name", PRESETS)
def test_the_way_back_gives_the_old_settings_word_for_word(name: str) -> None:
    cls = MODELS.get(name)
    defaults = plain(cls.config_class())
    for preset, flat in PRESETS[name].items():
        settings = plain(build(cls.config_class, cls.presets[preset], preset))
        assert json.loads(json.dumps(original(name, settings, defaults))) == flat
    assert set(RENAMED.get(name, {})) <= set(PRESETS[name]["paper"])  # no name that never was


def test_what_has_no_old_name_tells_models_apart_only_where_it_is_not_the_default() -> None:
    config = MODELS.get("provide").config_class
    defaults = plain(config())
    other = build(config, {"decoder": {"kernel": 5}, "encoder": {"groups": 8}}, "test")
    flat = json.loads(json.dumps(original("provide", plain(other), defaults)))
    assert flat == PRESETS["provide"]["paper"] | {"decoder.kernel": 5, "encoder.groups": 8}


@pytest.mark.parametrize(("name", "preset"), [(name, preset) for name in PRESETS2 for preset in PRESETS2[name]])
def test_presets_are_what_they_were_in_format_2(name: str, preset: str) -> None:
    cls, old = MODELS.get(name), PRESETS2[name][preset]
    today = build(cls.config_class, cls.presets[preset], preset)
    assert build(cls.config_class, current(name, old), preset) == today
    defaults = plain(cls.config_class())
    flat = {key: value for key, value in old.items() if not isinstance(value, dict)}  # what had no group then
    assert flat.items() <= json.loads(json.dumps(original(name, plain(today), defaults))).items()


@pytest.mark.parametrize("name", WEIGHTS2)
def test_a_folder_of_format_2_is_read(name: str, tmp_path: Path) -> None:
    for file in find(name).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps(config | {"format": 2, "config": WEIGHTS2[name]["config"]}))
    old, today = load_model(tmp_path), load_model(name)
    assert (old.model.config, old.fingerprint) == (today.model.config, today.fingerprint)


@pytest.mark.parametrize(
    ("model", "old", "new"),
    [
        ("provide", {"decoder": "coarse"}, {"decoder": {"kind": "coarse"}}),
        ("provide", {"groups": 8}, {"decoder": {"groups": 8}, "encoder": {"groups": 8}}),
        ("provide", {"decoder": {"kind": "coarse"}, "decoder_factor": 8}, {"decoder": {"kind": "coarse", "factor": 8}}),
        ("iodine", {"code_layers": 2, "latent": 4}, {"encoder": {"code_layers": 2}, "latent": 4}),
        ("monet", {"decoder": "broadcast", "latent": 4}, {"decoder": {"kind": "unpadded"}, "latent": 4}),
        ("monet", {"activation": "elu"}, {"encoder": {"activation": "elu"}, "decoder": {"activation": "elu"}}),
        ("genesis", {"norm": "group", "code": 64}, {"gated": {"norm": "group"}, "encoder": {"hidden": 64}}),
        ("vae", {"encoder": "pooled", "lds_weight": 1}, {"encoder": {"kind": "gap"}, "lds_weight": 1}),
        ("provide", {"leave_one_out": False}, {"inputs": {"left_out": ["leave_one_out"]}}),
        ("provide", {"grid": "full", "predict_z": "initial"},
         {"budget": {"grid": "full"}, "prediction": {"latent": "initial"}}),
        ("provide-windows", {"leave_one_out": True, "decoder": {"patch": 8}},
         {"inputs": {"left_out": []}, "decoder": {"patch": 8}}),
        ("mulmon", {"projection": 64, "max_observed": 3}, {"projection": {"hidden": 64}, "views": {"most": 3}}),
        ("dvip", {"predict_z": "prior_mean"}, {"predict_z": "prior_mean"}),
        ("dvip", {"norm": "group"}, {"norm": "group"}),
        ("a-plugin", {"decoder": "coarse"}, {"decoder": "coarse"}),
    ],
)  # fmt: skip
def test_old_names_become_names_of_today(model: str, old: dict, new: dict) -> None:
    assert current(model, old) == new
    assert current(model, new) == new


def test_a_warning_tells_the_new_name_where_it_is_asked_for() -> None:
    with pytest.warns(RenamedSettingWarning, match=r"x\.decoder_factor=8 is now written x\.decoder\.factor=8"):
        current("provide", {"decoder_factor": 8}, "x.")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        current("provide", {"decoder_factor": 8})
        current("provide", {"decoder": {"factor": 8}}, "x.")


def test_a_folder_of_format_1_is_read_and_old_words_replace_its_settings(tmp_path: Path) -> None:
    name = "provide-balls-colour"
    folder = tmp_path / "old"
    folder.mkdir()
    for file in find(name).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config | {"format": 1, "config": WEIGHTS[name]["config"]}))
    old, today = load_model(folder), load_model(name)
    assert (old.model.config, old.fingerprint) == (today.model.config, today.fingerprint)
    with pytest.warns(RenamedSettingWarning, match=r"duplicates\.weight=2\.0"):
        assert load_model(folder, lds_weight=2.0).model.config.duplicates.weight == 2.0
    (folder / CONFIG).write_text(json.dumps(config | {"format": 1, "config": {"decoder_factr": 8}}))
    with pytest.raises(InputError, match="unknown key decoder_factr"):
        load_model(folder)
