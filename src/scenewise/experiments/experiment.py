"""Experiments: one YAML file each, that names trainings (cells) and the protocols that score them.

A cell is a model on data in a variant with a seed: a recipe and settings laid over it, weights that are ready and are
only scored, or the model of another experiment's cell, which is trained if it is not yet. The file names its cells for
each size: `smoke` takes minutes on a CPU, `small` hours, `paper` what the paper took. A module beside this one, which
the file names, shows the results and may get more out of a model than protocols do:

    show(experiment: Experiment, results: Sequence[CellResult]) -> Presentation
    measure(folder: CellFolder, model: LoadedModel) -> dict[str, Any]           # optional: plain values
    pictures(folder: CellFolder, model: LoadedModel) -> dict[str, np.ndarray]   # optional: uint8, (h, w, 3), by name

`measure` and `pictures` are called once for the model of every cell, whether the cell trained it, another experiment
did or it ships; `folder.cell` is the cell and `folder.source()` its data. What `measure` returns is kept with the
scores, as `measured`, where `show` finds it; pictures are kept as files. Figures that need numbers alone are drawn by
`show` (`Presentation.figures`). Captions of both, by name, stand in the file under `figures`.
"""

from __future__ import annotations

import functools
import importlib
import importlib.resources
import importlib.util
import itertools
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from scenewise.config import build, merge, nest, plain, setting
from scenewise.documents import repeated, shortened
from scenewise.errors import InputError, nearest
from scenewise.experiments.cell_data import CellData
from scenewise.media.files import check_name, read_yaml
from scenewise.training import recipes
from scenewise.training.recipe import DataPart, Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

KEYS = ("model", "data", "variant", "seed")
"""What names a cell, and what a subset is chosen by."""

LISTS = ("protocol", "samples", "frames", "slots", "refinements", "seeds")
"""What an evaluation in the file may name several of: each combination is an evaluation of its own."""

SIZES = ("smoke", "small", "paper")

MOST_CELLS = 10_000
"""Most cells of an experiment, and most evaluations of a group: a few lines can name more than memory holds."""


@dataclass(frozen=True)
class Scoring:
    """One evaluation of every cell's model."""

    protocol: str = setting("", "Name of the protocol")
    source: str | None = setting(None, "Data source; that of the recipe where null")
    settings: dict[str, Any] = field(default_factory=dict, metadata={"meaning": "Settings of that source"})
    split: Literal["train", "validation", "test"] = setting("test", "Its split")
    samples: int = setting(200, "Videos or scenes", minimum=1)
    frames: int | None = setting(None, "Frames or views of each from the start; all where null", minimum=1)
    seed: int = setting(
        0, "Seed of the posterior noise; `seeds` in files, one or several", minimum=0, maximum=(1 << 63) - 1
    )
    slots: int | None = setting(None, "K; the model's own where null", minimum=1, maximum=256)
    refinements: int | None = setting(None, "R; the model's own where null", minimum=1, maximum=64)
    batch: int = setting(16, "Videos side by side", minimum=1)


@dataclass(frozen=True)
class CellGroup:
    """Cells that share a recipe or weights: one for each variant and seed."""

    model: str = setting("", "What cells call the model")
    data: str = setting("", "What cells call the data")
    recipe: str = setting("", "Recipe by name; where none, settings are all there is")
    weights: str | None = setting(None, "Model that ships or a model folder, in place of a training")
    trained: str | None = setting(None, "EXPERIMENT/MODEL.DATA whose cells of the same size these models are")
    source: dict[str, Any] | None = field(
        default=None, metadata={"meaning": "The data part of the recipe in place of its own; data of the weights"}
    )
    made: CellData | None = field(default=None, metadata={"meaning": "Data that are made once and read by the recipe"})
    settings: dict[str, Any] = field(
        default_factory=dict,
        metadata={
            "meaning": "Settings laid over the recipe and all its stages; keys may have dots, stages may be null"
        },
    )
    variants: dict[str, Any] = field(default_factory=dict, metadata={"meaning": "Further settings, by variant"})
    seeds: tuple[int, ...] = setting((), "Seeds of the training; 0, or those of `trained`, where none", minimum=0)
    start: str | None = setting(None, "Cell whose model training starts from; {variant} and {seed} are this cell's")
    scoring: tuple[Scoring, ...] = setting((), "Evaluations in place of the size's")

    def __post_init__(self) -> None:
        """Raise InputError where settings are none, or weights stand beside what only a training has."""
        for name, settings in self.variants.items():
            if not isinstance(settings, (dict, type(None))):
                raise InputError(f"variants.{name}", f"must be a mapping; found {shortened(settings)}.")
        origin = "weights" if self.weights is not None else "trained" if self.trained is not None else None
        if origin is None:
            return
        training = {"recipe": self.recipe, "settings": self.settings, "start": self.start}
        unfit = [key for key, value in training.items() if value]
        unfit += [f"variants.{name}" for name, settings in self.variants.items() if settings]
        if unfit:
            remedy = f"Leave these out, or leave {origin} out and train."
            raise InputError(origin, f"are taken as they are; found {', '.join(unfit)} too.", remedy)


