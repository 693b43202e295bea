"""JSON and YAML texts from outside, read within limits and checked before anything is made of them.

A small text can nest deeper than a program can follow, hold numbers and characters that fail only much later, or, as
YAML, stand for more values than memory holds. These are refused here, in one place.
"""

from __future__ import annotations

import copy
import functools
import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml

from scenewise.errors import InputError, describe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DEEPEST = 48
"""Most lists and mappings inside each other."""
LARGEST_INTEGER = (1 << 64) - 1
"""Largest absolute value of an integer that is read."""
TOO_DEEP = f"lists or mappings nested more than {DEEPEST} deep"
MOST_VALUES = 200_000
"""Most values that a YAML text may stand for, aliases written out."""
LONGEST_SCALAR = 1 << 16
"""Longest single value, characters."""
_REMEMBERED = 1 << 14  # characters of a text that is kept: recipes are read again and again, and slowly
_MERGE = "tag:yaml.org,2002:merge"  # the key <<
_LONGEST_NUMBER = 64  # characters; integers of base 60 and of thousands of digits are slow to work out


def parse_json(text: bytes | str, where: object, expected: str, remedy: str) -> Any:
    """Read a JSON text; see `scenewise.media.files.read_json`.

    Examples:
        >>> parse_json('{"size": [32, 32]}', "facts.json", "facts", "Write it again.")
        {'size': [32, 32]}
        >>> parse_json("[" * 5000, "facts.json", "facts", "Write it again.")
        Traceback (most recent call last):
        ...
        scenewise.errors.InputError: facts.json: expected facts; found lists or mappings nested ... Write it again.
        >>> parse_json('{"size": 32, "size": 64}', "facts.json", "facts", "Write it again.")
        Traceback (most recent call last):
        ...
        scenewise.errors.InputError: facts.json: expected facts; found: the key 'size' twice in a mapping. Write ...
    """
    try:
        text = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        values = json.loads(text, object_pairs_hook=_mapping)
        if not _is_plain(text):
            check_plain(values)
    except RecursionError:
        raise InputError(where, f"expected {expected}; found {TOO_DEEP}.", remedy) from None
    except ValueError as error:  # no JSON, no UTF-8, an integer of thousands of digits, or of `check_plain`
        if "int_max_str_digits" in str(error):
            raise InputError(where, f"expected {expected}; found an integer of thousands of digits.", remedy) from None
        raise InputError(where, f"expected {expected}; found: {describe(error)}.", remedy) from error
    return values


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a mapping whose keys are each there once; of two values Python would take the last without a word."""
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError(f"the key {shortened(repeated(key for key, _ in pairs)[0])} twice in a mapping")
    return values


def repeated(names: Iterable[str]) -> list[str]:
    """Return the names that are there more than once, in the order of their first places.

    Examples:
        >>> repeated(["b", "a", "c", "a", "b"])
        ['b', 'a']
    """
    return [name for name, count in Counter(names).items() if count > 1]


def _is_plain(text: str) -> bool:
    """Return whether a JSON text is seen to hold nothing that `check_plain` refuses, without a look at each value."""
    if ("\\ud" in text or "\\uD" in text) and _ESCAPED_HALF.search(text):
        return False
    if not text.isascii() and _HALF.search(text):
        return False
    bare = _STRING.sub("", text)
    if _LONG_NUMBER.search(bare):
        return False
    brackets = bare.encode("ascii", "replace").translate(None, _NO_BRACKETS)
    for _ in range(DEEPEST // 2):
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")  # what lies deepest: one level, or two
        if not brackets:
            return True
    return False


_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_HALF = re.compile(r"[\ud800-\udfff]")  # of a character
_ESCAPED_HALF = re.compile(r"(?<!\\)(?:\\\\)*\\u[dD][89a-fA-F]")
_LONG_NUMBER = re.compile("[0-9]{20}")


def check_plain(values: Any) -> None:
    """Check that nested plain values are what every later step can handle.

    Raises:
        ValueError: They nest too deep, or hold an integer beyond 64 bits or half a character (a lone surrogate).
    """
    level = [values]
    for _ in range(DEEPEST):
        for value in level:
            _check_scalar(value)
        level = [part for value in level for part in _parts(value)]
        if not level:
            return
    raise ValueError(TOO_DEEP)


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        yield from value
        yield from value.values()
    elif isinstance(value, (list, tuple)):
        yield from value


def _check_scalar(value: Any) -> None:
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise ValueError("text with half a character (a lone surrogate)")
    elif isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        raise ValueError(f"an integer of {value.bit_length()} bits; at most 64 are read")


def type_of(value: Any) -> str:
    """Return what kind of plain value something is, for messages.

    Examples:
        >>> type_of([1]), type_of(None), type_of(2.5)
        ('a list', 'nothing', 'a number')
    """
    kinds = {
        bool: "a truth value",
        str: "a text",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "a mapping",
    }
    return "nothing" if value is None else kinds.get(type(value), "a mapping")


def shortened(value: Any, most: int = 60) -> str:
    """Return how Python writes a plain value, cut off where it is long; costs no more than what is returned.

    Examples:
        >>> shortened([1, 2]), shortened("x" * 100, 12)
        ('[1, 2]', "'xxxxxxxx...")
    """
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 4 * most:
        return f"an integer of {value.bit_length()} bits"
    text = repr(value[: most + 1]) if isinstance(value, (str, bytes, list, tuple)) else repr(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."


# -- YAML ------------------------------------------------------------------------------------------------------------


def parse_yaml(text: str) -> Any:
    r"""Return the plain values of a YAML text.

    Raises:
        ValueError: It is no YAML, or beyond a limit.

    Examples:
        >>> parse_yaml("size: [32, 1e-3]")
        {'size': [32, '1e-3']}
        >>> parse_yaml("a: &a [" + "x, " * 999 + "]\nb: [" + "*a, " * 999 + "]")
        Traceback (most recent call last):
        ...
        ValueError: aliases that stand for more than 200000 values
        >>> parse_yaml("steps: 10\nsteps: 20")
        Traceback (most recent call last):
        ...
        ValueError: the key 'steps' twice in a mapping, again in line 2
    """
    return copy.deepcopy(_read_again(text)) if len(text) <= _REMEMBERED else _read(text)


def _read(text: str) -> Any:
    try:
        values = yaml.load(text, LimitedLoader)
        check_plain(values)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    except (TypeError, OverflowError, AttributeError, KeyError) as error:  # PyYAML, where a value does not fit its tag
        raise ValueError(describe(error)) from error
    return values


_read_again = functools.lru_cache(64)(_read)


class LimitedLoader(yaml.SafeLoader):
    """PyYAML's safe loader that counts before it makes anything: even merge keys (`<<`) write their mappings out."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Read one node, not deeper than the limit."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise ValueError(TOO_DEEP)
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def get_single_node(self) -> Any:
        """Read all nodes and count the values they stand for."""
        node = super().get_single_node()
        if node is not None:
            _count(node, {})
            self._check_keys(node, set())
        return node

    def _check_keys(self, node: yaml.Node, seen: set[int]) -> None:
        """Check that mappings have each key once; of two values PyYAML takes the last without a word."""
        if id(node) in seen or not isinstance(node, yaml.CollectionNode):
            return
        seen.add(id(node))
        keys: set[Any] = set()
        for part in node.value:
            for inner in part if isinstance(node, yaml.MappingNode) else (part,):
                self._check_keys(inner, seen)
            if isinstance(node, yaml.MappingNode) and isinstance(part[0], yaml.ScalarNode):
                plain = part[0].tag.startswith("tag:yaml.org,2002:") and part[0].tag != _MERGE
                key = self.construct_object(part[0]) if plain else part[0].value
                if key in keys:
                    where = part[0].start_mark.line + 1
                    raise ValueError(f"the key {shortened(key)} twice in a mapping, again in line {where}")
                keys.add(key)

    def construct_scalar(self, node: Any) -> Any:
        """Return the text of a single value that is not too long for what its tag makes of it."""
        value = super().construct_scalar(node)
        numeric = node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
        longest = _LONGEST_NUMBER if numeric else LONGEST_SCALAR
        if len(value) > longest:
            raise ValueError(f"a {'number' if numeric else 'text'} of {len(value)} characters; at most {longest}")
        return value


def _count(node: yaml.Node, counts: dict[int, int]) -> int:
    """Return how many values a node stands for with its aliases written out; `counts` are those worked out before."""
    if id(node) in counts:
        if not counts[id(node)]:
            raise ValueError("an alias of something that it lies in")
        return counts[id(node)]
    counts[id(node)] = 0  # until it is known; met again before that, it contains itself
    parts = node.value if isinstance(node.value, list) else []
    nodes = [part for pair in parts for part in pair] if isinstance(node, yaml.MappingNode) else parts
    total = 1 + sum(_count(part, counts) for part in nodes)
    if total > MOST_VALUES:
        raise ValueError(f"aliases that stand for more than {MOST_VALUES} values")
    counts[id(node)] = total
    return total
