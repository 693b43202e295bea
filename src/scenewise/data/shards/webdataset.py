"""Shards as `00000.tar` of PNG and JSON files, as WebDataset reads them, and where each video lies in it.

Of video 12 there are `00000012.frame0000.png` ..., `00000012.ids0000.png` ... (8 bits, 255 for ids of -1, or 16 bits
and 65535 where ids are larger) and `00000012.json` with what extras hold. Arrays of more than 4096 numbers, such as
masks, are `00000012.NAME.npy`. `00000.index.json` gives the place of each video, so that one can be read alone.
"""

from __future__ import annotations

import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.data.contract import Sample
from scenewise.data.shards.json_values import decode, encode
from scenewise.data.shards.packing import Span, flatten, unflatten
from scenewise.documents import parse_json
from scenewise.errors import InputError
from scenewise.media.files import read_json_mapping
from scenewise.media.images import image_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

SUFFIXES = (".tar", ".index.json")

_MOST_LISTED = 4096  # numbers of an array that go into the JSON text
_NESTED = "+"  # in names of files for the slash of nested extras; names have no + of their own
_IGNORE = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}


def write(files: Mapping[str, Path], samples: Sequence[Sample], first: int, ragged: bool) -> None:
    """Write a shard; see `ShardLayout`."""
    places = []
    with tarfile.open(files[".tar"], mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for number, sample in enumerate(samples, first):
            begin = archive.offset
            for name, content in _members(sample):
                member = tarfile.TarInfo(f"{number:08d}.{name}")  # no owner and no time: equal videos give equal bytes
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            places.append([begin, archive.offset])
    lengths = [len(sample.frames) for sample in samples]
    files[".index.json"].write_text(json.dumps({"first": first, "places": places, "lengths": lengths}) + "\n")


def _members(sample: Sample) -> Iterator[tuple[str, bytes]]:
    for t, frame in enumerate(sample.frames):
        if len(frame) not in (1, 3):
            problem = f"PNG files have 1 or 3 channels; the frames have {len(frame)}."
            raise InputError("--format webdataset", problem, "Use --format npy or hdf5.")
        yield f"frame{t:04d}.png", _png(frame[0] if len(frame) == 1 else np.moveaxis(frame, 0, -1))
    for t, ids in enumerate(() if sample.ids is None else sample.ids):
        kind = np.dtype(np.uint8 if ids.max(initial=0) < 255 else np.uint16)
        if ids.min(initial=0) < -1 or ids.max(initial=0) >= 65535:
            raise InputError("--format webdataset", "PNG files hold ids from -1 to 65534.", "Use --format npy or hdf5.")
        yield f"ids{t:04d}.png", _png(np.where(ids < 0, _IGNORE[kind], ids).astype(kind))
    large, small, others = _parts(flatten(sample.extras))
    for name, array in large.items():
        file = io.BytesIO()
        np.save(file, array, allow_pickle=False)
        yield f"{name.replace('/', _NESTED)}.npy", file.getvalue()
    types = {name: [array.dtype.str, list(array.shape)] for name, array in small.items()}
    listed = {name: array.tolist() for name, array in small.items()}
    content = {"frames": len(sample.frames), "factors": listed, "types": types, "others": others}
    yield "json", json.dumps(content).encode()


def _parts(flat: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, Any]]:
    """Return large arrays, small arrays that lists keep exactly, and the rest encoded."""
    large, small, others = {}, {}, {}
    for name, value in flat.items():
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "biufU":
            others[name] = encode(value)
        elif value.size > _MOST_LISTED or (value.dtype.itemsize > 8 and value.dtype.kind == "f"):
            large[name] = value
        else:
            small[name] = value
    return large, small, others


def _png(image: np.ndarray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def read(files: Mapping[str, Path]) -> WebdatasetRows:
    """Open a shard, from its files by suffix; see `layouts.ShardLayout`."""
    return WebdatasetRows(files)


class WebdatasetRows:
    """A shard, of which one video at a time is read; see `layouts.ShardRows`."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        index = read_json_mapping(files[".index.json"], "the index of a shard", "Make the shard again.")
        self._path, self._first = files[".tar"], index["first"]
        self._places, self._lengths = index["places"], index["lengths"]

    def __len__(self) -> int:
        return len(self._places)

    def length(self, row: int) -> int:
        """Return the number of frames of a video."""
        return int(self._lengths[row])

    def sample(self, row: int, span: Span) -> Sample:
        """Return one video or a part of it."""
        members = self._members(row)
        time = range(self.length(row))[span.first : span.stop]
        frames = np.stack([_channels(png_pixels(members[f"frame{t:04d}.png"])) for t in time])
        ids = None
        if "ids0000.png" in members:
            ids = np.stack([_ids(png_pixels(members[f"ids{t:04d}.png"])) for t in time])
        extras: dict[str, Any] = {}
        if span.extras:
            content = _listed(members)
            large = [member.removesuffix(".npy").replace(_NESTED, "/") for member in members if member.endswith(".npy")]
            names = [*content["others"], *content["factors"], *large]
            extras = unflatten({name: span.cut(name, _extra(members, name, content)) for name in names})
        return Sample(frames, ids, extras)

    def extra(self, row: int, name: str, span: Span) -> Any:
        """Return one extra of a video; see `layouts.ShardRows`."""
        value = _extra(self._members(row), name)
        return None if value is None else span.cut(name, value)

    def _members(self, row: int) -> dict[str, bytes]:
        """Return the files of one video by their names without its number."""
        begin, end = self._places[row]
        with self._path.open("rb") as file:
            file.seek(begin)
            content = file.read(end - begin)
        if len(content) < end - begin:
            raise EOFError(f"{self._path.name} ends early")
        members = {}
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for member in archive:
                stream = archive.extractfile(member)
                members[member.name.partition(".")[2]] = stream.read() if stream else b""
        return members


def png_pixels(content: bytes) -> np.ndarray:
    """Return the pixels of a PNG file, shape (H, W) or (H, W, C)."""
    with image_file(io.BytesIO(content)) as image:
        return np.asarray(image)


def _channels(image: np.ndarray) -> np.ndarray:
    return image[None] if image.ndim == 2 else np.moveaxis(image, -1, 0)


def _ids(image: np.ndarray) -> np.ndarray:
    ignored = _IGNORE[np.dtype(np.uint8 if image.dtype == np.uint8 else np.uint16)]
    ids = image.astype(np.int64)
    ids[ids == ignored] = -1
    return ids


def _listed(members: Mapping[str, bytes]) -> dict[str, Any]:
    return dict(parse_json(members["json"], "shard", "extras of a sample", "Make the folder again."))


def _extra(members: Mapping[str, bytes], name: str, content: Mapping[str, Any] | None = None) -> Any:
    """Return one flattened extra, all of it, None where there is none; `content` is the JSON file where it is read."""
    member = members.get(f"{name.replace('/', _NESTED)}.npy")
    if member is not None:
        return np.load(io.BytesIO(member), allow_pickle=False)
    content = _listed(members) if content is None else content
    if name in content["factors"]:
        kind, shape = content["types"][name]
        return np.array(content["factors"][name], np.dtype(kind)).reshape(shape)
    return decode(content["others"].get(name))
