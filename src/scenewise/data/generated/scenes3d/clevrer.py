"""CLEVRER-like videos: objects that enter, collide and leave, moved by MuJoCo, with exact ground truth.

They follow CLEVRER (arXiv 1910.01442): clips of 128 frames and 5 seconds, cubes, balls and cylinders of one size and
mass, eight colours, two materials, no two objects alike in all three. Some rest in view, the others set out from
outside of the picture at different times. At 64 x 64 pixels the picture is the middle 320 x 320 of the published
320 x 480, as PROVIDE uses it; ask for 64 x 96 or 320 x 480 to see all of it.

Clips for training are whole: in most of their frames some object is outside of the picture. Those of the validation
and the test split are trimmed (setting `trim`) as in the test set of PROVIDE (AISTATS 2022): a clip begins where the
centres of all objects are in the picture for the first time and has 40 frames, each of which shows every object; where
they stay together for fewer frames, or one is wholly hidden in a frame, another clip is drawn. PROVIDE's authors keep
the rest of that run too, but score its first 10 to 40 frames. They test 2,500 clips with 3 to 5 objects (`clevrer`)
and 1,100 with 6 (`clevrer6`); there are as many here. What is set by hand holds in every split: `trim=0 max_objects=6`
gives whole clips for tests as well.

What differs from the original: another physics engine and another law of who sets out when; the camera is one
recovered from the published videos; pictures are shaded by plain formulas, not path traced. Masks are exact, where the
original has none. Name results "CLEVRER-like".

A clip is determined by (seed, split, index); neither its course nor its frames depend on the span asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from scenewise.config import merge, plain, setting
from scenewise.data.contract import Description, Facts, Sample, register_source
from scenewise.data.fingerprints import of_values
from scenewise.data.generated.scenes3d import clevrer_world as world
from scenewise.data.generated.scenes3d.base import SceneSource, stacked, views
from scenewise.data.generated.scenes3d.clevr_world import floor, lamps
from scenewise.data.generated.scenes3d.collisions import Law, Trajectories, euler, simulate
from scenewise.data.generated.scenes3d.painter import bare, paint
from scenewise.data.generated.scenes3d.stage import RayScene
from scenewise.data.splits import check_split, shared_span
from scenewise.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scenewise.data.contract import Progress, Source
    from scenewise.data.generated.scenes3d.camera import Camera

_CLIPS = 20  # begun before one with too few collisions is taken
DRAWS = 400  # clips drawn before none is found whose objects are all in the picture for long enough
_SHADOWS = (2, 1, 0)  # samples along a side of key, back and fill lamp: few, for a clip has many frames


@dataclass(frozen=True)
class ClevrerConfig:
    """Settings of the CLEVRER-like generator; lengths are in its units, in which a ball has radius 0.2."""

    min_objects: int = setting(3, "smallest number of objects", minimum=1, maximum=8)
    max_objects: int = setting(6, "largest number of objects", minimum=1, maximum=8)
    min_collisions: int = setting(1, "smallest number of collisions of a clip", minimum=0, maximum=5)
    frames: int = setting(128, "frames of a whole clip", minimum=1, maximum=1024)
    trim: int = setting(0, "frames of a clip cut to where all objects are shown; 0: whole", minimum=0, maximum=1024)
    size: tuple[int, int] = setting((64, 64), "height and width in pixels", minimum=16, maximum=512)
    slowest: float = setting(1.2, "smallest speed of a newcomer, per second", minimum=0.1, maximum=5.0)
    fastest: float = setting(2.4, "largest speed of a newcomer, per second", minimum=0.1, maximum=5.0)
    friction: float = setting(0.045, "friction of bodies on the floor", minimum=0.0, maximum=1.0)
    restitution: float = setting(0.7, "speed after a collision over that before", minimum=0.05, maximum=0.95)
    light_jitter: float = setting(1.0, "largest shift of each lamp along each axis", minimum=0.0, maximum=2.0)
    smooth: bool = setting(True, "smooth edges by four more rays per pixel")
    seed: int = setting(0, "seed of all clips", minimum=0, maximum=2**63 - 1)

    def __post_init__(self) -> None:
        """Check what no single field can know; raises InputError."""
        for low, high in (("min_objects", "max_objects"), ("slowest", "fastest")):
            if getattr(self, low) > getattr(self, high):
                raise InputError(low, f"is {getattr(self, low)}, more than {high} = {getattr(self, high)}.")
        if self.trim > self.frames:
            problem = f"is {self.trim}, more than the {self.frames} frames of a whole clip."
            raise InputError("trim", problem, "Set trim=0 for whole clips.")


class ClevrerSource(SceneSource):
    """CLEVRER-like videos.

    Args:
        config: What to make.
        split: Which random streams to use.
        name: Of the source, which says how many clips the test split has.
    """

    config_class = ClevrerConfig
    kind = "clevrer"
    lengths: ClassVar[dict[str, int]] = {"train": 10_000, "validation": 5_000, "test": 5_000}

    def __init__(self, config: ClevrerConfig, split: str = "train", name: str | None = None) -> None:
        facts = Facts(
            channels=3,
            size=config.size,
            frames=config.trim or config.frames,
            max_objects=config.max_objects,
            origin=f"CLEVRER-like after arXiv 1910.01442, generated with seed {config.seed}",
        )
        super().__init__(config, split, name, facts)

    @classmethod
    def create(cls, name: str, split: str, settings: Mapping[str, Any], progress: Progress | None = None) -> Source:
        """Return the source that a user names; its validation and test split have ready settings of their own."""
        held_out = {} if check_split(split) == "train" else _HELD_OUT.get(name, {})
        return super().create(name, split, merge(held_out, settings), progress)

    def fingerprint(self) -> str:
        """Return a hash of settings, split, generator version and the name, which says how many clips there are."""
        return of_values(self.name, self.version, self.split, plain(self.config))

    def __len__(self) -> int:
        """Return the number of clips, which for trimmed tests is PROVIDE's."""
        return _TESTS[self.name] if self.split == "test" and self.config.trim else super().__len__()

    def _scene(self, rng: np.random.Generator, first: int, stop: int, extras: bool) -> Sample:
        config: ClevrerConfig = self.config
        look = lamps(rng.uniform(-1, 1, (3, 3)) * config.light_jitter, _SHADOWS, world.SCALE)
        players, course = self._play(rng)
        begin = 0
        if config.trim:
            players, course, begin = self._shared(rng, players, course)
        first, stop = begin + first, begin + stop
        stage, camera = _stage(players), world.camera(config.size)
        empty = bare([floor()], camera, look)
        pictures, facts_of_views = [], []
        for time in range(first, stop):
            stage.move(course.places[time], course.turns[time])
            pictures.append(paint(stage, camera, look, config.smooth, empty))
            if extras:
                facts_of_views.append(views(stage, camera, pictures[-1].ids))
        facts = {**_known(players, course, first, stop), **stacked(facts_of_views)} if extras else {}
        return Sample(np.stack([p.frame for p in pictures]), np.stack([p.ids for p in pictures]), facts)

    def _play(self, rng: np.random.Generator) -> tuple[list[world.Player], Trajectories]:
        """Return objects and their course, with enough collisions."""
        config: ClevrerConfig = self.config
        law = Law(friction=config.friction, restitution=config.restitution)
        counts, speeds = (config.min_objects, config.max_objects), (config.slowest, config.fastest)
        for _ in range(_CLIPS):
            players = world.players(rng, counts, config.frames, speeds)
            course = simulate([player.mover for player in players], config.frames, law)
            if len(course.collisions) >= config.min_collisions:
                break
        return players, course

    def _shared(
        self, rng: np.random.Generator, players: list[world.Player], course: Trajectories
    ) -> tuple[list[world.Player], Trajectories, int]:
        """Return a clip whose objects are all in it for long enough, the given one or another, and its first frame."""
        camera, trim = world.camera(self.config.size), self.config.trim
        for _ in range(DRAWS):
            inside = camera.shows(course.places.reshape(-1, 3)).reshape(course.places.shape[:2])
            begin, end = shared_span(inside)
            if end - begin >= trim and _all_shown(players, course, camera, range(begin, begin + trim)):
                return players, course, begin
            players, course = self._play(rng)
        problem = f"in {DRAWS} clips the objects were never all in the picture for {trim} frames."
        raise InputError(self.name, problem, "Set a smaller trim, fewer objects or a wider picture.")


