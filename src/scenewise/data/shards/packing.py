"""Videos of one shard as arrays, one row per video, and back to the very same videos.

Frames and ids get an axis N. What extras hold becomes one array per name where the values of all videos are arrays of
one kind; where they differ in shape, rows are padded (floats with NaN, else zero) and `NAME.shape` says how much of a
row counts. Everything else goes into `others`, one JSON text per video.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import numpy as np

from scenewise.data.contract import Sample
from scenewise.data.shards.json_values import decode, encode
from scenewise.documents import parse_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EXTRAS = "extras/"
"""What the names of arrays begin with that come from extras."""

_KINDS = "biufcUS"


@dataclass(frozen=True)
class Span:
    """Which frames of a video are read.

    Attributes:
        first: First frame.
        stop: Frame after the last one; None for all that follow.
        per_frame: Names of the flattened extras that have one entry per frame.
        extras: Whether extras are wanted at all.
    """

    first: int = 0
    stop: int | None = None
    per_frame: frozenset[str] = frozenset()
    extras: bool = True

    def of(self, name: str, length: int) -> slice:
        """Return the part of an extra's first axis of `length` entries."""
        return slice(self.first, self.stop) if name in self.per_frame else slice(0, length)

    def cut(self, name: str, value: Any) -> Any:
        """Return the part of a whole extra that belongs to the frames."""
        return value[self.first : self.stop] if name in self.per_frame else value


def flatten(extras: Mapping[str, Any]) -> dict[str, Any]:
    """Return extras without nesting: `{"a": {"b": 1}}` becomes `{"a/b": 1}`; odd characters of names are escaped."""
    flat: dict[str, Any] = {}
    for key, value in extras.items():
        name = quote(key, safe=" ").replace(".", "%2E")
        if type(value) is dict and value and all(isinstance(inner, str) for inner in value):
            flat |= {f"{name}/{inner}": leaf for inner, leaf in flatten(value).items()}
        else:
            flat[name] = value
    return flat


