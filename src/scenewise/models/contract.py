"""What every model offers, so that training, evaluation and streaming need to know no model by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from scenewise.decomposition import Decomposition
from scenewise.errors import InputError
from scenewise.registry import Registry
from scenewise.variational.gaussian import seeded_noise
from scenewise.variational.keeping import Keeping

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scenewise.observation import Observation
    from scenewise.variational.explained import Explained
    from scenewise.variational.gaussian import Gaussian
    from scenewise.variational.geco import Geco

State = dict[str, Tensor]
"""A recurrent model's memory: plain tensors by name, that can be saved, sent to a device and continued."""


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


class SceneModel(nn.Module, ABC):
    """A model that takes observations apart into slots.

    Class attributes:
        config_class: Its settings dataclass.
        presets: Named settings: at least `paper` and `tiny`.
        runtime_settings: Settings that say how to compute and not what; a saved model does not keep them.
        slot_symmetric: Whether slots that swap their noise swap their places; not where one is drawn after another.
        fixed_slots: Whether K is part of what was trained and cannot be changed.
        takes_background: Whether observations may bring a background picture.
        least_batch: Smallest batch of frames that all presets can be trained on; 2 with batch norms.
    """

    config_class: ClassVar[type]
    presets: ClassVar[Mapping[str, Any]]
    registered_name: ClassVar[str]
    runtime_settings: ClassVar[tuple[str, ...]] = ()
    slot_symmetric: ClassVar[bool] = True
    fixed_slots: ClassVar[bool] = False
    takes_background: ClassVar[bool] = False
    least_batch: ClassVar[int] = 1

    config: Any

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

    def begin_step(self, step: int) -> None:
        """Set schedules to a training step; training calls it before every forward pass."""

    def end_step(self, output: Output) -> None:
        """Adapt weights to what a training step gave; training calls it after every optimiser step."""

    def adapt(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return a relative's weights as this model can start from them; by default as they are."""
        return weights

    @property
    def adapts_kl_weight(self) -> bool:
        """Whether training moves the weight of the KL: bounds of different steps then compare by weight 1 alone."""
        return False

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the frames it was made for."""
        return (self.config.channels, *self.config.size)

    @property
    def viewpoint_size(self) -> int | None:
        """Length of a viewpoint, for models that take viewpoints; None for all others."""
        return None

    def noise_shape(
        self, batch: int, frames: int, slots: int | None = None, refinements: int | None = None
    ) -> tuple[int, ...]:
        """Return the shape of the `noise` argument of `forward`: (B, T, draws of a frame, K, Z)."""
        return (batch, frames, 1, slots or self.config.slots, self.config.latent)

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
        size, given = self.viewpoint_size, observation.viewpoints
        if size is not None and (given is None or given.shape[-1] != size):
            found = "none" if given is None else f"viewpoints of {given.shape[-1]} numbers"
            problem = f"the model takes {size} numbers for each view; found {found}."
            raise InputError("viewpoints", problem, "Use data with the cameras the model was made for.")

    def check_frames(self, frames: Tensor) -> None:
        """Raise InputError where frames of shape (..., C, H, W) cannot be used."""
        channels, height, width = self.frame_shape
        if tuple(frames.shape[-3:]) != (channels, height, width):
            raise InputError(
                "frames",
                f"the model takes (C, H, W) = {(channels, height, width)}; found {tuple(frames.shape[-3:])}.",
                "Resize or convert the frames, or use another model.",
            )
        if not bool(frames.isfinite().all()):
            raise InputError("frames", "contain NaN or infinite values.", "Repair the input or drop those frames.")


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
        explained = self.explain(images, noise.flatten(0, 1))
        terms = {name: term.unflatten(0, (batch, time)).sum(1) for name, term in self.terms(explained).items()}
        return Output(lambda: explained.decomposition(batch, time), terms)

    @abstractmethod
    def explain(self, images: Tensor, noise: Tensor) -> Explained:
        """Explain images.

        Args:
            images: Shape (N, C, H, W) in [0, 1].
            noise: Standard normal, shape (N, draws, K, Z), see `noise_shape`; it says what K is.
        """

    @abstractmethod
    def terms(self, explained: Explained) -> dict[str, Tensor]:
        """Return named losses in nats per image, each of shape (N,)."""


class Balances(SceneModel):
    """A model in whose training GECO balances how well frames are drawn against the KL; it has settings `geco`."""

    geco: Geco

    @property
    def adapts_kl_weight(self) -> bool:
        """Whether GECO moves the weight of the KL."""
        on: bool = self.config.geco.on
        return on

    def end_step(self, output: Output) -> None:
        """Let GECO see how well the step's frames were drawn."""
        self.geco.update(-output.decomposition.log_likelihood)


_REFINEMENTS = 1 << 20  # key of the random stream that numbers of refinements are drawn from


class Refining(SceneModel):
    """A model that refines the posterior of every frame, decode by decode; its settings are a `RefiningConfig`."""

    _step = 0

    def begin_step(self, step: int) -> None:
        """Hear of the number of the training step, from which R is drawn."""
        self._step = step

    @abstractmethod
    def decodes(self, frame: int = 0, refinements: int | None = None) -> int:
        """Return the number of decodes of a frame, counted from 0; the first has at least as many as any other.

        Args:
            frame: Number of the frame.
            refinements: R; the settings' value where None.
        """

    def noise_shape(
        self, batch: int, frames: int, slots: int | None = None, refinements: int | None = None
    ) -> tuple[int, ...]:
        """Return the shape of the `noise` argument of `forward`: (B, T, decodes of the first frame, K, Z)."""
        decodes = self.decodes(refinements=self.trained_refinements if refinements is None else refinements)
        return (batch, frames, decodes, slots or self.config.slots, self.config.latent)

    @property
    def trained_refinements(self) -> int:
        """Largest R that training sees."""
        return max(self.config.refinements, self.config.most_refinements)

    def asked(self, refinements: int | None) -> int:
        """Return R: what was asked for, or the settings' value, or in training the one drawn for the step.

        The draw depends on nothing but the step's number: all parts of its batch draw alike, and so does a resumed run.
        """
        least, most = self.config.refinements, self.trained_refinements
        if refinements is not None or not self.training or least == most:
            return least if refinements is None else refinements
        return least + int(seeded_noise((most - least + 1,), self._step, _REFINEMENTS).argmax())  # each as likely

    def trained_from(self, decodes: int) -> int:
        """Return the first of a frame's decodes that has a gradient and counts in the loss."""
        trained = self.config.gradient_decodes if self.training else 0
        return max(0, decodes - trained) if trained else 0

    def keeping(self, decodes: int, frame: int = 0) -> Keeping:
        """Return what says which of a frame's decodes is kept: the last, in training and up to the trained R."""
        compared = self.config.extra_refinements == "better" and not self.training
        return Keeping(decodes, self.decodes(frame, self.trained_refinements) if compared else None)


class Recurrent(ABC):
    """A model that carries a state from frame to frame; `forward` is the fold of `step`."""

    @abstractmethod
    def initial_state(self, batch: int = 1, slots: int | None = None, seed: int = 0) -> State:
        """Return the state before the first frame. It holds the seed and the frame number as tensors."""

    @abstractmethod
    def step(self, frame: Tensor, state: State, refinements: int | None = None) -> tuple[Decomposition, State]:
        """Explain one more frame.

        Args:
            frame: Shape (B, C, H, W) in [0, 1].
            state: What `initial_state` or the last `step` returned.
            refinements: R; the settings' value where None.

        Returns:
            A decomposition with T = 1, without a graph, and the new state.
        """


class Observes(ABC):
    """A model that explains a clip as a whole, and can go on from its end; one that is `Recurrent` needs no clip."""

    @property
    @abstractmethod
    def clip_frames(self) -> int:
        """How many frames it was made to observe together; another number is admitted."""

    @abstractmethod
    def observe(self, frames: Tensor, slots: int | None = None, seed: int = 0) -> tuple[Decomposition, State]:
        """Explain a clip.

        Args:
            frames: Shape (B, T, C, H, W) in [0, 1].
            slots: K; the settings' value where None.
            seed: Seed of the posterior noise.

        Returns:
            A decomposition of T frames, without a graph, and the state after them, which `Predictor.predict` takes.
        """


class Predictor(ABC):
    """A model that can continue a video by itself, from the state that `Recurrent.step` or `Observes.observe` gave."""

    @abstractmethod
    def predict(self, state: State, steps: int) -> tuple[Decomposition, State]:
        """Return `steps` predicted frames and the state after them (a rollout can be continued)."""


class Decodes(ABC):
    """A model that can draw slots from latents."""

    @abstractmethod
    def decode(self, latents: Tensor, state: State | None = None) -> tuple[Tensor, Tensor]:
        """Draw latents of shape (B, K, Z): masks (B, K, 1, H, W) and appearance (B, K, C, H, W)."""


class Locates(ABC):
    """A model that says itself where its slots are, other than by their masks."""

    @abstractmethod
    def positions(self, decomposition: Decomposition) -> Tensor:
        """Return where slots are, (x, y) as shares of width and height, (B, T, K, 2); NaN for those without a place."""


class Renders(ABC):
    """A model that observes some views of a scene and draws it from any viewpoint."""

    @abstractmethod
    def observe(
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
            posterior: What `observe` returned, (B, K, Z).
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
