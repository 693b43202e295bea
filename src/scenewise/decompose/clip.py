"""A video as a model takes it: frames of the sizes wanted one by one, and where they lie in the source."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Iterator, Sized
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from scenewise.data.contract import Sample
from scenewise.errors import InputError, printable
from scenewise.media.pixels import to_grey, to_rgb, to_uint8
from scenewise.media.reader import MediaFrame, Selection, VideoReader, fit, nearest_pixels
from scenewise.media.reading import read_video

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from scenewise.checkpoint import Card

SMALLEST_SIDE, LARGEST_SIDE = 8, 2048
"""Pixels that a side of the results may have."""

_CLOSE = 24
"""Frames between two that are wanted up to which those between are read rather than sought past."""


@dataclass(frozen=True)
class ClipFrame:
    """One frame on its way into a model.

    Attributes:
        index: Its number in the source, from 0.
        time_s: Seconds after the first frame, or None.
        image: At the size of the results, uint8, shape (H, W, C).
        ids: True ids, int64, shape (H, W), or None.
        own: At the model's size, uint8, shape (h, w, C); None where the two are the same.
    """

    index: int
    time_s: float | None
    image: np.ndarray
    ids: np.ndarray | None = None
    own: np.ndarray | None = None

    @property
    def given(self) -> np.ndarray:
        """What the model takes."""
        return self.image if self.own is None else self.own


@dataclass
class Clip:
    """A video that can be iterated, with what is known of it.

    Attributes:
        frames: What yields the frames; iterated anew each time where that is possible.
        name: For titles and folder names.
        size: (H, W) of the results.
        source_size: (H, W) of the source before crop and scaling.
        crop: (top, left, height, width) in source pixels that the frames show.
        frame_rate: Frames per second, or None.
        length_hint: Expected number of frames, or None.
        origin: The file, or what else it is, as text that can be shown; names of files may hold any byte.
        again: Whether it can be iterated more than once.
        background_ids: True ids that are background.
        reading: Which part of the source it is: every, start, stop; and what else had to be chosen to read it.
        problems: What was wrong with the file so far.
        path: The file or folder, where it is one.
        reader: What reads it, where it is one.
    """

    frames: Iterable[ClipFrame]
    name: str
    size: tuple[int, int]
    source_size: tuple[int, int]
    crop: tuple[int, int, int, int]
    frame_rate: float | None = None
    length_hint: int | None = None
    origin: str = ""
    again: bool = True
    background_ids: tuple[int, ...] = (0,)
    reading: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    path: Path | None = None
    reader: VideoReader | None = None

    def __iter__(self) -> Iterator[ClipFrame]:
        """Yield the frames in order."""
        return iter(self.frames)

    def since(self, first: int) -> Iterator[ClipFrame]:
        """Yield the frames from number `first` on, counted from 0 among those it yields; files are sought, not read.

        Examples:
            >>> images = np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1) * np.ones((1, 8, 8, 3), np.uint8)
            >>> [frame.index for frame in open_clip(images, frame_shape=(3, 8, 8)).since(2)]
            [2, 3]
        """
        if isinstance(self.frames, _ReaderFrames):
            reader = self.frames.reader
            rest = (1 << 40) if reader.length_hint is None else max(0, reader.length_hint - first)
            return iter(replace(self.frames, reader=reader.part(first, rest)))
        if isinstance(self.frames, _ArrayFrames):
            return self.frames.since(first)
        return itertools.islice(iter(self.frames), first, None)

    def pictures(self, numbers: Sequence[int], longest: int = 480) -> Iterator[np.ndarray]:
        """Yield what the source shows in some frames, for people to look at; none where results show as much.

        Args:
            numbers: Of frames, ascending, counted from 0 among those it yields.
            longest: Pixels of the longer side at most.

        Yields:
            uint8, shape (h, w, 3), in the source's aspect ratio; fewer than wanted where the source ends or breaks off.
        """
        height, width = self.crop[2:]
        scale = min(1.0, longest / max(height, width))
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
        if not numbers or max(size) <= max(self.size):
            return
        if isinstance(self.frames, _ArrayFrames):
            for number in numbers:
                yield fit(_as_rgb(self.frames.images[number], self.name), Selection(size=size))
        elif isinstance(self.frames, _ReaderFrames):
            reader = self.frames.reader
            far = numbers[-1] - numbers[0] > _CLOSE * len(numbers)
            runs = [[number] for number in numbers] if far else [list(numbers)]
            with warnings.catch_warnings(), suppress(InputError):
                warnings.simplefilter("ignore")  # what is wrong with the file was told when it was read
                for run in runs:
                    frames = iter(reader.part(run[0], run[-1] - run[0] + 1, size))
                    wanted = set(run)
                    for number, frame in zip(range(run[0], run[-1] + 1), frames, strict=False):
                        if number in wanted:
                            yield to_rgb(frame.image)


def check_length(clip: Clip, wanted: int | None, count: int | None = None) -> None:
    """Check that a clip has as many frames as are to be observed.

    Args:
        clip: The clip.
        wanted: How many frames; None for all there are.
        count: How many were read; where None, a file whose header says that it has fewer is asked.

    Raises:
        InputError: It has fewer.
    """
    reader, hint = clip.reader, None if clip.reader is None else clip.reader.length_hint
    if count is None and wanted is not None and reader is not None and hint is not None and hint < wanted:
        count = reader.frame_count()
    if wanted is not None and count is not None and count < wanted:
        raise InputError(clip.origin or clip.name, f"has fewer than the {wanted} frames to observe.", "Observe fewer.")


def open_clip(
    video: Any,
    frame_shape: tuple[int, int, int],
    *,
    size: int | tuple[int, int] | None = None,
    resize: bool = True,
    name: str | None = None,
    **reading: Any,
) -> Clip:
    """Take whatever holds a video.

    Args:
        video: A path; a reader from `read_video`; a `Sample`; an array (T, H, W, C) or (T, H, W) of uint8, or floats
            in [0, 1]; a tensor (T, C, H, W); or an iterable of single such frames or of `MediaFrame`.
        frame_shape: (C, h, w) of the frames that the model takes, C 1 or 3.
        size: (H, W) of the results, or one number for a square; the model's where None.
        resize: Scale frames of another size to the model's by pixel area; otherwise they are an error.
        name: For titles; taken from the source where None.
        **reading: Options of `read_video`, for a path.

    Raises:
        InputError: It holds no video, or frames of another size where `resize` is off; or the size is out of range.

    Examples:
        >>> clip = open_clip(np.zeros((5, 48, 48, 3), np.uint8), frame_shape=(3, 32, 32), name="black")
        >>> clip.name, clip.size, clip.source_size, clip.length_hint
        ('black', (32, 32), (48, 48), 5)
        >>> large = open_clip(np.zeros((5, 48, 48, 3), np.uint8), frame_shape=(3, 32, 32), size=96)
        >>> {(frame.image.shape, frame.given.shape) for frame in large}  # results, and what the model takes
        {((96, 96, 3), (32, 32, 3))}
    """
    return clip_at(video, frame_shape, checked_size(size), resize=resize, name=name, **reading)


def checked_size(size: int | tuple[int, ...] | None) -> tuple[int, int] | None:
    """Return (H, W) in pixels, or None where the model's own size is wanted.

    Args:
        size: (H, W), or one number for a square.

    Raises:
        InputError: It is not one or two whole numbers in [8, 2048].

    Examples:
        >>> checked_size(128), checked_size((96, 128)), checked_size(None)
        ((128, 128), (96, 128), None)
        >>> checked_size(4)
        Traceback (most recent call last):
        ...
        scenewise.errors.InputError: size: height and width must be whole numbers in [8, 2048]; found 4. ...
    """
    if size is None:
        return None
    sides = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    whole = all(isinstance(side, (int, np.integer)) and not isinstance(side, bool) for side in sides)
    if len(sides) != 2 or not whole or not all(SMALLEST_SIDE <= side <= LARGEST_SIDE for side in sides):
        problem = f"height and width must be whole numbers in [{SMALLEST_SIDE}, {LARGEST_SIDE}]; found {size}."
        raise InputError("size", problem, "Leave it out for the model's own size.")
    return int(sides[0]), int(sides[1])


def clip_at(
    video: Any,
    frame_shape: tuple[int, int, int],
    size: tuple[int, int] | None,
    *,
    resize: bool = True,
    name: str | None = None,
    **reading: Any,
) -> Clip:
    """Take whatever holds a video, as `open_clip` does, at a size that was checked before."""
    fitting = _Fitting(frame_shape, resize, size or frame_shape[1:])
    if isinstance(video, Clip):
        if size is not None and video.size != fitting.size:
            raise InputError("size", f"this clip was opened at {video.size}.", "Give the size to open_clip.")
        return video
    if reading and not isinstance(video, (str, Path)):
        raise InputError(", ".join(reading), "can only be chosen for a path.", "Give them to read_video instead.")
    if isinstance(video, (str, Path)):
        if resize and fitting.size == fitting.own_size:
            reading["size"] = fitting.size  # otherwise both sizes are made from the source's pixels
        video = read_video(video, **reading)
    if isinstance(video, VideoReader):
        return _of_reader(video, fitting, name)
    if isinstance(video, Sample):
        images = np.moveaxis(video.frames, 1, -1)  # (T, H, W, C)
        return _of_array(images, video.ids, fitting, name or "video", "a data source")
    if hasattr(video, "ndim"):
        return _of_array(_as_images(video), None, fitting, name or "video", "an array")
    if isinstance(video, Iterable):
        return Clip(
            frames=_LooseFrames(video, fitting),
            name=name or "video",
            size=fitting.size,
            source_size=fitting.size,
            crop=(0, 0, *fitting.size),
            frame_rate=None,
            length_hint=len(video) if isinstance(video, Sized) else None,
            origin="frames from a program",
            again=iter(video) is not video,
        )
    raise InputError("video", f"expected a path, a reader, an array or frames; found {type(video).__name__}.")


@dataclass(frozen=True)
class _Fitting:
    """Brings images to a model's shape, and to the size of the results."""

    frame_shape: tuple[int, int, int]
    resize: bool
    size: tuple[int, int]

    @property
    def own_size(self) -> tuple[int, int]:
        """(H, W) of the model's frames."""
        return self.frame_shape[1:]

    def frame(
        self, index: int, time_s: float | None, image: np.ndarray, where: object, ids: np.ndarray | None = None
    ) -> ClipFrame:
        """Return a frame at both sizes, each made from the image itself."""
        rgb = _as_rgb(image, where)
        own = self._own(rgb, where)
        own_ids = None if ids is None else nearest_pixels(ids, self.size)
        if self.size == self.own_size:
            return ClipFrame(index, time_s, own, own_ids)
        return ClipFrame(index, time_s, self._channels(fit(rgb, Selection(size=self.size))), own_ids, own)

    def own(self, image: np.ndarray, where: object) -> np.ndarray:
        """Return uint8 (h, w, C) as the model takes it."""
        return self._own(_as_rgb(image, where), where)

    def _own(self, rgb: np.ndarray, where: object) -> np.ndarray:
        if rgb.shape[:2] != self.own_size:
            if not self.resize:
                problem = f"the model takes frames of (H, W) = {self.own_size}; found {rgb.shape[:2]}."
                remedy = f"Read the video with size={self.own_size}, or pass resize=True."
                raise InputError(where, problem, remedy)
            rgb = fit(rgb, Selection(size=self.own_size))
        return self._channels(rgb)

    def _channels(self, rgb: np.ndarray) -> np.ndarray:
        return to_grey(rgb) if self.frame_shape[0] == 1 else np.ascontiguousarray(rgb)


