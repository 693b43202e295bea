"""Whether a camera stands still: how blocks of neighbouring frames shift."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_LAGS, _PAIRS = (1, 4, 12, 29), 2  # frames between those that are compared, and pairs of each in every run
_REACH = 8  # pixels; shifts looked for, each way
_BLOCK = 16  # pixels
_SMOOTH = 15  # pixels over which the local mean is taken away, and light with it
_TEXTURE = 1.5  # of 255; blocks that change less under a shift of two pixels cannot tell of one
_CHANGE = 4.0  # of 255; by how much texture that changes does so
_UNLIKE = 0.6  # of the difference that pictures of nothing in common have
_EXPLAINED = 0.6  # of a block's difference that a shift must leave at most
_MAJORITY = 0.5  # of textured blocks, and of pairs
_LEAST_TEXTURED = 0.2  # of the blocks; fewer may all lie on what moves before the camera
_AGREEING = 0.75  # of shifted blocks
_FIT = 0.8  # pixels that shifts may lie off that of the camera
_TURNING = 15  # blocks that it takes to tell a turning or nearing camera from things that go apart
_SPREAD = 0.7  # of height and width that shifted blocks reach over


@dataclass(frozen=True)
class CameraMotion:
    """What neighbouring frames tell of the camera.

    Attributes:
        moving: Largest share of pairs, over the times between them, whose whole picture shifts.
        changing: Share of neighbouring frames whose texture changes almost everywhere without shifting.
    """

    moving: float
    changing: float

    @property
    def moves(self) -> bool:
        """Whether the camera moves."""
        return self.moving >= _MAJORITY

    @property
    def restless(self) -> bool:
        """Whether most of what it looks at never rests, as water, leaves or a crowd."""
        return self.changing >= _MAJORITY


def camera_motion(runs: Sequence[np.ndarray]) -> CameraMotion:
    """Compare frames of a video that are 1 to 29 frames apart.

    Args:
        runs: Neighbouring frames from several places of a file, each uint8 (T, H, W, 3), the longest side about 160.

    Examples:
        >>> wall = np.random.default_rng(0).integers(0, 256, (15, 30, 3), np.uint8).repeat(8, 0).repeat(8, 1)
        >>> panned = np.stack([wall[:, t : t + 160] for t in range(30)])
        >>> camera_motion([panned]).moves, camera_motion([panned[:1].repeat(30, 0)]).moves
        (True, False)
    """
    grey = []  # frames without their local mean, float32 (T, H, W)
    for run in (run for run in runs if len(run) > 1):
        lit = run.mean(-1, dtype=np.float32)
        grey.append(lit - ndimage.uniform_filter(lit, (0, _SMOOTH, _SMOOTH)))
    moving = changing = 0.0
    for lag in _LAGS:
        comparisons = [_compare(*pair) for run in grey for pair in _pairs(run, lag)]
        if comparisons:
            moving = max(moving, float(np.mean([shifted for shifted, _ in comparisons])))
            changing = float(np.mean([changed for _, changed in comparisons])) if lag == _LAGS[0] else changing
        if moving >= _MAJORITY:
            break
    return CameraMotion(moving, changing)


def _pairs(run: np.ndarray, lag: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield up to two pairs of frames that far apart, evenly over a run."""
    if len(run) > lag and min(run.shape[1:]) >= 2 * _REACH + _BLOCK:
        for t in np.unique(np.linspace(0, len(run) - 1 - lag, _PAIRS).astype(int)):
            yield run[t], run[t + lag]


def _compare(one: np.ndarray, other: np.ndarray) -> tuple[bool, bool]:
    """Return whether a whole picture shifts from one frame to another, and whether it changes without shifting."""
    middle = one[_REACH:-_REACH, _REACH:-_REACH]
    textured = np.minimum(_blocks(middle - _shift(one, 0, 2)), _blocks(middle - _shift(one, 2, 0))) > _TEXTURE
    if textured.mean() < _LEAST_TEXTURED:
        return False, False
    reach = range(-_REACH, _REACH + 1)
    shifts = np.array([(row, column) for row in reach for column in reach])
    differences = np.stack([_blocks(middle - _shift(other, *shift)) for shift in shifts])[:, textured]
    best, resting = differences.argmin(0), differences[len(shifts) // 2]
    moved = (differences.min(0) < _EXPLAINED * resting) & (resting > _TEXTURE)
    changed = (resting > _CHANGE) & (resting > _UNLIKE * np.median(differences, axis=0))
    places = np.argwhere(textured)[moved].astype(float)
    wide = np.all(np.ptp(places, axis=0) >= _SPREAD * (np.array(textured.shape) - 1)) if len(places) else False
    shifted = moved.mean() >= _MAJORITY and wide and _agree(shifts[best[moved]], places)
    return bool(shifted), bool(changed.mean() >= _MAJORITY and not shifted)


def _shift(image: np.ndarray, row: int, column: int) -> np.ndarray:
    """Return the middle of an image that lies that far off."""
    height, width = image.shape
    return image[_REACH + row : height - _REACH + row, _REACH + column : width - _REACH + column]


def _blocks(difference: np.ndarray) -> np.ndarray:
    """Return the mean absolute value over each block, shape (rows, columns); a rest at the border is left out."""
    rows, columns = (side // _BLOCK for side in difference.shape)
    whole = np.abs(difference[: rows * _BLOCK, : columns * _BLOCK])
    return whole.reshape(rows, _BLOCK, columns, _BLOCK).mean((1, 3))


def _agree(shifts: np.ndarray, places: np.ndarray) -> bool:
    """Return whether most shifts are those of one picture that moves, or, of many shifts, turns and grows too."""
    off = np.abs(shifts - np.median(shifts, axis=0)).max(1)
    if len(shifts) >= _TURNING:
        (row, column), one, zero = places.T, np.ones(len(places)), np.zeros(len(places))
        design = np.concatenate([np.column_stack([row, column, one, zero]), np.column_stack([column, -row, zero, one])])
        solution, *_ = np.linalg.lstsq(design, shifts.T.reshape(-1).astype(float), rcond=None)
        off = np.minimum(off, np.abs(design @ solution - shifts.T.reshape(-1)).reshape(2, -1).max(0))
    return bool((off <= _FIT).mean() >= _AGREEING)
