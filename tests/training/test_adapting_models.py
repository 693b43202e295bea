"""Runs of models that adapt more than weights: GECO's beta and running statistics of batch norms."""

import pytest
import torch

from scenewise.checkpoint import load_model
from scenewise.observation import Observation
from scenewise.training import recipes
from scenewise.training.plan import make_plan
from scenewise.training.run import train
from scenewise.training.validation import evaluating, kl_weight, validate

from .runs import last_state, rows, same


def genesis(**training):
    """Return a recipe of GENESIS with batch norms and GECO."""
    plain = {
        "model": {"name": "genesis", "preset": "tiny", "settings": {"size": [16, 16], "geco": {"step": 1e-3}}},
        "data": {"source": "multi-dsprites-coloured", "settings": {"size": 16, "max_sprites": 2}},
        "training": {
            "steps": 4, "batch": 4, "curriculum": [[0, 1]], "validate_every": 2, "validation_videos": 4,
            "images_every": 4, "checkpoint_every": 2, "device": "cpu", **training,
        },
    }  # fmt: skip
    return recipes.from_plain(plain, "test")


def test_a_broken_run_that_is_resumed_is_the_uninterrupted_one(tmp_path):
    whole = train(genesis(), tmp_path / "whole")
    train(genesis(), tmp_path / "run", minutes=0)
    assert last_state(tmp_path / "run")["step"] == 1
    train(genesis(), tmp_path / "run", resume=True)
    state = last_state(tmp_path / "whole")
    assert same(last_state(tmp_path / "run")["model"], state["model"])
    assert rows(tmp_path / "run" / "metrics.csv") == rows(tmp_path / "whole" / "metrics.csv")
    assert state["model"]["geco.beta"] < 1
    assert int(state["model"]["geco.seen"]) == 4
    assert load_model(whole.model).card.validated.mse > 0


def test_validation_looks_in_evaluation_mode_and_moves_nothing():
    plan = make_plan(genesis())
    model = plan.make_model().train()
    images = torch.stack([torch.from_numpy(plan.train.sample(i).frames) for i in range(4)])
    model(Observation(images.float() / 255))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = validate(model, plan, torch.device("cpu"))
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert found.bound == pytest.approx(found.elbo)


def test_the_bound_of_an_adapting_weight_is_the_elbo():
    model = make_plan(genesis()).make_model()
    model.geco.beta.fill_(0.01)
    terms = {name: torch.zeros(1) for name in ("nll", "kl", "duplicates")}
    assert kl_weight(model, terms) == 1.0
    model.config = type(model.config)(geco=type(model.config.geco)(on=False))
    assert kl_weight(model, terms) == pytest.approx(0.01)


def test_the_mode_is_put_back_whatever_happens():
    model = make_plan(genesis()).make_model().train()
    with evaluating(model):
        assert not model.training
        assert not torch.is_grad_enabled()
    assert model.training
    with pytest.raises(RuntimeError, match="power cut"), evaluating(model):
        raise RuntimeError("power cut")
    assert model.training
    assert torch.is_grad_enabled()


def test_a_model_without_an_elbo_is_chosen_by_its_loss():
    plain = {
        "model": {"name": "rnem", "preset": "tiny", "settings": {}},
        "data": {"source": "balls-binary", "settings": {"size": 16, "channels": 1}},
        "training": {"steps": 2, "batch": 2, "validation_videos": 3, "validation_frames": 4},
    }
    plan = make_plan(recipes.from_plain(plain, "test"))
    model = plan.make_model()
    found = validate(model, plan, torch.device("cpu"))
    frames = torch.stack([torch.from_numpy(plan.validation.sample(i, 0, 4).frames) for i in range(3)])
    with evaluating(model):
        terms = model(Observation(frames.float() / 255), seed=1).terms
    assert found.bound == pytest.approx(-float((terms["intra"] + terms["inter"]).mean()), rel=1e-5)
    assert found.elbo == pytest.approx(found.log_likelihood)
