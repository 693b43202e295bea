"""What every model offers, so that training, evaluation and streaming need to know no model by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
from torch import Tensor

from scenewise.decomposition import Decomposition
from scenewise.errors import InputError
from scenewise.nn.layers import Numbers
from scenewise.observation import Observation
from scenewise.registry import Registry
from scenewise.variational.gaussian import seeded_noise
from scenewise.variational.linking import link

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from scenewise.variational.engine import Engine
    from scenewise.variational.explanation import ImageExplanation
    from scenewise.variational.gaussian import Gaussian

State = dict[str, Tensor]
"""What a model remembers of a video: plain tensors by name, that can be saved, sent to a device and continued."""


def repeated(state: Mapping[str, Tensor], times: int) -> State:
    """Return the state of one video as that of `times` equal ones."""
    return {name: t.expand(times, *t.shape[1:]) if t.ndim and len(t) == 1 else t for name, t in state.items()}


class FrameRunner(Protocol):
    """What explains frames as a model's `explain_frame` does."""

    def explain_frame(self, frame: Tensor, state: State, refinements: int | None = None) -> tuple[Decomposition, State]:
        """Explain one more frame; see `SceneModel.explain_frame`."""


@dataclass(frozen=True)
class Output:
    """What a forward pass returns.

    Attributes:
        explain: Makes the decomposition when it is first asked for: training steps that only need the loss skip it.
        terms: Named losses in nats per sample, each of shape (B,), to be minimised; `SceneModel.loss` weighs them.
    """

    explain: Callable[[], Decomposition]
    terms: dict[str, Tensor]

    @cached_property
    def decomposition(self) -> Decomposition:
        """The explanation of every frame."""
        return self.explain()


