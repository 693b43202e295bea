"""Names to things: models, data sources, protocols and export formats register under the name a user types."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Generic, TypeVar

from scenewise.errors import InputError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Registry(Generic[T]):
    """A table of named things, filled when it is first read.

    Args:
        kind: What the things are, for messages ("model", "data source").
        packages: Packages or modules that register when imported. The modules directly inside a package are
            imported on first use, so that importing the registry itself stays cheap.
    """

    def __init__(self, kind: str, *packages: str) -> None:
        self.kind = kind
        self._packages = packages
        self._items: dict[str, T] = {}
        self._filled = False

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that enters the decorated thing under `name`; a name can be taken once."""

        def enter(item: T) -> T:
            if name in self._items and self._items[name] is not item:
                raise KeyError(f"{self.kind} {name!r} is registered twice")
            self._items[name] = item
            return item

        return enter

    def names(self) -> list[str]:
        """Return all registered names, sorted."""
        self._fill()
        return sorted(self._items)

    def get(self, name: str) -> T:
        """Return what is registered under `name`.

        Raises:
            InputError: Nothing is; the message names the nearest spelling.
        """
        self._fill()
        if name not in self._items:
            article = "an" if self.kind[0] in "aeiou" else "a"
            raise InputError(name, f"is not {article} {self.kind}.", nearest(name, self._items))
        return self._items[name]

    def _fill(self) -> None:
        if self._filled:
            return
        for package in self._packages:
            module = importlib.import_module(package)
            for info in pkgutil.iter_modules(getattr(module, "__path__", [])):
                importlib.import_module(f"{package}.{info.name}")
        self._filled = True
