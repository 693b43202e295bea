"""Slots that keep their objects, for models that explain every frame from scratch and number slots anew each time."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

import torch
from scipy.optimize import linear_sum_assignment

if TYPE_CHECKING:
    from torch import Tensor

    from scenewise.decomposition import Decomposition

_PER_FRAME = ("log_likelihood", "kl")


def contributions(decomposition: Decomposition) -> Tensor:
    """Return what each slot puts into the first frame, mask times appearance, shape (B, K, C, H, W)."""
    return (decomposition.masks * decomposition.appearance)[:, 0]


def link(decomposition: Decomposition, before: Tensor) -> Decomposition:
    """Reorder the slots of a frame, or of a clip, so that each goes on with what it showed in the frame before.

    Slots are matched one to one so that the squared difference of their contributions is least. An empty background
    that slots share at no cost weighs nothing then, whereas overlap of masks would follow it.

    Args:
        decomposition: Of one frame, T = 1, or of a clip of which the first frame decides.
        before: `contributions` of the frame before, as linked, shape (B, K, C, H, W).

    Examples:
        A frame of two slots whose contents, black and white, come in the other order than before:

        >>> from scenewise.decomposition import Decomposition
        >>> def frame(first, second):
        ...     masks = torch.full((1, 1, 2, 1, 4, 4), 0.5)
        ...     levels = torch.tensor([first, second])
        ...     appearance = levels.reshape(1, 1, 2, 1, 1, 1).expand(1, 1, 2, 3, 4, 4)
        ...     latent = levels.reshape(1, 1, 2, 1)
        ...     return Decomposition(masks, appearance, *[latent] * 4, torch.zeros(1, 1), torch.zeros(1, 1))
        >>> linked = link(frame(1.0, 0.0), contributions(frame(0.0, 1.0)))
        >>> linked.mean.flatten().tolist()
        [0.0, 1.0]
    """
    now, then = contributions(decomposition).flatten(2), before.flatten(2)
    cost = torch.cdist(then.float(), now.float()).square().cpu().numpy()  # (B, K, K)
    order = torch.tensor(
        [linear_sum_assignment(each)[1].tolist() for each in cost], device=decomposition.masks.device
    )  # (B, K)
    parts = {field.name: getattr(decomposition, field.name) for field in fields(decomposition)}
    moved = {
        name: _taken(values, order) for name, values in parts.items() if name not in _PER_FRAME and values is not None
    }
    return replace(decomposition, **moved)


def _taken(values: Tensor, order: Tensor) -> Tensor:
    """Return (B, T, K, ...) with slots in the order given for each of B."""
    index = order[:, None].reshape(*order.shape[:1], 1, order.shape[1], *(1,) * (values.ndim - 3))
    return values.gather(2, index.expand_as(values))
