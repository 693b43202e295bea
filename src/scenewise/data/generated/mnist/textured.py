"""Textured MNIST: digits filled with textures over a textured background, made on the fly with exact ground truth.

After the sets that Tagger made (arXiv 1606.06724, Freq20-1MNIST and Freq20-2MNIST) and IODINE uses (1903.00450):
digits are soft masks through which one texture shows before another, so nothing but texture tells them apart.

- `textured-mnist`: two digits; waves, stripes, checks, noise or gradients, no two of a kind in an image;
- `textured-mnist-waves`: Tagger's 20 single-frequency textures alone, as in the papers.

What differs from Tagger's: two textures of an image are never the same (there they may be by chance); a texture begins
anywhere rather than at one of 10 x 10 places; digits are drawn with replacement. Two digits are shifted by 2 pixels
along the diagonal, either in front, as there; with three the third stays in the middle, a single one is not moved.
Ids go by the digit in front that covers more than half of a pixel.

Digits are read from MNIST's files (`images=... labels=...`); without these scikit-learn's small digits are enlarged.
An image is determined by (digits, seed, split, index), whatever batch it is made in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scenewise.config import setting
from scenewise.data.contract import Description, Facts, ObjectKeys, Sample, register_source
from scenewise.data.generated.base import GeneratedSource, joined
from scenewise.data.generated.mnist.digits import LICENCE, OBTAIN, SIDE, DigitSettings, draw_digits, load
from scenewise.data.generated.mnist.textures import GRID, KINDS, WAVES, Textures, paint
from scenewise.data.generated.sprites.colours import pick
from scenewise.data.generated.sprites.drawing import seen
from scenewise.data.splits import uniform
from scenewise.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

_LENGTHS = {"train": 50_000, "validation": 10_000, "test": 10_000}  # as in Tagger
_MOST = 3  # digits
_LAYERS = 1 + _MOST
_SHIFT = 2  # pixels between the middle and a digit
_SHIFTS = {1: (0,), 2: (-_SHIFT, _SHIFT), 3: (-_SHIFT, 0, _SHIFT)}  # by the number of digits
_NAMES = np.array(KINDS)
_HALF = 127  # alpha above which a pixel belongs to a digit
_AT_ONCE = 64  # images drawn together; bounds the memory


@dataclass(frozen=True)
class TexturedMnistConfig(DigitSettings):
    """Settings of the generator of textured digits."""

    min_digits: int = setting(2, "smallest number of digits", minimum=1, maximum=_MOST)
    max_digits: int = setting(2, "largest number of digits", minimum=1, maximum=_MOST)
    textures: tuple[str, ...] = setting(KINDS, "kinds of texture in use", choices=KINDS)
    placement: Literal["diagonal", "anywhere"] = setting(
        "diagonal", "diagonal: 2 pixels off the middle; anywhere inside"
    )
    size: int = setting(SIDE, "height and width in pixels; digits stay 28 x 28", minimum=SIDE, maximum=256)
    seed: int = setting(0, "seed of all images", minimum=0, maximum=2**63 - 1)

    def __post_init__(self) -> None:
        """Check what no single field can know; raises InputError."""
        super().__post_init__()
        if not self.textures or len(set(self.textures)) < len(self.textures):
            raise InputError("textures", f"needs values that differ, at least one; found {list(self.textures)}.")


@dataclass(frozen=True)
class TexturedMnistImages:
    """N images with all that is known of them; n is the largest number of digits.

    Attributes:
        frames: uint8, shape (N, 1, 1, H, W).
        ids: uint8, shape (N, 1, H, W): 0 background, place of the digit + 1.
        masks: Whole digits, bool, shape (N, n, H, W).
        labels: Digits 0 to 9, back to front, shape (N, n); -1 for absent ones.
        corners: Row and column of the digits' 28 x 28 pixels, shape (N, n, 2).
        textures: Places in `KINDS` of the background's and the digits' textures, shape (N, 1 + n).
    """

    frames: np.ndarray
    ids: np.ndarray
    masks: np.ndarray
    labels: np.ndarray
    corners: np.ndarray
    textures: np.ndarray


class TexturedMnistSource(GeneratedSource[TexturedMnistImages]):
    """Textured digits, made when asked for; every video is one frame.

    Extras hold, of every digit: labels, rows and columns (of its 28 x 28 pixels), textures (names), depths (0 in
    front), visibility (share of its pixels that is seen) and amodal (whole masks, shape (n, H, W)); and the
    background's texture.

    Args:
        config: What to make.
        split: Which random streams and digits to use; splits share neither.
        name: Name of the source, for messages.

    Raises:
        InputError: The digits' files are wrong, or there are neither files nor scikit-learn.
    """

    config_class = TexturedMnistConfig
    kind = "textured-mnist"
    lengths = _LENGTHS
    object_keys = ObjectKeys(
        texture="textures",
        label="labels",
        position="columns+rows",
        depth="depths",
        visibility="visibility",
        amodal="amodal",
    )

    def __init__(self, config: TexturedMnistConfig, split: str = "train", name: str = "textured-mnist") -> None:
        super().__init__(config, split, name)
        load(config.files, split)  # now, so that a wrong file is told at once
        self.facts = Facts(
            channels=1,
            size=(config.size, config.size),
            frames=1,
            max_objects=config.max_digits,
            background_ids=(0,),
            overlap="top",
            origin=f"{name} after arXiv 1606.06724 (Tagger), seed {config.seed}, from {config.files.origin}",
        )

    def fingerprint(self) -> str:
        """Return a hash of settings, split, generator version and the contents of the digits' files."""
        return str(self.config.fingerprint(self.kind, self.version, self.split))

    def _samples(self, images: TexturedMnistImages) -> list[Sample]:
        shares = seen(images.ids[:, 0], images.masks.shape[1])
        visibility = shares / np.maximum(np.count_nonzero(images.masks, (2, 3)), 1)
        return [_one(images, row, visibility[row]) for row in range(len(images.ids))]

    def _make(self, indices: Sequence[int], first: int, stop: int, whole: bool) -> TexturedMnistImages:
        parts = [self._part(indices[at : at + _AT_ONCE]) for at in range(0, max(len(indices), 1), _AT_ONCE)]
        return joined(parts)

    def _part(self, indices: Sequence[int]) -> TexturedMnistImages:
        config = self.config
        layers = 1 + config.max_digits
        draws = uniform(config.seed, self.split, indices, 1 + _MOST * 4 + _LAYERS * (8 + GRID**2))
        each = draws[:, 1 : 1 + 4 * _MOST].reshape(-1, 4, _MOST)[:, :, : config.max_digits]
        digits = draw_digits(config, self.split, draws[:, 0], each[:, 0])
        corners = _corners(config, digits.counts, each[:, 1:])
        textures = _textures(config, draws[:, 1 + 4 * _MOST :].reshape(-1, _LAYERS, 8 + GRID**2)[:, :layers])
        painted = paint(textures, config.size).reshape(len(indices), layers, config.size, config.size)
        alphas = _placed(digits.inks, corners, config.size)
        frames, ids = compose(painted, alphas)
        return TexturedMnistImages(
            frames=frames,
            ids=ids,
            masks=alphas > _HALF,
            labels=digits.labels,
            corners=corners,
            textures=textures.kinds.reshape(len(indices), layers),
        )


