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
        # Types that lists do not keep exactly go as bytes.
        exact = value.dtype.kind in "biuU" or value.dtype in (np.float16, np.float32, np.float64)
        content = value.tolist() if exact else base64.b64encode(np.asarray(value).tobytes()).decode()
        single = {} if isinstance(value, np.ndarray) else {"scalar": True}
        return {"array": content, "dtype": value.dtype.str, "shape": list(value.shape), "listed": exact, **single}
    raise InputError(
        "extras", f"values of type {type(value).__name__} cannot be stored.", "The source must give arrays or texts."
    )


def decode(value: Any) -> Any:
    """Return what `encode` was given."""
    if isinstance(value, list):
        return [decode(part) for part in value]
    if not isinstance(value, dict):
        return value
    if "tuple" in value:
        return tuple(decode(part) for part in value["tuple"])
    if "dict" in value:
        return {decode(key): decode(part) for key, part in value["dict"]}
    if "bytes" in value:
        return base64.b64decode(value["bytes"])
    kind = np.dtype(value["dtype"])
    if value["listed"]:
        array = np.array(value["array"], kind).reshape(value["shape"])
    else:
        array = np.frombuffer(base64.b64decode(value["array"]), kind).reshape(value["shape"]).copy()
    return array[()] if value.get("scalar") else array
