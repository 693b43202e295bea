"""Whether a model knows the footage it was given, by the error it makes on it, and the command that helps if not."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.errors import InputError, shell_word
from scenewise.media.files import read_yaml
from scenewise.summary import DOUBTFUL, KNOWN, NO_OBJECTS, NOT_TAKEN_APART, UNDECIDED, UNKNOWN, UNVALIDATED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scenewise.checkpoint import Reference
    from scenewise.decomposition import FrameResult
    from scenewise.summary import SlotStatistics

FAR_ABOVE = 4.0
"""Footage is unknown where the median error is more than this many times the card's 99th percentile."""

FAR_ABOVE_MEAN = 10.0
"""The same factor on the card's mean, where it has no percentile."""

_MINUTES = 5  # of one core; enough for a fixed camera, see docs/footage.md
_LEAST_FLAT = 0.005  # MSE; footage that is almost of one colour is no measure
_NOT_OBJECTS = "Its slots are not objects."

_LOWEST, _PER_DECADE, _DECADES = 1e-9, 200, 11

_CHOICES = ("layout", "key", "stream")


class RunningMedian:
    """The median of positive numbers to about 1 percent, in memory that does not grow: a histogram of logarithms.

    Examples:
        >>> median = RunningMedian()
        >>> for error in (0.001, 0.002, 5.0):
        ...     median.add(error)
        >>> abs(median.value() / 0.002 - 1) < 0.01
        True
    """

    def __init__(self) -> None:
        self._counts = np.zeros(_PER_DECADE * _DECADES + 1, dtype=np.int64)

    def add(self, value: float) -> None:
        """Take in a number; one that is not finite does not count."""
        if math.isfinite(value):
            place = round(_PER_DECADE * math.log10(max(value, _LOWEST) / _LOWEST))
            self._counts[min(place, len(self._counts) - 1)] += 1

    def state(self) -> np.ndarray:
        """Return what was gathered."""
        return self._counts.copy()

    def restore(self, state: np.ndarray) -> None:
        """Go on from what `state` gave."""
        self._counts[:] = state

    def value(self) -> float:
        """Return the median, NaN of nothing."""
        total = int(self._counts.sum())
        if not total:
            return math.nan
        place = int(np.searchsorted(np.cumsum(self._counts), (total + 1) // 2))
        return _LOWEST * 10 ** (place / _PER_DECADE) if place else 0.0


@dataclass(frozen=True)
class Verdict:
    """What is said of a video.

    Attributes:
        name: The verdict in a few words; see `Summary`.
        message: The same in a sentence, empty where all is well.
        roles: What each slot is taken for; "not judged" where slots must not be taken for objects.
        mse: Median error over the frames seen, NaN where there was none.
    """

    name: str
    message: str
    roles: list[str]
    mse: float


class Evidence:
    """What a verdict on one video rests on, gathered frame by frame.

    Args:
        statistics: Of its slots; empty.
        validated: What the model reaches on data of its own kind.
        model: The model's name.
    """

    def __init__(self, statistics: SlotStatistics, validated: Reference, model: str) -> None:
        self.statistics, self.validated, self.model = statistics, validated, model
        self._median, self._flat = RunningMedian(), RunningMedian()

    def add(self, frame: FrameResult) -> None:
        """Take in the next frame; the error of a predicted one tells nothing of the footage."""
        self.statistics.add(frame)
        if not frame.predicted:
            self._median.add(frame.mse)
            self._flat.add(flat_error(frame.compared[0]))

    def state(self) -> dict[str, Any]:
        """Return what was gathered, the statistics too."""
        return {
            "median": self._median.state(),
            "flat": self._flat.state(),
            "statistics": self.statistics.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._median.restore(state["median"])
        self._flat.restore(state["flat"])
        self.statistics.restore(state["statistics"])

    def verdict(self) -> Verdict:
        """Judge the video by the frames so far."""
        median, roles = self._median.value(), self.statistics.roles()
        decided, flat = self.statistics.decided, self._flat.value()
        name, message = judge(median, self.validated, roles, self.model, decided=decided, flat=flat)
        return Verdict(name, message, ["not judged"] * len(roles) if name in NOT_TAKEN_APART else roles, median)


def limit(validated: Reference) -> float | None:
    """Return the error above which footage counts as unknown, or None where the card has no figure.

    Examples:
        >>> from scenewise.checkpoint import Reference
        >>> limit(Reference(mse=0.001, mse_high=0.004)), limit(Reference(mse=0.001)), limit(Reference())
        (0.016, 0.01, None)
    """
    if validated.mse_high is not None:
        return FAR_ABOVE * validated.mse_high
    return None if validated.mse is None else FAR_ABOVE_MEAN * validated.mse


def flat_error(image: np.ndarray | None) -> float:
    """Return the error of a frame, uint8 (H, W, C), painted in its mean colour: its variance; NaN without a frame.

    Examples:
        >>> flat_error(np.array([[[0], [255]]], np.uint8)), flat_error(np.full((4, 4, 3), 9, np.uint8))
        (0.25, 0.0)
    """
    return math.nan if image is None else float(np.mean(np.var(image, axis=(0, 1)))) / 255**2


def judge(
    median: float,
    validated: Reference,
    roles: Sequence[str],
    model: str,
    *,
    decided: bool = True,
    flat: float = math.inf,
) -> tuple[str, str]:
    """Return the verdict and a sentence for the user, empty where all is well.

    Args:
        median: Median error over the frames seen.
        validated: What the model reaches on data of its own kind.
        roles: What each slot seems to be.
        model: The model's name.
        decided: Whether masks are sure for most pixels: near-uniform ones are no background either.
        flat: Median error of frames in their mean colour; a model that does no better explains nothing.

    Examples:
        >>> from scenewise.checkpoint import Reference
        >>> card = Reference(mse=0.001, mse_high=0.004, data="balls")
        >>> judge(0.002, card, ["background", "object"], "m")
        ('known footage', '')
        >>> [judge(mse, card, ["object"], "m")[0] for mse in (0.005, 0.02)]  # above the 99th percentile, and 4 times it
        ['doubtful footage', 'unknown footage']
        >>> judge(0.002, card, ["background", "unused"], "m")
        ('no objects', 'The model m found no object, only background.')
        >>> judge(0.002, card, ["background", "background"], "m", decided=False)[0]
        'undecided'
    """
    bound, kind = limit(validated), validated.data or "data of its own kind"
    error = f"reconstruction error (median MSE {median:.4g})"

    # footage that the model does not know, or of which it explains no more than one colour would
    if bound is not None and median > bound:
        reached = bound / (FAR_ABOVE if validated.mse_high is not None else FAR_ABOVE_MEAN)
        times = f"{median / max(reached, _LOWEST):.0f} times what it reaches on {kind}"
        return UNKNOWN, f"The model {model} does not know this footage: its {error} is {times}. {_NOT_OBJECTS}"
    if median > max(flat, _LEAST_FLAT):
        colour = f"that of frames painted in one colour ({flat:.4g}) or more"
        return UNKNOWN, f"The model {model} explains nothing of this footage: its {error} is {colour}. {_NOT_OBJECTS}"

    # footage without objects
    if "object" not in roles and ("undecided" in roles or not decided):
        whole = "shares this footage out among its slots without deciding for one: it has not taken it apart."
        return UNDECIDED, f"The model {model} {whole} {_NOT_OBJECTS}"
    if "object" not in roles:
        return NO_OBJECTS, f"The model {model} found no object, only background."

    # objects, if the error is as validated
    if bound is None:
        why = f" ({validated.protocol})" if validated.protocol else ""
        unknown = f"has no validated error{why}, so nothing tells whether the model knows this footage."
        return UNVALIDATED, f"The card of {model} {unknown}"
    if validated.mse_high is not None and median > validated.mse_high:
        than = f"(median MSE {median:.4g}) than 99 of 100 frames of {kind} ({validated.mse_high:.4g})"
        advice = "look at its reconstruction before you take its slots for objects."
        return DOUBTFUL, f"The model {model} draws this footage worse {than}: {advice}"
    return KNOWN, ""


def training_command(verdict: str, origin: str, model: str = "", reading: Mapping[str, Any] | None = None) -> str:
    """Return the command that trains a model on the footage, or nothing where that would not help.

    A model of a run on this very file is trained on: to the end of an unfinished run, or twice as long as it was.

    Args:
        verdict: What `judge` found.
        origin: The file.
        model: Folder of the model that was used.
        reading: How it was read; its layout, key and stream are settings of the training too.

    Examples:
        >>> Path("my clip.mp4").touch()
        >>> training_command("unknown footage", "my clip.mp4")
        "scenewise decompose 'my clip.mp4' --out objects --learn 5"
        >>> training_command("unknown footage", "an array")
        'scenewise train footage --data FILE --out runs/footage'
        >>> training_command("known footage", "my clip.mp4")
        ''
        >>> Path("-dash.mp4").touch()
        >>> training_command("unknown footage", "-dash.mp4")
        'scenewise decompose ./-dash.mp4 --out objects --learn 5'
        >>> training_command("unknown footage", "-dash.mp4", reading={"every": 1, "stream": 1})
        'scenewise decompose ./-dash.mp4 --out objects --learn 5 --stream 1'
    """
    exists = Path(origin).exists()
    if verdict not in (*NOT_TAKEN_APART, NO_OBJECTS) or (verdict == NO_OBJECTS and not exists):
        return ""
    if not exists:
        return "scenewise train footage --data FILE --out runs/footage"
    further = resume_command(Path(model), Path(origin)) if model else None
    if further:
        return further
    names = itertools.chain(["objects"], (f"objects-{number}" for number in itertools.count(2)))
    out = next(name for name in names if not Path(name).exists())  # which no run has taken
    choices = {key: value for key, value in (reading or {}).items() if key in _CHOICES and value is not None}
    words = [word for key, value in choices.items() for word in (f"--{key}", shell_word(str(value)))]
    return " ".join([f"scenewise decompose {shell_word(origin)} --out {out} --learn {_MINUTES}", *words])


def resume_command(model: Path, file: Path) -> str | None:
    """Return the command that goes on with a run on a video, or None where a model is of no such run.

    An unfinished run is resumed for the minutes its card says it still needs, a finished one is made twice as long.

    Args:
        model: The model folder, which lies in the folder of its run.
        file: The video.
    """
    from scenewise.checkpoint import read_card  # torch, which help texts spare

    run = model.parent
    names = [path.stem.removeprefix("step_") for path in (run / "checkpoints").glob("step_*.pt")]
    done = max((int(name) for name in names if name.isdigit()), default=None)
    recipe = _recipe(run)
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
