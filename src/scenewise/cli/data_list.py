"""scenewise data list: every source with what is known of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_LONG = ("paper", "size", "factors", "licence", "obtain")
_HEADS = {"paper": "paper", "size": "size", "factors": "known per object", "licence": "licence", "obtain": "to get it"}


def run(args: argparse.Namespace) -> int:
    """Print the sources: a table on a terminal, or plain lines."""
    rows = known()
    args.answer = rows
    if sys.stdout.isatty():
        _table(rows, args.long)
    else:
        width = max(len(row["name"]) for row in rows) + 2
        for row in rows:
            print(f"{row['name']:<{width}}{row['kind']:<11}{row['what']}")
            for head, value in _told(row) if args.long else ():
                print(f"{'':<{width}}{head}: {value}")
    return 0


def known() -> list[dict[str, Any]]:
    """Return what is known of every source; one without a description is told by its module's first line."""
    import dataclasses

    from scenewise.data import DESCRIPTIONS, SOURCES

    rows = []
    for name in SOURCES.names():
        maker = SOURCES.get(name)
        described = DESCRIPTIONS.get(name)
        if described is None:
            module = sys.modules[maker.__module__]
            facts: dict[str, Any] = {"what": (module.__doc__ or "").strip().splitlines()[0], "kind": ""}
        else:
            facts = dataclasses.asdict(described)
        rows.append({"name": name, **facts})
    return rows


def _told(row: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what is known beyond the first line, in words."""
    values = {key: row.get(key) for key in _LONG}
    values["factors"] = ", ".join(row.get("factors", ()))
    return [(_HEADS[key], str(value)) for key, value in values.items() if value]


def _table(rows: Sequence[dict[str, Any]], long: bool) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("source", "kind", "what", show_lines=long)
    for row in rows:
        more = [f"[dim]{head}:[/dim] {escape(value)}" for head, value in _told(row)] if long else []
        table.add_row(row["name"], row["kind"], "\n".join([escape(row["what"]), *more]))
    Console().print(table)
    if not long:
        print("more: scenewise data list --long")
