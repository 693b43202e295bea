"""A crowd or a street under a fixed camera, made on the fly: what stands in for footage that is private or not at hand.

PROVIDE's Grand Central is a station's hall from above with about ten people in a part of 128 x 128 pixels (Appendix
F.4); DVIP's 5th Avenue a street from a fifth floor (Appendix C). Neither comes with masks and the second is private.
Here people walk over the floor of a hall (`crowd`), or on two pavements beside a road with cars (`avenue`), before a
picture that never changes: tiles, lines, pools of light, all textured. The nearer to the lower border the larger people
are, they hide each other by depth, swing their legs, cast shadows, enter and leave. The light of clips differs, and
pixels are noisy. All sizes, speeds and colours are ours.

Where somebody is follows in closed form from one moment and a velocity, as in `moving-sprites`, so that no frame needs
the ones before it. A video is determined by (seed, split, index); the picture behind it by the seed alone.
"""

from __future__ import annotations

import colorsys
import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from scenewise.config import setting
from scenewise.data.contract import Description, Facts, ObjectKeys, Sample, register_source
from scenewise.data.generated.base import GeneratedSource
from scenewise.data.splits import SPLITS, stream
from scenewise.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MOST = 24
"""Largest number of people, and of cars."""

_LENGTHS = {"train": 10_000, "validation": 1_000, "test": 1_000}
_FINE = 2  # pictures are drawn that many times finer and averaged
_PERSON, _CAR = 0, 1
_KINDS = np.array(["person", "car"])
_ROAD = (0.42, 0.78)  # rows of the road as shares of the height; pavements are above and below
_LANES = 3


@dataclass(frozen=True)
class CrowdConfig:
    """Settings of the generator of crowds and streets."""

    place: Literal["hall", "street"] = setting("hall", "a hall's floor, or a road between two pavements")
    min_people: int = setting(8, "smallest number of people of a video", minimum=0, maximum=MOST)
    max_people: int = setting(12, "largest number of people of a video", minimum=0, maximum=MOST)
    min_cars: int = setting(0, "smallest number of cars of a video", minimum=0, maximum=MOST)
    max_cars: int = setting(0, "largest number of cars of a video; on streets alone", minimum=0, maximum=MOST)
    height: float = setting(0.2, "height of people in the middle, as a share of the frame", minimum=0.03, maximum=1)
    min_speed: float = setting(0.03, "smallest speed of people, their heights per frame", minimum=0, maximum=4)
    max_speed: float = setting(0.12, "largest speed of people, their heights per frame", minimum=0, maximum=4)
    car_speed: tuple[float, float] = setting((0.1, 0.4), "range of cars' speeds, as people's", minimum=0, maximum=8)
    light: float = setting(0.05, "largest change of a video's light, as a share", minimum=0, maximum=0.9)
    noise: float = setting(0.01, "standard deviation of a pixel's noise on [0, 1]", minimum=0, maximum=0.5)
    frames: int = setting(40, "frames of a video", minimum=1, maximum=100_000)
    size: int = setting(64, "height and width in pixels", minimum=16, maximum=512)
    seed: int = setting(0, "seed of all videos and of the place", minimum=0, maximum=2**63 - 1)

    def __post_init__(self) -> None:
        """Check what no single field can know; raises InputError."""
        for low, high in (("min_people", "max_people"), ("min_cars", "max_cars"), ("min_speed", "max_speed")):
            if getattr(self, low) > getattr(self, high):
                raise InputError(low, f"is {getattr(self, low)}, more than {high} = {getattr(self, high)}.")
        if self.car_speed[0] > self.car_speed[1]:
            raise InputError("car_speed", f"must not decrease; found {list(self.car_speed)}.")
        if self.max_cars and self.place == "hall":
            raise InputError("max_cars", "cars drive on streets alone.", "Set place=street, or no cars.")


class Walkers(NamedTuple):
    """n people and cars of one video.

    Attributes:
        kinds: 0 person, 1 car, shape (n,).
        places: Column and row of their feet or wheels at `moments`, pixels, shape (n, 2).
        moments: Frames, shape (n,).
        velocities: Pixels per frame, shape (n, 2).
        colours: Of clothes or paint, and of hair or roof, on [0, 1], shape (n, 2, 3).
        phases: Of the legs, radians, shape (n,).
    """

    kinds: np.ndarray
    places: np.ndarray
    moments: np.ndarray
    velocities: np.ndarray
    colours: np.ndarray
    phases: np.ndarray

    def at(self, frame: int) -> np.ndarray:
        """Return columns and rows in a frame, pixels, shape (n, 2)."""
        return self.places + (frame - self.moments)[:, None] * self.velocities


