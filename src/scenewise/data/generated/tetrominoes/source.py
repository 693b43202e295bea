"""Tetrominoes: images of three pieces on black like IODINE's "Tetris" set, made on the fly with exact ground truth.

Pieces, sizes, shading and colours are those measured on records of the public set (IODINE, arXiv 1903.00450; published
as Tetrominoes among the Multi-Object Datasets): every piece is four blocks of 5 x 5 pixels, lies at any pixel wholly
inside the image, and overlaps no other. Drawing the factors of those records gives their images bit for bit.

The public generator is not published. The set is said to hold 17 shapes and orientations; its class numbers run to 19,
one for each orientation of the one-sided tetrominoes, and 30 pieces looked at show 16 of them. Which two of the other
three, 1 (the lying I), 4 and 8 (two turns of the J), do not exist there the records do not tell; our choice is to leave
out the two of one letter, 4 and 8. Set `shapes` to change that. Pieces are placed one after another, each uniformly
over where it is free. How the public set places them is not known; it may keep them further apart: pieces touch in
one of the ten records and in four of ten images here.

An image is determined by (seed, split, index), whatever batch it is made in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scenewise.config import setting
from scenewise.data.contract import Description, Facts, ObjectKeys, Sample, register_source
from scenewise.data.generated.base import GeneratedSource
from scenewise.data.generated.tetrominoes.pieces import PIECES, SIDES, draw, place
from scenewise.data.splits import uniform
from scenewise.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "magenta": (255, 0, 255),
    "cyan": (0, 255, 255),
}
"""RGB by name: the corners of the colour cube that are neither black nor white."""

SHAPES = tuple(piece for piece in PIECES if piece not in (4, 8))
"""The 17 pieces in use unless told otherwise, by their numbers in the public set."""

_LENGTHS = {"train": 60_000, "validation": 10_000, "test": 10_000}  # IODINE trains on 60,000
_MOST = 6  # pieces
_TRIES = 16  # places that are tried for a piece before all places are listed


@dataclass(frozen=True)
class TetrominoesConfig:
    """Settings of the tetromino generator."""

    min_pieces: int = setting(3, "smallest number of pieces", minimum=1, maximum=_MOST)
    max_pieces: int = setting(3, "largest number of pieces", minimum=1, maximum=_MOST)
    shapes: tuple[int, ...] = setting(SHAPES, "numbers of the pieces in use", choices=tuple(PIECES))
    colours: tuple[str, ...] = setting(tuple(COLOURS), "colours in use", choices=tuple(COLOURS))
    distinct_colours: bool = setting(False, "give no two pieces of an image the same colour")
    shaded: bool = setting(True, "give every block light and dark edges; False: flat colours")
    size: int = setting(35, "height and width in pixels; blocks stay 5 x 5", minimum=20, maximum=256)
    seed: int = setting(0, "seed of all images", minimum=0, maximum=2**63 - 1)

    def __post_init__(self) -> None:
        """Check what no single field can know; raises InputError."""
        if self.min_pieces > self.max_pieces:
            raise InputError("min_pieces", f"is {self.min_pieces}, more than max_pieces = {self.max_pieces}.")
        for name, values in (("shapes", self.shapes), ("colours", self.colours)):
            if not values or len(set(values)) < len(values):
                raise InputError(name, f"needs values that differ, at least one; found {list(values)}.")
        if self.distinct_colours and len(self.colours) < self.max_pieces:
            raise InputError(
                "distinct_colours", f"needs {self.max_pieces} colours for as many pieces; found {len(self.colours)}."
            )
        if self.size < SIDES[self.max_pieces]:
            raise InputError(
                "size", f"{self.max_pieces} pieces need {SIDES[self.max_pieces]} pixels to fit; found {self.size}."
            )


@dataclass(frozen=True)
class TetrominoesImages:
    """N images with all that is known of them; n is the largest number of pieces.

    Attributes:
        frames: uint8, shape (N, 1, 3, H, W).
        ids: uint8, shape (N, 1, H, W): 0 background, piece index + 1.
        shapes: Numbers of the pieces, shape (N, n); 0 for absent ones.
        corners: Top row and left column of every piece in pixels, shape (N, n, 2).
        colours: RGB, uint8, shape (N, n, 3).
    """

    frames: np.ndarray
    ids: np.ndarray
    shapes: np.ndarray
    corners: np.ndarray
    colours: np.ndarray


@register_source(
    "tetrominoes",
    Description(
        what="three shaded tetrominoes in six colours, on black",
        kind="generated",
        paper="IODINE (1903.00450), Multi-Object Datasets; Slot Attention, EfficientMORL",
        size="1 frame of 35 x 35, or 20 to 256",
        factors=("shape", "row", "column", "colour"),
    ),
)
class TetrominoesSource(GeneratedSource[TetrominoesImages]):
    """Tetrominoes on black, made when asked for; every video is one frame.

    Extras hold shapes, rows, columns and colours of the pieces.

    Args:
        config: What to make.
        split: Which random streams to use; splits share no image.
    """

    config_class = TetrominoesConfig
    object_keys = ObjectKeys(
        shape="shapes",
        colour="colours",
        position="columns+rows",
    )

    kind = "tetrominoes"
    lengths = _LENGTHS

    def __init__(self, config: TetrominoesConfig, split: str = "train", name: str | None = None) -> None:
        super().__init__(config, split, name)
        self.facts = Facts(
            channels=3,
            size=(config.size, config.size),
            frames=1,
            max_objects=config.max_pieces,
            background_ids=(0,),
            overlap="top",
            origin=f"tetrominoes after arXiv 1903.00450 (IODINE), generated with seed {config.seed}",
        )
        self._colours = np.array([COLOURS[name] for name in config.colours], np.uint8)

    def _samples(self, images: TetrominoesImages) -> list[Sample]:
        return [_one(images, row) for row in range(len(images.ids))]

    def _make(self, indices: Sequence[int], first: int, stop: int, whole: bool) -> TetrominoesImages:
        shapes, colours, draws = self._choose(indices)
        corners = place(shapes, draws, self.config.size)
        frames, ids = draw(shapes, corners, colours, self.config.size, self.config.shaded)
        return TetrominoesImages(frames, ids, shapes, corners, colours)

    def _choose(self, indices: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return numbers of pieces (N, n), their colours (N, n, 3) and draws for their places (N, n, tries, 2)."""
        config = self.config
        most, colours = config.max_pieces, len(self._colours)
        # As many draws for few pieces as for many, so that the settings do not shift what a draw stands for.
        draws = uniform(config.seed, self.split, indices, 1 + 2 * _MOST + _MOST * _TRIES * 2)
        counts = config.min_pieces + (draws[:, 0] * (most - config.min_pieces + 1)).astype(np.int64)
        shapes = np.array(config.shapes)[(draws[:, 1 : 1 + most] * len(config.shapes)).astype(np.int64)]
        shapes[np.arange(most) >= counts[:, None]] = 0
        keys = draws[:, 1 + _MOST : 1 + 2 * _MOST]
        colours_of_pieces = (
            keys[:, :colours].argsort(1) if config.distinct_colours else (keys * colours).astype(np.int64)
        )
        places = draws[:, 1 + 2 * _MOST :].reshape(len(indices), _MOST, _TRIES, 2)
        return shapes, self._colours[colours_of_pieces[:, :most]], places[:, :most]


def _one(images: TetrominoesImages, row: int) -> Sample:
    """Return one of many images; extras are of the pieces that are there."""
    present = images.shapes[row] > 0
    extras = {
        "shapes": images.shapes[row][present],
        "rows": images.corners[row][present, 0],
        "columns": images.corners[row][present, 1],
        "colours": images.colours[row][present],
    }
    return Sample(images.frames[row], images.ids[row].astype(np.int64), extras)
