"""Runtimes that run an ONNX model on the CPU, each imported when it is first used."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import torch

from scenewise.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import openvino

    Session = Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]
    """Takes a graph's inputs and returns its outputs, both in their order."""


@dataclass(frozen=True)
class Runtime:
    """What runs graphs.

    Attributes:
        name: As users write it.
        package: That it needs.
        exact: Whether it computes in float32, so that results are those of PyTorch up to rounding.
        start: Takes an ONNX model and makes a session of it.
    """

    name: str
    package: str
    exact: bool
    start: Callable[[bytes], Session]

    def is_there(self) -> bool:
        """Return whether its package, and onnx, with which graphs are written, are installed."""
        return not self.missing()

    def missing(self) -> list[str]:
        """Return the packages that it lacks."""
        return [name for name in ("onnx", self.package) if package_version(name) is None]

    def check(self) -> None:
        """Raise InputError where a package is missing."""
        if missing := self.missing():
            problem = f"needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed."
            raise InputError(f"engine {self.name}", problem, "Run: pip install 'scenewise[fast]'")

    def describe(self) -> str:
        """Return its name with the version of its package."""
        return f"{self.name} {package_version(self.package)}"


def package_version(package: str) -> str | None:
    """Return the version of an installed package, None of one that is not."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


@cache
def openvino_core() -> openvino.Core:
    """Return the process's one OpenVINO.

    A core's CPU plug-in gives the thread that starts it a stack for signals, and when it goes puts back the one that
    was there before. Of several cores that go in another order than last come, first gone, one puts back a stack that
    is no more, and the process ends with the next signal. So there is one, which stays.
    """
    import openvino

    return openvino.Core()


def _openvino(precision: str) -> Callable[[bytes], Session]:
    def start(model: bytes) -> Session:
        core = openvino_core()
        hints = {
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": precision,
        }
        compiled = core.compile_model(core.read_model(model), "CPU", hints)
        request, count = compiled.create_infer_request(), len(compiled.outputs)

        def run(inputs: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
            results = request.infer(list(inputs), share_inputs=True, share_outputs=False)
            return [results[number] for number in range(count)]

        return run

    return start


def _onnxruntime(model: bytes) -> Session:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def run(inputs: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        outputs: Sequence[np.ndarray] = session.run(None, dict(zip(names, inputs, strict=True)))
        return outputs

    return run


RUNTIMES = {
    runtime.name: runtime
    for runtime in (
        Runtime("openvino", "openvino", True, _openvino("f32")),
        Runtime("onnxruntime", "onnxruntime", True, _onnxruntime),
        Runtime("openvino-bfloat16", "openvino", False, _openvino("bf16")),
    )
}
"""Runtimes by name, the quickest exact one first."""
