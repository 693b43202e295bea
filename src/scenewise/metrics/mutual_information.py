"""How much the past of one part of a latent tells of the future of another.

Source: Kraskov, Stögbauer and Grassberger 2004, first estimator (KSG), as DVIP's Table 2 uses it (dvip.md 7,
metrics.md 7.1). The estimate is far too low for strong dependence in many dimensions and cannot exceed log N: print
dimension, N and the number of neighbours with every value, and compare like with like (`gaussian_bias` says how low).

`transfer` is in nats, of independent pairs, units standardised. `pooled_transfer` is what DVIP's authors printed: in
bits, of consecutive pairs of few clips, units as they are. Only the second stands beside the paper's numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.errors import InputError
from scenewise.metrics.arrays import reals

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

NEIGHBOURS = 3
"""Default of DVIP's measures here; the paper names none."""

POOLED = 1000
"""Pairs of consecutive frames that DVIP's authors estimate from."""

_JITTER = 1e-10  # against ties; in standard deviations where samples are standardised
_MOST_FOR_TREE = 8  # dimensions of the joint space up to which a k-d tree is the faster one
_CHUNK = 500  # rows of the distance matrix at a time; bounds the memory


@dataclass(frozen=True)
class Transfer:
    """Information that parts of a latent at t hold on parts at t + 1.

    Attributes:
        matrix: I(part i at t + 1; part j at t), shape (K, K), in nats by `transfer`, in bits by `pooled_transfer`; NaN
            where it was not estimated.
        parts: Units of each part, shape (K, d).

    Examples:
        >>> information = Transfer(matrix=np.array([[2.0, 0.5], [1.0, 4.0]]), parts=np.array([[0, 1], [2, 3]]))
        >>> information.same, information.cross
        (3.0, 0.75)
    """

    matrix: np.ndarray
    parts: np.ndarray

    @property
    def same(self) -> float:
        """Mean over parts of what a part's past tells of its own future."""
        return float(np.diag(self.matrix).mean())

    @property
    def cross(self) -> float:
        """Mean over the ordered pairs of other parts that were estimated; NaN where there is one part."""
        others = self.matrix[~np.eye(len(self.matrix), dtype=bool)]
        estimates = others[~np.isnan(others)]
        return float(estimates.mean()) if estimates.size else math.nan


def mutual_information(
    x: ArrayLike,
    y: ArrayLike,
    neighbours: int = NEIGHBOURS,
    *,
    seed: int = 0,
    method: str = "auto",
    standardise: bool = True,
) -> float:
    """Estimate I(x; y) in nats from paired samples; it can be slightly below 0 and is not clipped.

    I = psi(k) + psi(N) - mean[psi(n_x + 1) + psi(n_y + 1)], with n_x the number of other samples nearer in x than the
    k-th neighbour in the joint space, all distances maximum norms.

    Args:
        x: Float samples, shape (N, d) or (N,).
        y: Float samples paired with them, shape (N, e) or (N,).
        neighbours: k, at least 1 and below N.
        seed: Of the jitter against ties.
        method: "tree" for few dimensions, "matrix" (N² distances, in chunks) for many; "auto" chooses.
        standardise: Bring every dimension to mean 0 and standard deviation 1 first.

    Raises:
        InputError: Shapes do not fit, there are too few samples, or values are not finite floats.

    Examples:
        >>> one, noise = np.random.default_rng(0).standard_normal((2, 2000))
        >>> other = 0.8 * one + 0.6 * noise  # correlation 0.8
        >>> abs(mutual_information(one, other) - gaussian_information(0.8)) < 0.05
        True
        >>> abs(mutual_information(one, noise)) < 0.05
        True
    """
    one, other = _samples(x, "x"), _samples(y, "y")
    if len(one) != len(other):
        raise InputError("y", f"must have one row per row of x, {len(one)}; found {len(other)}.")
    if not 1 <= neighbours < len(one):
        raise InputError("neighbours", f"must be at least 1 and below the {len(one)} samples; found {neighbours}.")
    noise = np.random.default_rng(seed)
    one, other = (
        (_standardised(v) if standardise else v) + _JITTER * noise.standard_normal(v.shape) for v in (one, other)
    )
    tree = method == "tree" or (method == "auto" and one.shape[1] + other.shape[1] <= _MOST_FOR_TREE)
    inside = _tree(one, other, neighbours) if tree else _matrix(one, other, neighbours)
    from scipy.special import digamma

    return float(digamma(neighbours) + digamma(len(one)) - digamma(np.stack(inside) + 1).sum(0).mean())


