"""What sources of generated videos share: a split of random streams, and many videos made at once."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np

from scenewise.config import build, plain
from scenewise.data.contract import Sample, Source
from scenewise.data.fingerprints import of_values
from scenewise.data.splits import check_index, check_span, check_split

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scenewise.data.contract import Progress

T = TypeVar("T")


class Videos(Protocol):
    """Many videos with all that is known of them."""

    @property
    def frames(self) -> np.ndarray:
        """Frames, uint8, shape (N, T, C, H, W)."""

    @property
    def ids(self) -> np.ndarray:
        """Ids, of eight bits, shape (N, T, H, W)."""


V = TypeVar("V", bound=Videos)


class GeneratedSource(Source, Generic[V]):
    """Videos made when asked for; one is determined by (seed, split, index), whatever batch or span it is made in.

    A subclass says how many are made together and what is known of each.

    Class attributes:
        kind: What fingerprints call it; its ready settings may be registered under other names.
        version: Raised when the same settings give other bytes.
        lengths: Nominal number of videos by split.

    Args:
        config: Settings with a field `seed`.
        split: Which random streams to use; splits share no video.
        name: Name of the source, for messages; its kind where None.
    """

    kind: ClassVar[str]
    version: ClassVar[int] = 1
    lengths: ClassVar[Mapping[str, int]]
    together = True

    def __init__(self, config: Any, split: str = "train", name: str | None = None) -> None:
        self.config = config
        self.split = check_split(split)
        self.name = name or self.kind

    @classmethod
    def create(cls, name: str, split: str, settings: Mapping[str, Any], progress: Progress | None = None) -> Source:
        """Return the source that a user names; see `Source.create`."""
        return cls(build(cls.config_class, settings, f"source {name}"), split, name)

    def __len__(self) -> int:
        """Return the nominal number of videos of the split."""
        return self.lengths[self.split]

    @property
    def at_once(self) -> int:
        """How many videos are best made together: more would be little faster, and progress and Ctrl-C coarser."""
        return 64 if self.facts.frames == 1 else 16

    def fingerprint(self) -> str:
        """Return a hash of settings, split and generator version."""
        return of_values(self.kind, self.version, self.split, plain(self.config))

    def sample(self, index: int, start: int = 0, frames: int | None = None) -> Sample:
        """Return one video with all that is known of it; see `samples`.

        Raises:
            IndexError: The split has no such video.
            InputError: The span lies outside of the video.
        """
        return self.with_objects(self._samples(self.make([index], start, frames, whole=True))[0])

    def samples(self, indices: Sequence[int]) -> list[Sample]:
        """Return many whole videos as `sample` does, several times faster than one by one.

        Raises:
            IndexError: The split has no such video.
        """
        return [self.with_objects(sample) for sample in self._samples(self.make(indices, whole=True))]

    def batch(self, indices: Sequence[int], start: int = 0, frames: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return many videos at once, the fast path for training.

        Args:
            indices: Which videos, N of them.
            start: First frame.
            frames: Number of frames, or None for all that follow.

        Returns:
            Frames, uint8, shape (N, T, C, H, W), and ids, of eight bits, shape (N, T, H, W).

        Raises:
            IndexError: The split has no such video.
            InputError: The span lies outside of the videos.
        """
        videos = self.make(indices, start, frames)
        return videos.frames, videos.ids

    def make(self, indices: Sequence[int], start: int = 0, frames: int | None = None, whole: bool = False) -> V:
        """Return many videos with what is known of them.

        Args:
            indices: Which videos, N of them.
            start: First frame.
            frames: Number of frames, or None for all that follow.
            whole: Return what samples hold and costs time beside frames and ids, too, such as whole masks.

        Raises:
            IndexError: The split has no such video.
            InputError: The span lies outside of the videos, or the settings ask for what is almost never drawn.
        """
        first, stop = check_span(start, frames, self.facts.frames or 1, self.name)
        return self._make([check_index(index, len(self), self.name) for index in indices], first, stop, whole)

    @abstractmethod
    def _make(self, indices: Sequence[int], first: int, stop: int, whole: bool) -> V:
        """Return frames `first` to `stop` of many videos; arguments are checked."""

    @abstractmethod
    def _samples(self, videos: V) -> list[Sample]:
        """Return videos one by one, of objects that are there."""


def joined(parts: Sequence[T]) -> T:
    """Return what is known of videos that were made part by part, each a dataclass of arrays, as one."""
    if len(parts) == 1:
        return parts[0]
    return type(parts[0])(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])})
