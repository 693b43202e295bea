"""A model over a video of any length: frame by frame in constant memory, and files of what was found."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scenewise.decompose.clip import Clip, open_clip
    from scenewise.decompose.contract import FORMATS, ExportContext, Exporter, Summary
    from scenewise.decompose.decomposer import Decomposer, load
    from scenewise.decompose.frame_result import FrameResult
    from scenewise.decompose.result import Result

_PUBLIC = {
    "Clip": "clip",
    "Decomposer": "decomposer",
    "ExportContext": "contract",
    "Exporter": "contract",
    "FORMATS": "contract",
    "FrameResult": "frame_result",
    "Result": "result",
    "Summary": "contract",
    "load": "decomposer",
    "open_clip": "clip",
}

__all__ = [
    "FORMATS",
    "Clip",
    "Decomposer",
    "ExportContext",
    "Exporter",
    "FrameResult",
    "Result",
    "Summary",
    "load",
    "open_clip",
]

if not TYPE_CHECKING:  # a type checker that sees it takes every misspelt name for Any

    def __getattr__(name: str) -> object:
        """Import a public name when it is first used."""
        if name in _PUBLIC:
            return getattr(importlib.import_module(f"scenewise.decompose.{_PUBLIC[name]}"), name)
        raise AttributeError(f"module 'scenewise.decompose' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
