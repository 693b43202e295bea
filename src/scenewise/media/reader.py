"""A video as something to iterate: which part of it is wanted, at what size, frame by frame in constant memory."""

from __future__ import annotations

import re
import warnings
import weakref
from abc import abstractmethod
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.errors import InputError
from scenewise.media.files import Closes, version_of
from scenewise.media.pixels import to_grey

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

_LARGEST_SIDE = 16384  # pixels; more is a mistyped option
_MOST_FRAMES = 1 << 63  # what decoders count


@dataclass(frozen=True)
class Selection:
    """The part of a video that is wanted.

    Attributes:
        size: (H, W) of the output in pixels, scaled by pixel area, or None for the size of the crop.
        crop: (top, left, height, width) in source pixels as displayed (rotation applied), or None for all.
        every: Take each `every`-th frame, counted from `start`.
        start: First frame.
        stop: One past the last frame, or None for the end.
        channels: 3 for RGB, 1 for luma.
        stream: Which video of a file that holds several, from 0; the default or else the largest one where None.

    Examples:
        >>> Selection(every=0)
        Traceback (most recent call last):
        ...
        scenewise.errors.InputError: every: expected at least 1; found 0.
    """

    size: tuple[int, int] | None = None
    crop: tuple[int, int, int, int] | None = None
    every: int = 1
    start: int = 0
    stop: int | None = None
    channels: int = 3
    stream: int | None = None

    def __post_init__(self) -> None:
        """Check every value; raises InputError."""
        for name in ("every", "start", "stop", "stream"):
            value = getattr(self, name)
            _check(name, value is None or value < _MOST_FRAMES, value, "a number of less than 64 bits")
        _check("every", self.every >= 1, self.every, "at least 1")
        _check("start", self.start >= 0, self.start, "at least 0")
        _check("stop", self.stop is None or self.stop > self.start, self.stop, f"above start ({self.start})")
        _check("channels", self.channels in (1, 3), self.channels, "1 or 3")
        _check("stream", self.stream is None or self.stream >= 0, self.stream, "at least 0")
        if self.size is not None:
            valid = len(self.size) == 2 and all(1 <= side <= _LARGEST_SIDE for side in self.size)
            _check("size", valid, self.size, f"height and width between 1 and {_LARGEST_SIDE}")
        if self.crop is not None:
            valid = len(self.crop) == 4 and min(self.crop[:2]) >= 0 and min(self.crop[2:]) >= 1
            _check("crop", valid, self.crop, "top, left at least 0 and height, width at least 1")

    def within(self, source_size: tuple[int, int], path: object) -> tuple[int, int]:
        """Return (H, W) of the output for frames of `source_size`.

        Raises:
            InputError: The crop reaches outside the frame.

        Examples:
            >>> Selection(crop=(0, 10, 48, 64)).within((96, 128), "clip.mp4")
            (48, 64)
            >>> Selection(crop=(0, 10, 48, 64), size=(32, 32)).within((96, 128), "clip.mp4")
            (32, 32)
            >>> Selection(crop=(0, 100, 48, 64)).within((96, 128), "clip.mp4")
            Traceback (most recent call last):
            ...
            scenewise.errors.InputError: clip.mp4: the crop top 0, left 100, height 48, width 64 reaches outside ...
        """
        if self.crop is None:
            return self.size or source_size
        top, left, height, width = self.crop
        if top + height > source_size[0] or left + width > source_size[1]:
            problem = (
                f"the crop top {top}, left {left}, height {height}, width {width} reaches outside the frame of "
                f"height {source_size[0]}, width {source_size[1]}."
            )
            raise InputError(path, problem, "Give a --crop of T,L,H,W that lies inside.")
        return self.size or (height, width)

    def takes(self, index: int) -> bool:
        """Return whether frame `index` is wanted, leaving `stop` aside.

        Examples:
            >>> [index for index in range(10) if Selection(start=1, every=3).takes(index)]
            [1, 4, 7]
        """
        return index >= self.start and (index - self.start) % self.every == 0

    def ends_at(self, index: int) -> bool:
        """Return whether frame `index` and all after it are not wanted."""
        return self.stop is not None and index >= self.stop

    def count(self, total: int | None) -> int | None:
        """Return how many of `total` frames are wanted; None where nobody knows.

        Examples:
            >>> Selection(start=1, every=3, stop=7).count(100)  # frames 1 and 4
            2
            >>> Selection(every=2).count(None) is None
            True
        """
        if total is None and self.stop is None:
            return None
        end = min(x for x in (total, self.stop) if x is not None)
        return len(range(self.start, end, self.every))


def _check(option: str, valid: bool, found: object, expected: str) -> None:
    if not valid:
        raise InputError(option, f"expected {expected}; found {found}.")


