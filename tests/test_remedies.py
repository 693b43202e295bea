"""What messages tell a user to do can be done: commands parse, options and settings are there, extras are declared."""

from __future__ import annotations

import ast
import dataclasses
import functools
import re
import shlex
import tomllib
from collections import deque
from pathlib import Path

import pytest

from scenewise.batch import remote
from scenewise.cli import VERBS, command_parser, main
from scenewise.data import SOURCES
from scenewise.errors import InputError
from scenewise.models.contract import MODELS
from scenewise.training.recipe import Recipe

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "scenewise"
HOLE = "{}"  # what a message fills in


def text_of(node):
    """The text of a literal, with a hole for each value that is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else HOLE for part in node.values)
    return None


def is_error(node):
    """Whether a node makes an `InputError`, or a name that says it holds a part of one."""
    if isinstance(node, ast.Call):
        return getattr(node.func, "id", "") == "InputError"
    if not isinstance(node, (ast.Assign, ast.Delete)):
        return False
    names = [target.id for target in node.targets if isinstance(target, ast.Name)]
    return any(re.search("remedy|problem|problems|elsewhere|advice", name.lower()) for name in names)


def literals(tree, of_errors=False):
    """Line and text of every literal that is no docstring; of those in errors alone where that is asked."""
    for root in filter(is_error, ast.walk(tree)) if of_errors else [tree]:
        left = deque([root])
        while left:
            node = left.popleft()
            if text := text_of(node):
                yield node.lineno, text
            parts = (
                node.values if isinstance(node, ast.JoinedStr) else [node.value] if isinstance(node, ast.Expr) else ()
            )
            for child in ast.iter_child_nodes(node):  # of parts of a text, and of docstrings, what they are made of
                left.extend(ast.iter_child_nodes(child) if child in parts else [child])


@functools.cache
def tree_of(text):
    return ast.parse(text)


@functools.cache
def messages(of_errors=False):
    """Place and text of every literal of the library that may speak of the program; of every error's where asked."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if of_errors or re.search(r"scenewise[ \[\"']", text):
            for line, literal in literals(tree_of(text), of_errors):
                found[f"{path.relative_to(SOURCE)}:{line}", literal] = None
    return list(found)


COMMAND = re.compile(
    r"`(scenewise [^`]+)`|(?:^|: |: \n|\n  |\A|error: )(scenewise (?:" + "|".join(VERBS) + r")\b[^\n`;]*)"
)


def commands():
    """Every command of this program in a literal: in backquotes, behind a colon, on a line of its own, or alone."""
    for place, text in messages():
        for match in COMMAND.finditer(text):
            quoted, bare = match.groups()
            command = quoted or re.split(r"  +|\. |\.$| \(|\) |, then|, or| > ", bare)[0]
            yield pytest.param(command, bool(quoted), id=f"{place} {command[:60]}")


def parsed(words):
    return command_parser(words).parse_args(words)


@pytest.mark.parametrize(("command", "quoted"), commands())
def test_every_command_in_a_message_parses(command, quoted, capsys):
    words = [word.replace(HOLE, "1") for word in shlex.split(command)[1:]]
    if words[-1] == "--help" or (quoted and len(words) <= 2 and not any(word.startswith("-") for word in words)):
        words = [*words[:2], "--help"] if words[-1] != "--help" else words  # a verb that is spoken of
        with pytest.raises(SystemExit) as end:
            parsed(words)
        assert end.value.code == 0, capsys.readouterr().err
        return
    try:
        parsed(words)
    except SystemExit:
        pytest.fail(f"{command}: {capsys.readouterr().err}")


def parsers(parser):
    yield parser
    for action in parser._actions:
        for inner in (action.choices or {}).values() if isinstance(action.choices, dict) else ():
            yield from parsers(inner)


@functools.cache
def options_of(verb):
    """Every option of a verb."""
    return {option for parser in parsers(command_parser([verb])) for option in parser._option_string_actions}


@pytest.fixture(scope="module")
def options():
    """Every option of every verb."""
    return {"--help"}.union(*map(options_of, VERBS))


def test_every_option_in_an_error_is_one(options):
    unknown = {}
    for place, text in messages(of_errors=True):
        if any(other in text for other in ("pip install", "ffmpeg", "torchrun")):  # options of other programs
            continue
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", text):
            if option not in options:
                unknown[place] = option
    assert not unknown


def test_every_option_in_an_error_of_a_verb_is_one_of_that_verb():
    unknown = {}
    for place, text in messages(of_errors=True):
        verb = re.match(r"cli/([a-z]+)(?:_[a-z]+)?\.py", place)
        if verb is None or verb[1] not in VERBS:
            continue
        others = re.sub(r"scenewise [^\n`]*", "", text)  # commands are parsed by a test of their own
        unknown |= dict.fromkeys(set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", others)) - options_of(verb[1]), place)
    assert not unknown


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("train provide-tiny size=64 --out RUN", "size in full is data.settings.size or model.settings.size"),
        ("train provide-tiny steps=3 --out RUN", "steps in full is training.steps"),
        ("train rnem-balls training.curriculum=[] --out RUN", "lengths from 1. Correct these settings."),
        ("data make balls --videos 1 --out here --format npy", "found something else. Choose another folder."),
        ("decompose s3://bucket/clip.mp4 --out OUT", "run: scenewise batch ADDRESS --out out"),
        ("batch abc://bucket/clip.mp4 --out OUT", "Protocol not known: abc. Check the address."),
        ("batch no*.mp4 --out OUT", "matches no video. Check the pattern."),
        ("data make balls-binary --videos 1 --out here --format h5", "or add --overwrite"),
        ("traverse rnem-balls clip.mp4 --out OUT --model x", "unrecognized arguments: --model x. Known: --"),
    ],
)
def test_what_a_message_tells_to_do_helps(words, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").write_bytes(b"x")
    assert main(words.split()) == 2
    assert says in capsys.readouterr().err


def test_a_store_whose_package_is_not_there_is_told_its_name(monkeypatch):
    def refuse(*_, **__):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", refuse)
    with pytest.raises(InputError, match=r"Install s3fs to access S3\. pip install s3fs$"):
        remote.find("s3://bucket/clips", (".mp4",))


def test_every_extra_in_a_message_is_declared():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = {extra for _, text in messages() for extra in re.findall(r"scenewise\[([a-z0-9]+)\]", text)}
    assert named
    assert named <= set(declared)


def fields(kind):
    """Names of all settings of a dataclass, those of nested ones included."""
    for field in dataclasses.fields(kind):
        yield field.name
        inner = field.default_factory if field.default_factory is not dataclasses.MISSING else type(field.default)
        if dataclasses.is_dataclass(inner):
            yield from fields(inner)


def test_every_setting_that_an_error_tells_to_set_is_one():
    kinds = [MODELS.get(name).config_class for name in MODELS.names()] + [Recipe]
    kinds += [getattr(SOURCES.get(name).source_class, "config_class", None) for name in SOURCES.names()]
    known = {name for kind in kinds if kind is not None for name in fields(kind)}
    unknown = {}
    for place, text in messages(of_errors=True):
        for name in re.findall(r"\b[Ss]et ([a-z]+(?:[._][a-z_]+)*)(?:=| to\b)", text):
            if name.rpartition(".")[2] not in known:
                unknown[place] = name
    assert not unknown
