"""YAML texts from outside, read within limits: a few hundred bytes can stand for more values than memory holds."""

from __future__ import annotations

import copy
import functools
from typing import Any

import yaml

from scenewise.documents import DEEPEST, TOO_DEEP, check_plain, shortened
from scenewise.errors import describe

MOST_VALUES = 200_000
"""Most values that a text may stand for, aliases written out."""
LONGEST_SCALAR = 1 << 16
"""Longest single value, characters."""
_REMEMBERED = 1 << 14  # characters of a text that is kept: recipes are read again and again, and slowly
_MERGE = "tag:yaml.org,2002:merge"  # the key <<
_LONGEST_NUMBER = 64  # characters; integers of base 60 and of thousands of digits are slow to work out


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