def fit(image: np.ndarray, selection: Selection) -> np.ndarray:
    """Cut the crop out of uint8 (H, W, 3) and scale it by pixel area to the wanted size.

    Examples:
        >>> from scenewise.media import Selection
        >>> image = np.array([[[0] * 3, [100] * 3, [9] * 3, [9] * 3]], np.uint8)  # a row of four pixels
        >>> fit(image, Selection(crop=(0, 0, 1, 2), size=(1, 1))).tolist()  # the mean of the first two
        [[[50, 50, 50]]]
    """
    if selection.crop is not None:
        top, left, height, width = selection.crop
        image = image[top : top + height, left : left + width]
    if selection.size in (None, image.shape[:2]):
        return np.ascontiguousarray(image)
    from PIL import Image

    size: Any = (selection.size[1], selection.size[0])
    return np.array(Image.fromarray(np.ascontiguousarray(image)).resize(size, Image.Resampling.BOX))


def fit_images(images: np.ndarray, selection: Selection, scaling: str = "bilinear") -> np.ndarray:
    """Crop and scale frames.

    Args:
        images: uint8, shape (T, H, W, C).
        selection: Crop and size.
        scaling: "bilinear", "area" or "bicubic", all antialiased.

    Returns:
        uint8, shape (T, H', W', C).
    """
    if selection.crop is not None:
        top, left, height, width = selection.crop
        images = images[:, top : top + height, left : left + width]
    if selection.size in (None, images.shape[1:3]):
        return images
    from PIL import Image

    kind = {"bilinear": Image.Resampling.BILINEAR, "area": Image.Resampling.BOX, "bicubic": Image.Resampling.BICUBIC}
    height, width = selection.size or (0, 0)
    scaled = np.empty((len(images), height, width, images.shape[3]), np.uint8)
    for frame, image in enumerate(images):
        whole = Image.fromarray(np.ascontiguousarray(image[..., 0] if image.shape[2] == 1 else image))
        scaled[frame] = np.asarray(whole.resize((width, height), kind[scaling])).reshape(scaled.shape[1:])
    return scaled


def fit_ids(ids: np.ndarray, selection: Selection) -> np.ndarray:
    """Crop, and scale by nearest pixel; no id comes into being.

    Args:
        ids: Integers, shape (..., H, W).
        selection: Crop and size.

    Returns:
        int64, shape (..., H', W').
    """
    if selection.crop is not None:
        top, left, height, width = selection.crop
        ids = ids[..., top : top + height, left : left + width]
    if selection.size is not None:
        ids = nearest_pixels(ids, selection.size)
    return np.ascontiguousarray(ids, np.int64)


