"""Whether a made folder is still what was made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.data.contract import SOURCES
from scenewise.data.shards import manifest as made
from scenewise.data.shards.packing import flatten
from scenewise.data.shards.reader import MadeSource
from scenewise.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scenewise.data.contract import Sample, Source
    from scenewise.data.shards.manifest import Manifest


@dataclass
class Finding:
    """What was found in the folder of one split.

    Attributes:
        folder: Of the split.
        shards: Number of shards.
        samples: Number of videos.
        compared: Videos that were made again and compared.
        broken: What is wrong, by the name of the shard.
        note: Why no video was made again, where none was.
    """

    folder: Path
    shards: int
    samples: int
    compared: int = 0
    broken: dict[str, str] = field(default_factory=dict)
    note: str = ""


def check(
    path: Path, samples: int = 8, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> list[Finding]:
    """Compare all checksums and counts, and some videos with new ones.

    Args:
        path: A made folder, or the folder of one of its splits.
        samples: How many videos of each split are made again.
        seed: Which ones.
        progress: Called with shards looked at, and all of a split.

    Returns:
        What was found per split.

    Raises:
        InputError: There is no made folder, or a split is not whole.
    """
    folders = list(made.made_splits(path).values()) or [path]
    return [_check(folder, samples, seed, progress) for folder in folders]


def _check(folder: Path, samples: int, seed: int, progress: Callable[[int, int], None] | None) -> Finding:
    manifest = made.read_manifest(folder)
    finding = Finding(folder, len(manifest.shards), manifest.plan.samples)
    for number, shard in enumerate(manifest.shards, 1):
        problem = made.problem_of(shard, folder)
        if problem is not None:
            finding.broken[shard.name] = problem
        if progress is not None:
            progress(number, len(manifest.shards))
    source = MadeSource(folder, manifest.plan.split)
    for shard in manifest.shards:
        if shard.name not in finding.broken:
            _count(source, shard, finding)
    _compare(source, manifest, finding, min(samples, len(source)), seed)
    return finding


def _count(source: MadeSource, shard: made.Shard, finding: Finding) -> None:
    """Compare the number of videos in a file with the noted one."""
    try:
        count = len(source.rows(shard.first // source.plan.shard))
    except InputError as error:
        finding.broken[shard.name] = error.problem
        return
    if count != shard.samples:
        finding.broken[shard.name] = f"has {count} videos instead of {shard.samples}"


def _compare(source: MadeSource, manifest: Manifest, finding: Finding, samples: int, seed: int) -> None:
    """Make some videos again, of shards that are not known to be broken."""
    original = _original(manifest, finding)
    if original is None:
        return
    for index in np.random.default_rng(seed).permutation(len(source))[:samples].tolist():
        shard = manifest.shards[index // manifest.plan.shard]
        if shard.name not in finding.broken:
            finding.compared += 1
            if not same(source.sample(index), original.sample(index)):
                with_what = " and ".join(f"{name} {number}" for name, number in shard.versions.items())
                finding.broken[shard.name] = f"video {index} made again is another one; made with {with_what}"


def _original(manifest: Manifest, finding: Finding) -> Source | None:
    plan = manifest.plan
    if plan.settings.get("allow_pickle"):  # the folder may come from anyone
        finding.note = "no video was made again: its settings would have pickled files read"
        return None
    try:
        source: Source = SOURCES.get(plan.source).make(plan.split, plan.settings)
    except InputError as error:
        finding.note = f"no video was made again: {error}"
        return None
    if source.fingerprint() != plan.fingerprint:
        finding.note = f"no video was made again: {plan.source} makes other data now than when this was made"
        return None
    return source


def same(one: Sample, other: Sample) -> bool:
    """Return whether two videos are equal bit for bit, with all that is known of them."""
    if (one.ids is None) != (other.ids is None):
        return False
    pairs: list[tuple[Any, Any]] = [(one.frames, other.frames), (one.ids, other.ids)]
    first, second = flatten(one.extras), flatten(other.extras)
    pairs += [(first[name], second.get(name)) for name in first]
    return first.keys() == second.keys() and all(_equal(a, b) for a, b in pairs)


def _equal(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(_equal(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, (np.ndarray, np.generic)):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    return bool(one == other or (one != one and other != other))
