"""Training on a device: goes on exactly where it stopped, runs under a launcher, says what to do without memory."""

import os
import subprocess
import sys

import pytest
import torch

from scenewise.training import recipes
from scenewise.training.run import train

SMALL = ["training.batch=2", "training.curriculum=[[0, 1], [4, 2]]", "training.checkpoint_every=2"]


def recipe(device, steps, *words):
    words = [*SMALL, f"training.device={device.type}", f"training.steps={steps}", *words]
    return recipes.load("provide-tiny", words)


def weights(folder):
    return torch.load(sorted((folder / "checkpoints").glob("*.pt"))[-1], weights_only=True)


@pytest.fixture
def repeatable(device):
    """Let convolutions choose the same algorithm every time."""
    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    yield
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = before


def test_it_goes_on_where_it_stopped(device, tmp_path, repeatable):
    train(recipe(device, 6), tmp_path / "whole")
    train(recipe(device, 4), tmp_path / "parts")
    train(recipe(device, 6), tmp_path / "parts", resume=True)
    one, two = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert one["step"] == two["step"] == 6
    for name, tensor in one["model"].items():
        torch.testing.assert_close(two["model"][name], tensor, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_and_pinned_memory_bring_the_same_clips(device, tmp_path, repeatable, workers):
    train(recipe(device, 3), tmp_path / "alone")
    train(recipe(device, 3, f"training.workers={workers}"), tmp_path / "workers")
    one, two = weights(tmp_path / "alone"), weights(tmp_path / "workers")
    for name, tensor in one["model"].items():
        torch.testing.assert_close(two["model"][name], tensor, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["provide", "iodine", "monet"])
def test_captured_steps_are_the_steps(device, tmp_path, repeatable, name):
    """Steps replayed from a CUDA graph teach what the same steps teach one operation after the other."""
    words = [*SMALL[:1], "training.curriculum=[[0, 1], [10, 2]]", f"training.device={device.type}", "training.steps=20"]
    words += [f"model.name={name}", "model.preset=tiny", "model.settings.area_entropy_weight=0.001"]
    words += ["model.settings.area_entropy_from=[2, 15]"] if name == "provide" else []
    for captured in ("true", "false"):
        train(recipes.load("provide-tiny", [*words, f"training.captured={captured}"]), tmp_path / captured)
    assert "no CUDA graph" not in (tmp_path / "true" / "events.log").read_text()
    one, two = weights(tmp_path / "true"), weights(tmp_path / "false")
    assert one["step"] == two["step"] == 20
    for key, tensor in one["model"].items():
        torch.testing.assert_close(tensor, two["model"][key], rtol=1e-3, atol=1e-4)


def test_one_process_under_a_launcher(device, tmp_path):
    """The launcher's environment of one process is that of no launcher, with NCCL on a GPU."""
    words = ["-m", "torch.distributed.run", "--nproc-per-node=1", "-m", "scenewise.cli", "train", "provide-tiny"]
    words += ["--out", str(tmp_path / "run"), *SMALL, f"training.device={device.type}", "training.steps=3"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert weights(tmp_path / "run")["step"] == 3


def test_no_memory_is_said_with_what_to_do(device, tmp_path, monkeypatch):
    from scenewise.errors import InputError

    if device.type != "cuda":
        pytest.skip("fills a GPU")
    index = torch.cuda.current_device()
    torch.cuda.set_per_process_memory_fraction(1e-3, index)
    try:
        with pytest.raises(InputError, match=r"accumulation|batch"):
            train(recipe(device, 2, "training.batch=512", "data.source=balls-colour"), tmp_path / "run")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, index)
        torch.cuda.empty_cache()
