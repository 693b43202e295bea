"""Take videos and scenes apart into their objects, without labels.

Citations such as `provide.md 13` in docstrings are sections of the notes on the papers, docs/notes in the repository.

>>> import scenewise as sw
>>> model = sw.load("provide-balls-colour")  # doctest: +SKIP
>>> result = model.decompose(sw.read_video("clip.mp4"))  # doctest: +SKIP
>>> result.save("out")  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "load": "scenewise.decompose",
    "read_video": "scenewise.media",
    "InputError": "scenewise.errors",
    "Observation": "scenewise.observation",
    "Decomposition": "scenewise.decomposition",
}

__all__ = ["Decomposition", "InputError", "Observation", "__version__", "load", "read_video"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that importing scenewise stays fast."""
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'scenewise' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
