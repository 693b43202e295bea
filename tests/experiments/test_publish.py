"""Publishing keeps weights and takes only scores of the very model."""

import json

import pytest
import torch

from scenewise.checkpoint import Card, load_model, save_model
from scenewise.config import build
from scenewise.errors import InputError
from scenewise.experiments import publish as module
from scenewise.models import MODELS


def evaluation(fingerprint: str) -> dict:
    row = {"protocol": "provide", "metric": "F-ARI", "mean": 0.9, "std": None, "values": [0.9], "videos": 4}
    return {
        "model": {"fingerprint": fingerprint},
        "data": {"source": "balls-colour", "split": "test", "settings": ["max_balls=6"]},
        "frames": 20,
        "seeds": [0],
        "slots": 3,
        "refinements": 3,
        "scores": [row, row | {"metric": "last", "mean": None}],
    }


def test_cards_do_not_say_where_files_lie():
    told = evaluation("any")
    told["data"]["settings"] = ["size=32", "test_images=/home/me/t10k.gz", "path=/data/x.h5"]
    assert module.scores_of(told)[0].data.endswith("K 3, R 3, size=32")


def test_scores_of_this_model_enter_its_card(tmp_path, monkeypatch):
    made = MODELS.get("provide")
    folder = save_model(
        made(build(made.config_class, made.presets["tiny"], "tiny")), tmp_path / "run", Card(name="run", hours=0.5)
    )
    monkeypatch.setattr(module.importlib.resources, "files", lambda _: tmp_path)
    loaded, file = load_model(folder), tmp_path / "scores.json"
    file.write_text(json.dumps(evaluation(loaded.fingerprint)))
    published = load_model(module.publish(folder, "ships", [file], ["Fails in fog."]))
    earlier = [{"measure" if key == "metric" else key: v for key, v in row.items()} for row in evaluation("")["scores"]]
    assert module.scores_of(evaluation("") | {"scores": earlier}) == module.scores_of(evaluation(""))
    assert [(s.metric, s.value, s.videos) for s in published.card.scores] == [("F-ARI", 0.9, 4)]
    told = published.card.scores[0].data
    assert "test split, 20 frames" in told
    assert told.endswith("K 3, R 3, max_balls=6")
    assert (published.card.name, published.card.hours) == ("ships", 0.5)
    assert published.card.limitations == ("Fails in fog.",)
    for a, b in zip(loaded.model.parameters(), published.model.parameters(), strict=True):
        assert torch.equal(a, b)
    file.write_text(json.dumps(evaluation("another")))
    with pytest.raises(InputError, match="another"):
        module.publish(folder, "ships", [file], [])


def test_validated_refinements_are_among_the_evaluations(tmp_path, monkeypatch):
    made = MODELS.get("provide")
    folder = save_model(
        made(build(made.config_class, made.presets["tiny"], "tiny")), tmp_path / "run", Card(name="run")
    )
    monkeypatch.setattr(module.importlib.resources, "files", lambda _: tmp_path)
    files = [tmp_path / "three.json", tmp_path / "nine.json"]
    for file, refinements in zip(files, (3, 9), strict=True):
        file.write_text(json.dumps(evaluation(load_model(folder).fingerprint) | {"refinements": refinements}))
    shipped = module.publish(folder, "ships", files, [], (3, 9))
    assert load_model(shipped).card.validated.refinements == (3, 9)
    assert "| validated refinements | 3 to 9 |" in (shipped / "README.md").read_text()
    with pytest.raises(InputError, match="no evaluation with 9"):
        module.publish(folder, "ships", files[:1], [], (3, 9))
