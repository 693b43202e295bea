"""A model looked at from inside: refinement by refinement, latent by latent, and drawn anew."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scenewise.explore.exploration import Exploration, SceneExploration, VideoExploration
    from scenewise.explore.moment import Drawing, Moment
    from scenewise.explore.recording import RecordedDecode
    from scenewise.explore.traversal import Traversal, traverse

_PUBLIC = {
    "Drawing": "moment",
    "Exploration": "exploration",
    "Moment": "moment",
    "RecordedDecode": "recording",
    "SceneExploration": "exploration",
    "Traversal": "traversal",
    "VideoExploration": "exploration",
    "traverse": "traversal",
}

__all__ = [
    "Drawing",
    "Exploration",
    "Moment",
    "RecordedDecode",
    "SceneExploration",
    "Traversal",
    "VideoExploration",
    "traverse",
]

if not TYPE_CHECKING:  # a type checker that sees it takes every misspelt name for Any

    def __getattr__(name: str) -> object:
        """Import a public name when it is first used."""
        if name in _PUBLIC:
            return getattr(importlib.import_module(f"scenewise.explore.{_PUBLIC[name]}"), name)
        raise AttributeError(f"module 'scenewise.explore' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
