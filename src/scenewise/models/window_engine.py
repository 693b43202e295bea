"""The engine of slots in windows: decoder and refinement network are given the scene of the frame."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar

import torch

from scenewise.nn.windows import WindowScene
from scenewise.variational.engine import Decode, DecodedFrame, Engine, FrameContext

if TYPE_CHECKING:
    from torch import Tensor

    from scenewise.nn.refiner import Pair
    from scenewise.variational.mixture import SpatialMixture
    from scenewise.variational.refinement import ImageGradients


@dataclass(frozen=True)
class SceneContext(FrameContext):
    """A frame with the scene its slots draw into.

    Attributes:
        scene: At the size at which the model works.
    """

    scene: WindowScene = None  # type: ignore[assignment]  # a field after those with defaults


@dataclass(frozen=True)
class WindowedFrame(DecodedFrame):
    """A frame after its last decode, with what it takes to draw it at its full size.

    Attributes:
        tracks: The object of each slot, 0 the background, -1 none, shape (B, K).
        hidden: h left by the last frame, (B, K, hidden).
        scene: What the slots draw into, at the full size.
        cutouts: Of a frame that nobody saw, means and mask logits of what was seen last, moved; else None.
    """

    tracks: Tensor
    hidden: Tensor
    scene: WindowScene
    cutouts: Pair | None = None


@dataclass(frozen=True)
class WindowEngine(Engine):
    """An engine whose decoder and refiner are given the scene of the frame."""

    traceable: ClassVar[bool] = False

    def decode(
        self, context: FrameContext, posterior: Tensor, refinement: Pair, noise: Tensor, refine: bool
    ) -> tuple[Decode, Tensor, Pair]:
        """Run one decode, and refine; see `Engine.decode`."""
        return self._within(context).decode(context, posterior, refinement, noise, refine)

    def update(
        self,
        context: FrameContext,
        evidence: tuple[SpatialMixture, ImageGradients, Tensor],
        posterior: Tensor,
        refinement: Pair,
    ) -> tuple[Tensor, Pair]:
        """Return posterior and state after one refinement; see `Engine.update`."""
        return self._within(context).update(context, evidence, posterior, refinement)

    def _within(self, context: FrameContext) -> Engine:
        if not isinstance(context, SceneContext):
            raise TypeError("slots in windows need the scene of a frame")
        scene = context.scene

        def draw(latent: Tensor, hidden: Tensor) -> Pair:
            drawing: Pair = self.decoder(latent, hidden, scene)
            return drawing

        def look(images: Pair, vectors: Tensor, time: Pair, refinement: Pair) -> tuple[Tensor, Pair]:
            windows = scene.windows_at(vectors.detach())  # lambda comes first, its means before the rest
            result: tuple[Tensor, Pair] = self.refiner((*images, windows, scene), vectors, time, refinement)
            return result

        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return Engine(**{**values, "decoder": draw, "refiner": look})


@torch.no_grad()
def evidence(mixture: SpatialMixture) -> dict[str, Tensor]:
    """Return, at the working size, responsibilities and errors of all slots, each (B, K, h, w)."""
    return {"shares": mixture.responsibilities[:, :, 0], "errors": mixture.difference.square().sum(2).sqrt()}
