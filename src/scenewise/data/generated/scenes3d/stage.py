"""Bodies on a stage: compiled by MuJoCo, moved, and struck by rays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from scenewise.data.generated.scenes3d.engine import engine
from scenewise.errors import InputError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scenewise.data.generated.scenes3d.camera import Camera
    from scenewise.data.generated.scenes3d.solids import Mesh

MATTE, RUBBER, METAL = 0, 1, 2
"""Kinds of surface; backgrounds are matte."""

OBJECTS, BACKGROUND, ALONE = 0, 1, 2  # groups of geoms: rays may be told which to meet
_TYPES = {
    "cube": "mjGEOM_BOX",
    "box": "mjGEOM_BOX",
    "sphere": "mjGEOM_SPHERE",
    "cylinder": "mjGEOM_CYLINDER",
    "capsule": "mjGEOM_CAPSULE",
}
_ROUND = ("cylinder", "capsule")


@dataclass(frozen=True)
class Body:
    """One body.

    Attributes:
        shape: "cube", "box", "sphere", "cylinder", "capsule", "plane" or the name of a mesh.
        size: Half extents along its axes, world units; spheres use the first, cylinders the first (radius) and the
            last (half height), capsules the same (half length of the straight part); factors of a mesh.
        colour: Linear RGB, 0 to 1.
        surface: `MATTE`, `RUBBER` or `METAL`.
        owner: Id in the mask.
        place: Its centre.
        turn: Its rotation as a quaternion (w, x, y, z).
        background: Whether it is part of the background, which casts no shadow.
    """

    shape: str
    size: tuple[float, float, float]
    colour: tuple[float, float, float]
    surface: int
    owner: int
    place: tuple[float, float, float] = (0.0, 0.0, 0.0)
    turn: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
    background: bool = False


class Hits(NamedTuple):
    """What N rays met.

    Attributes:
        geoms: Index of the geom, -1 for none, int32, shape (N,).
        reach: Factor by which the direction leads to the surface, -1 for none, shape (N,).
        normals: Of the surface, shape (N, 3); empty where not asked for.
    """

    geoms: np.ndarray
    reach: np.ndarray
    normals: np.ndarray


def about_z(angle: float) -> tuple[float, float, float, float]:
    """Return the quaternion of a turn about the vertical, radians."""
    return (float(np.cos(angle / 2)), 0.0, 0.0, float(np.sin(angle / 2)))


class Models(Protocol):
    """Where the forms of bodies are ready; see `library.Library`."""

    def model(self, bodies: Sequence[Body]) -> Any:
        """Return MuJoCo's model of bodies, those of the background first."""


