"""The world of bouncing balls: how discs move and collide in a box, many videos at once, and how they are drawn.

Of motion, lengths are in box units (the box is 10 x 10), times in frames; the first coordinate is the column. Every
video has its own random stream and all arithmetic is element by element, so a video is the same bytes in any batch.

Of drawing, lengths are in pixels; pixel (row, column) has its centre at (row + 0.5, column + 0.5). A hard disc is
written as runs of pixels, row by row, so that the cost grows with the area of the balls and not with that of the frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scenewise.errors import InputError

BOX = 10.0
"""Side of the box in its own units."""

_NEAR_CORNER = 2.0  # the original script draws centres from here on, and so does the published data
_MOST_ATTEMPTS = 1 << 19

PALETTE = np.array(
    [
        (166, 206, 227),
        (31, 120, 180),
        (178, 223, 138),
        (51, 160, 44),
        (251, 154, 153),
        (227, 26, 28),
        (253, 191, 111),
        (255, 127, 0),
    ],
    dtype=np.uint8,
)
"""The colours as PROVIDE's code writes them, shape (8, 3)."""

DDPAE_WORLD, DDPAE_RADIUS = 800.0, 60.0
"""Side of DDPAE's world and radius of its balls, in its units."""


# -- motion ----------------------------------------------------------------------------------------------------------


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


# -- drawing ---------------------------------------------------------------------------------------------------------


def hard_discs(
    centres: np.ndarray, radii: np.ndarray, colours: np.ndarray, frames: np.ndarray, ids: np.ndarray
) -> None:
    """Draw all pixels with d <= r into black frames; where discs overlap the nearer centre wins.

    Args:
        centres: Column and row of each centre, shape (M, n, 2); ignored where the radius is 0.
        radii: Shape (M, n); 0 for absent balls.
        colours: uint8 colour of every id, shape (256, 3); one channel uses only the first value.
        frames: Drawn into; uint8 zeros, contiguous, shape (M, C, S, S).
        ids: Drawn into; uint8 zeros, contiguous, shape (M, S, S).
    """
    channels, size = frames.shape[1:3]
    area = size * size
    flat_ids, flat_frames = ids.reshape(-1), frames.reshape(-1)  # views
    for ball in range(radii.shape[1]):
        images, pixels = _disc_pixels(centres[:, ball], radii[:, ball], size)
        flat_ids[images * area + pixels] = ball + 1
        where = images * (channels * area) + pixels
        for channel in range(channels):
            flat_frames[where] = colours[ball + 1, channel]
            where += area
    first, second = np.triu_indices(radii.shape[1], 1)
    apart = centres[:, first] - centres[:, second]
    near = apart[..., 0] ** 2 + apart[..., 1] ** 2 < (radii[:, first] + radii[:, second]) ** 2
    near &= (radii[:, first] > 0) & (radii[:, second] > 0)
    for image in np.flatnonzero(near.any(1)):  # two discs overlap
        ids[image] = nearest_disc(centres[image], radii[image], size)
        frames[image] = np.moveaxis(colours[ids[image], :channels], -1, 0)


def soft_discs(centres: np.ndarray, radii: np.ndarray, colours: np.ndarray, frames: np.ndarray) -> None:
    """Draw balls whose intensity falls as exp(-(d/r)^8), the original script's soft edges.

    Arguments are those of `hard_discs`; where balls overlap the sum is clipped at 255.
    """
    channels, size = frames.shape[1:3]
    for image, out in enumerate(frames):
        total = np.zeros(out.shape)
        for ball in np.flatnonzero(radii[image] > 0):
            ratio = _squares(centres[image, ball], size) / radii[image, ball] ** 2
            total += np.exp(-(ratio**4)) * colours[ball + 1, :channels, None, None]
        out[:] = np.minimum(np.rint(total), 255)


def ddpae_discs(states: np.ndarray, side: int) -> np.ndarray:
    """Draw DDPAE's balls from its states: white discs about their rounded centres (ddpae.md 8).

    Args:
        states: x, y, mass, size of every ball in world units, shape (T, n, 4).
        side: S.

    Returns:
        Ids, int64, shape (T, S, S): 0 background, later balls on top.
    """
    scale = side / DDPAE_WORLD
    places = np.arange(side)
    ids = np.zeros((len(states), side, side), np.int64)
    for ball in range(states.shape[1]):
        x, y = (np.rint(states[:, ball, axis] * scale)[:, None] for axis in (0, 1))
        radius = np.trunc(DDPAE_RADIUS * scale * states[:, ball, 3])
        across, down = (places - x) ** 2, (places - y) ** 2  # (T, S)
        ids[down[:, :, None] + across[:, None, :] <= radius[:, None, None] ** 2] = ball + 1
    return ids


