"""The plain version of a model, to compare with: it lives in the tests, which only a checkout of the source has."""

from __future__ import annotations

import functools
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import scenewise
from scenewise.errors import InputError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from torch import nn


def naive_file() -> Path:
    """Return where a checkout has the plain version."""
    return Path(scenewise.__file__).parents[2] / "tests" / "variational" / "naive.py"


def engaged(model: nn.Module) -> AbstractContextManager[None]:
    """Return a context in which a model computes the plain way: autograd for everything, no algebra by hand.

    Raises:
        InputError: There is no checkout.
    """
    return plain_version().engaged(model)


def check() -> None:
    """Raise InputError where there is no plain version to compare with."""
    if not naive_file().is_file():
        remedy = "Clone the repository, install it with pip install -e ., and run it from there."
        raise InputError("--against naive", f"needs a checkout of the source: there is no {naive_file()}.", remedy)


@functools.cache
def plain_version() -> Any:
    """Return the module of the checkout that holds it, loaded once.

    Raises:
        InputError: There is no checkout, or it cannot be loaded.
    """
    check()
    spec = importlib.util.spec_from_file_location("scenewise_naive", naive_file())
    if spec is None or spec.loader is None:
        raise InputError("--against naive", f"{naive_file()} cannot be loaded.", "Check the checkout.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module
