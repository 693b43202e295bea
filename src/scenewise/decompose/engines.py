"""What a model's frames are explained by: PyTorch, or a runtime that gives the same in less time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from scenewise.checkpoint import readme, save_model
from scenewise.config import plain
from scenewise.decompose.result import check_limits
from scenewise.media.files import write_atomically
from scenewise.runtimes import RUNTIMES, engage
from scenewise.variational.compiled import CompiledEngine

if TYPE_CHECKING:
    from typing import Any, Self

    from scenewise.checkpoint import Card
    from scenewise.models.contract import SceneModel


LONG = 500
"""Frames of a video from which on a runtime pays, even where graphs are made for the first time."""


def engine_for(frames: int | None, refines: bool = True) -> str:
    """Return the quickest engine that gives what PyTorch gives: a runtime that is installed, for long videos.

    Models that refine run quickest in OpenVINO, those that pass a frame through their networks once in ONNX Runtime.

    Args:
        frames: Of the video; None where unknown, as of a camera.
        refines: Whether the model decodes and refines by gradients.
    """
    if frames is not None and frames < LONG:
        return "torch"
    order = ("openvino", "onnxruntime") if refines else ("onnxruntime", "openvino")
    return next((name for name in order if RUNTIMES[name].is_there()), "torch")


class RunsOnEngines:
    """What has a model and chooses the engine that explains its frames.

    Attributes:
        engine: What was chosen; `use` chooses another.
    """

    model: SceneModel
    card: Card
    name: str
    path: str
    engine = "torch"

    @property
    def compiled(self) -> bool:
        """Whether the model runs as compiled graphs."""
        return isinstance(self.model.engine, CompiledEngine)

    @property
    def refusal(self) -> str:
        """Why PyTorch explains frames in place of the engine that was chosen; empty where the engine does."""
        refusal = getattr(self.model.runner, "refusal", None)
        return f"ran on torch, not on {self.engine}: {refusal}" if refusal else ""

    def compile(self) -> Self:
        """Let the model run as compiled graphs, made with the first frame, and return it all.

        It pays for long videos and small models of iterative inference; see `variational.compiled`. Results are the
        same up to rounding.

        Raises:
            InputError: The model has nothing to compile.
        """
        return self.use("compile")

    def use(self, engine: str) -> Self:
        """Let an engine explain frames from now on, and return it all.

        Results are those of PyTorch up to rounding (but for "openvino-bfloat16"): the first frames are compared, labels
        on 99.99 % of pixels and numbers to 1e-3. Where they differ, or a model cannot be run so, PyTorch does the work
        and the result's problems say why. Weights that change afterwards do not count before it is called again.

        Args:
            engine: "torch", "openvino", "onnxruntime", "openvino-bfloat16" or "compile".

        Raises:
            InputError: There is no such engine, it is not installed, or the model has nothing to compile.
        """
        engage(self.model, engine, tell=lambda _: None, folder=Path(self.path) if self.path else None)
        self.engine = engine
        return self

    def use_for(self, frames: int | None) -> Self:
        """Let the quickest engine that gives what PyTorch gives explain a video, and return it all.

        Args:
            frames: Of the video, None where unknown; for short ones that is PyTorch, see `engine_for`.
        """
        on_cpu, refines = next(self.model.parameters()).device.type == "cpu", self.model.engine is not None
        wanted = engine_for(frames, refines) if on_cpu else "torch"
        return self if wanted == self.engine else self.use(wanted)

    def export(self, folder: str | Path, slots: int | None = None, refinements: int | None = None) -> dict[str, Any]:
        """Write the model as ONNX files, with its card and how near they come to PyTorch; returns `export.json`.

        One file explains a video's first frame, others those that follow: frame, state and noise are inputs, what was
        found and the next state outputs. `README.md` beside them says how they are run, by programs without scenewise
        too where a frame is all in its graph. `load` takes the folder as it takes any model's, since `model` in it has
        settings and weights, and `use` takes the graphs that are there in place of new ones.

        Args:
            folder: Where; files of the same names are replaced.
            slots: K, the model's own where None.
            refinements: R, the model's own where None.

        Raises:
            InputError: onnx is not installed, the model cannot be written, or the folder cannot be.
        """
        from scenewise.runtimes.exported import MODEL
        from scenewise.runtimes.exporting import export_onnx

        check_limits(slots=slots, refinements=refinements)
        facts = export_onnx(self.model, folder, self.name, plain(self.card), slots, refinements)
        save_model(self.model, Path(folder) / MODEL, replace(self.card, name=self.name))
        write_atomically(Path(folder) / "card.md", readme(self.model, self.card))
        return facts
