"""Errors that a user can mend: each names the thing, what is wrong with it, and the remedy."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


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

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, str]]:
        """Let worker processes hand the error back whole."""
        return (type(self), (self.subject, self.problem, self.remedy))


class RenamedSettingWarning(FutureWarning):
    """A setting was given by a name that it no longer has; it still counts, and the warning tells the new name."""


_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out; torch says so in several ways."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in _OUT_OF_MEMORY)


def nearest(word: str, choices: Iterable[str]) -> str:
    """Return a sentence that names the nearest known spelling, or all known words where none is near."""
    words = sorted(choices)
    close = get_close_matches(word, words, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(words) or 'none'}."