def _as_rgb(image: np.ndarray, where: object) -> np.ndarray:
    """Return uint8 (H, W, 3) of an image (H, W) or (H, W, C)."""
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4):
        raise InputError(where, f"expected an image of shape (H, W, 1, 3 or 4); found {image.shape}.")
    return to_rgb(to_uint8(image, where))


def as_image(frame: Any, frame_shape: tuple[int, int, int], resize: bool) -> np.ndarray:
    """Return one frame, a `MediaFrame` or an image (H, W, C) of uint8 or floats in [0, 1], as uint8 (H, W, C)."""
    fitting = _Fitting(frame_shape, resize, frame_shape[1:])
    if isinstance(frame, MediaFrame):
        return fitting.own(frame.image, f"frame {frame.index}")
    return fitting.own(np.asarray(frame), "frame")


def _of_reader(reader: VideoReader, fitting: _Fitting, name: str | None) -> Clip:
    selection = reader.selection
    return Clip(
        frames=_ReaderFrames(reader, fitting),
        name=name or reader.name,
        size=fitting.size,
        source_size=reader.source_size,
        crop=reader.crop or (0, 0, *reader.source_size),
        frame_rate=reader.frame_rate,
        length_hint=reader.length_hint,
        origin=printable(reader.path),
        reading={"every": selection.every, "start": selection.start, "stop": selection.stop, **reader.choices},
        problems=reader.problems,
        path=reader.path,
        reader=reader,
    )


