"""Draw docs/images/architecture.svg from the import contracts in pyproject.toml: `python scripts/architecture.py`."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "images" / "architecture.svg"

WIDTH, BOX, GAP, PAD, LETTER = 760, 30, 10, 12, 7.9
COLOURS = ("#fde8d7", "#fdf3d0", "#e6f4d9", "#d8f0ea", "#dbe8fb", "#e9e3f8", "#f5e2ef")


def layer_contracts() -> list[dict]:
    """Return the contracts that say which layer lies above which."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return [contract for contract in project["tool"]["importlinter"]["contracts"] if contract["type"] == "layers"]


def siblings(layer: str) -> list[tuple[str, bool]]:
    """Return the modules of one layer, and whether each may import those beside it: ":" allows that, "|" does not."""
    modules = re.split(r"\s*[:|]\s*", layer)
    return [(module.removeprefix("scenewise."), "|" not in layer) for module in modules]


def rows_of(modules: list[tuple[str, bool]]) -> list[list[tuple[float, float, str, bool]]]:
    """Place boxes (left, width, name, open to those beside) in rows that fit."""
    rows: list[list[tuple[float, float, str, bool]]] = [[]]
    left = start = 60.0
    for name, is_open in modules:
        width = len(name) * LETTER + 2 * PAD
        if rows[-1] and left + width > WIDTH - PAD:
            rows.append([])
            left = start
        rows[-1].append((left, width, name, is_open))
        left += width + GAP + (0 if is_open else GAP)
    return rows


def floor(number: int, layer: str, top: float) -> tuple[str, float]:
    """Return one layer as SVG, and where the next one begins."""
    rows = rows_of(siblings(layer))
    height = len(rows) * (BOX + GAP) + GAP
    colour = COLOURS[number % len(COLOURS)]
    parts = [
        f'<rect x="0" y="{top:g}" width="{WIDTH}" height="{height}" rx="6" fill="{colour}"/>',
        f'<text x="24" y="{top + height / 2 + 5:g}" text-anchor="middle" class="number">{number}</text>',
    ]
    for n, row in enumerate(rows):
        y = top + GAP + n * (BOX + GAP)
        for place, (left, width, name, is_open) in enumerate(row):
            box = f'x="{left:g}" y="{y:g}" width="{width:g}" height="{BOX}"'
            parts.append(f'<rect {box} rx="4" class="box"/>')
            parts.append(f'<text x="{left + width / 2:g}" y="{y + 20:g}" text-anchor="middle">{name}</text>')
            if place and not is_open:
                parts.append(f'<path d="M{left - GAP:g} {y - 4:g}v{BOX + 8}" class="wall"/>')
    return "\n".join(parts), top + height + 6


def picture(contracts: list[dict]) -> str:
    """Return the whole picture: one block of floors per contract."""
    parts, top = [], 4.0
    for contract in contracts:
        layers = contract["layers"]
        parts.append(f'<text x="0" y="{top + 16:g}" class="title">{contract["name"]}</text>')
        top += 26
        for n, layer in enumerate(layers):
            text, top = floor(len(layers) - n, layer, top)
            parts.append(text)
        top += 14
    parts.append(
        f'<text x="0" y="{top + 8:g}" class="note">A module imports from floors below it, and from boxes beside it '
        "unless a wall parts them.</text>"
    )
    style = (
        "text{font:13px ui-monospace,monospace;fill:#222}.number,.title{font-weight:bold}"
        ".note{font:13px sans-serif;fill:#555}.title{font-family:sans-serif}"
        ".box{fill:#fff;stroke:#888}.wall{stroke:#b00;stroke-width:3}"
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-8 0 {WIDTH + 16} {top + 20:g}" width="{WIDTH + 16}">'
    background = '<rect x="-8" width="100%" height="100%" fill="#fff"/>'
    return "\n".join([head, f"<style>{style}</style>", background, *parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(picture(layer_contracts()), encoding="utf-8")
