"""Small damage to bytes and to values, the same for the same random numbers."""

import copy
import io
import json
import zipfile

ODD = [
    None, True, -1, 0, 1, 3, 2**31, 2**63, 2**64, 10**30, -0.5, 1e308, float("inf"), float("nan"), "", "x", "../..",
    "/", "\0", "é", "\ud800", "²", "9" * 5000, "a" * 20_000, [], [[]], [1], [None], {}, {"a": 1}, {"": {"": []}},
    [[1, 2], [3]],
]  # fmt: skip
"""Values that are seldom what a field should hold."""


def bytes_of(content, random):
    """Return content with one to four pieces changed, cut, doubled, moved or replaced."""
    content = bytearray(content)
    for _ in range(int(random.integers(1, 5))):
        if not content:
            break
        at, length = int(random.integers(len(content))), int(2 ** random.uniform(0, 7))
        kind = random.choice(["flip", "random", "cut", "end", "double", "zero", "full", "digit", "swap"])
        piece = bytes(content[at : at + length])
        if kind == "flip":
            content[at] ^= 1 << int(random.integers(8))
        elif kind == "random":
            content[at : at + length] = random.bytes(len(piece))
        elif kind == "cut":
            del content[at : at + length]
        elif kind == "end":
            del content[at:]
        elif kind == "double":
            content[at:at] = piece * int(random.integers(1, 4))
        elif kind == "zero":
            content[at : at + length] = bytes(len(piece))
        elif kind == "full":
            content[at : at + length] = b"\xff" * len(piece)
        elif kind == "digit":
            digits = [n for n, byte in enumerate(content) if 48 <= byte < 58]
            if digits:
                content[int(random.choice(digits))] = 48 + int(random.integers(10))
        else:
            other = int(random.integers(len(content)))
            content[at], content[other] = content[other], content[at]
    return bytes(content)


def places(values, path=()):
    """Return the paths of all values inside nested ones."""
    items = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    return [path, *(place for key, value in items for place in places(value, (*path, key)))]


def values_of(values, random):
    """Return nested values with one of them replaced, removed, renamed or moved up."""
    values = copy.deepcopy(values)
    listed = places(values)[1:]
    if not listed:
        return ODD[int(random.integers(len(ODD)))]
    *path, key = listed[int(random.integers(len(listed)))]
    inside = values
    for part in path:
        inside = inside[part]
    kind = random.choice(["replace", "replace", "replace", "remove", "rename", "double"])
    if kind == "remove":
        del inside[key]
    elif kind == "rename" and isinstance(inside, dict):
        inside[f"{key}{random.choice(['x', ' ', 's', '.a'])}"] = inside.pop(key)
    elif kind == "double" and isinstance(inside, list):
        inside.insert(key, inside[key])
    else:
        inside[key] = copy.deepcopy(ODD[int(random.integers(len(ODD)))])
    return values


def zip_of(content, random):
    """Return an archive with some bytes changed, of a member where it is packed again."""
    if random.random() < 0.3:
        return bytes_of(content, random)
    with zipfile.ZipFile(io.BytesIO(content)) as archive, io.BytesIO() as packed:
        with zipfile.ZipFile(packed, "w", archive.infolist()[0].compress_type) as other:
            for info in archive.infolist():
                other.writestr(info.filename, bytes_of(archive.read(info), random))
        return packed.getvalue()


def json_of(content, random):
    """Return a JSON text with a value or some bytes changed."""
    if random.random() < 0.3:
        return bytes_of(content, random)
    return json.dumps(values_of(json.loads(content), random)).encode(errors="surrogatepass")
