"""scenewise recipes: what `scenewise train` can make, with stages, steps and what each is trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

EXAMPLE = """examples:
  scenewise recipes
  scenewise recipes --json
  scenewise train provide-balls-colour --dry-run --out runs/balls    # one recipe in full, with hours"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options: none of its own."""


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    from scenewise.training import recipes

    rows = [_row(name, recipes.load(name)) for name in recipes.names()]
    args.answer = rows
    width = max(len(row["name"]) for row in rows) + 2
    for row in rows:
        print(f"{row['name']:<{width}}{row['summary']}")
        stages = f"{len(row['stages'])} stages" if len(row["stages"]) > 1 else "1 stage"
        print(f"{'':<{width}}{row['model']} on {row['data']}, {stages}, {row['steps']:,} steps")
    return 0


def _row(name: str, recipe: Any) -> dict[str, Any]:
    parts = recipe.parts()
    return {
        "name": name,
        "summary": recipe.summary,
        "model": parts[-1].model.name,
        "data": ", ".join(dict.fromkeys(part.data.source for part in parts)),
        "stages": [{"name": part.name, "steps": part.training.steps} for part in parts],
        "steps": sum(part.training.steps for part in parts),
    }
