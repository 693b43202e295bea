"""How objects move, learned after a model has learned to take videos apart: the network of `nn.dynamics`.

The model looks at whole videos as it would at any others. Where its slots were, frame by frame, is all the network is
fitted to: no ground truth enters, nor do pixels. A slot counts for as long as it holds one object.
"""

from __future__ import annotations

import dataclasses
import math
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from scenewise.checkpoint import load_model, put_weights, save_model
from scenewise.errors import InputError
from scenewise.models.moving import FollowsObjects, dynamics_of
from scenewise.nn.dynamics import HISTORY, Dynamics, Sighting
from scenewise.training.clips import backgrounds
from scenewise.training.plan import make_plan
from scenewise.training.validation import evaluating

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scenewise.data.contract import Source
    from scenewise.models.contract import SceneModel
    from scenewise.training.recipe import MotionPart, Recipe, TrainingPart

HORIZONS = (1, 5, 10)
"""Frames ahead whose errors are told."""

IN_MEMORY = 64
"""Frames of a video that are in memory while it is looked at."""

_AT_ONCE = 8  # videos looked at together; bounds the memory
_SEED = 1  # of the posterior noise with which videos are looked at
_BEND = 0.5  # pixels from which on an error counts linearly
_LARGEST_GRADIENT = 1.0
_NAMES = tuple(field.name for field in dataclasses.fields(Sighting))


class StoppedError(Exception):
    """Learning was asked to stop; the message says by what."""


