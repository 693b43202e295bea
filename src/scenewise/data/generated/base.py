"""What sources of generated images share: each image is a video of one frame, and many are made at once."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from scenewise.data.contract import Sample, Source
from scenewise.data.splits import check_index, check_span, check_split

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

T = TypeVar("T")


class GeneratedImages(Source):
    """Images made when asked for.

    Class attributes:
        lengths: Nominal number of images by split.

    Args:
        split: Which random streams to use; splits share no image.
        name: Name of the source, for messages.
    """

    lengths: ClassVar[Mapping[str, int]]

    def __init__(self, split: str, name: str) -> None:
        self.split = check_split(split)
        self.name = name

    def __len__(self) -> int:
        """Return the nominal number of images of the split."""
        return self.lengths[self.split]

    @abstractmethod
    def make(self, indices: Sequence[int]) -> Any:
        """Return many images with all that is known of them; at least the attributes `frames` and `ids`.

        Raises:
            IndexError: The split has no such image.
        """

    @abstractmethod
    def samples(self, indices: Sequence[int]) -> list[Sample]:
        """Return many images as `sample` does, several times faster than one by one.

        Raises:
            IndexError: The split has no such image.
        """

    def sample(self, index: int, start: int = 0, frames: int | None = None) -> Sample:
        """Return one image as a video of one frame; what its extras hold is told where the source is defined.

        Raises:
            IndexError: The split has no such image.
            InputError: Other frames than the first are asked for.
        """
        self.check_only_frame(start, frames)
        return self.samples([index])[0]

    def batch(self, indices: Sequence[int], start: int = 0, frames: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return many images at once, the fast path for training.

        Args:
            indices: Which images, N of them.
            start: First frame, 0.
            frames: Number of frames, 1 or None.

        Returns:
            Frames, uint8, shape (N, 1, C, H, W), and ids, of eight bits, shape (N, 1, H, W).

        Raises:
            InputError: Other frames than the first are asked for.
        """
        self.check_only_frame(start, frames)
        made = self.make(indices)
        return made.frames, made.ids

    def check_only_frame(self, start: int, frames: int | None) -> None:
        """Raise InputError where other frames than the first are asked for."""
        check_span(start, frames, 1, self.name)

    def checked(self, indices: Sequence[int]) -> list[int]:
        """Return indices as plain numbers.

        Raises:
            IndexError: The split has no such image.
        """
        return [check_index(index, len(self), self.name) for index in indices]


def joined(parts: Sequence[T]) -> T:
    """Return what is known of images that were made part by part, each a dataclass of arrays, as one."""
    return type(parts[0])(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])})