@dataclass
class _ReaderFrames:
    reader: VideoReader
    fitting: _Fitting

    def __iter__(self) -> Iterator[ClipFrame]:
        for frame in self.reader:
            where = f"{self.reader.path}, frame {frame.index}"
            yield self.fitting.frame(frame.index, frame.time_s, frame.image, where)


def _of_array(images: np.ndarray, ids: np.ndarray | None, fitting: _Fitting, name: str, origin: str) -> Clip:
    if not len(images):
        raise InputError(name, "holds no frame.", "Give at least one.")
    size = (int(images.shape[1]), int(images.shape[2]))
    frames = _ArrayFrames(images, ids, fitting, name)
    return Clip(frames, name, fitting.size, size, (0, 0, *size), length_hint=len(images), origin=origin)


@dataclass
class _ArrayFrames:
    images: np.ndarray
    ids: np.ndarray | None
    fitting: _Fitting
    name: str

    def __iter__(self) -> Iterator[ClipFrame]:
        return self.since(0)

    def since(self, first: int) -> Iterator[ClipFrame]:
        """Yield the frames from one on, at both sizes."""
        for index in range(first, len(self.images)):
            ids = None if self.ids is None else self.ids[index]
            yield self.fitting.frame(index, None, self.images[index], f"{self.name}, frame {index}", ids)