@dataclass(frozen=True)
class Tracks:
    """Where the objects of N videos were in T frames; shorter videos end with frames in which no slot has an object.

    Attributes:
        seen: Place (N, T, K, 2), log half sides (N, T, K, 2), track (N, T, K), speed (N, T, K, 2), share (N, T, K, 1).
        pixels: Pixels per unit of a place, to the right and down, shape (2,).
    """

    seen: Sighting
    pixels: Tensor

    def lasting(self, frames: int) -> Tensor:
        """Return which slots hold one object for `frames` frames from each on, bool, (N, max(0, T - frames + 1), K)."""
        track = self.seen.track
        if track.shape[1] < frames:
            return track.new_zeros(len(track), 0, track.shape[2], dtype=torch.bool)
        spans = track.unfold(1, frames, 1)  # (N, T - frames + 1, K, frames)
        return (spans > 0).all(3) & (spans == spans[..., :1]).all(3)

    def stretches(self, frames: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the M stretches of `frames` frames in which some slot holds one object all along.

        Returns:
            Their videos and first frames, int64, shape (M,), and which slots hold one, bool, shape (M, K).
        """
        lasting = self.lasting(frames)
        videos, starts = lasting.any(2).nonzero(as_tuple=True)
        return videos, starts, lasting[videos, starts]

    def windows(self, videos: Tensor, starts: Tensor, frames: int) -> Tensor:
        """Return places in `frames` frames from `starts` (M,) of `videos` (M,) on, shape (M, frames, K, 2)."""
        return self.seen.place[videos.unsqueeze(1), starts.unsqueeze(1) + torch.arange(frames, device=videos.device)]


@dataclass(frozen=True)
class LearnedMotion:
    """What was learned of how objects move.

    Attributes:
        videos: Training videos.
        steps: Steps of the network; 0 where no object was seen for long enough.
        seconds: Seconds it took, videos included.
        seed: Of the network's initial weights and of the order of what it saw.
        errors: Pixels from predicted to measured places on validation videos, after each of `HORIZONS`; NaN where none
            could be measured.
        pace: The same of objects that go on at their pace, which decays.
    """

    videos: int
    steps: int
    seconds: float
    seed: int
    errors: tuple[float, ...]
    pace: tuple[float, ...]

    def __str__(self) -> str:
        """In words, as a card has it."""
        if not self.steps:
            return f"nothing was learned: in {self.videos:,} videos no object was seen for long enough"
        head = f"{self.steps:,} steps over {self.videos:,} videos, {self.seconds:.0f} s, seed {self.seed}"
        if math.isnan(self.errors[0]):
            return f"{head}; no object of the validation videos was seen for long enough to measure it"
        pairs = zip(HORIZONS, self.errors, self.pace, strict=True)
        parts = [f"{error:.2f} pixels after {n} ({pace:.2f})" for n, error, pace in pairs if not math.isnan(error)]
        return f"{head}; places are off by {', '.join(parts)} frames (in brackets: at their last pace)"


def learn_motion(
    model: SceneModel,
    training: TrainingPart,
    sources: tuple[Source, Source],
    report: Callable[[str, int, int], None] = lambda *_: None,
    stop: Callable[[], str | None] = lambda: None,
) -> LearnedMotion:
    """Learn how objects move, and put it into a model.

    Args:
        model: Who takes videos apart, with a network for it.
        training: Settings, of which `motion`, `seed` and `frame_step` are used.
        sources: Training and validation videos.
        report: Told what is done ("video" or "step"), how much of it, and of how much.
        stop: Says what asks for an end, None where nothing does.

    Raises:
        InputError: The model's settings want no such network.
        StoppedError: `stop` said so; the model is as it was.
    """
    motion, start = training.motion, time.monotonic()
    dynamics = dynamics_of(model)
    if motion is None:
        raise ValueError("settings want no motion")

    def checked(what: str, before: int, total: int, done: int) -> None:
        report(what, before + done, total)
        reason = stop()
        if reason is not None:
            raise StoppedError(reason)

    counts = [min(motion.videos, len(sources[0])), min(motion.validation_videos, len(sources[1]))]
    parts = [
        follow(model, source, count, training.frame_step, partial(checked, "video", before, sum(counts)))
        for source, count, before in zip(sources, counts, (0, counts[0]), strict=True)
    ]
    steps = fit_dynamics(dynamics, parts[0], motion, training.seed, partial(checked, "step", 0, motion.steps))
    errors, pace = place_errors(dynamics, parts[1])
    return LearnedMotion(counts[0], steps, time.monotonic() - start, training.seed, errors, pace)


def add_motion(
    recipe: Recipe, start: str | Path, out: str | Path, report: Callable[[str, int, int], None] = lambda *_: None
) -> LearnedMotion:
    """Let a model that was trained without it learn how objects move, and write it as its recipe's end would.

    Args:
        recipe: What trained the model; the last stage's `training.motion` says how.
        start: Name or folder of the model.
        out: Where the model goes; its card has a line on what was learned.
        report: As of `learn_motion`.

    Raises:
        InputError: The recipe learns no motion, or the model is none of its own.
    """
    if recipe.final.training.motion is None:
        raise InputError(
            "training.motion", "is not in the last stage of the recipe.", "Add it: training.motion.steps=6000."
        )
    saved, plan = load_model(start), make_plan(recipe.final)
    model = plan.make_model(warm=False).eval()
    put_weights(model, {**model.state_dict(), **saved.model.state_dict()}, start)
    learned = learn_motion(model, recipe.final.training, (plan.train, plan.validation), report)
    save_model(model, out, dataclasses.replace(saved.card, motion=f"learned afterwards: {learned}"))
    return learned


def follow(
    model: SceneModel, source: Source, videos: int, frame_step: int = 1, told: Callable[[int], None] = lambda _: None
) -> Tracks:
    """Look at whole videos, and keep where the objects in slots were.

    Args:
        model: Who looks, a few videos side by side.
        source: Which videos: the first ones.
        videos: How many.
        frame_step: Every how many frames of a video one is used.
        told: Told how many videos are done.
    """
    if not isinstance(model, FollowsObjects):
        raise TypeError("the model must follow objects")
    device = next(model.parameters()).device
    parts: list[Sighting] = []
    with evaluating(model):
        for begin in range(0, videos, _AT_ONCE):
            stack = range(begin, min(begin + _AT_ONCE, videos))
            together = len({source.length(i) for i in stack}) == 1
            groups = [list(stack)] if together else [[i] for i in stack]
            parts += [_sightings(model, source, indices, frame_step, device) for indices in groups]
            told(stack.stop)
    height, width = source.facts.size
    pixels = torch.tensor([width - 1, height - 1], dtype=torch.float32).clamp_min(1) / 2
    longest, joined = max(part.track.shape[1] for part in parts), {}
    for name in _NAMES:  # (n, T, ...); where videos are shorter, slots hold nothing at their ends
        values = [getattr(part, name) for part in parts]
        filled = [v.new_full((len(v), longest - v.shape[1], *v.shape[2:]), -1) for v in values]
        joined[name] = torch.cat([torch.cat(pair, 1) for pair in zip(values, filled, strict=True)])
    return Tracks(Sighting(**joined), pixels)


def _sightings(model: Any, source: Source, indices: list[int], frame_step: int, device: torch.device) -> Sighting:
    """Look at videos of one length, a part of them in memory; return what was seen, on the CPU, with (N, T, ...)."""
    state, seen = model.initial_state(len(indices), seed=_SEED), []
    if model.takes_background and (pictures := backgrounds(source, indices)).numel():
        state = state | {"background": pictures.to(device).float() / 255}
    length, span = source.length(indices[0]), IN_MEMORY * frame_step
    for begin in range(0, length, span):
        samples = [source.sample(i, begin, min(span, length - begin)).frames[::frame_step] for i in indices]
        frames = torch.from_numpy(np.stack(samples)).to(device).float() / 255
        for frame in frames.unbind(1):
            _, state = model.step(frame, state)
            seen.append(model.sighting(state))
    return Sighting(**{name: torch.stack([getattr(s, name) for s in seen], 1).cpu() for name in _NAMES})


def fit_dynamics(
    dynamics: Dynamics, tracks: Tracks, motion: MotionPart, seed: int, told: Callable[[int], None] = lambda _: None
) -> int:
    """Fit a network, from new weights on, to where objects were.

    Args:
        dynamics: The network; nothing is changed where no object was seen for long enough.
        tracks: Where they were.
        motion: Settings.
        seed: Of the weights and of everything random.
        told: Told how many steps are done.

    Returns:
        The steps it took: 0 where nothing could be learned.
    """
    frames = HISTORY + motion.ahead
    videos, starts, holding = tracks.stretches(frames)
    if not len(videos):
        return 0
    device, generator = dynamics.learned.device, torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Dynamics(dynamics.width)
    net, pixels = net.to(device), tracks.pixels
    optimiser = torch.optim.Adam(net.parameters(), motion.learning_rate)
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, motion.steps)
    for step in range(motion.steps):
        chosen = torch.randint(len(videos), (motion.batch,), generator=generator)
        video, start = videos[chosen], starts[chosen]
        places, sides = tracks.windows(video, start, frames), tracks.seen.sides[video, start + HISTORY - 1]
        if motion.symmetric:
            places, sides = turned_about(places, sides, generator)
        noise = torch.randn(places[:, :HISTORY].shape, generator=generator) * motion.jitter / pixels
        history, present = (places[:, :HISTORY] + noise).transpose(1, 2), holding[chosen]
        batch = [tensor.to(device) for tensor in (history, sides, present, places[:, HISTORY:], pixels)]
        history, sides, present, future, scale = batch
        away = (net.rollout(history, sides, present, motion.ahead) - future) * scale
        loss = functional.smooth_l1_loss(away, torch.zeros_like(away), reduction="none", beta=_BEND).mean((1, 3))
        optimiser.zero_grad()
        (loss * present).sum().div(present.sum()).backward()
        nn.utils.clip_grad_norm_(net.parameters(), _LARGEST_GRADIENT)
        optimiser.step()
        rates.step()
        told(step + 1)
    dynamics.load_state_dict({**net.state_dict(), "learned": torch.ones(1, dtype=torch.bool)})
    return motion.steps


def turned_about(places: Tensor, sides: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return places (M, T, K, 2) and sides (M, K, 2) with axes swapped and turned round, at random for each of M."""
    swap, signs = torch.randint(2, (len(places), 3), generator=generator).split([1, 2], 1)
    order = torch.cat([swap, 1 - swap], 1)
    places = places.gather(3, order[:, None, None].expand_as(places)) * (1 - 2 * signs[:, None, None])
    return places, sides.gather(2, order[:, None].expand_as(sides))


@torch.no_grad()
def place_errors(dynamics: Dynamics, tracks: Tracks) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean distances from predicted to measured places, pixels, after each of `HORIZONS`.

    Args:
        dynamics: Who predicts.
        tracks: Where objects were.

    Returns:
        Of the network, and of going on at the last pace, which decays; NaN where no object was seen for long enough.
    """
    network, pace = [], []
    for ahead in HORIZONS:
        frames = HISTORY + ahead
        videos, starts, present = tracks.stretches(frames)
        if not len(videos):
            network.append(math.nan)
            pace.append(math.nan)
            continue
        newest = starts + HISTORY - 1
        places, seen = tracks.windows(videos, starts, frames), tracks.seen
        history, last, goal = places[:, :HISTORY].transpose(1, 2), places[:, HISTORY - 1], places[:, -1]
        device, sides = dynamics.learned.device, seen.sides[videos, newest]
        guess = dynamics.rollout(history.to(device), sides.to(device), present.to(device), ahead)[:, -1].cpu()
        share = seen.share[videos, newest]
        straight = last + seen.speed[videos, newest] * sum(share**n for n in range(ahead))
        for values, where in ((network, guess), (pace, straight)):
            distances = ((where - goal) * tracks.pixels).norm(dim=2)
            values.append(float(distances[present].mean()))
    return tuple(network), tuple(pace)
