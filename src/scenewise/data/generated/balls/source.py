"""Bouncing balls: the videos of R-NEM and PROVIDE, made on the fly with exact ground truth.

Physics and measures are those found in the published 64 x 64 animations (provide.md 14.2, rnem.md 10): a box of 10 x 10
units, two types of ball (radius 0.8, mass 1; radius 1.0, mass 6), total speed 1/3 unit per frame, hard black-and-white
discs. The colour version paints ball i with colour i of PROVIDE's palette (provide.md 14.3).

A video is determined by (seed, split, index): neither the batch it is made in nor the number of frames asked for nor
its colours change its course.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scenewise.config import plain, setting
from scenewise.data.contract import Description, Facts, ObjectKeys, Sample, register_source
from scenewise.data.fingerprints import of_values
from scenewise.data.generated.balls.world import (
    BOX,
    BallMotion,
    Start,
    hard_discs,
    paint_touching,
    palette,
    simulate,
    soft_discs,
    start,
)
from scenewise.data.generated.base import GeneratedSource
from scenewise.data.splits import check_index, check_span, stream
from scenewise.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

_LENGTHS = {"train": 50_000, "validation": 10_000, "test": 10_000}
_AT_ONCE = 64  # videos that are moved and drawn together; bounds the memory


@dataclass(frozen=True)
class BallsConfig:
    """Settings of the bouncing-balls generator."""

    mode: Literal["binary", "colour"] = setting("colour", "black-and-white or coloured balls")
    colours: Literal[4, 8] = setting(4, "colours in use; balls beyond that begin again with the first")
    palette_order: Literal["bgr", "rgb"] = setting("bgr", "bgr: as PROVIDE's model saw them; rgb: as written")
    min_balls: int = setting(4, "smallest number of balls", minimum=1, maximum=8)
    max_balls: int = setting(4, "largest number of balls", minimum=1, maximum=8)
    radii: tuple[float, ...] = setting((0.8, 1.0), "radius of each type, in box units", minimum=0.1, maximum=2.0)
    masses: tuple[float, ...] = setting((1.0, 6.0), "mass of each type", minimum=1e-3, maximum=1e3)
    speed: float = setting(1 / 3, "norm of all velocities together, units per frame", minimum=0.0, maximum=2.0)
    curtain: bool = setting(False, "hang a black square in front of the balls; ids are 0 behind it")
    curtain_side: float = setting(28 / 64, "side of the curtain as a share of the frame", minimum=0.0, maximum=1.0)
    frames: int = setting(51, "frames of a video", minimum=1, maximum=1_000_000)
    size: int = setting(64, "height and width in pixels", minimum=8, maximum=1024)
    channels: Literal[1, 3] = setting(3, "3, or 1 for binary videos only")
    substeps: int = setting(10, "steps of the simulation per frame", minimum=10, maximum=1000)
    sticky: bool = setting(False, "let overlapping balls exchange velocities again and again")
    antialias: bool = setting(False, "draw soft edges (slow); ids stay hard discs")
    seed: int = setting(0, "seed of all videos", minimum=0, maximum=2**63 - 1)

    def __post_init__(self) -> None:
        """Check what no single field can know; raises InputError."""
        if self.min_balls > self.max_balls:
            raise InputError("min_balls", f"is {self.min_balls}, more than max_balls = {self.max_balls}.")
        if not self.radii or len(self.radii) != len(self.masses):
            raise InputError("radii", f"needs one value per type as masses does; found {self.radii} and {self.masses}.")
        if self.channels == 1 and self.mode == "colour":
            raise InputError("channels", "colour videos have 3 channels; found 1.", "Set channels=3 or mode=binary.")


@dataclass(frozen=True)
class BallsVideos:
    """N videos of T frames with all that is known of them; n is the largest number of balls.

    Attributes:
        frames: uint8, shape (N, T, C, H, W).
        ids: uint8, shape (N, T, H, W): 0 background, ball index + 1.
        positions: Centres (column, row) in box units, shape (N, T, n, 2); NaN for absent balls.
        velocities: Box units per frame, shape (N, T, n, 2); NaN for absent balls.
        contacts: Whether a ball touches another one between its frame and the next, shape (N, T, n).
        collisions: uint8, 1 on the discs of balls in contact, shape (N, T, H, W).
        radii: Box units, shape (N, n); 0 for absent balls.
        masses: Shape (N, n); 1 for absent balls.
    """

    frames: np.ndarray
    ids: np.ndarray
    positions: np.ndarray
    velocities: np.ndarray
    contacts: np.ndarray
    collisions: np.ndarray
    radii: np.ndarray
    masses: np.ndarray

    @property
    def events(self) -> np.ndarray:
        """Whether any two balls touch, shape (N, T)."""
        return np.asarray(self.contacts.any(2))


class BallsSource(GeneratedSource[BallsVideos]):
    """Bouncing balls, made when asked for.

    Extras hold positions, velocities, contacts, events, collisions, radii and masses.

    Args:
        config: What to make.
        split: Which random streams to use; splits share no video.
    """

    config_class = BallsConfig
    kind = "balls"
    lengths = _LENGTHS
    object_keys = ObjectKeys(
        position="positions",
        velocity="velocities",
    )

    def __init__(self, config: BallsConfig, split: str = "train", name: str | None = None) -> None:
        super().__init__(config, split, name)
        self.facts = Facts(
            channels=config.channels,
            size=(config.size, config.size),
            frames=config.frames,
            max_objects=config.max_balls,
            overlap="top",
            binary=config.mode == "binary" and not config.antialias,
            origin=f"bouncing balls, generated with seed {config.seed}",
        )
        self._colours = palette(config.colours, config.palette_order)
        if config.mode == "binary":
            self._colours[1:] = 255

    def fingerprint(self) -> str:
        """Return a hash of settings, split and generator version; folders that were made know it without a name."""
        return of_values(self.version, self.split, plain(self.config))

    def batch(self, indices: Sequence[int], start: int = 0, frames: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return many videos at once, without what only samples hold; see `Source.batch`."""
        first, stop = check_span(start, frames, self.config.frames, self.name)
        indices = [check_index(index, len(self), self.name) for index in indices]
        images, ids = self._black(len(indices), stop - first)
        for at in range(0, len(indices), _AT_ONCE):
            part = slice(at, at + _AT_ONCE)
            initial, motion = self._motion(indices[part], stop)
            self._draw(initial, motion.positions[:, first:], images[part], ids[part])
        return images, ids

    def _make(self, indices: Sequence[int], first: int, stop: int, whole: bool) -> BallsVideos:
        initial, motion = self._motion(indices, stop)
        contacts = motion.contacts[:, first:]
        images, ids = self._black(len(indices), stop - first)
        self._draw(initial, motion.positions[:, first:], images, ids)
        flat = contacts.reshape(-1, contacts.shape[-1])
        return BallsVideos(
            frames=images,
            ids=ids,
            positions=motion.positions[:, first:],
            velocities=motion.velocities[:, first:],
            contacts=contacts,
            collisions=paint_touching(ids.reshape(-1, *ids.shape[2:]), flat).reshape(ids.shape),
            radii=initial.radii,
            masses=initial.masses,
        )

    def _samples(self, videos: BallsVideos) -> list[Sample]:
        return [_one(videos, row) for row in range(len(videos.ids))]

    def _motion(self, indices: Sequence[int], frames: int) -> tuple[Start, BallMotion]:
        config = self.config
        counts = (config.min_balls, config.max_balls)
        streams = [stream(config.seed, self.split, index) for index in indices]
        initial = start(streams, counts, config.radii, config.masses, config.speed)
        return initial, simulate(initial, frames, config.substeps, config.sticky)

    def _black(self, videos: int, time: int) -> tuple[np.ndarray, np.ndarray]:
        """Return frames and ids of empty videos."""
        size, channels = self.config.size, self.config.channels
        ids = np.zeros((videos, time, size, size), np.uint8)
        return np.zeros((videos, time, channels, size, size), np.uint8), ids

    def _draw(self, initial: Start, positions: np.ndarray, frames: np.ndarray, ids: np.ndarray) -> None:
        """Draw balls at centres of shape (N, T, n, 2) into empty videos."""
        config = self.config
        pixels = config.size / BOX
        centres = positions.reshape(-1, *positions.shape[2:]) * pixels  # (N * T, n, 2)
        radii = np.repeat(initial.radii * pixels, positions.shape[1], axis=0)  # (N * T, n)
        flat_frames, flat_ids = frames.reshape(-1, *frames.shape[2:]), ids.reshape(-1, *ids.shape[2:])
        hard_discs(centres, radii, self._colours, flat_frames, flat_ids)
        if config.antialias:
            soft_discs(centres, radii, self._colours, flat_frames)
        if config.curtain:  # a black square in every video
            side = round(config.curtain_side * config.size)
            corners = np.floor(initial.curtain * (config.size - side + 1)).astype(int)
            for video, (top, left) in enumerate(corners):
                square = (..., slice(top, top + side), slice(left, left + side))
                frames[video][square] = 0
                ids[video][square] = 0