def gaussian_information(correlation: float, pairs: int = 1) -> float:
    """Return the information of `pairs` independent pairs of Gaussians with that correlation: -d/2 ln(1 - rho²).

    Examples:
        >>> round(gaussian_information(0.8), 4)  # -ln(0.36) / 2 = -ln 0.6
        0.5108
        >>> gaussian_information(0.8, pairs=3) == 3 * gaussian_information(0.8)
        True
    """
    return -0.5 * pairs * math.log1p(-(correlation**2))


def gaussian_bias(
    information: float, dimensions: int, samples: int, neighbours: int = NEIGHBOURS, seed: int = 0
) -> float:
    """Return estimate minus truth on Gaussians of known information, shared evenly by all dimensions.

    Args:
        information: True I(x; y) in nats.
        dimensions: d of x and of y.
        samples: N.
        neighbours: k.
        seed: Of the samples.

    Examples:
        >>> abs(gaussian_bias(0.5, dimensions=1, samples=1000)) < 0.1  # near the truth in few dimensions
        True
        >>> gaussian_bias(10.0, dimensions=10, samples=200) < -4  # it cannot exceed log 200 = 5.3
        True
    """
    rho = math.sqrt(-math.expm1(-2 * information / dimensions))
    noise = np.random.default_rng(seed).standard_normal((2, samples, dimensions))
    y = rho * noise[0] + math.sqrt(1 - rho**2) * noise[1]
    return mutual_information(noise[0], y, neighbours, seed=seed) - information


def transfer(
    before: ArrayLike, after: ArrayLike, parts: ArrayLike, neighbours: int = NEIGHBOURS, *, seed: int = 0
) -> Transfer:
    """Return the information between all parts of a latent at t and all at t + 1.

    Args:
        before: Samples of the latent at t, one pair per video so that they are independent, shape (N, Z).
        after: The same at t + 1.
        parts: Units of each of K parts, shape (K, d).
        neighbours: k of the estimator.
        seed: Of the jitter against ties.

    Raises:
        InputError: As of `mutual_information`, or a part names a unit that there is not.
    """
    earlier, later = _samples(before, "before"), _samples(after, "after")
    units = _units(parts, earlier.shape[1])
    matrix = [[mutual_information(later[:, i], earlier[:, j], neighbours, seed=seed) for j in units] for i in units]
    return Transfer(np.array(matrix), units)


def pooled_transfer(
    latents: ArrayLike, parts: ArrayLike, pairs: int = POOLED, neighbours: int = NEIGHBOURS, *, seed: int = 0
) -> Transfer:
    """Return the information between parts, in bits, as DVIP's authors computed that of their Table 2.

    Their public code (willwhitney/structure-experiments, 2017-11-01) takes the same estimator with base 2 and k = 3, on
    the last 1,000 pairs of consecutive frames, from the first frame of a clip on, pooled over clips, and leaves units
    as they are. Across parts it pairs the past of part i with the future of part j for i < j only. Pairs of one clip
    depend on each other, which raises the estimate; units of small spread count little in the maximum norm.

    Args:
        latents: Samples of N clips of T frames, shape (N, T, Z); pairs are pooled clip by clip.
        parts: Units of each of K parts, shape (K, d).
        pairs: How many to take, from the end; all where there are fewer.
        neighbours: k of the estimator.
        seed: Of the jitter against ties.

    Raises:
        InputError: As of `transfer`, or there are no two frames.

    Examples:
        >>> latents = np.random.default_rng(0).standard_normal((20, 5, 4))  # 20 clips of 5 frames
        >>> information = pooled_transfer(latents, parts=[[0, 1], [2, 3]])
        >>> np.isnan(information.matrix).tolist()  # only the past of the first part with the future of the second
        [[False, True], [False, False]]
    """
    samples = reals(latents, "latents").astype(np.float64)
    if samples.ndim != 3 or samples.shape[1] < 2:
        raise InputError("latents", f"must have shape (N, T, Z) with T of at least 2; found {samples.shape}.")
    units = _units(parts, samples.shape[2])
    before, after = (half.reshape(-1, samples.shape[2])[-pairs:] for half in (samples[:, :-1], samples[:, 1:]))
    matrix = np.full((len(units), len(units)), np.nan)
    for past in range(len(units)):
        for future in range(past, len(units)):
            x, y = after[:, units[future]], before[:, units[past]]
            nats = mutual_information(x, y, neighbours, seed=seed, standardise=False)
            matrix[future, past] = nats / math.log(2)
    return Transfer(matrix, units)


