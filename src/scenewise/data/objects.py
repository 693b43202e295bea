"""What is known of the objects of a sample, under the same names in every source."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

_AXES = {"position": 1, "place": 1, "velocity": 1, "amodal": 2}  # of a value, behind that of the objects
_FACTORS = ("shape", "label", "texture", "material", "size", "colour")
_ORDERED = ("size",)  # where it is told by numbers that are not whole


@dataclass(frozen=True)
class Objects:
    """n objects; what may change has a leading axis T, what is not known is None.

    Attributes:
        ids: Id of each in the sample's ids, int64, shape (n,).
        shape: Words, or whole numbers of kinds, shape (n,).
        colour: Words or numbers of kinds, shape (n,), or RGB, shape ([T,] n, 3).
        material: As `shape`.
        texture: As `shape`.
        label: What it is, such as the digit, as `shape`.
        size: Floats, or words or whole numbers of kinds, shape ([T,] n).
        position: Column, row and, where known, depth in the picture, shape ([T,] n, 2 or 3), in the source's unit.
        place: x, y and, where known, z in the world, shape ([T,] n, 2 or 3), in the source's unit.
        velocity: Of `place`, or of `position` where there is no place, per frame or second, shape ([T,] n, 2 or 3).
        orientation: Angles, shape ([T,] n), or quaternions, shape ([T,] n, 4).
        depth: Order from the front, 0 the nearest, shape (n,).
        visibility: Share of its own pixels that is seen, shape ([T,] n).
        amodal: Its whole mask, bool, shape ([T,] n, H, W).
    """

    ids: np.ndarray
    shape: np.ndarray | None = None
    colour: np.ndarray | None = None
    material: np.ndarray | None = None
    texture: np.ndarray | None = None
    label: np.ndarray | None = None
    size: np.ndarray | None = None
    position: np.ndarray | None = None
    place: np.ndarray | None = None
    velocity: np.ndarray | None = None
    orientation: np.ndarray | None = None
    depth: np.ndarray | None = None
    visibility: np.ndarray | None = None
    amodal: np.ndarray | None = None

    def factors(self, frame: int | None = None) -> dict[str, np.ndarray]:
        """Return the factors of the objects that a code may hold.

        Left out are rotation, which spheres and many other shapes do not show, height above the ground, which follows
        from size where objects stand, and what is no property of an object alone: visibility, depth order, velocity.

        Args:
            frame: Number of the frame whose objects are meant: `x` and `y` lie in its picture where that is known.
                None for the scene as a whole: they lie on its ground.

        Returns:
            Arrays of shape (n,) by name. Floats are ordered; words and whole numbers are categories. Colours of three
            numbers become `red`, `green` and `blue`. Empty where nothing is known.
        """
        columns: dict[str, np.ndarray] = {}
        for name in _FACTORS:
            values = getattr(self, name)
            if values is not None:
                columns |= _factor(name, values, frame or 0)
        where = (self.place, self.position) if frame is None else (self.position, self.place)
        numbers = next((np.asarray(values, np.float64) for values in where if values is not None), None)
        if numbers is not None:
            each = numbers if numbers.ndim == 2 else numbers[frame or 0]  # (n, 2 or more)
            columns |= {"x": each[:, 0], "y": each[:, 1]}
        return columns


@dataclass(frozen=True)
class ObjectKeys:
    """Where a source's extras hold what is known of objects: the key of every attribute of `Objects`.

    Of "a|b" the first that is there counts; "columns+rows" are two arrays of shape (n,) that become one of (n, 2); what
    a source never knows is empty.

    Attributes:
        entities: Whether there is a row for every id, those of the background, too, and not for objects only.
    """

    shape: str = ""
    colour: str = ""
    material: str = ""
    texture: str = ""
    label: str = ""
    size: str = ""
    position: str = ""
    place: str = ""
    velocity: str = ""
    orientation: str = ""
    depth: str = ""
    visibility: str = ""
    amodal: str = ""
    entities: bool = False

    @cached_property
    def _keys(self) -> list[tuple[str, list[list[str]]]]:
        """Keys by attribute, taken apart once: samples of small images take less time than that."""
        names = [field.name for field in fields(self) if field.name != "entities" and getattr(self, field.name)]
        return [(name, [key.split("+") for key in getattr(self, name).split("|")]) for name in names]

    def read(self, extras: Mapping[str, Any], background_ids: Collection[int] = (0,)) -> Objects | None:
        """Return what extras tell of objects, None where they tell nothing."""
        columns = dict(self._known(extras))
        if not columns:
            return None
        count = max(_count(name, values) for name, values in columns.items())
        first = 0 if self.entities else max(background_ids, default=-1) + 1
        return Objects(np.arange(first, first + count), **columns)

    def _known(self, extras: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
        for name, keys in self._keys:
            key = next((key for key in keys if all(part in extras for part in key)), None)
            if key is None:
                continue
            try:
                parts = [np.asarray(extras[part]) for part in key]
                values = parts[0] if len(parts) == 1 else np.stack(parts, -1)
            except ValueError:  # lists or arrays that do not fit: files may hold something else under the name
                continue
            if values.ndim > _AXES.get(name, 0):
                yield name, values


def _count(name: str, values: np.ndarray) -> int:
    """Return the number of objects that an array tells of."""
    behind = _AXES.get(name, 0)
    if name == "colour" and _is_rgb(values):
        behind = 1
    if behind:
        return values.shape[-1 - behind]
    return len(values) if values.ndim == 1 else values.shape[1]


def _is_rgb(values: np.ndarray) -> bool:
    return values.dtype.kind not in "USO" and values.ndim >= 2 and values.shape[-1] == 3


def _factor(name: str, values: np.ndarray, frame: int) -> dict[str, np.ndarray]:
    if name == "colour" and _is_rgb(values):
        rgb = (values if values.ndim == 2 else values[frame]).astype(np.float64)  # (n, 3)
        return {channel: rgb[:, c] for c, channel in enumerate(("red", "green", "blue"))}
    each = values if values.ndim == 1 else values[frame]
    if values.dtype.kind in "USO":
        return {name: each.astype(str)}
    ordered = name in _ORDERED and each.dtype.kind == "f"
    return {name: each.astype(np.float64 if ordered else np.int64)}
