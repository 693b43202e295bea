"""A model as ONNX files that other programs run, with its card and how near to PyTorch they come."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from scenewise.data import SOURCES
from scenewise.errors import InputError
from scenewise.media.files import write_atomically, writing
from scenewise.models.contract import SceneModel
from scenewise.models.stages import Stages
from scenewise.runtimes.decompositions import UnknownOperationError
from scenewise.runtimes.exported import FACTS
from scenewise.runtimes.runner import FrameGraph, graph_facts, traced
from scenewise.runtimes.sessions import RUNTIMES
from scenewise.runtimes.store import hash_of
from scenewise.runtimes.tracing import explainer, explains_alone
from scenewise.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from scenewise.models.contract import State

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
  or `part.masks` where there is none.{more}

scenewise itself streams by these files where this folder is its model, as in
`scenewise decompose long.mp4 --model FOLDER --engine onnxruntime`; `model` has settings and weights.
"""
_LINKING = """
- The model explains every frame by itself: slots have other numbers in the next frame, and scenewise links them by what
  they show. These files do not."""
_VIEWS = """
- A frame is a view of a scene that stands still; `state.viewpoint` [1, {size}] says where it is taken from."""
_STAGES = """

Which slots there are is decided before a graph, by what the frame shows, and after it, by what it explained. Both are
scenewise's own, so that programs need it beside a runtime, but neither PyTorch's decodes nor its gradients.
`frame-N-{sized_by}-M.onnx` is for states with M `{sized_by}`; a frame takes the smallest that there is:

```python
model = scenewise.load("FOLDER", device="cpu").model
state = model.initial_state()
opened = model.open_frame(frame, state)  # entries of `opened` are the graph's `state.NAME`
given = next(model.roundings(opened))  # with M = len(given["{sized_by}"])
outputs = ...  # of the session: `part.NAME` and `next.NAME`
part, after = scenewise.decomposition.Decomposition(**parts), {{**given, **nexts, "frame": state["frame"] + 1}}
part, state = model.close_frame(frame, part, given, after)  # slots that live on
```"""


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
    if type(model).step is not SceneModel.step:
        problem = f"{model.registered_name} explains clips of {model.window} frames as wholes, not frame after frame."
        remedy = "Run it by scenewise itself, or export a model that streams, such as provide."
        raise InputError("export", problem, remedy)
    folder, frames = Path(folder), clip_for(model)
    with torch.no_grad():
        files, start = _files(model, frames, slots, refinements)
        report = None if missing else _compared(model, frames, files, start, refinements)
    facts = {
        "model": name,
        "kind": model.registered_name,
        "scenewise": __version__,
        "made_of": hash_of(model),
        "slots": model.count_slots(slots),
        "refinements": refinements,
        "files": {file.name: _described(file) for file in files},
        "links_slots": explains_alone(model),
        "stages": isinstance(model, Stages),
        "equality": report,
        "card": card,
    }
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("frame-*.onnx") if (folder / FACTS).is_file() else ():
            path.unlink()  # of an export before, which may have had more files
        for file in files:
            write_atomically(folder / file.name, file.content)
        begin: dict[str, Any] = {name: tensor.numpy() for name, tensor in start.items() if tensor.ndim}
        np.savez(folder / "state.npz", **begin)
    write_atomically(folder / FACTS, json.dumps(facts, indent=1) + "\n")
    write_atomically(folder / "README.md", _README.format(name=name, more=_more(model)))
    return facts


def _more(model: SceneModel) -> str:
    """Return what the README says of this kind of model alone."""
    if isinstance(model, Stages):
        return _STAGES.format(sized_by=model.sized_by)
    if model.viewpoint_size is not None:
        return _VIEWS.format(size=model.viewpoint_size)
    return _LINKING * explains_alone(model)


def clip_for(model: SceneModel) -> Tensor:
    """Return a video (1, T, C, H, W) to compare on: bouncing balls, over what picture it draws over."""
    channels, height, width = model.frame_shape
    kind, own = ("balls-colour", 3) if channels >= 3 else ("balls-binary", 1)
    source = SOURCES.get(kind)(split="test", size=max(height, width, 16), channels=own, frames=COMPARED)
    sample = source.sample(0)
    clip = torch.from_numpy(np.asarray(sample.frames))[None, ..., :height, :width]
    balls = clip[:, :, [c % own for c in range(channels)]].float() / 255
    picture = model.initial_state().get("background")
    if picture is None or sample.ids is None:
        return balls
    inside = torch.from_numpy(np.asarray(sample.ids))[None, :, None, :height, :width] > 0
    return torch.where(inside, balls, picture[:, None])


