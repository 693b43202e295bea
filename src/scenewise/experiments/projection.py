"""Latents in two dimensions: principal components, and t-SNE (van der Maaten and Hinton 2008), exact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_STEPS, _EARLY, _EXAGGERATION = 600, 150, 12.0
_MOMENTUM = (0.5, 0.8)  # early and later


@dataclass(frozen=True)
class Projection:
    """A linear projection.

    Attributes:
        centre: Mean of the points, shape (Z,).
        axes: Unit vectors, shape (D, Z).
        shares: Share of each in the variance of all, shape (D,).
    """

    centre: np.ndarray
    axes: np.ndarray
    shares: np.ndarray

    def of(self, points: np.ndarray) -> np.ndarray:
        """Return points (N, Z) in its coordinates, shape (N, D)."""
        return np.asarray((points - self.centre) @ self.axes.T)


def principal_components(points: np.ndarray, dimensions: int = 2) -> Projection:
    """Return the projection on the directions of largest variance; the largest number of each is positive.

    Args:
        points: Shape (N, Z).
        dimensions: D.
    """
    centre = points.mean(0)
    _, sizes, directions = np.linalg.svd(points - centre, full_matrices=False)
    axes = directions[:dimensions]
    axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(1)])[:, None]
    variance = sizes**2
    return Projection(centre, axes, variance[:dimensions] / max(float(variance.sum()), 1e-12))


def t_sne(points: np.ndarray, perplexity: float = 30.0, steps: int = _STEPS) -> np.ndarray:
    """Return points in two dimensions so that neighbours stay neighbours; starts from principal components.

    Distances of all pairs are kept, so N should stay below a few thousand.

    Args:
        points: Shape (N, Z).
        perplexity: How many neighbours count; at most a third of N.
        steps: Of gradient descent.

    Returns:
        Shape (N, 2).
    """
    joint = _joint(points, min(perplexity, (len(points) - 1) / 3))
    place = principal_components(points, 2).of(points)
    place = place / max(float(place[:, 0].std()), 1e-12) * 1e-4
    velocity, gains = np.zeros_like(place), np.ones_like(place)
    rate = max(len(points) / _EXAGGERATION / 4, 50.0)
    for step in range(steps):
        early = step < min(_EARLY, steps // 4)
        gradient = _gradient(joint * (_EXAGGERATION if early else 1.0), place)
        gains = np.where(gradient * velocity < 0, gains + 0.2, gains * 0.8).clip(0.01)
        velocity = _MOMENTUM[not early] * velocity - rate * gains * gradient
        place = place + velocity
    return np.asarray(place - place.mean(0))


def _gradient(joint: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Return the gradient of KL(P || Q) by places (N, 2), for P of all pairs."""
    kernel = 1 / (1 + squared_distances(place))
    np.fill_diagonal(kernel, 0)
    pull = (joint - kernel / kernel.sum()) * kernel
    return np.asarray(4 * (pull.sum(1)[:, None] * place - pull @ place))


def _joint(points: np.ndarray, perplexity: float) -> np.ndarray:
    """Return P: symmetric, sums to 1, of Gaussians whose widths give every point that many neighbours."""
    distances = squared_distances(points)
    distances /= max(float(np.mean(distances)), 1e-12)
    low, high = np.full(len(points), 1e-6), np.full(len(points), 1e6)
    for _ in range(60):  # of each precision, halving its logarithm
        precision = np.sqrt(low * high)
        p = _conditional(distances, precision)
        entropy = -(p * np.log(np.maximum(p, 1e-300))).sum(1)
        low, high = (
            np.where(entropy > np.log(perplexity), precision, low),
            np.where(entropy > np.log(perplexity), high, precision),
        )
    p = _conditional(distances, np.sqrt(low * high))
    return np.asarray((p + p.T) / (2 * len(points)))


def _conditional(distances: np.ndarray, precision: np.ndarray) -> np.ndarray:
    logits = -distances * precision[:, None]
    np.fill_diagonal(logits, -np.inf)
    p = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(p / p.sum(1, keepdims=True))


def squared_distances(points: np.ndarray) -> np.ndarray:
    """Return the squared distance of every pair of points (N, Z), shape (N, N)."""
    squares = (points**2).sum(1)
    return np.asarray(np.maximum(squares[:, None] + squares - 2 * points @ points.T, 0))


def neighbour_agreement(points: np.ndarray, kinds: np.ndarray, neighbours: int = 5) -> float:
    """Return how often the nearest neighbours of a point are of its kind.

    Args:
        points: Shape (N, Z).
        kinds: Of each, shape (N,).
        neighbours: How many of each count.
    """
    distances = squared_distances(points)
    np.fill_diagonal(distances, np.inf)
    nearest = np.argsort(distances, 1, kind="stable")[:, :neighbours]
    return float((kinds[nearest] == kinds[:, None]).mean())
