"""What a made folder holds, and what it is going to hold while it is being made.

A folder has a sub-folder per split. In there lie the shards and, once all are whole, `manifest.json`. Until then there
is `.making` with the plan and a record for every shard that is whole: what has no record does not count.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenewise.config import build
from scenewise.data.contract import Facts
from scenewise.data.splits import SPLITS
from scenewise.documents import shortened, type_of
from scenewise.errors import InputError
from scenewise.media.files import inside, read_json_mapping, reading, write_atomically, writing

if TYPE_CHECKING:
    from collections.abc import Mapping

MANIFEST = "manifest.json"
MAKING = ".making"
FORMAT = 1
KIND = "scenewise made data"
_READ_AT_ONCE = 1 << 20
_TYPES = {"name": str, "first": int, "samples": int, "files": dict, "versions": dict}  # of a shard's values
_ANEW = "Remove the folder and make it anew."


@dataclass(frozen=True)
class ShardPlan:
    """Everything that decides the bytes of a folder; the number of processes does not.

    Attributes:
        source: Registered name of the source.
        settings: Settings it was given.
        resolved: All its settings, where it tells them.
        split: Which split.
        seed: Its seed, None where it has none.
        samples: Number of videos, the first of the split.
        layout: How shards are stored: "npy", "hdf5" or "webdataset".
        shard: Videos per shard; the last may have fewer.
        fingerprint: Of the source.
        facts: Of the source, as plain values.
        per_frame: Names of flattened extras that have one entry per frame.
    """

    source: str
    settings: dict[str, Any]
    resolved: dict[str, Any]
    split: str
    seed: int | None
    samples: int
    layout: str
    shard: int
    fingerprint: str
    facts: dict[str, Any]
    per_frame: list[str] = field(default_factory=list)

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.samples // self.shard)

    def rows(self, number: int) -> range:
        """Return the videos of a shard."""
        return range(number * self.shard, min((number + 1) * self.shard, self.samples))


@dataclass(frozen=True)
class Shard:
    """A shard that is whole.

    Attributes:
        name: What the names of its files begin with.
        first: Number of its first video.
        samples: Number of its videos.
        files: Suffix to `{"sha256": ..., "bytes": ...}`.
        versions: What it was made with.
    """

    name: str
    first: int
    samples: int
    files: dict[str, dict[str, Any]]
    versions: dict[str, str]

    def paths(self, folder: Path) -> dict[str, Path]:
        """Return its files by suffix.

        Raises:
            InputError: One lies outside the folder.
        """
        return {suffix: inside(folder, f"{self.name}{suffix}") for suffix in self.files}


@dataclass(frozen=True)
class Manifest:
    """A folder that is whole."""

    plan: ShardPlan
    shards: tuple[Shard, ...]


def shard_name(number: int) -> str:
    """Return what the names of a shard's files begin with."""
    return f"{number:05d}"


