"""Take videos and scenes apart into their objects, without labels.

Citations such as `provide.md 13` in docstrings are sections of the notes on the papers, docs/notes in the repository.

>>> import scenewise as sw
>>> model = sw.load("provide-balls-colour")  # doctest: +SKIP
>>> result = model.decompose(sw.read_video("clip.mp4"))  # doctest: +SKIP
>>> result.save("out")  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from scenewise.version import __version__

if TYPE_CHECKING:
    from scenewise.data.footage.picture import background
    from scenewise.decompose.decomposer import load
    from scenewise.decompose.result import Result
    from scenewise.decomposition import Decomposition
    from scenewise.errors import InputError
    from scenewise.media.reading import read_video
    from scenewise.observation import Observation

__all__ = [
    "Decomposition", "InputError", "Observation", "Result", "__version__", "background", "load", "read_video",
]  # fmt: skip

_MODULES = {
    "Decomposition": "scenewise.decomposition",
    "InputError": "scenewise.errors",
    "Observation": "scenewise.observation",
    "Result": "scenewise.decompose.result",
    "background": "scenewise.data.footage.picture",
    "load": "scenewise.decompose.decomposer",
    "read_video": "scenewise.media.reading",
}

if not TYPE_CHECKING:  # a type checker that sees it takes every misspelt name for Any

    def __getattr__(name: str) -> object:
        """Import a public name when it is first used, so that importing scenewise stays fast."""
        if name in _MODULES:
            return getattr(importlib.import_module(_MODULES[name]), name)
        raise AttributeError(f"module 'scenewise' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