@dataclass(frozen=True)
class Size:
    """An experiment at one size."""

    summary: str = setting("", "How long it takes, on what")
    cells: tuple[CellGroup, ...] = setting((), "Groups of cells")
    scoring: tuple[Scoring, ...] = setting((), "Evaluations of every cell")


@dataclass(frozen=True)
class File:
    """What the YAML file holds."""

    summary: str = setting("", "What it shows, in one sentence")
    claim: str = setting("", "What the paper claims, in one sentence")
    holds: str = setting("", "Whether it holds here (yes, partly, no) and why; empty until the results were read")
    note: str = setting("", "What differs from the paper, and what names of variants and data mean")
    module: str = setting("comparison", "Module of scenewise.experiments that shows it")
    metrics: tuple[str, ...] = setting((), "Metrics that it shows; all where none")
    figures: dict[str, str] = field(default_factory=dict, metadata={"meaning": "Captions of figures and pictures"})
    published: dict[str, Any] = field(default_factory=dict, metadata={"meaning": "Numbers of the papers"})
    sizes: dict[str, Any] = field(default_factory=dict, metadata={"meaning": "Cells by size"})


@dataclass(frozen=True)
class Cell:
    """One training, or weights that are ready, and the evaluations.

    Attributes:
        model: What it is called in names and tables, like `data`, `variant` and `seed`.
        group: Where its recipe or weights, data and settings come from.
        scoring: Its evaluations.
        origin: The cell of another experiment that it is, None for its own training.
        home: Folder beside the experiment's own, in which `origin` is trained.
    """

    model: str
    data: str
    variant: str
    seed: int
    group: CellGroup
    scoring: tuple[Scoring, ...]
    origin: Cell | None = None
    home: str = ""

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.model}.{self.data}.{self.variant}.seed{self.seed}"

    @property
    def weights(self) -> str | None:
        """Name or folder of the weights that it only scores; None for a cell that is trained."""
        return self.group.weights if self.origin is None else self.origin.weights

    @property
    def made(self) -> CellData | None:
        """The data that are made for it."""
        return self.group.made if self.origin is None else self.origin.made

    @property
    def start(self) -> str | None:
        """Name of the cell beside its training whose model that starts from."""
        cell = self.group.start if self.origin is None else self.origin.group.start
        return cell and cell.replace("{variant}", self.variant).replace("{seed}", str(self.seed))

    def data_part(self, words: Sequence[str] = (), out: str | Path = "", data: Path | None = None) -> DataPart:
        """Return the data it is scored on where an evaluation names none; arguments as of `recipe`.

        Of words laid over weights, those that name data count.

        Raises:
            InputError: As `recipe`; or nobody says on which data weights are scored.
        """
        if self.group.source is None and self.origin is not None:
            return self.origin.data_part(words, out, data)
        if self.group.weights is None and self.origin is None:
            return self.recipe(words, out, data).final.data
        if self.group.source is None:
            problem = "says neither in its source nor in its scoring on which data weights are scored."
            raise InputError(f"cell {self.name}", problem, "Give the cell for example source: {source: balls-colour}.")
        values = merge(self.group.source, nest([word for word in words if word.startswith("data.")]).get("data", {}))
        return build(DataPart, values, f"cell {self.name}, source")

    def recipe(self, words: Sequence[str] = (), out: str | Path = "", data: Path | None = None) -> Recipe:
        """Return what is trained.

        Args:
            words: Settings `key=value` laid over everything.
            out: Folder of the cells, where one starts from another.
            data: Folder of made data; None: the source that they are made from in their place.

        Raises:
            InputError: The recipe is not there, or with everything that is wrong in it; or the cell trains nothing.
        """
        if self.origin is not None:
            return self.origin.recipe(words, out, data)
        if self.weights is not None:
            raise InputError(f"cell {self.name}", f"trains nothing, it has the weights {self.weights}.")
        values = plain(recipes.load(self.group.recipe) if self.group.recipe else Recipe(f"{self.model}.{self.data}"))
        source = self.group.source if self.group.made is None else self.group.made.data_part(data)
        if source is not None:
            values = recipes.lay(values, {"data": {"settings": None}})  # another source, or this one as it is here
            values = recipes.lay(values, {"data": {"settings": {}, **source}})
        for settings in (self.group.settings, self.group.variants[self.variant] or {}):
            values = recipes.lay(values, _undotted(settings))
        values = recipes.lay(values, {"training": {"seed": self.seed}})
        if self.start is not None:
            values = recipes.lay(values, {"training": {"initial_model": str(Path(out) / self.start / "model")}})
        return recipes.from_plain(recipes.override(values, words), f"cell {self.name}")


