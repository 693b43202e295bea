"""Multi-dSprites: images of squares, ellipses and hearts that hide each other, made on the fly with exact ground truth.

Three sources after the public set (DeepMind's Multi-Object Datasets; MONet, arXiv 1901.11390; IODINE, 1903.00450):

- `multi-dsprites`: 2 to 5 sprites of random HSV colour on grey of random brightness;
- `multi-dsprites-binarized`: 2 or 3 white sprites on black, one channel, hard edges;
- `multi-dsprites-coloured`: 1 to 4 sprites of random RGB colour on a random RGB colour. For GENESIS's set of five
  levels per channel set `colours=levels background=levels antialias=false` (and `distinct_colours` for its "unique").

What differs from the originals: positions, scales and orientations are continuous (dSprites: 32 x 32, 6 and 40 values);
edges are soft unless `antialias=false`; shapes are redrawn (see `drawing`); the ranges of saturation and value
are ours, the public set says only "HSV". Later sprites lie in front; as in GENESIS's set a sprite may be hidden
altogether, `min_visible` rejects such images. The public set's `visibility` only says which sprites exist, ours is the
share of a sprite's pixels that is seen.

An image is determined by (seed, split, index), whatever batch it is made in.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.data.contract import Description, Facts, ObjectKeys, Sample, register_source
from scenewise.data.generated.base import GeneratedSource
from scenewise.data.generated.sprites.drawing import SHAPES, SIDE, Sprites, draw, seen
from scenewise.data.generated.sprites.settings import DRAWS, SpritesConfig, of_draws
from scenewise.data.splits import uniform
from scenewise.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

_LENGTHS = {"train": 60_000, "validation": 10_000, "test": 10_000}  # IODINE trains on 60,000
_TRIES = 200  # images drawn for one in which enough of every sprite is seen
_NAMES = np.array(SHAPES)


@dataclass(frozen=True)
class SpritesImages:
    """N images with all that is known of them; n is the largest number of sprites.

    Attributes:
        frames: uint8, shape (N, 1, C, H, W).
        ids: uint8, shape (N, 1, H, W): 0 background, place of the sprite + 1.
        sprites: What was drawn, back to front.
        masks: Whole sprites, hidden parts included, bool, shape (N, n, H, W); None where they were not asked for.
    """

    frames: np.ndarray
    ids: np.ndarray
    sprites: Sprites
    masks: np.ndarray | None = None


class SpritesSource(GeneratedSource[SpritesImages]):
    """Sprites, made when asked for; every video is one frame.

    Extras hold, of every sprite: shapes (names), x and y (0 to 1 between the margins), scales, orientations
    (radians), colours (RGB), depths (0 in front), visibility (share of its own pixels that is seen) and amodal
    (whole masks, shape (n, H, W)); and the background's colour.

    Args:
        config: What to make.
        split: Which random streams to use; splits share no image.
        name: Name of the source, for messages.
    """

    config_class = SpritesConfig
    kind = "sprites"
    lengths = _LENGTHS
    object_keys = ObjectKeys(
        shape="shapes",
        colour="colours",
        size="scales",
        position="x+y",
        orientation="orientations",
        depth="depths",
        visibility="visibility",
        amodal="amodal",
    )

    def __init__(self, config: SpritesConfig, split: str = "train", name: str = "multi-dsprites") -> None:
        super().__init__(config, split, name)
        self.facts = Facts(
            channels=config.channels,
            size=(config.size, config.size),
            frames=1,
            max_objects=config.max_sprites,
            background_ids=(0,),
            overlap="top",
            binary=is_binary(config),
            origin=f"{name} after arXiv 1903.00450 (IODINE), generated with seed {config.seed}",
        )

    def _samples(self, images: SpritesImages) -> list[Sample]:
        masks = np.asarray(images.masks)
        visibility = visible(images.ids[:, 0], masks)
        samples = []
        for row, present in enumerate(images.sprites.shapes >= 0):
            extras = still_extras(images.sprites, self.config, row)
            extras |= {"visibility": visibility[row, present], "amodal": masks[row, present]}
            samples.append(Sample(images.frames[row], images.ids[row].astype(np.int64), extras))
        return samples

    def _make(self, indices: Sequence[int], first: int, stop: int, whole: bool) -> SpritesImages:
        config = self.config
        draws = draw_numbers(config, self.split, indices)
        images = self._draw(draws, whole)
        poor = _hidden(images, config.min_visible)
        for attempt in range(1, _TRIES):
            if not len(poor):
                return dataclasses.replace(images, sprites=of_draws(config, draws))
            draws[poor] = draw_numbers(config, self.split, [indices[at] for at in poor], attempt)
            redrawn = self._draw(draws[poor], whole)
            images.frames[poor], images.ids[poor] = redrawn.frames, redrawn.ids
            if images.masks is not None:
                images.masks[poor] = redrawn.masks
            poor = poor[_hidden(redrawn, config.min_visible)]
        raise InputError(
            "min_visible", f"{config.min_visible} pixels of every sprite are almost never seen.", "Ask for fewer."
        )

    def _draw(self, draws: np.ndarray, whole: bool) -> SpritesImages:
        config = self.config
        sprites = of_draws(config, draws)
        masks = np.zeros((*sprites.shapes.shape, config.size, config.size), bool) if whole else None
        frames, ids = draw(sprites, config.size, config.channels, config.antialias, masks)
        return SpritesImages(frames[:, None], ids[:, None], sprites, masks)


def is_binary(config: SpritesConfig) -> bool:
    """Return whether frames hold only 0 and 255."""
    return config.colours == "white" and config.background == "black" and not config.antialias


def draw_numbers(config: SpritesConfig, split: str, indices: Sequence[int], attempt: int = 0) -> np.ndarray:
    """Return the random numbers of images, those of a later attempt after those of earlier ones, shape (N, DRAWS)."""
    return uniform(config.seed, split, indices, DRAWS, attempt * DRAWS)


def still_extras(sprites: Sprites, config: SpritesConfig, row: int) -> dict[str, Any]:
    """Return what is known of the sprites of one image, the absent ones left out."""
    present = sprites.shapes[row] >= 0
    places = (sprites.centres[row, present] / config.size - config.margin) / max(1 - 2 * config.margin, 1e-9)
    return {
        "shapes": _NAMES[sprites.shapes[row, present]],
        "x": places[:, 0],
        "y": places[:, 1],
        "scales": sprites.sizes[row, present] / (config.size * SIDE),
        "orientations": sprites.angles[row, present],
        "colours": sprites.colours[row, present],
        "depths": np.arange(present.sum())[::-1],
        "background": sprites.backgrounds[row],
    }


def visible(ids: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Return what share of its own pixels is seen of every sprite, shape (N, n).

    Args:
        ids: Of N images, shape (N, H, W).
        masks: Whole masks, bool, shape (N, n, H, W).
    """
    return np.asarray(seen(ids, masks.shape[1]) / np.maximum(np.count_nonzero(masks, (2, 3)), 1))


