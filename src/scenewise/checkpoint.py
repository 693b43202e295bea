"""Weights and settings on disk, and back to a model.

A model folder holds `config.json` (format, model, settings, card, versions), `model.safetensors` (the weights) and
`README.md` (the model card in words). Reading is strict and never unpickles anything; writing is all or nothing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
import torch
from safetensors.torch import load as tensors_of
from safetensors.torch import save as bytes_of

from scenewise.config import build, merge, plain, setting
from scenewise.errors import InputError
from scenewise.media.files import read_bytes, write_atomically, write_problem
from scenewise.model_folders import CHECKSUM, FORMAT, PICKLES, README, pickle_error, written_config
from scenewise.model_folders import CONFIG as CONFIG
from scenewise.model_folders import WEIGHTS as WEIGHTS
from scenewise.model_folders import find as find
from scenewise.model_folders import shipped as shipped
from scenewise.models import MODELS, SceneModel
from scenewise.models.contract import Renders
from scenewise.models.renamed import current, original
from scenewise.version import __version__

if TYPE_CHECKING:
    from torch import Tensor

_LARGEST_WEIGHTS = 16 << 30  # bytes


@dataclass(frozen=True)
class Score:
    """One measured number."""

    protocol: str = setting("", "Protocol that computed it")
    metric: str = setting("", "Metric, such as F-ARI")
    data: str = setting("", "Source and split it was computed on")
    value: float = setting(0.0, "The number")
    low: float | None = setting(None, "Lower end of its 95 % interval")
    high: float | None = setting(None, "Upper end of its 95 % interval")
    videos: int | None = setting(None, "Number of videos", minimum=1)


@dataclass(frozen=True)
class Reference:
    """What the model reaches on data of its own kind, the yardstick for videos it does not know."""

    mse: float | None = setting(None, "Mean over frames of the reconstruction's mean squared error", minimum=0)
    mse_high: float | None = setting(None, "99th percentile over frames of the same", minimum=0)
    data: str = setting("", "Source and split")
    protocol: str = setting("", "Protocol, or how the numbers were computed")
    refinements: tuple[int, ...] = setting((), "Fewest and most refinements that scores were seen to hold with")


@dataclass(frozen=True)
class TrainedStage:
    """One stage of a training, as it ended."""

    name: str = setting("", "Its name; empty where the recipe has no stages")
    steps: int = setting(0, "Steps it was trained", minimum=0)
    best_step: int | None = setting(None, "Step whose weights it left: those of the highest validation bound")
    hours: float | None = setting(None, "Hours, wall clock; null where they were not recorded", minimum=0)
    seed: int | None = setting(None, "Seed of weights, order, clips and posterior noise")
    mse: float | None = setting(None, "Mean squared error of those weights in validation", minimum=0)
    f_ari: float | None = setting(None, "Their F-ARI in validation, protocol provide")
    ari: float | None = setting(None, "Their ARI in validation, protocol provide")
    lengthened: tuple[int, ...] = setting((), "Steps it had been planned with before it was lengthened")


@dataclass(frozen=True)
class Card:
    """Facts of a trained model; steps, hours and seeds are of all its stages together."""

    name: str = setting("", "Name of the model")
    summary: str = setting("", "One sentence: what it takes apart and how well")
    recipe: str = setting("", "Recipe that trained it")
    data: str = setting("", "Training data")
    data_fingerprint: str = setting("", "Fingerprint of the training data")
    steps: int = setting(0, "Training steps", minimum=0)
    hours: float = setting(0.0, "Hours of training, wall clock", minimum=0)
    hardware: str = setting("", "What it was trained on")
    seeds: tuple[int, ...] = setting((), "Seeds of the training runs that were made with this recipe")
    frames: int | None = setting(None, "Longest clip it was trained on, frames", minimum=1)
    crop: tuple[int, int, int, int] | None = setting(
        None, "Part of the source's frames it was trained on: top, left, height, width in pixels", minimum=0
    )
    source_size: tuple[int, int] | None = setting(None, "Height and width of the source's frames", minimum=1)
    validated: Reference = dataclasses.field(default_factory=Reference)
    scores: tuple[Score, ...] = dataclasses.field(default=())
    limitations: tuple[str, ...] = setting((), "What it cannot do")
    stages: tuple[TrainedStage, ...] = dataclasses.field(default=())
    motion: str = setting("", "How it learned how objects move, and how far predicted places are off; empty if not")


@dataclass(frozen=True)
class LoadedModel:
    """A model read from disk.

    Attributes:
        model: In evaluation mode, on the device asked for.
        card: Its facts.
        path: The folder it was read from.
        fingerprint: Short hash of effective settings and weights.
    """

    model: SceneModel
    card: Card
    path: Path
    fingerprint: str


# -- devices --------------------------------------------------------------------------------------------------------


def as_device(name: str | torch.device) -> torch.device:
    """Return the device of that name; "auto" takes a GPU where there is one.

    Raises:
        InputError: There is no such device.
    """
    if str(name) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(name, "is not a device.", "Use auto, cpu, cuda or cuda:N.") from error
    if device.type not in ("cpu", "cuda"):  # Apple's "mps" too, on which no model was ever checked
        problem = "is no device that models run on: they are checked on CPUs and NVIDIA's GPUs alone."
        raise InputError(name, problem, "Use --device cpu or auto.")
    if (device.index or 0) >= (torch.cuda.device_count() if device.type == "cuda" else 1):
        there = torch.cuda.device_count()
        raise InputError(name, f"is not there; this machine has {there} CUDA devices.", "Use --device cpu or auto.")
    return device


# -- writing --------------------------------------------------------------------------------------------------------


def save_model(model: SceneModel, folder: str | Path, card: Card) -> Path:
    """Write a model folder: all of it or nothing.

    An older model folder of that name is replaced in one rename; any other folder that holds files is left alone.

    Args:
        model: A registered model.
        folder: Where to.
        card: Its facts.

    Returns:
        The folder.

    Raises:
        InputError: The folder holds something else or cannot be written.
    """
    target = Path(folder).absolute()
    previous, fresh = target.with_name(f".{target.name}.previous"), target.with_name(f".{target.name}.{os.getpid()}")
    try:
        if previous.is_dir() and not target.exists():  # a process died between the two renames of `_swap`
            os.replace(previous, target)
        if target.exists() and not target.is_dir():
            raise InputError(target, "is a file; a model is a folder.", "Choose another name.")
        if target.is_dir() and any(target.iterdir()) and not (target / CONFIG).is_file():
            raise InputError(target, "holds files and is not a model folder.", "Choose another folder.")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        for name, content in _contents(model, card).items():
            write_atomically(fresh / name, content)
        _swap(fresh, target, previous)
    except OSError as error:
        raise write_problem(target, error) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return target


def _contents(model: SceneModel, card: Card) -> dict[str, bytes | str]:
    config = {
        "format": FORMAT,
        "model": model.registered_name,
        "config": _settings(model),
        "card": plain(card),
        "versions": {"scenewise": __version__, "torch": str(torch.__version__)},
    }
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    content = bytes_of(tensors)
    config[CHECKSUM] = hashlib.sha256(content).hexdigest()
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    return {WEIGHTS: content, CONFIG: text, README: readme(model, card)}


def _settings(model: SceneModel) -> dict[str, Any]:
    """Return what the model is; how it happened to be computed stays out."""
    return {key: value for key, value in plain(model.config).items() if key not in model.runtime_settings}


def _swap(fresh: Path, target: Path, previous: Path) -> None:
    if target.exists():
        shutil.rmtree(previous, ignore_errors=True)
        os.replace(target, previous)
    os.replace(fresh, target)
    shutil.rmtree(previous, ignore_errors=True)


# -- the card in words ----------------------------------------------------------------------------------------------


def use(kind: type[SceneModel]) -> str:
    """Return the verb that shows what models of a kind can do, with its input."""
    return "render SCENE#0 --observe 0,3,7 --query all" if issubclass(kind, Renders) else "decompose VIDEO"


def readme(model: SceneModel, card: Card) -> str:
    """Return the model card as Markdown, made of facts only."""
    name = card.name or model.registered_name
    parts = [
        "---\nlibrary_name: scenewise\nlicense: apache-2.0\npipeline_tag: image-segmentation\n"
        "tags: [object-centric-learning, unsupervised-segmentation, video]\n---",
        f"# {name}",
        card.summary,
        f"```sh\nscenewise {use(type(model))} --model {name} --out out\n```",
        "## Facts\n\n" + _table(("what", "value"), _facts(model, card)),
    ]
    if card.scores:
        parts.append("## Scores\n\n" + _table(("protocol", "metric", "data", "value"), map(_score_row, card.scores)))
    if len(card.stages) > 1 or any(stage.lengthened for stage in card.stages):
        head = ("stage", "steps", "best at", "minutes", "seed", "MSE", "F-ARI", "ARI")
        columns = zip(head, *map(_stage_row, card.stages), strict=True)
        filled = [column for column in columns if any(column[1:])]  # older cards do not know all of it
        titles, *rows = zip(*filled, strict=True)
        parts.append("## Training\n\n" + _table(titles, rows))
    if card.limitations:
        parts.append("## Limitations\n\n" + "\n".join(f"- {line}" for line in card.limitations))
    settings = json.dumps(_settings(model), indent=2)
    parts.append(f"## Settings\n\n```json\n{settings}\n```")
    return "\n\n".join(part for part in parts if part) + "\n"


def _facts(model: SceneModel, card: Card) -> list[tuple[str, str]]:
    channels, height, width = model.frame_shape
    validated, crop = card.validated, ""
    if card.crop is not None and card.source_size is not None:
        (top, left, height_of_crop, width_of_crop), (full_height, full_width) = card.crop, card.source_size
        crop = f"{width_of_crop} x {height_of_crop} pixels from ({left}, {top})"
        crop += f" of source frames of {full_width} x {full_height}"
    rows = [
        ("model", model.registered_name),
        ("parameters", f"{sum(p.numel() for p in model.parameters()):,}"),
        ("frames", f"{channels} x {height} x {width}"),
        ("longest training clip", "" if card.frames is None else f"{card.frames} frames"),
        ("crop", crop),
        ("recipe", card.recipe),
        ("training data", card.data),
        ("data fingerprint", card.data_fingerprint),
        ("training", f"{card.steps:,} steps, {card.hours:.2f} h"),
        ("hardware", card.hardware),
        ("seeds", ", ".join(map(str, card.seeds))),
        ("motion of objects", card.motion),
    ]
    if validated.mse is not None:
        high = "" if validated.mse_high is None else f", 99th percentile {validated.mse_high:.5f}"
        rows.append(("validated MSE", f"{validated.mse:.5f}{high} ({validated.data}; {validated.protocol})"))
    if validated.refinements:
        rows.append(("validated refinements", "{} to {}".format(*validated.refinements)))
    return [(what, value) for what, value in rows if value]


def _score_row(score: Score) -> tuple[str, str, str, str]:
    interval = "" if score.low is None or score.high is None else f" ({score.low:.4f} to {score.high:.4f})"
    videos = "" if score.videos is None else f", {score.videos} videos"
    return (score.protocol, score.metric, score.data + videos, f"{score.value:.4f}{interval}")


def _stage_row(stage: TrainedStage) -> tuple[str, ...]:
    steps = f"{stage.steps:,}" + "".join(f" (planned with {n:,}, lengthened)" for n in stage.lengthened[-1:])
    minutes = None if stage.hours is None else f"{stage.hours * 60:.0f}"
    best = None if stage.best_step is None else f"{stage.best_step:,}"
    numbers = [(stage.mse, 4), (stage.f_ari, 3), (stage.ari, 3)]
    texts = [None if value is None else f"{value:.{digits}f}" for value, digits in numbers]
    cells = [stage.name or "only", steps, best, minutes, None if stage.seed is None else str(stage.seed), *texts]
    return tuple(cell or "" for cell in cells)


def _table(head: tuple[str, ...], rows: Any) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


# -- reading --------------------------------------------------------------------------------------------------------


def load_model(name_or_path: str | Path, device: str | torch.device = "cpu", **config_overrides: Any) -> LoadedModel:
    """Read a model folder.

    Args:
        name_or_path: Name of a shipped model, or a folder.
        device: Where the model goes; "auto" takes a GPU where there is one.
        **config_overrides: Settings of the model to replace, such as `slots=7`.

    Raises:
        InputError: Anything about the folder is not as it must be; the message names file, field and remedy.
    """
    place, path = as_device(device), find(name_or_path)
    kept = read_config(path)
    model_class = MODELS.get(kept["model"])
    settings = merge(kept["config"], current(kept["model"], config_overrides, where=""))
    where = "settings" if config_overrides else str(path / CONFIG)
    config: Any = build(model_class.config_class, settings, where)
    card = read_card(path)
    if not (path / WEIGHTS).exists():
        pickles = sorted(file for file in path.iterdir() if file.suffix in PICKLES)
        if pickles:
            raise pickle_error(pickles[0])
        raise InputError(path, f"has no {WEIGHTS}.", "Copy the model folder anew.")
    content = read_bytes(path / WEIGHTS, _LARGEST_WEIGHTS)
    tensors = _tensors(content, path / WEIGHTS)
    with torch.random.fork_rng(devices=[]):  # making a model must not move the caller's random numbers
        with torch.device("meta"):  # settings that do not fit the weights may ask for more memory than there is
            check_weights(model_class(config), tensors, path / WEIGHTS)
        if CHECKSUM in kept and kept[CHECKSUM] != hashlib.sha256(content).hexdigest():
            problem = f"has other bytes than were saved: its SHA-256 is not the {CHECKSUM} of {CONFIG}."
            remedy = f"Copy the model folder anew; of weights you changed yourself, take {CHECKSUM} out of {CONFIG}."
            raise InputError(path / WEIGHTS, problem, remedy)
        model = model_class(config)
    put_weights(model, tensors, path / WEIGHTS)
    name = model.registered_name
    facts = json.dumps([name, original(name, _settings(model), plain(model.config_class()))], sort_keys=True)
    fingerprint = hashlib.sha256(facts.encode() + content).hexdigest()[:12]
    return LoadedModel(model.to(place).eval(), card, path, fingerprint)


def read_config(path: Path) -> dict[str, Any]:
    """Read and check `config.json` of a model folder, without making the model.

    Returns:
        `format`, `model` (registered name), `config` (settings under their names of today), `card` and `versions`, all
        plain.

    Raises:
        InputError: It is missing, unreadable, incomplete or of a newer format.
    """
    config = written_config(path)
    return config if config["format"] >= FORMAT else config | {"config": current(config["model"], config["config"])}


def read_card(name_or_path: str | Path) -> Card:
    """Read the card of a model that ships or of a model folder, without making the model.

    Raises:
        InputError: As `find` and `read_config`.
    """
    path = find(name_or_path)
    return build(Card, read_config(path)["card"], f"{path / CONFIG}, card")


def _tensors(content: bytes, file: Path) -> dict[str, Tensor]:
    """Parse safetensors; refuse pickles by their first bytes, NaN and infinite values."""
    if content[:4] == b"PK\x03\x04" or (content[:1] == b"\x80" and content[8:9] != b"{"):
        raise pickle_error(file)
    try:
        tensors = tensors_of(content)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise InputError(file, f"is not a whole safetensors file ({error}).", "Copy the model folder anew.") from error
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise InputError(file, f"tensor {name!r} holds NaN or infinite values.", "Copy or train the model anew.")
    return tensors


def put_weights(model: SceneModel, tensors: Mapping[str, Tensor], where: object) -> None:
    """Load tensors into a model, strictly: the same names, shapes and kinds.

    Raises:
        InputError: They differ; every difference is named.
    """
    check_weights(model, tensors, where)
    model.load_state_dict(dict(tensors))


def check_weights(model: SceneModel, tensors: Mapping[str, Tensor], where: object) -> None:
    """Check that tensors have the names, shapes and kinds of a model's own.

    Raises:
        InputError: They differ; every difference is named.
    """
    own = model.state_dict()
    problems = [f"tensor {name!r} is missing" for name in own if name not in tensors]
    problems += [f"tensor {name!r} is not one of the model's" for name in tensors if name not in own]
    for name in own.keys() & tensors.keys():
        expected, found = own[name], tensors[name]
        if expected.shape != found.shape or expected.is_floating_point() != found.is_floating_point():
            wanted, got = (f"{tuple(t.shape)} {str(t.dtype).removeprefix('torch.')}" for t in (expected, found))
            problems.append(f"tensor {name!r} must be {wanted}; found {got}")
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise InputError(where, "; ".join(sorted(problems)[:5]) + more + ".", "Weights and settings must fit.")
