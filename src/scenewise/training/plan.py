"""A recipe made concrete: model settings that fit the data, sources, and every error before a device is touched."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
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
from scenewise.training.recipe import longest_clip

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np

    from scenewise.data.contract import Facts, Source
    from scenewise.training.recipe import Recipe


_REMEDY = "Correct these settings."


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
