"""MuJoCo, imported only when a scene is made: it is an optional part of the installation."""

from __future__ import annotations

import importlib
import os
from typing import Any

from scenewise.errors import InputError

GL_CHOICE = "MUJOCO_GL"
"""Environment variable that chooses how MuJoCo opens a window system, which drawing here does not need."""


def engine() -> Any:
    """Return the module `mujoco`, whatever the environment says of window systems that may not be there.

    Raises:
        InputError: It is not installed, or cannot be loaded.
    """
    try:
        return importlib.import_module("mujoco")
    except ModuleNotFoundError as error:
        if error.name == "mujoco":
            raise InputError(
                "mujoco",
                "is needed for scenes in three dimensions and not installed.",
                'pip install "scenewise[scenes3d]"',
            ) from error
        return _without_gl()
    except Exception:  # a window system that is asked for and not there raises every kind of error
        return _without_gl()


def gl_problem() -> str:
    """Return what is wrong with the window system that the environment asks for; empty where it is nothing."""
    try:
        importlib.import_module("mujoco")
    except ModuleNotFoundError as error:
        return "" if error.name == "mujoco" else f"{type(error).__name__}: {error}"
    except Exception as error:  # see `engine`
        return f"{type(error).__name__}: {error}"
    return ""


def _without_gl() -> Any:
    """Import MuJoCo without a window system."""
    choice = os.environ.get(GL_CHOICE)
    os.environ[GL_CHOICE] = "disable"
    try:
        return importlib.import_module("mujoco")
    except Exception as error:
        raise InputError("mujoco", f"cannot be loaded: {error}.", "Install it anew.") from error
    finally:
        if choice is None:
            del os.environ[GL_CHOICE]
        else:
            os.environ[GL_CHOICE] = choice
