"""Folders of models on disk, found by name and read as far as it goes without torch: who waits for that sees a page."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scenewise import hub
from scenewise.documents import shortened
from scenewise.errors import InputError, nearest
from scenewise.media.files import read_json, reading

FORMAT = 3
"""Version of the folder layout; a newer one is refused. Older ones have other names of settings: `models.renamed`."""

CONFIG, WEIGHTS, README = "config.json", "model.safetensors", "README.md"
CHECKSUM = "weights_sha256"
"""A key of config.json that folders written before it lack."""

PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle")
"""How files end that are never opened."""

_CONFIG_KEYS = {"format", "model", "config", "card", "versions"}
_LARGEST_CONFIG = 16 << 20  # bytes


def weights_folder() -> Path:
    """Return the folder of the models that come with the package."""
    return Path(str(importlib.resources.files("scenewise"))) / "weights"


def shipped() -> list[str]:
    """Return the names of the models that come with the package, sorted."""
    return sorted(config.parent.name for config in weights_folder().glob(f"*/{CONFIG}"))


def find(name_or_path: str | Path) -> Path:
    """Return the folder of a shipped model, of a path, or of a model of the hub, which is got; in this order.

    Raises:
        InputError: It is none of these, or cannot be got.
    """
    if str(name_or_path) in shipped():
        return weights_folder() / str(name_or_path)
    path = Path(name_or_path)
    with reading(name_or_path, "a model folder", "Check the path."):
        if path.is_dir():
            exported = (path / "export.json").is_file() and (path / "model" / CONFIG).is_file()
            return path / "model" if exported else path  # an export has the model beside its graphs
        if path.is_file():
            if path.suffix in PICKLES:
                raise pickle_error(path)
            raise InputError(path, "is a file; a model is a folder.", f"Give the folder: {path.parent}.")
    if hub.is_name(str(name_or_path)):
        return hub.fetch(str(name_or_path), (CONFIG, WEIGHTS, README))
    raise InputError(name_or_path, "is neither a model that ships nor a folder.", nearest(str(name_or_path), shipped()))


def written_config(path: Path) -> dict[str, Any]:
    """Read and check `config.json` of a model folder, settings under the names that it was written with.

    Returns:
        `format`, `model` (registered name), `config` (settings), `card` and `versions`, all plain.

    Raises:
        InputError: It is missing, unreadable, incomplete or of a newer format.
    """
    file = path / CONFIG
    if path.is_dir() and not (path / CONFIG).exists():
        raise InputError(path, f"has no {CONFIG}.", "A model folder is what `scenewise train` writes.")
    config = read_json(file, "settings and card of a model as JSON", "Copy the model folder anew.", _LARGEST_CONFIG)
    if not isinstance(config, dict) or not isinstance(config.get("format"), int):
        raise InputError(file, "must be a mapping with a whole number `format`.", "Copy the model folder anew.")
    if config["format"] > FORMAT:
        raise InputError(
            file, f"has format {config['format']}; this version reads up to {FORMAT}.", "Upgrade scenewise."
        )
    _check_keys(config, file)
    return config


def _check_keys(kept: dict[str, Any], file: Path) -> None:
    for key in sorted(set(kept) - _CONFIG_KEYS - {CHECKSUM}):
        raise InputError(file, f"has an unknown key {shortened(key)}.", nearest(key[:80], _CONFIG_KEYS))
    for key in sorted(_CONFIG_KEYS - set(kept)):
        raise InputError(file, f"has no {key!r}.", "Copy the model folder anew.")
    for key in ("config", "card", "versions"):
        if not isinstance(kept[key], Mapping):
            problem = f"{key} must be a mapping; found {shortened(kept[key])}."
            raise InputError(file, problem, "Copy the model folder anew.")
    if not isinstance(kept["model"], str):
        problem = f"model must be a name; found {shortened(kept['model'])}."
        raise InputError(file, problem, "Copy the model folder anew.")


def pickle_error(file: Path) -> InputError:
    """Return the refusal of a pickle."""
    remedy = f"Save the weights as {WEIGHTS} with safetensors, from a program you trust."
    return InputError(file, "is a pickle, which can run any code when read; it is not opened.", remedy)
