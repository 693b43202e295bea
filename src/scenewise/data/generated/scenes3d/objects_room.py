"""Objects-Room-like videos: a walled room seen by a moving camera, made on the fly with exact ground truth.

They follow the Objects Room set (Kabra et al. 2019; MONet, arXiv 1901.11390; IODINE, arXiv 1903.00450): 16 frames of
64 x 64 pixels, three objects of which one to three are seen, a camera on a ring that faces its middle at a vertical
angle of -25 to 22 degrees and moves at a constant random velocity. Sky, floor and walls have ids of their own, 0 to 3,
and are all background; objects begin at 4. The three further sources are its tests on what training never showed: an
empty room, six objects, four to six objects of one colour.

What differs from the original: its generator is not published, so the measures of room and objects are those of the
rooms of GQN or ours, as are the colours (any hue, saturated). Pictures are shaded by plain formulas on MuJoCo's ray
caster. Masks are exact. Name results "Objects-Room-like".

A video is determined by (seed, split, index).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from scenewise.config import setting
from scenewise.data.contract import Description, Facts, Sample, register_source
from scenewise.data.generated.scenes3d import room
from scenewise.data.generated.scenes3d.base import SceneSource, stacked, views
from scenewise.data.generated.scenes3d.painter import paint
from scenewise.data.generated.scenes3d.stage import RUBBER, Body, RayScene, about_z
from scenewise.errors import InputError

_MOST = 6
_PATHS = 50  # of the camera, tried until it shows an object


@dataclass(frozen=True)
class ObjectsRoomConfig:
    """Settings of the Objects-Room-like generator."""

    min_objects: int = setting(3, "smallest number of objects in the room", minimum=0, maximum=_MOST)
    max_objects: int = setting(3, "largest number of objects in the room", minimum=0, maximum=_MOST)
    one_colour: bool = setting(False, "give all objects of a room the same colour")
    shapes: tuple[str, ...] = setting(room.SHAPES, "shapes in use", choices=room.SHAPES)
    smallest: float = setting(0.32, "smallest half width of an object; the room is 7 wide", minimum=0.1, maximum=0.5)
    largest: float = setting(0.5, "largest half width of an object", minimum=0.1, maximum=0.5)
    frames: int = setting(16, "frames of a video", minimum=1, maximum=64)
    size: int = setting(64, "height and width in pixels", minimum=16, maximum=512)
    smooth: bool = setting(True, "smooth edges by four more rays per pixel")
    seed: int = setting(0, "seed of all videos", minimum=0, maximum=2**63 - 1)

    def __post_init__(self) -> None:
        """Check what no single field can know; raises InputError."""
        for low, high in (("min_objects", "max_objects"), ("smallest", "largest")):
            if getattr(self, low) > getattr(self, high):
                raise InputError(low, f"is {getattr(self, low)}, more than {high} = {getattr(self, high)}.")
        if not self.shapes:
            raise InputError("shapes", "needs at least one shape.")


class ObjectsRoomSource(SceneSource):
    """Objects-Room-like videos.

    Args:
        config: What to make.
        split: Which random streams to use.
    """

    config_class = ObjectsRoomConfig
    kind = "objects-room"

    def __init__(self, config: ObjectsRoomConfig, split: str = "train", name: str | None = None) -> None:
        facts = Facts(
            channels=3,
            size=(config.size, config.size),
            frames=config.frames,
            max_objects=config.max_objects,
            background_ids=(room.SKY, room.FLOOR, room.WALL, room.OTHER_WALL),
            origin=f"Objects-Room-like after arXiv 1901.11390, generated with seed {config.seed}",
        )
        super().__init__(config, split, name, facts)

    def _scene(self, rng: np.random.Generator, first: int, stop: int, extras: bool) -> Sample:
        config: ObjectsRoomConfig = self.config
        floor, wall, look = room.vivid(rng), room.vivid(rng), room.lamps(rng)
        bodies, facts = self._objects(rng)
        stage = RayScene([*room.backdrop(floor, wall), *bodies], room.meshes())
        for _ in range(_PATHS):  # a path that shows an object at its start and at its end, where there are any
            cameras = room.path(rng, config.frames, config.size)
            ends = (cameras[0], cameras[-1])
            if not bodies or all((stage.ids(camera) >= room.FIRST_OBJECT).any() for camera in ends):
                break
        cameras = cameras[first:stop]
        pictures = [paint(stage, camera, look, config.smooth) for camera in cameras]
        if extras:
            views_facts = [
                views(stage, camera, picture.ids, room.FIRST_OBJECT)
                for camera, picture in zip(cameras, pictures, strict=True)
            ]
            facts |= {**stacked(views_facts), "camera": np.array([camera.place for camera in cameras])}
            facts |= {"target": np.array([camera.target for camera in cameras]), "floor": floor, "wall": wall}
        return Sample(np.stack([p.frame for p in pictures]), np.stack([p.ids for p in pictures]), facts)

    def _objects(self, rng: np.random.Generator) -> tuple[list[Body], dict[str, Any]]:
        """Return the objects of a room and their factors."""
        config: ObjectsRoomConfig = self.config
        count = int(rng.integers(config.min_objects, config.max_objects + 1))
        shapes = [config.shapes[number] for number in rng.integers(len(config.shapes), size=count)]
        sizes, turns = rng.uniform(config.smallest, config.largest, count), rng.uniform(0, 2 * np.pi, count)
        colours = [room.vivid(rng) for _ in range(count)]
        if config.one_colour:
            colours = colours[:1] * count
        ground = room.spots(rng, sizes)
        places = [
            (*spot, room.rest(shape, size)) for spot, shape, size in zip(ground.tolist(), shapes, sizes, strict=True)
        ]
        bodies = [
            Body(shape, room.extents(shape, size), colour, RUBBER, room.FIRST_OBJECT + row, place, about_z(turn))
            for row, (shape, size, colour, place, turn) in enumerate(
                zip(shapes, sizes.tolist(), colours, places, turns, strict=True)
            )
        ]
        factors = {
            "shape": np.array(shapes),
            "size": sizes,
            "colour": np.array(colours).reshape(-1, 3),
            "positions": np.array(places).reshape(-1, 3),
            "rotation": turns,
        }
        return bodies, factors


_READY: dict[str, dict[str, Any]] = {
    "objects-room": {},
    "objects-room-empty": {"min_objects": 0, "max_objects": 0},
    "objects-room-six": {"min_objects": 6, "max_objects": 6},
    "objects-room-identical": {"min_objects": 4, "max_objects": 6, "one_colour": True},
}
"""Ready settings by the name of the source."""

_WHAT = {
    "objects-room": "three objects in a walled room, a camera that moves along a ring",
    "objects-room-empty": "the room without objects, to test what training never showed",
    "objects-room-six": "six objects where training shows three",
    "objects-room-identical": "four to six objects of one colour",
}


for _name in _READY:
    _description = Description(
        what=f"Objects-Room-like videos: {_WHAT[_name]} (needs mujoco)",
        kind="generated",
        paper="Objects Room (Kabra et al. 2019); MONet, IODINE, GENESIS",
        size="16 frames, 64 x 64, or another size",
        factors=("shape", "size", "colour", "positions", "rotation", "pixel_coords", "visibility", "amodal"),
    )
    register_source(_name, _description, _READY[_name])(ObjectsRoomSource)
