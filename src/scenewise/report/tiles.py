"""The pictures of one frame, packed into three sheets: tiles of equal size, one below the other.

The scene sheet (PNG) holds what was seen and the reconstruction; the grey sheet (PNG) holds labels, uncertainty, true
ids and every slot's mask as byte values; the appearance sheet is a JPEG, because appearances are smooth: a third of the
bytes and a twentieth of the time of a PNG, at most about 5 of 255 off.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scenewise.decomposition import FrameResult

LONGEST_SIDE = 256
"""Pictures with a longer side are shrunk by a whole factor."""

_COLOUR_STEP = 3
"""Colours of the scene keep every third of 256 levels, 0 and 255 among them: at most 1 off, and a third smaller."""

_SHARE_STEP = 5
"""Masks and uncertainty keep every fifth of 256 levels, 0 and 255 among them."""

IGNORED = 255
"""Byte that stands for pixels without a true id."""

_RUNS = 128
"""Width in pixels up to which grey pictures are stored without differences to neighbours."""

_JPEG_BLOCK = 8
"""Appearance tiles are padded to whole JPEG blocks, so that none bleeds into the next."""


@dataclass(frozen=True)
class Sheets:
    """One frame as the page shows it.

    Attributes:
        position: How many frames came before it.
        index: The frame's own number in its video.
        time_s: Its time in seconds, None where unknown.
        predicted: Whether the model did not see it.
        seen: Whether there is an input, or a true future where it is predicted.
        truth: Whether there are true ids.
        mse: Reconstruction error, None where there is none.
        peak: The uncertainty that a grey value of 255 stands for.
        factor: How much the pictures are shrunk.
        scene: The frame and its reconstruction, PNG, RGB, height 2 H.
        grey: Labels, true ids, uncertainty and masks, PNG, grey, height (3 + K) H.
        appearance: Of each slot, JPEG, RGB.
        area: Share of the pixels that each slot owns, shape (K,).
    """

    position: int
    index: int
    time_s: float | None
    predicted: bool
    seen: bool
    truth: bool
    mse: float | None
    peak: float
    factor: int
    scene: bytes
    grey: bytes
    appearance: bytes
    area: np.ndarray

    @property
    def bytes(self) -> int:
        """Size of the three sheets."""
        return len(self.scene) + len(self.grey) + len(self.appearance)


def pack(frame: FrameResult, position: int, factor: int, area: np.ndarray) -> Sheets:
    """Pack a frame's pictures, shrunk by a whole factor; this is where its uncertainty is computed."""
    reconstruction = frame.picture
    seen = np.zeros_like(reconstruction) if frame.seen is None else frame.seen
    ids = np.full(frame.labels.shape, IGNORED, np.uint8) if frame.ids is None else ids_as_bytes(frame.ids)
    spread = np.nan_to_num(mean_blocks(frame.uncertainty[None, ..., None].astype(float), factor)[..., 0], posinf=0.0)
    peak = float(spread.max(initial=0.0))
    masks = mean_blocks(frame.masks[..., None].astype(float), factor)[..., 0]
    shares = _levels(np.concatenate([spread / (peak or 1.0), masks]), _SHARE_STEP)  # (1 + K, H, W)
    labels = np.stack([pick(frame.labels, factor), pick(ids, factor)])
    scene = mean_blocks(np.stack([seen, reconstruction]), factor)
    appearance = mean_blocks(frame.appearance, factor)
    missing = padded(appearance.shape[1]) - appearance.shape[1]
    appearance = np.pad(appearance, ((0, 0), (0, missing), (0, 0), (0, 0)), mode="edge")
    return Sheets(
        position=position,
        index=int(frame.index),
        time_s=finite(frame.time_s),
        predicted=bool(frame.predicted),
        seen=frame.seen is not None,
        truth=frame.ids is not None,
        mse=finite(frame.mse),
        peak=peak,
        factor=factor,
        scene=_encode(_levels(scene / 255, _COLOUR_STEP), "PNG", compress_level=5),
        grey=_grey_png(np.concatenate([labels, shares])),
        appearance=_encode(appearance, "JPEG", quality=90, subsampling=0),
        area=area,
    )


