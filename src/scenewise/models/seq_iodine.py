"""SEQ-IODINE: IODINE over a video, one refinement per frame (IODINE appendix A.1; PROVIDE's baseline of that name).

Lambda and the LSTM's state run on from frame to frame: what the slots are after frame t - 1 is drawn and scored against
frame t, then refined with frame t. So each slot keeps its object, and the objective is the prediction of the next
frame. A readout "post" draws once more after the refinement and scores that against the same frame.

Frame t of T weighs t / T, as IODINE's step t does (eq. 4); `step_weights: linear` gives (t - 1) / (T - 1), which is
nothing for the first frame, drawn before anything was seen; `uniform` weighs all alike. What differs from the paper:
no frame is drawn after the last one (the public code scores a final decode against one more frame; a clip that is one
frame longer does the same). Settings are those of IODINE where `refinements` counts refinements per frame (the
papers: 1).

Published (PROVIDE Table 1; provide.md 12), 10 to 40 frames: colour balls F-ARI .67 to .82, ARI .27 to .38; binary balls
.41 to .86, -.02 to .02; CLEVRER .85 to .88, .12 to .17. Its authors note that it tends to do worse than IODINE, having
few refinements and no model of dynamics.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor

from scenewise.config import setting
from scenewise.decomposition import Decomposition
from scenewise.models.contract import Output, Predictor, State, register_model
from scenewise.models.iodine import PRESETS as IODINE_PRESETS
from scenewise.models.iodine import Iodine, IodineConfig
from scenewise.variational.engine import BudgetSettings, DecodedFrame
from scenewise.variational.refinement import ImageGradients

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scenewise.nn.refiner import Pair
    from scenewise.observation import Observation

FrameWeights = Literal["proportional", "linear", "uniform"]


@dataclass(frozen=True)
class FilterBudget(BudgetSettings):
    """How refinements are spent where a frame goes on from the one before it: all are trained, and all count."""

    gradient_decodes: int = setting(0, "All decodes are trained", minimum=0, maximum=0)
    extra: Literal["all"] = setting("all", "All refinements count")


@dataclass(frozen=True)
class SeqIodineConfig(IodineConfig):
    """Settings of SEQ-IODINE: IODINE's, and how a video is read; defaults are the preset `paper`."""

    size: tuple[int, int] = setting((64, 64), "Height and width of the frames, pixels", minimum=8, maximum=1024)
    slots: int = setting(5, "K, slots including background", minimum=1, maximum=256)
    refinements: int = setting(1, "Refinements per frame", minimum=1, maximum=64)
    budget: FilterBudget = setting(FilterBudget(), "How refinements are spent")
    readout: Literal["pre", "post"] = setting("pre", "A frame is what was drawn before it was seen, or after")
    step_weights: FrameWeights = setting("proportional", "t / T (paper); (t - 1) / (T - 1); or all 1")


PRESETS: dict[str, Any] = {
    "paper": {},
    "fast": {
        **IODINE_PRESETS["fast"], "refinements": 1, "budget": {"extra": "all"}, "readout": "post",
        "step_weights": "uniform",
    },
    "tiny": {**IODINE_PRESETS["tiny"], "refinements": 1},
}  # fmt: skip


