"""Templates of pages that open from disk, with text escaped, and styles and scripts inside them."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jinja2 import Template


def template(name: str) -> Template:
    """Return a page's template, such as "video.html"."""
    return _environment().get_template(name)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__name__, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals |= {"source": source, "inlined": inlined}
    for use in (code, embed, flatten, many, number, ordinal):
        environment.filters[use.__name__] = use
    return environment


@cache
def source(name: str) -> Markup:
    """Return a style sheet or script that pages carry inside themselves."""
    return Markup(resources.files("scenewise.report").joinpath(name).read_text(encoding="utf-8"))


def inlined(name: str) -> Markup:
    """Return a module as part of a larger script: without its imports, its exports as plain declarations."""
    text = re.sub(r"^import .*\n", "", str(source(name)), flags=re.MULTILINE)
    return Markup(re.sub(r"^export (?=const|let|function|async|class)", "", text, flags=re.MULTILINE))


def embed(value: Any) -> Markup:
    r"""Return JSON that can stand inside a script element, whatever text it holds.

    Examples:
        >>> print(embed("</script><!--"))
        "\u003c/script>\u003c!--"
    """
    return Markup(json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"))


def code(text: str) -> Markup:
    """Return text in which what stands in backticks is code.

    Examples:
        >>> print(code("Use `scenewise train` for <this>."))
        Use <code>scenewise train</code> for &lt;this&gt;.
    """
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def many(count: int, noun: str) -> str:
    """Return a count with its noun.

    Examples:
        >>> many(1, "frame"), many(1200, "frame")
        ('1 frame', '1,200 frames')
    """
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def ordinal(place: int) -> str:
    """Return a place in words.

    Examples:
        >>> ordinal(1), ordinal(12), ordinal(23)
        ('1st', '12th', '23rd')
    """
    endings = {1: "st", 2: "nd", 3: "rd"}
    return f"{place}{endings.get(place % 10 if place % 100 not in (11, 12, 13) else 0, 'th')}"


def number(value: Any, digits: int = 4) -> str:
    """Return a number as text, a dash where there is none; text stays.

    Examples:
        >>> number(0.123456), number(None), number(float("nan")), number("low")
        ('0.1235', '–', '–', 'low')
    """
    if isinstance(value, str):
        return value
    return "–" if value is None or not np.isfinite(value) else f"{value:.{digits}g}"


def flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield nested settings as (dotted key, text).

    Examples:
        >>> list(flatten({"model": {"slots": 5}, "seed": None}))
        [('model.slots', '5'), ('seed', 'null')]
    """
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value, default=str)