def facts_of(plan: ShardPlan) -> Facts:
    """Return facts as the source had them.

    Raises:
        InputError: They are no facts of a source.
    """
    return build(Facts, plan.facts, "facts of a made folder")


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json`."""
    plan = dataclasses.asdict(manifest.plan)
    versions = [value for _, value in sorted({json.dumps(s.versions): s.versions for s in manifest.shards}.items())]
    shards = [  # what one was made with is named by its place in a list, which is short
        {**dataclasses.asdict(shard), "versions": versions.index(shard.versions)} for shard in manifest.shards
    ]
    content = {"kind": KIND, "format": FORMAT, **plan, "versions": versions, "shards": shards}
    write_synced(folder / MANIFEST, json.dumps(content, indent=1) + "\n")


def read_manifest(folder: Path) -> Manifest:
    """Read `manifest.json` of a split's folder.

    Raises:
        InputError: There is none, it is damaged or of a later format.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise not_whole(folder)
    content = read_json_mapping(path, "a manifest of made data", _ANEW)
    if content.get("kind") != KIND:
        raise InputError(path, f"expected a manifest of made data, found {shortened(content.get('kind'))}.", _ANEW)
    if content.get("format") != FORMAT:
        problem = f"expected a manifest of format {FORMAT}, found {shortened(content.get('format'))}."
        raise InputError(path, problem, "It may come from a later version.")
    plan = plan_of(content, path)
    with reading(path, "a manifest of made data", _ANEW):
        versions = content["versions"]
        for name in ("versions", "shards"):
            if not isinstance(content[name], list):
                raise TypeError(f"{name} must be a list, found {type_of(content[name])}")
        shards = tuple(
            shard_of({**shard, "versions": versions[shard["versions"]]}, path) for shard in content["shards"]
        )
        if len(shards) != plan.shards:
            raise ValueError(f"{len(shards)} shards, which do not add up to {plan.samples} videos")
        spans = [(plan.rows(n).start, len(plan.rows(n))) for n in range(plan.shards)]
        if [(shard.first, shard.samples) for shard in shards] != spans:
            raise ValueError(f"shards that do not add up to {plan.samples} videos")
    return Manifest(plan, shards)


def plan_of(content: Mapping[str, Any], where: object) -> ShardPlan:
    """Return the plan among the values of a file.

    Raises:
        InputError: One is missing, of another type, or out of range.
    """
    names = {f.name for f in dataclasses.fields(ShardPlan)}
    plan = build(ShardPlan, {name: value for name, value in content.items() if name in names}, str(where))
    facts = facts_of(plan)
    numbers = (plan.samples, plan.shard, facts.channels, *facts.size, facts.frames or 1)
    if plan.split not in SPLITS or min(numbers) < 1:
        problem = f"expected videos of {', '.join(SPLITS)}, of sizes from 1; found other values."
        raise InputError(where, problem, _ANEW)
    return plan


def shard_of(content: Mapping[str, Any], where: object) -> Shard:
    """Return the shard that values of a file describe.

    Raises:
        InputError: One is missing or of another type.
    """
    shard = Shard(**content) if _is_shard(content) else build(Shard, content, str(where))
    for suffix, noted in shard.files.items():
        if not isinstance(noted.get("sha256"), str) or not isinstance(noted.get("bytes"), int):
            raise InputError(where, f"file {shortened(suffix)} must have sha256 and bytes.", _ANEW)
    return shard


def _is_shard(content: Mapping[str, Any]) -> bool:
    """Return whether values are seen to be a shard's: `build` takes ten times as long, and folders have thousands."""
    return (
        content.keys() == _TYPES.keys()
        and all(type(content[name]) is kind for name, kind in _TYPES.items())
        and all(type(noted) is dict for noted in content["files"].values())
        and all(type(version) is str for version in content["versions"].values())
    )


def not_whole(folder: Path) -> InputError:
    """Return the error for a split's folder that has no manifest."""
    if not (folder / MAKING).is_dir():
        return InputError(folder, f"expected made data, found no {MANIFEST}.", "Make it with `scenewise data make`.")
    count = len(list((folder / MAKING).glob("[0-9]*.json")))
    with_plan = read_plan(folder)
    total = "an unknown number of" if with_plan is None else with_plan.shards
    return InputError(
        folder, f"is not whole: {count} of {total} shards are made.", "The same `scenewise data make` again continues."
    )


def read_plan(folder: Path) -> ShardPlan | None:
    """Return the plan that a folder is being made by, None where there is none."""
    path = folder / MAKING / "plan.json"
    if not path.is_file():
        return None
    return plan_of(read_json_mapping(path, "a plan", _ANEW), path)


def read_records(folder: Path) -> dict[int, Shard]:
    """Return what is noted of the shards that were whole, by number."""
    shards = {}
    for path in sorted((folder / MAKING).glob("[0-9]*.json")):
        with reading(path, "the record of a shard", _ANEW):
            shards[int(path.stem)] = shard_of(read_json_mapping(path, "the record of a shard", _ANEW), path)
    return shards


def write_record(folder: Path, number: int, shard: Shard) -> None:
    """Note that a shard is whole."""
    write_synced(folder / MAKING / f"{shard_name(number)}.json", json.dumps(dataclasses.asdict(shard)))


def made_splits(path: Path) -> dict[str, Path]:
    """Return the folders of the splits that are made, or being made, below a folder."""
    return {split: path / split for split in SPLITS if is_made(path / split)}


def is_made(folder: Path) -> bool:
    """Return whether a folder is that of one split, whole or not."""
    return (folder / MANIFEST).is_file() or (folder / MAKING).is_dir()


def hashed(path: Path) -> dict[str, Any]:
    """Return SHA-256 and size of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_READ_AT_ONCE):
            digest.update(part)
        return {"sha256": digest.hexdigest(), "bytes": file.tell()}


def problem_of(shard: Shard, folder: Path) -> str | None:
    """Return what is wrong with the files of a shard, None where they are as they were made."""
    for suffix, path in shard.paths(folder).items():
        noted = shard.files[suffix]
        if not path.is_file():
            return f"{path.name} is missing"
        size = path.stat().st_size
        if size != noted["bytes"]:
            return f"{path.name} has {size} bytes instead of {noted['bytes']}"
        if hashed(path)["sha256"] != noted["sha256"]:
            return f"{path.name} has other content than was made"
    return None


def write_synced(path: Path, content: str) -> None:
    """Write a small file that is whole or absent even when the power fails."""
    write_atomically(path, content)
    sync(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Have the operating system write a file, or the names in a folder, to the disk."""
    with writing(path):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
