"""Whole runs of a second each, in this process."""

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from scenewise.checkpoint import load_model
from scenewise.errors import InputError
from scenewise.models.provide import Provide
from scenewise.training import recipes
from scenewise.training.loop import noise_shapes
from scenewise.training.plan import forecast, make_plan
from scenewise.training.reporter import Reporter
from scenewise.training.run import train
from scenewise.training.validation import kl_weight, validate
from scenewise.variational.engine import TERMS

from .runs import last_state, rows, same, small


class Listener(Reporter):
    """Remembers what it hears, and may raise a hand at a step."""

    def __init__(self, act=None):
        self.forecast, self.steps, self.act = None, [], act

    def planned(self, forecasts):
        (self.forecast,) = forecasts

    def progressed(self, progress):
        self.steps.append(progress)
        if self.act:
            self.act(progress.step)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    listener = Listener()
    outcome = train(small(), tmp_path_factory.mktemp("whole") / "run", reporter=listener)
    return outcome, listener


def test_a_run_leaves_everything_it_should(whole):
    outcome, listener = whole
    folder = outcome.folder
    assert (outcome.step, outcome.steps, outcome.stopped) == (6, 6, None)
    assert [r["step"] for r in rows(folder / "metrics.csv")] == ["1", "2", "3", "4", "5", "6"]
    assert [r["step"] for r in rows(folder / "validation.csv")] == ["3", "6"]
    assert (folder / "images" / "step_0000006.png").read_bytes()[:4] == b"\x89PNG"
    assert any((folder / "tensorboard").iterdir())
    assert "finished at step 6" in (folder / "events.log").read_text()
    assert [p.step for p in listener.steps] == [1, 2, 3, 4, 5, 6]
    assert listener.steps[-1].seconds_left == 0


def test_the_forecast_comes_first(whole):
    told = whole[1].forecast
    assert told.cells == (2 * 2, 4 * 2)
    assert told.parameters == sum(p.numel() for p in make_plan(small()).make_model().parameters())
    assert 0 < told.memory_gib < 8
    assert told.hours > 0
    assert "bouncing balls" in told.data


def test_the_model_kept_can_be_loaded_and_its_card_is_true(whole):
    outcome, _ = whole
    loaded = load_model(outcome.model)
    validations = rows(outcome.folder / "validation.csv")
    best = max(validations, key=lambda row: float(row["bound"]))
    (stage,) = loaded.card.stages
    assert (loaded.card.steps, stage.steps, stage.best_step) == (6, 6, int(best["step"]))
    assert stage.mse == loaded.card.validated.mse
    assert float(validations[-1]["step"]) == 6
    assert 0 < loaded.card.hours * 3600 <= last_state(outcome.folder)["seconds"]  # the checkpoint is written last
    assert loaded.card.seeds == (0,)
    assert loaded.card.validated.mse == pytest.approx(float(best["mse"]), rel=1e-5)
    assert loaded.card.validated.mse_high >= loaded.card.validated.mse
    assert {s.protocol for s in loaded.card.scores} == {"provide", "rnem", "savi"}
    assert loaded.card.data_fingerprint == make_plan(small()).train.fingerprint()


def test_training_does_not_depend_on_when_it_is_looked_at(whole, tmp_path):
    words = ("training.validate_every=1", "training.images_every=2", "training.checkpoint_every=1")
    train(small(*words), tmp_path / "run")
    assert same(last_state(tmp_path / "run")["model"], last_state(whole[0].folder)["model"])


@pytest.mark.parametrize("at", [2, 3, 5])
def test_a_run_that_is_broken_and_resumed_is_the_uninterrupted_one(whole, tmp_path, at):
    def fall(step):
        if step == at:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        train(small(), tmp_path / "run", reporter=Listener(fall))
    outcome = train(small(), tmp_path / "run", resume=True)
    expected = whole[0].folder
    assert same(last_state(outcome.folder), last_state(expected))
    assert same(load_file(outcome.model / "model.safetensors"), load_file(whole[0].model / "model.safetensors"))
    for table in ("metrics.csv", "validation.csv"):
        assert rows(outcome.folder / table) == rows(expected / table)


