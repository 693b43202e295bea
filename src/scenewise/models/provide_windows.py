"""PROVIDE for still cameras (ours): slots draw in windows over a background picture, and are born and die.

Likelihood, posterior, prior, refinement and carried state are PROVIDE's (models/provide.py). What differs:

- slot 0 draws the picture that the camera shows where nothing stands in the way, under the light of the frame, plus a
  latent sum of light fields; every other slot draws a patch in a window that its latent moves, and nothing elsewhere;
- the refinement network sees a slot's inputs through its window, and the difference from the background beside them;
- at every frame, slots that are off are born on parts of the frame that differ from the background and that nobody
  owns; a slot that owns too little after the frame is off. What a slot owns after a frame, and explains better than the
  background, is where its window begins in the next one. A slot that is used again gets a new track;
- where parts join, an object that was alone before keeps its sides and course, seen or hidden (`nn.habits`);
- a pixel of a frame that was seen belongs to the slot with the largest responsibility m_k N_k / p, not to that with the
  largest mask;
- in predicted frames objects go where a network says that learned how they move (`nn.dynamics`), if it has.

No parameter depends on the size of the frames or on K. The picture comes with an observation, or is the one kept with
the weights (`picture`, that of the footage it was trained on).
"""

from __future__ import annotations

from dataclasses import fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from scenewise.models.contract import register_model
from scenewise.models.moving import FollowsObjects
from scenewise.models.provide import Provide
from scenewise.models.provide_config import ProvideConfig
from scenewise.models.provide_windows_config import PRESETS, WindowsConfig
from scenewise.models.stages import Stages
from scenewise.models.window_engine import SceneContext, WindowedFrame, WindowEngine, evidence
from scenewise.nn.cutouts import Motion, displacement, moved_cutouts
from scenewise.nn.dynamics import Dynamics, Sighting, Trail
from scenewise.nn.frame_parts import Limits
from scenewise.nn.habits import Habits, about
from scenewise.nn.light import brightening, light_between
from scenewise.nn.looks import ALIKE
from scenewise.nn.masks import adopted, disjoint, main_pieces, without_strays
from scenewise.nn.parts import PartMemory, guess
from scenewise.nn.refiner import LambdaLSTM2d, Pair, Refiner
from scenewise.nn.windows import (
    NUMBERS,
    CropEncoder,
    CropEncoderSettings,
    PatchCanvas,
    WindowDecoder,
    WindowDecoderSettings,
    WindowScene,
    box_of,
    centre_of,
    covered,
)
from scenewise.variational.engine import DecodedFrame, FrameContext, decomposed
from scenewise.variational.gaussian import seeded_noise
from scenewise.variational.mixture import composed
from scenewise.variational.refinement import ImageGradients

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scenewise.decomposition import Decomposition
    from scenewise.models.contract import State
    from scenewise.observation import Observation

_OF_ONE_FRAME = (
    "lit", "difference", "strange", "begins", "company", "before", "drawers", "shares", "errors",
)  # fmt: skip
"""Entries of the state that no frame hands on."""

_HELD = 0.1  # least weight of a pixel that a slot owns
_BESIDE = 2  # working pixels from an object that are beside it
_JITTER = 1 << 21  # key of the random stream that first guesses are moved by


