"""Tests reach the library by names that are public: what only a private name would show has a seam made for it."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DEFINITION = re.compile(r"\b(?:def|class) (_[a-zA-Z]\w*)|\bself\.(_[a-zA-Z]\w*)|^(_[a-zA-Z]\w*)\b.* = ", re.MULTILINE)


def private_names() -> set[str]:
    """Names with an underscore that src gives to functions, classes, constants and attributes."""
    texts = (path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    return {name for text in texts for groups in DEFINITION.findall(text) for name in groups if name}


def uses(tree: ast.Module) -> list[tuple[int, str]]:
    """Line and name of what a test takes of other modules and objects, by itself or as text to be replaced."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("scenewise"):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.Attribute) and getattr(node.value, "id", "") not in ("self", "cls"):
            found.append((node.lineno, node.attr))
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")).endswith("attr"):
            texts = [part.value for part in node.args if isinstance(part, ast.Constant) and isinstance(part.value, str)]
            found += [(node.lineno, name) for text in texts for name in text.split(".")]
    return found


def test_no_test_reaches_a_private_name_of_the_library() -> None:
    private, reached = private_names(), set()
    assert len(private) > 1000, "names are found at all"
    for path in sorted((ROOT / "tests").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        suspects = private & set(re.findall(r"\b_[a-zA-Z]\w*", text))
        if suspects:  # most tests have none, and are not parsed
            reached |= {f"{path.name}:{line}: {name}" for line, name in uses(ast.parse(text)) if name in suspects}
    assert reached == set()
