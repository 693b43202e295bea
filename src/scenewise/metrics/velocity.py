"""Do predicted objects move the way the true ones do: cosine similarity of velocities.

Source: PROVIDE Fig. 6 (centres of bounding boxes); DDPAE's evaluation code (matching, lag, speed error).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scenewise.errors import InputError
from scenewise.metrics.arrays import integers, mean, one_of, reals, same_shape
from scenewise.metrics.horizon import check_observed

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import ArrayLike

_SLOWEST = 1e-4
_FEWEST_PIXELS = 8


@dataclass(frozen=True)
class VelocitySimilarity:
    """Agreement of velocities at each predicted frame j = 1..T'.

    Attributes:
        cosine: Mean cosine of predicted and true velocity, in [-1, 1], shape (T',); NaN where no pair is valid.
        speed_error: Mean of |1 - |v| / |v*||, shape (T',).
        valid: Number of (video, object) pairs that count, shape (T',): matched, visible and moving in both.
        excluded: Fraction of videos left out because their matching is ambiguous ("ddpae" only).
    """

    cosine: np.ndarray
    speed_error: np.ndarray
    valid: np.ndarray
    excluded: float


def velocity_similarity(
    labels: ArrayLike,
    ids: ArrayLike,
    observed: int,
    *,
    positions: ArrayLike | None = None,
    slot_positions: ArrayLike | None = None,
    gt: str = "bbox",
    matching: str = "hungarian",
    lag: int = 2,
    background_ids: Collection[int] = (0,),
) -> VelocitySimilarity:
    """Compare the motion of slots with that of true objects in predicted frames.

    The background slot (largest mean area in the observed frames; that without a place where the model says places)
    and slots that never own 8 pixels of an observed frame take no part.

    Args:
        labels: The slot that owns each pixel of T_0 observed and T' predicted frames, shape (N, T_0 + T', H, W).
        ids: The truth of the same frames, same shape.
        observed: T_0, at least `lag`.
        positions: True (x, y) divided by the image size, shape (N, T_0 + T', M, 2), NaN where an object is absent;
            needed for gt="state".
        slot_positions: Where the model itself says its slots are, likewise, shape (N, T_0 + T', K, 2), NaN for those
            that take no part, such as a background; None: the centres of the bounding boxes of `labels`.
        gt: True positions are the centres of the ids' bounding boxes ("bbox") or `positions` ("state").
        matching: As in `velocity_similarity_of_positions`.
        lag: As in `velocity_similarity_of_positions`.
        background_ids: The true ids that are background.

    Raises:
        InputError: Shapes do not fit, `positions` are missing or not normalised, or a flag is unknown.
    """
    one_of(gt, "gt", ("bbox", "state"))
    predicted, truth = integers(labels, "labels", minimum=0), integers(ids, "ids", minimum=-1)
    same_shape(predicted, truth, ("labels", "ids"), "(N, T, H, W)", rank=4)
    check_observed(observed, truth.shape[1], minimum=max(lag, 1))
    slots = _slot_centres(predicted, observed) if slot_positions is None else _said(slot_positions, predicted, observed)
    objects = [int(i) for i in np.unique(truth) if i != -1 and i not in background_ids]
    true = box_centres(truth, objects) if gt == "bbox" else _states(positions, truth.shape)
    return velocity_similarity_of_positions(slots, true, observed, matching=matching, lag=lag)


def velocity_similarity_of_positions(
    predicted: np.ndarray, true: np.ndarray, observed: int, *, matching: str = "hungarian", lag: int = 2
) -> VelocitySimilarity:
    """Compare velocities p_j - p_(j - lag) of matched slots and objects.

    Args:
        predicted: (x, y) of each slot divided by the image size, NaN where it has none, shape (N, T_0 + T', K, 2).
        true: (x, y) of each object, likewise, shape (N, T_0 + T', M, 2).
        observed: T_0, at least `lag`; slots are matched to objects once, by squared distance over these frames.
        matching: "hungarian" assigns one to one; "ddpae" lets each slot choose its nearest object and leaves out a
            video in which two choose the same.
        lag: Frames between the two positions: 2 in DDPAE's code, 1 in PROVIDE's text.

    Raises:
        InputError: Shapes do not fit, too few frames are observed, or a flag is unknown.

    Examples:
        An object moves right by 0.1 a frame; the slot does so, or moves left twice as fast.

        >>> true = np.array([[0.1, 0.5], [0.2, 0.5], [0.3, 0.5]]).reshape(1, 3, 1, 2)
        >>> same = velocity_similarity_of_positions(true, true, observed=1, lag=1)
        >>> same.cosine.tolist(), same.valid.tolist()
        ([1.0, 1.0], [1, 1])
        >>> left = np.array([[0.1, 0.5], [-0.1, 0.5], [-0.3, 0.5]]).reshape(1, 3, 1, 2)
        >>> wrong = velocity_similarity_of_positions(left, true, observed=1, lag=1)
        >>> wrong.cosine.round(6).tolist(), wrong.speed_error.round(6).tolist()
        ([-1.0, -1.0], [1.0, 1.0])
    """
    one_of(matching, "matching", ("hungarian", "ddpae"))
    if predicted.ndim != 4 or predicted.shape[:2] != true.shape[:2] or true.shape[-1:] + predicted.shape[-1:] != (2, 2):
        raise InputError(
            "positions", f"must be (N, T, K, 2) and (N, T, M, 2); found {predicted.shape} and {true.shape}."
        )
    if lag < 1:
        raise InputError("lag", f"must be at least 1; found {lag}.")
    check_observed(observed, true.shape[1], minimum=lag)
    costs = _costs(predicted[:, :observed], true[:, :observed])
    assign = _hungarian if matching == "hungarian" else _nearest
    owners = [assign(cost) for cost in costs]
    excluded = [choice is None for choice in owners]
    owner = np.array([np.full(true.shape[2], -1) if choice is None else choice for choice in owners], dtype=int)
    followed = np.take_along_axis(predicted, np.maximum(owner, 0)[:, None, :, None], axis=2)  # the slot of each object
    followed = np.where((owner >= 0)[:, None, :, None], followed, np.nan)  # (N, T, M, 2)
    v, v_true = (_velocities(p, observed, lag) for p in (followed, true))
    return VelocitySimilarity(*_compare(v, v_true), float(np.mean(excluded)) if excluded else float("nan"))


def box_centres(labels: np.ndarray, names: Collection[int]) -> np.ndarray:
    """Return the centre (x, y) of the bounding box of each name, divided by image size; NaN where it has no pixel.

    Args:
        labels: Integers of shape (..., H, W).
        names: The M labels to look for.

    Returns:
        Shape (..., M, 2). Pixel centres lie on whole numbers.

    Examples:
        >>> box_centres(np.array([[0, 1, 1, 0]]), names=[1, 2]).tolist()  # x: pixels 1 and 2 of 4; nothing is called 2
        [[0.375, 0.0], [nan, nan]]
    """
    height, width = labels.shape[-2:]
    centres = np.full((*labels.shape[:-2], len(names), 2), np.nan)
    for m, name in enumerate(names):
        owned = labels == name
        centres[..., m, 0] = _middle(owned.any(axis=-2)) / width
        centres[..., m, 1] = _middle(owned.any(axis=-1)) / height
    return centres


def _middle(line: np.ndarray) -> np.ndarray:
    """Middle between the first and the last True along the last axis; NaN where there is none."""
    first, last = line.argmax(axis=-1), line.shape[-1] - 1 - line[..., ::-1].argmax(axis=-1)
    return np.where(line.any(axis=-1), (first + last) / 2, np.nan)


def _slot_centres(labels: np.ndarray, observed: int) -> np.ndarray:
    """Centres of slots, (N, T, K, 2), NaN for the background slot and for tiny ones."""
    names = range(int(labels.max(initial=0)) + 1)
    centres = box_centres(labels, names)
    area = _areas(labels[:, :observed], names)
    dropped = area.max(axis=1) < _FEWEST_PIXELS
    np.put_along_axis(dropped, area.mean(axis=1).argmax(axis=-1)[:, None], True, axis=-1)
    centres.swapaxes(1, 2)[dropped] = np.nan
    return centres


def _said(positions: ArrayLike, labels: np.ndarray, observed: int) -> np.ndarray:
    """Positions that a model says, (N, T, K, 2), NaN for tiny slots."""
    said = _states(positions, labels.shape, "slot_positions").astype(np.float64)
    tiny = _areas(labels[:, :observed], range(said.shape[2])).max(axis=1) < _FEWEST_PIXELS
    said.swapaxes(1, 2)[tiny] = np.nan
    return said


def _areas(labels: np.ndarray, names: Collection[int]) -> np.ndarray:
    """Pixels that each slot owns, (N, T, K)."""
    return np.stack([(labels == k).sum(axis=(-2, -1)) for k in names], axis=-1)


def _states(positions: ArrayLike | None, shape: tuple[int, ...], name: str = "positions") -> np.ndarray:
    if positions is None:
        raise InputError(name, 'are needed for gt="state".', 'Give them, or use gt="bbox".')
    array = np.asarray(positions)
    if array.ndim != 4 or array.shape[:2] != shape[:2] or array.shape[-1] != 2:
        raise InputError(name, f"must have shape {(*shape[:2], 'M', 2)}; found {array.shape}.")
    present = array[~np.isnan(array)]
    reals(present, name)
    if present.size and (present.min() < -1 or present.max() > 2):
        raise InputError(name, f"must be divided by the image size; found values up to {np.abs(present).max():g}.")
    return array


def _costs(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Squared distance of slots to objects, mean over frames that show both, (N, K, M); infinite without one."""
    distances = np.square(predicted[:, :, :, None] - true[:, :, None]).sum(axis=-1)  # (N, T_0, K, M)
    costs = mean(distances, axis=1)
    costs[np.isnan(costs)] = np.inf
    return costs


def _hungarian(cost: np.ndarray) -> np.ndarray:
    """The slot of each object, -1 for none, shape (M,); total cost is least."""
    from scipy.optimize import linear_sum_assignment

    possible = np.isfinite(cost)
    far = 1.0 + 2.0 * cost[possible].sum()
    slots, objects = linear_sum_assignment(np.where(possible, cost, far))
    owner = np.full(cost.shape[1], -1)
    matched = possible[slots, objects]
    owner[objects[matched]] = slots[matched]
    return owner


def _nearest(cost: np.ndarray) -> np.ndarray | None:
    """The same where every slot takes its nearest object; None where two take the same."""
    slots = np.flatnonzero(np.isfinite(cost).any(axis=1))
    objects = cost[slots].argmin(axis=1) if len(slots) else np.empty(0, dtype=int)
    if len(np.unique(objects)) < len(objects):
        return None
    owner = np.full(cost.shape[1], -1)
    owner[objects] = slots
    return owner


def _velocities(positions: np.ndarray, observed: int, lag: int) -> np.ndarray:
    return positions[:, observed:] - positions[:, observed - lag : positions.shape[1] - lag]  # (N, T', M, 2)


def _compare(v: np.ndarray, v_true: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cosine, speed error and number of valid pairs per predicted frame, each (T',)."""
    speed, true_speed = np.linalg.norm(v, axis=-1), np.linalg.norm(v_true, axis=-1)  # (N, T', M)
    valid = (speed >= _SLOWEST) & (true_speed >= _SLOWEST)
    shape = valid.shape
    cosine, error = np.full(shape, np.nan), np.full(shape, np.nan)
    np.divide((v * v_true).sum(axis=-1), speed * true_speed, out=cosine, where=valid)
    np.divide(speed, true_speed, out=error, where=valid)
    return mean(np.clip(cosine, -1, 1), axis=(0, 2)), mean(np.abs(1 - error), axis=(0, 2)), valid.sum(axis=(0, 2))
