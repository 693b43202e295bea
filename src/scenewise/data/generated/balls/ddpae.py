"""DDPAE's bouncing balls, made on the fly: equal white balls in a world of 800 x 800 (ddpae.md 8).

The authors' generator is a physics engine; here `world` moves discs of radius 60 and mass 1 without friction,
and collisions are elastic. Starts are as there: whole numbers, centres at least 150 apart, velocity components from
-19 to 20 units per frame. Videos are drawn as `ddpae-balls-npy` draws stored states: about the rounded centre, without
soft edges. A video is determined by (seed, split, index), whatever batch or span it is made in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scenewise.config import setting
from scenewise.data.contract import Description, Facts, ObjectKeys, Sample, register_source
from scenewise.data.generated.balls.world import BOX, DDPAE_RADIUS, DDPAE_WORLD, Start, hard_discs, simulate
from scenewise.data.generated.base import GeneratedSource, joined
from scenewise.data.splits import stream
from scenewise.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAME = "ddpae-balls"
_LENGTHS = {"train": 50_000, "validation": 2_000, "test": 2_000}
_APART = 2.5 * DDPAE_RADIUS  # least distance of centres at the start
_SPEEDS = (-19, 20)  # smallest and largest velocity component, world units per frame
_UNIT = DDPAE_WORLD / BOX  # world units in a unit of `world`
_AT_ONCE = 32  # videos that are moved and drawn together; bounds the memory
_MOST_ATTEMPTS = 100_000
_WHITE = np.full((256, 3), 255, np.uint8)


@dataclass(frozen=True)
class DdpaeBallsMadeConfig:
    """Settings of the generator of DDPAE's balls."""

    balls: int = setting(4, "number of balls", minimum=1, maximum=8)
    frames: int = setting(60, "frames of a video", minimum=1, maximum=100_000)
    size: int = setting(128, "height and width in pixels", minimum=32, maximum=1024)
    substeps: int = setting(10, "steps of the simulation per frame", minimum=10, maximum=1000)
    seed: int = setting(0, "seed of all videos", minimum=0, maximum=2**63 - 1)


@dataclass(frozen=True)
class DdpaeBallsVideos:
    """N videos of T frames with all that is known of them; n is the number of balls.

    Attributes:
        frames: uint8, shape (N, T, 1, S, S).
        ids: uint8, shape (N, T, S, S): 0 background, ball index + 1.
        positions: x, y of the centres in world units, shape (N, T, n, 2).
        velocities: World units per frame, shape (N, T, n, 2).
        contacts: Whether a ball touches another one between its frame and the next, shape (N, T, n).
    """

    frames: np.ndarray
    ids: np.ndarray
    positions: np.ndarray
    velocities: np.ndarray
    contacts: np.ndarray


@register_source(
    _NAME,
    Description(
        what="4 equal white balls that bounce off each other and the walls, as DDPAE's generator makes them",
        kind="generated",
        paper="DDPAE (Hsieh et al. 2018)",
        size="60 frames of 128 x 128, or any number of 32 to 1024",
        factors=("position", "velocity", "contact"),
    ),
)
class DdpaeBallsGenerator(GeneratedSource[DdpaeBallsVideos]):
    """DDPAE's balls, made when asked for.

    Extras hold, as the reader's, positions (x, y of every ball in world units of 800), masses and sizes, each with
    a leading axis T; and velocities (world units per frame), contacts (whether a ball touches another one before
    the next frame) and events (whether any two do).

    Args:
        config: What to make.
        split: Which random streams to use; splits share no video.
    """

    config_class = DdpaeBallsMadeConfig
    kind = _NAME
    lengths = _LENGTHS
    object_keys = ObjectKeys(
        size="sizes",
        position="positions",
        velocity="velocities",
    )

    def __init__(self, config: DdpaeBallsMadeConfig, split: str = "train", name: str | None = None) -> None:
        super().__init__(config, split, name)
        self.facts = Facts(
            channels=1,
            size=(config.size, config.size),
            frames=config.frames,
            max_objects=config.balls,
            overlap="top",
            binary=True,
            origin=f"{_NAME}, generated with seed {config.seed}",
        )

    def _make(self, indices: Sequence[int], first: int, stop: int, whole: bool) -> DdpaeBallsVideos:
        starts = range(0, max(len(indices), 1), _AT_ONCE)
        return joined([self._part(indices[at : at + _AT_ONCE], first, stop) for at in starts])

    def _part(self, indices: Sequence[int], first: int, stop: int) -> DdpaeBallsVideos:
        config, size = self.config, self.config.size
        starts = [_begin(stream(config.seed, self.split, index), config.balls) for index in indices]
        shape = (len(indices), config.balls)
        positions, velocities = (np.array([s[i] for s in starts]).reshape(*shape, 2) / _UNIT for i in (0, 1))
        radii = np.full(shape, DDPAE_RADIUS / _UNIT)
        initial = Start(positions, velocities, radii, np.ones(shape), np.zeros((shape[0], 2)))
        motion = simulate(initial, stop, config.substeps)  # in units of `world`
        ids = np.zeros((len(indices), stop - first, size, size), np.uint8)
        frames = np.zeros((len(indices), stop - first, 1, size, size), np.uint8)
        flat = motion.positions[:, first:].reshape(-1, config.balls, 2)  # (N, T, n, 2) -> (N * T, n, 2)
        centres = np.rint(flat * (size / BOX)) + 0.5
        pixel_radii = np.full(centres.shape[:2], np.trunc(DDPAE_RADIUS * size / DDPAE_WORLD))
        hard_discs(centres, pixel_radii, _WHITE, frames.reshape(-1, 1, size, size), ids.reshape(-1, size, size))
        return DdpaeBallsVideos(
            frames=frames,
            ids=ids,
            positions=motion.positions[:, first:] * _UNIT,
            velocities=motion.velocities[:, first:] * _UNIT,
            contacts=motion.contacts[:, first:],
        )

    def _samples(self, videos: DdpaeBallsVideos) -> list[Sample]:
        ones = np.ones(videos.contacts.shape[1:])
        return [
            Sample(
                videos.frames[row],
                videos.ids[row].astype(np.int64),
                {
                    "positions": videos.positions[row],
                    "velocities": videos.velocities[row],
                    "masses": ones,
                    "sizes": ones.copy(),
                    "contacts": videos.contacts[row],
                    "events": videos.contacts[row].any(1),
                },
            )
            for row in range(len(videos.ids))
        ]


def _begin(numbers: np.random.Generator, balls: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw whole configurations until all balls are apart; returns positions and velocities, (n, 2), world units."""
    lowest, highest = int(DDPAE_RADIUS) + 1, int(DDPAE_WORLD - DDPAE_RADIUS) - 2
    first, second = np.triu_indices(balls, 1)
    for _ in range(_MOST_ATTEMPTS):
        places = numbers.integers(lowest, highest, (balls, 2), endpoint=True)
        if (np.square(places[first] - places[second]).sum(1) >= _APART**2).all():
            return places, numbers.integers(*_SPEEDS, (balls, 2), endpoint=True)
    raise InputError("balls", f"{balls} do not fit.", "Use fewer.")
