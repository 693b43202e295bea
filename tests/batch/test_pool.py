"""Where workers compute, and how many there are."""

from dataclasses import replace

import pytest
import torch

from scenewise.batch.job import Task
from scenewise.batch.pool import LocalPool, worker_device
from scenewise.cli.batch import worker_count
from scenewise.errors import InputError


@pytest.mark.parametrize(
    ("device", "gpus", "devices", "workers"),
    [
        ("auto", 0, ["auto", "auto", "auto"], None),
        ("auto", 1, ["auto", "auto", "auto"], 1),
        ("cuda", 2, ["cuda:0", "cuda:1", "cuda:0"], 2),
        ("cuda:1", 2, ["cuda:1", "cuda:1", "cuda:1"], 1),
        ("cpu", 2, ["cpu", "cpu", "cpu"], None),
    ],
)
def test_workers_share_out_the_gpus(monkeypatch, device, gpus, devices, workers):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert [worker_device(device, number) for number in range(3)] == devices
    cores = worker_count(None, "cpu")
    assert worker_count(None, device) == (workers or cores)
    assert worker_count(5, device) == 5


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_is_told(job):
    with LocalPool(replace(job, fingerprint="another"), 1) as pool:
        pool.submit([Task("a.mp4", "a.mp4")])
        with pytest.raises(InputError, match="has changed since the batch began"):
            listen(pool)


def listen(pool):
    while True:
        pool.events(1.0)
