"""One explained frame, from which slots can be drawn anew."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from scenewise.decomposition import as_picture
from scenewise.errors import InputError
from scenewise.models.contract import Decodes, repeated
from scenewise.variational.gaussian import Gaussian

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from scenewise.decomposition import Decomposition
    from scenewise.explore.recording import RecordedDecode
    from scenewise.models.contract import SceneModel, State


@dataclass(frozen=True)
class Drawing:
    """N pictures of K slots.

    Attributes:
        masks: Shape (N, K, H, W), sums to 1 over K.
        appearance: Shape (N, K, H, W, C), not clipped.
    """

    masks: np.ndarray
    appearance: np.ndarray

    @property
    def images(self) -> np.ndarray:
        """What the slots compose, uint8, shape (N, H, W, 3)."""
        return as_picture((self.masks[..., None] * self.appearance).sum(1))

    def alone(self, slot: int, paper: float = 1.0) -> np.ndarray:
        """Return one slot as strongly as its mask is, over a grey paper, uint8, shape (N, H, W, 3)."""
        mask = self.masks[:, slot, ..., None]
        return as_picture(mask * self.appearance[:, slot].clip(0, 1) + (1 - mask) * paper)


@dataclass
class Moment:
    """One frame as a model explains it. Slots are numbered as in results, latents as `mean` has them.

    Attributes:
        model: The model.
        index: The frame's number in its source, or the view's.
        time_s: Seconds after the first frame, or None.
        image: What the model was given, uint8, shape (h, w, C).
        decomposition: With B = T = 1.
        state: With which the model draws what it drew here.
        order: The model's own number of each slot, shape (K,); None where it is the same.
        decodes: What was recorded of models of iterative inference; without those of other frames.
        ids: True ids, shape (h, w), or None.
        note: What must be known to read it, such as that slots began anew here; mostly empty.
    """

    model: SceneModel
    index: int
    time_s: float | None
    image: np.ndarray
    decomposition: Decomposition
    state: State
    order: Tensor | None = None
    decodes: Sequence[RecordedDecode] = field(default_factory=list, repr=False)
    ids: np.ndarray | None = None
    note: str = ""

    @property
    def slots(self) -> int:
        """K."""
        return self.decomposition.slots

    @property
    def posterior(self) -> Gaussian:
        """q, each part (K, Z)."""
        return Gaussian(self.decomposition.mean[0, 0], self.decomposition.log_variance[0, 0])

    @property
    def prior(self) -> Gaussian:
        """p, each part (K, Z)."""
        return Gaussian(self.decomposition.prior_mean[0, 0], self.decomposition.prior_log_variance[0, 0])

    @cached_property
    def kl(self) -> np.ndarray:
        """KL of posterior and prior in nats, of each dimension, shape (K, Z)."""
        return self.posterior.kl(self.prior).cpu().numpy()

    def ranking(self, slot: int) -> np.ndarray:
        """Return the dimensions of a slot's latent by their KL, largest first, int64, shape (Z,)."""
        return np.argsort(-self.kl[self.checked(slot)], kind="stable")

    @property
    def most_informed(self) -> int:
        """The slot whose posterior says most, in nats, of those that own a pixel but not most of the frame."""
        labels = self.decomposition.labels[0, 0].cpu().numpy()
        area = np.bincount(labels.reshape(-1), minlength=self.slots)
        candidates = np.flatnonzero((area > 0) & (2 * area < labels.size))
        if not len(candidates):
            candidates = np.flatnonzero(area)
        return int(candidates[np.argmax(self.kl[candidates].sum(1))])

    def checked(self, slot: int) -> int:
        """Return the number of a slot, from 0.

        Raises:
            InputError: There is no such slot.
        """
        if not 0 <= slot < self.slots:
            raise InputError("slot", f"expected 0 to {self.slots - 1}; found {slot}.")
        return slot

    @torch.no_grad()
    def draw(self, latents: Tensor, sources: Sequence[int] | None = None) -> Drawing:
        """Draw latents where and when this frame's were drawn.

        Args:
            latents: Shape (N, S, Z).
            sources: For each of the S latents the slot whose other state it is drawn with, such as what a video has
                left it; None for the slots in their order, S = K.

        Raises:
            InputError: The model cannot draw latents, or cannot have S slots.
        """
        if not isinstance(self.model, Decodes):
            kind = self.model.registered_name
            raise InputError(kind, "cannot draw a slot from a latent.", "Use another kind of model.")
        slots = list(range(self.slots)) if sources is None else [self.checked(k) for k in sources]
        if len(slots) != self.slots:
            self.model.count_slots(len(slots))
        device = self.decomposition.mean.device
        numbers = torch.tensor(slots, device=device)
        if self.order is not None:  # what a slot draws may depend on the number the model gave it
            numbers = self.order[numbers]
        back = numbers.argsort(stable=True)
        chosen = torch.tensor(slots, device=device)[back]
        own = self.model.slot_state
        state = {name: t.index_select(1, chosen) if name in own else t for name, t in self.state.items()}
        pictures = self.model.decode(latents.to(device)[:, back], repeated(state, len(latents)))
        place = back.argsort()
        masks, appearance = (t[:, place].float().cpu().numpy() for t in pictures)
        return Drawing(masks[:, :, 0], np.moveaxis(appearance, 2, -1))
