import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from scenewise.checkpoint import load_model
from scenewise.data.contract import SOURCES
from scenewise.errors import InputError
from scenewise.evaluation.evaluate import evaluate
from scenewise.experiments import experiment as experiments
from scenewise.experiments.cell_folder import CellFolder, State
from scenewise.training.reporter import Reporter
from scenewise.training.run import train


@pytest.fixture
def cell(table):
    return experiments.load(table(), "smoke").cells[0]


def weights(folder):
    return load_file(folder.run.model / "model.safetensors")


def test_a_cell_is_trained_scored_and_then_left_alone(cell, tmp_path):
    folder = CellFolder(cell, tmp_path / "out")
    assert folder.state() == State(0, 4, 0, 2, False)
    folder.check()
    assert not folder.path.exists()
    assert folder.train(Reporter()).step == 4
    assert folder.state() == State(4, 4, 0, 2, True)
    assert folder.train(Reporter()) is None
    seen = []
    assert folder.score(progress=lambda *told: seen.append(told)) == 2
    assert {protocol for protocol, *_ in seen} == {"savi", "lds"}
    assert folder.state().scored == 2
    kept = (folder.path / "scores.json").read_text()
    assert folder.score() == 0
    assert (folder.path / "scores.json").read_text() == kept
    protocols = [row["protocol"] for done in folder.scores()["scores"] for row in done["rows"]]
    assert set(protocols) == {"savi", "lds"}


def test_an_interrupted_cell_goes_on_to_the_same_weights(cell, tmp_path):
    whole, halted = CellFolder(cell, tmp_path / "whole"), CellFolder(cell, tmp_path / "halted")
    whole.train(Reporter())
    assert train(cell.recipe(), halted.path, minutes=1e-9).stopped == "time limit"
    state = halted.state()
    assert 0 < state.step < 4
    assert not state.trained
    assert halted.train(Reporter()).step == 4
    assert halted.state().trained
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(halted)[name])


def test_a_run_that_differs_only_in_how_it_was_computed_is_taken(cell, tmp_path):
    words = ["training.minutes=60", "training.workers=0", "training.checkpoint_minutes=3"]
    train(cell.recipe(words), tmp_path / cell.name)
    folder = CellFolder(cell, tmp_path)
    folder.check()
    assert folder.train(Reporter()) is None


def test_a_run_with_other_settings_is_refused_and_words_make_it_fit(cell, tmp_path):
    words = ["model.settings.sigma=0.4"]
    train(cell.recipe(words), tmp_path / cell.name)
    for refused in (CellFolder(cell, tmp_path).check, lambda: CellFolder(cell, tmp_path).train(Reporter())):
        with pytest.raises(InputError, match=r"model\.settings\.sigma"):
            refused()
    assert CellFolder(cell, tmp_path, words).train(Reporter()) is None


def test_a_cell_starts_from_the_model_of_another(cell, table, content, tmp_path):
    first = CellFolder(cell, tmp_path)
    first.train(Reporter())
    content["sizes"]["smoke"]["cells"][0] |= {"model": "second", "start": "provide.balls.{variant}.seed{seed}"}
    content["sizes"]["smoke"]["cells"][0]["settings"]["training"]["learning_rate"] = 0
    second = CellFolder(experiments.load(table(content), "smoke").cells[0], tmp_path)
    second.train(Reporter())
    for name, tensor in weights(first).items():
        assert tensor.ndim == 0 or torch.equal(tensor, weights(second)[name])  # counters begin anew
    second.check()
    scratch = CellFolder(second.cell, tmp_path, ["training.initial_model=null"])
    with pytest.raises(InputError, match="initial_model"):
        scratch.check()


def test_only_what_is_missing_is_scored_and_a_new_model_anew(cell, table, content, tmp_path):
    folder = CellFolder(cell, tmp_path)
    folder.train(Reporter())
    folder.score()
    content["sizes"]["smoke"]["scoring"][1] = {"protocol": "rnem", "samples": 1, "frames": 2}
    changed = CellFolder(experiments.load(table(content), "smoke").cells[0], tmp_path)
    assert changed.state().scored == 1
    assert changed.score() == 1
    assert [done["scoring"]["protocol"] for done in changed.scores()["scores"]] == ["savi", "rnem"]
    longer = CellFolder(folder.cell, tmp_path / "longer", ["training.steps=5"])
    longer.train(Reporter())
    (longer.path / "scores.json").write_text((folder.path / "scores.json").read_text())
    assert longer.state().scored == 0
    assert longer.score() == 2


