"""Which process this is, known before any of them talks to another."""

from __future__ import annotations

from typing import Any


def is_first() -> bool:
    """Return whether this process is the one that writes and reports; always, where there is only one."""
    from lightning.pytorch.utilities import rank_zero

    known: Any = rank_zero.rank_zero_only
    return int(known.rank) == 0
