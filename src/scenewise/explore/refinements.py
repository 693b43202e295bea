"""Refinements of a frame as pictures: what was drawn after each, how good it was, and what the network saw of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import interpolate

from scenewise.decomposition import as_picture
from scenewise.errors import InputError
from scenewise.explore.figure import Curve, FigureRow, diverging, figure
from scenewise.media.palette import slot_colours, tinted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scenewise.explore.moment import Moment
    from scenewise.explore.recording import RecordedDecode


@dataclass(frozen=True)
class RefinementPicture:
    """One decode of a frame, as plain arrays.

    Attributes:
        decode: What was recorded.
        name: Its number in words, such as "2" or, of a second look at the frame, "look 2: 0".
    """

    decode: RecordedDecode
    name: str

    @property
    def nll(self) -> float:
        """Negative log-likelihood in nats."""
        return float(self.decode.nll[0])

    @property
    def kl(self) -> float:
        """KL of posterior and prior in nats."""
        return float(self.decode.kl[0])

    @cached_property
    def masks(self) -> np.ndarray:
        """Shape (K, h, w)."""
        return self.decode.mixture.masks[0, :, 0].detach().cpu().numpy()

    @cached_property
    def appearance(self) -> np.ndarray:
        """Not clipped, shape (K, h, w, C)."""
        return self.decode.mixture.appearance[0].detach().movedim(1, -1).cpu().numpy()

    @property
    def image(self) -> np.ndarray:
        """What all slots compose, uint8, shape (h, w, 3)."""
        return as_picture((self.masks[..., None] * self.appearance).sum(0))

    def alone(self, slot: int, paper: float = 1.0) -> np.ndarray:
        """Return one slot as strongly as its mask is, over a grey paper, uint8, shape (h, w, 3)."""
        mask = self.masks[slot, ..., None]
        return as_picture(mask * self.appearance[slot].clip(0, 1) + (1 - mask) * paper)

    @cached_property
    def gradients(self) -> dict[str, np.ndarray]:
        """What the refinement network saw next: "means" (K, h, w, C) and "masks" (K, h, w, 1); empty after the last."""
        if not self.decode.refined:
            return {}
        return {name: images[0].movedim(1, -1).cpu().numpy() for name, images in self.decode.gradients().items()}


def refinement_pictures(moment: Moment) -> list[RefinementPicture]:
    """Return the decodes of a frame, in their order.

    Raises:
        InputError: The model does not refine.
    """
    if not moment.decodes:
        kind = moment.model.registered_name
        problem = f"is of kind {kind}, which does not refine its frames step by step."
        raise InputError("model", problem, "Use one that does, such as provide-balls-colour or iodine-balls-colour.")
    looks = len({decode.look for decode in moment.decodes})
    return [
        RefinementPicture(decode, f"look {decode.look + 1}: {decode.number}" if looks > 1 else str(decode.number))
        for decode in moment.decodes
    ]


def refinement_figure(
    moment: Moment, pictures: Sequence[RefinementPicture], title: str, slots: Sequence[int] | None = None
) -> np.ndarray:
    """Return the refinements as one figure, uint8, shape (height, width, 3).

    Columns are the frame and its decodes. Rows are what all slots compose, where slots are, and of each slot what it
    draws alone and the gradients by its mean and by its mask, as the refinement network sees them; curves show NLL and
    KL in nats.

    Args:
        moment: The frame.
        pictures: Its `refinement_pictures`.
        title: Over it.
        slots: Which, from 0; all where None.

    Raises:
        InputError: There is no such slot.
    """
    chosen = [moment.checked(k) for k in (range(moment.slots) if slots is None else slots)]
    size = pictures[0].masks.shape[1:]
    given = _at(as_picture(moment.image / np.float32(255)), size)
    largest = int(pictures[-1].masks.sum((1, 2)).argmax())  # left as it is, as the background mostly is the largest
    rows = [
        FigureRow("all slots", [given, *(p.image for p in pictures)]),
        FigureRow("where they are", [None, *(tinted(given, p.masks, largest) for p in pictures)]),
    ]
    for k in chosen:
        red, green, blue = slot_colours(k + 1)[k].astype(int).tolist()
        alone = [None, *(p.alone(k) for p in pictures)]
        rows.append(FigureRow(f"slot {k + 1}", alone, colour=(red, green, blue), space=8))
        for name, label in (("means", "by its mean"), ("masks", "by its mask")):
            if name not in pictures[0].gradients:
                continue
            seen = [_at(diverging(p.gradients[name][k]), size) if p.gradients else None for p in pictures]
            rows.append(FigureRow("gradient", [None, *seen], label))
    curves = [Curve("NLL, nats", [p.nll for p in pictures]), Curve("KL, nats", [p.kl for p in pictures])]
    return figure(title, ["frame", *(f"r = {p.name}" if ":" not in p.name else p.name for p in pictures)], rows, curves)


def _at(image: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Scale a picture (h, w, 3) to the size at which the model works, by pixel area or repeated pixels."""
    if image.shape[:2] == size:
        return image
    planes = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float()
    mode = "area" if image.shape[0] > size[0] else "nearest"
    return interpolate(planes, size, mode=mode)[0].permute(1, 2, 0).round().byte().numpy()