def _hidden(images: SpritesImages, least: int) -> np.ndarray:
    """Return which images show fewer than `least` pixels of a sprite."""
    if not least:
        return np.zeros(0, np.intp)
    shapes = images.sprites.shapes
    few = (seen(images.ids[:, 0], shapes.shape[1]) < least) & (shapes >= 0)
    return np.flatnonzero(few.any(1))


_FACTORS = ("shape", "x", "y", "scale", "orientation", "colour", "depth", "visibility", "whole mask")

READY: dict[str, dict[str, Any]] = {
    "multi-dsprites": {},
    "multi-dsprites-binarized": {
        "max_sprites": 3,
        "colours": "white",
        "background": "black",
        "antialias": False,
        "channels": 1,
    },
    "multi-dsprites-coloured": {"min_sprites": 1, "max_sprites": 4, "colours": "rgb", "background": "rgb"},
}
"""Ready settings by the name of the source."""

_WHAT = {
    "multi-dsprites": "2 to 5 coloured squares, ellipses and hearts on grey, hiding each other",
    "multi-dsprites-binarized": "2 or 3 white squares, ellipses and hearts on black",
    "multi-dsprites-coloured": "1 to 4 coloured squares, ellipses and hearts on a random colour",
}


for _name, _what in _WHAT.items():
    register_source(
        _name,
        Description(
            what=_what,
            kind="generated",
            paper="MONet (1901.11390), IODINE (1903.00450), Multi-Object Datasets; GENESIS (1907.13052)",
            size="1 frame of 64 x 64, or 16 to 256",
            factors=_FACTORS,
        ),
        READY[_name],
    )(SpritesSource)
