import json

import pytest
import torch
from safetensors.torch import load_file

from scenewise.errors import InputError
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


def test_a_hook_measures_once(cell, tmp_path):
    folder, calls = CellFolder(cell, tmp_path), []

    def measure(path, measured):
        calls.append((path, measured.name))
        return {"answer": 42}

    folder.train(Reporter())
    folder.score(measure=measure)
    folder.score(measure=measure)
    assert calls == [(folder.path, cell.name)]
    assert json.loads((folder.path / "scores.json").read_text())["measured"] == {"answer": 42}


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
