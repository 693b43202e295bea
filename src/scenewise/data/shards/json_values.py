"""Any value that extras hold as JSON and back, of the same type and bit for bit."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from scenewise.errors import InputError

_AS_IS = (bool, int, float, str, type(None))


def encode(value: Any) -> Any:
    """Return what JSON can hold; lists, texts and numbers stay what they are.

    Raises:
        InputError: The value is of a type that is not known.
    """
    if type(value) in _AS_IS:
        return value
    if type(value) is list:
        return [encode(part) for part in value]
    if type(value) is tuple:
        return {"tuple": [encode(part) for part in value]}
    if type(value) is dict:
        return {"dict": [[encode(key), encode(part)] for key, part in value.items()]}
    if type(value) is bytes:
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind != "O":
        return _of_array(value)
    raise InputError(
        "extras", f"values of type {type(value).__name__} cannot be stored.", "The source must give arrays or texts."
    )


def decode(stored: Any) -> Any:
    """Return what `encode` was given."""
    if isinstance(stored, list):
        return [decode(part) for part in stored]
    if not isinstance(stored, dict):
        return stored
    if "tuple" in stored:
        return tuple(decode(part) for part in stored["tuple"])
    if "dict" in stored:
        return {decode(key): decode(part) for key, part in stored["dict"]}
    if "bytes" in stored:
        return base64.b64decode(stored["bytes"])
    return _to_array(stored)


def _of_array(value: np.ndarray | np.generic) -> dict[str, Any]:
    """Return an array as lists; types that lists do not keep exactly go as bytes."""
    exact = value.dtype.kind in "biuU" or value.dtype in (np.float16, np.float32, np.float64)
    content = value.tolist() if exact else base64.b64encode(np.asarray(value).tobytes()).decode()
    single = {} if isinstance(value, np.ndarray) else {"scalar": True}
    return {"array": content, "dtype": value.dtype.str, "shape": list(value.shape), "listed": exact, **single}


def _to_array(stored: dict[str, Any]) -> Any:
    kind = np.dtype(stored["dtype"])
    if stored["listed"]:
        array = np.array(stored["array"], kind).reshape(stored["shape"])
    else:
        array = np.frombuffer(base64.b64decode(stored["array"]), kind).reshape(stored["shape"]).copy()
    return array[()] if stored.get("scalar") else array
