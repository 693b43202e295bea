"""The graphs of an export, used again where its folder is loaded: nothing is traced then."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scenewise.errors import InputError
from scenewise.media.files import read_bytes, read_json_mapping
from scenewise.runtimes.store import LARGEST, hash_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from scenewise.models.contract import SceneModel, State

FACTS = "export.json"
MODEL = "model"
"""The model's own folder in that of an export: settings and weights."""


@dataclass(frozen=True)
class ExportedGraphs:
    """The files of an export.

    Attributes:
        folder: Where they are.
        files: Of each, by its name, the shapes of what it takes, as `export.json` has them.
        refinements: R that they were written for; None for the settings' value.
    """

    folder: Path
    files: Mapping[str, Mapping[str, Any]]
    refinements: int | None

    @classmethod
    def beside(cls, model: SceneModel, folder: Path) -> ExportedGraphs | None:
        """Return the graphs beside a model's folder; None where there are none, or other code or weights made them."""
        path = folder.parent / FACTS
        if folder.name != MODEL or not path.is_file():
            return None
        try:
            facts = read_json_mapping(path, "what an export wrote", "Export the model again.")
            if facts["made_of"] != hash_of(model):
                return None
            return cls(folder.parent, facts["files"], facts["refinements"])
        except (InputError, KeyError):
            return None

    def get(self, frame: Tensor, state: State, refinements: int | None) -> bytes | None:
        """Return the graph for frames that all later ones are like, in such shapes; None where there is none."""
        latest = max((each["from_frame"] for each in self.files.values()), default=0)
        files = self.files if refinements == self.refinements else {}
        for name, each in files.items():
            if each["from_frame"] == latest and _takes(each["inputs"], frame, state):
                with suppress(InputError):
                    return read_bytes(self.folder / name, LARGEST)
        return None


def _takes(inputs: Mapping[str, list[int]], frame: Tensor, state: State) -> bool:
    """Return whether a graph takes a frame and a state, by the shapes of its inputs."""
    given = {"frame": frame} | {f"state.{name}": tensor for name, tensor in state.items()}
    shapes = {name: list(tensor.shape) for name, tensor in given.items()}
    return all(shapes.get(name) == shape for name, shape in inputs.items() if not name.startswith("noise."))