def unflatten(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `flatten` was given."""
    extras: dict[str, Any] = {}
    for name, value in flat.items():
        *outer, last = [unquote(part) for part in name.split("/")]
        place = extras
        for part in outer:
            place = place.setdefault(part, {})
        place[last] = value
    return extras


def pack(samples: Sequence[Sample], ragged: bool) -> dict[str, np.ndarray]:
    """Return the arrays of a shard by name.

    Args:
        samples: Videos of equal height and width.
        ragged: Whether videos differ in their number of frames; `lengths` says how many each has.

    Returns:
        `frames` uint8 (N, T, C, H, W), `ids` (N, T, H, W) of the smallest integer type that holds them, where there
        are any, `lengths` (N,) where ragged, `extras/NAME`, `extras/NAME.shape`, `extras/NAME.dtype` and `others`.
    """
    arrays = {"frames": _padded([sample.frames for sample in samples], 0)}
    if samples[0].ids is not None:
        arrays["ids"] = smallest(_padded([np.asarray(sample.ids) for sample in samples], -1))
    if ragged:
        arrays["lengths"] = np.array([len(sample.frames) for sample in samples])
    flat = [flatten(sample.extras) for sample in samples]
    columns, rest = _columns(flat)
    arrays |= {EXTRAS + name: column for name, column in columns.items()}
    if rest:
        others = [{name: encode(row[name]) for name in rest if name in row} for row in flat]
        arrays["others"] = np.array([json.dumps(row).encode() for row in others])
    return arrays


def unpack(arrays: Mapping[str, Any], row: int, span: Span) -> Sample:
    """Return one video, reading no more than its part of each array.

    Args:
        arrays: What `pack` returned, or anything by the same names that can be cut like an array.
        row: Which video of the shard.
        span: Which of its frames.
    """
    length = int(arrays["lengths"][row]) if "lengths" in arrays else arrays["frames"].shape[1]
    first, stop = span.first, length if span.stop is None else span.stop
    frames = np.array(arrays["frames"][row, first:stop])
    ids = np.asarray(arrays["ids"][row, first:stop]).astype(np.int64) if "ids" in arrays else None
    if not span.extras:
        return Sample(frames, ids, {})
    names = [key.removeprefix(EXTRAS) for key in arrays if key.startswith(EXTRAS)]
    flat = {name: _value(arrays, EXTRAS + name, row, name, span) for name in names if "." not in name}
    return Sample(frames, ids, unflatten(flat | _others(arrays, row, span)))


def unpack_extra(arrays: Mapping[str, Any], row: int, name: str, span: Span) -> Any:
    """Return one flattened extra of a video, None where it has none of that name; arguments as of `unpack`."""
    key = EXTRAS + name
    if key in arrays:
        return _value(arrays, key, row, name, span)
    return _others(arrays, row, span).get(name)


def smallest(ids: np.ndarray) -> np.ndarray:
    """Return ids as the smallest of int8, int16, int32 and int64 that holds them."""
    low, high = int(ids.min(initial=0)), int(ids.max(initial=0))
    kinds = (np.int8, np.int16, np.int32, np.int64)
    kind = next(kind for kind in kinds if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max)
    return ids.astype(kind)


def per_frame(whole: Sample, shorter: Sample) -> list[str]:
    """Return the names of flattened extras that have one entry per frame.

    Args:
        whole: A video of T frames.
        shorter: The same video but for its last frame.
    """
    full, less = flatten(whole.extras), flatten(shorter.extras)
    time = len(whole.frames)
    names = [name for name in full if name in less and _entries(full[name]) == time]
    return sorted(name for name in names if _entries(less[name]) == time - 1)


def _entries(value: Any) -> int | None:
    if isinstance(value, np.ndarray):
        return len(value) if value.ndim else None
    return len(value) if isinstance(value, (list, tuple)) else None


def _others(arrays: Mapping[str, Any], row: int, span: Span) -> dict[str, Any]:
    """Return the flattened extras that are no rows of arrays."""
    if "others" not in arrays:
        return {}
    listed = parse_json(bytes(arrays["others"][row]), "shard", "extras of a sample", "Make the folder again.")
    return {name: span.cut(name, decode(value)) for name, value in listed.items()}


def _value(arrays: Mapping[str, Any], key: str, row: int, name: str, span: Span) -> np.ndarray:
    column = arrays[key]
    shape = arrays[f"{key}.shape"][row] if f"{key}.shape" in arrays else column.shape[1:]
    cut = [slice(0, int(side)) for side in shape]
    if cut:
        cut[0] = span.of(name, int(shape[0]))
    kind = np.dtype(bytes(arrays[f"{key}.dtype"][row]).decode()) if f"{key}.dtype" in arrays else column.dtype
    return np.array(column[(row, *cut)], dtype=kind)


def _columns(flat: Sequence[Mapping[str, Any]]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the names that become arrays, with these, and the names that do not."""
    columns: dict[str, np.ndarray] = {}
    rest = []
    for name in dict.fromkeys(name for row in flat for name in row):
        values: list[Any] = [row.get(name) for row in flat]
        if not _alike(values):
            rest.append(name)
            continue
        columns[name] = _padded(values, np.nan if _kind(values).kind in "fc" else 0)
        if len({value.shape for value in values}) > 1:
            columns[f"{name}.shape"] = np.array([value.shape for value in values])
        if any(value.dtype != columns[name].dtype for value in values):
            columns[f"{name}.dtype"] = np.array([value.dtype.str.encode() for value in values])
    return columns, rest


def _alike(values: Sequence[Any]) -> bool:
    """Return whether values are arrays that one array can hold; empty ones fit everywhere."""
    if not all(isinstance(value, np.ndarray) and value.dtype.kind in _KINDS for value in values):
        return False
    if len({value.ndim for value in values}) > 1:
        return False
    kinds = {value.dtype for value in values if value.size}
    return len(kinds) <= 1 or all(kind.kind == "U" for kind in kinds)


def _kind(values: Sequence[np.ndarray]) -> np.dtype[Any]:
    kinds = [value.dtype for value in values if value.size] or [values[0].dtype]
    return max(kinds, key=lambda kind: kind.itemsize)


def _padded(values: Sequence[np.ndarray], fill: float) -> np.ndarray:
    """Return values of one number of axes as one array; what lies beyond a value's end is `fill`."""
    shape = tuple(np.max([value.shape for value in values], axis=0, initial=0).astype(int)) if values[0].ndim else ()
    kind = _kind(values)
    if all(value.shape == shape for value in values):
        return np.stack(values).astype(kind, copy=False)
    padded = np.zeros((len(values), *shape), kind)
    if kind.kind not in "US":
        padded[...] = fill
    for row, value in enumerate(values):
        padded[row][tuple(slice(side) for side in value.shape)] = value
    return padded
