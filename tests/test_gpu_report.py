"""The report of a GPU: what is packed, and that a part which is cut off leaves nothing running."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def script():
    path = Path(__file__).parents[1] / "scripts" / "gpu_report.py"
    spec = importlib.util.spec_from_file_location("gpu_report", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_checkpoints_are_packed_apart_and_the_newest_alone(script, tmp_path):
    out = tmp_path / "gpu"
    (out / "run" / "stages" / "2-long" / "checkpoints").mkdir(parents=True)
    (out / "report.json").write_text("{}")
    for number, name in enumerate(("100.pt", "200.pt", "30.pt")):
        path = out / "run" / "stages" / "2-long" / "checkpoints" / name
        path.write_text(name)
        os.utime(path, (number, number))
    report, state = script.pack(out)
    with tarfile.open(report) as archive:
        assert "gpu/report.json" in archive.getnames()
        assert not [name for name in archive.getnames() if name.endswith(".pt")]
    with tarfile.open(state) as archive:
        assert archive.getnames() == ["gpu/run/stages/2-long/checkpoints/30.pt"]


def test_a_part_that_is_cut_off_leaves_nothing_running(script, tmp_path, monkeypatch):
    report = script.Report(tmp_path, 1)
    wait, log = subprocess.Popen.wait, tmp_path / "part.log"

    def wait_until_it_began(process, timeout=None):
        while timeout and not log.read_text().strip():
            time.sleep(0.05)
        return wait(process, timeout and 0.01)

    monkeypatch.setattr(subprocess.Popen, "wait", wait_until_it_began)
    child = "import os, subprocess, sys; print(subprocess.Popen(['sleep', '60']).pid, flush=True); os.wait()"
    report.run("part", [sys.executable, "-c", child], 60)
    assert report.facts["parts"]["part"]["code"] == "time limit"
    pid = int(log.read_text())
    for _ in range(50):
        if not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split(")")[1][:3]:
            return
        time.sleep(0.1)
    pytest.fail("its child goes on")
