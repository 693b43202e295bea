"""Every command that help texts, README, docs, cards and recipes print can be typed: real parsers, real names.

Commands run in a temporary folder, with numbers made small, where a page marks a block by `<!-- run -->` before it and
where they begin as one of `RUN`.
"""

import argparse
import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from scenewise.bench.named import CASES
from scenewise.checkpoint import shipped
from scenewise.cli import VERBS, command_parser, main
from scenewise.cli.options import numbered
from scenewise.data import SOURCES
from scenewise.errors import InputError
from scenewise.evaluation.protocols import PROTOCOLS
from scenewise.experiments import experiment as experiments
from scenewise.media import VideoWriter
from scenewise.models.contract import MODELS
from scenewise.training import recipes

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "scenewise"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(set((ROOT / "docs").rglob("*.md")) - {ROOT / "docs" / "extend.md"}),  # needs its plug-in: test_plugins.py
    *sorted(PACKAGE.glob("weights/*/README.md")),
]

RUN = ("models", "recipes", "settings", "data list", "data show balls-", "data make balls-binary --videos")
"""How commands begin that run wherever they are printed."""

SMALL = {"--samples": "2", "--videos": "2", "--count": "2", "--frames": "4", "--steps": "2", "--workers": "1"}
SHORT = ["training.steps=2", "training.batch=2", "training.validation_videos=2", "training.device=cpu"]
FILES = (".mp4", ".mov", ".mkv", ".npy", ".npz", ".h5", ".yaml")
OPTION = re.compile(r"(?<!\S)--[a-z][a-z-]*")
PLACEHOLDER = re.compile(r"[A-Z]+(\.\.\.)?(#\d+)?|\.\.\.")


@dataclass(frozen=True)
class Printed:
    """A command as it is printed, and where."""

    where: str
    text: str
    run: bool = False

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text)[1:]

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


def commands(text: str) -> Iterator[str]:
    """The commands of some lines: those that begin with `scenewise`, continued after a backslash.

    What follows `#` or three spaces, or stands in brackets at the end, says what the command does; what follows `>`
    or `|` is the shell's.
    """
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if line.strip().startswith("scenewise "):
            yield re.split(r"\s+#|\s{3,}|\s[>|]\s", line.strip())[0]


def fences(page: Path) -> Iterator[tuple[str, bool]]:
    """The fenced blocks of a page, and whether each is marked to be run."""
    pattern = re.compile(r"(<!-- run -->\s*)?^```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)
    for block in pattern.finditer(page.read_text(encoding="utf-8")):
        yield block[2], block[1] is not None


def subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers of a parser's verbs or actions, by name."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return {name: one for group in groups for name, one in group.choices.items()}


def parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """All parsers, those of verbs and of their actions, with what a user types before `--help`."""
    yield "", command_parser([])
    for verb in VERBS:
        parser = subparsers(command_parser([verb]))[verb]
        yield verb, parser
        for action, inner in subparsers(parser).items():
            yield f"{verb} {action}", inner


def found() -> list[Printed]:
    """All commands that are printed as a whole."""
    helps = [
        Printed(f"scenewise {name} --help", one)
        for name, parser in parsers()
        for one in commands(f"{parser.description}\n{parser.epilog}")
    ]
    pages = [
        Printed(str(page.relative_to(ROOT)), one, marked)
        for page in PAGES
        for block, marked in fences(page)
        for one in commands(block)
    ]
    files = [
        Printed(path.name, one)
        for folder in ("recipes", "experiments/definitions")
        for path in sorted((PACKAGE / folder).glob("*.yaml"))
        for one in commands(re.sub(r"^#", " ", path.read_text(encoding="utf-8"), flags=re.MULTILINE))
    ]
    return [*helps, *pages, *files]


PRINTED = found()


def parsed(words: list[str]) -> argparse.Namespace:
    """The arguments as the verb gets them; fails with what argparse says."""
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            return command_parser(words).parse_args(words)
    except SystemExit:
        pytest.fail(f"scenewise {shlex.join(words)}: {told.getvalue().splitlines()[-1]}")


def is_free(name: str) -> bool:
    """Whether a word is a user's: a placeholder, a file or a folder."""
    return bool(PLACEHOLDER.fullmatch(name)) or "/" in name or name.endswith(FILES)


def unknown(args: argparse.Namespace) -> list[str]:
    """The names in a command that nothing is registered under."""
    known = {
        "model": shipped(),
        "models": [*shipped(), *MODELS.names(), "data"],
        "case": list(CASES),
        "data": SOURCES.names(),
        "source": SOURCES.names(),
        "sources": SOURCES.names(),
        "protocol": PROTOCOLS.names(),
        "recipe": recipes.names(),
        "topic": [*MODELS.names(), *SOURCES.names(), *recipes.names(), "training"],
        "name": [*experiments.names(), "all"],
    }
    given = vars(args)
    named = [(one, names) for key, names in known.items() for one in _listed(given.get(key)) if "=" not in one]
    scenes = [*_listed(given.get("inputs")), *_listed(given.get("scene"))]
    named += [(source[0], SOURCES.names()) for one in scenes if (source := numbered(one)) is not None]
    return [one for one, names in named if not is_free(one) and one not in names]


def _listed(value: object) -> list[str]:
    return [] if value is None else [str(one) for one in value] if isinstance(value, list) else [str(value)]


def settings(args: argparse.Namespace) -> None:
    """Lay the command's settings over the recipe, size or source they are meant for; raises InputError."""
    given = vars(args)
    words = [one for one in [*_listed(given.get("overrides")), *_listed(given.get("data"))] if "=" in one]
    recipe = given.get("recipe")
    if recipe in recipes.names():
        recipes.load(recipe, words)
    if args.verb == "experiment" and given.get("name") in experiments.names():
        chosen = experiments.load(given["name"], given["size"])
        experiments.choose(chosen.cells, given.get("only"))
    source, laid = given.get("source"), _listed(given.get("settings"))
    fields = SOURCES.get(source).source_class.config_class if source in SOURCES.names() else None
    wrong = [one for one in laid if fields and one.partition("=")[0] not in fields.__dataclass_fields__]
    if wrong:
        raise InputError("--set", f"{wrong} are no settings of {source}.")


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("scenewise train a   # why", "scenewise train a"),
        ("  scenewise train a               why", "scenewise train a"),
        ("scenewise decompose balls#3 --out o    (one)", "scenewise decompose balls#3 --out o"),
        ("scenewise data make a \\\n  --set b=1 # c", "scenewise data make a --set b=1"),
    ],
)
def test_commands_are_read_without_what_is_said_of_them(line: str, command: str) -> None:
    assert list(commands(line)) == [command]


