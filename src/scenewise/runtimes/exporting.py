"""A model as ONNX files that other programs run, with its card and how near to PyTorch they come."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from scenewise.data import SOURCES
from scenewise.errors import InputError
from scenewise.media.files import write_atomically, writing
from scenewise.models.stages import Stages
from scenewise.runtimes.decompositions import UnknownOperationError
from scenewise.runtimes.runner import FrameGraph, graph_facts, traced
from scenewise.runtimes.sessions import RUNTIMES
from scenewise.runtimes.tracing import explainer, explains_alone
from scenewise.version import __version__

if TYPE_CHECKING:
    from torch import Tensor

    from scenewise.models.contract import SceneModel, State

COMPARED = 20
"""Frames on which an export is compared with PyTorch, each from the state that the one before it left."""

_MOST_FORMS = 64

_README = """# {name} as ONNX

Each file explains one frame: `frame-0.onnx` the first of a video, `frame-N.onnx` frame N and all after it up to the
number in the next file's name. `export.json` has the shapes.

- `frame` [1, C, H, W], float32 in [0, 1]; `noise.I`, standard normal numbers, new ones for every frame (scenewise draws
  them from the video's seed; which, `noises` in `export.json` says).
- `state.NAME` is what the frame before gave as `next.NAME`; a name that no frame gives stays as it began. What a video
  begins with is in `state.npz`.
- `part.masks` [1, 1, K, 1, H, W], `part.appearance` [1, 1, K, C, H, W], `part.mean`, `part.log_variance` [1, 1, K, Z]
  and more are what `scenewise.Decomposition` has; a pixel belongs to the slot with the largest `part.responsibilities`,
  or `part.masks` where there is none.{linking}
"""
_LINKING = """
- The model explains every frame by itself: slots have other numbers in the next frame, and scenewise links them by what
  they show. These files do not.
"""


def export_onnx(
    model: SceneModel,
    folder: str | Path,
    name: str,
    card: dict[str, Any],
    slots: int | None = None,
    refinements: int | None = None,
) -> dict[str, Any]:
    """Write a model's work on the frames of one video as ONNX files; see `Decomposer.export`.

    Args:
        model: In evaluation mode, on the CPU.
        folder: Where.
        name: Of the model.
        card: Its facts, as plain values.
        slots: K; the settings' value where None.
        refinements: R; the settings' value where None.

    Raises:
        InputError: onnx is not installed, the model cannot be written, or the folder cannot be.
    """
    missing = RUNTIMES["onnxruntime"].missing()
    if "onnx" in missing:
        raise InputError("export", "needs onnx, which is not installed.", "Run: pip install 'scenewise[fast]'")
    if isinstance(model, Stages):
        problem = f"{model.registered_name} works on frames before and after its graphs."
        raise InputError("export", problem, "Run it by scenewise itself: --engine takes other runtimes there.")
    folder, frames = Path(folder), clip_for(model)
    with torch.no_grad():
        files, states = _files(model, frames, slots, refinements)
        report = None if missing else _compared(model, frames, files, states[0], refinements)
    facts = {
        "model": name,
        "kind": model.registered_name,
        "scenewise": __version__,
        "slots": model.count_slots(slots),
        "refinements": refinements,
        "files": {f"frame-{number}.onnx": _described(content) for number, content in files.items()},
        "links_slots": explains_alone(model),
        "equality": report,
        "card": card,
    }
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("frame-*.onnx") if (folder / "export.json").is_file() else ():
            path.unlink()  # of an export before, which may have had more files
        for number, content in files.items():
            write_atomically(folder / f"frame-{number}.onnx", content)
        start: dict[str, Any] = {name: tensor.numpy() for name, tensor in states[0].items() if tensor.ndim}
        np.savez(folder / "state.npz", **start)
    write_atomically(folder / "export.json", json.dumps(facts, indent=1) + "\n")
    write_atomically(folder / "README.md", _README.format(name=name, linking=_LINKING * explains_alone(model)))
    return facts


def clip_for(model: SceneModel) -> Tensor:
    """Return a video (1, T, C, H, W) to trace and compare on: bouncing balls of the model's size."""
    channels, height, width = model.frame_shape
    kind, own = ("balls-colour", 3) if channels >= 3 else ("balls-binary", 1)
    source = SOURCES.get(kind)(split="test", size=max(height, width, 16), channels=own, frames=COMPARED)
    clip = torch.from_numpy(np.asarray(source.sample(0).frames))[None, ..., :height, :width]
    return clip[:, :, [c % own for c in range(channels)]].float() / 255


def _files(
    model: SceneModel, frames: Tensor, slots: int | None, refinements: int | None
) -> tuple[dict[int, bytes], list[State]]:
    """Return ONNX models by the number of their first frame, and the states before these frames."""
    files: dict[int, bytes] = {}
    states: list[State] = []
    state = model.initial_state(1, slots)
    for number in range(_MOST_FORMS):
        form = model.frame_form(number, refinements)
        frame = frames[:, number % frames.shape[1]]
        if form is None:
            problem = f"{model.registered_name} computes what depends on what a frame shows, or on its number."
            raise InputError("export", problem, "Run it with scenewise.")
        try:
            files[number] = traced(model, frame, state, refinements, {})
        except (UnknownOperationError, NotImplementedError) as error:  # the second is PyTorch's own
            raise InputError("export", f"{model.registered_name} cannot be written: {error}.") from error
        states.append(state)
        if form == model.frame_form(number + 1, refinements):
            break
        _, state = model.explain_frame(frame, state, refinements)
    return files, states


def _described(content: bytes) -> dict[str, Any]:
    """Return names and shapes of what an ONNX model takes and gives, and which noise it takes."""
    import onnx

    model = onnx.load_from_string(content)
    facts = graph_facts(model)
    sides = (
        {each.name: [axis.dim_value for axis in each.type.tensor_type.shape.dim] for each in values}
        for values in (model.graph.input, model.graph.output)
    )
    return dict(zip(("inputs", "outputs"), sides, strict=True)) | {"noises": facts["noises"]}


def _compared(
    model: SceneModel, frames: Tensor, files: dict[int, bytes], state: State, refinements: int | None
) -> dict[str, Any]:
    """Return how near ONNX Runtime comes to PyTorch, each from the state that it left itself; slots are not linked."""
    graphs = {number: FrameGraph.of(content, RUNTIMES["onnxruntime"]) for number, content in files.items()}
    explain = explainer(model)
    ours, theirs, same, apart = state, state, list[float](), list[float]()
    for number, frame in enumerate(frames.unbind(1)):
        expected, theirs = explain(frame, theirs, refinements)
        part, ours = graphs[max(first for first in graphs if first <= number)].run(frame, ours)
        same.append(float((part.labels == expected.labels).double().mean()))
        apart.append(float((part.masks - expected.masks).abs().max()))
    return {
        "by": RUNTIMES["onnxruntime"].describe(),
        "frames": len(same),
        "share_of_equal_labels": sum(same) / len(same),
        "largest_difference_of_masks": max(apart),
    }
