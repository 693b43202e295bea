"""Graphs that were traced once, kept on disk, so that a model is ready at once the next time."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from scenewise.data.containers.cache import user_cache
from scenewise.errors import InputError
from scenewise.media.files import atomic_file, read_bytes
from scenewise.version import __version__

if TYPE_CHECKING:
    from scenewise.models.contract import SceneModel

MOST_FILES = 64
MOST_BYTES = 512 << 20
LARGEST = 1 << 31
"""Bytes of a graph; ONNX has no larger ones."""

_ROOMS = ("models", "nn", "variational", "runtimes")  # a graph is what code in these makes


class GraphStore:
    """A folder of graphs by key. Where it cannot be written, nothing is kept; a damaged file counts as none.

    Args:
        folder: Where; `scenewise/graphs` in the user's cache folder (XDG_CACHE_HOME) where None.
    """

    def __init__(self, folder: Path | None = None) -> None:
        cache = user_cache()
        self.folder = folder or (None if cache is None else cache / "graphs")

    def get(self, key: str) -> bytes | None:
        """Return a graph, None where there is none that is whole."""
        if self.folder is None:
            return None
        path = self.folder / f"{key}.graph"
        try:
            digest, content = read_bytes(path, LARGEST).split(b"\n", 1)
        except (OSError, ValueError):  # an InputError is one
            return None
        if hashlib.sha256(content).hexdigest().encode() != digest:
            return None
        with suppress(OSError):
            os.utime(path)  # those that are used stay
        return content

    def put(self, key: str, content: bytes) -> None:
        """Keep a graph, and remove those that were not used for longest beyond `MOST_FILES` and `MOST_BYTES`."""
        if self.folder is None:
            return
        with suppress(OSError, InputError):
            self.folder.mkdir(parents=True, exist_ok=True)
            with atomic_file(self.folder / f"{key}.graph") as file:
                file.write(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
            self._bound(self.folder)

    @staticmethod
    def _bound(folder: Path) -> None:
        files = sorted(folder.glob("*.graph"), key=lambda path: path.stat().st_mtime, reverse=True)
        total = 0
        for number, path in enumerate(files):
            total += path.stat().st_size
            if number and (number >= MOST_FILES or total > MOST_BYTES):
                path.unlink(missing_ok=True)


def key_of(model: SceneModel, *facts: object) -> str:
    """Return a short hash of a model's weights, settings and code, of PyTorch's version, and of other facts."""
    return hash_of(model, torch.__version__, facts)


def hash_of(model: SceneModel, *facts: object) -> str:
    """Return a short hash of a model's weights, settings and code, and of other facts."""
    whole = hashlib.sha256(_code().encode())
    whole.update(repr((type(model).__qualname__, __version__, *facts)).encode())
    whole.update(repr(model.config).encode())
    for name, tensor in sorted(model.state_dict().items()):
        whole.update(name.encode())
        if isinstance(tensor, torch.Tensor):  # else what a module keeps beside its weights
            whole.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        else:
            whole.update(repr(tensor).encode())
    return whole.hexdigest()[:32]


@lru_cache(maxsize=1)
def _code() -> str:
    """Return a hash of the code that graphs are made by."""
    root, whole = Path(__file__).parents[1], hashlib.sha256()
    for room in _ROOMS:
        for path in sorted((root / room).glob("*.py")):
            whole.update(path.read_bytes())
    return whole.hexdigest()
