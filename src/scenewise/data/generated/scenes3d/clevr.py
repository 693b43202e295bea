"""CLEVR-like images: cubes, spheres and cylinders on grey ground, made on the fly with exact ground truth.

They follow CLEVR (arXiv 1612.06890) as IODINE (arXiv 1903.00450) shows it, the middle 192 x 192 pixels of a picture of
240 x 320: colours, shapes, sizes, materials, camera, the jitter of camera and lamps, the margins between objects and
the pixels that must be seen of each are those of the public generator. Objects may lie outside of the crop, as there.

What differs from the original: pictures are shaded by plain formulas on MuJoCo's ray caster, not path traced. Metal
mirrors floor, sky and lamps but no other objects; light that bounces from object to object is left out; shadows are
cast from few points of each lamp. Masks are exact. Name results "CLEVR-like".

An image is determined by (seed, split, index).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from scenewise.config import setting
from scenewise.data.contract import Description, Facts, Sample, register_source
from scenewise.data.generated.scenes3d import clevr_world as world
from scenewise.data.generated.scenes3d.base import SceneSource, factors, stacked, views
from scenewise.data.generated.scenes3d.choosing import WORDS, Rules, choose, ground_directions, kinds, matches
from scenewise.data.generated.scenes3d.library import Library
from scenewise.data.generated.scenes3d.painter import paint
from scenewise.data.generated.scenes3d.stage import RayScene
from scenewise.errors import InputError

_COARSE = (60, 80)  # the full picture is looked at in this size when the pixels of an object are counted
_FULL_PIXELS = 16  # of the full picture, in one of the coarse ones


@dataclass(frozen=True)
class ClevrConfig:
    """Settings of the CLEVR-like generator; lengths are in CLEVR's units."""

    min_objects: int = setting(3, "smallest number of objects", minimum=1, maximum=10)
    max_objects: int = setting(10, "largest number of objects", minimum=1, maximum=10)
    size: int = setting(64, "height and width in pixels", minimum=16, maximum=512)
    hold_out: tuple[tuple[str, ...], ...] = setting(
        (), "combinations of factors that never occur, as [[green, sphere]]", choices=WORDS
    )
    only: tuple[tuple[str, ...], ...] = setting((), "combinations that every object must have", choices=WORDS)
    include: tuple[tuple[str, ...], ...] = setting((), "combinations of which every image holds one", choices=WORDS)
    camera_jitter: float = setting(0.5, "largest shift of the camera along each axis", minimum=0.0, maximum=2.0)
    light_jitter: float = setting(1.0, "largest shift of each lamp along each axis", minimum=0.0, maximum=2.0)
    distance: float = setting(0.25, "smallest gap between objects", minimum=0.0, maximum=2.0)
    margin: float = setting(0.4, "smallest distance of centres to the right and to the back", minimum=0.0, maximum=1.0)
    min_pixels: int = setting(200, "seen of every object in a full picture of 240 x 320", minimum=0, maximum=2000)
    grayscale: bool = setting(False, "make images of one channel")
    smooth: bool = setting(True, "smooth edges by four more rays per pixel")
    seed: int = setting(0, "seed of all images", minimum=0, maximum=2**63 - 1)

    def __post_init__(self) -> None:
        """Check what no single field can know; raises InputError."""
        if self.min_objects > self.max_objects:
            raise InputError("min_objects", f"is {self.min_objects}, more than max_objects = {self.max_objects}.")
        possible = kinds(self.hold_out, self.only)
        if self.include and not any(matches(kind, self.include) for kind in possible):
            raise InputError("include", f"names only what never occurs: {self.include}.")


class ClevrSource(SceneSource):
    """CLEVR-like images; every video is one frame.

    Args:
        config: What to make.
        split: Which random streams to use.
    """

    config_class = ClevrConfig
    kind = "clevr"

    def __init__(self, config: ClevrConfig, split: str = "train", name: str | None = None) -> None:
        facts = Facts(
            channels=1 if config.grayscale else 3,
            size=(config.size, config.size),
            frames=1,
            max_objects=config.max_objects,
            origin=f"CLEVR-like after arXiv 1612.06890, generated with seed {config.seed}",
        )
        super().__init__(config, split, name, facts)
        self._allowed = kinds(config.hold_out, config.only)

    def _scene(self, rng: np.random.Generator, first: int, stop: int, extras: bool) -> Sample:
        config: ClevrConfig = self.config
        place = np.add(world.CAMERA, rng.uniform(-1, 1, 3) * config.camera_jitter)
        look = world.lamps(rng.uniform(-1, 1, (3, 3)) * config.light_jitter)
        things, stage = self._choose(rng, place)
        camera = world.cropped_camera(place, config.size)
        frame, ids = paint(stage, camera, look, config.smooth)
        if config.grayscale:
            frame = grey(frame)
        facts: dict[str, Any] = {}
        if extras:
            facts = {**factors(things), **stacked([views(stage, camera, ids)]), "camera": place[None]}
        return Sample(frame[None], ids[None], facts)

    def _choose(self, rng: np.random.Generator, place: np.ndarray) -> tuple[list[world.Thing], RayScene]:
        """Return objects that all can be seen, standing."""
        config: ClevrConfig = self.config
        full = world.full_camera(place, _COARSE)
        rules = Rules(3.0, config.distance, config.margin, ground_directions(full.axes[2]))
        library = _library()
        ready: list[RayScene] = []

        def accept(things: list[world.Thing]) -> bool:
            """Return whether objects fit the split and enough of each is seen; their scene is kept."""
            factors_of = [(thing.shape, thing.size, thing.material, thing.colour) for thing in things]
            if config.include and not any(matches(kind, config.include) for kind in factors_of):
                return False
            bodies = [world.body(thing, row + 1) for row, thing in enumerate(things)]
            stage = RayScene([world.floor(), *bodies], library=library)
            visible = np.bincount(stage.ids(full).reshape(-1), minlength=len(things) + 1)[1:]
            ready[:] = [stage]
            return bool((visible * _FULL_PIXELS >= config.min_pixels).all())

        things = choose(rng, (config.min_objects, config.max_objects), self._allowed, rules, accept)
        return things, ready[0]


@functools.lru_cache(maxsize=1)
def _library() -> Library:
    """Return all forms that objects may have."""
    forms = [(shape, (float(world.half(shape, size)),) * 3) for shape in world.SHAPES for size in world.SIZES]
    return Library([world.floor()], forms)


def grey(frame: np.ndarray) -> np.ndarray:
    """Return the brightness (Rec. 601) of a frame of shape (3, H, W), uint8, shape (1, H, W)."""
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    return np.asarray((np.tensordot(weights, frame, 1) + 0.5).astype(np.uint8))[None]


def _describe(count: str) -> Description:
    return Description(
        what=f"CLEVR-like images: {count} cubes, spheres and cylinders in IODINE's crop (needs mujoco)",
        kind="generated",
        paper="CLEVR (Johnson et al. 2017); IODINE, MONet, Slot Attention, EfficientMORL",
        size="1 frame, 64 x 64, or another size",
        factors=(
            "shape",
            "size",
            "material",
            "colour",
            "positions",
            "rotation",
            "pixel_coords",
            "visibility",
            "amodal",
        ),
    )


register_source("clevr", _describe("3 to 10"))(ClevrSource)
register_source("clevr6", _describe("3 to 6"), {"max_objects": 6})(ClevrSource)
