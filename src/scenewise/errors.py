"""Errors that a user can mend: each names the thing, what is wrong with it, and the remedy."""

from __future__ import annotations

import shlex
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class InputError(ValueError):
    """Something the user gave cannot be used; the command line prints it without a traceback and exits with code 2.

    Args:
        subject: What was given: a file, a field, an option.
        problem: What was expected and what was found.
        remedy: What to do about it.
    """

    def __init__(self, subject: object, problem: str, remedy: str = "") -> None:
        self.subject = str(subject)
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{self.subject}: {problem}" + (f" {remedy}" if remedy else ""))

    def line(self) -> str:
        r"""Return the message as one line of a terminal: what came from files and names is text, and cut where long.

        Examples:
            >>> InputError("a\x1b[2Jb.mp4", "found " + "x" * 1000 + ".", "Copy it again.").line()[:40]
            'a\\x1b[2Jb.mp4: found xxxxxxxxxxxxxxxxxxx'
        """
        text = f"{printable(self.subject, 200)}: {printable(self.problem, 480)}"
        return f"{text} {printable(self.remedy, 240)}" if self.remedy else text

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, str]]:
        """Let worker processes hand the error back whole."""
        return (type(self), (self.subject, self.problem, self.remedy))


def printable(text: object, most: int | None = None) -> str:
    r"""Return text as one line that a terminal shows as it is; names of files may hold any byte.

    Control characters (escape sequences begin with one), marks that turn the direction of writing, and bytes that are
    no UTF-8 are written as `\xNN` or `\uNNNN`, line ends as spaces.

    Args:
        text: A name or message.
        most: Longest result, characters; what is too long loses its middle.

    Examples:
        >>> printable("clip\x1b[31m.mp4"), printable("caf\udce9.mp4"), printable("two\nlines")
        ('clip\\x1b[31m.mp4', 'caf\\xe9.mp4', 'two lines')
        >>> printable("x" * 30, 20)
        'xxxxxxxxx ... xxxxxx'
    """
    full = str(text)
    if most is not None and len(full) > 4 * most:  # before every character is looked at
        full = f"{full[: 2 * most]}{full[-2 * most :]}"
    line = "".join(letter if letter.isprintable() else _escaped(letter) for letter in full)
    if most is None or len(line) <= most:
        return line
    tail = (most - 5) * 2 // 5
    return f"{line[: most - 5 - tail]} ... {line[-tail:]}"


def _escaped(letter: str) -> str:
    if letter in "\n\r\t\v\f":
        return " "
    if letter == "\xa0":
        return letter
    number = ord(letter)
    if 0xDC80 <= number <= 0xDCFF:  # a byte of a name that is no UTF-8, as Python keeps it
        number -= 0xDC00
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


class RenamedSettingWarning(FutureWarning):
    """A setting was given by a name that it no longer has; it still counts, and the warning tells the new name."""


def describe(error: BaseException) -> str:
    """Return one line that says what a library complained about.

    Examples:
        >>> describe(OSError(28, "No space left on device"))
        'No space left on device'
        >>> describe(KeyError())  # an error without a text is called by its name
        'KeyError'
    """
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:200].rstrip(".")


_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out; torch says so in several ways."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in _OUT_OF_MEMORY)


def nearest(word: str, choices: Iterable[str]) -> str:
    """Return a sentence that names the nearest known spelling, or all known words where none is near."""
    words = sorted(choices)
    close = get_close_matches(word, words, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(words) or 'none'}."


def shell_word(path: str | Path) -> str:
    r"""Return a file as a word of a shell's command line that no program takes for an option.

    A name with bytes that a terminal would act upon, or that are not UTF-8, is written as bash and zsh read it, $'...'.

    Examples:
        >>> shell_word("clip.mp4"), shell_word("my clip.mp4"), shell_word("-dash.mp4")
        ('clip.mp4', "'my clip.mp4'", './-dash.mp4')
        >>> print(shell_word("caf\udce9.mp4"))
        $'caf\xe9.mp4'
    """
    text = str(path)
    if text.startswith("-"):
        text = f"./{text}"
    if text.isprintable():
        return shlex.quote(text)
    return "$'" + "".join(_in_dollar_quotes(letter) for letter in text) + "'"


def _in_dollar_quotes(letter: str) -> str:
    if letter in "'\\":
        return f"\\{letter}"
    if letter.isprintable():
        return letter
    return "".join(f"\\x{byte:02x}" for byte in letter.encode("utf-8", "surrogateescape"))