@dataclass(frozen=True)
class CrowdVideos:
    """N videos of T frames.

    Attributes:
        frames: uint8, shape (N, T, 3, H, W).
        ids: uint8, shape (N, T, H, W): 0 background, place of the person or car + 1.
        walkers: Of each video.
        first: Number of the first frame.
    """

    frames: np.ndarray
    ids: np.ndarray
    walkers: list[Walkers]
    first: int


@register_source(
    "crowd",
    Description(
        what="8 to 12 people who walk through a hall under a fixed camera, hide each other, enter and leave",
        kind="generated",
        paper="stands in for Grand Central Station (Zhou et al. 2012) of PROVIDE",
        size="40 frames of 64 x 64, or any number of 16 to 512",
        factors=("kind", "colour", "position", "velocity"),
    ),
)
@register_source(
    "avenue",
    Description(
        what="people on pavements and cars on a road between them under a fixed camera",
        kind="generated",
        paper="stands in for the 5th Avenue videos of DVIP, which are private",
        size="40 frames of 64 x 64, or any number of 16 to 512",
        factors=("kind", "colour", "position", "velocity"),
    ),
    {"place": "street", "min_people": 3, "max_people": 6, "min_cars": 1, "max_cars": 4, "height": 0.15},
)
class CrowdSource(GeneratedSource[CrowdVideos]):
    """Crowds and streets, made when asked for.

    Extras hold, per frame and object: positions (column and row of feet or wheels in pixels) and velocities (pixels
    per frame); per object: kinds ("person", "car") and colours (RGB on [0, 1], of clothes or paint).

    Args:
        config: What to make.
        split: Which random streams to use; splits share no video.
    """

    config_class = CrowdConfig
    kind = "crowd"
    lengths = _LENGTHS
    object_keys = ObjectKeys(shape="kinds", colour="colours", position="positions", velocity="velocities")

    def __init__(self, config: CrowdConfig, split: str = "train", name: str | None = None) -> None:
        super().__init__(config, split, name)
        self.facts = Facts(
            channels=3,
            size=(config.size, config.size),
            frames=config.frames,
            max_objects=config.max_people + config.max_cars,
            background_ids=(0,),
            overlap="top",
            origin=f"{self.name}, generated with seed {config.seed}",
        )

    def background(self, index: int) -> np.ndarray:
        """Return the empty place in its usual light; see `Source.background`."""
        config = self.config
        fine = scenery(config.place, config.size, config.seed)
        picture = fine.reshape(config.size, _FINE, config.size, _FINE, 3).mean((1, 3))
        return np.rint(255 * picture).astype(np.uint8).transpose(2, 0, 1)

    def _samples(self, videos: CrowdVideos) -> list[Sample]:
        numbers, samples = range(videos.first, videos.first + videos.ids.shape[1]), []
        for frames, ids, walkers in zip(videos.frames, videos.ids, videos.walkers, strict=True):
            positions = np.stack([walkers.at(number) for number in numbers])
            extras = {
                "kinds": _KINDS[walkers.kinds],
                "colours": walkers.colours[:, 0],
                "positions": positions,
                "velocities": np.broadcast_to(walkers.velocities, positions.shape),
            }
            samples.append(Sample(frames, ids.astype(np.int64), extras))
        return samples

    def _make(self, indices: Sequence[int], first: int, stop: int, whole: bool) -> CrowdVideos:
        config, behind = self.config, scenery(self.config.place, self.config.size, self.config.seed)
        shape = (len(indices), stop - first, config.size, config.size)
        frames, ids = np.empty((*shape[:2], 3, *shape[2:]), np.uint8), np.empty(shape, np.uint8)
        everybody = []
        for row, index in enumerate(indices):
            numbers = stream(config.seed, self.split, index)
            walkers, light = _walkers(config, numbers), 1 + config.light * (2 * numbers.random() - 1)
            for t in range(first, stop):
                picture, ids[row, t - first] = draw(config, behind, walkers, t)
                if config.noise:  # keyed by its frame: the same whatever frames are made beside it
                    key = np.array([config.seed, (SPLITS.index(self.split) << 56) | index], np.uint64)
                    grain = np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, t + 1]))
                    picture = picture + config.noise * grain.standard_normal(picture.shape)
                frames[row, t - first] = np.rint(255 * np.clip(light * picture, 0, 1)).transpose(2, 0, 1)
            everybody.append(walkers)
        return CrowdVideos(frames, ids, everybody, first)