def hooks(calls):
    """Return a module's `measure` and `pictures`, and write down what they were called with."""

    def measure(folder, model):
        calls.append(("measure", folder.cell.name, model.fingerprint))
        return {"answer": 42}

    def pictures(folder, model):
        calls.append(("pictures", folder.cell.name, folder.scores()["measured"]["answer"]))
        return {"grey": np.full((4, 6, 3), 90, np.uint8)}

    return {"measured": measure, "pictures": pictures}


def test_hooks_measure_and_draw_once_and_again_when_the_model_changes(cell, tmp_path):
    folder, calls = CellFolder(cell, tmp_path), []
    folder.train(Reporter())
    assert not folder.finished(hooks(calls))
    assert folder.score(extras=hooks(calls)) == 4
    assert folder.score(extras=hooks(calls)) == 0
    model = load_model(folder.run.model)
    assert calls == [("measure", cell.name, model.fingerprint), ("pictures", cell.name, 42)]
    record = json.loads((folder.path / "scores.json").read_text())
    assert (record["measured"], record["pictures"]) == ({"answer": 42}, ["grey.png"])
    with Image.open(folder.path / "pictures" / "grey.png") as picture:
        assert picture.size == (6, 4)
        assert picture.getpixel((0, 0)) == (90, 90, 90)
    assert folder.finished(hooks(calls))
    assert folder.finished()
    file = folder.run.model / "model.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(file).items()}, file)
    config = json.loads((folder.run.model / "config.json").read_text())
    config.pop("weights_sha256", None)
    (folder.run.model / "config.json").write_text(json.dumps(config))
    folder.score(extras=hooks(calls))
    assert [kind for kind, *_ in calls] == ["measure", "pictures"] * 2


def test_hooks_see_weights_that_ship_and_the_data_of_their_cell(table, content, tmp_path):
    folder, seen = CellFolder(ready(table, content, source=SOURCE), tmp_path / "out"), []

    def measure(folder, model):
        seen.append((model.card.name, folder.source().config.max_balls, folder.source(max_balls=5).config.max_balls))
        return {}

    assert folder.score(extras={"measured": measure}) == 2
    assert seen == [("provide-balls-colour", 4, 5)]
    assert folder.source("train", "balls-binary").facts.binary
    assert folder.finished(["measured"])
    assert not folder.finished(["measured", "pictures"])


def test_broken_scores_are_told(cell, tmp_path):
    folder = CellFolder(cell, tmp_path)
    folder.path.mkdir()
    (folder.path / "scores.json").write_text("{")
    with pytest.raises(InputError, match="Remove it to score again"):
        folder.state()


def test_a_recipe_that_cannot_work_is_told_before_anything_is_written(cell, tmp_path):
    folder = CellFolder(cell, tmp_path / "out", ["model.settings.slots=0"])
    with pytest.raises(InputError, match=r"slots"):
        folder.check()
    assert not (tmp_path / "out").exists()


WEIGHTS = {"model": "provide", "data": "balls", "weights": "provide-balls-colour", "variants": {"shipped": {}}}
SOURCE = {"source": "balls-colour", "settings": {"max_balls": 4}}


def ready(table, content, **more):
    """Return a cell of weights that are ready, scored on two frames."""
    content["sizes"]["smoke"] |= {"cells": [{**WEIGHTS, **more}]}
    content["sizes"]["smoke"]["scoring"] = [{"protocol": "savi", "samples": 1, "frames": 2}]
    return experiments.load(table(content), "smoke").cells[0]


def test_weights_that_are_ready_are_scored_and_not_trained(table, content, tmp_path):
    folder = CellFolder(ready(table, content, source=SOURCE), tmp_path / "out", ["training.steps=9"])
    folder.check()
    assert folder.train(Reporter()) is None
    assert not folder.path.exists()
    assert folder.state() == State(0, 0, 0, 1, True)
    assert folder.score() == 1
    assert folder.score() == 0
    assert folder.state() == State(0, 0, 1, 1, True)
    assert [file.name for file in folder.path.iterdir()] == ["scores.json"]
    scores = folder.scores()
    assert scores["fingerprint"] == load_model("provide-balls-colour").fingerprint
    assert {row["metric"]: row["mean"] for row in scores["scores"][0]["rows"]}["F-ARI"] > 0.6


