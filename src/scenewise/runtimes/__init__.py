"""Other runtimes than PyTorch for the frames of a stream: no compiler, ready within seconds.

A model's work on a frame, with the gradients of its refinements, is traced once (`tracing`), gradients are written out
in forward operations (`decompositions`), the graph is written as ONNX (`onnx_graph`), kept on disk (`store`) and run by
OpenVINO or ONNX Runtime (`sessions`). Results are PyTorch's up to rounding, which is checked (`runner`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scenewise.errors import InputError
from scenewise.runtimes.exported import ExportedGraphs
from scenewise.runtimes.runner import GraphRunner
from scenewise.runtimes.sessions import RUNTIMES
from scenewise.variational.compiled import compile_decodes, plain_engine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scenewise.models.contract import SceneModel

__all__ = ["ENGINES", "RUNTIMES", "GraphRunner", "engage"]

ENGINES = ("torch", *RUNTIMES, "compile")
"""What can explain frames: PyTorch, the runtimes, and PyTorch with compiled decodes."""


def engage(
    model: SceneModel, engine: str, tell: Callable[[str], None] | None = None, folder: Path | None = None
) -> None:
    """Let an engine explain a model's frames from now on.

    Args:
        model: In evaluation mode.
        engine: One of `ENGINES`.
        tell: Is told in one line where PyTorch does the work all the same; a warning where None.
        folder: Where the model came from, beside whose folder an export may have graphs.

    Raises:
        InputError: There is no such engine, its package is not installed, or the model has nothing to compile.
    """
    if engine not in ENGINES:
        raise InputError("engine", f"there is no engine {engine!r}.", f"Choose one of {', '.join(ENGINES)}.")
    if engine in RUNTIMES:
        RUNTIMES[engine].check()
    model.engine = plain_engine(model.engine)
    model.runner = None
    if engine in RUNTIMES:
        exported = None if folder is None else ExportedGraphs.beside(model, folder)
        model.runner = GraphRunner(model, RUNTIMES[engine], tell=tell, exported=exported)
    if engine == "compile":
        compile_decodes(model)
