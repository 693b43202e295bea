"""Settings: frozen dataclasses whose fields say what they mean and what values they admit.

`setting` declares a field, `build` makes a dataclass from a plain mapping (a YAML or JSON file) and reports every
unknown key, wrong type and out-of-range value at once, before anything is computed.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from typing import TYPE_CHECKING, Any, TypeVar, cast

from scenewise.documents import DEEPEST, parse_yaml, shortened
from scenewise.errors import InputError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

C = TypeVar("C")

_MOST_UNKNOWN = 20  # keys that a message names
_EXAMPLE = "Write for example training.steps=2000."


def setting(
    default: Any,
    meaning: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: Sequence[Any] | None = None,
    paper: Any = None,
) -> Any:
    """Declare a field of a settings dataclass; choices that are known in advance are its type, a `Literal`.

    Args:
        default: Its default value; a list or dict is copied per instance.
        meaning: What it does, with its unit.
        minimum: Smallest admitted value, inclusive (of each element where the field is a list).
        maximum: Largest admitted value, inclusive.
        choices: The only admitted values, where a table that the code looks up has them.
        paper: The paper's value where the default differs.
    """
    metadata = {"meaning": meaning, "minimum": minimum, "maximum": maximum, "choices": choices, "paper": paper}
    if isinstance(default, (list, dict)):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def build(cls: type[C], values: Mapping[str, Any], where: str) -> C:
    """Make a settings object from plain values; nested dataclass fields take nested mappings.

    What a nested mapping leaves out is as in the field's default. What `__post_init__` of nested settings refuses is
    told with all other problems, under the key it has here.

    Args:
        cls: A settings dataclass.
        values: Plain values by field name; a missing key takes its default.
        where: What is being read, for the message: a file name or "command line".

    Raises:
        InputError: With every problem found, each with key, value, allowed range and nearest spelling.
    """
    problems: list[str] = []
    built = _build(cls, values, "", problems)
    if problems:
        text = "; ".join(problems)
        raise InputError(where, text if text.endswith((".", "?")) else f"{text}.", "Correct these settings.")
    return built


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    """Return the types of a dataclass's fields; Python reads them from text anew each time."""
    return typing.get_type_hints(cls)


def plain(config: Any) -> dict[str, Any]:
    """Return a settings object as plain values that `build` takes back (tuples become lists)."""
    return {f.name: _plain(getattr(config, f.name)) for f in dataclasses.fields(config)}


def replace(config: C, values: Mapping[str, Any], where: str) -> C:
    """Return a copy with some plain values replaced and everything checked anew; nested mappings merge."""
    return build(type(config), merge(plain(config), values), where)


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `over` laid on top, mappings merged key by key."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def nest(dotted: Sequence[str], where: str = "command line") -> dict[str, Any]:
    """Read `key.sub=value` words into nested plain values; values are YAML scalars or lists.

    Raises:
        InputError: A word has no `=` or its value is not YAML.
    """
    nested: dict[str, Any] = {}
    for word in dotted:
        key, equals, text = word.partition("=")
        if not equals or not key.strip():
            raise InputError(
                where, f"{shortened(word)} is not of the form key=value.", "Write for example training.steps=2000."
            )
        try:
            value = parse_yaml(text)
        except ValueError as error:
            raise InputError(
                where, f"the value of {shortened(key)} cannot be read: {shortened(text)} ({error})."
            ) from error
        parts = key.strip().removeprefix("--").split(".")
        if len(parts) > DEEPEST:
            raise InputError(
                where, f"{key[:40]!r}... has {len(parts)} parts.", "Write for example training.steps=2000."
            )
        for part in reversed(parts):
            value = {part: value}
        nested = merge(nested, value)
    return nested


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return plain(value)
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value


