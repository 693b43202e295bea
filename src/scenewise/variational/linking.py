"""Slots that keep their objects, for models that explain frames from scratch and number slots anew each time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from scenewise.decomposition import Decomposition

_PER_FRAME = ("log_likelihood", "kl")


def contributions(decomposition: Decomposition, t: int = 0) -> Tensor:
    """Return what each slot puts into frame `t`, mask times appearance, shape (B, K, C, H, W)."""
    return (decomposition.masks * decomposition.appearance)[:, t]


def match(now: Tensor, before: Tensor) -> Tensor:
    """Return which slot goes on with what slot k showed in the frame before, for each k.

    Slots are matched one to one so that the squared difference of their contributions is least. An empty background
    that slots share at no cost weighs nothing then, whereas overlap of masks would follow it.

    Args:
        now: `contributions` of a frame, shape (B, K, C, H, W).
        before: Those of the frame before it.

    Returns:
        int64, shape (B, K).
    """
    from scipy.optimize import linear_sum_assignment  # takes long to import, and most models need none of it

    cost = torch.cdist(before.flatten(2).float(), now.flatten(2).float()).square().cpu().numpy()  # (B, K, K)
    return torch.tensor([linear_sum_assignment(each)[1].tolist() for each in cost], device=now.device)


def reorder(decomposition: Decomposition, order: Tensor) -> Decomposition:
    """Return a decomposition whose slot k is its slot `order[:, k]`, in all frames alike.

    Args:
        decomposition: Of B videos.
        order: int64, shape (B, K).
    """
    slots = {name: values for name, values in decomposition.tensors().items() if name not in _PER_FRAME}
    for name, values in slots.items():  # (B, T, K, ...)
        index = order[:, None].reshape(*order.shape[:1], 1, order.shape[1], *(1,) * (values.ndim - 3))
        slots[name] = values.gather(2, index.expand_as(values))
    return replace(decomposition, **slots)


def link(decomposition: Decomposition, state: Mapping[str, Tensor]) -> tuple[Decomposition, dict[str, Tensor]]:
    """Renumber the slots of a frame, or of a clip, so that each goes on with what it showed in the frame before.

    Args:
        decomposition: Of one frame, T = 1, or of a clip of which the first frame decides.
        state: What this function left with the frame before in `shown`; nothing of that name begins a video.

    Returns:
        The decomposition, and the state with `shown`, the contributions (B, K, C, H, W) of the last frame, and `order`,
        the number that the model gave to each slot, shape (B, K).

    Examples:
        A frame of two slots whose contents, black and white, come in the other order than before:

        >>> from scenewise.decomposition import Decomposition
        >>> def frame(first, second):
        ...     masks = torch.full((1, 1, 2, 1, 4, 4), 0.5)
        ...     levels = torch.tensor([first, second])
        ...     appearance = levels.reshape(1, 1, 2, 1, 1, 1).expand(1, 1, 2, 3, 4, 4)
        ...     latent = levels.reshape(1, 1, 2, 1)
        ...     return Decomposition(masks, appearance, *[latent] * 4, torch.zeros(1, 1), torch.zeros(1, 1))
        >>> _, state = link(frame(0.0, 1.0), {})
        >>> linked, state = link(frame(1.0, 0.0), state)
        >>> linked.mean.flatten().tolist()
        [0.0, 1.0]
        >>> state["order"].tolist()
        [[1, 0]]
    """
    now = contributions(decomposition)
    if "shown" in state:
        order = match(now, state["shown"])
        decomposition = reorder(decomposition, order)
    else:
        order = torch.arange(now.shape[1], device=now.device).expand(len(now), -1)
    last = contributions(decomposition, decomposition.masks.shape[1] - 1)
    return decomposition, {**state, "shown": last, "order": order}
