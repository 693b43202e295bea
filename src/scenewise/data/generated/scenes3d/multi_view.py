"""CLE-MV-like and Dolphin-like scenes: one static scene seen by ten cameras on a ring, with exact ground truth.

They follow the multi-view sets of MulMON (Li, Eastwood and Fisher, NeurIPS 2020) and, for the shapes that are no
primitives, the set that the paper on duplicate slots (BMVC 2021) calls Dolphin: 2 to 5 objects of CLEVR's colours and
materials at x, y in [-3, 3], cameras 36 degrees apart at radius 9.92 and height 3.51, the first at -41 degrees, every
object seen in the first view but maybe hidden in others. Sizes, gaps and cameras are those of the public generator
(NanboLi/CLEVR-Object-Centric) and its example scene. Views lie on the time axis; an object has the same id in all of
them, unlike in the published masks, which number objects by nearness.

The paper on duplicates counts 3 to 6 objects "including the background" and trains on 1,500 of the 1,700 scenes of
CLE-MV and on 3,000 of the 3,631 of Dolphin; so do we. It gives its models 7 slots, which leaves 1 to 4 to spare, and
duplicates live in those. A recipe that names no slots has one more than there are objects, 6 here: name 7 to compare
with it. The weights `mulmon-cle-mv` learnt from 3 to 6 objects beside the background: `min_objects=3 max_objects=6`.

What differs from the original: pictures are shaded by plain formulas, not path traced; animals and vessels are simple
meshes of our own, slender ones larger so that they have enough pixels. Masks are exact. Name results "CLE-MV-like"
and "Dolphin-like".

A scene is determined by (seed, split, index).
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from scenewise.config import plain, setting
from scenewise.data.contract import Description, Facts, Sample, register_source
from scenewise.data.fingerprints import of_values
from scenewise.data.generated.scenes3d import clevr_world as world
from scenewise.data.generated.scenes3d.animals import animals
from scenewise.data.generated.scenes3d.base import SceneSource, factors, stacked, views
from scenewise.data.generated.scenes3d.camera import Camera
from scenewise.data.generated.scenes3d.choosing import Rules, choose, ground_directions, kinds
from scenewise.data.generated.scenes3d.library import Library
from scenewise.data.generated.scenes3d.painter import paint
from scenewise.data.generated.scenes3d.stage import Body, RayScene
from scenewise.errors import InputError

ANIMALS = ("dolphin", "duck", "horse", "mug", "teapot", "torus")
SIZES = {"large": 0.95, "small": 0.7}
"""Radius by name, half the side of a cube; world units."""
SCALES = {"dolphin": 1.5, "duck": 1.2, "horse": 1.4, "teapot": 1.4, "torus": 1.15}
"""Half the largest extent of slender meshes, where the radius is 1: as many pixels show them as show primitives."""
_SHADOWS = (2, 1, 1)  # samples along a side of key, back and fill lamp
_HEIGHT, _RADIUS, _FIRST = 3.507568, 9.915461, np.deg2rad(-41.0185)  # of the cameras; angle of the first one
_FOCAL = 35 / 32  # widths of the picture


@dataclass(frozen=True)
class MultiViewConfig:
    """Settings of the multi-view generator; lengths are in CLEVR's units."""

    min_objects: int = setting(2, "smallest number of objects, background not counted", minimum=1, maximum=8)
    max_objects: int = setting(5, "largest number of objects, background not counted", minimum=1, maximum=8)
    shapes: tuple[str, ...] = setting(world.SHAPES, "shapes in use", choices=(*world.SHAPES, *ANIMALS))
    frames: int = setting(10, "views, evenly spaced on the ring", minimum=1, maximum=64)
    size: int = setting(64, "height and width in pixels", minimum=16, maximum=512)
    distance: float = setting(0.075, "smallest gap between objects", minimum=0.0, maximum=2.0)
    margin: float = setting(0.09, "smallest distance of centres to the right and to the back", minimum=0.0, maximum=1.0)
    min_pixels: int = setting(40, "seen of every object in the first view, at 64 x 64", minimum=0, maximum=500)
    light_jitter: float = setting(1.0, "largest shift of each lamp along each axis", minimum=0.0, maximum=2.0)
    smooth: bool = setting(True, "smooth edges by four more rays per pixel")
    seed: int = setting(0, "seed of all scenes", minimum=0, maximum=2**63 - 1)

    def __post_init__(self) -> None:
        """Check what no single field can know; raises InputError."""
        if self.min_objects > self.max_objects:
            raise InputError("min_objects", f"is {self.min_objects}, more than max_objects = {self.max_objects}.")
        if not self.shapes:
            raise InputError("shapes", "needs at least one shape.")


