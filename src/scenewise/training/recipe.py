"""What a recipe is: a model, data and a training, in one stage or several; and what it says of any step.

All that holds at a training step is a pure function of the step, so that a resumed run knows it without memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from scenewise.config import plain, setting
from scenewise.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Schedule = Literal["constant", "cosine", "exponential", "linear"]


@dataclass(frozen=True)
class ModelPart:
    """Which model."""

    name: str = setting("provide", "Registered name of the model")
    preset: str = setting("fast", "Named settings to begin with")
    settings: dict[str, Any] = field(
        default_factory=dict,
        metadata={"meaning": "Settings laid over the preset; size, channels and K follow the data"},
    )


@dataclass(frozen=True)
class DataPart:
    """Which videos."""

    source: str = setting("balls-colour", "Registered name of the data source")
    settings: dict[str, Any] = field(default_factory=dict, metadata={"meaning": "Settings of the source"})


@dataclass(frozen=True)
class MotionPart:
    """How to learn how objects move, after the last step."""

    videos: int = setting(300, "Training videos that the model looks at, whole", minimum=1, maximum=1_000_000)
    steps: int = setting(6000, "Optimiser steps of the network", minimum=1, maximum=10_000_000)
    batch: int = setting(64, "Stretches of video per step", minimum=1, maximum=65_536)
    learning_rate: float = setting(2e-3, "Learning rate at the first step, from which it falls as a cosine", minimum=0)
    ahead: int = setting(3, "Frames that are predicted one from another, and compared", minimum=1, maximum=100)
    jitter: float = setting(0.1, "Noise laid on the places a prediction begins with, pixels", minimum=0, maximum=100)
    symmetric: bool = setting(False, "Objects move by the same laws in every direction: learn from turned videos too")
    validation_videos: int = setting(32, "Validation videos whose places are compared", minimum=1, maximum=10_000)


@dataclass(frozen=True)
class PicturePart:
    """How to make the picture that all videos are drawn over, of data whose videos have one camera and bring none."""

    videos: int = setting(120, "Training videos of which one frame each is looked at", minimum=20, maximum=10_000)


@dataclass(frozen=True)
class TrainingPart:
    """How to train."""

    steps: int = setting(10_000, "Optimiser steps", minimum=1, maximum=100_000_000)
    batch: int = setting(16, "Clips per step, over all devices and accumulations together", minimum=1, maximum=65_536)
    optimizer: Literal["adam", "rmsprop"] = setting("adam", "adam, or rmsprop with a smoothing constant of 0.99")
    learning_rate: float = setting(1e-3, "Learning rate after the warm-up", minimum=0, maximum=1)
    warm_up: int = setting(200, "Steps over which the rate rises linearly from 0", minimum=0)
    schedule: Schedule = setting("constant", "Rate afterwards; linear: to a tenth")
    half_life: int = setting(10_000, "Steps in which an exponential rate halves", minimum=1)
    decay_steps: int = setting(1_000_000, "Steps in which a linear rate would reach a tenth", minimum=1)
    gradient_clip: float = setting(5.0, "Largest L2 norm of the gradient; 0 for no limit", minimum=0)
    curriculum: tuple[tuple[int, int], ...] = setting(
        ((0, 4),), "[step, clip length in frames] pairs: from that step on, clips have that length", minimum=0
    )
    frame_step: int = setting(1, "Every how many frames of a video one is used", minimum=1, maximum=1000)
    max_frame: int | None = setting(None, "Use only that many first frames of a video; all where null", minimum=1)
    random_offset: bool = setting(True, "Clips begin anywhere, not at multiples of their length")
    accumulation: int = setting(1, "Parts a batch is computed in: less memory, same result", minimum=1, maximum=65_536)
    seed: int = setting(0, "Seed of weights, order, clips and posterior noise", minimum=0, maximum=2**31 - 1)
    precision: Literal["float32", "tf32", "bf16"] = setting(
        "float32", "float32, tf32 for what a GPU multiplies (float32 on a CPU), or bf16 for convolutions"
    )
    device: Literal["auto", "cpu", "cuda"] = setting("auto", "auto takes GPUs where there are any")
    captured: bool = setting(True, "On a GPU, replay steps of one form as a captured CUDA graph: many times faster")
    devices: int = setting(
        1, "Number of processes over all nodes, one per GPU (or on the CPU)", minimum=1, maximum=1024
    )
    nodes: int | None = setting(
        None, "Machines, which torchrun or SLURM must have started; None: as many as they did", minimum=1, maximum=1024
    )
    workers: int = setting(0, "Processes that prepare clips ahead; 0 for none", minimum=0, maximum=256)
    minutes: float | None = setting(None, "Stop cleanly after that many minutes", minimum=0)
    initial_model: str | None = setting(None, "Name or folder of a model to start from")
    carry_moments: bool = setting(True, "Take over the optimiser's moments of the stage before, where shapes allow")
    ema: float | None = setting(
        None, "Decay per step of averaged weights, which are then kept", minimum=0, maximum=0.999999
    )
    log_every: int = setting(10, "Steps between rows of metrics.csv", minimum=1)
    validate_every: int = setting(500, "Steps between validations", minimum=1)
    validation_videos: int = setting(32, "Videos per validation", minimum=1, maximum=10_000)
    validation_frames: int | None = setting(None, "Frames of each; the longest clip's where null", minimum=1)
    patience: int = setting(0, "Stop after so many validations in a row without a better bound; 0 never", minimum=0)
    images_every: int = setting(1000, "Steps between image panels", minimum=1)
    checkpoint_every: int = setting(500, "Steps between checkpoints", minimum=1)
    checkpoint_minutes: float = setting(10.0, "Minutes after which one is due anyway", minimum=0)
    picture: PicturePart | None = setting(
        None, "How to make one background picture for all videos, where the data bring none; null for not at all"
    )
    motion: MotionPart | None = setting(None, "How to learn how objects move, after the last step; null for not at all")


@dataclass(frozen=True)
class Stage:
    """One stage of a recipe, all its settings worked out."""

    name: str = setting("", "What it is for, in a few plain words")
    model: ModelPart = field(default_factory=ModelPart)
    data: DataPart = field(default_factory=DataPart)
    training: TrainingPart = field(default_factory=TrainingPart)

    @property
    def slug(self) -> str:
        """Its name as one word, for folders and `stages.NAME.training.steps=...`."""
        return slug(self.name)


@dataclass(frozen=True)
class StagePlace:
    """Where a stage stands in its run.

    Attributes:
        number: From 1.
        count: Stages of the run.
        name: Its name; "" where the recipe has no stages.
    """

    number: int = 1
    count: int = 1
    name: str = ""

    def __str__(self) -> str:
        """In words, such as "stage 3 of 7, slots apart"; "" where there are no stages."""
        return f"stage {self.number} of {self.count}, {self.name}" if self.name else ""


@dataclass(frozen=True)
class Recipe:
    """A run that can be repeated.

    Where there are stages, they say what is trained; `model`, `data` and `training` are what their changes were laid
    over.
    """

    name: str = setting("", "Name of the recipe")
    summary: str = setting("", "What it trains, in one sentence")
    model: ModelPart = field(default_factory=ModelPart)
    data: DataPart = field(default_factory=DataPart)
    training: TrainingPart = field(default_factory=TrainingPart)
    stages: tuple[Stage, ...] = field(default=())

    def parts(self) -> tuple[Recipe, ...]:
        """Return one recipe without stages per stage; the recipe itself where it has none."""
        if not self.stages:
            return (self,)
        return tuple(replace(self, model=s.model, data=s.data, training=s.training, stages=()) for s in self.stages)

    @property
    def final(self) -> Recipe:
        """The last stage as a recipe of its own: the model that comes out, and the data it is for."""
        return self.parts()[-1]

    @property
    def steps(self) -> int:
        """Optimiser steps of all stages together."""
        return sum(part.training.steps for part in self.parts())

    def stage_number(self, name: str) -> int:
        """Return which stage has a name (spaces or hyphens), from 0.

        Raises:
            InputError: None has.
        """
        return stage_number([stage.name for stage in self.stages], name, f"recipe {self.name}")


def slug(name: str) -> str:
    """Return the name of a stage as one word."""
    return "-".join(name.lower().split())


def stage_number(stages: Sequence[str], name: str, where: str) -> int:
    """Return which of some stages has a name (spaces or hyphens), from 0.

    Args:
        stages: Their names.
        name: The name that is asked for.
        where: What the message is about.

    Raises:
        InputError: None has it; the message lists their names.
    """
    slugs = [slug(stage) for stage in stages]
    if slug(str(name)) not in slugs:
        raise InputError(where, f"has no stage {name!r}.", f"Stages: {', '.join(slugs) or 'none'}.")
    return slugs.index(slug(str(name)))


def learning_rate(training: TrainingPart, step: int) -> float:
    """Return the rate of step `step`, counted from 0."""
    warm = min(1.0, (step + 1) / training.warm_up) if training.warm_up else 1.0
    if training.schedule == "cosine":
        done = max(0, step - training.warm_up) / max(1, training.steps - training.warm_up)
        return training.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    if training.schedule == "exponential":
        return training.learning_rate * warm * 0.5 ** (step / training.half_life)
    if training.schedule == "linear":
        return training.learning_rate * warm * max(0.1, 1 - 0.9 * step / training.decay_steps)
    return training.learning_rate * warm


def clip_length(training: TrainingPart, step: int) -> int:
    """Return the number of frames of the clips of step `step`."""
    return [length for begin, length in training.curriculum if step >= begin][-1]


def longest_clip(training: TrainingPart) -> int:
    """Return the number of frames of the longest clips the run will see."""
    return max(length for begin, length in training.curriculum if begin < training.steps)


def work(training: TrainingPart, cells: Callable[[int], int], first: int = 0) -> float:
    """Return the cells of one clip summed over the steps from `first` to the end.

    Args:
        training: The settings.
        cells: Cells of a clip of so many frames.
        first: The first step that counts.
    """
    ends = [begin for begin, _ in training.curriculum[1:]] + [training.steps]
    phases = zip(training.curriculum, ends, strict=True)
    return float(
        sum(max(0, min(end, training.steps) - max(begin, first)) * cells(length) for (begin, length), end in phases)
    )


FREE_TO_CHANGE = frozenset(
    f"training.{key}"
    for key in ("minutes", "patience", "workers", "device", "devices", "nodes", "accumulation", "checkpoint_minutes")
) | {"name", "summary"}
"""Settings that may differ when a run is resumed: none of them decides which numbers are computed."""


def differences(old: Recipe, new: Recipe) -> list[str]:
    """Return one line per setting in which a run could not continue as `new` what began as `old`."""
    if [stage.slug for stage in old.stages] != [stage.slug for stage in new.stages]:
        names = [", ".join(stage.slug for stage in recipe.stages) or "none" for recipe in (old, new)]
        return [f"stages: {names[0]} in the run, {names[1]} now"]
    lines = []
    for number, (one, other) in enumerate(zip(old.parts(), new.parts(), strict=True)):
        before, after = _flat(plain(one)), _flat(plain(other))
        stage = f"stages.{old.stages[number].slug}." if old.stages else ""
        lines += [
            f"{stage}{key}: {before.get(key)!r} in the run, {after.get(key)!r} now"
            for key in sorted(before.keys() | after.keys())
            if before.get(key) != after.get(key) and key not in FREE_TO_CHANGE
        ]
    return lines


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return flat
