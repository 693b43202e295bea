"""tf.train.Example messages without TensorFlow: named lists of bytes, floats or whole numbers.

Byte arrays in the Multi-Object Datasets are lists of one-byte strings. They are read by a strided view; going through
them one by one would make a million Python objects of a single CLEVR image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scenewise.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

_BYTES, _FLOATS, _INTS = 1, 2, 3
_KIND_NAMES = {_BYTES: "bytes", _FLOATS: "floats", _INTS: "whole numbers"}
_LENGTH_DELIMITED = 2
_FIXED = {1: 8, 5: 4}  # bytes of the wire types of fixed length
_ONE_BYTE = (0x0A, 0x01)  # field 1, length 1
_UNPACKED_FLOAT = 0x0D  # field 1, four bytes


class Example:
    """One message; features are decoded when they are asked for.

    Args:
        payload: The message.
        where: File and record, for messages.

    Raises:
        InputError: It is no tf.train.Example.
    """

    def __init__(self, payload: bytes | memoryview, where: object) -> None:
        self.where = where
        self._features: dict[str, tuple[int, memoryview]] = {}
        try:
            for _, features in _fields(memoryview(payload)):
                for _, entry in _fields(features):
                    parts = dict(_fields(entry))
                    name = bytes(parts[1]).decode() if 1 in parts else ""
                    for kind, content in _fields(parts.get(2, memoryview(b""))):
                        self._features[name] = (kind, content)
        except (ValueError, IndexError, TypeError) as error:
            remedy = "The file may be damaged or hold other messages."
            raise InputError(where, f"expected a tf.train.Example; found: {error}.", remedy) from error
        if not self._features:
            raise InputError(where, "expected a tf.train.Example; found no feature in it.", "Check the file.")

    def __contains__(self, name: str) -> bool:
        return name in self._features

    def names(self) -> list[str]:
        """Return the names of all features, sorted."""
        return sorted(self._features)

    def array(self, name: str) -> np.ndarray:
        """Return a feature as an array, shape (n,): uint8 of bytes, float32 of floats, int64 of whole numbers.

        Raises:
            InputError: There is none of that name, or it is a list of strings of several bytes.
        """
        kind, content = self._content(name)
        if kind == _BYTES:
            return self._bytes(name, content)
        try:
            return _floats(content) if kind == _FLOATS else _ints(content)
        except (ValueError, IndexError) as error:
            raise InputError(self.where, f"{name} is damaged: {error}.", "Get or copy the file again.") from error

    def floats(self, name: str) -> np.ndarray:
        """Return a list of floats, float32, shape (n,)."""
        return self._of_kind(name, _FLOATS)

    def ints(self, name: str) -> np.ndarray:
        """Return a list of whole numbers, int64, shape (n,)."""
        return self._of_kind(name, _INTS)

    def uint8(self, name: str) -> np.ndarray:
        """Return bytes, uint8, shape (n,), be they one string or a string each."""
        return self._of_kind(name, _BYTES)

    def strings(self, name: str) -> list[memoryview]:
        """Return a list of byte strings, none of them copied.

        Raises:
            InputError: There is none of that name, or it holds something else.
        """
        kind, content = self._content(name)
        self._expect(name, kind, _BYTES)
        try:
            return [value for _, value in _fields(content)]
        except (ValueError, IndexError) as error:
            raise InputError(self.where, f"{name} is damaged: {error}.", "Get or copy the file again.") from error

    def compact(self) -> bytes:
        """Return the message with byte arrays as one string each, a third of the length; `array` gives the same."""
        entries = []
        for name, (kind, content) in self._features.items():
            squeezed = _one_byte_strings(content) if kind == _BYTES else None
            values = bytes(content) if squeezed is None else _field(1, squeezed.tobytes())
            entries.append(_field(1, _field(1, name.encode()) + _field(2, _field(kind, values))))
        return _field(1, b"".join(entries))

    def _content(self, name: str) -> tuple[int, memoryview]:
        if name not in self._features:
            names = ", ".join(self.names())
            raise InputError(self.where, f"expected a feature {name!r}, found {names}.", "Is it a file of another set?")
        return self._features[name]

    def _of_kind(self, name: str, kind: int) -> np.ndarray:
        self._expect(name, self._content(name)[0], kind)
        return self.array(name)

    def _expect(self, name: str, actual: int, kind: int) -> None:
        if actual != kind:
            problem = f"{name}: expected {_KIND_NAMES[kind]}, found {_KIND_NAMES.get(actual, 'something else')}."
            raise InputError(self.where, problem, "Is it a file of another set?")

    def _bytes(self, name: str, content: memoryview) -> np.ndarray:
        squeezed = _one_byte_strings(content)
        if squeezed is not None:
            return squeezed
        strings = self.strings(name)
        if len(strings) > 1:
            problem = f"{name}: expected one byte per string or one string, found {len(strings)} longer strings."
            raise InputError(self.where, problem, "Is it a file of another set?")
        return np.frombuffer(strings[0] if strings else b"", np.uint8)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield number and content of the fields of a message that have a length; raises ValueError."""
    place, end = 0, len(message)
    while place < end:
        tag, place = _varint(message, place)
        wire = tag & 7
        if wire == _LENGTH_DELIMITED:
            length, place = _varint(message, place)
        elif wire in _FIXED:
            length = _FIXED[wire]
        elif wire == 0:
            _, place = _varint(message, place)
            continue
        else:
            raise ValueError(f"bytes that are no protobuf (wire type {wire})")
        if place + length > end:
            raise ValueError(f"a field of {length} bytes where {end - place} are left")
        if wire == _LENGTH_DELIMITED:
            yield tag >> 3, message[place : place + length]
        place += length


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, least first, and the place after it."""
    value = shift = 0
    while True:
        byte = message[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")


def _one_byte_strings(content: memoryview) -> np.ndarray | None:
    """Return the bytes of a list of one-byte strings, or None where it is another list."""
    if not len(content) or len(content) % 3 or content[0] != _ONE_BYTE[0] or content[1] != _ONE_BYTE[1]:
        return None
    triples = np.frombuffer(content, np.uint8).reshape(-1, 3)
    if (triples[:, 0] == _ONE_BYTE[0]).all() and (triples[:, 1] == _ONE_BYTE[1]).all():
        return triples[:, 2].copy()
    return None


def _floats(content: memoryview) -> np.ndarray:
    if len(content) and content[0] == _UNPACKED_FLOAT:
        if len(content) % 5:
            raise ValueError(f"{len(content)} bytes are no list of floats")
        return np.frombuffer(content, np.uint8).reshape(-1, 5)[:, 1:].copy().view("<f4")[:, 0]
    parts = [np.frombuffer(part, "<f4") for _, part in _fields(content)]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _ints(content: memoryview) -> np.ndarray:
    if len(content) and content[0] == 0x08:  # not packed: every number has a tag of its own
        return _varints(np.frombuffer(content, np.uint8))[1::2]
    parts = [_varints(np.frombuffer(part, np.uint8)) for _, part in _fields(content)]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _varints(stream: np.ndarray) -> np.ndarray:
    """Decode numbers that follow one another, all at once; uint8 (n,) to int64 (m,)."""
    ends = np.flatnonzero(stream < 128)
    if len(stream) and (not len(ends) or ends[-1] != len(stream) - 1):
        raise ValueError("a number breaks off")
    starts = np.concatenate((np.zeros(1, np.int64), ends[:-1] + 1))[: len(ends)]
    lengths = ends - starts + 1
    values = np.zeros(len(ends), np.uint64)
    for place in range(int(lengths.max(initial=0))):
        unfinished = lengths > place
        bits = (stream[starts[unfinished] + place] & 127).astype(np.uint64)
        values[unfinished] |= bits << np.uint64(7 * place)
    return values.view(np.int64)


def _field(number: int, content: bytes) -> bytes:
    """Encode a field that has a length."""
    length, head = len(content), bytearray([number << 3 | _LENGTH_DELIMITED])
    while length > 127:
        head.append(length & 127 | 128)
        length >>= 7
    head.append(length)
    return bytes(head) + content
