"""The run that a model is of, read from its folder: whether it has ended, and how to go on with it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from scenewise.errors import InputError, shell_word
from scenewise.media.files import read_yaml


def resume_command(model: Path, file: Path) -> str | None:
    """Return the command that goes on with a run on a video, or None where a model is of no such run.

    An unfinished run is resumed for the minutes its card says it still needs, a finished one is made twice as long.

    Args:
        model: The model folder, which lies in the folder of its run.
        file: The video.
    """
    from scenewise.checkpoint import read_card  # torch, which help texts spare

    run = model.parent
    recipe, done = _recipe(run), _steps_done(run)
    if recipe is None or done is None:
        return None
    try:
        card, steps = read_card(model), int(recipe["training"]["steps"])
    except (InputError, KeyError, TypeError, ValueError):
        return None
    if not any(path.exists() and path.samefile(file) for path in _files(recipe)):
        return None
    command = f"scenewise train --resume --out {shell_word(run)}"
    if done >= steps:
        return f"{command} training.steps={2 * steps}"
    minutes = 60 * card.hours / max(card.steps, 1) * (steps - done)
    return f"{command} --minutes {max(1, math.ceil(minutes))}"


def first_file(model: Path) -> Path | None:
    """Return the first video that a model's run was trained on, or None where that is not known.

    Args:
        model: The model folder, which lies in the folder of its run.
    """
    recipe = _recipe(model.parent)
    return next(iter(_files(recipe)), None) if recipe is not None else None


def _files(recipe: dict[str, Any]) -> list[Path]:
    """Return the videos of a recipe; none where it is of other data."""
    try:
        data = recipe["data"]
        return [Path(text) for text in data["settings"]["files"]] if data.get("source") == "footage" else []
    except (KeyError, TypeError, AttributeError):
        return []


def _recipe(run: Path) -> dict[str, Any] | None:
    """Return the recipe of a run as plain values, or None where there is none without stages."""
    try:
        recipe = read_yaml(run / "recipe.yaml", "a run's settings", "").get("recipe")
    except InputError:
        return None
    return recipe if isinstance(recipe, dict) and not recipe.get("stages") else None


def _steps_done(run: Path) -> int | None:
    """Return the step of the newest checkpoint, by its name; None where there is none."""
    numbers = [path.stem.removeprefix("step_") for path in (run / "checkpoints").glob("step_*.pt")]
    return max((int(number) for number in numbers if number.isdigit()), default=None)
