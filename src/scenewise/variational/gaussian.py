"""Diagonal Gaussians given by mean and log-variance."""

from __future__ import annotations

import math
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_VIDEOS: ContextVar[int] = ContextVar("videos", default=1)
_SOURCE: ContextVar[Callable[..., Tensor] | None] = ContextVar("source", default=None)


class Gaussian(NamedTuple):
    """A diagonal Gaussian.

    Attributes:
        mean: Any shape (..., Z).
        log_variance: Broadcastable to `mean`, natural logarithm of the variance.
    """

    mean: Tensor
    log_variance: Tensor

    @classmethod
    def standard(cls, like: Tensor) -> Gaussian:
        """Return N(0, 1) of the shape of a tensor."""
        return cls(torch.zeros_like(like), torch.zeros_like(like))

    def sample(self, noise: Tensor) -> Tensor:
        """Return the reparameterised sample mean + std * noise, `noise` standard normal of shape (..., Z)."""
        return self.mean + (0.5 * self.log_variance).exp() * noise

    def kl(self, prior: Gaussian) -> Tensor:
        """Return KL(self || prior) in nats per dimension, shape (..., Z)."""
        difference = (self.mean - prior.mean).square()
        ratio = (self.log_variance - prior.log_variance).exp()
        return 0.5 * (ratio + difference * (-prior.log_variance).exp() - 1 + prior.log_variance - self.log_variance)

    def log_density(self, x: Tensor) -> Tensor:
        """Return log N(x) of x (..., Z) in nats per dimension, constants included, shape (..., Z)."""
        squares = (x - self.mean).square() * (-self.log_variance).exp()
        return -0.5 * (squares + self.log_variance + math.log(2 * math.pi))

    def kl_gradient(self, prior: Gaussian) -> tuple[Tensor, Tensor]:
        """Return the derivatives of `kl` with respect to this mean and log-variance, each (..., Z)."""
        precision = (-prior.log_variance).exp()
        by_mean = (self.mean - prior.mean) * precision
        by_log_variance = 0.5 * ((self.log_variance - prior.log_variance).exp() - 1)
        return by_mean, by_log_variance.expand_as(by_mean)


def log_density(x: Tensor, mean: Tensor, sigma: float) -> Tensor:
    """Return log N(x; mean, sigma²) in nats per element, constants included; `sigma` is a standard deviation."""
    return -0.5 * ((x - mean) / sigma).square() - math.log(sigma) - 0.5 * math.log(2 * math.pi)


def log_peak(sigma: float) -> float:
    """Return log N(mean; mean, sigma²), the largest log density of a Gaussian."""
    return -math.log(sigma) - 0.5 * math.log(2 * math.pi)


LambdaScale = Literal["log_variance", "softplus"]
"""How the scale half of lambda gives the variance: exp(raw), or log(1 + exp(raw))."""

_LEAST = -80.0  # log(1 + exp(raw)) is 0 in float32 from about -88 on


def posterior_of(raw: Tensor, scale: str = "log_variance") -> Gaussian:
    """Return the Gaussian that lambda of shape (..., 2Z), mean and scale, stands for."""
    mean, rest = raw.chunk(2, -1)
    return Gaussian(mean, rest if scale == "log_variance" else functional.softplus(rest.clamp_min(_LEAST)).log())


def raw_of(gaussian: Gaussian, scale: str = "log_variance") -> Tensor:
    """Return lambda of shape (..., 2Z) that stands for a Gaussian; see `posterior_of`."""
    rest = gaussian.log_variance
    if scale == "softplus":
        variance = rest.exp()
        rest = variance + (-(-variance).expm1()).log()  # log(exp(variance) - 1), which overflows
    return torch.cat([gaussian.mean, rest], -1)


def scale_slope(raw: Tensor, scale: str = "log_variance") -> Tensor | float:
    """Return the derivative of the log-variance by the scale half of lambda (..., 2Z): 1 or shape (..., Z)."""
    if scale == "log_variance":
        return 1.0
    rest = raw.chunk(2, -1)[1].clamp_min(_LEAST)
    return rest.sigmoid() / functional.softplus(rest)


Spread = Literal["softplus", "exp"]
"""How a network's output gives a standard deviation: softplus(raw + 0.5) + 1e-8, or exp(raw) (monet_genesis.md 1.3)."""


def gaussian_by_spread(raw: Tensor, spread: str = "softplus") -> Gaussian:
    """Return the Gaussian that an output of shape (..., 2Z), mean and standard deviation, stands for."""
    mean, rest = raw.float().chunk(2, -1)
    return Gaussian(mean, 2 * (rest if spread == "exp" else (functional.softplus(rest + 0.5) + 1e-8).log()))


@contextmanager
def same_noise(videos: int) -> Iterator[None]:
    """Let `seeded_noise` give each of so many videos side by side the noise that it has by itself.

    Args:
        videos: B; the first axis of every noise drawn meanwhile is a multiple of it.

    Examples:
        >>> alone = seeded_noise((1, 4), seed=7)
        >>> with same_noise(2):
        ...     both = seeded_noise((2, 4), seed=7)
        >>> bool((both == alone).all())
        True
    """
    token = _VIDEOS.set(videos)
    try:
        yield
    finally:
        _VIDEOS.reset(token)


@contextmanager
def noise_from(source: Callable[..., Tensor]) -> Iterator[None]:
    """Let `seeded_noise` return what a function gives for the same shape, seed and keys.

    A graph that is traced meanwhile has noise as inputs, where it would keep the numbers that were drawn.

    Args:
        source: What gives the noise; noise that it draws itself is seeded as ever.
    """
    token = _SOURCE.set(source)
    try:
        yield
    finally:
        _SOURCE.reset(token)


def seeded_noise(shape: tuple[int, ...], seed: int, *keys: int, device: torch.device | str = "cpu") -> Tensor:
    """Return standard normal noise that depends on nothing but `shape`, `seed` and `keys`.

    It is drawn on the CPU and then moved, so that a GPU sees the same numbers.
    """
    source = _SOURCE.get()
    if source is not None:
        token = _SOURCE.set(None)
        try:
            return source(shape, seed, *keys)
        finally:
            _SOURCE.reset(token)
    stream = seed
    for key in keys:
        stream = (stream * 6364136223846793005 + key + 1442695040888963407) % (1 << 63)
    generator = torch.Generator().manual_seed(stream)
    videos = _VIDEOS.get()
    noise = torch.randn(shape if videos == 1 else (shape[0] // videos, *shape[1:]), generator=generator)
    if videos > 1:
        noise = noise.repeat(videos, *(1,) * (len(shape) - 1))
    if torch.device(device).type == "cuda":  # pinned: the host does not wait for what the GPU still has to do
        return noise.pin_memory().to(device, non_blocking=True)
    return noise.to(device)
