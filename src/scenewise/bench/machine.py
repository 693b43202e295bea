"""What numbers of speed depend on: the machine, its threads, its other work; and this process's memory."""

from __future__ import annotations

import datetime
import os
import platform
import sys
from pathlib import Path
from typing import Any

import torch

from scenewise.version import __version__

_BUSY = 0.5
"""Load average from which on other processes are said to use the cores."""
MIB = 1 << 20


def facts(device: torch.device) -> dict[str, Any]:
    """Return the facts that belong beside every number of speed."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "wait_policy": os.environ.get("OMP_WAIT_POLICY", ""),
        "load": None if not hasattr(os, "getloadavg") else round(os.getloadavg()[0], 2),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "torch": str(torch.__version__),
        "scenewise": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def warnings(facts: dict[str, Any]) -> list[str]:
    """Return what makes the numbers doubtful, one sentence each."""
    lines = []
    if facts["load"] is not None and facts["load"] >= _BUSY:
        lines.append(f"other processes use the cores (load average {facts['load']}): times are too long")
    if facts["wait_policy"].upper() != "PASSIVE":
        lines.append("OMP_WAIT_POLICY is not PASSIVE: on shared cores small operations take many times longer")
    return lines


def processor() -> str:
    """Return the CPU's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())


def memory_now() -> int:
    """Return the bytes of memory this process holds, or where the system does not tell, has held at most."""
    return _status("VmRSS") or _most()


def memory_peak() -> int:
    """Return the bytes of memory this process has held at most, since `forget_peak` where that is possible."""
    return _status("VmHWM") or _most()


def forget_peak() -> None:
    """Begin a new peak, where the system can: importing takes memory for a moment too."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _status(field: str) -> int | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith(f"{field}:")), None)


def _most() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << (0 if sys.platform == "darwin" else 10)
