"""Forms compiled once, so that a stage of bodies that have them is set up without MuJoCo's compiler.

Compiling a scene of meshes takes longer than casting all rays of one of its pictures, and most scenes that are tried
are rejected. Here a model of as many bodies as a scene has is compiled once, and each is then given its form by setting
what the compiler would have set.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.data.generated.scenes3d.stage import Body, compiled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scenewise.data.generated.scenes3d.solids import Mesh

Form = tuple[str, tuple[float, float, float]]

_FIELDS = tuple(f"geom_{name}" for name in ("type", "dataid", "pos", "quat", "size", "rbound", "aabb"))
_COLOUR = (1.0, 1.0, 1.0)


class Library:
    """Forms that bodies may have.

    Args:
        background: What stands behind all bodies, the same in all scenes.
        forms: (shape, size) of all that bodies may have.
        meshes: Vertices and faces by name, for the shapes that are meshes.

    Raises:
        InputError: MuJoCo is not installed, or a shape is unknown.
    """

    def __init__(
        self, background: Sequence[Body], forms: Sequence[Form], meshes: dict[str, Mesh] | None = None
    ) -> None:
        self._background = list(background)
        self._meshes = meshes or {}
        self._forms = list(dict.fromkeys(forms))
        gallery = self._compiled(self._forms)
        first = len(self._background)
        self._rows = {form: first + row for row, form in enumerate(self._forms)}
        self._values = {name: getattr(gallery, name).copy() for name in _FIELDS}
        self._stands: dict[int, Any] = {}

    def model(self, bodies: Sequence[Body]) -> Any:
        """Return a model of bodies, those of the background first, as the compiler would make it."""
        first = len(self._background)
        movers = bodies[first:]
        if len(movers) not in self._stands:  # knows all forms; compiled once
            self._stands[len(movers)] = self._compiled([self._forms[0]] * len(movers))
        model = copy.copy(self._stands[len(movers)])
        rows = [self._rows[body.shape, body.size] for body in movers]
        for name in _FIELDS:
            getattr(model, name)[first:] = self._values[name][rows]
        model.geom_sameframe[first:] = 0  # a mesh has its frame in its centre of mass, not where the body has it
        model.body_pos[1:] = np.array([body.place for body in movers]).reshape(-1, 3)
        model.body_quat[1:] = np.array([body.turn for body in movers]).reshape(-1, 4)
        return model

    def _compiled(self, forms: Sequence[Form]) -> Any:
        bodies = [Body(shape, size, _COLOUR, 0, 1) for shape, size in forms]
        return compiled([*self._background, *bodies], self._meshes, self._forms)