@dataclass(frozen=True)
class Experiment:
    """An experiment at one size.

    Attributes:
        name: Its name.
        summary: What it shows.
        module: Who shows it.
        published: Numbers of the papers, as the file has them.
        size: Name of the size.
        cells: All its cells.
        note: What differs from the paper.
        metrics: Metrics that it shows; all where none.
    """

    name: str
    summary: str
    module: str
    published: Mapping[str, Any]
    size: str
    cells: tuple[Cell, ...]
    note: str = ""
    metrics: tuple[str, ...] = ()

    def hooks(self) -> ModuleType:
        """Return the module that shows it.

        Raises:
            InputError: There is none.
        """
        return hooks_of(self.module)


def hooks_of(module: str) -> ModuleType:
    """Return a module beside this one that shows experiments.

    Raises:
        InputError: There is none of that name, or it shows nothing.
    """
    name = f"scenewise.experiments.{module}"
    if module.isidentifier() and importlib.util.find_spec(name) is not None:
        hooks = importlib.import_module(name)
        if hasattr(hooks, "show"):
            return hooks
    problem = f"names the module {shortened(module)}, which is not there or shows nothing."
    raise InputError("the experiment", problem, "Leave `module` out: then every metric is shown.")


def names() -> list[str]:
    """Return the names of the experiments that come with the package, sorted."""
    return sorted(path.stem for path in definitions_folder().glob("*.yaml"))


def read(name_or_path: str | Path) -> File:
    """Return what an experiment's file holds.

    Raises:
        InputError: There is no such experiment, or with everything that is wrong in its file.
    """
    path = _path(name_or_path)
    return _read(path, _changed(path))


def load(name_or_path: str | Path, size: str = "small") -> Experiment:
    """Return an experiment at one size.

    Raises:
        InputError: There is no such experiment or size, or with everything that is wrong in its file.
    """
    path = _path(name_or_path)
    try:
        return _load(path, _changed(path), size)
    except RecursionError:
        problem = "takes trained cells from itself, by way of `trained`."
        raise InputError(path.stem, problem, "Correct the file.") from None


def _path(name_or_path: str | Path) -> Path:
    path = definitions_folder() / f"{name_or_path}.yaml" if str(name_or_path) in names() else Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        raise InputError(name_or_path, "is neither an experiment nor a YAML file.", nearest(str(name_or_path), names()))
    return path


def _changed(path: Path) -> int:
    """Return when a file was changed, so that it is read again then: reading YAML is the slowest part of showing."""
    return path.stat().st_mtime_ns if path.is_file() else 0


@functools.lru_cache(maxsize=64)
def _read(path: Path, _: int) -> File:
    content = read_yaml(path, "sizes", "Write it as docs/experiments.md shows.")
    earlier = content.pop("measures", None)  # what `metrics` was called
    return build(File, content if earlier is None else {"metrics": earlier, **content}, path.stem)


@functools.lru_cache(maxsize=256)
def _load(path: Path, changed: int, size: str) -> Experiment:
    file = _read(path, changed)
    if size not in file.sizes:
        raise InputError("size", f"{size!r} is not one of {path.stem}.", nearest(size, file.sizes))
    where = f"{path.stem}, size {size}"
    contents = build(Size, _expanded(file.sizes[size] or {}, where), where)
    count = sum(len(group.variants) * len(group.seeds or (0,)) for group in contents.cells)
    if count > MOST_CELLS:
        raise InputError(where, f"names {count} cells; at most {MOST_CELLS} are done.", "Name fewer seeds or variants.")
    cells = tuple(itertools.chain.from_iterable(_cells(group, contents, size) for group in contents.cells))
    names = [cell.name for cell in cells]
    for name in dict.fromkeys(names):
        check_name(where, name)
    twice = sorted(repeated(names))
    if twice or not cells:
        problem = f"names {twice[0]} twice." if twice else "has no cells."
        raise InputError(where, problem, "Correct the file.")
    return Experiment(path.stem, file.summary, file.module, file.published, size, cells, file.note, file.metrics)