# -- who is there ---------------------------------------------------------------------------------------------------


def _walkers(config: CrowdConfig, numbers: np.random.Generator) -> Walkers:
    """Draw the people and cars of one video."""
    people = int(numbers.integers(config.min_people, config.max_people + 1))
    cars = int(numbers.integers(config.min_cars, config.max_cars + 1))
    kinds = np.repeat([_PERSON, _CAR], [people, cars])
    count, side = len(kinds), config.size
    draws = numbers.random((count, 8))
    places = draws[:, :2] * side
    moments = np.floor(draws[:, 2] * config.frames)
    course, speed = 2 * math.pi * draws[:, 3], config.min_speed + (config.max_speed - config.min_speed) * draws[:, 4]
    if config.place == "street":  # pavements are walked along
        above = draws[:, 1] < 0.5
        low, high = np.where(above, 0.2, _ROAD[1] + 0.06), np.where(above, _ROAD[0] - 0.02, 1.0)
        places[:, 1] = side * (low + (high - low) * (2 * draws[:, 1]) % 1)
        course = np.where(draws[:, 3] < 0.5, 0.0, math.pi) + 0.2 * (draws[:, 5] - 0.5)
    driving = kinds == _CAR
    lane = np.floor(draws[:, 1] * _LANES)
    lane_rows = side * (_ROAD[0] + (lane + 0.85) / _LANES * (_ROAD[1] - _ROAD[0]))
    places[:, 1] = np.where(driving, lane_rows, places[:, 1])
    course = np.where(driving, np.where(lane < _LANES / 2, math.pi, 0.0), course)
    slow, fast = config.car_speed
    speed = np.where(driving, slow + (fast - slow) * draws[:, 4], speed)
    length = speed * config.height * side * nearness(places[:, 1], side)
    velocities = length[:, None] * np.stack([np.cos(course), np.sin(course)], -1)
    colours = np.array([_colours(*values) for values in zip(kinds, *draws[:, 5:7].T, strict=True)]).reshape(count, 2, 3)
    return Walkers(kinds, places, moments, velocities, colours, 2 * math.pi * draws[:, 7])


def nearness(rows: np.ndarray | float, side: int) -> np.ndarray:
    """Return how many times larger somebody is at a row than in the middle of a frame of that height."""
    return 0.7 + 0.6 * np.clip(np.asarray(rows) / side, 0, 1.2)


def _colours(kind: int, hue: float, shade: float) -> np.ndarray:
    """Return the colour of clothes or paint, and of hair or roof, shape (2, 3)."""
    saturation, value = (0.75, 0.35 + 0.6 * shade) if kind == _CAR else (0.65, 0.12 + 0.75 * shade)
    main = np.array(colorsys.hsv_to_rgb(hue, saturation, value))
    dark = np.array([0.12, 0.14, 0.17]) if kind == _CAR else np.array([0.16, 0.1, 0.07]) + 0.2 * (hue * 7 % 1)
    return np.stack([main, dark])


# -- drawing --------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=8)
def scenery(place: str, side: int, seed: int) -> np.ndarray:
    """Return the empty place, `_FINE` times finer than frames, float32 on [0, 1], shape (H, W, 3)."""
    fine, numbers = side * _FINE, np.random.default_rng([seed, 77])
    rows, columns = np.mgrid[0:fine, 0:fine] / fine
    grain = numbers.standard_normal((fine, fine))
    for axis in (0, 1):  # neighbours alike, as in stone
        grain = (grain + np.roll(grain, 1, axis) + np.roll(grain, -1, axis)) / 3
    floor = np.array([0.62, 0.56, 0.48]) if place == "hall" else np.array([0.6, 0.6, 0.58])
    picture = np.broadcast_to(floor, (fine, fine, 3)) * (0.85 + 0.25 * rows)[..., None]
    seams = _seams(np.log1p(3 * rows) * 9, 0.05) | _seams(((columns - 0.5) / (0.6 + 0.8 * rows)) * 8, 0.04)
    picture = np.where(seams[..., None], picture * 0.86, picture)
    if place == "hall":
        for x, y in numbers.random((3, 2)):  # light that falls in through windows
            pool = np.exp(-(((columns - x) / 0.16) ** 2 + ((rows - y) / 0.1) ** 2))
            picture = picture * (1 + 0.22 * pool[..., None])
    else:
        road = (rows > _ROAD[0]) & (rows < _ROAD[1])
        picture = np.where(road[..., None], np.array([0.33, 0.34, 0.36]), picture)
        lane = (rows - _ROAD[0]) / (_ROAD[1] - _ROAD[0]) * _LANES
        lines = road & _seams(lane, 0.035) & (lane > 0.2) & (lane < _LANES - 0.2) & (columns * 8 % 1 < 0.55)
        picture = np.where(lines[..., None], 0.8, picture)
        front = np.where((columns * 6 % 1 > 0.25) & (rows % 0.09 > 0.03), 0.3, 0.46)  # windows of the houses behind
        picture = np.where((rows < 0.13)[..., None], front[..., None] * np.array([0.95, 0.85, 0.75]), picture)
    return np.clip(picture + 0.05 * grain[..., None], 0, 1).astype(np.float32)


