"""scenewise completion: what lets a shell complete verbs, options and names, made from the parsers themselves."""

from __future__ import annotations

import argparse
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

EXAMPLE = """examples:
  scenewise completion bash > ~/.local/share/bash-completion/completions/scenewise
  scenewise completion zsh > ~/.zfunc/_scenewise           (with fpath+=~/.zfunc before compinit in ~/.zshrc)
  scenewise completion fish > ~/.config/fish/completions/scenewise.fish"""


@dataclass(frozen=True)
class Option:
    """One option of a command.

    Attributes:
        names: Such as "-q" and "--quiet".
        meaning: Its help in one line.
        takes: Whether a value follows.
        choices: The values, where there is a list of them.
    """

    names: tuple[str, ...]
    meaning: str
    takes: bool
    choices: tuple[str, ...]


@dataclass(frozen=True)
class Command:
    """A verb, or one below a verb.

    Attributes:
        words: Such as ("data", "list").
        meaning: Its help in one line.
        options: Its options.
        names: What its first word that is no option may be, beside files.
    """

    words: tuple[str, ...]
    meaning: str
    options: tuple[Option, ...]
    names: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("shell", choices=tuple(SHELLS))


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    script = SHELLS[args.shell](commands())
    print(script)
    args.answer = {"shell": args.shell, "script": script}
    return 0


def commands() -> list[Command]:
    """Return every verb with its options."""
    from scenewise.cli import VERBS, Parser, fill

    verbs: list[Command] = []
    for name, meaning in VERBS.items():
        parser = Parser(prog=f"scenewise {name}")
        fill(parser, name)
        verbs += _below(parser, (name,), meaning)
    return verbs


def _below(parser: argparse.ArgumentParser, words: tuple[str, ...], meaning: str) -> Iterator[Command]:
    inner = next((action for action in parser._actions if isinstance(action, argparse._SubParsersAction)), None)
    actions = [action for action in parser._actions if action.option_strings]
    options = tuple(_option(parser, action) for action in actions)
    if inner is None:
        first = next((action for action in parser._actions if not action.option_strings), None)
        names = () if first is None else tuple(map(str, first.choices or ())) or _known(first.dest)
        yield Command(words, meaning, options, names)
        return
    yield Command(words, meaning, options, tuple(inner.choices))
    helps = {action.dest: action.help or "" for action in inner._choices_actions}
    for name, below in inner.choices.items():
        yield from _below(below, (*words, name), helps.get(name, ""))


def _option(parser: argparse.ArgumentParser, action: argparse.Action) -> Option:
    text = parser._get_formatter()._expand_help(action) if action.help else ""
    choices = tuple(map(str, action.choices or ())) or _known(action.dest)
    return Option(tuple(action.option_strings), " ".join(text.split()), action.nargs != 0, choices)


def _known(name: str) -> tuple[str, ...]:
    """Return the names that an option or a word of this name takes; none where it takes anything."""
    from scenewise.checkpoint import shipped
    from scenewise.data import SOURCES
    from scenewise.decompose import FORMATS
    from scenewise.evaluation.protocols import PROTOCOLS
    from scenewise.experiments import experiment
    from scenewise.models import MODELS
    from scenewise.training import recipes

    names: dict[str, Callable[[], Iterable[str]]] = {
        "model": shipped,
        "models": MODELS.names,
        "recipe": recipes.names,
        "topic": lambda: dict.fromkeys([*MODELS.names(), *SOURCES.names(), *recipes.names(), "training"]),
        "source": SOURCES.names,
        "sources": SOURCES.names,
        "formats": FORMATS.names,
        "protocol": PROTOCOLS.names,
        "name": experiment.names,
    }
    return tuple(names[name]()) if name in names else ()


# -- shells ---------------------------------------------------------------------------------------------------------


def bash(verbs: list[Command]) -> str:
    """Return the script for bash."""
    lines = []
    for command in verbs:
        values = [f"      {'|'.join(o.names)}) words={_quoted(o.choices)} ;;" for o in command.options if o.choices]
        files = [f"      {'|'.join(o.names)}) files=1 ;;" for o in command.options if o.takes and not o.choices]
        lines += [f"    {shlex.quote(' '.join(command.words))})", '      case "$prev" in', *values, *files]
        flags = _quoted(name for option in command.options for name in option.names)
        lines += [f"      *) options={flags}; words={_quoted(command.names)} ;;", "      esac ;;"]
    return _BASH.format(
        verbs=_quoted(c.words[0] for c in verbs if len(c.words) == 1),
        nested="|".join(sorted({c.words[0] for c in verbs if len(c.words) > 1})),
        cases="\n".join(lines),
    )


def zsh(verbs: list[Command]) -> str:
    """Return the script for zsh, which runs that for bash."""
    return "#compdef scenewise\nautoload -U +X bashcompinit && bashcompinit\n" + bash(verbs)


def fish(verbs: list[Command]) -> str:
    """Return the script for fish."""
    lines = ["complete -c scenewise -n __fish_use_subcommand -f"]
    for command in verbs:
        name = command.words[-1]
        if len(command.words) == 1:
            lines.append(f"complete -c scenewise -n __fish_use_subcommand -a {name} -d {_fished(command.meaning)}")
        seen = " ; and ".join(f"__fish_seen_subcommand_from {word}" for word in command.words)
        start = f"complete -c scenewise -n {_fished(seen)}"
        if command.names:
            lines.append(f"{start} -a {_fished(' '.join(command.names))}")
        for option in command.options:
            flags = " ".join(f"-l {n[2:]}" if n.startswith("--") else f"-s {n[1:]}" for n in option.names)
            values = f" -x -a {_fished(' '.join(option.choices))}" if option.choices else " -r" * option.takes
            lines.append(f"{start} {flags}{values} -d {_fished(option.meaning)}")
    return "\n".join(lines)


SHELLS: dict[str, Callable[[list[Command]], str]] = {"bash": bash, "zsh": zsh, "fish": fish}
"""What makes the script of each shell."""

_BASH = """_scenewise() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} verb=${{COMP_WORDS[1]}}
  local options= words= files= file
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W {verbs}" --help --version" -- "$cur")); return
  fi
  case "$verb" in {nested}) [ "$COMP_CWORD" -gt 2 ] && verb="$verb ${{COMP_WORDS[2]}}" ;; esac
  case "$verb" in
{cases}
  esac
  case "$cur" in
    -*) COMPREPLY=($(compgen -W "$options" -- "$cur")) ;;
    *) COMPREPLY=($(compgen -W "$words" -- "$cur"))
       if [ -n "$files" ] || [ -z "$words" ] || [ ${{#COMPREPLY[@]}} -eq 0 ]; then
         while IFS= read -r file; do COMPREPLY+=("$file"); done < <(compgen -f -- "$cur")
       fi ;;
  esac
}}
complete -o filenames -o bashdefault -F _scenewise scenewise"""


def _quoted(words: Iterable[str]) -> str:
    return shlex.quote(" ".join(words))


def _fished(text: str) -> str:
    short = re.split(r"[;:(]", text)[0].strip()[:70] if len(text) > 70 else text
    return "'" + short.replace("\\", "\\\\").replace("'", "\\'") + "'"