@dataclass(frozen=True)
class _File:
    """A graph that was written.

    Attributes:
        number: Of the first frame that it explains.
        sizes: Of a model in stages, the length of the entry by which its states differ.
        content: ONNX.
    """

    number: int
    sizes: tuple[tuple[str, int], ...]
    content: bytes

    @property
    def name(self) -> str:
        """Of the file."""
        return "-".join([f"frame-{self.number}", *(f"{name}-{size}" for name, size in self.sizes)]) + ".onnx"


def _files(model: SceneModel, frames: Tensor, slots: int | None, refinements: int | None) -> tuple[list[_File], State]:
    """Return ONNX models for all forms of frames, and the state before the first."""
    files: list[_File] = []
    start = state = model.initial_state(1, slots)
    for number in range(_MOST_FORMS):
        form = model.frame_form(number, refinements)
        frame = state.get("background", frames[:, number % frames.shape[1]])  # where nothing is, all slots are free
        if form is None:
            problem = f"{model.registered_name} computes what depends on what a frame shows, or on its number."
            raise InputError("export", problem, "Run it with scenewise.")
        for given in _given(model, frame, state):
            try:
                content = traced(model, frame, given, refinements, {})
            except (UnknownOperationError, NotImplementedError) as error:  # the second is PyTorch's own
                raise InputError("export", f"{model.registered_name} cannot be written: {error}.") from error
            files.append(_File(number, _sizes(model, given), content))
        if form == model.frame_form(number + 1, refinements):
            break
        _, state = model.explain_frame(frame, state, refinements)
    return files, start


def _given(model: SceneModel, frame: Tensor, state: State) -> Iterator[State]:
    """Yield what graphs are given of a state, the smallest that does first."""
    return model.roundings(model.open_frame(frame, state)) if isinstance(model, Stages) else iter([state])


def _sizes(model: SceneModel, given: State) -> tuple[tuple[str, int], ...]:
    return ((model.sized_by, len(given[model.sized_by])),) if isinstance(model, Stages) else ()


def _described(file: _File) -> dict[str, Any]:
    """Return names and shapes of what an ONNX model takes and gives, which noise it takes, and from which frame on."""
    import onnx

    model = onnx.load_from_string(file.content)
    facts = graph_facts(model)
    sides = (
        {each.name: [axis.dim_value for axis in each.type.tensor_type.shape.dim] for each in values}
        for values in (model.graph.input, model.graph.output)
    )
    return dict(zip(("inputs", "outputs"), sides, strict=True)) | {
        "noises": facts["noises"],
        "from_frame": file.number,
    }


def _compared(
    model: SceneModel, frames: Tensor, files: list[_File], state: State, refinements: int | None
) -> dict[str, Any]:
    """Return how near ONNX Runtime comes to PyTorch, each from the state that it left itself; slots are not linked."""
    graphs = {(file.number, file.sizes): FrameGraph.of(file.content, RUNTIMES["onnxruntime"]) for file in files}
    ours, theirs, same, apart = state, state, list[float](), list[float]()
    for number, frame in enumerate(frames.unbind(1)):
        first = max(file.number for file in files if file.number <= number)
        given, seen = (next(_given(model, frame, each)) for each in (ours, theirs))
        part, ours = graphs[first, _sizes(model, given)].run(frame, given)
        expected, theirs = explainer(model)(frame, seen, refinements)
        if isinstance(model, Stages):
            part, ours = model.close_frame(frame, part, given, ours)
            expected, theirs = model.close_frame(frame, expected, seen, theirs)
        same.append(float((part.labels == expected.labels).double().mean()))
        apart.append(float((part.masks - expected.masks).abs().max()))
    return {
        "by": RUNTIMES["onnxruntime"].describe(),
        "frames": len(same),
        "share_of_equal_labels": sum(same) / len(same),
        "largest_difference_of_masks": max(apart),
    }