@register_model("provide-windows")
class ProvideWindows(Stages, FollowsObjects, Provide):
    """PROVIDE with windows over a background picture."""

    config_class: ClassVar[type] = WindowsConfig
    presets: ClassVar[Mapping[str, Any]] = MappingProxyType(PRESETS)
    slot_symmetric: ClassVar[bool] = False
    takes_background: ClassVar[bool] = True
    slot_state: ClassVar[tuple[str, ...]] = ("hidden", "cell", "window", "on")
    sized_by: ClassVar[str] = "drawers"
    config: WindowsConfig

    def __init__(self, config: WindowsConfig | None = None) -> None:
        config = config or WindowsConfig()
        super().__init__(config)
        engine = {f.name: getattr(self.engine, f.name) for f in fields(self.engine)}
        self.engine = WindowEngine(**engine)
        self.takes_background = config.windows.backdrop == "picture"  # type: ignore[misc]  # of the settings, not the class
        self.birth = nn.Linear(NUMBERS + 1 + config.channels, config.hidden)
        nn.init.zeros_(self.birth.bias)
        with torch.no_grad():  # a wide posterior would throw first guesses away before they are drawn
            self.initial[: config.latent] *= 0.2
            self.initial[config.latent :] = -2.0
            self.initial[config.latent : config.latent + NUMBERS] = -3.0
        self.picture: Tensor
        self.register_buffer("picture", torch.zeros(config.channels, *config.size))
        width = config.windows.dynamics  # no loss of a clip looks at this network
        self.dynamics = Dynamics(width).requires_grad_(False) if width else None

    @staticmethod
    def _make_refiner(config: ProvideConfig, inputs: tuple[int, int]) -> Refiner:
        settings: CropEncoderSettings = config.encoder  # type: ignore[assignment]
        shape = (inputs[0] + config.channels + 1, inputs[1], settings.channels, settings.code, settings.groups)
        encoder = CropEncoder(*shape, settings.side, settings.context)
        cell = LambdaLSTM2d(settings.code + 4 * config.latent, config.hidden)
        return Refiner(encoder, cell, config.hidden, 2 * config.latent, config.bf16_convolutions)

    @staticmethod
    def _make_decoder(config: ProvideConfig) -> WindowDecoder:  # type: ignore[override]
        settings: WindowDecoderSettings = config.decoder  # type: ignore[assignment]
        width = 2 * settings.channels
        canvas = PatchCanvas(width, settings.channels, config.channels, settings.patch, settings.groups)
        return WindowDecoder(config.latent, config.hidden, width, canvas, config.channels, settings.light_fields)

    def adapt(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Take a relative's weights and keep the own picture (another scene, or another size), and how objects move."""
        rest, moving = ({n: t for n, t in weights.items() if n.startswith("dynamics.") is yes} for yes in (False, True))
        own = {n: t for n, t in self.state_dict().items() if n.startswith("dynamics.")}
        fits = {n: t.shape for n, t in moving.items()} == {n: t.shape for n, t in own.items()}
        return {**rest, **(moving if fits else own), "picture": self.picture}

    # -- state --------------------------------------------------------------------------------------------------

    def _start(self, observation: Observation, slots: int | None, seed: int, noise: Tensor | None) -> State:
        """Return the state before the first frame: over the video's background, or the one kept with the weights."""
        state = super()._start(observation, slots, seed, noise)
        return state if observation.background is None else state | {"background": observation.background}

    def initial_state(
        self, batch: int = 1, slots: int | None = None, seed: int = 0, noise: Tensor | None = None
    ) -> State:
        """Return the state before the first frame: all slots but 0 are off.

        Its `background`, shape (B, C, H, W), is the picture kept with the weights; another may be put in its place.
        `wall` is what slot 0 showed last, from which predictions go on.
        """
        state = super().initial_state(batch, slots, seed, noise)
        count, zeros = state["hidden"].shape[1], state["hidden"].new_zeros
        on = zeros(batch, count)
        on[:, 0] = 1
        return state | {
            "background": self.picture.expand(batch, -1, -1, -1).clone(),
            "wall": self.picture.expand(batch, -1, -1, -1).clone(),
            "seen": self.picture.expand(batch, -1, -1, -1).clone(),
            "drawing": zeros(batch, count, self.config.hidden + NUMBERS + 1),
            "drawn": zeros(batch, count, self.config.latent + self.config.hidden + NUMBERS + 1),
            "distance": zeros(batch, count, 2),
            **vars(Motion.unknown(zeros(batch, count, 2))),
            "window": zeros(batch, count, NUMBERS),
            "speed": zeros(batch, count, 2),
            "on": on,
            "colour": zeros(batch, count, self.config.channels),
            "kind": zeros(batch, count, self.config.channels),
            "extent": zeros(batch, count),
            "lost": zeros(batch, count, dtype=torch.bool),
            "owner": zeros(batch, *self.config.working_size, dtype=torch.int64),
            "track": on.long() - 1,
            "absence": zeros(batch, count, dtype=torch.int64),
            "last_track": zeros(batch, dtype=torch.int64),
            "together": zeros(batch, count, count, dtype=torch.int64),
            **vars(Habits.unknown(zeros(batch, count), self.config.channels)),
            **(vars(Trail.unknown(zeros(batch, count))) if self.dynamics is not None else {}),
        }

    def sighting(self, state: State) -> Sighting:
        """Return what the last frame showed of the objects; see `FollowsObjects.sighting`."""
        share = Motion(state["step"], state["pace"], state["steadiness"]).share
        return Sighting(state["places"][:, :, -1], state["window"][..., 2:], _tracks(state), state["speed"], share)

    # -- one frame ----------------------------------------------------------------------------------------------

    def _look(
        self, frame: Tensor, state: State, refinements: int | None, noise: Tensor | None, scored: bool
    ) -> tuple[DecodedFrame, dict[str, Tensor], State]:
        """Let slots be born, explain the frame, and let slots die."""
        state = self._begin(state | self._compare(frame, state), noise)
        part, terms, after = super()._look(frame, state, refinements, noise, scored)
        part = WindowedFrame(**vars(part), tracks=_tracks(state), hidden=state["hidden"], scene=_wall_scene(state))
        return part, terms, self._after(frame, part.posterior.mean, state, after | evidence(part.mixture))

    def open_frame(self, frame: Tensor, state: State) -> State:
        """Compare a frame with its background, and let slots be born; see `Stages.open_frame`."""
        return self._begin(state | self._compare(frame, state), None)

    def roundings(self, opened: State) -> Iterator[State]:
        """Yield it with 1, 2, 4, ... slots to be drawn, filled up by slots that are off; see `Stages.roundings`."""
        others = opened["on"].clone()
        others[:, 0] = 2
        order = others.flatten().sort(descending=True, stable=True).indices[len(others) :]  # those that are on first
        number = 1 << (max(1, int((others == 1).sum())) - 1).bit_length()
        while number < 2 * len(order):
            yield opened | {"drawers": order[:number]}
            number *= 2

    def explain_opened(
        self, frame: Tensor, opened: State, refinements: int | None = None
    ) -> tuple[Decomposition, State]:
        """Explain a frame by the slots that are on; see `Stages.explain_opened`."""
        part, _, after = super()._look(frame, opened, refinements, None, scored=False)
        drawing = self.decoder(part.posterior.mean, opened["hidden"], _wall_scene(opened))
        whole = decomposed(self.engine.explain(frame, drawing), part.posterior, part.prior)
        return whole, after | evidence(part.mixture)

    def close_frame(
        self, frame: Tensor, part: Decomposition, opened: State, after: State
    ) -> tuple[Decomposition, State]:
        """Say which object owns which pixel, and let slots die; see `Stages.close_frame`."""
        seen: Tensor = part.responsibilities  # type: ignore[assignment]  # of a frame that was seen
        shares = self._with_edges(seen[:, 0], frame, _wall_scene(opened)).unsqueeze(1)
        part = replace(part, responsibilities=shares, tracks=_tracks(opened).unsqueeze(1))
        return part, self._after(frame, part.mean[:, 0], opened, after)

    def _after(self, frame: Tensor, mean: Tensor, state: State, after: State) -> State:
        """Return the state after a frame.

        Args:
            frame: Shape (B, C, H, W).
            mean: Of the posterior of the frame's latents, shape (B, K, Z).
            state: With which it was explained.
            after: The state after that, with `evidence` of the frame.
        """
        drawn = torch.cat([mean, state["hidden"], state["window"], state["on"].unsqueeze(2)], 2)
        last = {"seen": frame, "drawn": drawn.detach(), "distance": torch.zeros_like(state["speed"])}
        after = after | self._end(frame, state, after) | last
        return {name: tensor for name, tensor in after.items() if name not in _OF_ONE_FRAME}

    @torch.no_grad()
    def _compare(self, frame: Tensor, state: State) -> State:
        """Compare a frame with its background.

        Returns:
            `wall`, the picture under the light of the frame, with most of what shadows and reflexes change; at the
            working size `lit`, the same with less of it, `difference` of the frame from that, and `strange`, by how
            much pixels differ from the wall.
        """
        windows, behind = self.config.windows, state["background"]
        if windows.backdrop == "plain":
            behind = frame.flatten(2).median(2).values[..., None, None].expand_as(frame)
        lit = light_between(behind, frame).on(behind).clamp(0, 1)
        change = brightening(frame - lit, lit)
        wall, lit = lit + windows.brightness * change, lit + windows.absorbed * change
        small, small_wall, small_lit = (self._working(images) for images in (frame, wall, lit))
        strange = (small - small_wall).square().sum(1).sqrt()
        comparison = {"wall": wall, "lit": small_lit, "difference": small - small_lit, "strange": strange}
        return comparison | {"background": behind}

    def _working(self, images: Tensor) -> Tensor:
        """Return images at the size at which they are explained."""
        return images if self.config.pooling == 1 else functional.avg_pool2d(images, self.config.pooling)

    def _context(self, frame: Tensor, state: State) -> FrameContext:
        context, difference = super()._context(frame, state), state["difference"]
        distance = (8 * difference.abs().amax(1, keepdim=True)).tanh()
        values = {f.name: getattr(context, f.name) for f in fields(context)}
        scene = WindowScene(state["lit"], state["window"], state["on"], state.get("drawers"))
        return SceneContext(**{**values, "extra": (*context.extra, 5 * difference, distance), "scene": scene})

    def _begin(self, state: State, noise: Tensor | None) -> State:
        """Move windows to where objects are in the new frame, and put slots that are off onto what nobody owns."""
        windows, pixels = self.config.windows, state["strange"].shape[-1] * state["strange"].shape[-2]
        area = max(4.0, windows.least_area * pixels)
        most = windows.most_area * pixels
        limits = Limits(*windows.strange, area, windows.colours, windows.hues, windows.necks, most)
        waits = (state["absence"] > 0) & (state["absence"] <= windows.memory)
        known = {f"{name}s": state[name] for name in ("window", "colour", "extent", "speed")}
        together, habits = state["together"], Habits.of(state)
        memory = PartMemory(state["owner"], state["on"], waits, together=together, habits=habits, **known)
        frames = state["lit"] + state["difference"] if windows.hues else None
        look = guess(state["strange"], state["difference"], memory, limits, frames)
        begins = look.births | look.returns | look.heirs
        on = ((state["on"] > 0) & ~look.ends | begins).to(state["on"].dtype)
        new, alive = begins.unsqueeze(2), on.unsqueeze(2)
        boxes = look.windows
        if self.training and windows.jitter:
            boxes = torch.where(new, self._jittered(boxes, state, noise), boxes)
        going = torch.cat([state["speed"], torch.zeros_like(state["speed"])], -1)  # of those that touch others
        shape = boxes + boxes.new_tensor([0.0, 0.0, 1.5, 1.0])
        fresh = self.birth(torch.cat([shape, torch.ones_like(shape[..., :1]), 3 * look.colours], -1)).tanh()
        again, newest = new | (look.moves & state["lost"]).unsqueeze(2), state["last_track"].unsqueeze(1)
        return state | {
            "hidden": torch.where(again, fresh, state["hidden"] * alive),
            "cell": torch.where(again, torch.zeros_like(state["cell"]), state["cell"] * alive),
            "window": torch.where((begins | look.moves | look.company).unsqueeze(2), boxes, state["window"] + going),
            "company": look.company,
            "before": torch.where(new, boxes, state["window"]),
            "speed": torch.where(new, torch.zeros_like(state["speed"]), state["speed"]),
            "on": on,
            "track": torch.where(look.births, newest + look.births.cumsum(1), state["track"].gather(1, look.sources)),
            "last_track": state["last_track"] + look.births.sum(1),
            "absence": torch.where(begins, torch.zeros_like(state["absence"]), state["absence"]),
            "kind": torch.where(new, look.colours, state["kind"]),
            "together": look.joined(state["together"]),
            "extent": look.extents,
            "begins": begins,
            **vars(look.habits),
        }

    def _jittered(self, windows: Tensor, state: State, noise: Tensor | None) -> Tensor:
        """Return first guesses as a worse look would have made them, so that training sees such too."""
        index = int(state["frame"])
        if noise is None:
            jitter = seeded_noise(tuple(windows.shape), int(state["seed"]), index, _JITTER, device=windows.device)
        else:
            jitter = noise[:, -1, :, -NUMBERS:]  # what the last decode draws its last numbers from; all else is used
        spread = torch.cat([0.7 * windows[..., 2:].exp(), torch.ones_like(windows[..., 2:])], -1)
        return windows + self.config.windows.jitter * spread * jitter

    @torch.no_grad()
    def _end(self, frame: Tensor, state: State, evidence: State) -> State:
        """Put windows to where slots own pixels, and switch off slots that own too few."""
        windows, shares, error = self.config.windows, evidence["shares"], evidence["errors"]  # (B, K, h, w)
        slots = shares.shape[1]
        largest = shares.max(1, keepdim=True).indices == torch.arange(slots, device=shares.device).view(1, -1, 1, 1)
        explained = (error[:, 1:] < error[:, :1]) & (error[:, 1:] < max(windows.fit * self.config.sigma, ALIKE))
        strange = (state["strange"] > windows.strange[0]).unsqueeze(1)
        objects, least = main_pieces(largest[:, 1:] & strange & explained), windows.least_area * strange[0].numel()
        drawn = objects.sum((2, 3))
        objects = self._hold(objects, strange, state, least)
        mass = torch.cat([torch.zeros_like(shares[:, :1]), shares[:, 1:].clamp_min(_HELD) * objects], 1)
        area = functional.pad(objects.sum((2, 3)), (1, 0))
        on = state["on"] * (area >= least)
        on[:, 0] = 1
        holds = (on * area > 0).unsqueeze(2)
        seen = torch.where(state["company"].unsqueeze(2), about(state["window"], box_of(mass)), box_of(mass))
        boxes = torch.where(holds, seen, state["window"])  # those of slots that are off stay where they were
        owner = (objects * torch.arange(1, slots, device=on.device).view(-1, 1, 1)).sum(1)
        weight = mass.sum((2, 3)).clamp_min(1e-6).unsqueeze(2)
        colour = torch.einsum("bkhw,bchw->bkc", mass, state["difference"]) / weight
        colour = torch.where(holds, colour, state["colour"])
        other = holds.squeeze(2) & ((colour - state["kind"]).abs().amax(2) > ALIKE)
        together = state["together"].masked_fill(other.unsqueeze(1) | other.unsqueeze(2), 0)
        inside = (covered(boxes[:, 1:], strange.shape[-2:]) & strange).sum((2, 3))
        hidden = state["company"] & (state["absence"] > 0)
        lost = functional.pad(drawn < windows.least_drawn * inside, (1, 0))
        return {
            "window": boxes,
            "on": on,
            "owner": owner,
            "kind": torch.where(other.unsqueeze(2), colour, state["kind"]),
            "together": together,
            "lost": lost & (on > 0),
            **({} if self.training else self._motion(frame, owner, state) | self._trail(mass, on > 0, state)),
            "colour": colour,
            "absence": torch.where((on > 0) | (state["track"] < 0), 0, state["absence"] + 1 - hidden.long()),
        }

    def _hold(self, objects: Tensor, strange: Tensor, state: State, least: float) -> Tensor:
        """Let a slot that explains too little hold what is in its window and nobody's: it may yet learn to draw it.

        Args:
            objects: What slots but 0 own, bool, shape (B, K - 1, H, W).
            strange: Pixels that are no background, bool, shape (B, 1, H, W).
            state: Of this frame.
            least: Pixels an object has.
        """
        inside = covered(state["window"][:, 1:], objects.shape[-2:]) & strange
        drawn, half = objects.sum((2, 3)), self.config.windows.least_drawn * inside.sum((2, 3))
        weak = (state["on"][:, 1:] > 0) & (drawn < half.clamp_min(least))
        if not weak.any():
            return objects
        inside &= weak[..., None, None]
        free = inside & ~(objects & ~weak[..., None, None]).any(1, keepdim=True)
        return torch.where(weak[..., None, None], main_pieces(disjoint(free)), objects)

    def _motion(self, frame: Tensor, owner: Tensor, state: State) -> State:
        """Measure how far objects went since the last frame, and what follows for the next."""
        known, (height, width) = ~state["begins"] & (state["frame"] > 0), frame.shape[-2:]
        for axis in (1, 2):
            owner = owner.repeat_interleave(self.config.pooling, axis)
        step = displacement(state["seen"], frame, owner, state["on"].shape[1]) * known.unsqueeze(2)
        motion = Motion(state["step"], state["pace"], state["steadiness"]).after(step, known)
        unit = 2 / step.new_tensor([max(width - 1, 1), max(height - 1, 1)])
        return {"speed": motion.pace * (step * state["step"] > 0) * unit, **vars(motion)}

    def _trail(self, mass: Tensor, on: Tensor, state: State) -> State:
        """Return where objects were, this frame included: the centres of mass (B, K, h, w) of what slots own."""
        return {} if self.dynamics is None else vars(Trail.of(state).after(centre_of(mass), on, state["begins"]))

    # -- drawing and prediction ---------------------------------------------------------------------------------

    @torch.no_grad()
    def _decomposition(self, part: DecodedFrame) -> Decomposition:
        """Draw a frame at its full size, shadows and reflexes with the background, from the posterior's mean."""
        if not isinstance(part, WindowedFrame):
            raise TypeError("frames of slots in windows only")
        drawing = part.cutouts or self.decoder(part.posterior.mean, part.hidden, part.scene)
        mixture = self.engine.explain(part.frame, drawing)
        seen = mixture.responsibilities
        shares = None if part.cutouts else self._with_edges(seen, part.frame, part.scene).unsqueeze(1)
        decomposition = decomposed(mixture, part.posterior, part.prior)
        return replace(decomposition, responsibilities=shares, tracks=part.tracks.unsqueeze(1))

    def _with_edges(self, shares: Tensor, frame: Tensor, scene: WindowScene) -> Tensor:
        """Return responsibilities that are certain where the difference from the wall says so.

        An object explains its blurred edge better than the background does, however little of it is in the pixel:
        pixels that differ little are the background's. What differs clearly and no object explains, such as detail
        that a patch is too coarse for, belongs to the object beside it; and where a slot draws less than half of what
        is in its window, to that slot, which may yet learn to draw it.

        Args:
            shares: Responsibilities, shape (B, K, 1, H, W).
            frame: Shape (B, C, H, W).
            scene: What the background shows, and the windows of slots.

        Returns:
            Shape (B, K, 1, H, W).
        """
        batch, slots, faint = len(shares), shares.shape[1], self.config.windows.faint
        strange = (frame - scene.picture).square().sum(1).sqrt()  # (B, H, W)
        owner = shares.max(1).indices.squeeze(1)
        objects = (owner + slots * torch.arange(batch, device=owner.device).view(-1, 1, 1)).flatten()
        sums = strange.new_zeros(2, batch * slots).index_add_(
            1, objects, torch.stack([strange.flatten(), torch.ones_like(strange).flatten()])
        )
        limits = (self.config.windows.edge * sums[0] / sums[1].clamp_min(1)).clamp_min(faint)
        pale = (strange < limits[objects].view_as(strange)) & (owner > 0)
        clear = strange > 2 * faint
        held = self._held(without_strays(owner.masked_fill(pale, 0)), clear, scene)
        after = adopted(held, clear, _BESIDE * self.config.pooling)
        changed = (after != owner)[:, None, None]
        certain = after[:, None, None] == torch.arange(slots, device=owner.device).view(-1, 1, 1, 1)
        return torch.where(changed, certain.to(shares.dtype), shares)

    def _held(self, owner: Tensor, clear: Tensor, scene: WindowScene) -> Tensor:
        """Return owners (B, H, W) in which slots that draw too little own what is clear in their windows and free."""
        inside = covered(scene.windows[:, 1:], owner.shape[-2:]) & (clear & (owner == 0)).unsqueeze(1)
        drawn = functional.one_hot(owner, scene.on.shape[1])[..., 1:].sum((1, 2))
        weak = (scene.on[:, 1:] > 0) & (drawn <= self.config.windows.least_drawn * (drawn + inside.sum((2, 3))))
        first = disjoint(inside & weak[..., None, None])
        return owner + (first * torch.arange(1, scene.on.shape[1], device=owner.device).view(-1, 1, 1)).sum(1)

    def _predict_frame(self, state: State) -> tuple[DecodedFrame, State]:
        """Continue by one frame: windows go on as they moved, and the background stays under its last light."""
        step, share = state["speed"], Motion(state["step"], state["pace"], state["steadiness"]).share
        if self.dynamics is not None:
            step = self.dynamics.step(Trail.of(state), state["window"][..., 2:], _tracks(state) > 0, step)
            state = state | vars(Trail.of(state).going(step))
        windows = state["window"] + torch.cat([step, torch.zeros_like(step)], -1)
        state = state | {"window": windows, "distance": state["distance"] + step, "speed": share * state["speed"]}
        hidden, wall = state["hidden"], state["wall"]
        prior, scene, lit = self._prior(hidden), WindowScene(wall, windows, state["on"]), self._working(wall)
        drawing = self.decoder(prior.mean, hidden, replace(scene, picture=lit))
        mixture = self.engine.explain(composed(*drawing), drawing)
        context = self._context(mixture.frame, state | {"lit": lit, "difference": mixture.frame - lit})
        posterior = torch.cat([prior.mean, prior.log_variance], -1)
        evidence = (mixture, ImageGradients.none(mixture), torch.zeros_like(posterior))
        start = (torch.zeros_like(hidden), torch.zeros_like(hidden))
        _, carry = self.engine.update(context, evidence, posterior, start)
        cutouts = self._cutouts(state)
        part = WindowedFrame(composed(*cutouts), mixture, prior, prior, _tracks(state), hidden, scene, cutouts)
        return part, self._next(state, carry, context, None)

    @torch.no_grad()
    def _cutouts(self, state: State) -> Pair:
        """Return what was seen last, each object moved on by the distance it has gone since."""
        sizes = [self.config.latent, self.config.hidden, NUMBERS, 1]
        mean, hidden, windows, on = state["drawn"].split(sizes, 2)
        scene = WindowScene(state["wall"], windows, on.squeeze(2))
        mixture = self.engine.explain(state["seen"], self.decoder(mean, hidden, scene))
        owner = self._with_edges(mixture.responsibilities, state["seen"], scene).max(1).indices.squeeze(1)
        return moved_cutouts(state["seen"], owner, state["wall"], state["distance"])

    @torch.no_grad()
    def decode(self, latents: Tensor, state: State | None = None) -> Pair:
        """Draw latents in the windows of `state`, or in windows as large as the frame; see `Decodes.decode`."""
        batch, slots = latents.shape[:2]
        if state is None:
            state = self.initial_state(batch, slots) | {"on": latents.new_ones(batch, slots)}
        scene = WindowScene(state["background"], state["window"], state["on"])
        appearance, logits = self.decoder(latents, state["hidden"], scene)
        return logits.softmax(1), appearance

    def _next(self, state: State, carry: Pair, context: FrameContext, noise: Tensor | None) -> State:
        drawing = torch.cat([state["hidden"], state["window"], state["on"].unsqueeze(2)], 2)
        return super()._next(state, carry, context, noise) | {"drawing": drawing}

    def drawing_state(self, before: State, after: State) -> State:
        """Return the state with the windows that slots had in the frame; see `Decodes.drawing_state`."""
        hidden, windows, on = after["drawing"].split([self.config.hidden, NUMBERS, 1], 2)
        return {**before, "hidden": hidden, "window": windows, "on": on.squeeze(2), "background": after["wall"]}


def _tracks(state: State) -> Tensor:
    """Return the track of every slot that holds an object, -1 for all others."""
    return torch.where(state["on"] > 0, state["track"], torch.full_like(state["track"], -1))


def _wall_scene(state: State) -> WindowScene:
    """Return what slots draw into at the full size of frames."""
    return WindowScene(state["wall"], state["window"], state["on"], state.get("drawers"))
