"""Which objects a scene of CLEVR's kind holds and where they stand, by the rules of its generator."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from scenewise.data.generated.scenes3d.clevr_world import COLOURS, MATERIALS, SHAPES, SIZES, Thing
from scenewise.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

WORDS = (*SHAPES, *SIZES, *MATERIALS, *COLOURS)
"""What a combination of factors is made of."""

Kind = tuple[str, str, str, str]
Combinations = tuple[tuple[str, ...], ...]

_TRIES = 50  # places tried for an object before the scene begins anew, as in the public generator
_SCENES = 5000  # scenes begun before giving up


@dataclass(frozen=True)
class Rules:
    """How objects may stand.

    Attributes:
        extent: Centres lie in [-extent, extent] along x and y.
        distance: Smallest gap between two objects.
        margin: Smallest distance of two centres along each of the directions.
        directions: Unit vectors of the ground at right angles, shape (2, 2): right and behind as the camera sees them.
        sizes: Radius by the name of a size.
        scales: Half extents by shape, where the radius is 1; those not named have 1, too.
    """

    extent: float
    distance: float
    margin: float
    directions: np.ndarray
    sizes: Mapping[str, float] = field(default_factory=lambda: SIZES)
    scales: Mapping[str, float] = field(default_factory=lambda: {"cube": 2**-0.5})

    def half(self, shape: str, size: str) -> float:
        """Return half the side of a cube, the radius of others; it is the height of the centre, too."""
        return self.sizes[size] * self.scales.get(shape, 1.0)

    def room(self, shape: str, size: str) -> float:
        """Return the radius within which a newcomer may touch nothing."""
        return self.sizes[size] * max(self.scales.get(shape, 1.0), 1.0)


def kinds(hold_out: Combinations = (), only: Combinations = (), shapes: Sequence[str] = SHAPES) -> list[Kind]:
    """Return all (shape, size, material, colour) that may occur.

    Args:
        hold_out: Combinations that never occur, each some words such as ("green", "sphere").
        only: Where not empty, every object is of one of these.
        shapes: The shapes in use.

    Raises:
        InputError: None is left.
    """
    every = [kind for kind in product(shapes, SIZES, MATERIALS, COLOURS) if not matches(kind, hold_out)]
    rest = [kind for kind in every if not only or matches(kind, only)]
    if not rest:
        raise InputError("hold_out", f"leaves no object to show; hold_out={hold_out}, only={only}.")
    return rest


def matches(kind: Sequence[str], combinations: Combinations) -> bool:
    """Return whether factors hold all words of any combination."""
    return any(set(words) <= set(kind) for words in combinations)


def choose(
    rng: np.random.Generator,
    counts: tuple[int, int],
    allowed: Sequence[Kind],
    rules: Rules,
    accept: Callable[[list[Thing]], bool],
) -> list[Thing]:
    """Return the objects of a scene.

    Args:
        rng: The stream of the scene.
        counts: Smallest and largest number of objects; the number is kept when a scene begins anew.
        allowed: What objects may be.
        rules: How they may stand.
        accept: Whether a scene is good otherwise, for example whether all of it can be seen.

    Raises:
        InputError: No such scene was found.
    """
    count = int(rng.integers(counts[0], counts[1] + 1))
    for _ in range(_SCENES):
        kinds = [allowed[number] for number in rng.integers(len(allowed), size=count)]
        places = place(rng, [(shape, size) for shape, size, _, _ in kinds], rules)
        turns = rng.uniform(0, 2 * np.pi, count)
        if places is None:
            continue
        things = [
            Thing(shape, size, material, colour, (x, y, rules.half(shape, size)), float(turn))
            for (shape, size, material, colour), (x, y), turn in zip(kinds, places.tolist(), turns, strict=True)
        ]
        if accept(things):
            return things
    raise InputError("max_objects", f"{count} objects do not fit.", "Lower max_objects, margin or min_pixels.")


def place(rng: np.random.Generator, forms: Sequence[tuple[str, str]], rules: Rules) -> np.ndarray | None:
    """Return places on the ground for objects of (shape, size), shape (n, 2), or None where one found none."""
    places, radii = np.empty((len(forms), 2)), np.empty(len(forms))
    plane = np.empty(len(forms), complex)  # right + behind * i of the places; complex numbers need fewest operations
    turned = rules.directions.T @ (1, 1j)
    for row, (shape, size) in enumerate(forms):
        tries = rng.uniform(-rules.extent, rules.extent, (_TRIES, 2))
        along = tries @ turned
        apart = along[:, None] - plane[:row]  # (tries, row)
        free = np.abs(apart) >= radii[:row] + rules.room(shape, size) + rules.distance
        free &= (np.abs(apart.real) >= rules.margin) & (np.abs(apart.imag) >= rules.margin)
        good = np.all(free, axis=1)
        first = int(good.argmax())
        if not good[first]:
            return None
        places[row], plane[row], radii[row] = tries[first], along[first], rules.half(shape, size)
    return places


def ground_directions(forward: np.ndarray) -> np.ndarray:
    """Return right and behind on the ground for a camera that looks along `forward`, shape (2, 2)."""
    behind = forward[:2] / np.linalg.norm(forward[:2])
    return np.array([[behind[1], -behind[0]], behind])
