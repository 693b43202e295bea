"""What a record says of the machine beside the settings: versions that numbers may depend on, and memory."""

from __future__ import annotations

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
    for name in _VERSIONED:
        try:
            numbers[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            numbers[name] = "not installed"
    return numbers


def peak_memory_mib() -> int | None:
    """Return the largest memory this process has held, MiB, or None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10))
