"""What the sources of scenes in three dimensions share."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from scenewise.config import plain
from scenewise.data.contract import Facts, Sample, Source
from scenewise.data.fingerprints import of_values
from scenewise.data.splits import check_index, check_span, check_split, stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scenewise.data.generated.scenes3d.camera import Camera
    from scenewise.data.generated.scenes3d.clevr_world import Thing
    from scenewise.data.generated.scenes3d.stage import Stage


class SceneSource(Source):
    """Scenes made when asked for; a scene is determined by (seed, split, index).

    Args:
        config: Settings with a field `seed`.
        split: Which random streams to use; splits share no scene.
        facts: What is true of the source; `frames` is a number.
    """

    name = ""
    version = 1  # raise when the same settings give other bytes
    lengths: ClassVar[dict[str, int]] = {"train": 70_000, "validation": 15_000, "test": 15_000}

    def __init__(self, config: Any, split: str, facts: Facts) -> None:
        self.config = config
        self.split = check_split(split)
        self.facts = facts

    @abstractmethod
    def _make(self, rng: np.random.Generator, first: int, stop: int, extras: bool) -> Sample:
        """Return frames `first` to `stop` of the scene that a stream gives, with or without extras."""

    def __len__(self) -> int:
        """Return the nominal number of scenes of the split."""
        return self.lengths[self.split]

    def fingerprint(self) -> str:
        """Return a hash of settings, split and generator version."""
        return of_values(self.name, self.version, self.split, plain(self.config))

    def sample(self, index: int, start: int = 0, frames: int | None = None) -> Sample:
        """Return one scene with all that is known of it.

        Raises:
            IndexError: The split has no such scene.
            InputError: MuJoCo is not installed, or the span lies outside of the scene.
        """
        return self._scene(index, start, frames, True)

    def batch(self, indices: Sequence[int], start: int = 0, frames: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return frames, uint8 (N, T, C, H, W), and ids, uint8 (N, T, H, W), of many scenes, without extras."""
        made = [self._scene(index, start, frames, False) for index in indices]
        ids = np.stack([np.asarray(sample.ids) for sample in made])
        return np.stack([sample.frames for sample in made]), ids.astype(np.uint8)

    def _scene(self, index: int, start: int, frames: int | None, extras: bool) -> Sample:
        first, stop = check_span(start, frames, self.facts.frames or 1, self.name)
        index = check_index(index, len(self), self.name)
        return self._make(stream(self.config.seed, self.split, index), first, stop, extras)


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


def views(stage: Stage, camera: Camera, ids: np.ndarray, first_id: int = 1) -> dict[str, np.ndarray]:
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
    seen = np.bincount(ids.reshape(-1), minlength=first_id + len(amodal))[first_id : first_id + len(amodal)]
    areas = np.array([np.count_nonzero(mask) for mask in amodal], np.int64)
    visibility = seen / np.maximum(areas, 1)
    return {"pixel_coords": camera.project(stage.places), "visibility": visibility, "amodal": amodal}


def stacked(rows: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return what was gathered frame by frame as arrays with a leading time axis."""
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]} if rows else {}
