"""On which frame a page opens."""

from __future__ import annotations


def first_frame(length: int | None) -> int:
    """Return which frame a page opens on: slots have settled there, and nothing far must be gone through.

    Examples:
        >>> [first_frame(length) for length in (None, 1, 9, 20_000)]
        [0, 0, 4, 12]
    """
    return min((length or 1) // 2, 12)