def _one(videos: BallsVideos, row: int) -> Sample:
    """Return one of many videos; extras are of the balls that are there."""
    present = videos.radii[row] > 0
    extras = {
        "positions": videos.positions[row][:, present],
        "velocities": videos.velocities[row][:, present],
        "contacts": videos.contacts[row][:, present],
        "events": videos.events[row],
        "collisions": videos.collisions[row],
        "radii": videos.radii[row][present],
        "masses": videos.masses[row][present],
    }
    return Sample(videos.frames[row], videos.ids[row].astype(np.int64), extras)


_READY: dict[str, dict[str, Any]] = {
    "balls": {},
    "balls-binary": {"mode": "binary"},
    "balls-binary-678": {"mode": "binary", "min_balls": 6, "max_balls": 8},
    "balls-colour": {},
    "balls-colour8": {"colours": 8},
    "balls-colour-678": {"colours": 8, "min_balls": 6, "max_balls": 8},
    "balls-curtain": {
        "mode": "binary",
        "min_balls": 3,
        "max_balls": 3,
        "radii": [1.2],
        "masses": [1.0],
        "curtain": True,
    },
}
"""Ready settings by the name of the source; `balls-colour-678` takes `colours=4` for the paper's second version."""


_WHAT = {
    "balls": "bouncing balls with every setting open; unless set, as balls-colour",
    "balls-binary": "4 white balls that bounce off each other and the walls, on black",
    "balls-binary-678": "6 to 8 white bouncing balls, on black",
    "balls-colour": "4 bouncing balls in 4 colours, on black",
    "balls-colour8": "4 bouncing balls in 4 of 8 colours, on black",
    "balls-colour-678": "6 to 8 bouncing balls in 8 colours, on black",
    "balls-curtain": "3 white bouncing balls of one size that pass behind a black square",
}

for _name in _READY:
    _description = Description(
        what=_WHAT[_name],
        kind="generated",
        paper="R-NEM (van Steenkiste et al. 2018); PROVIDE (Zablotskaia et al. 2021)",
        size="51 frames of 64 x 64, or any number of 8 to 1024",
        factors=("position", "velocity", "contact", "radius", "mass"),
    )
    register_source(_name, _description, _READY[_name])(BallsSource)
