"""scenewise models: models, their presets, and the weights that ship."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

EXAMPLE = """example:
  scenewise models --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options: none of its own."""


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    kinds, weights = _kinds(), _weights()
    args.answer = {"models": kinds, "weights": weights}
    print("models that can be trained")
    width = max((len(kind["name"]) for kind in kinds), default=0) + 2
    for kind in kinds:
        print(f"  {kind['name']:<{width}}{kind['what']}")
        print(f"  {'':<{width}}presets: {', '.join(kind['presets'])}")
    print("weights that ship")
    width = max((len(item["name"]) for item in weights), default=0) + 2
    for item in weights:
        _tell(item, width)
    if not weights:
        print("  none in this installation; train some: scenewise train --help")
    return 0


def _tell(item: dict[str, Any], indent: int) -> None:
    card, scores = item["card"], item["card"].get("scores", [])
    print(f"  {item['name']:<{indent}}{card.get('summary', '')}")
    height, width = item["size"]
    print(f"  {'':<{indent}}{item['kind']}, {height} x {width}, {item['slots']} slots, {item['mib']:.1f} MiB")
    names = [f"{score['protocol']} {score['metric']}" for score in scores]
    column = max((len(name) for name in names), default=0) + 2
    for name, score in zip(names, scores, strict=True):
        print(f"  {'':<{indent}}{name:<{column}}{score['value']:.4f}  {score['data']}")


def _kinds() -> list[dict[str, Any]]:
    """Return every registered model with the first line of its file."""
    import sys

    from scenewise.models import MODELS

    rows = []
    for name in MODELS.names():
        model = MODELS.get(name)
        text = (sys.modules[model.__module__].__doc__ or model.__doc__ or "").strip()
        rows.append({"name": name, "what": text.splitlines()[0] if text else "", "presets": sorted(model.presets)})
    return rows


def _weights() -> list[dict[str, Any]]:
    """Return every shipped model with its card, without making it."""
    from scenewise.checkpoint import find, read_config, shipped
    from scenewise.config import build
    from scenewise.models import MODELS

    rows = []
    for name in shipped():
        path = find(name)
        settings = read_config(path)
        config: Any = build(MODELS.get(settings["model"]).config_class, settings["config"], name)
        rows.append(
            {
                "name": name,
                "kind": settings["model"],
                "path": str(path),
                "size": list(settings["config"].get("size", ("?", "?"))),
                "slots": config.slots,
                "mib": sum(f.stat().st_size for f in path.iterdir()) / (1 << 20),
                "card": dict(settings["card"]),
            }
        )
    return rows