def nearest_pixels(ids: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale by nearest pixel: each pixel of the result has the id at its middle, so no id comes into being.

    Args:
        ids: Shape (..., H, W).
        size: H', W'.

    Returns:
        The same type, shape (..., H', W').
    """
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(size, ids.shape[-2:], strict=True)
    )
    return np.asarray(ids[..., rows[:, None], columns])


@dataclass(frozen=True)
class MediaFrame:
    """One frame.

    Attributes:
        index: Its number in the file, from 0, whatever `start` and `every` are.
        time_s: Its time in seconds after the first frame of the file, or None where the file knows no times.
        image: uint8, shape (H, W, 3), or (H, W, 1) where one channel was asked for.
    """

    index: int
    time_s: float | None
    image: np.ndarray


class VideoReader(Closes):
    """A lazy video: iterate it as often as wanted, each time from its first selected frame, in constant memory.

    It holds no open file between iterations, so it can be pickled and sent to worker processes. As a context manager
    it closes iterations that were left half-way.

    Args:
        path: The file or folder.
        name: Name for output folders.
        source_size: (H, W) before the crop.
        selection: What is wanted.
        frame_rate: Frames per second of the file, or None.
        total: Frames in the file as far as its header tells, or None.

    Attributes:
        path: The file or folder.
        name: Its stem with everything replaced that a folder name cannot hold.
        size: (H, W) of the images yielded.
        source_size: (H, W) before the crop, rotation applied.
        crop: (top, left, height, width) in source pixels, or None.
        selection: What is wanted.
        frame_rate: Frames per second of the frames yielded (the file's rate over `every`), or None where unknown.
        length_hint: Expected number of frames, or None; headers err, so only the end of the iteration is the truth.
        problems: What was wrong with the file so far, where frames could be had all the same.
        choices: What a user had to choose to read it besides the selection: `layout`, `key`, `stream`.

    Raises:
        InputError: The crop reaches outside the frame.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        source_size: tuple[int, int],
        selection: Selection,
        frame_rate: float | None = None,
        total: int | None = None,
    ) -> None:
        self.path = path
        self.name = name
        self.source_size = source_size
        self.selection = selection
        self.size = selection.within(source_size, path)
        self.crop = selection.crop
        self.frame_rate = frame_rate / selection.every if frame_rate else None
        self.length_hint = selection.count(total)
        self._total, self._full_rate = total, frame_rate
        self.problems: list[str] = []
        self.choices: dict[str, str | int] = {} if selection.stream is None else {"stream": selection.stream}
        self._version = version_of(path)
        self._running: weakref.WeakSet[Generator[MediaFrame, None, None]] = weakref.WeakSet()

    def __iter__(self) -> Iterator[MediaFrame]:
        """Yield the selected frames in order.

        Raises:
            InputError: The file cannot be read, has changed, or holds no frame of the selection.
        """
        iteration = self._checked()
        self._running.add(iteration)
        return iteration

    def __getstate__(self) -> dict[str, object]:
        """Leave running iterations behind when pickled."""
        return {key: value for key, value in self.__dict__.items() if key != "_running"}

    def __setstate__(self, state: dict[str, object]) -> None:
        """Start afresh, with no iteration running."""
        self.__dict__.update(state, _running=weakref.WeakSet())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}, size={self.size}, length_hint={self.length_hint})"

    def close(self) -> None:
        """End all running iterations and close their files; the reader can be iterated again afterwards."""
        for iteration in list(self._running):
            iteration.close()

    def frame_count(self) -> int:
        """Return how many frames an iteration yields, whatever a header says; some of the file may be read for it.

        Raises:
            InputError: The file cannot be read.
        """
        return self.length_hint if self.length_hint is not None else sum(1 for _ in self)

    def part(self, first: int, count: int, size: tuple[int, int] | None = None) -> VideoReader:
        """Return a reader of some of its frames.

        Args:
            first: The first of them, counted among the frames this reader yields.
            count: How many; fewer where the video ends before.
            size: (H, W) of the images, as this reader's where None.

        Examples:
            >>> from scenewise.media import read_video
            >>> np.save("clip.npy", np.zeros((20, 4, 4, 3), np.uint8))
            >>> [frame.index for frame in read_video("clip.npy", layout="THWC", start=3, every=2).part(2, 3)]
            [7, 9, 11]
        """
        whole, start = self.selection, self.selection.start + first * self.selection.every
        stop = start + count * whole.every
        other = self._with(
            replace(
                whole, size=size or whole.size, start=start, stop=stop if whole.stop is None else min(stop, whole.stop)
            )
        )
        other.length_hint = count if self.length_hint is None else max(0, min(count, self.length_hint - first))
        return other

    def whole(self) -> VideoReader:
        """Return a reader of all frames of the video, shown as this one shows its own.

        Examples:
            >>> from scenewise.media import read_video
            >>> np.save("clip.npy", np.zeros((20, 4, 4, 3), np.uint8))
            >>> read_video("clip.npy", layout="THWC", start=3, every=2).part(2, 3).whole().length_hint
            20
        """
        other = self._with(replace(self.selection, every=1, start=0, stop=None))
        other.length_hint, other.frame_rate = self._total, self._full_rate
        return other

    def cropped(self, crop: tuple[int, int, int, int]) -> VideoReader:
        """Return a reader of a part (top, left, height, width) of the source's frames, whatever part this one shows.

        Raises:
            InputError: The crop reaches outside the frame.
        """
        return self._with(replace(self.selection, crop=crop))

    def _with(self, selection: Selection) -> VideoReader:
        """Return a reader of the same video with another selection; its number of frames is left as it was."""
        other = copy(self)
        other.selection, other.crop, other.problems = selection, selection.crop, []
        other.size = selection.within(self.source_size, self.path)
        return other

    @abstractmethod
    def _read(self) -> Iterator[MediaFrame]:
        """Yield the selected frames, RGB, cropped and scaled."""

    def _check_unchanged(self) -> None:
        """Check that the file is the one that was opened: frames of two versions are no video.

        One that is gone is left to what reads it: what was open still has all of it.
        """
        now = version_of(self.path)
        if now is None or now == self._version or self._holds_the_same():
            return
        raise InputError(self.path, "has changed since it was opened.", "Wait until it is written, and begin again.")

    def _holds_the_same(self) -> bool:
        """Return whether what changed is of no account."""
        return self._version is None  # of pipes and devices

    def _checked(self) -> Generator[MediaFrame, None, None]:
        any_frame = False
        self._check_unchanged()
        for frame in self._read():
            any_frame = True
            yield frame if self.selection.channels == 3 else replace(frame, image=to_grey(frame.image))
        self._check_unchanged()
        if not any_frame:
            first = self.selection.start
            problem = f"expected a frame at index {first}; the file ends before it." if first else "holds no frame."
            raise InputError(self.path, problem, "Give a smaller start." if first else "Copy or record it again.")

    def note(self, problem: str) -> None:
        """Add to `problems`, with a warning, what has not been said yet."""
        if problem not in self.problems:
            self.problems.append(problem)
            warnings.warn(f"{self.path}: {problem}", stacklevel=2)


def safe_name(path: Path) -> str:
    """Return a folder name for what a path holds: the stem of a file, the whole name of a folder.

    Examples:
        >>> Path("my clip (2).mp4").touch()
        >>> safe_name(Path("my clip (2).mp4"))
        'my_clip_2'
    """
    path = path.absolute()
    name = path.stem if path.is_file() else path.resolve().name
    return re.sub(r"[^\w.-]+", "_", name).strip("._").lstrip("-")[:80] or "video"
