"""Colours of slots, and images of ids that any viewer shows in colour."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np

from scenewise.errors import InputError
from scenewise.media.files import check_readable, reading, write_atomically
from scenewise.media.pixels import to_grey

_STRENGTH = 0.75  # of a slot's colour, over the brightness of the image

# The first 8 are the colour-blind safe set of Okabe and Ito with grey for black; each further one is the RGB colour
# farthest in CIELAB from all before it (no two are closer than 23).
_HEX = (
    "E69F00 56B4E9 009E73 F0E442 0072B2 D55E00 CC79A7 999999 0000FF 00FF00 FF00DD 552299 FF0066 555500 99FF88 771122 "
    "FFAA88 00FFFF 004444 338800 EEEEAA CC88FF 553355 AA44FF BBFF00 FF0022 0077FF BB1188 FFDDFF BBEEEE 00FFBB 995522 "
    "DD5555 99AA44 005522 55CC11 554433 0022CC AAFFCC AAAAFF 990000 AA9966 224499 44AAAA FF6699 FF77DD AA6666 EEBB66 "
    "00FF77 997700 8866AA AA22BB FFDDCC 00BB55 771155 99BB00 668866 1199FF BB0055 114466 FF0099 447788 CCEE77 11DDFF"
)

SLOT_COLOURS: tuple[tuple[int, int, int], ...] = tuple(
    (int(text[:2], 16), int(text[2:4], 16), int(text[4:], 16)) for text in _HEX.split()
)
"""RGB in 0..255 of slots 0 to 63."""


def voc_palette() -> np.ndarray:
    """Return the palette of PASCAL VOC and DAVIS masks, uint8, shape (256, 3); id 0 is black.

    Examples:
        >>> voc_palette()[:4].tolist()
        [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    """
    ids = np.arange(256)
    bits = [[(ids >> (3 * place + channel)) & 1 for channel in range(3)] for place in range(3)]
    return sum(np.stack(row, 1) << (7 - place) for place, row in enumerate(bits)).astype(np.uint8)  # type: ignore[union-attr]


def write_palette_png(path: str | Path, ids: np.ndarray) -> None:
    """Write an image of ids: 8-bit palette PNG (VOC colours) up to id 255, 16-bit grey PNG above.

    Args:
        path: The file to write; it is complete or absent.
        ids: Integers from 0 to 65535, shape (H, W).

    Raises:
        InputError: The ids are of another shape or range, or the file cannot be written.

    Examples:
        >>> write_palette_png("ids.png", np.array([[0, 1], [2, 255]]))
        >>> read_palette_png("ids.png").tolist()
        [[0, 1], [2, 255]]
        >>> write_palette_png("ids.png", np.array([[-1, 0]]))
        Traceback (most recent call last):
        ...
        scenewise.errors.InputError: ids.png: expected ids from 0 to 65535; found -1 to 0.
    """
    from PIL import Image

    ids = np.asarray(ids)
    if ids.ndim != 2 or ids.dtype.kind not in "iub" or not ids.size:
        raise InputError(path, f"expected integer ids of shape (H, W); found {ids.dtype} {ids.shape}.")
    if ids.min() < 0 or ids.max() > 65535:
        raise InputError(path, f"expected ids from 0 to 65535; found {ids.min()} to {ids.max()}.")
    if ids.max() > 255:
        image = Image.fromarray(ids.astype(np.uint16))
    else:
        image = Image.fromarray(ids.astype(np.uint8), "L")
        image.putpalette(voc_palette().tobytes())
    encoded = BytesIO()
    image.save(encoded, "PNG", compress_level=1)
    write_atomically(path, encoded.getvalue())


def read_palette_png(path: str | Path) -> np.ndarray:
    """Read an image of ids: palette indices, or the values of a grey image of 8 or 16 bits.

    Args:
        path: A PNG file.

    Returns:
        int64, shape (H, W).

    Raises:
        InputError: It cannot be read, or holds colours in place of ids.
    """
    from PIL import Image

    path = Path(path)
    check_readable(path)
    with reading(path, "a PNG image of ids", "Write it again."), Image.open(path) as image:
        if image.mode not in ("P", "L", "1", "I") and not image.mode.startswith("I;16"):
            problem = f"expected a palette or grey image of ids; found mode {image.mode}."
            raise InputError(path, problem, "Convert its colours to ids first.")
        return np.asarray(image).astype(np.int64)


def slot_colours(slots: int) -> np.ndarray:
    """Return one colour per slot, float in 0..255, shape (K, 3); they repeat beyond 64.

    Examples:
        >>> slot_colours(2).astype(int).tolist()
        [[230, 159, 0], [86, 180, 233]]
    """
    return np.array(SLOT_COLOURS, float)[np.arange(slots) % len(SLOT_COLOURS)]


def tinted(image: np.ndarray, masks: np.ndarray, background: int | None = None) -> np.ndarray:
    """Lay the slots' colours over an image as strongly as their masks are.

    Args:
        image: uint8, shape (H, W, 3).
        masks: Shape (K, H, W), in [0, 1].
        background: A slot to leave as it is.

    Returns:
        uint8, shape (H, W, 3).
    """
    weights = masks.copy()
    if background is not None:
        weights[background] = 0
    colour = np.einsum("khw,kc->hwc", weights, slot_colours(len(masks)))
    covered = weights.sum(0)[..., None]
    grey = to_grey(image) * ((1 - _STRENGTH) * covered)  # its own colour would mix with the slot's
    return np.clip(np.rint(image * (1 - covered) + grey + _STRENGTH * colour), 0, 255).astype(np.uint8)
