"""Decoding of a member of a shard; of arrays and videos only the frames that are asked for. Nothing is unpickled."""

from __future__ import annotations

import gzip
import io
import math
import tempfile
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from scenewise.documents import parse_json
from scenewise.errors import InputError
from scenewise.media.files import reading
from scenewise.media.images import image_file
from scenewise.media.npy import check_archive, check_worth, read_header, unpacked_gzip
from scenewise.media.reader import Selection
from scenewise.media.video import VideoFileReader

if TYPE_CHECKING:
    from scenewise.data.containers.tar_index import Member

_HEAD = 4096  # bytes in which the head of an array lies, also where it is packed
_REMEDY = "Get or copy the shard again, or leave the field out by extras."
_IMAGES = ("png", "jpg", "jpeg", "webp", "bmp")

ENCODINGS = ("npy", "npy.gz", "npz", "json", "json.gz", "txt", *_IMAGES, "mp4")
"""What can be decoded, by what a field's name ends with."""


def named(field: str) -> tuple[str, str]:
    """Return name and encoding of a field: video.npy.gz is (video, npy.gz)."""
    name, _, encoding = field.partition(".")
    return (name, encoding.lower()) if encoding else (name, name.lower())


def array_head(member: Member) -> tuple[tuple[int, ...], np.dtype]:
    """Return shape and element type of an npy or npy.gz member, reading little of it.

    Raises:
        InputError: It is none.
    """
    content = member.content(_HEAD)
    with reading(member.where, "a NumPy array", _REMEDY):
        if content[:2] == b"\x1f\x8b":  # gzip: its beginning, as far as it is there
            content = zlib.decompressobj(wbits=31).decompress(content, _HEAD)
        shape, _, dtype = _head(io.BytesIO(content))
    return shape, dtype


def decode(member: Member, span: range | None = None) -> Any:
    """Return what a member holds.

    Args:
        member: Where it is.
        span: Which frames of an array or a video are wanted; None: all.

    Returns:
        An array; a mapping of arrays (npz); what JSON holds; text; pixels (H, W, C); or frames (T, H, W, 3) of an mp4.

    Raises:
        InputError: It is damaged, holds pickled objects, or its encoding is not known.
    """
    encoding = named(member.name.rpartition("/")[2].partition(".")[2])[1]
    if encoding not in ENCODINGS:
        problem = f"expected one of {', '.join(ENCODINGS)}, found {encoding}."
        raise InputError(member.where, problem, "Pickled and unknown members are never read; leave it out.")
    if encoding == "mp4":
        return _film(member, span)
    with reading(member.where, f"whole {encoding} content", _REMEDY):
        if encoding == "npy":
            return _plain_array(member, span)
        if encoding == "npy.gz":
            content = member.content()
            shape, _, dtype = _head(gzip.GzipFile(fileobj=io.BytesIO(content)))
            check_worth(math.prod(shape) * dtype.itemsize, len(content), member.where)
            return _array(gzip.GzipFile(fileobj=io.BytesIO(content)), span)
        return _small(member.content(), encoding, member.where)


def _small(content: bytes, encoding: str, where: object) -> Any:
    if encoding.endswith(".gz"):
        content, encoding = unpacked_gzip(content, where), encoding.removesuffix(".gz")
    if encoding == "json":
        return parse_json(content, where, "whole JSON content", _REMEDY)
    if encoding == "txt":
        return content.decode()
    if encoding == "npz":
        check_archive(io.BytesIO(content), where)
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    with image_file(io.BytesIO(content)) as image:
        if image.mode in ("P", "L", "1", "I") or image.mode.startswith("I;16"):  # values as stored
            return np.asarray(image)[..., None]
        return np.asarray(image.convert("RGB"))


def _plain_array(member: Member, span: range | None) -> np.ndarray:
    with member.path.open("rb") as file:
        file.seek(member.first)
        shape, _, dtype = _head(file)
        length = file.tell() - member.first
        expected = length + math.prod(shape) * dtype.itemsize
        if expected != member.size:
            raise InputError(member.where, f"expected {expected} bytes, found {member.size}.", _REMEDY)
        file.seek(member.first)
        return _array(file, span)


def _array(file: Any, span: range | None) -> np.ndarray:
    """Read an array at the place where a file is, or a span of its first axis."""
    shape, fortran, dtype = _head(file)
    if fortran or not shape:
        whole = _values(file, shape[::-1], dtype).T
        return whole if span is None else whole[span.start : span.stop]
    if span is None:
        return _values(file, shape, dtype)
    if span.stop > shape[0]:
        raise ValueError(f"expected frames to {span.stop - 1}, found {shape[0]} in shape {shape}")
    file.seek(file.tell() + span.start * math.prod(shape[1:]) * dtype.itemsize)
    return _values(file, (len(span), *shape[1:]), dtype)


def _values(file: Any, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    length = math.prod(shape) * dtype.itemsize
    content = file.read(length)
    if len(content) < length:
        raise EOFError(f"the array breaks off after {len(content)} of {length} bytes")
    return np.frombuffer(content, dtype).reshape(shape)


def _head(file: IO[bytes] | gzip.GzipFile) -> tuple[tuple[int, ...], bool, np.dtype]:
    shape, fortran, dtype = read_header(file)
    if dtype.hasobject:
        raise ValueError("it holds pickled objects, which are never read")
    return shape, fortran, dtype


def _film(member: Member, span: range | None) -> np.ndarray:
    """Decode an mp4 from a copy that is deleted at once, since decoders want a file of their own."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "film.mp4"
        copy.write_bytes(member.content())
        selection = Selection() if span is None else Selection(start=span.start, stop=span.stop)
        try:
            with VideoFileReader(copy, selection) as reader:
                images = np.stack([frame.image for frame in reader])
        except InputError as error:
            raise InputError(member.where, error.problem, _REMEDY) from error  # which names the shard
    if span is not None and len(images) != len(span):
        problem = f"expected frames {span.start} to {span.stop - 1}, found {len(images)} of them."
        raise InputError(member.where, problem, "Set frames to what the videos have.")
    return images


def film_length(member: Member) -> int:
    """Return the number of frames of an mp4, whatever its head tells."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "film.mp4"
        copy.write_bytes(member.content())
        return VideoFileReader(copy, Selection()).frame_count()
