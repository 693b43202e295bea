"""What every model returns: one explanation of the frames as slots; and one frame of it as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch
    from torch import Tensor

LabelRule = Literal["responsibility", "masks"]
"""Who owns a pixel of a frame that was seen: the slot that explains it best, or that with the largest mask."""
LABEL_RULES: tuple[LabelRule, ...] = get_args(LabelRule)


@dataclass(frozen=True)
class Decomposition:
    """The slots of T frames.

    Attributes:
        masks: Shape (B, T, K, 1, H, W); at least 0, sums to 1 over K.
        appearance: Mean image of each slot, shape (B, T, K, C, H, W).
        mean: Posterior mean of each slot's latent, shape (B, T, K, Z).
        log_variance: Posterior log-variance, shape (B, T, K, Z).
        prior_mean: Prior mean, shape (B, T, K, Z).
        prior_log_variance: Prior log-variance, shape (B, T, K, Z).
        log_likelihood: log p(frame given slots) in nats, constants included, shape (B, T).
        kl: KL(posterior || prior) in nats summed over slots and dimensions, shape (B, T).
        positions: Where slots are, (x, y) as shares of width and height, shape (B, T, K, 2), NaN for those without a
            place; None of models that say it by masks alone.
        responsibilities: Probability that a slot explains the pixel that was seen, m_k N_k / sum_j m_j N_j, shape
            (B, T, K, 1, H, W); None of models whose masks are read off the frame themselves, and of frames that nobody
            saw.
        tracks: Which object a slot holds, int64, shape (B, T, K): another number for another object in the same slot,
            0 for the background, -1 for a slot that holds none; None of models whose slots are the objects.
    """

    masks: Tensor
    appearance: Tensor
    mean: Tensor
    log_variance: Tensor
    prior_mean: Tensor
    prior_log_variance: Tensor
    log_likelihood: Tensor
    kl: Tensor
    positions: Tensor | None = None
    responsibilities: Tensor | None = None
    tracks: Tensor | None = None

    @property
    def reconstruction(self) -> Tensor:
        """Sum over slots of mask times appearance, shape (B, T, C, H, W); not clipped."""
        return (self.masks * self.appearance).sum(2)

    @property
    def labels(self) -> Tensor:
        """The slot that owns each pixel, int64, shape (B, T, H, W); ties go to the lowest index.

        It is the slot that explains the pixel that was seen best where that is known, else the largest mask.
        """
        shares = self.masks if self.responsibilities is None else self.responsibilities
        return shares.squeeze(3).max(2).indices  # on a CPU twenty times as fast as argmax

    def labelled(self, rule: LabelRule) -> Decomposition:
        """Return the decomposition with `labels` by a rule; without responsibilities they follow the masks anyway."""
        return replace(self, responsibilities=None) if rule == "masks" else self

    @property
    def slots(self) -> int:
        """K."""
        return self.masks.shape[2]

    def tensors(self) -> dict[str, Tensor]:
        """Return its tensors by name, without those that are None."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}

    def map(self, change: Callable[[Tensor], Tensor]) -> Decomposition:
        """Return the decomposition with every tensor changed alike."""
        return Decomposition(**{name: change(tensor) for name, tensor in self.tensors().items()})

    def detach(self) -> Decomposition:
        """Return the same decomposition without a graph."""
        return self.map(lambda tensor: tensor.detach())

    def frame(self, t: int) -> Decomposition:
        """Return what it says of frame `t`, with T = 1."""
        return self.map(lambda tensor: tensor[:, t : t + 1])

    def to(self, device: torch.device | str) -> Decomposition:
        """Return the decomposition on another device."""
        return self.map(lambda tensor: tensor.to(device))

    @staticmethod
    def join(parts: Sequence[Decomposition]) -> Decomposition:
        """Concatenate decompositions of consecutive frames along T; what one of them lacks, all lack."""
        import torch

        if len(parts) == 1:
            return parts[0]
        each = [part.tensors() for part in parts]
        names = [name for name in each[0] if all(name in tensors for tensors in each)]
        return Decomposition(**{name: torch.cat([tensors[name] for tensors in each], 1) for name in names})


