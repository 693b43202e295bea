"""Files of recipes: where they lie, and how they are read.

A recipe may have stages, each a list of changes laid over what came before: the weights of one stage are what the next
begins with. `load` works all changes out, so that every stage of a `Recipe` stands for itself.
"""

from __future__ import annotations

import importlib.resources
import os
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenewise.config import build, merge, nest, plain
from scenewise.documents import shortened
from scenewise.errors import InputError, nearest
from scenewise.media.files import check_name, read_yaml
from scenewise.registry import plugin_folders
from scenewise.training.recipe import ModelPart, Recipe, Stage, TrainingPart, stage_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PARTS = ("model", "data", "training")
_SEE_EXAMPLES = "See the examples of `scenewise train --help`."


def folders() -> list[Path]:
    """Return where recipes lie: in the package, in the folders of $SCENEWISE_RECIPES, and in plug-ins."""
    listed = [Path(folder) for folder in os.environ.get("SCENEWISE_RECIPES", "").split(os.pathsep) if folder]
    package = Path(str(importlib.resources.files("scenewise")))
    return [package / "recipes", *listed, *plugin_folders("scenewise.recipes")]


def files() -> dict[str, Path]:
    """Return the recipes by name; of two of one name, that of the first folder."""
    return {path.stem: path for folder in reversed(folders()) for path in sorted(folder.glob("*.yaml"))}


def names() -> list[str]:
    """Return the names of all recipes, sorted."""
    return sorted(files())


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of nested plain values differs in `new`; a key that is gone is null."""
    different: dict[str, Any] = {}
    for key in dict.fromkeys([*old, *new]):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            inner = changes(before, after)
            different |= {key: inner} if inner else {}
        elif before != after:
            different[key] = after
    return different


def load(name_or_path: str | Path, overrides: Sequence[str] = (), values: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe and lay settings over it.

    Args:
        name_or_path: Name of a recipe, see `folders`, or a YAML file.
        overrides: Words `key.sub=value`, as `override` takes them; they win over everything.
        values: Nested plain values laid over the file's, as `lay` does.

    Raises:
        InputError: There is no such recipe, or with everything that is wrong in it.
    """
    return from_plain(override(lay(_read(name_or_path), values or {}), overrides), str(name_or_path))