def nearest_disc(centres: np.ndarray, radii: np.ndarray, size: int) -> np.ndarray:
    """Return the id map of one image, looking at every pixel and ball.

    Args:
        centres: Shape (n, 2).
        radii: Shape (n,); 0 for absent balls.
        size: Side of the frame.

    Returns:
        uint8, shape (size, size).
    """
    best = np.full((size, size), np.inf)
    ids = np.zeros((size, size), np.uint8)
    for ball in np.flatnonzero(radii > 0):
        squares = _squares(centres[ball], size)
        wins = (squares <= radii[ball] ** 2) & (squares < best)
        ids[wins], best[wins] = ball + 1, squares[wins]
    return ids


def paint_touching(ids: np.ndarray, touching: np.ndarray) -> np.ndarray:
    """Return a map that is 1 on the discs of some balls.

    Args:
        ids: Shape (M, H, W).
        touching: Which balls, shape (M, n).

    Returns:
        uint8, shape (M, H, W).
    """
    table = np.zeros((len(touching), touching.shape[1] + 1), np.uint8)
    table[:, 1:] = touching
    return table[np.arange(len(ids))[:, None, None], ids]


def _squares(centre: np.ndarray, size: int) -> np.ndarray:
    """Squared distance of every pixel centre from a point, shape (size, size)."""
    grid = np.arange(size) + 0.5
    return ((grid - centre[1]) ** 2)[:, None] + (grid - centre[0]) ** 2


def _disc_pixels(centres: np.ndarray, radii: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return image number and place within the frame of all pixels of one disc per image."""
    balls = np.flatnonzero(radii > 0)
    column, row, radius = centres[balls, 0], centres[balls, 1], radii[balls]
    tallest = int(np.ceil(2 * radius.max(initial=0.0))) + 2
    top = np.floor(row - radius).astype(np.intp)
    rows = top[:, None] + np.arange(tallest)  # (images, tallest)
    left_over = (radius * radius)[:, None] - (rows + 0.5 - row[:, None]) ** 2
    half = np.sqrt(np.maximum(left_over, 0))
    first = np.maximum(np.ceil(column[:, None] - half - 0.5), 0).astype(np.intp)
    last = np.minimum(np.floor(column[:, None] + half - 0.5), size - 1).astype(np.intp)
    inside = (left_over >= 0) & (rows >= 0) & (rows < size)
    lengths = np.where(inside, np.maximum(last - first + 1, 0), 0).ravel()
    ends = np.cumsum(lengths)
    shifts = (rows * size + first).ravel() - (ends - lengths)
    images = np.repeat(np.repeat(balls, tallest), lengths)
    return images, np.repeat(shifts, lengths) + np.arange(ends[-1] if len(ends) else 0)


def palette(colours: int = 8, order: str = "bgr") -> np.ndarray:
    """Return the colour of every id, background first.

    Args:
        colours: How many of the eight colours are used; ids beyond that begin again with the first.
        order: "bgr" for what PROVIDE's model saw (its images were written as BGR and read as RGB), "rgb" for the
            colours as written.

    Returns:
        uint8 RGB, shape (256, 3): row 0 is black, row i the colour of id i.

    Raises:
        InputError: The order or the number of colours is unknown.
    """
    if order not in ("bgr", "rgb") or not 1 <= colours <= len(PALETTE):
        raise InputError("palette", f"expected 1 to 8 colours in order bgr or rgb; found {colours}, {order!r}.")
    colours_of_order = PALETTE[:colours, ::-1] if order == "bgr" else PALETTE[:colours]
    table = np.zeros((256, 3), np.uint8)
    table[1:] = colours_of_order[np.arange(255) % colours]
    return table


def paint(ids: np.ndarray, colours: int = 8, order: str = "bgr", colour_by: str = "id") -> np.ndarray:
    """Paint id maps (provide.md 14.3).

    Args:
        ids: Whole numbers 0 to 255, shape (..., H, W).
        colours: See `palette`.
        order: See `palette`.
        colour_by: "id" gives an id the same colour in all frames; "rank" gives the l-th smallest id present in a
            frame colour l, as PROVIDE's code did, so that colours shift when an object leaves a frame.

    Returns:
        uint8 RGB, shape (..., 3, H, W).
    """
    if colour_by not in ("id", "rank"):
        raise InputError("colour_by", f"expected id or rank; found {colour_by!r}.")
    table = palette(colours, order)
    if colour_by == "rank":
        ids = _ranks(ids)
    return np.moveaxis(table[ids], -1, -3)


def _ranks(ids: np.ndarray) -> np.ndarray:
    """Replace every id by its place among the ids present in its frame."""
    flat = ids.reshape(-1, *ids.shape[-2:])
    ranked = np.empty(flat.shape, np.intp)
    for frame, out in zip(flat, ranked, strict=True):
        present = np.zeros(256, bool)
        present[frame] = True
        present[0] = False
        out[:] = np.where(frame > 0, np.cumsum(present)[frame], 0)
    return ranked.reshape(ids.shape)