def random_partitions(units: int, parts: int, count: int = 20, seed: int = 0) -> np.ndarray:
    """Return different random divisions of units into parts of one size, shape (count, parts, units / parts).

    Raises:
        InputError: The units cannot be divided so, or there are fewer such divisions than asked for.

    Examples:
        There are three ways to part four units into pairs.

        >>> divisions = random_partitions(units=4, parts=2, count=3)
        >>> sorted(divisions.tolist())
        [[[0, 1], [2, 3]], [[0, 2], [1, 3]], [[0, 3], [1, 2]]]
    """
    if parts < 1 or units % parts:
        raise InputError("parts", f"{units} units cannot be divided into {parts} parts of one size.")
    size = units // parts
    there_are = math.factorial(units) // (math.factorial(size) ** parts * math.factorial(parts))
    if there_are < count:
        raise InputError("count", f"{count} divisions of {units} units asked for, there are {there_are}.")
    partitions: dict[Any, np.ndarray] = {}
    numbers = np.random.default_rng(seed)
    while len(partitions) < count:
        division = np.sort(numbers.permutation(units).reshape(parts, size), 1)
        division = division[np.argsort(division[:, 0])]
        partitions.setdefault(division.tobytes(), division)
    return np.stack(list(partitions.values()))


def best_partition(transfers: list[Transfer]) -> Transfer:
    """Return the one with the largest difference of same and cross, as DVIP reports a latent without parts."""
    return max(transfers, key=lambda one: one.same - one.cross)


def _units(parts: ArrayLike, width: int) -> np.ndarray:
    units = np.asarray(parts)
    if units.ndim != 2 or units.min() < 0 or units.max() >= width:
        raise InputError("parts", f"must be units below {width}, shape (K, d); found {units.tolist()}.")
    return units


def _samples(values: ArrayLike, name: str) -> np.ndarray:
    array = reals(values, name).astype(np.float64)
    if array.ndim not in (1, 2) or not len(array):
        raise InputError(name, f"must have shape (N, d) or (N,) with N of at least 1; found {array.shape}.")
    return array.reshape(len(array), -1)


def _standardised(values: np.ndarray) -> np.ndarray:
    spread = values.std(0)
    return np.asarray((values - values.mean(0)) / np.where(spread > 0, spread, 1))


def _tree(x: np.ndarray, y: np.ndarray, neighbours: int) -> tuple[np.ndarray, np.ndarray]:
    """Return n_x and n_y of every sample by k-d trees."""
    from scipy.spatial import KDTree

    joint = np.concatenate([x, y], 1)
    radii = KDTree(joint).query(joint, [neighbours + 1], p=np.inf)[0][:, 0]
    below = np.nextafter(radii, 0)  # strictly nearer
    n_x, n_y = (KDTree(v).query_ball_point(v, below, p=np.inf, return_length=True) - 1 for v in (x, y))
    return n_x, n_y


def _matrix(x: np.ndarray, y: np.ndarray, neighbours: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the same by all distances."""
    from scipy.spatial.distance import cdist

    inside = []
    for at in range(0, len(x), _CHUNK):
        of_x, of_y = (cdist(v[at : at + _CHUNK], v, "chebyshev") for v in (x, y))
        radii = np.partition(np.maximum(of_x, of_y), neighbours, 1)[:, [neighbours]]
        inside.append([(distances < radii).sum(1) - 1 for distances in (of_x, of_y)])
    n_x, n_y = np.concatenate(inside, 1)
    return n_x, n_y
