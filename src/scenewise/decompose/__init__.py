"""A model over a video of any length: frame by frame in constant memory, and files of what was found."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scenewise.decompose.clip import Clip, open_clip
    from scenewise.decompose.decomposer import Decomposer, load
    from scenewise.decompose.export.base import FORMATS, ExportContext, Exporter
    from scenewise.decompose.result import Request, Result
    from scenewise.decompose.streaming import stream
    from scenewise.decomposition import FrameResult
    from scenewise.summary import Summary

_PUBLIC = {
    "Clip": "scenewise.decompose.clip",
    "Decomposer": "scenewise.decompose.decomposer",
    "ExportContext": "scenewise.decompose.export.base",
    "Exporter": "scenewise.decompose.export.base",
    "FORMATS": "scenewise.decompose.export.base",
    "FrameResult": "scenewise.decomposition",
    "Request": "scenewise.decompose.result",
    "Result": "scenewise.decompose.result",
    "Summary": "scenewise.summary",
    "load": "scenewise.decompose.decomposer",
    "open_clip": "scenewise.decompose.clip",
    "stream": "scenewise.decompose.streaming",
}

__all__ = [
    "FORMATS",
    "Clip",
    "Decomposer",
    "ExportContext",
    "Exporter",
    "FrameResult",
    "Request",
    "Result",
    "Summary",
    "load",
    "open_clip",
    "stream",
]

if not TYPE_CHECKING:  # a type checker that sees it takes every misspelt name for Any

    def __getattr__(name: str) -> object:
        """Import a public name when it is first used."""
        if name in _PUBLIC:
            return getattr(importlib.import_module(_PUBLIC[name]), name)
        raise AttributeError(f"module 'scenewise.decompose' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
