"""JSON and YAML files from outside; `scenewise.documents` and `scenewise.yaml_text` say what is refused in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scenewise.documents import parse_json, type_of
from scenewise.errors import InputError, describe
from scenewise.media.files import read_bytes

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES = 64 << 20
"""Largest JSON file that is read."""
MOST_YAML_BYTES = 1 << 19
"""Largest YAML file that is read; PyYAML takes some seconds for it."""


def read_json(path: Path, expected: str, remedy: str, most: int = MOST_BYTES) -> Any:
    """Read a JSON file.

    Args:
        path: The file.
        expected: What it should be, for the message.
        remedy: What to do when it is not.
        most: Largest size, bytes.

    Returns:
        Plain values: mappings, lists, texts, numbers, truth values and None.

    Raises:
        InputError: It is missing, no regular file, too large, no JSON, or holds what `check_plain` refuses.
    """
    return parse_json(read_bytes(path, most), path, expected, remedy)


def read_json_mapping(path: Path, expected: str, remedy: str, most: int = MOST_BYTES) -> dict[str, Any]:
    """Read a JSON file that holds a mapping; see `read_json`."""
    values = read_json(path, expected, remedy, most)
    if not isinstance(values, dict):
        raise InputError(path, f"expected {expected}; found {type_of(values)} in place of a mapping.", remedy)
    return values


def read_yaml(path: Path, holds: str, remedy: str) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Args:
        path: The file.
        holds: What the mapping should hold, for the message.
        remedy: What to do when it is something else.

    Raises:
        InputError: It is missing, no regular file, too large, no YAML within the limits, or no mapping.
    """
    from scenewise.yaml_text import parse_yaml

    content = read_bytes(path, MOST_YAML_BYTES)
    try:
        values = parse_yaml(content.decode("utf-8-sig"))
    except ValueError as error:
        raise InputError(path, f"is not YAML: {describe(error)}.", remedy) from error
    if not isinstance(values, dict):
        raise InputError(path, f"must hold a mapping with {holds}; found {type_of(values)}.", remedy)
    return values