def _build(cls: type[C], values: Any, prefix: str, problems: list[str]) -> C:
    if not hasattr(values, "items"):
        problems.append(f"{prefix.rstrip('.') or 'the settings'} must be a mapping, found {shortened(values)}")
        return cast("C", None)  # `build` raises
    hints, first = _hints(cls), len(problems)  # type: ignore[arg-type]
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = [str(key) for key in values if key not in fields]
    problems += [f"unknown key {prefix}{key[:80]}. {nearest(key[:80], fields)}" for key in unknown[:_MOST_UNKNOWN]]
    if len(unknown) > _MOST_UNKNOWN:
        problems.append(f"{len(unknown) - _MOST_UNKNOWN} more unknown keys")
    values_by_name = {}
    for name, field in fields.items():
        if name not in values:
            if field.default is field.default_factory is dataclasses.MISSING:
                problems.append(f"{prefix}{name} is missing")
            continue
        hint = hints[name]
        if dataclasses.is_dataclass(hint):
            default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
            nested = values[name]  # laid over the field's default, if it has one
            if dataclasses.is_dataclass(default) and hasattr(nested, "items"):
                nested = merge(plain(default), nested)
            values_by_name[name] = _build(hint, nested, f"{prefix}{name}.", problems)  # type: ignore[arg-type]
            continue
        before = len(problems)
        value = _convert(values[name], hint, f"{prefix}{name}", problems)
        if len(problems) == before:
            _check(value, field.metadata, f"{prefix}{name}", problems)
        values_by_name[name] = value
    if len(problems) > first:
        return cast("C", None)
    try:
        return cls(**values_by_name)
    except InputError as error:
        if not prefix:
            raise
        problems.append(f"{prefix}{error.subject} {error.problem} {error.remedy}".rstrip(". "))
        return cast("C", None)


def _convert(value: Any, hint: Any, key: str, problems: list[str]) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        arms = [a for a in args if a is not type(None)]
        is_list = isinstance(value, (list, tuple))
        return _convert(value, next((a for a in arms if _is_sequence(a) == is_list), arms[0]), key, problems)
    if origin is typing.Literal:
        matches = [a for a in args if a == value and isinstance(a, bool) == isinstance(value, bool)]
        if not matches:
            problems.append(f"{key} is {shortened(value)}; {_allowed(value, args)}")
        return matches[0] if matches else value
    if dataclasses.is_dataclass(hint):
        return _build(hint, value, f"{key}.", problems)  # type: ignore[arg-type]
    if _is_sequence(hint):
        return _convert_sequence(value, origin, args, key, problems)
    if hint is Any:
        return value
    if origin is dict or hint is dict:
        return _convert_mapping(value, args, key, problems)
    if hint is float and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            return float(value)  # YAML reads 1e-3 as text
        except (ValueError, OverflowError):
            pass
    elif hint is int and isinstance(value, float) and value.is_integer():
        return int(value)
    elif isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    problems.append(f"{key} must be of type {hint.__name__}, found {shortened(value)}")
    return value


def _convert_mapping(value: Any, args: tuple[Any, ...], key: str, problems: list[str]) -> Any:
    if not isinstance(value, dict):
        problems.append(f"{key} must be a mapping, found {shortened(value)}")
    elif not all(isinstance(name, str) for name in value):
        name = next(name for name in value if not isinstance(name, str))
        problems.append(f"{key} must have texts for keys, found the key {shortened(name)}")
    elif args and args[1] is not Any:
        return {name: _convert(part, args[1], f"{key}.{name[:80]}", problems) for name, part in value.items()}
    return value


def _is_sequence(hint: Any) -> bool:
    return typing.get_origin(hint) in (tuple, list)


def _allowed(value: Any, choices: Sequence[Any]) -> str:
    return f"allowed: {', '.join(map(str, choices))}. {nearest(str(value)[:80], map(str, choices))}"


def _convert_sequence(value: Any, origin: Any, args: tuple[Any, ...], key: str, problems: list[str]) -> Any:
    if not isinstance(value, (list, tuple)):
        problems.append(f"{key} must be a list, found {shortened(value)}")
        return value
    fixed = origin is tuple and args and args[-1] is not Ellipsis
    if fixed and len(value) != len(args):
        problems.append(f"{key} must have {len(args)} values, found {shortened(list(value))}")
        return value
    element_hints = args if fixed else (args[0],) * len(value)
    return origin(
        _convert(v, h, f"{key}[{i}]", problems) for i, (v, h) in enumerate(zip(value, element_hints, strict=True))
    )


def _check(value: Any, metadata: Mapping[str, Any], key: str, problems: list[str]) -> None:
    if value is None:
        return
    if isinstance(value, (list, tuple)):
        for element in value:
            _check(element, metadata, key, problems)
        return
    choices, low, high = metadata.get("choices"), metadata.get("minimum"), metadata.get("maximum")
    if choices is not None and value not in choices:
        problems.append(f"{key} is {shortened(value)}; {_allowed(value, choices)}")
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and (value != value or (low is not None and value < low) or (high is not None and value > high)):
        bounds = f"[{'-inf' if low is None else low}, {'inf' if high is None else high}]"
        problems.append(f"{key} is {shortened(value)}; allowed range {bounds}")
