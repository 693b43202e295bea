"""Tests reach the library by names that are public: what only a private name would show has a seam made for it."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXCEPTIONS = {
    "tests/models/test_provide_windows.py": {"_begin", "_compare"},  # births are seen before anything else is computed
    "tests/runtimes/test_runner.py": {"_graphs"},  # whether PyTorch or a graph gave a frame shows in nothing else
}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def parsed(folder: str) -> list[tuple[Path, ast.Module]]:
    files = sorted((ROOT / folder).rglob("*.py"))
    return [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in files]


def private_names() -> set[str]:
    """Names with an underscore that src gives to anything: functions, classes, constants and attributes."""
    names = set()
    for _, tree in parsed("src"):
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                names.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                names.add(node.attr)
    return {name for name in names if is_private(name)}


def uses(tree: ast.Module) -> list[tuple[int, str]]:
    """Line and name of what a test takes of other modules and objects, by itself or as text to be replaced."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("scenewise"):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) not in ("self", "cls"):
            found.append((node.lineno, node.attr))
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")).endswith("attr"):
            texts = [part.value for part in node.args if isinstance(part, ast.Constant) and isinstance(part.value, str)]
            found += [(node.lineno, name) for text in texts for name in text.split(".")]
    return found


def test_no_test_reaches_a_private_name_of_the_library() -> None:
    private = private_names()
    assert len(private) > 100, "names are found at all"
    reached = {
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path, tree in parsed("tests")
        for line, name in uses(tree)
        if name in private - EXCEPTIONS.get(str(path.relative_to(ROOT)), set())
    }
    assert reached == set()
