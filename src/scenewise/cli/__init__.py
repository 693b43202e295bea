"""The command `scenewise`: one file per verb; libraries are imported by the verb that needs them."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import re
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import scenewise
from scenewise.cli import output
from scenewise.errors import InputError, RenamedSettingWarning, is_out_of_memory, nearest, printable
from scenewise.media.interruption import ending_cleanly, exit_code, leave

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import NoReturn

VERBS = {
    "demo": "make a video of bouncing balls, take it apart, and score the result",
    "decompose": "take videos apart into their objects",
    "batch": "take thousands of videos apart: skips what is done, and goes on after any end",
    "serve": "take videos apart for programs elsewhere, over HTTP",
    "background": "make the picture of an empty scene from a video of it",
    "predict": "look at the start of a video and predict how it goes on",
    "sample": "make up new scenes with a model that has a prior over them",
    "view": "look at a model at work and play with it, on a page in the browser",
    "traverse": "change one number of a slot's latent after the other and see what it does",
    "refine": "see what a model draws after each of its refinements, and what drives them",
    "render": "observe a few views of a scene and draw it from any viewpoint",
    "train": "train a model by a recipe, or on your own footage",
    "evaluate": "score a model on data with ground truth",
    "experiment": "run a paper's table: train, evaluate, and show it beside the printed numbers",
    "models": "list models, their presets, and the weights that ship",
    "recipes": "list what can be trained by name",
    "settings": "list every setting of a model, a data source or a recipe, with its meaning and range",
    "data": "list, make and look at data",
    "bench": "measure speed, memory and work of models, beside the least their convolutions take",
    "completion": "print what lets a shell complete verbs, options and names",
    "doctor": "check the installation and say what is wrong",
}

_DESCRIPTION = """Take videos apart into their objects, without labels.

  scenewise demo                        see it work: two minutes, no data needed
  scenewise decompose clip.mp4 --out out
  scenewise train footage --data clip.mp4 --out runs/clip
"""
_EPILOG = "Each verb explains itself: scenewise decompose --help"
_LIBRARY = Path(__file__).parents[1]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Words after `scenewise`; where None those of the process, which may then end here, see `leave`.

    Returns:
        The exit code: 0 all well, 2 something given cannot be used, 130 ended by Ctrl-C, 143 by SIGTERM or SIGHUP.
    """
    return leave(_code_of(sys.argv[1:])) if argv is None else _code_of(argv)


