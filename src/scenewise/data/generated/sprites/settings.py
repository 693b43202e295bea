"""Settings of the sprite generators, and the sprites that uniform random numbers stand for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from scenewise.config import setting
from scenewise.data.generated.sprites.colours import NAMED, hsv, levels, pick, rgb
from scenewise.data.generated.sprites.drawing import SHAPES, SIDE, Sprites
from scenewise.errors import InputError, nearest

MOST = 16
"""Largest number of sprites; fixes how many random numbers an image takes."""

DRAWS = 4 + 8 * MOST
"""Random numbers an image takes, whatever its settings, so that settings do not shift what a number stands for."""

_FULL_TURN = 2 * math.pi


@dataclass(frozen=True)
class SpritesConfig:
    """Settings of images of sprites."""

    min_sprites: int = setting(2, "smallest number of sprites", minimum=0, maximum=MOST)
    max_sprites: int = setting(5, "largest number of sprites", minimum=1, maximum=MOST)
    shapes: tuple[str, ...] = setting(SHAPES, "shapes in use", choices=SHAPES)
    min_scale: float = setting(0.5, "smallest scale; 1 is a square of 17 pixels in 64", minimum=0.1, maximum=4.0)
    max_scale: float = setting(1.0, "largest scale", minimum=0.1, maximum=4.0)
    min_angle: float = setting(0.0, "smallest orientation in radians, counter-clockwise", minimum=-7.0, maximum=7.0)
    max_angle: float = setting(_FULL_TURN, "largest orientation in radians", minimum=-7.0, maximum=7.0)
    margin: float = setting(
        0.25,
        "distance of centres from the border as a share of the side; 0.25 as in dSprites",
        minimum=0.0,
        maximum=0.5,
    )
    colours: Literal["hsv", "rgb", "levels", "named", "white"] = setting(
        "hsv",
        "hsv, rgb: uniform there; levels: 5 per channel as GENESIS has them; named: those of `names`; white",
    )
    names: tuple[str, ...] = setting(tuple(NAMED)[:6], "colours in use if colours=named", choices=tuple(NAMED))
    distinct_colours: bool = setting(False, "levels and named: no two sprites (or the background) of one colour")
    saturation: tuple[float, float] = setting((0.5, 1.0), "range if colours=hsv", minimum=0.0, maximum=1.0)
    value: tuple[float, float] = setting((0.5, 1.0), "range if colours=hsv", minimum=0.0, maximum=1.0)
    background: Literal["grey", "black", "rgb", "hsv", "levels"] = setting("grey", "colour behind the sprites")
    hold_out: tuple[tuple[str, str], ...] = setting((), "pairs of shape and colour name (colours=named) set apart")
    hold_out_use: Literal["leave out", "only"] = setting(
        "leave out", "leave out: no sprite is such a pair; only: all are"
    )
    min_visible: int = setting(0, "fewest pixels seen of any sprite; 0: sprites may hide", minimum=0, maximum=1000)
    antialias: bool = setting(True, "soften edges; ids go by the centres of pixels either way")
    channels: Literal[1, 3] = setting(3, "3, or 1 for white sprites on black or grey")
    size: int = setting(64, "height and width in pixels", minimum=16, maximum=256)
    seed: int = setting(0, "seed of all images", minimum=0, maximum=2**63 - 1)

    def __post_init__(self) -> None:
        """Check what no single field can know; raises InputError."""
        for what in ("sprites", "scale", "angle"):
            low, high = getattr(self, f"min_{what}"), getattr(self, f"max_{what}")
            if low > high:
                raise InputError(f"min_{what}", f"is {low}, more than max_{what} = {high}.")
        for name in ("saturation", "value"):
            low, high = getattr(self, name)
            if low > high:
                raise InputError(name, f"needs the smaller value first; found [{low}, {high}].")
        for name in ("shapes", "names"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise InputError(name, f"needs values that differ, at least one; found {list(values)}.")
        if self.channels == 1 and (self.colours != "white" or self.background not in ("black", "grey")):
            raise InputError("channels", "1 channel is for colours=white on black or grey.", "Set channels=3.")
        if self.distinct_colours:
            if self.colours not in ("named", "levels") or self.hold_out:
                raise InputError("distinct_colours", "goes with colours=levels, or colours=named without hold_out.")
            if self.colours == "named" and len(self.names) < self.max_sprites:
                raise InputError("distinct_colours", f"needs {self.max_sprites} names; found {len(self.names)}.")
        self._check_pairs()

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """All pairs of shape and colour name that sprites may have if colours=named."""
        if self.hold_out_use == "only":
            return self.hold_out
        return tuple(
            pair for shape in self.shapes for name in self.names if (pair := (shape, name)) not in self.hold_out
        )

    def _check_pairs(self) -> None:
        if self.hold_out and self.colours != "named":
            raise InputError("hold_out", f"needs colours=named; found colours={self.colours}.")
        for shape, name in self.hold_out:
            if shape not in self.shapes:
                raise InputError("hold_out", f"{shape!r} is not a shape in use.", nearest(shape, self.shapes))
            if name not in self.names:
                raise InputError("hold_out", f"{name!r} is not a colour in use.", nearest(name, self.names))
        if not self.pairs:
            raise InputError("hold_out", "no pair of shape and colour is left.")


def of_draws(config: SpritesConfig, draws: np.ndarray) -> Sprites:
    """Return the sprites that random numbers stand for.

    Args:
        config: Settings.
        draws: Uniform in [0, 1), shape (N, DRAWS).

    Returns:
        Sprites; all fields of absent ones are drawn too, but their shape is -1.
    """
    most = config.max_sprites
    counts = config.min_sprites + (draws[:, 0] * (most - config.min_sprites + 1)).astype(np.int64)
    each = draws[:, 4:].reshape(len(draws), 8, MOST)[:, :, :most]
    shapes, colours, backgrounds = _look(config, each[:, 0], each[:, 5:].transpose(0, 2, 1), draws[:, 1:4])
    shapes[np.arange(most) >= counts[:, None]] = -1
    return Sprites(
        shapes=shapes,
        centres=config.size * (config.margin + (1 - 2 * config.margin) * each[:, 1:3].transpose(0, 2, 1)),
        sizes=config.size * SIDE * (config.min_scale + (config.max_scale - config.min_scale) * each[:, 3]),
        angles=config.min_angle + (config.max_angle - config.min_angle) * each[:, 4],
        colours=colours,
        backgrounds=backgrounds,
    )


def _look(
    config: SpritesConfig, shape: np.ndarray, colour: np.ndarray, behind: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return shapes (N, n), colours (N, n, 3) and backgrounds (N, 3) from draws of shapes (N, n), (N, n, 3), (N, 3)."""
    allowed = np.array([SHAPES.index(name) for name in config.shapes])
    shapes = allowed[(shape * len(allowed)).astype(np.int64)]
    backgrounds = _backgrounds(config, behind)
    if config.colours == "hsv":
        return shapes, hsv(colour, config.saturation, config.value), backgrounds
    if config.colours == "rgb":
        return shapes, rgb(colour), backgrounds
    if config.colours == "white":
        return shapes, np.full(colour.shape, 255, np.uint8), backgrounds
    if config.colours == "levels":
        # The background is picked with the sprites, so that it can differ from them.
        picked = pick(np.concatenate([behind[:, :1], colour[..., 0]], 1), 125, config.distinct_colours)
        return shapes, levels(picked[:, 1:]), levels(picked[:, 0]) if config.background == "levels" else backgrounds
    table = np.array([NAMED[name] for name in config.names], np.uint8)
    if config.distinct_colours:
        return shapes, table[pick(colour[..., 0], len(table), True)], backgrounds
    pairs = [(SHAPES.index(one), config.names.index(other)) for one, other in config.pairs]
    rows = np.array(pairs)[pick(colour[..., 0], len(pairs), False)]
    return rows[..., 0], table[rows[..., 1]], backgrounds


def _backgrounds(config: SpritesConfig, draws: np.ndarray) -> np.ndarray:
    """Return colours (N, 3) of backgrounds from draws of the same shape."""
    if config.background == "black":
        return np.zeros(draws.shape, np.uint8)
    if config.background == "grey":
        return np.repeat(rgb(draws[:, :1]), 3, axis=1)
    if config.background == "levels":
        return levels(pick(draws[:, :1], 125, False)[:, 0])
    return hsv(draws, config.saturation, config.value) if config.background == "hsv" else rgb(draws)
