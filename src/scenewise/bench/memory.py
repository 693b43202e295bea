"""Memory of a training step and of inference: on a CPU by a fresh process each, since none gives all memory back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch

from scenewise.bench import machine
from scenewise.bench.subject import Spec, Subject
from scenewise.documents import parse_json
from scenewise.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

_STEPS, _FRAMES = 2, 4
"""From the second step on Adam's moments are there too."""


@dataclass(frozen=True)
class Memory:
    """Peak memory in MiB.

    Attributes:
        growth: Over the state before: libraries imported, model and inputs made.
        peak: All in all; on a GPU what torch has allocated there.
    """

    growth: float
    peak: float


def measure(spec: Spec, training: bool) -> Memory:
    """Return the memory of training steps or of streamed frames.

    Raises:
        InputError: The process that measures it failed, for example for want of memory.
    """
    return _on_gpu(spec, training) if torch.device(spec.device).type == "cuda" else _in_child(spec, training)


def watched(run: Callable[[], object]) -> Memory:
    """Return the memory that `run` takes in this process; the growth is exact only in a fresh one."""
    machine.forget_peak()
    before = machine.memory_now()
    run()
    peak = machine.memory_peak()
    return Memory((peak - before) / machine.MIB, peak / machine.MIB)


def main(text: str) -> str:
    """Measure in this process, the child, and return the answer as JSON."""
    request = parse_json(text, "request", "a request", "")
    spec = Spec(**request["spec"])
    if spec.threads is not None:
        torch.set_num_threads(spec.threads)
    tiny = Subject(Spec(spec.model_class().registered_name, "tiny"))
    tiny.train()  # what libraries load and set up when first used is no model's memory
    tiny.stream()
    subject = _subject(spec, request["training"])
    with subject.way():
        return json.dumps(asdict(watched(lambda: _work(subject, request["training"]))))


def _work(subject: Subject, training: bool) -> None:
    for _ in range(_STEPS if training else _FRAMES):
        subject.train() if training else subject.stream()


def _subject(spec: Spec, training: bool) -> Subject:
    subject = Subject(spec)
    if spec.engine != "torch" and not training:
        subject.engage()
    return subject


def _in_child(spec: Spec, training: bool) -> Memory:
    question = json.dumps({"spec": spec.plain(), "training": training})
    command = [sys.executable, "-m", "scenewise.bench.child", question]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        remedy = "Try a smaller --batch or --frames."
        raise InputError(spec.name, f"memory could not be measured: the process that does ended with {last}.", remedy)
    return Memory(**parse_json(done.stdout.splitlines()[-1], spec.name, "what was measured", ""))


def _on_gpu(spec: Spec, training: bool) -> Memory:
    subject = _subject(spec, training)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    with subject.way():
        _work(subject, training)
    peak = torch.cuda.max_memory_allocated()
    return Memory((peak - before) / machine.MIB, peak / machine.MIB)
