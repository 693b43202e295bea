"""Answers as binary frames: a JSON head and plain arrays behind it, without base64."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scenewise.documents import parse_json

_TYPES = {"uint8": "u1", "float32": "f4", "uint16": "u2"}


@dataclass
class Answer:
    """What the page is told.

    Attributes:
        facts: Plain values.
        arrays: By name: uint8, uint16 or float32.
        files: Encoded pictures by name.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)

    def encode(self, head: dict[str, Any]) -> bytes:
        """Return one message: length of the head (uint32, little endian), head, arrays from multiples of 4 bytes on.

        Args:
            head: What the head holds besides, such as which request is answered.
        """
        parts, table, at = list[bytes](), list[dict[str, Any]](), 0
        for name, array in self.arrays.items():
            plain = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
            table.append({"name": name, "type": _TYPES[array.dtype.name], "shape": list(array.shape), "at": at})
            parts.append(plain.tobytes())
            at += len(parts[-1])
            parts.append(b"\0" * (-at % 4))
            at += len(parts[-1])
        for name, content in self.files.items():
            table.append({"name": name, "type": "file", "shape": [len(content)], "at": at})
            parts += [content, b"\0" * (-len(content) % 4)]
            at += len(content) + len(parts[-1])
        text = json.dumps({**head, **self.facts, "arrays": table}, allow_nan=False).encode()
        text += b" " * (-(len(text) + 4) % 4)
        return struct.pack("<I", len(text)) + text + b"".join(parts)


def decode(message: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return head and arrays of a message, as the page reads it; files come as arrays of bytes."""
    (length,) = struct.unpack_from("<I", message)
    head = parse_json(message[4 : 4 + length], "a message", "its head", "Ask again.")
    body = memoryview(message)[4 + length :]
    kinds = {"u1": "<u1", "u2": "<u2", "f4": "<f4", "file": "<u1"}
    arrays = {}
    for entry in head["arrays"]:
        kind = np.dtype(kinds[entry["type"]])
        count = int(np.prod(entry["shape"]))
        arrays[entry["name"]] = np.frombuffer(body, kind, count, entry["at"]).reshape(entry["shape"])
    return head, arrays
