"""What the formats of `scenewise data make` have in common, and which there are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scenewise.data.contract import SOURCES
from scenewise.errors import InputError
from scenewise.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from scenewise.data.contract import Source
    from scenewise.data.shards.writer import WriteOutcome

    Progress = Callable[[int, int], None]
    Stop = Callable[[], bool]
    Write = Callable[["WriteRequest", Path, Progress, Stop], "WriteOutcome | None"]

DEFAULT = "npy"
"""The format where neither its name nor that of the file says another."""


@dataclass(frozen=True)
class WriteRequest:
    """Videos that are to be written: the first ones of a split.

    Attributes:
        source: Registered name of the source.
        split: "train", "validation" or "test".
        samples: How many videos.
        settings: Of the source.
        label: What the user calls the source.
        overwrite: Replace what is there.
        workers: Number of processes, for formats in shards.
        shard: Videos per shard, for formats in shards; as many as fit where None.
    """

    source: str
    split: str
    samples: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    overwrite: bool = False
    workers: int = 1
    shard: int | None = None

    def open(self) -> Source:
        """Return the source.

        Raises:
            InputError: A setting is wrong, or it has fewer videos.
        """
        source = SOURCES.get(self.source).make(self.split, self.settings)
        if self.samples > len(source):
            name = self.label or self.source
            raise InputError("--samples", f"{name} has {len(source)} videos; found {self.samples}.")
        return source


@dataclass(frozen=True)
class Writer:
    """A format.

    Attributes:
        what: What it writes, in a few words.
        write: Writes; takes a request, where to, progress (done, total) and a question whether to stop. Formats in
            shards return what became of it.
        unit: What is counted.
        suffixes: Ends of file names that mean this format.
        sharded: Whether several processes write it, which go on where they were stopped.
    """

    what: str
    write: Write
    unit: str = "videos"
    suffixes: tuple[str, ...] = ()
    sharded: bool = False


WRITERS: Registry[Writer] = Registry("format", "scenewise.data.shards.writers")
"""Formats by name."""


def register_writer(name: str, what: str, **more: Any) -> Callable[[Write], Write]:
    """Return a decorator that enters a function as the format `name`; `more` are fields of `Writer`."""

    def enter(write: Write) -> Write:
        WRITERS.register(name)(Writer(what, write, **more))
        return write

    return enter


def format_of(path: Path) -> str:
    """Return which format the name of a file says."""
    suffix = path.suffix.lower()
    return next((name for name in WRITERS.names() if suffix in WRITERS.get(name).suffixes), DEFAULT)
