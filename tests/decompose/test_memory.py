"""A long video needs no more memory than a short one."""

import subprocess
import sys

import numpy as np
import pytest

from scenewise.media import VideoWriter

ALLOWED_MIB = 24

RUN = """
import sys
from scenewise.cli import main
from scenewise.run_record import peak_memory_mib
video, model, out, *words = sys.argv[1:]
assert main(["decompose", video, "--model", model, "--out", out, "--device", "cpu", *words]) == 0
print("PEAK", peak_memory_mib())
"""


def peak(path, frames, model, out, *words):
    with VideoWriter(path, (32, 32), 25) as writer:
        image = np.zeros((32, 32, 3), np.uint8)
        for t in range(frames):
            image[:] = 0
            image[8:16, t % 24 : t % 24 + 8] = (255, 0, 0)
            writer.write(image)
    given = [str(word) for word in (path, model, out, *words)]
    done = subprocess.run([sys.executable, "-c", RUN, *given], capture_output=True, text=True, check=True)
    return int(done.stdout.split("PEAK")[1])


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["torch", "openvino"])
@pytest.mark.parametrize("frames", [2_000, pytest.param(20_000, marks=pytest.mark.timeout(3600))])
def test_memory_does_not_grow_with_length(tmp_path, tiny_model, engine, frames):
    if engine != "torch":
        pytest.importorskip(engine, reason=f"the package {engine} is not installed")
    short = peak(tmp_path / "short.mp4", 200, tiny_model, tmp_path / "a", "--engine", engine)
    long = peak(tmp_path / "long.mp4", frames, tiny_model, tmp_path / "b", "--engine", engine)
    assert long <= short + ALLOWED_MIB, f"{short} MiB for 200 frames, {long} MiB for {frames}"


@pytest.mark.slow
def test_large_results_need_no_more_for_a_longer_video(tmp_path, tiny_model):
    short = peak(tmp_path / "short.mp4", 200, tiny_model, tmp_path / "a", "--size", 256, "--engine", "torch")
    long = peak(tmp_path / "long.mp4", 1_000, tiny_model, tmp_path / "b", "--size", 256, "--engine", "torch")
    assert long <= short + ALLOWED_MIB, f"{short} MiB for 200 frames, {long} MiB for 1000"
