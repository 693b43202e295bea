"""What a record says of the machine beside the settings: versions that numbers may depend on, and memory."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import sys

from scenewise.version import __version__

RECORD = "run.json"
"""Name of the record that stands beside results."""

_VERSIONED = ("torch", "numpy", "av", "pycocotools")


def versions() -> dict[str, str]:
    """Return the versions that numbers may depend on."""
    numbers = {"scenewise": __version__, "python": platform.python_version(), "platform": platform.platform()}
    return numbers | {name: _version(name) for name in _VERSIONED}


@functools.cache
def _version(package: str) -> str:
    """Return the version of a package, which is looked for on the disk."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def peak_memory_mib() -> int | None:
    """Return the largest memory this process has held, MiB, or None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10))
