"""Shapes: binary images of three squares and triangles whose outlines may cross, made on the fly with exact ids.

The set of Reichert & Serre (arXiv 1312.6115) that Tagger (1606.06724), N-EM (1708.03498) and IODINE (1903.00450) use.
Forms and rules are those of the public generators: hollow squares of 7 x 7 pixels, triangles of 12 x 7 pointing up or
down, each drawn independently and placed uniformly where it lies wholly inside; a frame shows their union, and pixels
that two or more of them cover belong to none: their id is -1, which scores ignore. Only the random numbers differ from
the files that circulate. Images are 28 x 28 as in N-EM and IODINE; Tagger's are `size=20`.

An image is determined by (seed, split, index), whatever batch it is made in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scenewise.config import setting
from scenewise.data.contract import Description, Facts, ObjectKeys, Sample, register_source
from scenewise.data.generated.base import GeneratedSource
from scenewise.data.splits import uniform
from scenewise.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

_UP = (".....##.....", "....####....", "...######...", "..###..###..", ".###....###.", "############", "############")

FORMS = {
    "square": ("#######", "#######", "##...##", "##...##", "##...##", "#######", "#######"),
    "up": _UP,
    "down": _UP[::-1],
}
"""Pictures of the shapes by name."""

_NAMES = np.array(list(FORMS))
_MASKS = [np.array([[mark == "#" for mark in row] for row in picture]) for picture in FORMS.values()]
_EXTENTS = np.array([mask.shape for mask in _MASKS])  # rows and columns
_LENGTHS = {"train": 60_000, "validation": 10_000, "test": 10_000}  # IODINE trains on 60,000
_MOST = 8  # shapes


@dataclass(frozen=True)
class ShapesConfig:
    """Settings of the generator of shapes."""

    min_shapes: int = setting(3, "smallest number of shapes", minimum=1, maximum=_MOST)
    max_shapes: int = setting(3, "largest number of shapes", minimum=1, maximum=_MOST)
    forms: tuple[str, ...] = setting(tuple(FORMS), "shapes in use", choices=tuple(FORMS))
    size: int = setting(28, "height and width in pixels; shapes keep their size", minimum=12, maximum=256)
    seed: int = setting(0, "seed of all images", minimum=0, maximum=2**63 - 1)

    def __post_init__(self) -> None:
        """Check what no single field can know; raises InputError."""
        if self.min_shapes > self.max_shapes:
            raise InputError("min_shapes", f"is {self.min_shapes}, more than max_shapes = {self.max_shapes}.")
        if not self.forms or len(set(self.forms)) < len(self.forms):
            raise InputError("forms", f"needs values that differ, at least one; found {list(self.forms)}.")


@dataclass(frozen=True)
class ShapesImages:
    """N images with all that is known of them; n is the largest number of shapes.

    Attributes:
        frames: uint8, 0 or 255, shape (N, 1, 1, H, W).
        ids: int8, shape (N, 1, H, W): 0 background, place of the shape + 1, -1 where shapes overlap.
        forms: Places in `FORMS`, shape (N, n); -1 for absent ones.
        corners: Top row and left column in pixels, shape (N, n, 2).
        masks: Whole shapes, bool, shape (N, n, H, W).
    """

    frames: np.ndarray
    ids: np.ndarray
    forms: np.ndarray
    corners: np.ndarray
    masks: np.ndarray


@register_source(
    "shapes",
    Description(
        what="three white squares and triangles whose outlines may cross, on black",
        kind="generated",
        paper="Reichert & Serre (1312.6115); Tagger (1606.06724), N-EM (1708.03498), IODINE (1903.00450)",
        size="1 frame of 28 x 28, or 12 to 256",
        factors=("shape", "row", "column", "visibility", "whole mask"),
    ),
)
class ShapesSource(GeneratedSource[ShapesImages]):
    """Squares and triangles, made when asked for; every video is one frame.

    Extras hold, of every shape: shapes (names), rows and columns (of the top left corner, in pixels), visibility
    (share of its pixels that no other covers) and amodal (whole masks, shape (n, H, W)).

    Args:
        config: What to make.
        split: Which random streams to use; splits share none.
    """

    config_class = ShapesConfig
    object_keys = ObjectKeys(
        shape="shapes",
        position="columns+rows",
        visibility="visibility",
        amodal="amodal",
    )

    kind = "shapes"
    lengths = _LENGTHS

    def __init__(self, config: ShapesConfig, split: str = "train", name: str | None = None) -> None:
        super().__init__(config, split, name)
        self.facts = Facts(
            channels=1,
            size=(config.size, config.size),
            frames=1,
            max_objects=config.max_shapes,
            background_ids=(0,),
            overlap="ignore",
            binary=True,
            origin=f"shapes after arXiv 1312.6115 (Reichert & Serre), generated with seed {config.seed}",
        )

    def _samples(self, images: ShapesImages) -> list[Sample]:
        visible = np.count_nonzero(images.masks & (images.ids >= 0), (2, 3))
        visibility = visible / np.maximum(np.count_nonzero(images.masks, (2, 3)), 1)
        return [_one(images, row, visibility[row]) for row in range(len(images.ids))]

    def _make(self, indices: Sequence[int], first: int, stop: int, whole: bool) -> ShapesImages:
        config = self.config
        draws = uniform(config.seed, self.split, indices, 1 + 3 * _MOST)
        counts = config.min_shapes + (draws[:, 0] * (config.max_shapes - config.min_shapes + 1)).astype(np.int64)
        each = draws[:, 1:].reshape(-1, 3, _MOST)[:, :, : config.max_shapes]
        allowed = np.array([list(FORMS).index(name) for name in config.forms])
        forms = allowed[(each[:, 0] * len(allowed)).astype(np.int64)]
        room = config.size - _EXTENTS[forms] + 1  # (N, n, 2)
        corners = (each[:, 1:].transpose(0, 2, 1) * room).astype(np.int64)
        forms[np.arange(config.max_shapes) >= counts[:, None]] = -1
        masks = _stamp(forms, corners, config.size)
        covered = masks.sum(1, dtype=np.int8)  # (N, H, W)
        numbers = np.arange(1, masks.shape[1] + 1, dtype=np.int8)
        ids = (masks * numbers[:, None, None]).sum(1, dtype=np.int8)
        ids[covered > 1] = -1
        frames = (covered > 0)[:, None, None] * np.uint8(255)  # (N, 1, 1, H, W)
        return ShapesImages(frames, ids[:, None], forms, corners, masks)


def _one(images: ShapesImages, row: int, visibility: np.ndarray) -> Sample:
    """Return one of many images; extras are of the shapes that are there."""
    present = images.forms[row] >= 0
    extras = {
        "shapes": _NAMES[images.forms[row, present]],
        "rows": images.corners[row, present, 0],
        "columns": images.corners[row, present, 1],
        "visibility": visibility[present],
        "amodal": images.masks[row, present],
    }
    return Sample(images.frames[row], images.ids[row].astype(np.int64), extras)


def _stamp(forms: np.ndarray, corners: np.ndarray, size: int) -> np.ndarray:
    """Return masks (N, n, size, size) of forms (N, n) at corners (N, n, 2)."""
    masks = np.zeros((*forms.shape, size, size), bool)
    for form, mask in enumerate(_MASKS):
        images, places = np.nonzero(forms == form)
        rows, columns = np.nonzero(mask)
        corner = corners[images, places, None]  # (M, 1, 2)
        masks[images[:, None], places[:, None], corner[..., 0] + rows, corner[..., 1] + columns] = True
    return masks