def _stage(players: list[world.Player]) -> RayScene:
    return RayScene([floor(), *(world.body(player, row + 1) for row, player in enumerate(players))])


def _all_shown(players: list[world.Player], course: Trajectories, camera: Camera, frames: range) -> bool:
    """Return whether a pixel of every object is seen in all frames: others may hide it, or the border cut it off."""
    stage = _stage(players)
    for time in frames:
        stage.move(course.places[time], course.turns[time])
        if not np.bincount(stage.ids(camera).reshape(-1), minlength=len(players) + 1)[1:].all():
            return False
    return True


def _known(players: list[world.Player], course: Trajectories, first: int, stop: int) -> dict[str, Any]:
    """Return what is known of frames `first` to `stop`; frames of collisions count from `first`."""
    places = course.places[first:stop]
    full = world.camera(world.FULL)
    within = (course.collisions[:, 0] >= first) & (course.collisions[:, 0] < stop)
    return {
        "shape": np.array([player.mover.shape for player in players]),
        "material": np.array([player.material for player in players]),
        "colour": np.array([player.colour for player in players]),
        "positions": places,
        "orientations": course.turns[first:stop],
        "velocities": course.velocities[first:stop],
        "angular_velocities": course.spins[first:stop],
        "in_view": full.shows(places.reshape(-1, 3)).reshape(places.shape[:2]),
        "collisions": course.collisions[within] - (first, 0, 0),
        "collision_places": course.spots[within],
    }


