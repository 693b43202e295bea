"""Names to things: models, data sources, protocols and export formats register under the name a user types.

Other packages plug in by entry points: each names a module that registers something when it is imported. One that
cannot be imported is left out with a warning that names it, and everything else goes on.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import pkgutil
import sys
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from scenewise.errors import InputError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from importlib.metadata import EntryPoint

T = TypeVar("T")


class PluginWarning(UserWarning):
    """A plug-in does not work and is left out."""


class Registry(Generic[T]):
    """A table of named things, filled when it is first read.

    Args:
        kind: What the things are, for messages ("model", "data source").
        *packages: Packages or modules that register when imported, on first use, so that importing the registry itself
            stays cheap: the module inside of the name that is asked for, all modules where there is none.
        group: Group of entry points by which other packages add to it; empty where they cannot.
    """

    def __init__(self, kind: str, *packages: str, group: str = "") -> None:
        self.kind = kind
        self.group = group
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

    @contextmanager
    def trial(self) -> Iterator[None]:
        """Take out again what is registered within this context: for tests of what plugs in."""
        self._fill()
        items = dict(self._items)
        try:
            yield
        finally:
            self._items = items

    def names(self) -> list[str]:
        """Return all registered names, sorted."""
        self._fill()
        return sorted(self._items)

    def get(self, name: str) -> T:
        """Return what is registered under `name`.

        Raises:
            InputError: Nothing is; the message names the nearest spelling.
        """
        if name not in self._items and not self._filled:
            self._import_namesake(name)
        if name not in self._items:
            self._fill()
        if name not in self._items:
            article = "an" if self.kind[0] in "aeiou" else "a"
            raise InputError(name, f"is not {article} {self.kind}.", nearest(name, self._items))
        return self._items[name]

    def _import_namesake(self, name: str) -> None:
        """Import the module that bears the name, such as `provide_windows` for provide-windows, where there is one."""
        module = name.replace("-", "_")
        for package in self._packages if module.isidentifier() else ():
            path = getattr(importlib.import_module(package), "__path__", [])
            if any(info.name == module for info in pkgutil.iter_modules(path)):
                importlib.import_module(f"{package}.{module}")

    def _fill(self) -> None:
        if self._filled:
            return
        for package in self._packages:
            module = importlib.import_module(package)
            for info in pkgutil.walk_packages(getattr(module, "__path__", []), f"{package}."):
                importlib.import_module(info.name)
        self._filled = True  # before plug-ins, which may read the registry
        for plugin in plugins(self.group):
            try:
                plugin.load()
            except (Exception, SystemExit) as error:  # whatever is wrong must not stop a command that does not need it
                _leave_out(plugin, error)


def plugins(group: str) -> list[EntryPoint]:
    """Return what installed packages plug in under a group of entry points, by name; nothing where it is empty."""
    if not group:
        return []
    places = []
    for place in sys.path:
        with suppress(OSError):
            places.append((place, os.stat(place or ".").st_mtime_ns))
    return list(_plugins(group, tuple(places)))


@functools.lru_cache(32)
def _plugins(group: str, places: tuple[tuple[str, int], ...]) -> list[EntryPoint]:
    """Look for plug-ins, which reads the metadata of every package: once as long as nothing is installed."""
    from importlib.metadata import entry_points

    return sorted(entry_points(group=group), key=lambda plugin: (plugin.name, plugin.value))


def plugin_folders(group: str) -> list[Path]:
    """Return the folders of the packages that are plugged in under a group; the packages are not imported."""
    folders = []
    for plugin in plugins(group):
        try:
            spec = importlib.util.find_spec(plugin.value)
            if spec is None or not spec.submodule_search_locations:
                raise ModuleNotFoundError(f"{plugin.value} is not a package")
            folders += [Path(place) for place in spec.submodule_search_locations]
        except (Exception, SystemExit) as error:  # finding a package imports those it lies in
            _leave_out(plugin, error)
    return folders


LEFT_OUT: set[tuple[str, str]] = set()
"""Group and value of the entry points of broken plug-ins, each of which is told once."""


def _leave_out(plugin: EntryPoint, error: BaseException) -> None:
    """Warn about a broken plug-in, the first time only, at its own place rather than at a line of ours."""
    if (plugin.group, plugin.value) in LEFT_OUT:
        return
    LEFT_OUT.add((plugin.group, plugin.value))
    package = f" of {plugin.dist.name}" if plugin.dist is not None else ""
    reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
    text = f"the plug-in {plugin.name!r}{package} ({plugin.group}) is left out: {reason}"
    warnings.warn_explicit(text, PluginWarning, filename=plugin.value, lineno=1)