def _read(name_or_path: str | Path, inside: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return the plain values of a recipe's file, stages worked out; `inside` are the files that are being read."""
    path, recipes = Path(name_or_path), files()
    if str(name_or_path) in recipes:
        path = recipes[str(name_or_path)]
    elif path.suffix not in (".yaml", ".yml") and not path.is_file():
        raise InputError(name_or_path, "is neither a recipe nor a YAML file.", nearest(str(name_or_path), recipes))
    if path.resolve() in inside:
        raise InputError(name_or_path, "takes stages from itself.", "Leave that stage out, or name another recipe.")
    content = {"name": path.stem} | read_yaml(path, "model, data and training", _SEE_EXAMPLES)
    _check_mappings(content, str(name_or_path))
    values = with_current_names(content)
    return _expand(values, str(name_or_path), (*inside, path.resolve()))


def from_plain(values: Mapping[str, Any], where: str) -> Recipe:
    """Make a recipe from plain values, whose stages are worked out.

    Raises:
        InputError: With everything that is wrong in them.
    """
    try:
        recipe = build(Recipe, values, where)
    except InputError as error:
        problems = [*_in_full(values), error.problem, *_rest(values)]
        raise InputError(where, "; ".join(problems), error.remedy) from None
    problems = [problem for part in recipe.parts() for problem in _problems(part.training)]
    slugs = [stage.slug for stage in recipe.stages]
    problems += [
        f"stages: {name!r} is the name of several" for name in sorted({s for s in slugs if slugs.count(s) > 1})
    ]
    problems += ["stages: each needs a name"] if "" in slugs else []
    names = [("name", recipe.name), *(("stages", slug) for slug in slugs)]
    for what, name in (pair for pair in names if pair[1]):
        try:  # runs and stages are folders called by their names
            check_name(what, name)
        except InputError as error:
            problems.append(f"{what}: {error.problem}".rstrip("."))
    if problems:
        told = "; ".join([*dict.fromkeys(problems), *_rest(values)])
        raise InputError(where, told if told.endswith((".", "?")) else f"{told}.", "Correct these settings.")
    return recipe


def lay(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain values of a recipe with changes laid over them, over every stage too.

    Another source or model drops the settings of the one before. `stages` among the changes is None for a recipe
    without stages, or a mapping of stage names to changes of that stage alone.

    Args:
        values: Plain values of a recipe; stages worked out.
        changes: Nested plain values.

    Raises:
        InputError: There is no such stage.
    """
    _check_mappings(changes, "command line")
    stages = changes.get("stages") or {}
    if not isinstance(stages, dict) or not all(isinstance(change, dict) for change in stages.values()):
        remedy = "Write stages.NAME.training.steps=5, or stages=null."
        raise InputError("stages", f"must be null or the changes by stage, found {shortened(stages)}.", remedy)
    shared = {key: value for key, value in changes.items() if key != "stages"}
    of_parts = {key: value for key, value in shared.items() if key in PARTS}
    result = _lay(values, shared)
    result["stages"] = [] if "stages" in changes and not changes["stages"] else list(result.get("stages", ()))
    result["stages"] = [_lay(stage, of_parts) for stage in result["stages"]]
    for name, change in stages.items():
        _check_mappings(change, f"stages.{name}")
        listed = [str(stage.get("name", "")) for stage in result["stages"]]
        number = stage_number(listed, name, f"stages.{name}")
        result["stages"][number] = _lay(result["stages"][number], change)
    return result


def override(values: Mapping[str, Any], words: Sequence[str]) -> dict[str, Any]:
    """Return plain values of a recipe with words `key.sub=value` laid over them, over every stage too.

    `data.source=X` and `model.name=X` drop the settings of the source or model before, wherever the word stands.
    `data.settings={...}` replaces all settings, `data.settings.key=value` one. `stages.NAME.training.steps=5` reaches
    one stage, `stages=null` leaves them out.

    Raises:
        InputError: A word cannot be read, or names no stage.
    """
    result = dict(values)
    keyed = [(word.partition("=")[0].strip().removeprefix("--"), word) for word in words]
    for key, word in sorted(keyed, key=lambda pair: pair[0] not in ("data.source", "model.name", "stages")):
        change = nest([word])
        for part in ("data", "model"):
            if key == f"{part}.settings" and isinstance(change[part]["settings"], dict):
                result = lay(result, {part: {"settings": None}})  # None drops what a mapping would be merged into
        result = lay(result, change)
    return result


def _check_mappings(values: Mapping[str, Any], where: str) -> None:
    """Check that model, data and training are mappings, before anything is laid over them.

    Raises:
        InputError: One is something else.
    """
    for part in PARTS:
        if not isinstance(values.get(part, {}), dict):
            raise InputError(where, f"{part} must be a mapping, found {shortened(values[part])}.", _SEE_EXAMPLES)


def _lay(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Merge changes into the values of a recipe or a stage; another source or model drops the settings before."""
    base, changes = dict(values), with_current_names(changes, values)
    for part, key in (("data", "source"), ("model", "name")):
        old, new = base.get(part) or {}, changes.get(part) or {}
        if key in new and key in old and new[key] != old[key]:
            base[part] = {name: value for name, value in old.items() if name != "settings"}
    return merge(base, changes)


def with_current_names(
    values: Mapping[str, Any], base: Mapping[str, Any] | None = None, warn: bool = True
) -> dict[str, Any]:
    """Return plain values of a recipe or a stage with all settings of models under their names of today.

    Args:
        values: Plain values, or changes of them.
        base: What they are laid over; it names the model where they do not.
        warn: Whether each old name is told, see `scenewise.models.renamed`.
    """
    from scenewise.models.renamed import current

    model = values.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("settings"), dict):
        return dict(values)
    inherited = (base or {}).get("model")
    name = model.get("name") or (inherited.get("name") if isinstance(inherited, dict) else None) or ModelPart.name
    settings = current(str(name), model["settings"], "model.settings." if warn else None)
    return {**values, "model": model | {"settings": settings}}


def _expand(values: Mapping[str, Any], where: str, inside: tuple[Path, ...]) -> dict[str, Any]:
    """Return the values of a recipe's file with its stages worked out.

    A stage `{recipe: NAME, until: STAGE}` stands for the stages of another recipe up to and with that one.
    """
    stages: list[dict[str, Any]] = []
    listed = values.get("stages") or []
    if not isinstance(listed, list) or not all(isinstance(stage, dict) for stage in listed):
        raise InputError(where, "stages must be a list of mappings.", "Give each stage a name and its changes.")
    for number, changes in enumerate([values, *listed]):
        _check_mappings(changes, f"{where}, stage {number}" if number else where)
        for key in ("recipe", "until", "name"):
            if not isinstance(changes.get(key, ""), str):
                raise InputError(where, f"{key} must be a text, found {shortened(changes[key])}.", _SEE_EXAMPLES)
    current = {part: values[part] for part in PARTS if part in values}
    for changes in listed:
        if "recipe" in changes:
            unknown = sorted(map(str, changes.keys() - {"recipe", "until"}))
            if unknown:
                problem = f"stages of the recipe {changes['recipe']} stand as they are; found {', '.join(unknown)} too."
                raise InputError(where, problem, "Change what follows in a stage of its own.")
            other = from_plain(_read(changes["recipe"], inside), str(changes["recipe"]))
            whole = other.stages or (Stage(other.name, other.model, other.data, other.training),)
            end = other.stage_number(changes["until"]) + 1 if "until" in changes else len(whole)
            stages += [plain(stage) for stage in whole[:end]]
        else:
            current = _lay(current, {key: value for key, value in changes.items() if key != "name"})
            stages.append({"name": changes.get("name", ""), **current})
    return {**values, "stages": stages}


def _in_full(values: Mapping[str, Any]) -> list[str]:
    """Return what settings that stand outside of their part are called in full: `size` may be `data.settings.size`."""
    from scenewise.data import SOURCES
    from scenewise.models.contract import MODELS

    parts = {part: named if isinstance(named := values.get(part), dict) else {} for part in ("model", "data")}
    data, model = parts["data"].get("source", "balls-colour"), parts["model"].get("name", "provide")
    classes: dict[str, Any] = {"training.": TrainingPart}
    if data in SOURCES.names():
        classes["data.settings."] = getattr(SOURCES.get(data).source_class, "config_class", None)
    if model in MODELS.names():
        classes["model.settings."] = MODELS.get(model).config_class
    places = {place: {field.name for field in fields(kind)} for place, kind in classes.items() if kind is not None}
    known = {field.name for field in fields(Recipe)}
    wrong = {
        key: [place + key for place, names in places.items() if key in names] for key in values if key not in known
    }
    return [f"{key} in full is {' or '.join(names)}" for key, names in wrong.items() if names]


def _rest(values: Mapping[str, Any]) -> list[str]:
    """Return what is wrong inside model and data settings, so that it is told along with errors found before."""
    from scenewise.training.plan import examine  # torch, which lists of recipes do without

    problems: dict[str, None] = {}
    stages = values.get("stages")
    for part in [s for s in stages if isinstance(s, dict)] if isinstance(stages, list) and stages else [values]:
        try:
            recipe = build(Recipe, {key: part[key] for key in ("model", "data") if key in part}, "")
        except InputError:
            continue
        problems |= dict.fromkeys(examine(recipe)[0])
    return list(problems)


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
