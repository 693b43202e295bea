"""The factors of the objects of a sample, under the same names whatever the source calls them.

Left out are rotation, which spheres and many other shapes do not show, height above the ground, which follows from
size where objects stand, and what is no property of an object alone: visibility, depth order, velocity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

_NAMES = {
    "shape": ("shape", "shapes", "shape_label"),
    "label": ("labels",),
    "texture": ("textures",),
    "material": ("material", "material_label"),
    "size": ("size", "sizes", "scales", "size_label"),
    "colour": ("colour", "colours", "color", "color_label"),
}
_ORDERED = ("size",)  # where it is told by numbers that are not whole
_PICTURE = ("pixel_coords", "image_positions")
_PLACE = ("positions", "3d_coords")
_AXES = (("x", ("x", "columns")), ("y", ("y", "rows")))


def object_factors(extras: Mapping[str, Any], frame: int | None = None) -> dict[str, np.ndarray]:
    """Return the factors of n objects.

    Args:
        extras: Of a sample.
        frame: Number of the frame whose objects are meant: `x` and `y` lie in its picture where the source tells that.
            None for the scene as a whole: they lie on its ground.

    Returns:
        Arrays of shape (n,) by name. Floats are ordered; words and whole numbers are categories. Colours of three
        numbers become `red`, `green` and `blue`. Empty where nothing is known.
    """
    found: dict[str, np.ndarray] = {}
    for name, keys in _NAMES.items():
        known = next((np.asarray(extras[key]) for key in keys if key in extras), None)
        if known is not None:
            found |= _property(name, known, frame or 0)
    found |= dict(_place(extras, frame))
    return found


def object_ids(extras: Mapping[str, Any], count: int, background_ids: Collection[int]) -> np.ndarray:
    """Return the id of each of n objects; sources with rows for the background, too, say which are `present`."""
    if "present" in extras and len(extras["present"]) == count:
        return np.arange(count)
    return np.arange(count) + max(background_ids, default=-1) + 1


def _property(name: str, known: np.ndarray, frame: int) -> dict[str, np.ndarray]:
    words = known.dtype.kind in "USO"
    if name == "colour" and not words and known.ndim >= 2 and known.shape[-1] == 3:
        rgb = (known if known.ndim == 2 else known[frame]).astype(np.float64)  # (n, 3)
        return {channel: rgb[:, c] for c, channel in enumerate(("red", "green", "blue"))}
    each = known if known.ndim == 1 else known[frame]
    if words:
        return {name: each.astype(str)}
    ordered = name in _ORDERED and each.dtype.kind == "f"
    return {name: each.astype(np.float64 if ordered else np.int64)}


def _place(extras: Mapping[str, Any], frame: int | None) -> Iterator[tuple[str, np.ndarray]]:
    keys = _PLACE if frame is None else (*_PICTURE, *_PLACE)
    for key in (key for key in keys if key in extras):
        known = np.asarray(extras[key], np.float64)
        each = known if known.ndim == 2 else known[frame or 0]  # (n, 2 or more)
        yield from (("x", each[:, 0]), ("y", each[:, 1]))
        return
    for name, aliases in _AXES:
        for key in (key for key in aliases if key in extras):
            known = np.asarray(extras[key], np.float64)
            yield name, known if known.ndim == 1 else known[frame or 0]
            break
