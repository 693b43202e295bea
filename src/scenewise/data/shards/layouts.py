"""What the ways to store a shard have in common, and which there are."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Protocol

from scenewise.errors import InputError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from scenewise.data.contract import Sample
    from scenewise.data.shards.packing import Span

LAYOUTS = ("npy", "hdf5", "webdataset")
"""Names of the ways, each a module beside this one with `SUFFIXES`, `write` and `read`."""


class ShardRows(Protocol):
    """The videos of one shard, opened for reading."""

    def __len__(self) -> int:
        """Return the number of videos."""

    def length(self, row: int) -> int:
        """Return the number of frames of a video."""

    def sample(self, row: int, span: Span) -> Sample:
        """Return one video or a part of it, reading no more than needed."""

    def extra(self, row: int, name: str, span: Span) -> Any:
        """Return one of a video's flattened extras, decoding no frame and no other extra; None where it has none."""


class ShardLayout(Protocol):
    """One way to store shards.

    Attributes:
        SUFFIXES: What the names of a shard's files end with.
    """

    SUFFIXES: tuple[str, ...]

    def write(self, files: Mapping[str, Path], samples: Sequence[Sample], first: int, ragged: bool) -> None:
        """Write a shard into files given by suffix; `first` is the number of its first video."""

    def read(self, files: Mapping[str, Path]) -> ShardRows:
        """Open a shard, from its files by suffix."""


def layout(name: str) -> Any:
    """Return the way of that name.

    Raises:
        InputError: There is none.
    """
    if name not in LAYOUTS:
        raise InputError(name, "is not a format of made folders.", nearest(name, LAYOUTS))
    return importlib.import_module(f"scenewise.data.shards.{name}")
