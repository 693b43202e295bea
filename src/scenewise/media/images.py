"""Image files of any mode as uint8 RGB, upright; what stands beside the pixels in them stops nothing."""

from __future__ import annotations

import io
import os
import zlib
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from scenewise.errors import InputError
from scenewise.media.content import advice
from scenewise.media.files import check_readable, describe, reading
from scenewise.media.pixels import to_rgb, to_uint8

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

T = TypeVar("T")

REMEDY = "Remove or replace it."

_KINDS = ("PNG", "JPEG", "BMP", "DIB", "TIFF", "GIF", "WEBP", "AVIF", "PPM", "JPEG2000")
_BY_ENDING = {".png": ("PNG",), ".jpg": ("JPEG",), ".jpeg": ("JPEG",)}
_ORIENTATION = 274  # EXIF tag
_SIDEWAYS = (5, 6, 7, 8)  # orientations that swap height and width
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
# What pixels need; all other chunks of a PNG, and segments of a JPEG, may be damaged or odd. eXIf tells what is up.
_PNG_CHUNKS = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"acTL", b"fcTL", b"fdAT", b"eXIf"}
_JPEG_EXTRAS = {0xFE, *range(0xE0, 0xF0)} - {0xEE}  # comments and application data, without what tells the colours
_JPEG_SCAN = 0xDA
_LARGEST_MENDED = 1 << 28  # bytes of a file that is read again without its damaged tags


@dataclass(frozen=True)
class StoredImage:
    """An image, and what of its values was stored.

    Attributes:
        pixels: uint8, shape (H, W, 3), upright.
        brightest: Its largest stored value, None where values of 8 bits or floats are stored.
        full: The largest value there can be.
        pictures: How many pictures the file holds, as far as it has been asked.
    """

    pixels: np.ndarray
    brightest: int | None = None
    full: int = 255
    pictures: int = 1


def image_file(source: Path | io.BytesIO) -> Any:
    """Open an image file of a kind that is read here, as Pillow's object.

    Pillow has decoders that start other programs (EPS) or look through gigabytes for a picture; they are left out.

    Raises:
        InputError: It is a JPEG of gigabytes, through which Pillow looks byte by byte.
    """
    from PIL import Image

    if not isinstance(source, io.BytesIO) and (size := os.stat(source).st_size) > _LARGEST_MENDED:
        with open(source, "rb") as raw:
            if raw.read(2) == _JPEG:
                raise InputError(source, f"is larger than any JPEG image ({size >> 20} MiB).", REMEDY)
    likely = () if isinstance(source, io.BytesIO) else _BY_ENDING.get(os.path.splitext(source)[1].lower(), ())
    return Image.open(source, formats=(*likely, *_KINDS))  # Pillow imports no other decoder where that one fits


def read_image(path: Path) -> StoredImage:
    """Read the first picture of an image file.

    Raises:
        InputError: It is missing, empty, broken, or of a mode without a known range.
    """
    return _with_image(path, _first)


def _first(file: Any, path: Path) -> StoredImage:
    image = stored_image(file, path)
    if not getattr(file, "is_animated", False):
        return image
    with suppress(Exception):  # the list of pages is cut off
        return replace(image, pictures=int(file.n_frames))
    return replace(image, pictures=2)