def photograph(image: np.ndarray, scale: float = 1.0) -> bytes:
    """Return a picture of the source, uint8, shape (h, w, 3), as JPEG, its sides scaled down."""
    from PIL import Image

    if scale < 1:
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))
    return _encode(image[None], "JPEG", quality=80)


def ids_as_bytes(ids: np.ndarray) -> np.ndarray:
    """Return ids as uint8: 255 for pixels to ignore, and for the few scenes with ids beyond 254."""
    return np.where((ids < 0) | (ids >= IGNORED), IGNORED, ids).astype(np.uint8)


def shrink_factor(size: tuple[int, int]) -> int:
    """Return the whole factor that brings the longer side of (H, W) down to `LONGEST_SIDE`."""
    return -(-max(size) // LONGEST_SIDE)


def mean_blocks(images: np.ndarray, factor: int) -> np.ndarray:
    """Shrink images (..., H, W, C) to (..., ceil(H / factor), ceil(W / factor), C) by block means, keeping the type."""
    if factor == 1:
        return images
    height, width = images.shape[-3:-1]
    rows, columns = np.arange(0, height, factor), np.arange(0, width, factor)
    sums = np.add.reduceat(np.add.reduceat(images.astype(float), rows, axis=-3), columns, axis=-2)
    count = np.diff([*rows, height])[:, None] * np.diff([*columns, width])[None, :]
    means = sums / count[..., None]
    return np.round(means).astype(images.dtype) if images.dtype == np.uint8 else means


def pick(labels: np.ndarray, factor: int) -> np.ndarray:
    """Shrink labels (H, W) to (ceil(H / factor), ceil(W / factor)): the middle pixel of each block."""
    rows, columns = (np.minimum(np.arange(0, n, factor) + factor // 2, n - 1) for n in labels.shape)
    return labels[rows[:, None], columns[None, :]]


def finite(value: float | None) -> float | None:
    """Return a plain float, or None where it is missing, infinite or not a number."""
    return float(value) if value is not None and np.isfinite(value) else None


def padded(height: int) -> int:
    """Return the height of an appearance tile."""
    return -(-height // _JPEG_BLOCK) * _JPEG_BLOCK


def _levels(shares: np.ndarray, step: int) -> np.ndarray:
    """Return shares in [0, 1] as byte values, rounded to a step that divides 255."""
    return (np.round(np.nan_to_num(shares).clip(0.0, 1.0) * (255 // step)) * step).astype(np.uint8)


def _grey_png(tiles: np.ndarray) -> bytes:
    """Encode tiles (N, H, W) as one grey picture, the tiles one below the other.

    Small masks are mostly runs of one value, which differences to neighbours, as Pillow stores them, only hide: without
    they are smaller, in half of the time. Large ones are smooth, and there differences pay.
    """
    if tiles.shape[2] > _RUNS:
        return _encode(tiles, "PNG", compress_level=6)
    sheet = tiles.reshape(-1, tiles.shape[2])
    packer = zlib.compressobj(6, memLevel=9)
    rows = packer.compress(np.pad(sheet, ((0, 0), (1, 0))).tobytes()) + packer.flush()  # 0 before each: no differences
    head = struct.pack(">IIBBBBB", sheet.shape[1], len(sheet), 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", rows), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


def _encode(tiles: np.ndarray, kind: str, **options: int) -> bytes:
    """Encode tiles (N, H, W) or (N, H, W, 3) as one picture with the tiles one below the other."""
    from PIL import Image

    sheet = np.ascontiguousarray(tiles.reshape(-1, *tiles.shape[2:]))  # (N H, W, ...)
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, format=kind, **options)
    return buffer.getvalue()
