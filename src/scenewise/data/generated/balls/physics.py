"""Discs that bounce in a box: placement, motion and elastic collisions, many videos at once.

Lengths are in box units (the box is 10 x 10), times in frames; the first coordinate is the column. Every video has its
own random stream and all arithmetic is element by element, so a video is the same bytes in any batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scenewise.errors import InputError

BOX = 10.0
"""Side of the box in its own units."""

_NEAR_CORNER = 2.0  # the original script draws centres from here on, and so does the published data
_MOST_ATTEMPTS = 1 << 19


@dataclass(frozen=True)
class Start:
    """How N videos begin; n is the largest number of balls, absent balls have radius 0 and rest at the middle.

    Attributes:
        positions: Centres, shape (N, n, 2).
        velocities: Per frame, shape (N, n, 2).
        radii: Shape (N, n).
        masses: Shape (N, n); 1 for absent balls.
        curtain: Where a curtain hangs, as a share of the free way down and to the right, shape (N, 2).
    """

    positions: np.ndarray
    velocities: np.ndarray
    radii: np.ndarray
    masses: np.ndarray
    curtain: np.ndarray


@dataclass(frozen=True)
class BallMotion:
    """How N videos of T frames go on.

    Attributes:
        positions: Centres, shape (N, T, n, 2); NaN for absent balls.
        velocities: Per frame, shape (N, T, n, 2); NaN for absent balls.
        contacts: Whether a ball touches another one between its frame and the next, shape (N, T, n).
    """

    positions: np.ndarray
    velocities: np.ndarray
    contacts: np.ndarray


def start(
    streams: list[np.random.Generator],
    counts: tuple[int, int],
    radii: tuple[float, ...],
    masses: tuple[float, ...],
    speed: float,
) -> Start:
    """Draw how videos begin, each from its own stream.

    Args:
        streams: One random stream per video.
        counts: Smallest and largest number of balls.
        radii: Radius of each type of ball; types are equally likely.
        masses: Mass of each type of ball.
        speed: Norm of all velocities of a video together, in units per frame.

    Raises:
        InputError: So many balls of this size do not fit into the box.
    """
    size, most = len(streams), counts[1]
    initial = Start(
        np.full((size, most, 2), BOX / 2),
        np.zeros((size, most, 2)),
        np.zeros((size, most)),
        np.ones((size, most)),
        np.zeros((size, 2)),
    )
    for video, stream in enumerate(streams):
        count = int(stream.integers(counts[0], most + 1))
        kinds = stream.integers(len(radii), size=count)
        velocities = stream.standard_normal((count, 2))
        initial.curtain[video] = stream.random(2)
        initial.radii[video, :count] = np.array(radii)[kinds]
        initial.masses[video, :count] = np.array(masses)[kinds]
        initial.velocities[video, :count] = velocities * (speed / np.sqrt((velocities * velocities).sum()))
        initial.positions[video, :count] = _place(stream, initial.radii[video, :count])
    return initial


def _place(stream: np.random.Generator, radii: np.ndarray) -> np.ndarray:
    """Draw whole configurations until no two balls overlap; returns centres, shape (n, 2)."""
    first, second = np.triu_indices(len(radii), 1)
    reach = (radii[first] + radii[second]) ** 2
    room = (BOX - _NEAR_CORNER - radii)[:, None]
    attempts, chunk = 0, 8
    while attempts < _MOST_ATTEMPTS:
        positions = _NEAR_CORNER + room * stream.random((chunk, len(radii), 2))
        apart = positions[:, first] - positions[:, second]
        free = ((apart * apart).sum(-1) > reach).all(-1)
        if free.any():
            return positions[free.argmax()]
        attempts += chunk
        chunk = min(2 * chunk, 512)
    raise InputError(
        "balls", f"{len(radii)} balls of radius up to {radii.max():g} do not fit.", "Use fewer or smaller balls."
    )


def simulate(initial: Start, frames: int, substeps: int, sticky: bool = False) -> BallMotion:
    """Let the balls move.

    Args:
        initial: The first frame.
        frames: T.
        substeps: Steps per frame; walls and collisions are looked at after each.
        sticky: Exchange velocities whenever two balls overlap, as the original script does, rather than only when
            they approach each other.
    """
    world = _World(initial, sticky)
    size, most = initial.radii.shape
    track = np.empty((2, frames, 2, most, size))
    contacts = np.empty((frames, most, size), bool)
    for frame in range(frames):
        track[0, frame], track[1, frame] = world.positions, world.velocities
        contacts[frame] = world.advance(substeps)
    track = np.where(initial.radii.T > 0, track, np.nan)
    positions, velocities = np.ascontiguousarray(track.transpose(0, 4, 1, 3, 2))  # (2, T, 2, n, N) -> (2, N, T, n, 2)
    return BallMotion(positions, velocities, np.ascontiguousarray(contacts.transpose(2, 0, 1)))


class _World:
    """The moving state, laid out with the videos last so that every operation runs over long rows."""

    def __init__(self, initial: Start, sticky: bool) -> None:
        self.positions = np.ascontiguousarray(initial.positions.transpose(2, 1, 0))  # (2, n, N)
        self.velocities = np.ascontiguousarray(initial.velocities.transpose(2, 1, 0))
        self.radii = np.ascontiguousarray(initial.radii.T)
        self.free = BOX / 2 - self.radii  # how far a centre may be from the middle of the box
        self.sticky = sticky
        self.first, self.second = np.triu_indices(len(self.radii), 1)
        masses = initial.masses.T
        one, other = masses[self.first], masses[self.second]
        self.gain_first, self.gain_second = 2 * other / (one + other), 2 * one / (one + other)
        present = (self.radii[self.first] > 0) & (self.radii[self.second] > 0)
        self.reach = np.where(present, (self.radii[self.first] + self.radii[self.second]) ** 2, -1.0)

    def advance(self, substeps: int) -> np.ndarray:
        """Move on by one frame; returns which balls touched another one, shape (n, N)."""
        touched = np.zeros(self.radii.shape, bool)
        for _ in range(substeps):
            self.positions += self.velocities / substeps
            offset = self.positions - BOX / 2
            outside = np.abs(offset) > self.free
            if outside.any():  # walls send balls inward
                inward = -np.sign(offset[outside])
                self.velocities[outside] = np.abs(self.velocities[outside]) * inward
            apart = self.positions[:, self.first] - self.positions[:, self.second]
            squares = apart * apart
            touching = squares[0] + squares[1] < self.reach
            if touching.any():
                self._collide(touching, apart, touched)
        return touched

    def _collide(self, touching: np.ndarray, apart: np.ndarray, touched: np.ndarray) -> None:
        """Exchange momentum along the line of centres, pair after pair in a fixed order."""
        for pair in np.flatnonzero(touching.any(1)):
            one, other = self.first[pair], self.second[pair]
            videos = np.flatnonzero(touching[pair])
            touched[one, videos] = touched[other, videos] = True
            x, y = apart[:, pair, videos]
            closing = self.velocities[:, one, videos] - self.velocities[:, other, videos]
            along = (closing[0] * x + closing[1] * y) / (x * x + y * y)
            if not self.sticky:
                along = np.minimum(along, 0.0)
            push = along * np.stack((x, y))
            self.velocities[:, one, videos] -= self.gain_first[pair, videos] * push
            self.velocities[:, other, videos] += self.gain_second[pair, videos] * push