def _code_of(words: Sequence[str]) -> int:
    """Run a verb, tell its errors, and return its exit code; see `main`."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: see the README on shared cores
    words = list(words)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # who started the process has closed it
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):  # what the terminal's encoding lacks is printed as its code
            stream.reconfigure(errors="backslashreplace")
    try:
        _check_folder()
        with warnings.catch_warnings(), ending_cleanly():
            warnings.showwarning = _with_notes(warnings.showwarning)
            args = command_parser(words).parse_args(words)
            with output.speaking(args), _refusals():
                _check_words(words)
                return int(args.run(args))
    except SystemExit as end:  # argparse has printed help or an error
        return end.code if isinstance(end.code, int) else 2
    except InputError as error:
        print(f"error: {error.line()}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        print("interrupted", file=sys.stderr)
        return exit_code(str(interrupt)) or 130
    except BrokenPipeError:  # the reader of our output, such as head, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _check_words(words: Sequence[str]) -> None:
    """Raise InputError for a word that is empty, as of a variable that is not set: it would stand for this folder."""
    for word in words:
        option, equals, value = word.partition("=") if word.startswith("--") else ("a word", "=", word)
        if (equals and not value) or "\0" in word:
            raise InputError(option, "is empty, or holds a NUL.", "Give a name, or leave it out.")


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn what the operating system refuses, which is no fault of the program wherever it happens, into InputError."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        named = error.filename if isinstance(error.filename, (str, os.PathLike)) else "file"
        problem = f"cannot be used: {error.strerror or error}."
        raise InputError(named, problem, "Check the path, its permissions and space.") from error
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise InputError("memory", "ran out.", "Use fewer slots, a smaller size, or close other programs.") from error


def _check_folder() -> None:
    """Raise InputError where the current folder has been removed, which every relative path needs."""
    try:
        os.getcwd()
    except OSError as error:
        raise InputError("the current folder", "is no longer there.", "Change to another, as in: cd ~") from error


class Parser(argparse.ArgumentParser):
    """Parses words; what it does not know is answered with the nearest spelling and the usage of the verb.

    Attributes:
        settings_anywhere: Whether words `key=value` may stand behind options too, where argparse refuses them; they
            join the verb's `overrides`.
    """

    settings_anywhere: bool = False

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Parse words; exits with 2 where one is unknown."""
        parsed, rest = self.parse_known_args(args, namespace)
        if not rest:
            return parsed
        parser: argparse.ArgumentParser = self
        words = list(sys.argv[1:] if args is None else args)
        while (verbs := _subparsers(parser)) and (name := next((w for w in words if w in verbs), None)):
            parser, words = verbs[name], words[words.index(name) + 1 :]
        options = [word.partition("=")[0] for word in rest if word.startswith("--")]
        known = [option for option in parser._option_string_actions if option not in ("-h", "--help")]
        hint = f" {nearest(options[0], known)}" if options else ""
        parser.error(f"unrecognized arguments: {' '.join(rest)}.{hint}")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Parse the words that are known; all of them tell `error` whether it is to be told as JSON."""
        self.words = list(sys.argv[1:] if args is None else args)
        namespace, rest = super().parse_known_args(args, namespace)
        settings = [word for word in rest if self.settings_anywhere and "=" in word]
        if settings:
            namespace.overrides = [*namespace.overrides, *settings]
        return namespace, [word for word in rest if word not in settings]

    def error(self, message: str) -> NoReturn:
        """Print the usage and a message, as JSON too where that is wanted, and exit with 2."""
        name = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        if name is not None:
            choices = [word.strip(" '") for word in name.group(2).split(",")]
            message = f"{name.group(1)!r} is unknown. {nearest(name.group(1), choices)}"
        if output.prints_json(self, self.words):
            output.print_error(InputError(self.prog, message, f"Run: {self.prog} --help"), sys.stdout)
        super().error(printable(message, 480))


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of a parser's verbs by name."""
    actions = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(actions[0].choices) if actions else {}


def _with_notes(show: Callable[..., None]) -> Callable[..., None]:
    """Return what shows warnings: those of this library as lines, each of them once; others as they are."""
    notes: set[str] = set()

    def showwarning(message: Warning | str, category: type[Warning], place: str, *where: Any, **more: Any) -> None:
        """Show a warning, where it is one of this library as a line, and once."""
        renamed = issubclass(category, RenamedSettingWarning)
        if not renamed and not Path(place).is_relative_to(_LIBRARY):
            show(message, category, place, *where, **more)
        elif str(message) not in notes and not (renamed and output.VOICE.quiet):
            notes.add(str(message))
            print(f"{'note' if renamed else 'warning'}: {printable(message, 480)}", file=sys.stderr)

    return showwarning


def command_parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser; only the verb that was asked for is imported and fills its part."""
    parser = Parser(
        prog="scenewise",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"scenewise {scenewise.__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    first_word = next((word for word in words if not word.startswith("-")), None)
    for name, help_text in VERBS.items():
        verb = verbs.add_parser(
            name,
            help=help_text,
            description=help_text[0].upper() + help_text[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name == first_word:
            fill(verb, name)
    return parser


def fill(parser: argparse.ArgumentParser, verb: str) -> None:
    """Declare the options of a verb, which is imported for it."""
    module = importlib.import_module(f"scenewise.cli.{verb}")
    module.add_arguments(parser)
    parser.epilog = parser.epilog or getattr(module, "EXAMPLE", None)
    output.add_arguments(parser)
    parser.set_defaults(run=module.run)
