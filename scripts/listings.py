"""Show files in pages as they are: `python scripts/listings.py` renews each block under `<!-- PATH -->` in docs."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"(<!-- (examples/\S+) -->\n```\w+\n).*?(```\n)", re.DOTALL)


def renewed(page: str) -> str:
    """Return the text of a page with every listing as its file is now."""
    return BLOCK.sub(lambda block: block[1] + (ROOT / block[2]).read_text(encoding="utf-8") + block[3], page)


if __name__ == "__main__":
    for path in sorted((ROOT / "docs").rglob("*.md")):
        path.write_text(renewed(path.read_text(encoding="utf-8")), encoding="utf-8")
