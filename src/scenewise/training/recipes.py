"""Recipes: one file that names model, data and training, so that a run can be repeated."""

from __future__ import annotations

import importlib.resources
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenewise.config import build, merge, nest, plain, setting
from scenewise.errors import InputError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


OPTIMIZERS = ("adam", "rmsprop")


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
class TrainingPart:
    """How to train."""

    steps: int = setting(10_000, "Optimiser steps", minimum=1, maximum=100_000_000)
    batch: int = setting(16, "Clips per step, over all devices and accumulations together", minimum=1, maximum=65_536)
    optimizer: str = setting("adam", "adam, or rmsprop with a smoothing constant of 0.99", choices=OPTIMIZERS)
    learning_rate: float = setting(1e-3, "Learning rate after the warm-up", minimum=0, maximum=1)
    warm_up: int = setting(200, "Steps over which the rate rises linearly from 0", minimum=0)
    schedule: str = setting(
        "constant", "Rate afterwards; linear: to a tenth", choices=("constant", "cosine", "exponential", "linear")
    )
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
    precision: str = setting("float32", "float32, or bf16 for convolutions", choices=("float32", "bf16"))
    device: str = setting("auto", "auto takes GPUs where there are any", choices=("auto", "cpu", "cuda"))
    devices: int = setting(1, "Number of processes, one per GPU (or on the CPU)", minimum=1, maximum=1024)
    workers: int = setting(0, "Processes that prepare clips ahead; 0 for none", minimum=0, maximum=256)
    minutes: float | None = setting(None, "Stop cleanly after that many minutes", minimum=0)
    initial_model: str | None = setting(None, "Name or folder of a model to start from")
    ema: float | None = setting(
        None, "Decay per step of averaged weights, which are then kept", minimum=0, maximum=0.999999
    )
    log_every: int = setting(10, "Steps between rows of metrics.csv", minimum=1)
    validate_every: int = setting(500, "Steps between validations", minimum=1)
    validation_videos: int = setting(32, "Videos per validation", minimum=1)
    validation_frames: int | None = setting(None, "Frames of each; the longest clip's where null", minimum=1)
    images_every: int = setting(1000, "Steps between image panels", minimum=1)
    checkpoint_every: int = setting(500, "Steps between checkpoints", minimum=1)
    checkpoint_minutes: float = setting(10.0, "Minutes after which one is due anyway", minimum=0)


@dataclass(frozen=True)
class Recipe:
    """A run that can be repeated."""

    name: str = setting("", "Name of the recipe")
    summary: str = setting("", "What it trains, in one sentence")
    model: ModelPart = field(default_factory=ModelPart)
    data: DataPart = field(default_factory=DataPart)
    training: TrainingPart = field(default_factory=TrainingPart)


FREE_TO_CHANGE = frozenset(
    f"training.{key}" for key in ("minutes", "workers", "device", "devices", "accumulation", "checkpoint_minutes")
)
"""Settings that may differ when a run is resumed: none of them decides which numbers are computed."""


def _folder() -> Path:
    return Path(str(importlib.resources.files("scenewise"))) / "experiments" / "recipes"


def names() -> list[str]:
    """Return the names of the recipes that come with the package, sorted."""
    return sorted(path.stem for path in _folder().glob("*.yaml"))


def load(name_or_path: str | Path, overrides: Sequence[str] = (), values: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe and lay settings over it.

    Args:
        name_or_path: Name of a recipe of the package, or a YAML file.
        overrides: Words `key.sub=value`; they win over everything.
        values: Nested plain values laid over the file's.

    Raises:
        InputError: There is no such recipe, or with everything that is wrong in it.
    """
    path = _find(name_or_path)
    read = merge(merge({"name": path.stem}, read_yaml(path, "model, data and training")), values or {})
    return from_plain(merge(read, nest(overrides)), str(name_or_path))


def from_plain(values: Mapping[str, Any], where: str) -> Recipe:
    """Make a recipe from plain values.

    Raises:
        InputError: With everything that is wrong in them.
    """
    try:
        recipe = build(Recipe, values, where)
    except InputError as error:
        raise InputError(where, "; ".join([error.problem, *_rest(values)]), error.remedy) from None
    problems = _problems(recipe.training)
    if problems:
        raise InputError(where, "; ".join([*problems, *_rest(values)]), "Correct these settings.")
    return recipe


def _rest(values: Mapping[str, Any]) -> list[str]:
    """Return what is wrong inside model and data settings, so that it is told along with errors found before."""
    from scenewise.training.plan import examine

    try:
        recipe = build(Recipe, {key: values[key] for key in ("model", "data") if key in values}, "")
    except InputError:
        return []
    return examine(recipe)[0]


def differences(old: Recipe, new: Recipe) -> list[str]:
    """Return one line per setting in which a run could not continue as `new` what began as `old`."""
    before, after = _flat(plain(old)), _flat(plain(new))
    return [
        f"{key}: {before.get(key)!r} in the run, {after.get(key)!r} now"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key) and key not in FREE_TO_CHANGE | {"name", "summary"}
    ]


def _find(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if str(name_or_path) in names():
        return _folder() / f"{name_or_path}.yaml"
    if path.suffix in (".yaml", ".yml") or path.is_file():
        return path
    raise InputError(name_or_path, "is neither a recipe nor a YAML file.", nearest(str(name_or_path), names()))


def read_yaml(path: Path, holds: str) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises:
        InputError: It cannot be read, or is something else; the message says what it must hold.
    """
    import yaml

    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, f"cannot be read: {error}.", "Check the path.") from error
    except yaml.YAMLError as error:
        raise InputError(path, f"is not YAML: {' '.join(str(error).split())}.", "Correct the file.") from error
    if not isinstance(read, dict):
        raise InputError(path, f"must hold a mapping with {holds}.", "See the examples of `scenewise train --help`.")
    return read


def _problems(training: TrainingPart) -> list[str]:
    """Return what no single field can know."""
    problems = []
    steps = [step for step, _ in training.curriculum]
    if (
        not steps
        or steps[0] != 0
        or sorted(set(steps)) != steps
        or min(length for _, length in training.curriculum) < 1
    ):
        problems.append(
            "training.curriculum must be [step, clip length] pairs with rising steps from 0, lengths from 1"
        )
    if training.batch % (training.devices * training.accumulation):
        problems.append(
            f"training.batch is {training.batch}; it must be divisible by devices * accumulation = "
            f"{training.devices * training.accumulation}"
        )
    return problems


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return flat