def stored_image(file: Any, path: Path) -> StoredImage:
    """Return the picture at which an open file of Pillow stands.

    Raises:
        InputError: It is of a mode without a known range.
    """
    # Before it is loaded Pillow tells whether what it brings to 8 bits is stored in 16.
    deep = any(";16" in str(part) for tile in getattr(file, "tile", ()) for part in tile[3:])
    kind = file.format
    file.load()
    image = _upright(file)
    if image.mode.startswith("I;16") or (image.mode == "I" and kind == "PNG"):
        values = np.asarray(image).astype(np.uint32)
        pixels = to_rgb(((values * 255 + 32767) // 65535).astype(np.uint8)[..., None])
        return StoredImage(pixels, int(values.max(initial=0)), 65535)
    if image.mode in ("I", "F"):
        return StoredImage(to_rgb(to_uint8(np.asarray(image), path)[..., None]))
    if image.has_transparency_data:
        pixels = to_rgb(np.asarray(image.convert("RGBA")))
    else:
        pixels = np.asarray(image.convert("RGB"))
    return StoredImage(pixels, int(pixels.max(initial=0)) if deep else None)


def image_size(path: Path) -> tuple[int, int]:
    """Return (H, W) of an image file, upright, without decoding pixels.

    Raises:
        InputError: As `read_image`.
    """
    return _with_image(path, _size)


def _size(file: Any, path: Path) -> tuple[int, int]:
    sideways = orientation(file) in _SIDEWAYS and file.format != "TIFF"  # Pillow itself turns these
    return (file.width, file.height) if sideways else (file.height, file.width)


def _with_image(path: Path, read: Callable[[Any, Path], T]) -> T:
    """Return what `read` makes of an image file; one whose tags are damaged is read without them."""
    from PIL import Image

    check_readable(path)
    with reading(path, "an image", REMEDY):
        try:
            with image_file(path) as file:
                return read(file, path)
        except (InputError, Image.DecompressionBombError, PermissionError):
            raise
        except Exception as error:
            with path.open("rb") as raw:
                can_mend = raw.read(len(_PNG)).startswith((_PNG, _JPEG)) and path.stat().st_size <= _LARGEST_MENDED
            content = path.read_bytes() if can_mend else b""
            needed = essential(content)
            if needed == content:
                raise _no_image(path, error) from error
            try:
                with image_file(io.BytesIO(needed)) as file:
                    return read(file, path)
            except Exception:
                raise _no_image(path, error) from error


def _no_image(path: Path, error: Exception) -> InputError:
    kind, remedy = advice(path, REMEDY)
    return InputError(path, f"expected an image; found: {kind or describe(error)}.", remedy)


def essential(content: bytes) -> bytes:
    """Return a PNG or JPEG file without tags, comments and profiles; other content as it is.

    Examples:
        >>> chunk = lambda name: (0).to_bytes(4, "big") + name + zlib.crc32(name).to_bytes(4, "big")
        >>> damaged = (0).to_bytes(4, "big") + b"iTXt" + b"????"
        >>> essential(_PNG + damaged + chunk(b"IEND")) == _PNG + chunk(b"IEND")
        True
    """
    if content.startswith(_PNG):
        return _PNG + b"".join(_png_chunks(content))
    return b"".join(_jpeg_segments(content)) if content.startswith(_JPEG) else content


def _png_chunks(content: bytes) -> Iterator[bytes]:
    place = len(_PNG)
    while place + 12 <= len(content):
        stop = place + 12 + int.from_bytes(content[place : place + 4], "big")
        name = content[place + 4 : place + 8]
        whole = zlib.crc32(content[place + 4 : stop - 4]).to_bytes(4, "big") == content[stop - 4 : stop]
        if name in _PNG_CHUNKS and (whole or name != b"eXIf"):
            yield content[place:stop]
        place = stop


def _jpeg_segments(content: bytes) -> Iterator[bytes]:
    yield _JPEG
    place = len(_JPEG)
    while place + 4 <= len(content) and content[place] == 0xFF:
        kind = content[place + 1]
        if kind == _JPEG_SCAN:
            break
        stop = place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        if kind not in _JPEG_EXTRAS:
            yield content[place:stop]
        place = stop
    yield content[place:]


def orientation(image: Any) -> int:
    """Return how an image lies by its EXIF tag, 1 where it is upright or its tags cannot be read."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # tags are parsed only now, and damaged ones raise every kind of error
        return 1


def _upright(image: Any) -> Any:
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    turn = turns.get(orientation(image))
    return image if turn is None else image.transpose(turn)