def _one(images: TexturedMnistImages, row: int, visibility: np.ndarray) -> Sample:
    """Return one of many images; extras are of the digits that are there."""
    present = images.labels[row] >= 0
    names = _NAMES[images.textures[row]]
    extras = {
        "labels": images.labels[row, present],
        "rows": images.corners[row, present, 0],
        "columns": images.corners[row, present, 1],
        "textures": names[1:][present],
        "background": str(names[0]),
        "depths": np.arange(present.sum())[::-1],
        "visibility": visibility[present],
        "amodal": images.masks[row, present],
    }
    return Sample(images.frames[row], images.ids[row].astype(np.int64), extras)


def _corners(config: TexturedMnistConfig, counts: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Return rows and columns (N, n, 2) of digits from their numbers (N,) and draws (N, 3, n)."""
    room = config.size - SIDE
    if config.placement == "anywhere":
        return (draws[:, 1:].transpose(0, 2, 1) * (room + 1)).astype(np.int64)
    corners = np.full((*draws.shape[::2], 2), room // 2)
    for count in range(config.min_digits, config.max_digits + 1):
        images = np.flatnonzero(counts == count)
        places = pick(draws[images, 0, :count], count, True)  # either may be in front
        corners[images, :count] += np.array(_SHIFTS[count])[places][..., None]
    return corners


def _textures(config: TexturedMnistConfig, draws: np.ndarray) -> Textures:
    """Return the textures of all layers, image by image, from draws (N, layers, 8 + GRID ** 2)."""
    number, layers = draws.shape[:2]
    allowed = np.array([KINDS.index(name) for name in config.textures])
    kinds = allowed[pick(draws[..., 0], len(allowed), len(allowed) >= layers)]
    # Layers of one kind are turned against each other, so that they can be told apart.
    turned = (draws[:, :1, 2] + (np.arange(layers) + 0.5 * draws[..., 2]) / layers) % 1
    return Textures(
        kinds=kinds.reshape(-1),
        waves=pick(draws[..., 1], len(WAVES), True).reshape(-1),
        angles=turned.reshape(-1),
        draws=draws[..., 3:8].reshape(-1, 5),
        knots=draws[..., 8:].reshape(number * layers, GRID, GRID),
    )


def _placed(digits: np.ndarray, corners: np.ndarray, size: int) -> np.ndarray:
    """Return digits (N, n, 28, 28) laid at corners (N, n, 2), shape (N, n, size, size); what sticks out is cut."""
    wide = np.zeros((*digits.shape[:2], size + 2 * _SHIFT, size + 2 * _SHIFT), np.uint8)
    images, places = np.indices(digits.shape[:2])[..., None, None]
    along = np.arange(SIDE)
    rows = corners[..., 0, None, None] + _SHIFT + along[:, None]
    columns = corners[..., 1, None, None] + _SHIFT + along
    wide[images, places, rows, columns] = digits
    return wide[..., _SHIFT:-_SHIFT, _SHIFT:-_SHIFT]


def compose(textures: np.ndarray, alphas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return frames (N, 1, 1, H, W) and ids (N, 1, H, W) of textures (N, 1 + n, H, W) and alphas (N, n, H, W)."""
    frame = textures[:, 0]
    ids = np.zeros(frame.shape, np.uint8)
    for at in range(alphas.shape[1]):
        alpha = alphas[:, at]
        frame = frame + alpha.astype(np.float32) / np.float32(255) * (textures[:, at + 1] - frame)
        ids[alpha > _HALF] = at + 1
    frames = np.rint(np.float32(255) * frame).astype(np.uint8)
    return frames[:, None, None], ids[:, None]


READY: dict[str, dict[str, Any]] = {"textured-mnist": {}, "textured-mnist-waves": {"textures": ["waves"]}}
"""Ready settings by the name of the source."""

_WHAT = {
    "textured-mnist": "two digits filled with textures of several kinds over a textured background",
    "textured-mnist-waves": "two digits filled with Tagger's single-frequency textures over another",
}


for _name, _what in _WHAT.items():
    register_source(
        _name,
        Description(
            what=_what,
            kind="generated",
            paper="Tagger (1606.06724), IODINE (1903.00450)",
            size="1 frame of 28 x 28, or up to 256",
            factors=("label", "row", "column", "texture", "depth", "visibility", "whole mask"),
            licence=LICENCE,
            obtain=OBTAIN,
        ),
        READY[_name],
    )(TexturedMnistSource)
