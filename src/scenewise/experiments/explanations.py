"""Images and clips that a model explained, and figures of them: what measurements and pictures of experiments need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from scenewise.decomposition import as_picture
from scenewise.explore.figure import FigureRow, figure
from scenewise.explore.recording import recording
from scenewise.media.palette import slot_colours, tinted
from scenewise.observation import Observation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scenewise.data.contract import Sample, Source
    from scenewise.decomposition import Decomposition
    from scenewise.explore.recording import RecordedDecode
    from scenewise.models.contract import SceneModel

PAPER = 0.6
"""Grey that pictures of single slots are drawn on: neither black things nor white ones vanish."""


@dataclass(frozen=True)
class SceneExplanations:
    """N images or clips as a model explains them.

    Attributes:
        frames: Float in [0, 1], shape (N, T, C, H, W).
        ids: The truth, shape (N, T, H, W); None where it is not known.
        part: What the model returns, on the CPU.
        decodes: One for each refinement, of models of iterative inference; empty of others.
        samples: What the source says of each; empty where frames were given.
    """

    frames: np.ndarray
    ids: np.ndarray | None
    part: Decomposition
    decodes: list[RecordedDecode]
    samples: tuple[Sample, ...] = ()

    def image(self, n: int, t: int = 0) -> np.ndarray:
        """Return a frame, uint8, shape (H, W, 3)."""
        return as_picture(np.moveaxis(self.frames[n, t], 0, -1))

    def masks(self, n: int, t: int = 0) -> np.ndarray:
        """Return the masks of a frame, shape (K, H, W)."""
        return np.asarray(self.part.masks[n, t, :, 0])

    def labels(self, n: int, t: int = 0) -> np.ndarray:
        """Return the slot that owns each pixel by its mask, shape (H, W)."""
        return self.masks(n, t).argmax(0)

    def background(self, n: int) -> int:
        """Return the slot with the largest area in an image or clip."""
        return int(np.asarray(self.part.masks[n]).sum((0, 2, 3, 4)).argmax())

    def reconstruction(self, n: int, t: int = 0) -> np.ndarray:
        """Return what all slots compose, uint8, shape (H, W, 3)."""
        return as_picture(np.moveaxis(np.asarray(self.part.reconstruction[n, t]), 0, -1))

    def slot(self, n: int, k: int, t: int = 0) -> np.ndarray:
        """Return a slot as strongly as its mask is, on grey, uint8, shape (H, W, 3)."""
        mask = self.masks(n, t)[k, ..., None]
        picture = np.moveaxis(np.asarray(self.part.appearance[n, t, k]), 0, -1).clip(0, 1)
        return as_picture(mask * picture + (1 - mask) * PAPER)

    def unmasked(self, n: int, k: int, t: int = 0) -> np.ndarray:
        """Return what a slot draws everywhere, uint8, shape (H, W, 3)."""
        return as_picture(np.moveaxis(np.asarray(self.part.appearance[n, t, k]), 0, -1))

    def segmentation(self, n: int, t: int = 0) -> np.ndarray:
        """Return the frame under the slots' colours, the largest slot left as it is, uint8, shape (H, W, 3)."""
        return tinted(self.image(n, t), self.masks(n, t), self.background(n))


@torch.no_grad()
def explain_scenes(
    model: SceneModel,
    data: Source | np.ndarray,
    indices: Sequence[int] = (),
    *,
    frames: int = 1,
    slots: int | None = None,
    refinements: int | None = None,
    seed: int = 0,
) -> SceneExplanations:
    """Let a model explain samples of a source, or images, side by side.

    Args:
        model: In evaluation mode.
        data: The source, or frames in [0, 1], shape (N, T, C, H, W).
        indices: Which samples of the source; those that it does not have are left out.
        frames: Frames of each, from the start.
        slots: K; the model's own where None.
        refinements: R; the model's own where None.
        seed: Of the posterior noise.
    """
    samples: tuple[Sample, ...] = ()
    ids: np.ndarray | None = None
    if isinstance(data, np.ndarray):
        images = data.astype(np.float32)
    else:
        read = [data.sample(index, 0, frames) for index in indices if index < len(data)]
        images = np.stack([sample.frames for sample in read]).astype(np.float32) / np.float32(255)
        ids = np.stack([np.asarray(sample.ids) for sample in read]) if data.facts.has_ids else None
        samples = tuple(data.with_objects(sample) for sample in read)
    observation = Observation(torch.from_numpy(images)).to(next(model.parameters()).device)
    with recording(model) as decodes:
        part = model(observation, slots, refinements, seed).decomposition
    return SceneExplanations(images, ids, part.map(lambda tensor: tensor.float().cpu()), list(decodes), samples)


def slot_figure(title: str, scenes: SceneExplanations, count: int | None = None, unmasked: bool = False) -> np.ndarray:
    """Return a figure with a row per image: it, its reconstruction, its segmentation, and slots, the largest first.

    Args:
        title: Over it.
        scenes: The images; of clips the first frame.
        count: How many rows; all where None.
        unmasked: Draw slots everywhere, not only where their masks are.

    Returns:
        uint8, shape (height, width, 3).
    """
    rows = []
    for n in range(len(scenes.frames))[:count]:
        order = np.argsort(-scenes.masks(n).sum((1, 2)), kind="stable").tolist()
        draw = scenes.unmasked if unmasked else scenes.slot
        parts = [draw(n, k) if unmasked else framed(draw(n, k), k) for k in order]
        rows.append(FigureRow(str(n + 1), [scenes.image(n), scenes.reconstruction(n), scenes.segmentation(n), *parts]))
    slots = scenes.part.slots
    return figure(title, ["image", "all slots", "masks", *("" for _ in range(slots))], rows)


def clip_figure(title: str, clips: SceneExplanations, n: int, step: int = 1) -> np.ndarray:
    """Return a figure of one clip: its frames, reconstructions, segmentations and each slot over time.

    Args:
        title: Over it.
        clips: The clips.
        n: Which.
        step: Every how many frames are drawn.

    Returns:
        uint8, shape (height, width, 3).
    """
    times = range(0, clips.frames.shape[1], step)
    rows = [
        FigureRow("frames", [clips.image(n, t) for t in times]),
        FigureRow("all slots", [clips.reconstruction(n, t) for t in times]),
        FigureRow("segmentation", [clips.segmentation(n, t) for t in times]),
    ]
    rows += [
        FigureRow(f"slot {k + 1}", [clips.slot(n, k, t) for t in times], colour=colour(k))
        for k in range(clips.part.slots)
    ]
    return figure(title, [f"t = {t + 1}" for t in times], rows)


def colour(slot: int) -> tuple[int, int, int]:
    """Return the colour of a slot."""
    red, green, blue = slot_colours(slot + 1)[slot].astype(int).tolist()
    return red, green, blue


def framed(picture: np.ndarray, slot: int) -> np.ndarray:
    """Return a picture (H, W, 3) with a border of a slot's colour."""
    bordered = picture.copy()
    for edge in (np.s_[:1], np.s_[-1:], np.s_[:, :1], np.s_[:, -1:]):
        bordered[edge] = colour(slot)
    return bordered


def evenly(values: np.ndarray) -> np.ndarray:
    """Return numbers (H, W) as grey, from the smallest, black, to the largest, white, uint8, shape (H, W, 3)."""
    low, high = float(values.min()), float(values.max())
    return as_picture(((values - low) / (high - low if high > low else 1.0))[..., None])