def annotation(sample: Sample, index: int) -> dict[str, Any]:
    """Return what is known of a clip in the form of CLEVRER's annotation files, ready for `json.dump`.

    Args:
        sample: A whole clip of this source; object i has id i + 1 in its mask.
        index: Its number, which names the video.
    """
    facts = sample.extras
    return {
        "scene_index": index,
        "video_filename": f"video_{index:05d}.mp4",
        "object_property": [
            {"object_id": row, "color": str(colour), "material": str(material), "shape": str(shape)}
            for row, (colour, material, shape) in enumerate(
                zip(facts["colour"], facts["material"], facts["shape"], strict=True)
            )
        ],
        "motion_trajectory": [
            {"frame_id": time, "objects": [_motion(facts, time, row) for row in range(len(facts["shape"]))]}
            for time in range(len(facts["positions"]))
        ],
        "collision": [
            {"object_ids": [first, second], "frame_id": time, "location": place}
            for (time, first, second), place in zip(
                facts["collisions"].tolist(), facts["collision_places"].tolist(), strict=True
            )
        ],
    }


def _motion(facts: dict[str, Any], time: int, row: int) -> dict[str, Any]:
    return {
        "object_id": row,
        "location": facts["positions"][time, row].tolist(),
        "orientation": euler(facts["orientations"][time, row]).tolist(),
        "velocity": facts["velocities"][time, row].tolist(),
        "angular_velocity": facts["angular_velocities"][time, row].tolist(),
        "inside_camera_view": bool(facts["in_view"][time, row]),
    }


_HELD_OUT: dict[str, dict[str, Any]] = {"clevrer": {"max_objects": 5, "trim": 40}, "clevrer6": {"trim": 40}}
"""What is ready in the validation and the test split, by the name of the source."""

_TESTS = {"clevrer": 2_500, "clevrer6": 1_100}
"""Clips of PROVIDE's test sets."""


def _describe(objects: str) -> Description:
    return Description(
        what=f"CLEVRER-like videos: {objects} that enter, collide and leave under rigid-body physics (needs mujoco)",
        kind="generated",
        paper="CLEVRER (Yi et al. 2020); PROVIDE, SlotFormer",
        size="128 frames, in tests the first 40 that show all objects; 64 x 64 (the middle), or another size",
        factors=(
            *("shape", "material", "colour", "positions", "orientations", "velocities", "angular_velocities"),
            *("in_view", "collisions", "pixel_coords", "visibility", "amodal"),
        ),
    )


register_source("clevrer", _describe("3 to 6 objects"))(ClevrerSource)
register_source("clevrer6", _describe("6 objects"), {"min_objects": 6})(ClevrerSource)