def test_every_seed_of_the_noise_is_an_evaluation(table, content, tmp_path):
    content["sizes"]["smoke"] |= {"cells": [{**WEIGHTS, "source": SOURCE}]}
    content["sizes"]["smoke"]["scoring"] = [{"protocol": "savi", "samples": 1, "frames": 2, "seeds": [1, 2]}]
    (cell,) = experiments.load(table(content), "smoke").cells
    folder = CellFolder(cell, tmp_path / "out")
    assert folder.score() == 2
    source = SOURCES.get(SOURCE["source"])(split="test", **SOURCE["settings"])
    model = load_model("provide-balls-colour").model
    for evaluation, seed in zip(folder.scores()["scores"], (1, 2), strict=True):
        assert evaluation["scoring"]["seed"] == seed
        alone = evaluate(model, source, ["savi"], videos=1, frames=2, seeds=(seed,), labels="masks")
        assert [row["values"] for row in evaluation["rows"]] == [row["values"] for row in alone]


def test_other_weights_are_scored_anew(cell, table, content, tmp_path):
    trained = CellFolder(cell, tmp_path)
    trained.train(Reporter())
    copy = tmp_path / "copy"
    shutil.copytree(trained.run.model, copy)
    small = {"source": "balls-colour", "settings": {"size": 16}}
    folder = CellFolder(ready(table, content, weights=str(copy), source=small), tmp_path / "out")
    assert folder.score() == 1
    assert folder.state().scored == 1
    tensors = load_file(copy / "model.safetensors")
    save_file(
        {name: tensor + tensor.is_floating_point() for name, tensor in tensors.items()}, copy / "model.safetensors"
    )
    config = json.loads((copy / "config.json").read_text())
    del config["weights_sha256"]  # the weights were changed on purpose
    (copy / "config.json").write_text(json.dumps(config))
    assert folder.state().scored == 0
    assert folder.score() == 1


def test_words_that_name_data_are_laid_over_what_weights_are_scored_on(table, content, tmp_path):
    cell = ready(table, content, source=SOURCE)
    part = cell.data_part(["data.settings.min_balls=2", "training.steps=3"])
    assert (part.source, part.settings) == ("balls-colour", {"max_balls": 4, "min_balls": 2})
    with pytest.raises(InputError, match="max_bals"):
        CellFolder(cell, tmp_path, ["data.settings.max_bals=2"]).check()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"weights": "provide-bals-colour", "source": SOURCE}, "Did you mean 'provide-balls-colour'"),
        ({}, "on which data weights are scored"),
        ({"source": {"sorce": "balls-colour"}}, "Did you mean 'source'"),
        ({"source": {"source": "bals-colour"}}, "Did you mean 'balls-colour'"),
    ],
)
def test_weights_that_cannot_be_scored_are_told(table, content, tmp_path, more, told):
    with pytest.raises(InputError, match=told):
        CellFolder(ready(table, content, **more), tmp_path / "out").check()


def test_weights_do_not_take_the_folder_of_a_training(cell, table, content, tmp_path):
    scored = ready(table, content, source=SOURCE)
    train(cell.recipe(), tmp_path / scored.name)
    with pytest.raises(InputError, match="holds a training"):
        CellFolder(scored, tmp_path).check()
    with pytest.raises(InputError, match="trains nothing"):
        scored.recipe()


def test_the_commit_is_that_of_the_package_and_not_of_a_repository_around_it(monkeypatch, tmp_path):
    import subprocess

    from scenewise.experiments import cell_folder

    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "cell_folder.py").write_text("")
    monkeypatch.setattr(cell_folder, "__file__", str(tmp_path / "cell_folder.py"))
    assert cell_folder.commit() is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "First"], check=True)
    first = cell_folder.commit()
    assert len(first) == 10
    (tmp_path / "cell_folder.py").write_text("changed")
    assert cell_folder.commit() == f"{first}+"


def test_data_without_ground_truth_have_no_scores(table, content, tmp_path):
    video = np.random.default_rng(0).integers(0, 255, (60, 16, 16, 3), np.uint8)
    np.save(tmp_path / "video.npy", video)
    settings = {"files": [str(tmp_path / "video.npy")], "layout": "THWC", "size": [16, 16], "clip_length": 3}
    cell = ready(table, content, source={"source": "footage", "settings": settings})
    folder = CellFolder(cell, tmp_path / "out")
    count = len(cell.scoring)
    assert folder.score() == count
    assert [evaluation["rows"] for evaluation in folder.scores()["scores"]] == [[]] * count
    assert folder.finished()
