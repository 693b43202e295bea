"""What a model says of a frame, drawn at the size of the results, and how uncertain that is."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import interpolate

from scenewise.decomposition import FrameResult, as_picture
from scenewise.models.contract import repeated
from scenewise.variational.gaussian import seeded_noise

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from torch import Tensor

    from scenewise.decompose.clip import ClipFrame
    from scenewise.decomposition import Decomposition
    from scenewise.models.contract import Decodes, State

SAMPLES = 4
"""Posterior samples that are decoded for a frame's uncertainty."""

_KEY = 1 << 20  # keeps this noise apart from that of the refinements


def draw(
    frame: ClipFrame,
    part: Decomposition,
    *,
    spread: Callable[[], np.ndarray] | None = None,
    predicted: bool = False,
    known: bool = True,
) -> FrameResult:
    """Return the first frame of the first video of a decomposition, at the size of the results.

    Where that is the model's own size it is what the model says.

    Args:
        frame: The frame that was explained or predicted, at both sizes.
        part: What the model says of it.
        spread: Computes the uncertainty when it is asked for.
        predicted: The model did not see the frame.
        known: The frame's picture is known.
    """
    size, own_size = image_size(frame.image), tuple(part.masks.shape[-2:])
    masks, appearance = part.masks[0, 0, :, 0], part.appearance[0, 0]  # (K, h, w), (K, C, h, w)
    own = part.reconstruction[0, 0].permute(1, 2, 0).cpu().numpy()  # (h, w, C)
    if size == own_size:
        labels, reconstruction = part.labels[0, 0], own
        pictures = as_picture(appearance.permute(0, 2, 3, 1).cpu().numpy())
    else:
        shares = None if part.responsibilities is None else part.responsibilities[0, 0, :, 0]
        masks = scaled_masks(masks, size)
        labels = (masks if shares is None else scaled_masks(shares, size)).max(0).indices
        whole, pictures = _scaled_appearance(appearance, masks, size)
        reconstruction = whole.permute(1, 2, 0).cpu().numpy()
    image = _coloured(frame.image)
    return FrameResult(
        index=frame.index,
        time_s=frame.time_s,
        image=np.zeros_like(image) if predicted else image,
        labels=labels.cpu().numpy().astype(np.uint8 if part.slots <= 256 else np.uint16),
        masks=masks.cpu().numpy(),
        appearance=pictures,
        reconstruction=reconstruction,
        mean=part.mean[0, 0].cpu().numpy(),
        std=(0.5 * part.log_variance[0, 0]).exp().cpu().numpy(),
        mse=float(np.mean((frame.given / np.float32(255) - own) ** 2)) if known else float("nan"),
        kl=float(part.kl[0, 0]),
        log_likelihood=float(part.log_likelihood[0, 0]),
        predicted=predicted,
        truth=image if predicted and known else None,
        ids=frame.ids,
        tracks=None if part.tracks is None else part.tracks[0, 0].cpu().numpy(),
        spread=spread,
        own=None if size == own_size else (_coloured(frame.given) if known else None, own),
    )


def scaled(planes: Tensor, size: tuple[int, int]) -> Tensor:
    """Scale planes (..., h, w) to (..., H, W) bilinearly, over all pixels that fall together where it shrinks.

    Examples:
        >>> scaled(torch.tensor([[0.0, 1.0]]), (1, 4)).tolist()
        [[0.0, 0.25, 0.75, 1.0]]
    """
    height, width = planes.shape[-2:]
    if (height, width) == size:
        return planes
    shrinks = size[0] < height or size[1] < width
    flat = planes.reshape(1, -1, height, width)
    large = interpolate(flat, size, mode="bilinear", align_corners=False, antialias=shrinks)
    return large.reshape(*planes.shape[:-2], *size)


def scaled_masks(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Scale probabilities (K, h, w) to (K, H, W); they still sum to 1 over K.

    Examples:
        >>> masks = scaled_masks(torch.eye(2)[:, None], (1, 4))  # two slots, one pixel each
        >>> masks.squeeze(1).tolist()
        [[1.0, 0.75, 0.25, 0.0], [0.0, 0.25, 0.75, 1.0]]
    """
    shares = scaled(masks, size).clamp(0, 1)
    return shares / shares.sum(0, keepdim=True).clamp_min(torch.finfo(shares.dtype).tiny)


def _scaled_appearance(appearance: Tensor, masks: Tensor, size: tuple[int, int]) -> tuple[Tensor, np.ndarray]:
    """Return the reconstruction (C, H, W) and pictures (K, H, W, 3): slot by slot, as all at once may not fit."""
    channels = appearance.shape[1]
    whole = torch.zeros(channels, *size, dtype=appearance.dtype, device=appearance.device)
    pictures = np.empty((len(appearance), *size, 3), np.uint8)
    for k, image in enumerate(appearance):
        large = scaled(image, size)  # (C, H, W)
        whole += masks[k] * large
        pictures[k] = as_picture(large.permute(1, 2, 0).cpu().numpy())
    return whole, pictures


def image_size(image: np.ndarray) -> tuple[int, int]:
    """Return (H, W) of an image (H, W, C)."""
    return int(image.shape[0]), int(image.shape[1])


def _coloured(image: np.ndarray) -> np.ndarray:
    """Return (H, W, 3) of an image (H, W, 1 or 3)."""
    return image if image.shape[2] == 3 else np.repeat(image, 3, axis=2)


@dataclass(frozen=True)
class SampleSpread:
    """What the uncertainty of one frame is computed from; it holds on to latents and state, not to what was drawn.

    Attributes:
        model: What draws.
        mean: Posterior mean, in the model's own order of slots, shape (K, Z).
        log_variance: Posterior log-variance, shape (K, Z).
        state: With which the model drew the frame.
        seed: Seed of the samples.
        index: The frame's number in its source: no two frames share their noise.
        size: (H, W) of the results.
        turn: Held while the model draws.
    """

    model: Decodes
    mean: Tensor
    log_variance: Tensor
    state: State
    seed: int
    index: int
    size: tuple[int, int]
    turn: AbstractContextManager[object] = field(default_factory=nullcontext)

    @torch.no_grad()
    def __call__(self) -> np.ndarray:
        """Return the standard deviation of the reconstruction over posterior samples, shape (H, W)."""
        with self.turn:  # also while noise is moved there: a graph that is captured meanwhile would be lost
            noise = seeded_noise((SAMPLES, *self.mean.shape), self.seed, self.index, _KEY, device=self.mean.device)
            latents = self.mean + (0.5 * self.log_variance).exp() * noise  # (S, K, Z)
            masks, appearance = self.model.decode(latents, repeated(self.state, SAMPLES))
            images = (masks * appearance).sum(1)  # (S, C, H, W)
            distance = images - images.mean(0)
            variance = distance.square().sum((0, 1)) / ((SAMPLES - 1) * images.shape[1])  # `var` takes 30 times as long
            return scaled(variance.sqrt(), self.size).cpu().numpy()
