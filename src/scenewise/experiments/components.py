"""Components as the LDS papers draw them: slots by the sigmoid of their raw masks (BMVC 2021, Appendix B; MulMON).

The softmax over slots says who owns a pixel; the sigmoid of what the decoder gives before it says where a slot would
draw if it were alone, so that duplicates show as the same object twice where the softmax shows two halves of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from scenewise.decomposition import as_picture
from scenewise.evaluation.batches import viewpoints
from scenewise.experiments.explanations import SceneExplanations, explain_scenes, framed
from scenewise.explore.figure import FigureRow, figure
from scenewise.models.contract import Decodes
from scenewise.observation import Observation

if TYPE_CHECKING:
    from torch import Tensor

    from scenewise.data.contract import Source
    from scenewise.models.contract import SceneModel


@torch.no_grad()
def raw_masks(model: SceneModel, latents: Tensor) -> Tensor | None:
    """Return the sigmoid of the mask logits that latents draw, before slots are compared.

    Args:
        model: One that draws images from latents alone.
        latents: Shape (N, K, Z).

    Returns:
        Shape (N, K, 1, H, W); None for models that look at more than latents, or whose masks are not drawn alone.
    """
    decoder = getattr(model, "decoder", None)
    if not isinstance(decoder, torch.nn.Module) or not isinstance(model, Decodes) or model.keeps_slots:
        return None
    if model.viewpoint_size is not None:
        return None
    outputs: list[tuple[Tensor, Tensor]] = []
    handle = decoder.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    try:
        model.decode(latents)
    finally:
        handle.remove()
    logits = outputs[-1][1]
    return logits.float().sigmoid() if logits.shape[-2:] == tuple(model.frame_shape[1:]) else None


@torch.no_grad()
def images_of(model: SceneModel, source: Source, count: int, seed: int = 0) -> SceneExplanations:
    """Return images as a model explains them: one of each scene, or of models of viewpoints the views of the first.

    Args:
        model: In evaluation mode.
        source: Where from.
        count: How many images; fewer where there are fewer views.
        seed: Of the posterior noise.
    """
    if model.viewpoint_size is None:
        return explain_scenes(model, source, range(count), seed=seed)
    count = min(count, source.length(0))
    sample = source.sample(0, 0, count)
    frames = torch.from_numpy(sample.frames[None].astype(np.float32) / 255)
    cameras = viewpoints(model, source, [0], count)
    part = model(Observation(frames, viewpoints=cameras), None, None, seed).decomposition
    views = part.map(lambda tensor: tensor.flatten(0, 1).unsqueeze(1).float().cpu())
    ids = None if sample.ids is None else np.asarray(sample.ids)[:, None]
    return SceneExplanations(frames[0][:, None].numpy(), ids, views, [])


def component_figure(title: str, model: SceneModel, images: SceneExplanations) -> np.ndarray:
    """Return a figure as the papers' Figure 2: a row per image with what was observed, drawn, segmented, and each slot.

    Slots are drawn by the sigmoid of their raw masks where the model has such, else by their masks; the largest first.

    Args:
        title: Over it.
        model: Who explained the images.
        images: What `images_of` returned.

    Returns:
        uint8, shape (height, width, 3).
    """
    device = next(model.parameters()).device
    raw = raw_masks(model, images.part.mean[:, 0].to(device))
    masks = np.asarray((images.part.masks[:, 0] if raw is None else raw.cpu())[:, :, 0])  # (N, K, H, W)
    rows = []
    for n in range(len(images.frames)):
        parts = []
        for k in np.argsort(-images.masks(n).sum((1, 2)), kind="stable").tolist():
            picture = np.moveaxis(np.asarray(images.part.appearance[n, 0, k]), 0, -1).clip(0, 1)
            mask = masks[n, k, ..., None]
            parts.append(framed(as_picture(mask * picture + 1 - mask), k))
        rows.append(FigureRow(str(n + 1), [images.image(n), images.reconstruction(n), images.segmentation(n), *parts]))
    drawing = "slots by the sigmoid of their raw masks" if raw is not None else "slots by their masks"
    columns = ["observed", "all slots", "segments", *[""] * images.part.slots]
    return figure(f"{title}; {drawing}", columns, rows)
