"""What a model found in one frame, as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable


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
