"""What the sources of scenes in three dimensions share."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from scenewise.data.contract import Facts, ObjectKeys, Sample
from scenewise.data.generated.base import GeneratedSource
from scenewise.data.splits import stream

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scenewise.data.generated.scenes3d.camera import Camera
    from scenewise.data.generated.scenes3d.clevr_world import Thing
    from scenewise.data.generated.scenes3d.stage import RayScene


@dataclass(frozen=True)
class Scenes:
    """N scenes, made one by one.

    Attributes:
        samples: The scenes, with or without extras.
    """

    samples: list[Sample]

    @property
    def frames(self) -> np.ndarray:
        """Frames, uint8, shape (N, T, C, H, W)."""
        return np.stack([sample.frames for sample in self.samples])

    @property
    def ids(self) -> np.ndarray:
        """Ids, uint8, shape (N, T, H, W)."""
        return np.stack([np.asarray(sample.ids) for sample in self.samples]).astype(np.uint8)


class SceneSource(GeneratedSource[Scenes]):
    """Scenes made when asked for; making one needs MuJoCo.

    Args:
        config: Settings with a field `seed`.
        split: Which random streams to use; splits share no scene.
        name: Name of the source; its kind where None.
        facts: What is true of the source; `frames` is a number.
    """

    version = 2
    lengths: ClassVar[Mapping[str, int]] = {"train": 70_000, "validation": 15_000, "test": 15_000}
    object_keys = ObjectKeys(
        shape="shape",
        colour="colour",
        material="material",
        size="size",
        position="pixel_coords",
        place="positions",
        velocity="velocities",
        orientation="rotation|orientations",
        visibility="visibility",
        amodal="amodal",
    )

    def __init__(self, config: Any, split: str, name: str | None, facts: Facts) -> None:
        super().__init__(config, split, name)
        self.facts = facts

    @property
    def at_once(self) -> int:
        """One: no scene is made faster beside others."""
        return 1

    @abstractmethod
    def _scene(self, rng: np.random.Generator, first: int, stop: int, extras: bool) -> Sample:
        """Return frames `first` to `stop` of the scene that a stream gives, with or without extras."""

    def _make(self, indices: Sequence[int], first: int, stop: int, whole: bool) -> Scenes:
        streams = (stream(self.config.seed, self.split, index) for index in indices)
        return Scenes([self._scene(rng, first, stop, whole) for rng in streams])

    def _samples(self, scenes: Scenes) -> list[Sample]:
        return scenes.samples


def factors(things: Sequence[Thing]) -> dict[str, np.ndarray]:
    """Return the factors of n objects by name: words of shape (n,), positions (n, 3), rotation in radians (n,)."""
    return {
        "shape": np.array([thing.shape for thing in things]),
        "size": np.array([thing.size for thing in things]),
        "material": np.array([thing.material for thing in things]),
        "colour": np.array([thing.colour for thing in things]),
        "positions": np.array([thing.place for thing in things]).reshape(-1, 3),
        "rotation": np.array([thing.rotation for thing in things]),
    }


def views(stage: RayScene, camera: Camera, ids: np.ndarray, first_id: int = 1) -> dict[str, np.ndarray]:
    """Return what a camera sees of n objects.

    Args:
        stage: The objects as they stand, object i with id `first_id` + i.
        camera: The camera.
        ids: What it saw, shape (H, W).
        first_id: Id of the first object.

    Returns:
        `pixel_coords` (n, 3): column and row in pixels and depth of the centres. `amodal` (n, H, W): what each object
        would show were it alone. `visibility` (n,): the share of that which is seen, 0 outside of the picture.
    """
    amodal = stage.silhouettes(camera)
    visible = np.bincount(ids.reshape(-1), minlength=first_id + len(amodal))[first_id : first_id + len(amodal)]
    areas = np.array([np.count_nonzero(mask) for mask in amodal], np.int64)
    visibility = visible / np.maximum(areas, 1)
    return {"pixel_coords": camera.project(stage.places), "visibility": visibility, "amodal": amodal}


def stacked(rows: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return what was gathered frame by frame as arrays with a leading time axis."""
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]} if rows else {}
