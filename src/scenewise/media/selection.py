"""Which part of a video is wanted: size, crop, frames, channels."""

from __future__ import annotations

from dataclasses import dataclass

from scenewise.errors import InputError

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
