"""Writes shards: formats that are made in parallel, continue after any end, and are sources again."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from scenewise.data.shards.writer import make, make_plan
from scenewise.data.shards.writers.base import register_writer

if TYPE_CHECKING:
    from pathlib import Path

    from scenewise.data.shards.writer import WriteOutcome
    from scenewise.data.shards.writers.base import Progress, Stop, WriteRequest

_WHAT = {
    "npy": "shards of plain arrays that can be mapped into memory",
    "hdf5": "shards, a compressed HDF5 file each",
    "webdataset": "shards, a tar of PNG images each, as other loaders read them",
}


def write(layout: str, request: WriteRequest, out: Path, progress: Progress, stop: Stop) -> WriteOutcome:
    """Write the folder of a split in shards of a layout; see `make`."""
    plan = make_plan(request.source, request.split, dict(request.settings), request.samples, layout, request.shard)
    return make(plan, out, request.workers, progress, stop, request.overwrite)


for _name, _what in _WHAT.items():
    register_writer(_name, _what, sharded=True)(functools.partial(write, _name))