def _expanded(content: Any, where: str) -> Any:
    """Return a size with an evaluation for each combination of what the file lists; what is no size, as it is.

    Raises:
        InputError: There are more combinations than anyone evaluates.
    """

    def spread(part: Any) -> Any:
        """Return a part with each combination of its scorings written out."""
        if not isinstance(part, dict) or not isinstance(part.get("scoring"), list):
            return part
        count = sum(math.prod(map(len, _several(scoring).values())) for scoring in part["scoring"])
        if count > MOST_CELLS:
            raise InputError(where, f"names {count} evaluations; at most {MOST_CELLS} are made.", "Name fewer of them.")
        return part | {"scoring": list(itertools.chain.from_iterable(map(_combinations, part["scoring"])))}

    if not isinstance(content, dict):
        return content
    groups = content.get("cells")
    return spread(content) | ({"cells": [spread(group) for group in groups]} if isinstance(groups, list) else {})


def _several(scoring: Any) -> dict[str, list[Any]]:
    """Return what an evaluation names several of."""
    keys = LISTS if isinstance(scoring, dict) else ()
    return {key: scoring[key] for key in keys if isinstance(scoring.get(key), list)}


def _combinations(scoring: Any) -> list[Any]:
    if not isinstance(scoring, dict):
        return [scoring]
    several = _several(scoring)
    combinations = [
        scoring | dict(zip(several, values, strict=True)) for values in itertools.product(*several.values())
    ]
    return [{"seed" if key == "seeds" else key: value for key, value in one.items()} for one in combinations]


def _cells(group: CellGroup, size: Size, name: str) -> list[Cell]:
    scoring = group.scoring or size.scoring
    if group.trained is None:
        trainings = itertools.product(group.variants, group.seeds or (0,))
        return [Cell(group.model, group.data, variant, seed, group, scoring) for variant, seed in trainings]
    experiment, _, cell = group.trained.partition("/")
    others = load(experiment, name).cells
    origins = [c for c in others if f"{c.model}.{c.data}" == cell]
    if not origins:
        names = {f"{experiment}/{c.model}.{c.data}" for c in others}
        raise InputError(f"trained: {group.trained}", "is no cell of that size.", nearest(group.trained, names))
    return [
        Cell(group.model, group.data, c.variant, c.seed, group, scoring, c, f"{experiment}-{name}")
        for c in origins
        if (not group.variants or c.variant in group.variants) and (not group.seeds or c.seed in group.seeds)
    ]


def choose(cells: Sequence[Cell], only: str | None) -> list[Cell]:
    """Return the cells that a text such as "model=iodine,seed=0,seed=1" names; a key named twice admits either.

    Raises:
        InputError: A key is unknown, a value belongs to no cell, or nothing is left.
    """
    admitted: dict[str, set[str]] = {}
    for word in filter(None, (part.strip() for part in (only or "").split(","))):
        key, equals, value = word.partition("=")
        if not equals or key not in KEYS:
            remedy = nearest(key, KEYS) if equals else "Write for example model=iodine,seed=0."
            raise InputError("--only", f"{word!r} is not of the form key=value with a known key.", remedy)
        values = {str(getattr(cell, key)) for cell in cells}
        if value not in values:
            raise InputError("--only", f"no cell has {word}.", nearest(value, values))
        admitted.setdefault(key, set()).add(value)
    subset = [c for c in cells if all(str(getattr(c, key)) in values for key, values in admitted.items())]
    if not subset:
        raise InputError("--only", f"no cell has {only}.", "See the cells with --list.")
    return subset


def definitions_folder() -> Path:
    """Return the folder of the experiments' definitions."""
    return Path(str(importlib.resources.files("scenewise"))) / "experiments" / "definitions"


def _undotted(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings whose keys may have dots as nested ones."""
    nested: dict[str, Any] = {}
    for key, value in settings.items():
        inner = _undotted(value) if isinstance(value, dict) else value
        for part in reversed(str(key).split(".")):
            inner = {part: inner}
        nested = merge(nested, inner)
    return nested
