"""The world of CLEVRER (arXiv 1910.01442): one size of object, its camera, and who enters where.

The camera lies in no published file. Ours is one recovered by others from silhouettes of the published videos (median
overlap 0.93), scaled so that balls have the radius of the published annotations, 0.2. Friction is set so that sliding
bodies lose about 0.9 % of their speed in a frame, which is what was measured there.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from scenewise.data.generated.scenes3d.camera import Camera
from scenewise.data.generated.scenes3d.clevr_world import COLOURS, MATERIALS, SHAPES
from scenewise.data.generated.scenes3d.collisions import Mover
from scenewise.data.generated.scenes3d.stage import Body

RADIUS = 0.2
HALF_CUBE = 0.174
SCALE = 0.2 / 0.35  # of this world to CLEVR's
FULL = (320, 480)  # height and width of the published videos
_CAMERA = (1.297, -3.634, 2.863)
_FOCAL = 34.6 / 32 * 480 / 320  # heights of the picture
_WAY_OUT = np.arange(0.2, 8.0, 0.05)  # distances from the middle at which a newcomer may wait


@dataclass(frozen=True)
class Player:
    """An object of a clip.

    Attributes:
        material: A key of `MATERIALS`.
        colour: A key of `COLOURS`.
        mover: Its form, its start and when it begins to move.
    """

    material: str
    colour: str
    mover: Mover


def camera(size: tuple[int, int]) -> Camera:
    """Return the camera of H x W pixels; all rows are shown, and as many of the middle columns as fit."""
    height, width = size
    return Camera(_CAMERA, (0.0, 0.0, 0.0), _FOCAL * height, (width / 2, height / 2), size)


def half(shape: str) -> float:
    """Return half the side of a cube, the radius of others."""
    return HALF_CUBE if shape == "cube" else RADIUS


def players(
    rng: np.random.Generator, counts: tuple[int, int], frames: int, speeds: tuple[float, float]
) -> list[Player]:
    """Return the objects of a clip; no two share shape, material and colour.

    Args:
        rng: The stream of the clip.
        counts: Smallest and largest number of objects.
        frames: Of the clip; newcomers set out in its first two thirds.
        speeds: Smallest and largest speed of a newcomer, per second.
    """
    kinds = list(product(SHAPES, MATERIALS, COLOURS))
    count = int(rng.integers(counts[0], counts[1] + 1))
    combination = [kinds[number] for number in rng.permutation(len(kinds))[:count]]
    resting = int(rng.integers(count > 1, max(count // 2, 1) + 1)) if count > 1 else 0
    view = camera(FULL)
    spots = _resting_places(rng, view, resting)
    players: list[Player] = []
    entries = np.sort(rng.integers(0, max(2 * frames // 3, 1), count - resting))
    entries[:1] = 0  # something moves from the start
    for row, (shape, material, colour) in enumerate(combination):
        turn = float(rng.uniform(0, 2 * np.pi))
        if row < resting:
            mover = Mover(shape, half(shape), (float(spots[row, 0]), float(spots[row, 1])), turn, (0.0, 0.0), frames)
        else:
            places = [player.mover.place for player in players]
            mover = _newcomer(rng, view, shape, turn, spots, places, int(entries[row - resting]), speeds)
        players.append(Player(material, colour, mover))
    return players


def _resting_places(rng: np.random.Generator, view: Camera, count: int) -> np.ndarray:
    """Return places well inside of the picture, apart from each other, shape (count, 2)."""
    places: list[np.ndarray] = []
    while len(places) < count:
        tried = rng.uniform(-1.5, 1.5, 2)
        apart = all(np.linalg.norm(tried - place) > 0.65 for place in places)
        if apart and not outside(view, np.array([[*tried, RADIUS]]), -3 * RADIUS)[0]:
            places.append(tried)
    return np.array(places).reshape(-1, 2)


def _newcomer(
    rng: np.random.Generator,
    view: Camera,
    shape: str,
    turn: float,
    targets: np.ndarray,
    occupied: list[tuple[float, float]],
    entry: int,
    speeds: tuple[float, float],
) -> Mover:
    """Return an object that waits just outside of the picture and sets out towards another, or towards the middle."""
    while True:
        angle = rng.uniform(0, 2 * np.pi)
        line = _WAY_OUT[:, None] * (np.cos(angle), np.sin(angle))
        heights = np.full((len(line), 1), RADIUS)
        gone = np.flatnonzero(outside(view, np.concatenate([line, heights], 1), 2 * RADIUS))
        if not len(gone):
            continue
        place = line[gone[0]]
        if all(np.linalg.norm(place - other) > 3 * RADIUS for other in occupied):
            break
    if len(targets) and rng.random() < 0.7:
        aim = targets[rng.integers(len(targets))] + rng.uniform(-0.12, 0.12, 2)
    else:
        aim = rng.uniform(-0.7, 0.7, 2)
    way = (aim - place) / np.linalg.norm(aim - place) * rng.uniform(*speeds)
    return Mover(shape, half(shape), (float(place[0]), float(place[1])), turn, (float(way[0]), float(way[1])), entry)


def outside(view: Camera, points: np.ndarray, reach: float) -> np.ndarray:
    """Return whether balls about points are wholly outside of a picture; a negative reach asks for its inner part."""
    column, row, depth = view.project(points).T
    spread = reach * view.focal / depth
    height, width = view.size
    across = (column < -spread) | (column > width + spread)
    return np.asarray(across | (row < -spread) | (row > height + spread))


def body(player: Player, owner: int) -> Body:
    """Return the body of an object at its start."""
    mover = player.mover
    red, green, blue = (value / 255 for value in COLOURS[player.colour])
    size, place = (mover.half,) * 3, (*mover.place, mover.half)
    return Body(mover.shape, size, (red, green, blue), MATERIALS[player.material], owner, place)
