"""A recipe made concrete: model settings that fit the data, sources, and every error before a device is touched.

What a run will take, hours and memory, is told from two trial steps whose effect is discarded.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from scenewise.checkpoint import check_weights, load_model, put_weights
from scenewise.config import build, merge
from scenewise.data.contract import SOURCES
from scenewise.data.footage.shared import shared_picture
from scenewise.errors import InputError, nearest
from scenewise.models.contract import MODELS, SceneModel
from scenewise.models.moving import dynamics_of
from scenewise.nn.dynamics import HISTORY
from scenewise.observation import Observation
from scenewise.training.clips import Clips
from scenewise.training.recipe import StagePlace, clip_length, longest_clip, work

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from torch import Tensor

    from scenewise.data.contract import Facts, Source
    from scenewise.training.recipe import Recipe


_REMEDY = "Correct these settings."
_CPU_CLIPS = 2  # a trial on a CPU takes so many clips and is scaled up
_BACKWARD = 1.25  # peak of a step in units of what the forward pass keeps, measured
_GIB = float(1 << 30)


@dataclass(frozen=True)
class Plan:
    """What will be trained on what.

    Attributes:
        recipe: As read.
        config: The model's effective settings.
        train: Training videos.
        validation: Validation videos.
        start: Model folder that the stage before left, whose weights this one begins with; None for the recipe's own
            `initial_model`, if it names one.
    """

    recipe: Recipe
    config: Any
    train: Source
    validation: Source
    start: Path | None = None

    @property
    def model_class(self) -> type[SceneModel]:
        """The model's class."""
        return MODELS.get(self.recipe.model.name)

    @property
    def longest(self) -> int:
        """Frames of the longest clip."""
        return longest_clip(self.recipe.training)

    @property
    def validation_frames(self) -> int:
        """Frames of a validation video."""
        frames = self.recipe.training.validation_frames or self.longest
        step, length = self.recipe.training.frame_step, self.validation.facts.frames
        return frames if length is None else min(frames, (length - 1) // step + 1)

    def make_model(self, warm: bool = True) -> SceneModel:
        """Return the untrained model, or, where `warm`, the initial one: the same weights every time."""
        training = self.recipe.training
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(training.seed)
            model = self.model_class(self.config)
        picture = self.picture() if model.takes_background else None
        if picture is not None:
            model.get_buffer("picture").copy_(torch.from_numpy(picture) / 255)
        initial = self.start or training.initial_model
        if initial is not None and warm:
            # Counters and schedules (buffers of one number) stay as in a new model.
            fresh = {name: tensor.clone() for name, tensor in model.named_buffers() if tensor.ndim == 0}
            put_weights(model, model.adapt(load_model(initial).model.state_dict()), initial)
            for name, tensor in model.named_buffers():
                if name in fresh:
                    tensor.copy_(fresh[name])
        return model

    def picture(self) -> np.ndarray | None:
        """Return the picture kept with the model, uint8, shape (C, H, W): that of the data, or one made of many videos.

        It is None where the data bring none and `training.picture` asks for none.
        """
        own, wanted = self.validation.background(0), self.recipe.training.picture
        return own if own is not None or wanted is None else shared_picture(self.train, wanted.videos)

    def check_start(self, before: Plan) -> None:
        """Check that the weights of another stage are what this one can begin with; nothing is computed.

        Raises:
            InputError: They do not fit.
        """
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            model, old = self.model_class(self.config), before.model_class(before.config)
            tensors = model.adapt(old.state_dict())
        check_weights(model, tensors, f"recipe {self.recipe.name}")


def make_plan(recipe: Recipe, start: Path | None = None) -> Plan:
    """Make sources and model settings of a recipe without stages.

    Args:
        recipe: What is trained.
        start: Model folder whose weights it begins with, see `Plan`.

    Raises:
        InputError: With everything that is wrong in the recipe's model and data.
    """
    problems, train, config = examine(recipe)
    validation = None if train is None else _collect(problems, lambda: _source(recipe, "validation"))
    if train is not None and config is not None:
        problems += _misfits(recipe, train, config)
    if problems or train is None or validation is None or config is None:
        raise InputError(f"recipe {recipe.name}", " ".join(problems), _REMEDY)
    return Plan(recipe, config, train, validation, start)


def examine(recipe: Recipe) -> tuple[list[str], Source | None, Any]:
    """Return what is wrong with a recipe's data and model, and the training source and model settings if nothing is."""
    problems: list[str] = []
    train = _collect(problems, lambda: _source(recipe, "train"))
    config = _collect(problems, lambda: _model_config(recipe, None if train is None else train.facts))
    return problems, train, config


def _collect(problems: list[str], make: Callable[[], Any]) -> Any:
    try:
        return make()
    except InputError as error:
        problems.append(str(error).removesuffix(_REMEDY).strip())
        return None


def _source(recipe: Recipe, split: str) -> Source:
    return SOURCES.get(recipe.data.source).make(split, recipe.data.settings)


def _model_config(recipe: Recipe, facts: Facts | None) -> Any:
    model_class = MODELS.get(recipe.model.name)
    fields = {f.name for f in dataclasses.fields(model_class.config_class)}
    preset = recipe.model.preset
    if preset not in model_class.presets:
        raise InputError(f"model.preset {preset}", "is not known.", nearest(preset, model_class.presets))
    facts_of_data: dict[str, Any] = {}  # what the data decide; K = objects + background
    if facts is not None:
        facts_of_data = {"size": list(facts.size), "channels": facts.channels}
        facts_of_data |= {} if facts.max_objects is None else {"slots": facts.max_objects + 1}
    decided = {key: value for key, value in facts_of_data.items() if key in fields}
    values = merge(merge(model_class.presets[preset], decided), recipe.model.settings)
    if recipe.training.precision == "bf16":
        if "bf16_convolutions" not in fields:
            raise InputError("training.precision", f"bf16 is not offered by {recipe.model.name}.", "Use float32.")
        values["bf16_convolutions"] = True
    config: Any = build(model_class.config_class, values, "model.settings")
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        model = model_class(config)  # settings that cannot work together
    if recipe.training.motion is not None:
        dynamics_of(model)
    if recipe.training.picture is not None and not model.takes_background:
        problem = f"is for models that draw over a background picture; {recipe.model.name} as set here does not."
        raise InputError("training.picture", problem, "Leave it out.")
    return config


def _misfits(recipe: Recipe, train: Source, config: Any) -> list[str]:
    facts, training = train.facts, recipe.training
    problems = []
    if getattr(config, "size", facts.size) != facts.size:
        problems.append(f"model.settings.size is {config.size}; the data have {facts.size}.")
    if getattr(config, "channels", facts.channels) != facts.channels:
        problems.append(f"model.settings.channels is {config.channels}; the data have {facts.channels}.")
    span = (longest_clip(training) - 1) * training.frame_step + 1
    usable = min(x for x in (facts.frames, training.max_frame, span) if x is not None)
    if usable < span:
        problems.append(
            f"training.curriculum: clips of {longest_clip(training)} frames with frame_step {training.frame_step} need "
            f"{span} frames; the videos have {usable}."
        )
    seen = None if training.motion is None else HISTORY + training.motion.ahead
    if seen is not None and facts.frames is not None and (facts.frames - 1) // training.frame_step + 1 < seen:
        problems.append(
            f"training.motion: is learned from {seen} frames in a row; the videos have {facts.frames}, every "
            f"{training.frame_step} counts. Footage's grow with data.settings.clip_length."
        )
    return problems


def cautions(config: Any) -> list[str]:
    """Return what model settings allow but a person should know before a run, one sentence each.

    The prior against duplicate slots wants all cosines at 0, which more slots than latent dimensions cannot reach: the
    least mean square of theirs is (K / Z - 1) / (K - 1) (lds.md 1).
    """
    slots, latent = getattr(config, "slots", 1), getattr(config, "latent", 1)
    duplicates = getattr(config, "duplicates", None)
    if duplicates is None or not duplicates.weight or slots <= latent:
        return []
    least = (slots / latent - 1) / (slots - 1)
    problem = f"{slots} slots of {latent} latents cannot all differ; their least mean cosine² is {least:.3f}"
    return [f"duplicates.weight: {problem}"]


PLACES = (
    "files", "cache", "path", "images", "labels", "test_images", "test_labels", "truth", "proposals", "annotations",
)  # fmt: skip
"""Settings of sources that say where files lie: cards, which are passed on, leave them out."""


def describe_data(recipe: Recipe, source: Source) -> str:
    """Return one line: source, what it is, its settings but for `PLACES`."""
    items = (item for item in recipe.data.settings.items() if item[0] not in PLACES)
    settings = ", ".join(f"{key}={value}" for key, value in items)
    return f"{recipe.data.source} ({source.facts.origin}{'; ' + settings if settings else ''})"


# -- hours and memory ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Forecast:
    """What is known of a stage before the start, from two trial steps whose effect is discarded.

    Attributes:
        place: Where it stands in its run.
        recipe: Name of the recipe.
        data: The training data in words.
        videos: Number of training videos.
        parameters: Number of the model's parameters.
        device: Where it will run.
        cells: Decodes per clip in the first and in the longest clips, times clips per step.
        memory_gib: Estimated peak memory of a process, GiB.
        hours: Estimated hours to the last step.
        steps: Steps that are left.
        first: First step.
        folder: The run's folder.
        motion: What it learns of how objects move after its last step, in words; "" where nothing.
    """

    place: StagePlace
    recipe: str
    data: str
    videos: int
    parameters: int
    device: str
    cells: tuple[int, int]
    memory_gib: float
    hours: float
    steps: int
    first: int
    folder: Path
    motion: str = ""


def cells_of(model: SceneModel, frames: int) -> int:
    """Return the number of decodes of a clip."""
    return sum(model.decodes(t) for t in range(frames))


def forecast(
    plan: Plan,
    model: SceneModel,
    device: torch.device,
    first: int,
    folder: Path,
    place: StagePlace = StagePlace(),  # noqa: B008 - frozen
) -> Forecast:
    """Try two steps of a stage and estimate the rest. The model is left as it was.

    Args:
        plan: The stage.
        model: The model; moved to `device`.
        device: Where the stage will compute.
        first: The first step.
        folder: Named in the result.
        place: Where the stage stands in its run.
    """
    training, motion = plan.recipe.training, plan.recipe.training.motion
    share = training.batch // (training.devices * training.accumulation)
    length = clip_length(training, min(first, training.steps - 1))
    seconds, base, peak, tried = _try(plan, model.to(device), device, first, share)
    cells, longest = cells_of(model, length), cells_of(model, plan.longest)
    per_cell = seconds / (tried * cells)  # seconds per clip and cell
    remaining = work(training, lambda n: cells_of(model, n), first)
    return Forecast(
        place=place,
        recipe=plan.recipe.name,
        data=describe_data(plan.recipe, plan.train),
        videos=len(plan.train),
        parameters=sum(p.numel() for p in model.parameters()),
        device=device_name(device),
        cells=(cells * training.batch, longest * training.batch),
        memory_gib=(base + _BACKWARD * peak * share / tried * longest / cells) / _GIB,
        hours=remaining * per_cell * share * training.accumulation / 3600,
        steps=training.steps - first,
        first=first,
        folder=folder,
        motion="" if motion is None else f"then {motion.steps:,} steps on how objects move in {motion.videos:,} videos",
    )


def device_name(device: torch.device) -> str:
    """Return the device in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}"


def _try(
    plan: Plan, model: SceneModel, device: torch.device, first: int, share: int
) -> tuple[float, float, float, int]:
    """Return seconds of a step, bytes before it, bytes it added, and how many clips it had."""
    buffers = {name: t.clone() for name, t in model.named_buffers()}
    cameras = model.viewpoint_size is not None
    begin_at = min(first, plan.recipe.training.steps - 1)
    seen = {"viewpoints": cameras, "background": model.takes_background}
    source = Clips(plan.train, plan.recipe.training, {}, begin_at, **seen)
    tried = share if device.type == "cuda" else min(share, _CPU_CLIPS)
    base, saved = _memory_now(device), _Saved()
    for trial in range(2):  # the first one warms up and is looked at, the second is timed
        begin = time.perf_counter()
        clip = source[0]
        frames = clip["frames"][:tried].to(device).float() / 255
        viewpoints = clip["viewpoints"][:tried].to(device) if cameras else None
        model.begin_step(first)
        with saved if trial == 0 else contextlib.nullcontext():
            background = clip["background"][:tried].to(device).float() / 255 if clip["background"].numel() else None
            observation = Observation(frames, viewpoints=viewpoints, background=background)
            loss = model.loss(model(observation).terms).mean()
        loss.backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = time.perf_counter() - begin
        model.zero_grad(set_to_none=True)
    for name, tensor in model.named_buffers():
        tensor.copy_(buffers[name])
    gradients_and_moments = 3 * 4 * sum(p.numel() for p in model.parameters())
    return seconds, base + gradients_and_moments, float(saved.bytes), len(frames)


class _Saved(torch.autograd.graph.saved_tensors_hooks):
    """Counts the bytes of all tensors kept for the backward pass, each memory once."""

    def __init__(self) -> None:
        self.bytes = 0
        self._seen: set[int] = set()
        super().__init__(self._pack, lambda tensor: tensor)

    def _pack(self, tensor: Tensor) -> Tensor:
        memory = tensor.untyped_storage()
        if memory.data_ptr() not in self._seen:
            self._seen.add(memory.data_ptr())
            self.bytes += memory.nbytes()
        return tensor


def _memory_now(device: torch.device) -> float:
    """Return the bytes in use: of the GPU, or of this process."""
    if device.type == "cuda":
        return float(torch.cuda.memory_allocated(device))
    try:
        return float(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # not Linux: the most there has been
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return float(peak if sys.platform == "darwin" else peak * 1024)
