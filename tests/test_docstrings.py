"""Docstrings tell the truth: their examples run, and the attributes they list are those that exist."""

import ast
import doctest
import functools
import importlib
import pkgutil
import re
from pathlib import Path

import numpy as np
import pytest
from tests.processes import Process

SRC = Path(__file__).parents[1] / "src"
PACKAGES = ("metrics", "media", "evaluation", "decompose")


def modules_of(package: str) -> list[str]:
    root = importlib.import_module(f"scenewise.{package}")
    return [root.__name__, *(info.name for info in pkgutil.walk_packages(root.__path__, f"{root.__name__}."))]


def doctests_of(module: str) -> list[doctest.DocTest]:
    tests = doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(module), extraglobs={"np": np})
    return [test for test in tests if test.examples]


MODULES = ["scenewise.errors", *(module for package in PACKAGES for module in modules_of(package))]


SIGNALS = "scenewise.media.interruption"
"""Its examples end processes."""


@pytest.mark.parametrize("module", [module for module in MODULES if module != SIGNALS])
def test_examples_run(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = doctest.DocTestRunner(optionflags=doctest.FAIL_FAST | doctest.ELLIPSIS)
    said: list[str] = []
    for test in doctests_of(module):
        folder = tmp_path / test.name
        folder.mkdir()
        monkeypatch.chdir(folder)  # an example may write files
        runner.run(test, out=said.append)
    assert runner.failures == 0, "".join(said)


def run_examples_of_signals() -> int:
    """Return how many fail."""
    runner = doctest.DocTestRunner()
    for test in doctests_of(SIGNALS):
        runner.run(test)
    return runner.failures


def test_examples_of_signals_run() -> None:
    process = Process(run_examples_of_signals)
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    assert len(doctests_of(SIGNALS)) == 3


def test_there_are_a_hundred_examples_whose_result_is_checked() -> None:
    checked = [example for module in MODULES for test in doctests_of(module) for example in test.examples]
    assert len([example for example in checked if example.want]) >= 100
    assert not any(doctest.SKIP in example.options for example in checked)


# -- attributes ------------------------------------------------------------------------------------------------------


@functools.cache
def classes() -> list[ast.ClassDef]:
    """All public classes of the library."""
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in sorted(SRC.rglob("*.py")))
    nodes = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    return [node for node in nodes if not node.name.startswith("_")]


@functools.cache
def dataclasses() -> list[ast.ClassDef]:
    """Those classes that are dataclasses."""
    return [node for node in classes() if any("dataclass" in ast.unparse(each) for each in node.decorator_list)]


@functools.cache
def settings() -> re.Pattern[str]:
    """A pattern that is in an annotation which names a dataclass."""
    return re.compile(r"\b(" + "|".join(sorted({node.name for node in dataclasses()})) + r")\b")


@functools.cache
def fields_of(node: ast.ClassDef) -> dict[str, ast.AnnAssign]:
    return {
        ast.unparse(line.target): line
        for line in node.body
        if isinstance(line, ast.AnnAssign) and "ClassVar" not in ast.unparse(line.annotation)
    }


@functools.cache
def listed(node: ast.ClassDef, section: str) -> list[str]:
    """The names that a section of a Google docstring describes."""
    text = (ast.get_docstring(node) or "") + "\n"
    block = re.search(rf"^{section}:\n((?:    .*\n|\n)+)", text, re.MULTILINE)
    return re.findall(r"^    (\w+): ", block[1], re.MULTILINE) if block else []


@functools.cache
def words_of(node: ast.ClassDef) -> set[str]:
    """The words of a docstring."""
    return set(re.findall(r"\w+", ast.get_docstring(node) or ""))


def described_beside(field: ast.AnnAssign) -> bool:
    """Whether a setting says itself what it is, or is settings that do."""
    value = "" if field.value is None else ast.unparse(field.value)
    kind = ast.unparse(field.annotation)
    return value.startswith("setting(") or "'meaning'" in value or bool(settings().search(kind))


def described_elsewhere(node: ast.ClassDef, name: str) -> bool:
    """Whether a class that the docstring names in backticks describes an attribute of the same name."""
    others = set(re.findall(r"`(\w+)`", ast.get_docstring(node) or ""))
    return any(name in listed(other, "Attributes") for other in classes() if other.name in others)


def names_of(node: ast.ClassDef) -> set[str]:
    """Everything a class has by its own text: fields, methods, and what is assigned to self."""
    own = {item.name for item in node.body if isinstance(item, ast.FunctionDef)} | set(fields_of(node))
    return own | {
        part.attr
        for part in ast.walk(node)
        if isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store) and ast.unparse(part.value) == "self"
    }


def test_every_field_of_a_dataclass_is_described() -> None:
    missing = {
        (node.name, name)
        for node in dataclasses()
        for name, field in fields_of(node).items()
        if not name.startswith("_")
        and name not in listed(node, "Attributes")
        and name not in words_of(node)
        and not described_beside(field)
        and not described_elsewhere(node, name)
    }
    assert missing == set()


def test_every_attribute_described_exists() -> None:
    by_name = {node.name: node for node in classes()}
    wrong = []
    for node in classes():
        bases = [by_name[base] for each in node.bases if (base := ast.unparse(each).split(".")[-1]) in by_name]
        own = names_of(node).union(*map(names_of, bases))
        wrong += [f"{node.name}.{name}" for name in listed(node, "Attributes") if name not in own]
    assert wrong == []
    assert sum(len(listed(node, "Attributes")) for node in classes()) > 300