@register_model("seq-iodine")
class SeqIodine(Iodine, Predictor):
    """The model; `forward` folds `_frame` over time, `step` is the same fold without a graph."""

    config_class: ClassVar[type] = SeqIodineConfig
    presets: ClassVar[Mapping[str, Any]] = MappingProxyType(PRESETS)
    keeps_slots: ClassVar[bool] = True
    config: SeqIodineConfig

    @property
    def decodes_after(self) -> int:
        """Whether the state after the last refinement of a frame is drawn too, 0 or 1."""
        return int(self.config.readout == "post")

    def forward(
        self,
        observation: Observation,
        slots: int | None = None,
        refinements: int | None = None,
        seed: int = 0,
        noise: Tensor | None = None,
    ) -> Output:
        """Explain a video; see `SceneModel.forward`. Terms are sums over frames, weighted per frame."""
        frames = observation.frames
        self.check_frames(frames)
        batch, time = frames.shape[:2]
        state, parts, totals = self.initial_state(batch, slots, seed), list[DecodedFrame](), dict[str, Any]()
        refinements = self.count_refinements(refinements)
        for t in range(time):
            eps = None if noise is None else noise[:, t]
            part, terms, state = self._frame(frames[:, t], state, refinements, eps)
            parts.append(part)
            weight = self._frame_weight(t + 1, time)
            totals = {name: totals.get(name, 0.0) + weight * term for name, term in terms.items()}
        return Output(lambda: Decomposition.join([part.decomposition() for part in parts]), totals)

    def _frame_weight(self, t: int, time: int) -> float:
        """Weight of frame t of `time`, counted from 1; a clip of one frame weighs 1."""
        if self.config.step_weights == "proportional":
            return t / time
        return 1.0 if self.config.step_weights == "uniform" or time == 1 else (t - 1) / (time - 1)

    def initial_state(self, batch: int = 1, slots: int | None = None, seed: int = 0) -> State:
        """Return the state before the first frame: the trained lambda, h = c = 0."""
        posterior, (hidden, cell) = self.beginning(batch, slots)
        counts = {"seed": torch.tensor(seed), "frame": torch.tensor(0)}
        return {"posterior": posterior, "hidden": hidden, "cell": cell, **counts}

    def explain_frame(self, frame: Tensor, state: State, refinements: int | None = None) -> tuple[Decomposition, State]:
        """Explain one more frame; see `SceneModel.step`."""
        part, _, state = self._frame(frame, {name: tensor.detach() for name, tensor in state.items()}, refinements)
        return part.decomposition(), state

    def _frame(
        self, frame: Tensor, state: State, refinements: int | None = None, noise: Tensor | None = None
    ) -> tuple[DecodedFrame, Mapping[str, Tensor], State]:
        """Draw what is known, score it, refine with the frame; and draw again where the readout is "post"."""
        carry = (state["hidden"], state["cell"])
        context, posterior = self.context(frame, carry), state["posterior"]
        decodes = self.decodes(refinements=refinements)
        read_at = decodes - 1 if self.decodes_after else 0
        for r in range(decodes):
            eps = self._noise(posterior, int(state["seed"]), int(state["frame"]), r) if noise is None else noise[:, r]
            source, refine = posterior, not (self.decodes_after and r + 1 == decodes)
            decode, posterior, carry = self.engine.decode(context, posterior, carry, eps, refine)
            if r == read_at:
                part = DecodedFrame(frame, decode.mixture, self.engine.posterior(source), context.prior)
                terms = decode.terms
        return part, terms, self._next(state, posterior, carry)

    @staticmethod
    def _next(state: State, posterior: Tensor, carry: Pair) -> State:
        new = {"posterior": posterior, "hidden": carry[0], "cell": carry[1], "frame": state["frame"] + 1}
        return {**state, **new}

    @torch.no_grad()
    def predict(self, state: State, steps: int) -> tuple[Decomposition, State]:
        """Continue the video by `steps` frames: what is drawn is taken for the frame, gradients are zero (ours)."""
        state, parts = {name: tensor.detach() for name, tensor in state.items()}, list[Decomposition]()
        for _ in range(steps):
            part, state = self._predict_frame(state)
            parts.append(part.decomposition())
        return Decomposition.join(parts), state

    def _predict_frame(self, state: State) -> tuple[DecodedFrame, State]:
        carry, posterior = (state["hidden"], state["cell"]), state["posterior"]
        eps = self._noise(posterior, int(state["seed"]), int(state["frame"]), 0)
        blank = posterior.new_zeros(len(posterior), *self.frame_shape)
        context = self.context(blank, carry)
        decode, *_ = self.engine.decode(context, posterior, carry, eps, refine=False)
        context = replace(context, frame=decode.mixture.composed)
        mixture = self.engine.explain(context.frame, decode.drawing)
        evidence = (mixture, ImageGradients.none(mixture), torch.zeros_like(posterior))
        after, carry = self.engine.update(context, evidence, posterior, carry)
        part = DecodedFrame(context.frame, mixture, self.engine.posterior(posterior), context.prior, seen=False)
        return part, self._next(state, after, carry)