class SceneModel(Numbers, ABC):
    """A model that takes observations apart into slots.

    Class attributes:
        config_class: Its settings dataclass.
        presets: Named settings: at least `paper` and `tiny`.
        runtime_settings: Settings that say how to compute and not what; a saved model does not keep them.
        slot_symmetric: Whether slots that swap their noise swap their places; not where one is drawn after another.
        fixed_slots: Whether K is part of what was trained and cannot be changed.
        takes_background: Whether observations may bring a background picture.
        least_batch: Smallest batch of frames that all presets can be trained on; 2 with batch norms.
        keeps_slots: Whether it keeps objects in their slots by what it remembers of earlier frames, so that `forward`
            is the fold of `step`. Others explain each frame, or each clip, from the start: `step` links their slots.
        remarks: Whether `remark` may have something to say; frames need not be made for it else.
    """

    config_class: ClassVar[type]
    presets: ClassVar[Mapping[str, Any]]
    registered_name: ClassVar[str]
    runtime_settings: ClassVar[tuple[str, ...]] = ()
    slot_symmetric: ClassVar[bool] = True
    fixed_slots: ClassVar[bool] = False
    takes_background: ClassVar[bool] = False
    least_batch: ClassVar[int] = 1
    keeps_slots: ClassVar[bool] = False
    remarks: ClassVar[bool] = False

    config: Any
    engine: Engine | None = None
    """What decodes and refines in models of iterative inference; None in all others."""
    runner: FrameRunner | None = None
    """What explains frames in place of `explain_frame`: another runtime than PyTorch; None for PyTorch."""

    @abstractmethod
    def forward(
        self,
        observation: Observation,
        slots: int | None = None,
        refinements: int | None = None,
        seed: int = 0,
        noise: Tensor | None = None,
    ) -> Output:
        """Explain an observation.

        Args:
            observation: Frames of shape (B, T, C, H, W); multi-view models take its viewpoints too.
            slots: K; the settings' value where None.
            refinements: R; the settings' value where None. Models that do not refine refuse any other.
            seed: Seed of the posterior noise: the same seed gives the same output on the same machine.
            noise: The posterior noise itself in place of a seed; the shape is `noise_shape`.
        """

    @abstractmethod
    def loss(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Return the weighted sum of terms, shape (B,), as trained."""

    # -- frame after frame --------------------------------------------------------------------------------------

    @property
    def window(self) -> int:
        """How many frames it was made to explain together; 1 for models that go frame by frame."""
        return 1

    def initial_state(self, batch: int = 1, slots: int | None = None, seed: int = 0) -> State:
        """Return the state before the first frame. It holds the seed and the frame number as tensors.

        Args:
            batch: B, how many videos run side by side.
            slots: K; the settings' value where None.
            seed: Seed of the posterior noise.
        """
        return {"seed": torch.tensor(seed), "frame": torch.tensor(0), "slots": torch.tensor(self.count_slots(slots))}

    @torch.no_grad()
    def step(
        self, frames: Tensor, state: State, refinements: int | None = None, viewpoints: Tensor | None = None
    ) -> tuple[Decomposition, State]:
        """Explain the next frames of a video, in memory that does not grow.

        Models that keep slots give what `forward` gives for the whole video; with a `window`, all frames of a call are
        explained together; any other model gives the same for frames one by one and for several at once.

        Args:
            frames: Shape (B, t, C, H, W) in [0, 1]; one frame may also be given as (B, C, H, W).
            state: What `initial_state` or the last `step` returned.
            refinements: R; the settings' value where None.
            viewpoints: Shape (B, t, D), or (B, D) of one frame; only models that take them look at them.

        Returns:
            A decomposition with T = t, without a graph, and the new state. Where slots were linked, `order` in the
            state tells which number the model gave to each, shape (B, K).

        Raises:
            InputError: Frames or viewpoints do not fit the model, or frames hold NaN.
        """
        frames = frames.unsqueeze(1) if frames.ndim == 4 else frames
        cameras = viewpoints[:, None] if viewpoints is not None and viewpoints.ndim == 2 else viewpoints
        self.check(Observation(frames, None, cameras))
        parts = []
        for t, frame in enumerate(frames.unbind(1)):
            if cameras is not None and self.viewpoint_size:
                state = state | {"viewpoint": cameras[:, t].to(frame)}
            part, state = (self.runner or self).explain_frame(frame, state, refinements)
            parts.append(part)
        return Decomposition.join(parts), state

    def explain_frame(self, frame: Tensor, state: State, refinements: int | None = None) -> tuple[Decomposition, State]:
        """Explain one more frame (B, C, H, W), without a graph; models with a memory have their own, `step` calls it.

        Here it is explained by itself, under noise of its own, and its slots are linked to those of the frame before.
        """
        return link(*self.explain_alone(frame, state, refinements))

    def explain_alone(self, frame: Tensor, state: State, refinements: int | None = None) -> tuple[Decomposition, State]:
        """Explain a frame by itself, slots in the order in which the model numbers them; see `explain_frame`."""
        seed = int(state["seed"]) + int(state["frame"])
        output = self(Observation(frame.unsqueeze(1)), int(state["slots"]), refinements, seed)
        return output.decomposition.detach(), {**state, "frame": state["frame"] + 1}

    def frame_form(self, frame: int, refinements: int | None = None) -> Hashable:
        """Return what decides, beside shapes and weights, which operations explain a frame.

        Frames of one form run the same operations, whatever they show: a runtime makes one graph for each form. None
        where operations depend on what a frame shows, or on its number.

        Args:
            frame: Number of the frame, counted from 0.
            refinements: R; the settings' value where None.
        """
        return ()

    # -- what training asks -------------------------------------------------------------------------------------

    def begin_step(self, step: int) -> None:
        """Set schedules to a training step; training calls it before every forward pass."""

    def step_form(self) -> Hashable:
        """Return what decides, beside the shapes of a clip, which operations a training step runs.

        Steps of one form run the same operations on the same numbers, but for the clip, the weights, buffers and
        `schedule`: on a GPU one of them is captured as a graph, which the others replay. None, the default, where steps
        must run one operation after the other.
        """
        return None

    def end_step(self, output: Output) -> None:
        """Adapt weights to what a training step gave; training calls it after every optimiser step."""

    def adapt(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return a relative's weights as this model can start from them; by default as they are."""
        return weights

    @property
    def adapts_kl_weight(self) -> bool:
        """Whether training moves the weight of the KL: bounds of different steps then compare by weight 1 alone."""
        return False

    def decodes(self, frame: int = 0, refinements: int | None = None) -> int:
        """Return the number of decodes of a frame, counted from 0; the first has at least as many as any other.

        Args:
            frame: Number of the frame.
            refinements: R; the settings' value where None.
        """
        return 1

    @property
    def refinement_range(self) -> tuple[int, int] | None:
        """Fewest and most refinements that it is trained with; None for models that do not refine."""
        return None

    def noise_shape(
        self, batch: int, frames: int, slots: int | None = None, refinements: int | None = None
    ) -> tuple[int, ...]:
        """Return the shape of the `noise` argument of `forward`: (B, T, decodes of the first frame, K, Z).

        Args:
            batch: B.
            frames: T.
            slots: K; the settings' value where None.
            refinements: R; the most that training draws where None.
        """
        if refinements is None and self.refinement_range is not None:
            refinements = self.refinement_range[1]
        return (batch, frames, self.decodes(refinements=refinements), slots or self.config.slots, self.config.latent)

    # -- facts and checks ---------------------------------------------------------------------------------------

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the frames it was made for."""
        return (self.config.channels, *self.config.size)

    @property
    def viewpoint_size(self) -> int | None:
        """Length of a viewpoint, for models that take viewpoints; None for all others."""
        return None

    def refuse(self, refinements: int | None) -> None:
        """Raise InputError where a model that does not refine is asked for refinements."""
        if refinements is not None:
            problem = f"{self.registered_name} does not refine; found {refinements}."
            raise InputError("refinements", problem, "Leave it out, or use a model that refines.")

    def count_slots(self, slots: int | None) -> int:
        """Return K, the settings' value where None.

        Raises:
            InputError: It is below 1, or another than the model was made for and that cannot be changed.
        """
        made_for = int(self.config.slots)
        count = made_for if slots is None else slots
        if count < 1:
            raise InputError("slots", f"must be at least 1; found {count}.")
        if self.fixed_slots and count != made_for:
            problem = f"{self.registered_name} was made for {made_for}; found {count}."
            raise InputError("slots", problem, "Leave it out, or train another model.")
        return count

    def check(self, observation: Observation) -> None:
        """Raise InputError where an observation cannot be used."""
        self.check_frames(observation.frames)
        size, viewpoints = self.viewpoint_size, observation.viewpoints
        if size is not None and (viewpoints is None or viewpoints.shape[-1] != size):
            actual = "none" if viewpoints is None else f"viewpoints of {viewpoints.shape[-1]} numbers"
            problem = f"the model takes {size} numbers for each view; found {actual}."
            raise InputError("viewpoints", problem, "Use data with the cameras the model was made for.")

    def check_frames(self, frames: Tensor) -> None:
        """Raise InputError where frames of shape (..., C, H, W) cannot be used."""
        channels, height, width = self.frame_shape
        if tuple(frames.shape[-3:]) != (channels, height, width):
            problem = f"the model takes (C, H, W) = {(channels, height, width)}; found {tuple(frames.shape[-3:])}."
            raise InputError("frames", problem, "Resize or convert the frames, or use another model.")
        if frames.is_cuda and torch.cuda.is_current_stream_capturing():
            return  # there are no values to look at
        if not bool(frames.isfinite().all()):
            raise InputError("frames", "contain NaN or infinite values.", "Repair the input or drop those frames.")

    def remark(self, frames: Tensor) -> str | None:
        """Return what was done to frames before they are explained, as a line for people; None for nothing."""
        return None


class ImageModel(SceneModel):
    """A model that explains every frame by itself, in one go."""

    def forward(
        self,
        observation: Observation,
        slots: int | None = None,
        refinements: int | None = None,
        seed: int = 0,
        noise: Tensor | None = None,
    ) -> Output:
        """Explain every frame by itself; see `SceneModel.forward`. Terms are sums over frames."""
        self.check(observation)
        self.refuse(refinements)
        count = self.count_slots(slots)
        batch, time = observation.frames.shape[:2]
        images = observation.frames.flatten(0, 1)  # (B * T, C, H, W)
        if noise is None:
            noise = seeded_noise(self.noise_shape(batch, time, count), seed, device=images.device)
        explanation = self.explain(images, noise.flatten(0, 1))
        terms = {name: term.unflatten(0, (batch, time)).sum(1) for name, term in self.terms(explanation).items()}
        return Output(lambda: explanation.decomposition(batch, time), terms)

    @abstractmethod
    def explain(self, images: Tensor, noise: Tensor) -> ImageExplanation:
        """Explain images.

        Args:
            images: Shape (N, C, H, W) in [0, 1].
            noise: Standard normal, shape (N, draws, K, Z), see `noise_shape`; it says what K is.
        """

    @abstractmethod
    def terms(self, explanation: ImageExplanation) -> dict[str, Tensor]:
        """Return named losses in nats per image, each of shape (N,)."""


class Predictor(ABC):
    """A model that can continue a video by itself, from the state that `SceneModel.step` gave."""

    config: Any

    def sampling(self) -> Any:
        """Return the settings under which predicted latents are samples of their prior, where there is the choice."""
        return self.config

    @abstractmethod
    def predict(self, state: State, steps: int) -> tuple[Decomposition, State]:
        """Return `steps` predicted frames and the state after them (a rollout can be continued)."""


class Decodes(ABC):
    """A model that can draw slots from latents.

    Class attributes:
        slot_state: Names of what its state holds for each slot, along axis 1, that drawing looks at.
    """

    slot_state: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def decode(self, latents: Tensor, state: State | None = None) -> tuple[Tensor, Tensor]:
        """Draw latents of shape (B, K, Z): masks (B, K, 1, H, W) and appearance (B, K, C, H, W).

        Args:
            latents: In the order in which the model numbers slots, which is not that of slots that `step` has linked.
            state: The state before the frame; models without a memory need none.
        """

    def drawing_state(self, before: State, after: State) -> State:
        """Return the state with which `decode` draws what a frame's own decodes drew.

        Args:
            before: The state before the frame.
            after: The state after it.
        """
        return before


class Renders(ABC):
    """A model that observes some views of a scene and draws it from any viewpoint."""

    @abstractmethod
    def infer(
        self,
        frames: Tensor,
        viewpoints: Tensor,
        slots: int | None = None,
        refinements: int | None = None,
        seed: int = 0,
        posterior: Gaussian | None = None,
    ) -> Gaussian:
        """Return the posterior (B, K, Z) after views of a scene, without a graph, in memory that does not grow.

        Args:
            frames: Views, shape (B, V, C, H, W) in [0, 1], taken in their order.
            viewpoints: Shape (B, V, D).
            slots: K; the settings' value where None.
            refinements: R; the settings' value where None.
            seed: Seed of the posterior noise.
            posterior: What earlier views of the scene left, to go on from; `slots` is not looked at then.

        Raises:
            InputError: There is no view, or views and viewpoints are not what the model takes.
        """

    @abstractmethod
    def render(self, posterior: Gaussian, viewpoints: Tensor, seed: int | None = 0) -> Decomposition:
        """Draw a scene from viewpoints nobody may have seen; one sample of the posterior for all of them.

        Args:
            posterior: What `infer` returned, (B, K, Z).
            viewpoints: Shape (B, V, D).
            seed: Seed of the sample; the posterior's mean where None.

        Returns:
            V views; `log_likelihood` is that of the drawn image itself, since there is no other.

        Raises:
            InputError: The viewpoints are not what the model takes.
        """


_TOGETHER = 16  # scenes drawn at once; bounds the memory


class Samples(SceneModel):
    """A model that can make up scenes: its prior knows how slots go together."""

    @abstractmethod
    def imagine(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Turn standard normal noise (N, K, Z) into masks (N, K, 1, H, W) and appearance (N, K, C, H, W)."""

    @torch.no_grad()
    def sample(self, count: int, slots: int | None = None, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Draw new scenes from the prior.

        Args:
            count: N, how many.
            slots: K; the settings' value where None.
            seed: Scene i of a seed is the same however many are drawn.

        Returns:
            Masks (N, K, 1, H, W) that sum to 1 over K, and appearance (N, K, C, H, W).

        Raises:
            InputError: A number is below 1, or the model cannot have that many slots.
        """
        if count < 1:
            raise InputError("count", f"must be at least 1; found {count}.")
        shape = (self.count_slots(slots), self.noise_shape(1, 1)[-1])
        device = next(self.parameters()).device
        noise = torch.stack([seeded_noise(shape, seed, i, device=device) for i in range(count)])
        masks, appearance = zip(*(self.imagine(part) for part in noise.split(_TOGETHER)), strict=True)
        return torch.cat(masks), torch.cat(appearance)


class Weighs(ABC):
    """A model that weighs samples of its posterior, so that log p(x) can be estimated."""

    @abstractmethod
    def log_weights(
        self,
        observation: Observation,
        samples: int,
        seed: int = 0,
        slots: int | None = None,
        refinements: int | None = None,
    ) -> dict[str, Tensor]:
        """Return log p(x | z) + log p(z) - log q(z | x) in nats, z from the final posterior of all slots jointly.

        Args:
            observation: As of `SceneModel.forward`.
            samples: S.
            seed: Seed of everything random.
            slots: K; the settings' value where None.
            refinements: R; the settings' value where None.

        Returns:
            Shape (B, T, S), or (B, 1, S) where frames are not explained by themselves; float64, by name of a variant,
            of which the plain one is named "".
        """


MODELS: Registry[type[SceneModel]] = Registry("model", "scenewise.models", group="scenewise.models")


def register_model(name: str) -> Any:
    """Return a decorator that registers a model class under `name` and tells the class its name."""

    def enter(cls: type[SceneModel]) -> type[SceneModel]:
        cls.registered_name = name
        return MODELS.register(name)(cls)

    return enter
