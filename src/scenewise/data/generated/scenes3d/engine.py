"""MuJoCo, imported only when a scene is made: it is an optional part of the installation."""

from __future__ import annotations

import importlib
from typing import Any

from scenewise.errors import InputError


def engine() -> Any:
    """Return the module `mujoco`.

    Raises:
        InputError: It is not installed.
    """
    try:
        return importlib.import_module("mujoco")
    except ImportError as error:
        raise InputError(
            "mujoco", "is needed for scenes in three dimensions and not installed.", 'pip install "scenewise[scenes3d]"'
        ) from error
