"""Model folders on the Hugging Face Hub: got by their names, and put there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from scenewise.errors import InputError, describe

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}(@[\w.-]{1,100})?")


def is_name(text: str) -> bool:
    """Return whether a text can be the name of a model on the hub, and is no path of this machine by mistake.

    Examples:
        >>> is_name("org/balls"), is_name("org/balls@v2"), is_name("runs/balls/model"), is_name("./balls")
        (True, True, False, False)
        >>> Path("runs").mkdir()
        >>> is_name("runs/bals")  # a folder that is not there, in one that is
        False
    """
    return bool(_NAME.fullmatch(text)) and not Path(text.partition("/")[0]).exists()


def fetch(name: str, files: Sequence[str]) -> Path:
    """Return the folder of a model of the hub, which is got where it is not in the cache.

    Args:
        name: "org/name", or "org/name@revision" with a branch, tag or commit.
        files: The files that make a model folder; no others are got.

    Raises:
        InputError: huggingface_hub is not installed, or the model cannot be got.
    """
    hub = _hub(name)
    repository, _, revision = name.partition("@")
    try:
        return Path(hub.snapshot_download(repository, revision=revision or None, allow_patterns=list(files)))
    except Exception as error:  # of the network, of the hub, of the disk
        problem = f"is no model that ships, no folder, and cannot be got from the hub: {describe(error)}."
        raise InputError(name, problem, "Check the name; private ones need: hf auth login") from error


def push(folder: Path, name: str, *, private: bool = False, message: str = "Upload a scenewise model") -> str:
    """Put a model folder on the hub and return its address; the repository is made where there is none.

    Args:
        folder: The model folder.
        name: "org/name".
        private: Whether a repository that is made is private.
        message: Of the commit.

    Raises:
        InputError: huggingface_hub is not installed, or the hub does not take it.
    """
    hub = _hub(name)
    if not _NAME.fullmatch(name) or "@" in name:
        raise InputError(name, "is no name on the hub.", "Give one as org/name.")
    try:
        address = hub.create_repo(name, private=private, exist_ok=True)
        hub.upload_folder(repo_id=name, folder_path=str(folder), commit_message=message)
    except Exception as error:  # of the network or of the hub
        raise InputError(name, f"does not take it: {describe(error)}.", "Log in by: hf auth login") from error
    return str(address)


def _hub(name: str) -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise InputError(name, "needs huggingface_hub.", "pip install 'scenewise[hub]'") from error
    return huggingface_hub
