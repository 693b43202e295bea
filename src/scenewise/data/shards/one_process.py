"""One shard after the other, in one process."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from scenewise.data.contract import SOURCES
from scenewise.data.shards.layouts import layout
from scenewise.data.shards.manifest import Shard, hashed, shard_name, sync, write_record
from scenewise.media.files import writing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scenewise.data.shards.manifest import ShardPlan

PART = ".part"


class Maker:
    """Makes shards of a plan; what a shard holds depends on plan and number alone.

    Args:
        plan: What to make.
        folder: Of the split.
        tick: Called after every video; what it raises ends the making.
    """

    def __init__(self, plan: ShardPlan, folder: Path, tick: Callable[[], None]) -> None:
        self.plan, self.folder, self.tick = plan, folder, tick
        self.source = SOURCES.get(plan.source).make(plan.split, plan.settings)
        self.layout = layout(plan.layout)

    def make(self, number: int) -> Shard:
        """Write a shard, then note that it is whole.

        Raises:
            InputError: The disk is full, or a video cannot be read or stored.
        """
        rows = self.plan.rows(number)
        name = shard_name(number)
        parts = {suffix: self.folder / f".{name}{suffix}.{os.getpid()}{PART}" for suffix in self.layout.SUFFIXES}
        step = self.source.at_once
        samples = []
        for at in range(0, len(rows), step):
            for sample in self.source.samples(rows[at : at + step]):
                self.tick()
                samples.append(sample)
        try:
            with writing(self.folder / f"{name}{next(iter(parts))}"):
                self.layout.write(parts, samples, rows.start, self.plan.facts["frames"] is None)
            files = {suffix: hashed(part) for suffix, part in parts.items()}
            for suffix, part in parts.items():
                sync(part)
                part.replace(self.folder / f"{name}{suffix}")
        finally:
            for part in parts.values():  # what keeps its name keeps the disk full
                part.unlink(missing_ok=True)
        sync(self.folder)
        shard = Shard(name, rows.start, len(rows), files, versions())
        write_record(self.folder, number, shard)
        return shard


def versions() -> dict[str, str]:
    """Return the versions that decide the bytes of a shard."""
    return {name: _version(name) for name in ("scenewise", "numpy")}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