def _as_images(video: np.ndarray | Tensor) -> np.ndarray:
    """Return (T, H, W, C) of an array (T, H, W[, C]) or a tensor (T, C, H, W)."""
    if video.ndim not in (3, 4):
        expected = "(T, H, W, C) or (T, H, W) for an array, (T, C, H, W) for a tensor"
        raise InputError("video", f"expected shape {expected}; found {tuple(video.shape)}.")
    if isinstance(video, np.ndarray):
        return video[..., None] if video.ndim == 3 else video
    images = video.detach().cpu().numpy()
    return images[..., None] if images.ndim == 3 else np.moveaxis(images, 1, -1)


@dataclass
class _LooseFrames:
    video: Iterable[Any]
    fitting: _Fitting

    def __iter__(self) -> Iterator[ClipFrame]:
        for number, frame in enumerate(self.video):
            is_frame = isinstance(frame, MediaFrame)
            index, time_s = (frame.index, frame.time_s) if is_frame else (number, None)
            image = np.asarray(frame.image if is_frame else _as_images(frame[None])[0])
            yield self.fitting.frame(index, time_s, image, f"frame {index}")


class TrainedPart(NamedTuple):
    """Which part of a source's frames a model was trained on, as a `Card` has it.

    Attributes:
        crop: (top, left, height, width) in pixels; None where it was all of them.
        source_size: (H, W) of the source's frames.
    """

    crop: tuple[int, int, int, int] | None
    source_size: tuple[int, int] | None

    @classmethod
    def of(cls, card: Mapping[str, Any]) -> TrainedPart:
        """Return what a card says that is not read any further, and may say anything."""
        crop, size = (card.get(name) for name in cls._fields)
        sides = [value for part in (crop, size) if isinstance(part, list) for value in part if isinstance(value, int)]
        return cls(tuple(sides[:4]), tuple(sides[4:])) if len(sides) == 6 else cls(None, None)  # type: ignore[arg-type]


def in_trained_part(video: Any, reading: dict[str, Any], card: Card | TrainedPart) -> tuple[Any, dict[str, Any]]:
    """Return a video, and the options to read it with, cut to the part its model was trained on.

    Only a file or reader is cut, where no other crop was asked for, and where its frames are as large as those of the
    training; if they are not, that is noted in its problems.

    Args:
        video: What `Decomposer.decompose` takes.
        reading: Options of `read_video` for a path.
        card: The model's.

    Raises:
        InputError: The file cannot be read.
    """
    if card.crop is None or not isinstance(video, (str, Path, VideoReader)):
        return video, reading
    reader = video if isinstance(video, VideoReader) else read_video(video, **reading)
    if reader.crop is not None:
        return video, reading
    if reader.source_size == card.source_size:
        return (reader.cropped(card.crop), {}) if reader is video else (video, {**reading, "crop": card.crop})
    height, width = card.source_size or (0, 0)
    reader.problems.append(
        f"the model was trained on a part of frames of {width}x{height}; these are of another size and shown whole. "
        "Choose the part with --crop."
    )
    return reader, {}
