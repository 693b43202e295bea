"""Two processes on the CPU compute what one process computes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from .runs import SMALL, gradients, last_state, rows, small

pytestmark = pytest.mark.slow
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


@pytest.mark.parametrize("words", [(), ("model.settings.recompute=true",)], ids=["stored", "recomputed"])
def test_gradients_of_two_processes_equal_those_of_one(tmp_path, words):
    script, file = Path(__file__).with_name("runs.py"), tmp_path / "gradients.pt"
    both = [
        subprocess.Popen([sys.executable, str(script), str(rank), str(file), *words], env=ENVIRONMENT)
        for rank in (0, 1)
    ]
    assert [process.wait() for process in both] == [0, 0]
    divided, whole = torch.load(file, weights_only=True), gradients(0, 1, words)
    assert divided.keys() == whole.keys()
    for name, gradient in whole.items():
        torch.testing.assert_close(divided[name], gradient, rtol=1e-4, atol=1e-5 * float(gradient.abs().max()))


def test_a_run_on_two_processes_gives_the_weights_of_one(tmp_path):
    from scenewise.training.run import train

    script = tmp_path / "scenewise_command.py"  # processes after the first are started from a file
    script.write_text("import sys\nfrom scenewise.cli import main\nsys.exit(main())\n")
    words = ["provide-tiny", "--out", str(tmp_path / "two"), *SMALL, "training.devices=2"]
    done = subprocess.run(
        [sys.executable, str(script), "train", *words], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    train(small(), tmp_path / "one")
    one, two = last_state(tmp_path / "one"), last_state(tmp_path / "two")
    for name, tensor in one["model"].items():
        torch.testing.assert_close(two["model"][name], tensor, rtol=1e-4, atol=1e-5)
    losses = [[float(row["loss"]) for row in rows(tmp_path / name / "metrics.csv")] for name in ("one", "two")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_run_under_torchrun_gives_the_weights_of_one_process(tmp_path):
    from scenewise.training.run import train

    script = tmp_path / "scenewise_command.py"
    script.write_text("import sys\nfrom scenewise.cli import main\nsys.exit(main())\n")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script), "train"]
    words = ["provide-tiny", "--out", str(tmp_path / "two"), *SMALL]
    refused = subprocess.run([*launch, *words], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert "torchrun started 2 processes" in refused.stderr
    assert not (tmp_path / "two").exists()
    done = subprocess.run(
        [*launch, *words, "training.devices=2"], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    train(small(), tmp_path / "one")
    one, two = last_state(tmp_path / "one"), last_state(tmp_path / "two")
    for name, tensor in one["model"].items():
        torch.testing.assert_close(two["model"][name], tensor, rtol=1e-4, atol=1e-5)


def test_two_nodes_of_one_process_give_the_weights_of_one_process(tmp_path):
    from scenewise.training.run import train

    script = tmp_path / "scenewise_command.py"
    script.write_text("import sys\nfrom scenewise.cli import main\nsys.exit(main())\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["train", "provide-tiny", "--out", str(tmp_path / "two"), *SMALL, "training.devices=2", "training.nodes=2"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
    launch += ["--master-addr=127.0.0.1", f"--master-port={port}"]
    nodes = [
        subprocess.Popen([*launch, f"--node-rank={rank}", str(script), *words], env=ENVIRONMENT) for rank in (0, 1)
    ]
    assert [node.wait(timeout=240) for node in nodes] == [0, 0]
    train(small(), tmp_path / "one")
    one, two = last_state(tmp_path / "one"), last_state(tmp_path / "two")
    for name, tensor in one["model"].items():
        torch.testing.assert_close(two["model"][name], tensor, rtol=1e-4, atol=1e-5)