def test_a_run_resumes_with_averaged_weights(tmp_path):
    words = ("training.ema=0.9", "training.accumulation=2")
    train(small(*words), tmp_path / "whole")
    train(small(*words), tmp_path / "run", minutes=0)
    assert last_state(tmp_path / "run")["step"] == 1
    train(small(*words), tmp_path / "run", resume=True)
    assert same(last_state(tmp_path / "whole")["averaged"], last_state(tmp_path / "run")["averaged"])
    assert same(last_state(tmp_path / "whole")["model"], last_state(tmp_path / "run")["model"])


def test_the_time_limit_stops_cleanly_and_leaves_a_model(tmp_path):
    outcome = train(small(), tmp_path / "run", minutes=0)
    assert (outcome.step, outcome.stopped) == (1, "time limit")
    assert load_model(outcome.model).card.steps == 1


def test_a_run_whose_validation_stops_gaining_ends_early_and_can_go_on(tmp_path):
    words = ["training.steps=9", "training.validate_every=1", "training.learning_rate=0"]  # nothing can be gained
    outcome = train(small(*words, "training.patience=2"), tmp_path)
    assert (outcome.step, outcome.stopped) == (3, "no gain")
    assert [row["best"] for row in rows(tmp_path / "validation.csv")] == ["1", "0", "0"]
    assert load_model(outcome.model).card.stages[-1].steps == 3
    again = train(small(*words, "training.patience=0"), tmp_path, resume=True)
    assert (again.step, again.stopped) == (9, None)


def test_resuming_a_finished_run_does_nothing(whole):
    before = (whole[0].folder / "metrics.csv").read_text()
    outcome = train(small(), whole[0].folder, resume=True)
    assert (outcome.step, outcome.stopped) == (6, None)
    assert (whole[0].folder / "metrics.csv").read_text() == before


def test_resuming_with_another_recipe_lists_the_differences(whole):
    with pytest.raises(InputError) as caught:
        train(small("training.learning_rate=0.1", "data.settings.seed=4"), whole[0].folder, resume=True)
    for part in ("training.learning_rate: 0.001 in the run, 0.1 now", "data.settings.seed", "data fingerprint"):
        assert part in str(caught.value)


def test_a_folder_in_use_and_a_folder_without_a_run_are_refused(whole, tmp_path):
    with pytest.raises(InputError, match="--resume"):
        train(small(), whole[0].folder)
    with pytest.raises(InputError, match="no run to resume"):
        train(small(), tmp_path / "nothing", resume=True)


def test_accumulation_changes_memory_and_not_the_result(whole, tmp_path):
    train(small("training.accumulation=2"), tmp_path / "run")
    one, other = last_state(whole[0].folder)["model"], last_state(tmp_path / "run")["model"]
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, rtol=1e-4, atol=1e-5)


def test_recomputing_cells_does_not_change_the_result(whole, tmp_path):
    train(small("model.settings.recompute=true"), tmp_path / "run")
    one, other = last_state(whole[0].folder)["model"], last_state(tmp_path / "run")["model"]
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, rtol=1e-4, atol=1e-5)


def test_bf16_sets_the_model_s_convolutions_while_it_trains(tmp_path):
    recipe = small("training.precision=bf16", "training.steps=2")
    assert make_plan(recipe).config.bf16_convolutions
    outcome = train(recipe, tmp_path / "run")
    assert not load_model(outcome.model).model.config.bf16_convolutions
    assert all(math.isfinite(float(row["loss"])) for row in rows(outcome.folder / "metrics.csv"))


def test_bf16_falls_back_where_the_device_has_none(tmp_path, monkeypatch):
    monkeypatch.setattr("scenewise.training.run.has_bf16", lambda device: False)
    heard = []
    listener = Listener()
    listener.noted = heard.append
    train(
        small("training.precision=bf16", "training.steps=2", "training.validate_every=2"), tmp_path, reporter=listener
    )
    assert sum("no bf16" in text for text in heard) == 1
    assert load_model(tmp_path / "model").model.config.bf16_convolutions is False


@pytest.mark.parametrize("words", ["CUDA out of memory. Tried", "DefaultCPUAllocator: can't allocate memory: you"])
def test_out_of_memory_names_what_is_large_and_what_lowers_it(tmp_path, monkeypatch, words):
    def full(self, *_, **__):
        raise RuntimeError(words)

    monkeypatch.setattr(Provide, "forward", full)
    with pytest.raises(InputError, match=r"batch 2, K = \d+, T = 1 frames, R = \d+ refinements.*recompute=true"):
        train(small(), tmp_path)


