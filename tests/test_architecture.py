"""The page about the architecture shows the floors as they are."""

import importlib.util
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def script():
    spec = importlib.util.spec_from_file_location("architecture", ROOT / "scripts" / "architecture.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_picture_is_up_to_date() -> None:
    drawing = script()
    assert drawing.PICTURE.read_text(encoding="utf-8") == drawing.picture(drawing.layer_contracts()), (
        "run: python scripts/architecture.py"
    )


def test_picture_shows_every_package_once_with_walls_between_independent_ones() -> None:
    contract = {"name": "Floors", "layers": ["scenewise.a", "scenewise.b | scenewise.c", "scenewise.d : scenewise.e"]}
    svg = script().picture([contract])
    assert [name for name in re.findall(r">(\w)</text>", svg) if name.isalpha()] == list("abcde")
    assert svg.count('class="wall"') == 1


def test_page_describes_every_package() -> None:
    """Every module of the first contract has a row in the table, and no row names one that there is not."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page[page.index("| package |") : page.index("Models and data meet")]
    described = {name for row in table.strip().splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    first = script().layer_contracts()[0]
    packages = {name for layer in first["layers"] for name, _ in script().siblings(layer)}
    assert described | {"version"} == packages