def _seams(values: np.ndarray, width: float) -> np.ndarray:
    return np.asarray(values % 1 < width)


class Part(NamedTuple):
    """An ellipse or a box of one colour, in pixels of the fine picture."""

    box: bool
    column: float
    row: float
    half_width: float
    half_height: float
    colour: np.ndarray


def draw(config: CrowdConfig, behind: np.ndarray, walkers: Walkers, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw one frame.

    Args:
        config: Settings.
        behind: What `scenery` returned.
        walkers: Who is there.
        frame: Number of the frame.

    Returns:
        The picture on [0, 1] without noise, shape (H, W, 3), and ids, uint8, shape (H, W).
    """
    picture, ids = behind.copy(), np.zeros(behind.shape[:2], np.uint8)
    feet = walkers.at(frame) * _FINE
    heights = config.height * config.size * _FINE * nearness(walkers.at(frame)[:, 1], config.size)
    for (column, row), height, kind in zip(feet, heights, walkers.kinds, strict=True):
        reach = (1.1, 0.12) if kind == _CAR else (0.24, 0.07)
        window, inside = _place(Part(False, column, row, reach[0] * height, reach[1] * height, behind), len(behind))
        picture[window][inside] *= 0.72  # its shadow, which is background
    for number in np.argsort(feet[:, 1], kind="stable"):
        column, row = feet[number]
        colours, height = walkers.colours[number], heights[number]
        swing = math.sin(walkers.phases[number] + 1.3 * frame)
        figure = _car if walkers.kinds[number] == _CAR else _person
        for part in figure(column, row, height, colours, swing):
            window, inside = _place(part, len(behind))
            picture[window][inside] = part.colour
            ids[window][inside] = number + 1
    size = config.size
    return picture.reshape(size, _FINE, size, _FINE, 3).mean((1, 3)), ids[_FINE // 2 :: _FINE, _FINE // 2 :: _FINE]


def _person(column: float, row: float, height: float, colours: np.ndarray, swing: float) -> Iterator[Part]:
    legs, skin = 0.5 * colours[0] + 0.04, np.array([0.8, 0.6, 0.48])
    for side in (-1, 1):
        step = (0.07 + 0.05 * swing * side) * side * height
        yield Part(True, column + step, row - 0.2 * height, 0.065 * height, 0.2 * height, legs)
    yield Part(False, column, row - 0.56 * height, 0.2 * height, 0.27 * height, colours[0])
    yield Part(False, column, row - 0.87 * height, 0.11 * height, 0.12 * height, skin)
    yield Part(False, column, row - 0.92 * height, 0.11 * height, 0.07 * height, colours[1])


def _car(column: float, row: float, height: float, colours: np.ndarray, swing: float) -> Iterator[Part]:
    yield Part(False, column, row - 0.62 * height, 0.62 * height, 0.34 * height, colours[1])
    yield Part(True, column, row - 0.38 * height, 1.0 * height, 0.26 * height, colours[0])
    for side in (-1, 1):
        yield Part(False, column + 0.6 * side * height, row - 0.1 * height, 0.18 * height, 0.16 * height, colours[1])


def _place(part: Part, side: int) -> tuple[tuple[slice, slice], np.ndarray]:
    """Return the window of a square picture that a part lies in, and which of its pixels it covers."""
    spans = []
    for centre, half in ((part.row, part.half_height), (part.column, part.half_width)):
        first = min(max(math.floor(centre - half), 0), side)
        spans.append((first, min(max(math.ceil(centre + half) + 1, first), side)))
    rows = (np.arange(*spans[0]) + 0.5 - part.row)[:, None] / part.half_height
    columns = (np.arange(*spans[1]) + 0.5 - part.column) / part.half_width
    near = np.maximum(np.abs(rows), np.abs(columns)) if part.box else rows**2 + columns**2
    return (slice(*spans[0]), slice(*spans[1])), near <= 1
