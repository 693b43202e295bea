"""scenewise settings: every setting of a model, a source or a recipe, with meaning, range and the paper's value."""

from __future__ import annotations

import dataclasses
import json
import typing
from typing import TYPE_CHECKING, Any

from scenewise.cli.output import note
from scenewise.errors import InputError, nearest

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

EXAMPLE = """examples:
  scenewise settings provide                   # a model, beside its presets
  scenewise settings provide --preset fast
  scenewise settings balls-colour              # a data source
  scenewise settings provide-balls-colour      # a recipe: what its last stage sets
  scenewise settings training                  # what every recipe has"""


KINDS = ("model", "source", "recipe")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("topic", metavar="MODEL|SOURCE|RECIPE", help="or `training`")
    parser.add_argument("--of", choices=KINDS, help="where a name is several; default: the first of these")
    parser.add_argument("--preset", help="of a model; default: its settings as they are without a preset")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    rows = [dataclasses.asdict(row) for row in _rows(args.topic, args.of, args.preset)]
    args.answer = rows
    for row in rows:
        print(f"{row['key']} = {_text(row['value'])}")
        facts = [row["meaning"]]
        if row["choices"]:
            facts.append("one of " + ", ".join(map(str, row["choices"])))
        elif row["minimum"] is not None or row["maximum"] is not None:
            low, high = ("" if end is None else f"{end:g}" for end in (row["minimum"], row["maximum"]))
            facts.append(f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}")
        if row["paper"] is not None:
            facts.append(f"paper: {_text(row['paper'])}")
        print("    " + "; ".join(fact for fact in facts if fact))
    if not rows:
        print(f"{args.topic} has no settings.")
    return 0


@dataclasses.dataclass(frozen=True)
class SettingRow:
    """One setting.

    Attributes:
        key: Its name, with dots where settings lie inside others.
        value: Its value here.
        meaning: What it does, with its unit.
        minimum: Smallest value; None for no bound.
        maximum: Largest value; None for no bound.
        choices: The only values; empty where there are no such.
        paper: The paper's value where it differs.
    """

    key: str
    value: Any
    meaning: str
    minimum: float | None
    maximum: float | None
    choices: tuple[Any, ...]
    paper: Any


def describe(config: Any, prefix: str = "") -> Iterator[SettingRow]:
    """Yield all settings of a settings object, those inside others with dots in their keys."""
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value, about = getattr(config, field.name), field.metadata
        if dataclasses.is_dataclass(value):
            yield from describe(value, f"{prefix}{field.name}.")
            continue
        choices = about.get("choices") or _literals(hints[field.name])
        bounds = (about.get("minimum"), about.get("maximum"))
        meaning, paper = about.get("meaning", ""), about.get("paper")
        yield SettingRow(f"{prefix}{field.name}", _plain(value), meaning, *bounds, tuple(choices), paper)


def _rows(name: str, kind: str | None, preset: str | None) -> list[SettingRow]:
    from scenewise.config import build
    from scenewise.data import SOURCES
    from scenewise.models import MODELS
    from scenewise.training import recipes
    from scenewise.training.recipe import TrainingPart

    if name == "training":
        return list(describe(TrainingPart()))
    names = {"model": MODELS.names(), "source": SOURCES.names(), "recipe": recipes.names()}
    kinds = [each for each in KINDS if name in names[each]]
    if not kinds:
        every = dict.fromkeys([*names["model"], *names["source"], *names["recipe"], "training"])
        raise InputError(name, "is no model, no source and no recipe.", nearest(name, every))
    if kind is not None and kind not in kinds:
        raise InputError("--of", f"{name} is no {kind}.", nearest(name, names[kind]))
    kind = kind or kinds[0]
    if preset is not None and kind != "model":
        raise InputError("--preset", f"is for models; {name} is a {kind}.", "Leave it out.")
    if len(kinds) > 1:
        note(f"{name} is a {' and a '.join(kinds)}; this is the {kind}.")
    if kind == "model":
        model = MODELS.get(name)
        if preset is not None and preset not in model.presets:
            raise InputError("--preset", f"{name} has none of the name {preset}.", nearest(preset, model.presets))
        return list(describe(build(model.config_class, model.presets[preset] if preset else {}, name)))
    if kind == "source":
        maker = SOURCES.get(name)
        return list(describe(build(maker.source_class.config_class, maker.ready, name)))
    return list(_of_recipe(recipes.load(name).parts()[-1]))


def _of_recipe(part: Any) -> Iterator[SettingRow]:
    """Yield the settings of a recipe's part: its model's and its data's as they come out, and those of training."""
    from scenewise.config import build, merge
    from scenewise.data import SOURCES
    from scenewise.training.plan import examine

    problems, _, config = examine(part)  # data that are not there leave the model's size and K as its preset has them
    if config is None:
        raise InputError(part.name, " ".join(problems))
    yield from describe(config, "model.settings.")
    maker = SOURCES.get(part.data.source)
    settings = merge(maker.ready, part.data.settings)
    yield from describe(build(maker.source_class.config_class, settings, part.data.source), "data.settings.")
    yield from describe(part.training, "training.")


def _literals(hint: Any) -> tuple[Any, ...]:
    """Return the values of a `Literal`, also of one that may be None; nothing for any other type."""
    if typing.get_origin(hint) is typing.Literal:
        return typing.get_args(hint)
    return tuple(value for part in typing.get_args(hint) for value in _literals(part))


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
