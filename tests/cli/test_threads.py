"""Threads follow the model's work."""

import pytest
import torch

from scenewise.cli import threads
from scenewise.config import build
from scenewise.decompose import Decomposer
from scenewise.models import MODELS
from scenewise.models.iodine import Iodine, IodineConfig


@pytest.fixture
def two_threads(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def decomposer() -> Decomposer:
    return Decomposer(Iodine(build(IodineConfig, Iodine.presets["tiny"], "tiny")))


def test_a_small_model_gets_one_thread(two_threads):
    threads.choose(decomposer())
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("name", MODELS.names())
def test_the_work_of_every_model_is_known(name):
    made = MODELS.get(name)
    model = made(build(made.config_class, made.presets["tiny"], "tiny"))
    least = 0 if name == "rnem" else 1e4  # its layers are used by their weights alone: it is taken for small
    assert least <= threads.work(model.eval()) < threads.WORTH_SHARING


def test_a_large_one_and_a_user_s_choice_are_left_alone(two_threads, monkeypatch):
    monkeypatch.setattr(threads, "WORTH_SHARING", 0.0)
    threads.choose(decomposer())
    assert torch.get_num_threads() == 2
    monkeypatch.setattr(threads, "WORTH_SHARING", 1e18)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    threads.choose(decomposer())
    assert torch.get_num_threads() == 2
