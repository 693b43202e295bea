"""What every source of videos offers: facts, samples, and what is known of their objects under the same names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from scenewise.config import build, merge
from scenewise.errors import InputError
from scenewise.media.files import reading
from scenewise.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    Progress = Callable[[str, int, int | None], None]

S = TypeVar("S", bound="Source")

_AXES = {"position": 1, "place": 1, "velocity": 1, "amodal": 2}  # of a value, behind that of the objects
_FACTORS = ("shape", "label", "texture", "material", "size", "colour")
_ORDERED = ("size",)  # where it is told by numbers that are not whole


@dataclass(frozen=True)
class Facts:
    """What is true of a whole source; protocols and recipes read it from here.

    Attributes:
        channels: C of its frames.
        size: (H, W) of its frames.
        frames: Number of frames of a video, or None where it varies.
        max_objects: Largest number of objects in a video, or None where unknown.
        background_ids: Ids that count as background.
        overlap: "top" (one id per pixel, the visible object) or "ignore" (overlaps are -1).
        binary: Whether frames hold only 0 and 1.
        has_ids: Whether samples carry ground truth.
        origin: Where the data come from: a paper, a file, a generator.
    """

    channels: int
    size: tuple[int, int]
    frames: int | None
    max_objects: int | None
    background_ids: tuple[int, ...] = (0,)
    overlap: str = "top"
    binary: bool = False
    has_ids: bool = True
    origin: str = ""


@dataclass(frozen=True)
class Objects:
    """n objects; what may change has a leading axis T, what is not known is None.

    Attributes:
        ids: Id of each in the sample's ids, int64, shape (n,).
        shape: Words, or whole numbers of kinds, shape (n,).
        colour: Words or numbers of kinds, shape (n,), or RGB, shape ([T,] n, 3).
        material: As `shape`.
        texture: As `shape`.
        label: What it is, such as the digit, as `shape`.
        size: Floats, or words or whole numbers of kinds, shape ([T,] n).
        position: Column, row and, where known, depth in the picture, shape ([T,] n, 2 or 3), in the source's unit.
        place: x, y and, where known, z in the world, shape ([T,] n, 2 or 3), in the source's unit.
        velocity: Of `place`, or of `position` where there is no place, per frame or second, shape ([T,] n, 2 or 3).
        orientation: Angles, shape ([T,] n), or quaternions, shape ([T,] n, 4).
        depth: Order from the front, 0 the nearest, shape (n,).
        visibility: Share of its own pixels that is seen, shape ([T,] n).
        amodal: Its whole mask, bool, shape ([T,] n, H, W).
    """

    ids: np.ndarray
    shape: np.ndarray | None = None
    colour: np.ndarray | None = None
    material: np.ndarray | None = None
    texture: np.ndarray | None = None
    label: np.ndarray | None = None
    size: np.ndarray | None = None
    position: np.ndarray | None = None
    place: np.ndarray | None = None
    velocity: np.ndarray | None = None
    orientation: np.ndarray | None = None
    depth: np.ndarray | None = None
    visibility: np.ndarray | None = None
    amodal: np.ndarray | None = None

    def factors(self, frame: int | None = None) -> dict[str, np.ndarray]:
        """Return the factors of the objects that a code may hold.

        Left out are rotation, which spheres and many other shapes do not show, height above the ground, which follows
        from size where objects stand, and what is no property of an object alone: visibility, depth order, velocity.

        Args:
            frame: Number of the frame whose objects are meant: `x` and `y` lie in its picture where that is known.
                None for the scene as a whole: they lie on its ground.

        Returns:
            Arrays of shape (n,) by name. Floats are ordered; words and whole numbers are categories. Colours of three
            numbers become `red`, `green` and `blue`. Empty where nothing is known.
        """
        columns: dict[str, np.ndarray] = {}
        for name in _FACTORS:
            values = getattr(self, name)
            if values is not None:
                columns |= _factor(name, values, frame or 0)
        where = (self.place, self.position) if frame is None else (self.position, self.place)
        numbers = next((np.asarray(values, np.float64) for values in where if values is not None), None)
        if numbers is not None:
            each = numbers if numbers.ndim == 2 else numbers[frame or 0]  # (n, 2 or more)
            columns |= {"x": each[:, 0], "y": each[:, 1]}
        return columns


@dataclass(frozen=True)
class ObjectKeys:
    """Where a source's extras hold what is known of objects: the key of every attribute of `Objects`.

    Of "a|b" the first that is there counts; "columns+rows" are two arrays of shape (n,) that become one of (n, 2); what
    a source never knows is empty.

    Attributes:
        entities: Whether there is a row for every id, those of the background, too, and not for objects only.
    """

    shape: str = ""
    colour: str = ""
    material: str = ""
    texture: str = ""
    label: str = ""
    size: str = ""
    position: str = ""
    place: str = ""
    velocity: str = ""
    orientation: str = ""
    depth: str = ""
    visibility: str = ""
    amodal: str = ""
    entities: bool = False

    @cached_property
    def _keys(self) -> list[tuple[str, list[list[str]]]]:
        """Keys by attribute, taken apart once: samples of small images take less time than that."""
        names = [field.name for field in fields(self) if field.name != "entities" and getattr(self, field.name)]
        return [(name, [key.split("+") for key in getattr(self, name).split("|")]) for name in names]

    def read(self, extras: Mapping[str, Any], background_ids: Collection[int] = (0,)) -> Objects | None:
        """Return what extras tell of objects, None where they tell nothing."""
        columns = dict(self._known(extras))
        if not columns:
            return None
        count = max(_count(name, values) for name, values in columns.items())
        first = 0 if self.entities else max(background_ids, default=-1) + 1
        return Objects(np.arange(first, first + count), **columns)

    def _known(self, extras: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
        for name, keys in self._keys:
            key = next((key for key in keys if all(part in extras for part in key)), None)
            parts = None if key is None else [np.asarray(extras[part]) for part in key]
            if parts is not None:
                values = parts[0] if len(parts) == 1 else np.stack(parts, -1)
                if values.ndim > _AXES.get(name, 0):  # files may hold something else under the name
                    yield name, values


def _count(name: str, values: np.ndarray) -> int:
    """Return the number of objects that an array tells of."""
    behind = _AXES.get(name, 0)
    if name == "colour" and _is_rgb(values):
        behind = 1
    if behind:
        return values.shape[-1 - behind]
    return len(values) if values.ndim == 1 else values.shape[1]


def _is_rgb(values: np.ndarray) -> bool:
    return values.dtype.kind not in "USO" and values.ndim >= 2 and values.shape[-1] == 3


def _factor(name: str, values: np.ndarray, frame: int) -> dict[str, np.ndarray]:
    if name == "colour" and _is_rgb(values):
        rgb = (values if values.ndim == 2 else values[frame]).astype(np.float64)  # (n, 3)
        return {channel: rgb[:, c] for c, channel in enumerate(("red", "green", "blue"))}
    each = values if values.ndim == 1 else values[frame]
    if values.dtype.kind in "USO":
        return {name: each.astype(str)}
    ordered = name in _ORDERED and each.dtype.kind == "f"
    return {name: each.astype(np.float64 if ordered else np.int64)}


@dataclass(frozen=True)
class Sample:
    """One video.

    Attributes:
        frames: uint8, shape (T, C, H, W).
        ids: int64, shape (T, H, W), or None: 0 background, -1 ignore, 1.. objects, constant over time.
        extras: Other ground truth by name (positions, velocities, collisions ...), leading axis T where per frame.
        objects: What extras tell of objects, under the same names in every source; None where they tell nothing.
    """

    frames: np.ndarray
    ids: np.ndarray | None = None
    extras: dict[str, Any] = field(default_factory=dict)
    objects: Objects | None = None


@dataclass(frozen=True)
class NoConfig:
    """The settings of a source that has none."""


class Source(ABC):
    """An indexed collection of videos; the same index always gives the same bytes.

    Attributes:
        facts: What is true of all its videos.
        config: The settings it was made with, None where it has none.
        object_keys: Where extras tell of objects.
        crop: Part of the source's frames that is shown: top, left, height, width in their pixels; None for all.
        source_size: (H, W) of these frames, None where it is of no use.

    Class attributes:
        config_class: Dataclass of its settings; a source is made with an instance of it and the split.
        default_split: Which split is meant where none is named.
        together: Whether `batch` is the fast way to many videos; clips of a training batch then share their first
            frame.
    """

    facts: Facts
    config: Any = None
    object_keys: ObjectKeys = ObjectKeys()
    crop: tuple[int, int, int, int] | None = None
    source_size: tuple[int, int] | None = None

    config_class: ClassVar[Any] = NoConfig
    default_split: ClassVar[str] = "train"
    together: ClassVar[bool] = False

    @classmethod
    def create(cls, name: str, split: str, settings: Mapping[str, Any], progress: Progress | None = None) -> Source:
        """Return the source that a user names, from plain settings.

        Args:
            name: Under which the source is registered.
            split: "train", "validation" or "test".
            settings: Fields of `config_class`.
            progress: Called while files are prepared with a name, what is done and what there is to do.

        Raises:
            InputError: With every setting that is wrong, or because the files cannot be read.
        """
        make: Any = cls  # the settings of a subclass are its own
        source: Source = make(build(cls.config_class, settings, f"source {name}"), split)
        return source

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Return whether a file or folder that exists is of this source's layout, by its name and what lies in it."""
        return False

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of videos of this split (generators name a large nominal number)."""

    @abstractmethod
    def sample(self, index: int, start: int = 0, frames: int | None = None) -> Sample:
        """Return video `index`, or `frames` of its frames from `start` on, reading no more than needed."""

    @property
    def at_once(self) -> int:
        """How many videos are best made by one call of `samples`."""
        return 1

    def samples(self, indices: Sequence[int]) -> list[Sample]:
        """Return many whole videos as `sample` does."""
        return [self.sample(index) for index in indices]

    def batch(self, indices: Sequence[int], start: int = 0, frames: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return many videos of one length at once, without extras.

        Args:
            indices: Which videos, N of them.
            start: First frame.
            frames: Number of frames, or None for all that follow.

        Returns:
            Frames, uint8, shape (N, T, C, H, W), and ids, whole numbers, shape (N, T, H, W), all 0 where there are
            none.

        Raises:
            InputError: The span lies outside of the videos.
        """
        return stacked([self.sample(index, start, frames) for index in indices])

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a short hash that changes when the data change (settings, seed, file contents)."""

    def with_objects(self, sample: Sample) -> Sample:
        """Return a sample of this source with what its extras tell of objects."""
        return replace(sample, objects=self.object_keys.read(sample.extras, self.facts.background_ids))

    def viewpoints(self, index: int, start: int = 0, frames: int | None = None) -> np.ndarray:
        """Return what describes the camera of each view of scene `index`, float, shape (V, D).

        Raises:
            InputError: The source does not know its cameras.
        """
        viewpoints = self._viewpoints(index, start, frames)
        if viewpoints is None:
            problem = "does not know its viewpoints, which the model takes."
            raise InputError(self.facts.origin, problem, "Use a multi-view source, such as cle-mv.")
        return np.asarray(viewpoints, np.float32)

    def _viewpoints(self, index: int, start: int, frames: int | None) -> Any:
        """Return what extras hold as `viewpoints`, or None; sources that need no image for it say it more cheaply."""
        return self.sample(index, start, frames).extras.get("viewpoints")

    def background(self, index: int) -> np.ndarray | None:
        """Return what a still camera shows where nothing stands in the way of video `index`, uint8, shape (C, H, W).

        None where the source does not know, and models that draw over a picture take the one they keep.
        """
        return None

    def length(self, index: int) -> int:
        """Return the number of frames of video `index`."""
        if self.facts.frames is not None:
            return self.facts.frames
        return len(self.sample(index).frames)


@dataclass(frozen=True)
class Description:
    """What a person wants to know of a source before choosing it; `scenewise data list` shows it.

    Attributes:
        what: What it shows, in one line.
        kind: "generated" or "files".
        paper: Who introduced it or uses it.
        size: Frames, height and width, in words.
        factors: What is known of every object beyond its mask.
        licence: Of the files, or of what is generated.
        obtain: How to get the files; empty where it is generated.
    """

    what: str
    kind: str
    paper: str = ""
    size: str = ""
    factors: tuple[str, ...] = ()
    licence: str = "none needed"
    obtain: str = ""


def stacked(samples: Sequence[Sample]) -> tuple[np.ndarray, np.ndarray]:
    """Return frames (N, T, C, H, W) and ids (N, T, H, W) of N videos of one length; ids are 0 where there are none."""
    frames = np.stack([sample.frames for sample in samples])
    nothing = np.zeros((*frames.shape[1:2], *frames.shape[3:]), np.int64)
    return frames, np.stack([nothing if sample.ids is None else np.asarray(sample.ids) for sample in samples])


@dataclass(frozen=True)
class SourceMaker:
    """A registered source: makes it from the settings that a user changes.

    Attributes:
        name: Under which it is registered.
        source_class: Its class.
        ready: Settings that hold where nothing else is said.
    """

    name: str
    source_class: type[Source]
    ready: Mapping[str, Any]

    def __call__(self, split: str | None = None, progress: Progress | None = None, **settings: Any) -> Source:
        """Return the source; see `Source.create`."""
        return self.make(split, settings, progress)

    def make(self, split: str | None, settings: Mapping[str, Any], progress: Progress | None = None) -> Source:
        """Return the source with settings that may come from anywhere, and so may have any name.

        Raises:
            InputError: As `Source.create`; of a source of files also where these are not what they should be.
        """
        split, settings = split or self.source_class.default_split, merge(self.ready, settings)
        if self.name not in DESCRIPTIONS or DESCRIPTIONS[self.name].kind != "files":
            return self.source_class.create(self.name, split, settings, progress)
        with reading(f"source {self.name}", "files of its layout", "They may be damaged; get the set again."):
            return self.source_class.create(self.name, split, settings, progress)


_PLACES = ("generated", "readers", "shards.reader", "footage.source")  # writing files needs modules that reading spares
SOURCES: Registry[SourceMaker] = Registry(
    "data source", *(f"scenewise.data.{place}" for place in _PLACES), group="scenewise.sources"
)
"""Sources by name, each called as `(split="train"|"validation"|"test", **settings)`."""

DESCRIPTIONS: dict[str, Description] = {}
"""Descriptions by the name of the source."""


def register_source(
    name: str, description: Description, ready: Mapping[str, Any] | None = None
) -> Callable[[type[S]], type[S]]:
    """Return a decorator that enters a class of sources under `name`; a class may have several names.

    Args:
        name: Under which it is entered.
        description: Of the source.
        ready: Plain settings that hold where nothing else is said.

    Raises:
        TypeError: What is decorated is no class of sources.
    """

    def enter(source_class: type[S]) -> type[S]:
        """Enter a class of sources."""
        if not (isinstance(source_class, type) and issubclass(source_class, Source)):
            raise TypeError(f"source {name!r}: expected a class of sources, found {source_class!r}")
        DESCRIPTIONS[name] = description
        SOURCES.register(name)(SourceMaker(name, source_class, ready or {}))
        return source_class

    return enter
