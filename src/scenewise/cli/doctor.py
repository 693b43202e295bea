"""scenewise doctor: what is installed, what is there to compute with, what is wrong and what to do about it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

EXAMPLE = """example:
  scenewise doctor

Exit code 0: nothing is wrong; 1: something is, and how to mend it is said."""

_NEEDED = ("torch", "lightning", "torchmetrics", "safetensors", "av", "numpy", "scipy", "h5py", "pycocotools", "rich")
_OPTIONAL = {
    "mujoco": "scenes3d",
    "fastapi": "serve",
    "fsspec": "remote",
    "ray": "cluster",
    "pyarrow": "parquet",
    "huggingface_hub": "hub",
    "scikit-learn": "sklearn",
    "tensorboard": "tensorboard",
    "matplotlib": "figures",
    "onnx": "fast",
    "openvino": "fast",
    "onnxruntime": "fast",
}
_LEAST_DISK = 1 << 30
_LEAST_MEMORY = 1 << 30


@dataclass
class Findings:
    """What was found, line by line.

    Attributes:
        lines: Topic and text.
        problems: What is wrong, with the remedy.
    """

    lines: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def say(self, topic: str, text: str) -> None:
        """Add a line."""
        self.lines.append((topic, text))

    def blame(self, problem: str) -> None:
        """Add something that is wrong."""
        self.problems.append(problem)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options: none."""


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    findings = Findings()
    for check in (_python, _packages, _engines, _devices, _threads, _video, _scenes, _weights, _data, _room):
        try:
            check(findings)
        except Exception as error:  # a broken installation must not keep the doctor from finishing
            findings.blame(f"{check.__name__.strip('_')} could not be checked: {type(error).__name__}: {error}")
    topics: set[str] = set()
    for topic, text in findings.lines:
        print(f"{'' if topic in topics else topic:<12}{text}")
        topics.add(topic)
    args.answer = {"lines": findings.lines, "wrong": findings.problems}
    for problem in findings.problems:
        print(f"{'wrong':<12}{problem}")
    print("nothing is wrong" if not findings.problems else f"{len(findings.problems)} to mend")
    return 1 if findings.problems else 0


def _python(findings: Findings) -> None:
    import scenewise

    findings.say("scenewise", f"{scenewise.__version__} in {Path(scenewise.__file__).parent}")
    findings.say("python", f"{platform.python_version()} on {platform.platform()}")


def _packages(findings: Findings) -> None:
    for name in _NEEDED:
        version = _version(name)
        findings.say("packages", f"{name} {version or 'missing'}")
        if version is None:
            findings.blame(f"{name} is not installed. Run: pip install {name}")
    for name, extra in _OPTIONAL.items():
        version = _version(name)
        hint = f"missing, optional: pip install 'scenewise[{extra}]'"
        findings.say("packages", f"{name} {version or hint}")


def _engines(findings: Findings) -> None:
    from scenewise.runtimes import RUNTIMES
    from scenewise.runtimes.store import GraphStore

    names = [runtime.describe() for runtime in RUNTIMES.values() if runtime.is_there() and runtime.exact]
    findings.say("engines", ", ".join(["torch", *names]))
    folder = GraphStore().folder
    if folder is not None and folder.is_dir():
        size = sum(file.stat().st_size for file in folder.iterdir())
        findings.say("engines", f"graphs kept in {folder}: {size / (1 << 20):.0f} MiB")


def _devices(findings: Findings) -> None:
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    findings.say("devices", f"cpu, {cores} cores")
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            facts = torch.cuda.get_device_properties(number)
            findings.say("devices", f"cuda:{number}, {facts.name}, {facts.total_memory / (1 << 30):.0f} GiB")
    else:
        findings.say("devices", "no GPU")
    if torch.version.cuda is None and shutil.which("nvidia-smi"):
        findings.blame("There is a GPU, but torch is a CPU build. Install a CUDA build of torch (pytorch.org).")


def _threads(findings: Findings) -> None:
    import torch

    threads, policy = torch.get_num_threads(), os.environ.get("OMP_WAIT_POLICY", "")
    findings.say("threads", f"{threads}, OMP_WAIT_POLICY={policy or 'not set'}")
    findings.say("threads", "in your own programs set OMP_WAIT_POLICY=PASSIVE before torch is imported")
    if policy.upper() != "PASSIVE":
        findings.blame(
            "OMP_WAIT_POLICY is not PASSIVE: on shared cores small steps are many times slower. "
            "Run: export OMP_WAIT_POLICY=PASSIVE"
        )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else threads
    if threads > cores:
        findings.blame(f"torch uses {threads} threads on {cores} cores. Run: export OMP_NUM_THREADS={cores}")


def _video(findings: Findings) -> None:
    import av

    writes = next((name for name in ("libx264", "mpeg4") if name in av.codecs_available), None)
    findings.say("video", f"reads h264: {'h264' in av.codecs_available}, writes mp4 with: {writes or 'nothing'}")
    if writes is None or "h264" not in av.codecs_available:
        findings.blame("This build of PyAV lacks codecs. Run: pip install --force-reinstall --only-binary av av")


def _scenes(findings: Findings) -> None:
    from scenewise.data.generated.scenes3d.engine import GL_CHOICE, gl_problem

    choice = os.environ.get(GL_CHOICE)
    if choice is None:
        return
    problem = gl_problem()
    findings.say("scenes", f"{GL_CHOICE}={choice}{' cannot be had' if problem else ''}; scenes are drawn without it")
    if problem:
        findings.blame(f"{GL_CHOICE}={choice} stops other programs that use MuJoCo ({problem}). Run: unset {GL_CHOICE}")


def _weights(findings: Findings) -> None:
    from scenewise.checkpoint import load_model, shipped
    from scenewise.errors import InputError

    names = shipped()
    findings.say("weights", ", ".join(names) or "none")
    if not names:
        findings.blame(
            "No weights came with this installation. Install scenewise anew, or train: scenewise train --help"
        )
    for name in names:
        try:
            load_model(name)
        except InputError as error:
            findings.blame(f"The weights {name} cannot be used: {error} Install scenewise anew.")


def _data(findings: Findings) -> None:
    from scenewise.data import SOURCES

    findings.say("data", f"made when asked for or read from files: {', '.join(SOURCES.names())}")
    from scenewise.data.footage.cache import default_folder

    cache = default_folder()
    size = sum(f.stat().st_size for f in cache.rglob("*") if f.is_file()) if cache.is_dir() else 0
    findings.say("data", f"decoded footage kept in {cache}: {size / (1 << 20):.0f} MiB")


def _room(findings: Findings) -> None:
    for name, folder in (("here", Path.cwd()), ("temporary", Path(tempfile.gettempdir()))):
        free = shutil.disk_usage(folder).free
        findings.say("room", f"{name}: {free / (1 << 30):.1f} GiB free in {folder}")
        if free < _LEAST_DISK:
            findings.blame(f"Less than 1 GiB is free in {folder}. Free some space.")
        if not os.access(folder, os.W_OK):
            findings.say("room", f"{folder} cannot be written: choose another folder with --out")
    memory = None
    with suppress(OSError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        memory = next((int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")), None)
    if memory is not None:
        findings.say("room", f"memory: {memory / (1 << 30):.1f} GiB free")
        if memory < _LEAST_MEMORY:
            findings.blame("Less than 1 GiB of memory is free. Close other programs.")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