def test_wrong_commands_would_be_noticed() -> None:
    assert unknown(parsed(["train", "no-such-recipe"])) == ["no-such-recipe"]
    assert unknown(parsed(["decompose", "no-such-source#3", "--out", "o", "--model", "none"])) == [
        "none",
        "no-such-source",
    ]
    assert unknown(parsed(["evaluate", "MODEL", "--data", "data/made", "--protocol", "savi"])) == []
    with pytest.raises(InputError):
        settings(parsed(["train", "provide-tiny", "training.stps=3"]))
    with pytest.raises(pytest.fail.Exception, match="unrecognized"):
        parsed(["models", "--nonsense"])


@pytest.mark.parametrize("verb", [*VERBS, ""])
def test_help_has_an_example(verb: str) -> None:
    assert any(printed.where == f"scenewise {verb} --help" for printed in PRINTED)


@pytest.mark.parametrize("printed", PRINTED, ids=str)
def test_printed_commands_can_be_typed(printed: Printed) -> None:
    args = parsed(printed.words)
    assert unknown(args) == []
    settings(args)


def test_commands_within_sentences_name_verbs_and_options() -> None:
    """`scenewise data make` in a sentence is no whole command; its verb, action and options exist all the same."""
    known = {name: set(parser._option_string_actions) for name, parser in parsers()}
    wrong = []
    for page in PAGES:
        for span in re.findall(r"`(scenewise [^`]+)`", page.read_text(encoding="utf-8")):
            words = shlex.split(span)[1:]
            name = next((one for one in (" ".join(words[:2]), words[0]) if one in known), None)
            if name is None or not set(OPTION.findall(span)) <= known[name]:
                wrong.append(f"{page.name}: {span}")
    assert wrong == []


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a short clip.mp4, in which commands run."""
    with VideoWriter(tmp_path / "clip.mp4", (64, 64), 10) as writer:
        for t in range(40):
            frame = np.zeros((64, 64, 3), np.uint8)
            frame[8:24, t : t + 16] = (255, 0, 0)
            writer.write(frame)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def small(words: list[str]) -> list[str]:
    """The command with numbers that take seconds."""
    shrunk: list[str] = []
    for word in words:
        before = shrunk[-1] if shrunk else ""
        if before == "--minutes":
            shrunk.pop()
        elif word.isdigit() and before in SMALL:
            shrunk.append(SMALL[before])
        else:
            shrunk.append(word)
    return [*shrunk, *SHORT] if words[0] == "train" else shrunk


def runs() -> list[list[Printed]]:
    """What runs: each marked page's commands one after the other, and single commands by `RUN`."""
    marked = [[one for one in PRINTED if one.run and one.where == str(page.relative_to(ROOT))] for page in PAGES]
    alone = {one.text: one for one in PRINTED if not one.run and " ".join(one.words).startswith(RUN)}
    return [*filter(None, marked), *([one] for one in alone.values())]


@pytest.mark.parametrize("together", runs(), ids=lambda together: str(together[0]))
def test_commands_marked_as_runnable_run(together: list[Printed], workplace: Path) -> None:
    for printed in together:
        assert main(small(printed.words)) == 0, printed


def test_something_is_run() -> None:
    assert len(runs()) > len(RUN)
