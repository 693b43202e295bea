"""Decodes of a model of iterative inference, written down while it works."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import torch

from scenewise.nn.layers import normalise, pooled
from scenewise.variational.refinement import image_gradients

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from scenewise.models.contract import SceneModel
    from scenewise.variational.engine import Engine, FrameContext
    from scenewise.variational.gaussian import Gaussian
    from scenewise.variational.mixture import SpatialMixture
    from scenewise.variational.refinement import Inputs


@dataclass(frozen=True)
class RecordedDecode:
    """What one decode drew, how well that explains the frame, and what the refinement network saw of it.

    Attributes:
        number: Its number among the decodes of its look, from 0: how often the posterior had been refined.
        look: Which look at the frame it belongs to, from 0; a first frame may be looked at several times, and every
            observed view of a scene is one.
        context: What it shares with the other decodes of its look.
        posterior: q that the latents were drawn from, each part (B, K, Z).
        latent: The sample, shape (B, K, Z).
        mixture: How what was drawn explains the frame, at the size at which the model works.
        inputs: What the refinement network is given.
        pooling: By how much its image inputs are pooled.
        refined: Whether the posterior was refined after it; the last decode of a frame may only be drawn.
    """

    number: int
    look: int
    context: FrameContext
    posterior: Gaussian
    latent: Tensor
    mixture: SpatialMixture
    inputs: Inputs
    pooling: int
    refined: bool

    @property
    @torch.no_grad()
    def nll(self) -> Tensor:
        """Negative log-likelihood in nats, shape (B,)."""
        return -self.mixture.log_likelihood.sum((1, 2, 3))

    @property
    @torch.no_grad()
    def kl(self) -> Tensor:
        """KL of posterior and prior in nats, shape (B,)."""
        return self.posterior.kl(self.context.prior).sum((1, 2))

    @torch.no_grad()
    def gradients(self) -> dict[str, Tensor]:
        """Return the gradients of the loss in image space as the refinement network sees them: layer-normed, pooled.

        Returns:
            "means", shape (B, K, C, h, w), and "masks", shape (B, K, 1, h, w), without those that were left out of its
            inputs; what it has after the last refinement nobody saw.
        """
        by_mask = self.inputs.mask_gradient == "mask"
        gradients = image_gradients(self.mixture, self.context.weights, by_mask)
        images = {"means": gradients.appearance, "masks": gradients.masks if by_mask else gradients.logits}
        names = {"means": "mean_gradient", "masks": "mask_gradient"}
        return {
            name: pooled(normalise(image, 3), self.pooling) if self.pooling > 1 else normalise(image, 3)
            for name, image in images.items()
            if image is not None and names[name] not in self.inputs.left_out
        }


class EngineRecorder:
    """Stands in for an engine and writes its decodes down.

    Args:
        engine: What does the work.

    Attributes:
        decodes: All so far.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.decodes: list[RecordedDecode] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def decode(
        self, context: FrameContext, posterior: Tensor, refinement: Any, noise: Tensor, refine: bool
    ) -> tuple[Any, Tensor, Any]:
        """Run one decode; see `Engine.decode`."""
        decode, after, carry = self._engine.decode(context, posterior, refinement, noise, refine)
        last = self.decodes[-1] if self.decodes else None
        same = last is not None and last.context is context
        record = RecordedDecode(
            number=last.number + 1 if last and same else 0,
            look=0 if last is None else last.look + (not same),
            context=context,
            posterior=self._engine.posterior(posterior.detach()),
            latent=decode.latent.detach(),
            mixture=decode.mixture,
            inputs=self._engine.inputs,
            pooling=self._engine.pooling,
            refined=refine,
        )
        self.decodes.append(record)
        return decode, after, carry


@contextmanager
def recording(model: SceneModel) -> Iterator[list[RecordedDecode]]:
    """Let a model work under the eyes of a recorder; what it writes down fills the list.

    Args:
        model: Any; the list stays empty for those without an engine.
    """
    engine = model.engine
    if engine is None:
        yield []
        return
    recorder = EngineRecorder(engine)
    model.engine = recorder  # type: ignore[assignment]  # it does what an engine does
    try:
        yield recorder.decodes
    finally:
        model.engine = engine


class LateDecodes(Sequence[RecordedDecode]):
    """Decodes of a frame that another runtime explained: PyTorch makes them when they are first looked at.

    Args:
        record: Explains the frame once more under the eyes of a recorder.
    """

    def __init__(self, record: Callable[[], list[RecordedDecode]]) -> None:
        self._record = record

    @cached_property
    def _decodes(self) -> list[RecordedDecode]:
        return self._record()

    @overload
    def __getitem__(self, index: int) -> RecordedDecode: ...

    @overload
    def __getitem__(self, index: slice) -> list[RecordedDecode]: ...

    def __getitem__(self, index: int | slice) -> RecordedDecode | list[RecordedDecode]:
        """Return one of them, or some."""
        return self._decodes[index]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._decodes)