class MultiViewSource(SceneSource):
    """Static scenes seen from a ring; every view is one frame.

    Args:
        config: What to make.
        split: Which random streams to use.
        name: Of the source.
    """

    config_class = MultiViewConfig
    kind = "cle-mv"
    lengths: ClassVar[dict[str, int]] = {"validation": 200, "test": 200}

    def __init__(self, config: MultiViewConfig, split: str = "train", name: str = "cle-mv") -> None:
        facts = Facts(
            channels=3,
            size=(config.size, config.size),
            frames=config.frames,
            max_objects=config.max_objects,
            origin=f"{name}-like after MulMON (NeurIPS 2020), generated with seed {config.seed}",
        )
        super().__init__(config, split, name, facts)
        self._allowed = kinds(shapes=config.shapes)

    def __len__(self) -> int:
        """Return the number of scenes of the split; for training as many as the paper has."""
        return _TRAINING[self.name] if self.split == "train" else super().__len__()

    def fingerprint(self) -> str:
        """Return a hash of settings, split, generator version and name, which says how many scenes are for training."""
        return of_values(self.name, self.version, self.split, plain(self.config))

    def viewpoints(self, index: int, start: int = 0, frames: int | None = None) -> np.ndarray:
        """Return the viewpoints, which are those of every scene; see `Source.viewpoints`."""
        config: MultiViewConfig = self.config
        stop = config.frames if frames is None else start + frames
        places = np.array([camera.place for camera in ring(config.frames, config.size)[start:stop]])
        return viewpoints(places).astype(np.float32)

    def _scene(self, rng: np.random.Generator, first: int, stop: int, extras: bool) -> Sample:
        config: MultiViewConfig = self.config
        look = world.lamps(rng.uniform(-1, 1, (3, 3)) * config.light_jitter, _SHADOWS)
        cameras = ring(config.frames, config.size)
        things, stage = self._choose(rng)
        views_of_span = cameras[first:stop]
        pictures = [paint(stage, camera, look, config.smooth) for camera in views_of_span]
        facts: dict[str, Any] = {}
        if extras:
            views_facts = [
                views(stage, camera, picture.ids) for camera, picture in zip(views_of_span, pictures, strict=True)
            ]
            places = np.array([camera.place for camera in views_of_span])
            facts = {**factors(things), "positions": stage.places.copy(), **stacked(views_facts)}
            facts |= {"viewpoints": viewpoints(places), "camera": places}
        return Sample(np.stack([p.frame for p in pictures]), np.stack([p.ids for p in pictures]), facts)

    def _choose(self, rng: np.random.Generator) -> tuple[list[world.Thing], RayScene]:
        """Return objects that can be seen in the first view, standing."""
        config: MultiViewConfig = self.config
        view = ring(1, 64)[0]
        rules = Rules(3.0, config.distance, config.margin, ground_directions(view.axes[2]), SIZES, SCALES)
        library = forms_of(config.shapes)
        ready: list[RayScene] = []

        def accept(things: list[world.Thing]) -> bool:
            """Return whether enough of each object is seen; their scene is kept."""
            bodies = [body_of(thing, row + 1) for row, thing in enumerate(things)]
            stage = RayScene([world.floor(), *bodies], library=library)
            ready[:] = [stage]
            visible = np.bincount(stage.ids(view).reshape(-1), minlength=len(things) + 1)[1:]
            return bool((visible >= config.min_pixels).all())

        things = choose(rng, (config.min_objects, config.max_objects), self._allowed, rules, accept)
        return things, ready[0]


@functools.lru_cache(maxsize=8)
def forms_of(shapes: tuple[str, ...]) -> Library:
    """Return all forms that objects of some shapes may have."""
    forms = [(shape, _extents(shape, size)) for shape in shapes for size in SIZES]
    return Library([world.floor()], forms, animals() if set(shapes) & set(ANIMALS) else None)


def ring(count: int, size: int) -> list[Camera]:
    """Return cameras evenly spaced on the ring, counter-clockwise, all aimed at the middle of the scene."""
    angles = _FIRST + 2 * np.pi * np.arange(count) / count
    places = [(float(_RADIUS * np.cos(angle)), float(_RADIUS * np.sin(angle)), _HEIGHT) for angle in angles]
    return [Camera(place, (0.0, 0.0, 0.0), _FOCAL * size, (size / 2, size / 2), (size, size)) for place in places]


def viewpoints(places: np.ndarray) -> np.ndarray:
    """Return what MulMON is told of cameras at places (V, 3): their direction on the ground less (1, 0, 0), (V, 3)."""
    flat = places * (1.0, 1.0, 0.0)
    return np.asarray(flat / np.linalg.norm(flat, axis=1, keepdims=True) - (1.0, 0.0, 0.0))


def _extents(shape: str, size: str) -> tuple[float, float, float]:
    return (SIZES[size] * SCALES.get(shape, 1.0),) * 3


def body_of(thing: world.Thing, owner: int) -> Body:
    """Return the body of an object; meshes fill a cube of the same size."""
    plain = world.body(thing, owner)
    return dataclasses.replace(plain, size=_extents(thing.shape, thing.size))


_READY: dict[str, dict[str, Any]] = {"cle-mv": {}, "dolphin": {"shapes": [*world.SHAPES, *ANIMALS]}}
"""Ready settings by the name of the source."""

_TRAINING = {"cle-mv": 1_500, "dolphin": 3_000}
"""Scenes of the training split by the name of the source."""

_WHAT = {"cle-mv": "cubes, spheres and cylinders", "dolphin": "primitives, animals and vessels"}


for _name in _READY:
    _description = Description(
        what=f"{_name}-like scenes: {_WHAT[_name]} seen by 10 cameras on a ring (needs mujoco)",
        kind="generated",
        paper="MulMON (Li et al. 2020)",
        size="10 views on the time axis, 64 x 64, or another size",
        factors=(
            *("shape", "size", "material", "colour", "positions", "rotation"),
            *("viewpoints", "camera", "pixel_coords", "visibility", "amodal"),
        ),
    )
    register_source(_name, _description, _READY[_name])(MultiViewSource)