class RayScene:
    """Compiled bodies, those of the background first; geom i is body i.

    Args:
        bodies: What stands on it.
        meshes: Vertices (V, 3) and faces (F, 3) by name, for the bodies whose shape is a mesh.
        library: Where the forms of all bodies are ready, which saves compiling them.

    Raises:
        InputError: MuJoCo is not installed.
    """

    def __init__(
        self, bodies: Sequence[Body], meshes: dict[str, Mesh] | None = None, library: Models | None = None
    ) -> None:
        self.bodies = sorted(bodies, key=lambda body: not body.background)  # MuJoCo numbers what is fixed first
        self._mujoco = engine()
        self.model = library.model(self.bodies) if library else compiled(self.bodies, meshes or {})
        self.data = self._mujoco.MjData(self.model)
        self.owners = np.array([body.owner for body in self.bodies] + [0])  # the last one answers for -1
        self.colours = np.array([body.colour for body in self.bodies] + [(0, 0, 0)], np.float32)
        self.surfaces = np.array([body.surface for body in self.bodies] + [MATTE])
        self.foreground = np.array([not body.background for body in self.bodies] + [False])
        self.moving = np.flatnonzero([not body.background for body in self.bodies])
        self.convex = np.array([body.shape in _TYPES or body.shape == "plane" for body in self.bodies] + [True])
        self.edged = [i for i, body in enumerate(self.bodies) if body.shape in ("cube", "cylinder")]
        self.cores = np.array([_core(body) for body in self.bodies], np.float32)
        self.settle()

    def settle(self) -> None:
        """Bring the geoms where the bodies are."""
        self._mujoco.mj_kinematics(self.model, self.data)

    def move(self, places: np.ndarray, turns: np.ndarray | None = None) -> None:
        """Put the bodies that are not background elsewhere: places of shape (n, 3), quaternions (n, 4)."""
        self.data.mocap_pos[:] = places
        if turns is not None:
            self.data.mocap_quat[:] = turns
        self.settle()

    @property
    def places(self) -> np.ndarray:
        """Centres of the bodies that are not background, shape (n, 3)."""
        return np.asarray(self.data.xpos[self.model.geom_bodyid[self.moving]])

    def cast(
        self, origin: Sequence[float] | np.ndarray, rays: np.ndarray, groups: Sequence[int], normals: bool = False
    ) -> Hits:
        """Return the first surface on every ray.

        Args:
            origin: Where all rays begin.
            rays: Directions of any length, shape (N, 3).
            groups: Which groups of geoms to meet.
            normals: Whether to return normals too.
        """
        count = len(rays)
        geoms, reach = np.empty(count, np.int32), np.empty(count)
        faced = np.empty(3 * count if normals else 0)
        mask = np.zeros(6, np.uint8)
        mask[list(groups)] = 1
        start, flat = np.asarray(origin, float), np.ascontiguousarray(rays, float).reshape(-1)
        if count:
            self._mujoco.mj_multiRay(
                self.model, self.data, start, flat, mask, 1, -1, geoms, reach, faced if normals else None, count, 1e9
            )
        return Hits(geoms, reach, faced.reshape(-1, 3))

    def single(self, origin: Sequence[float], ray: np.ndarray) -> int:
        """Return the geom that one ray meets by MuJoCo's other, unbatched caster, -1 for none; for checks."""
        geom = np.full(1, -1, np.int32)
        self._mujoco.mj_ray(self.model, self.data, np.asarray(origin, float), ray, None, 1, -1, geom)
        return int(geom[0])

    def ids(self, camera: Camera) -> np.ndarray:
        """Return the ids that the centre rays meet, int64, shape (H, W)."""
        hits = self.cast(camera.place, camera.rays(), (OBJECTS, BACKGROUND))
        return np.asarray(self.owners[hits.geoms]).reshape(camera.size).astype(np.int64)

    def silhouettes(self, camera: Camera) -> np.ndarray:
        """Return what each body would show were it alone, bool, shape (n, H, W)."""
        rays = camera.rays()
        hits, squares = np.zeros((len(self.moving), len(rays)), bool), (rays * rays).sum(1)
        for row, geom in enumerate(self.moving):
            # Of the rays only those that pass a ball about the body are cast: saves nine in ten.
            way, reach = self.data.geom_xpos[geom] - camera.place, 1.01 * self.model.geom_rbound[geom]
            along = rays @ way
            near = np.flatnonzero((along > 0) & ((way @ way - reach**2) * squares <= along * along))
            self.model.geom_group[geom] = ALONE
            hits[row, near] = self.cast(camera.place, rays[near], (ALONE,)).geoms >= 0
            self.model.geom_group[geom] = OBJECTS
        return hits.reshape(len(hits), *camera.size)


def _core(body: Body) -> float:
    """Return the radius of a ball that keeps as much light away as the body, about."""
    return float(np.prod(body.size)) ** (1 / 3) * (1.0 if body.shape == "sphere" else 1.1)


def compiled(
    bodies: Sequence[Body], meshes: dict[str, Mesh], forms: Sequence[tuple[str, tuple[float, float, float]]] = ()
) -> Any:
    """Return MuJoCo's model of bodies, and of the meshes of further forms (shape, size) in their order.

    Raises:
        InputError: MuJoCo is not installed, or a shape is unknown.
    """
    mujoco = engine()
    spec = mujoco.MjSpec()
    for shape, size in forms:
        _form(mujoco, spec, shape, size, meshes)
    for body in bodies:
        parent = spec.worldbody if body.background else spec.worldbody.add_body(mocap=True)
        frame = {"pos": body.place, "quat": body.turn}
        if not body.background:
            parent.pos, parent.quat = body.place, body.turn
            frame = {}
        group = BACKGROUND if body.background else OBJECTS
        form = _form(mujoco, spec, body.shape, body.size, meshes)
        parent.add_geom(group=group, contype=0, conaffinity=0, **frame, **form)
    return spec.compile()


def _form(
    mujoco: Any, spec: Any, shape: str, size: tuple[float, float, float], meshes: dict[str, Mesh]
) -> dict[str, Any]:
    """Return what tells MuJoCo the form of a geom."""
    if shape == "plane":
        return {"type": mujoco.mjtGeom.mjGEOM_PLANE, "size": size}
    if shape in _TYPES:
        extents = (size[0], size[2], size[2]) if shape in _ROUND else size
        return {"type": getattr(mujoco.mjtGeom, _TYPES[shape]), "size": extents}
    if shape in meshes:
        name = f"{shape} {size}"
        if spec.mesh(name) is None:
            vertices, faces = meshes[shape]
            scaled = (vertices * size).reshape(-1)
            spec.add_mesh(
                name=name,
                uservert=scaled,
                userface=faces.reshape(-1),
                inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,
            )
        return {"type": mujoco.mjtGeom.mjGEOM_MESH, "meshname": name}
    raise InputError(shape, "is no shape that can be shown.", nearest(shape, [*_TYPES, "plane", *meshes]))