def test_other_runtime_errors_are_not_taken_for_it(tmp_path, monkeypatch):
    def broken(self, *_, **__):
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(Provide, "forward", broken)
    with pytest.raises(RuntimeError, match="shapes differ"):
        train(small(), tmp_path)


def test_a_loss_that_is_not_finite_stops_the_run_and_saves_what_was_seen(tmp_path, monkeypatch):
    plain_loss = Provide.loss

    def loss(self, terms):
        made = plain_loss(self, terms)
        return made * float("nan") if self.training and int(self.progress) == 3 and torch.is_grad_enabled() else made

    monkeypatch.setattr(Provide, "loss", loss)
    with pytest.raises(InputError, match=r"step 3.*the loss is not finite"):
        train(small(), tmp_path / "run")
    facts = json.loads((tmp_path / "run" / "failure.json").read_text())
    assert (facts["step"], facts["term"], len(facts["videos"])) == (3, "the loss", 2)
    assert np.load(tmp_path / "run" / "failure.npz")["frames"].shape == (2, 1, 3, 16, 16)
    monkeypatch.undo()
    assert train(small(), tmp_path / "run", resume=True).step == 6


def test_the_part_of_a_batch_that_is_not_finite_is_saved(tmp_path, monkeypatch):
    plain_loss, calls = Provide.loss, []

    def loss(self, terms):
        made = plain_loss(self, terms)
        if self.training and torch.is_grad_enabled() and int(self.progress) == 3:
            calls.append(made)
            return made * float("nan") if len(calls) == 1 else made  # the first of two parts
        return made

    monkeypatch.setattr(Provide, "loss", loss)
    with pytest.raises(InputError, match=r"step 3.*the loss is not finite"):
        train(small("training.accumulation=2"), tmp_path / "run")
    facts = json.loads((tmp_path / "run" / "failure.json").read_text())
    assert (facts["step"], facts["rows"], len(facts["videos"])) == (3, [0], 1)


def test_a_gradient_that_is_not_finite_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *_: torch.tensor(float("inf")))
    with pytest.raises(InputError, match="step 0: gradient is not finite"):
        train(small(), tmp_path / "run")


def test_a_run_can_begin_from_a_model(whole, tmp_path):
    plan = make_plan(small(f"training.initial_model={whole[0].model}"))
    begun, kept = plan.make_model().state_dict(), load_model(whole[0].model).model.state_dict()
    assert all(torch.equal(begun[n], kept[n]) for n in kept if n != "progress")
    assert int(begun["progress"]) == 0
    with pytest.raises(InputError, match="must be"):
        make_plan(small(f"training.initial_model={whole[0].model}", "model.settings.hidden=8")).make_model()


def test_the_forecast_leaves_the_model_as_it_was(tmp_path):
    plan = make_plan(small())
    model = plan.make_model()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    forecast(plan, model, torch.device("cpu"), 0, tmp_path)
    assert same(before, dict(model.state_dict()))
    assert all(p.grad is None for p in model.parameters())


def test_the_bound_uses_the_weights_of_training_and_no_ground_truth():
    plan = make_plan(small())
    model = plan.make_model()
    terms = {name: torch.zeros(1) for name in TERMS}
    assert kl_weight(model, terms) == pytest.approx(model.config.kl_weight / model.config.reconstruction_weight)
    found = validate(model, plan, torch.device("cpu"))
    assert found.bound == pytest.approx(found.log_likelihood - 0.1 * found.kl, rel=1e-4)
    assert found.elbo == pytest.approx(found.log_likelihood - found.kl, rel=1e-4)
    assert found.mse.shape == (2 * plan.validation_frames,)


def test_noise_shapes_follow_the_clip_length():
    plan = make_plan(small())
    model = plan.make_model()
    assert noise_shapes(model, {1, 2}) == {1: (1, 2, 3, 8), 2: (2, 2, 3, 8)}


def test_the_run_s_recipe_is_kept_with_versions_and_fingerprint(whole):
    import yaml

    kept = yaml.safe_load((whole[0].folder / "recipe.yaml").read_text())
    assert recipes.from_plain(kept["recipe"], "kept") == small()
    assert set(kept["versions"]) == {"scenewise", "torch", "python"}
    assert kept["model"]["slots"] == 3
    assert kept["data"]["fingerprint"] == make_plan(small()).train.fingerprint()
