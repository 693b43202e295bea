"""Writes TFRecord files the plain way, byte by byte, for the tests of the readers."""

import gzip
import struct

import numpy as np


def crc32c(content):
    state = 0xFFFFFFFF
    for byte in content:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ (0x82F63B78 if state & 1 else 0)
    return state ^ 0xFFFFFFFF


def masked(content):
    crc = crc32c(content)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def varint(number):
    number &= (1 << 64) - 1
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def feature(value, one_byte_strings=True, packed=True):
    """Encode uint8 arrays and lists of bytes, float arrays, and whole numbers."""
    if isinstance(value, list):
        return field(1, b"".join(field(1, bytes(text)) for text in value))
    if value.dtype == np.uint8:
        flat = value.ravel()
        if not one_byte_strings:
            return field(1, field(1, flat.tobytes()))
        triples = np.empty((flat.size, 3), np.uint8)
        triples[:] = (0x0A, 1, 0)
        triples[:, 2] = flat
        return field(1, triples.tobytes())
    if value.dtype.kind == "f":
        numbers = value.ravel().astype("<f4")
        if packed:
            return field(2, field(1, numbers.tobytes()))
        return field(2, b"".join(b"\x0d" + number.tobytes() for number in numbers))
    numbers = [varint(int(number)) for number in value.ravel()]
    return field(3, field(1, b"".join(numbers)) if packed else b"".join(b"\x08" + number for number in numbers))


def example(features, **options):
    """Encode a dict as a tf.train.Example; keys come in reverse order, as any order may."""
    entries = [
        field(1, field(1, name.encode()) + field(2, feature(value, **options))) for name, value in features.items()
    ]
    return field(1, b"".join(reversed(entries)))


def frame(payload, checksums=True):
    head = struct.pack("<Q", len(payload))
    crcs = [masked(head), masked(payload)] if checksums else [0, 0]
    return head + struct.pack("<I", crcs[0]) + payload + struct.pack("<I", crcs[1])


def write(path, payloads, packed=True, checksums=False):
    """Write payloads as one file, gzip where `packed`; return its path."""
    content = b"".join(frame(payload, checksums) for payload in payloads)
    path.write_bytes(gzip.compress(content, 1) if packed else content)
    return path