@dataclass
class FrameResult:
    """One frame taken apart, at the size of the results (H, W).

    Attributes:
        index: The frame's number in its source, from 0.
        time_s: Seconds after the first frame, or None.
        image: The frame, of which the model saw the content at its own size, uint8, shape (H, W, 3); black where
            `predicted`.
        labels: The slot that owns each pixel, uint8, or uint16 beyond 256 slots, shape (H, W).
        masks: Float32 in [0, 1], sums to 1 over K, shape (K, H, W).
        appearance: Mean image of each slot, uint8, shape (K, H, W, 3).
        reconstruction: Float32, not clipped, shape (H, W, C).
        mean: Posterior mean of each slot's latent, shape (K, Z).
        std: Posterior standard deviation of each slot's latent, shape (K, Z).
        mse: Squared error of the reconstruction per pixel and channel at the model's own size, whatever the size of
            the results: what the model card's figures mean. Frames in [0, 1]; NaN where there is none to compare with.
        kl: KL(posterior || prior) in nats.
        log_likelihood: log p(frame given slots) in nats.
        predicted: Whether the model did not see this frame but predicted it.
        truth: The true frame beside a predicted one, uint8, shape (H, W, 3).
        ids: True ids, int64, shape (H, W), or None.
        tracks: The number of each slot's object from 1, 0 for the background and -1 for none, shape (K,); None where
            slots are the objects.
        spread: Computes `uncertainty` when it is asked for; None where the model cannot draw samples.
        own: The true frame, uint8, shape (h, w, 3), or None, and the reconstruction, float32, shape (h, w, C), at the
            model's own size; None where the results have it.
    """

    index: int
    time_s: float | None
    image: np.ndarray
    labels: np.ndarray
    masks: np.ndarray
    appearance: np.ndarray
    reconstruction: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    mse: float
    kl: float
    log_likelihood: float
    predicted: bool = False
    truth: np.ndarray | None = None
    ids: np.ndarray | None = None
    tracks: np.ndarray | None = None
    spread: Callable[[], np.ndarray] | None = field(default=None, repr=False)
    own: tuple[np.ndarray | None, np.ndarray] | None = field(default=None, repr=False)
    _uncertainty: np.ndarray | None = field(default=None, repr=False)

    @property
    def uncertainty(self) -> np.ndarray:
        """Standard deviation of the reconstruction over posterior samples, float32, shape (H, W).

        Computed on first use, for it costs as much as decoding a few frames; zeros where the model cannot draw.
        """
        if self._uncertainty is None:
            self._uncertainty = np.zeros(self.labels.shape, np.float32) if self.spread is None else self.spread()
            self.spread = None
        return self._uncertainty

    @property
    def picture(self) -> np.ndarray:
        """The reconstruction as an image, uint8, shape (H, W, 3)."""
        return as_picture(self.reconstruction)

    @property
    def seen(self) -> np.ndarray | None:
        """The true image, uint8, shape (H, W, 3): what the model saw or should have predicted; None if unknown."""
        return self.truth if self.predicted else self.image

    @property
    def compared(self) -> tuple[np.ndarray | None, np.ndarray]:
        """The true image, None if unknown, and the reconstruction: both at the model's own size, as for `mse`."""
        return (self.seen, self.reconstruction) if self.own is None else self.own

    @property
    def slots(self) -> int:
        """K."""
        return len(self.masks)

    @property
    def track_ids(self) -> np.ndarray:
        """The number that each slot's object has in all files, from 1, shape (K,).

        A slot is its object unless the model says otherwise; then 0 is the background, or a slot that holds none.
        """
        return np.arange(1, self.slots + 1) if self.tracks is None else np.maximum(self.tracks, 0)

    @property
    def mean_masks(self) -> np.ndarray:
        """Mean mask of each slot over the pixels that it owns, float32, shape (K,); 0 where it owns none."""
        means = np.zeros(self.slots, np.float32)
        for k in np.unique(self.labels).tolist():
            means[k] = min(1.0, float(self.masks[k][self.labels == k].mean()))
        return means

    @property
    def nbytes(self) -> int:
        """Bytes its arrays hold."""
        arrays = (self.image, self.labels, self.masks, self.appearance, self.reconstruction, self.truth, self.ids)
        return sum(a.nbytes for a in (*arrays, self.mean, self.std, *(self.own or ())) if a is not None)


def as_picture(values: np.ndarray) -> np.ndarray:
    """Return floats (..., H, W, C) in [0, 1], C 1 or 3, as uint8 (..., H, W, 3); values outside are clipped.

    Examples:
        >>> as_picture(np.array([[[0.0], [0.2], [1.5]]])).tolist()
        [[[0, 0, 0], [51, 51, 51], [255, 255, 255]]]
    """
    image = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image
