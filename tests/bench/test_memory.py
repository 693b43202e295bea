"""Memory of a process."""

import json
import subprocess

import pytest
import torch

from scenewise.bench import memory
from scenewise.bench.subject import Spec, Subject
from scenewise.errors import InputError


def test_memory_of_a_process_of_its_own():
    kept = []
    small = memory.watched(lambda: None)
    large = memory.watched(lambda: kept.append(torch.ones(50_000_000)))
    assert small.growth < 50
    assert 180 < large.growth < 260
    assert large.peak >= large.growth


def test_memory_is_seen_by_a_child_after_it_is_given_back(monkeypatch):
    monkeypatch.setattr(Subject, "train", lambda self, recorder=None: torch.ones(50_000_000).sum())
    question = json.dumps({"spec": Spec("provide", "tiny").plain(), "training": True})
    assert 180 < json.loads(memory.main(question))["growth"] < 260


def test_memory_of_a_training_step_in_a_child():
    found = memory.measure(Spec("provide", "tiny", batch=4, frames=8, threads=1), training=True)
    assert 1 < found.growth < found.peak


def test_a_child_that_fails_is_told(monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "Traceback\nRuntimeError: not enough memory")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(InputError, match="RuntimeError: not enough memory"):
        memory.measure(Spec("provide", "tiny"), training=True)
