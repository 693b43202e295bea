"""A decomposition that was broken off: what stands in its folder, and how another process goes on from it.

Every few seconds a job saves what the model carries on and what the writers have gathered, in a folder of its own
beside the files. A process that is killed leaves it in the hidden folder that it was filling; one that is stopped by a
signal leaves it in the folder of results, whose files hold the frames done.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.documents import parse_json
from scenewise.errors import InputError
from scenewise.media.files import check_readable, read_json_mapping, reading, write_atomically
from scenewise.media.folders import GRACE, BusyError, FolderLock, hidden_folders
from scenewise.run_record import RECORD, of_file, of_values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scenewise.decompose.clip import Clip

FOLDER = "resume"
"""Name of the folder for what another process needs."""

SECONDS = 10.0
"""Time between two states that are saved; about so much work is lost when a process is killed."""

_STATE, _REQUEST = "state.pt", "request.json"
_LARGEST = 1 << 32  # bytes of a state
_BEGIN_ANEW = "Leave out --resume to begin anew."
_SAMPLES = 64  # frames of an array that are hashed


@dataclass(frozen=True)
class Unfinished:
    """What another process has left of a video.

    Attributes:
        target: The folder of results that it was to become.
        path: Folder of what is needed to go on; None where nothing had been saved yet.
        stopped: Whether a signal stopped it, so that the folder of results holds the frames done.
    """

    target: Path
    path: Path | None
    stopped: bool

    def frames(self) -> int:
        """Return how many frames are done and need not be done again.

        Raises:
            InputError: The state cannot be read.
        """
        return 0 if self.path is None else int(self.state()["frames"])

    def state(self) -> dict[str, Any]:
        """Return what `save_state` saved; nothing is unpickled.

        Raises:
            InputError: It cannot be read, or is no such state.
        """
        path = Path(str(self.path)) / _STATE
        with reading(self.target, "the state of a decomposition", _BEGIN_ANEW):
            check_readable(path)
            if path.stat().st_size > _LARGEST:
                raise ValueError(f"{_STATE} is larger than any such state")
            import torch

            values = torch.load(path, weights_only=True)
            if not isinstance(values, dict) or not isinstance(values.get("frames"), int) or values["frames"] < 1:
                raise ValueError(f"{_STATE} holds no number of frames")
            return values

    def check(self, facts: Mapping[str, Any]) -> None:
        """Check that it is of this request.

        Args:
            facts: What `facts_of` says of the request.

        Raises:
            InputError: It is of another one, or does not tell.
        """
        if self.path is None:
            return
        request = read_json_mapping(self.path / _REQUEST, "what was asked for", _BEGIN_ANEW)
        expected = parse_json(json.dumps(facts), self.target, "what is asked for", _BEGIN_ANEW)
        others = [key for key in {**request, **expected} if request.get(key) != expected.get(key)]
        if others:
            problem = f"was begun with another {', '.join(others)}; going on would mix the two."
            raise InputError(self.target, problem, f"Ask for the same as then. {_BEGIN_ANEW}")


def unfinished(target: Path) -> Unfinished | None:
    """Return what is left of a video whose results were to go to a folder, or None where nothing is.

    Of several leftovers the newest counts. One that another process is filling is none.
    """
    with suppress(OSError):  # no folder, or none that may be read: whoever writes there will tell
        parts = [path for path in hidden_folders(target.absolute()) if path.suffix == ".part" and not _busy(path)]
        states = [path / FOLDER / _STATE for path in parts]
        stopped = _record(target).get("interrupted") is True
        if stopped:
            states.append(target / FOLDER / _STATE)
        states = [path for path in states if path.is_file()]
        if states:
            newest = max(states, key=lambda path: path.stat().st_mtime_ns)
            return Unfinished(target, newest.parent, stopped)
        if parts or stopped:
            return Unfinished(target, None, stopped)
    return None


def done(target: Path, facts: Mapping[str, Any]) -> bool:
    """Return whether a folder holds the whole results of a request."""
    record = _record(target)
    return record.get("interrupted") is False and record.get("request") == of_values(facts)


def _busy(folder: Path) -> bool:
    """Return whether a process is filling a folder."""
    try:
        FolderLock(folder, seconds=GRACE).release()
    except BusyError:
        return True
    return False


def _record(target: Path) -> dict[str, Any]:
    try:
        return read_json_mapping(target / RECORD, "a record", "")
    except InputError:
        return {}


def save_request(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write down what was asked for."""
    write_atomically(folder / _REQUEST, json.dumps(facts, indent=1) + "\n")


def save_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Write a state of nested mappings and lists of plain values, arrays, tensors and bytes; whole or as it was."""
    import torch

    buffer = io.BytesIO()
    torch.save(_packed(state), buffer)
    write_atomically(folder / _STATE, buffer.getvalue())


def drop(folder: Path, keep: bool) -> None:
    """Remove the folder for going on, or keep it where a state was saved.

    Args:
        folder: The folder of results.
        keep: The results are not whole.
    """
    if not keep or not (folder / FOLDER / _STATE).is_file():
        shutil.rmtree(folder / FOLDER, ignore_errors=True)


def arrays(value: Any) -> Any:
    """Return a loaded state with arrays in place of tensors."""
    import torch

    if isinstance(value, torch.Tensor):
        return value.numpy()
    if isinstance(value, dict):
        return {key: arrays(part) for key, part in value.items()}
    return [arrays(part) for part in value] if isinstance(value, (list, tuple)) else value


def _packed(value: Any) -> Any:
    """Return what `torch.load` takes without unpickling: tensors, plain values, lists and mappings."""
    import torch

    if isinstance(value, torch.Tensor):
        return value.clone()  # a view would be saved with all that it is a view of
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.require(value, requirements=["C", "W"])).reshape(value.shape)
    if isinstance(value, bytes):
        return torch.frombuffer(bytearray(value), dtype=torch.uint8) if value else torch.empty(0, dtype=torch.uint8)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {key: _packed(part) for key, part in value.items()}
    return [_packed(part) for part in value] if isinstance(value, (list, tuple)) else value


def facts_of(clip: Clip, settings: Mapping[str, Any], versions: Mapping[str, str]) -> dict[str, Any] | None:
    """Return what must be the same for one process to go on from another; None where that cannot be told.

    Args:
        clip: The video.
        settings: The effective settings, as a record has them.
        versions: Of the libraries.
    """
    content, model = _content(clip), dict(settings["model"])
    if content is None or not model["fingerprint"]:
        return None
    where = {"path", "name"}  # the same thing may have been moved
    plain = {key: value for key, value in settings.items() if key not in ("input", "model")}
    return {
        "video": content,
        "part of the video": {key: value for key, value in settings["input"].items() if key != "origin"},
        "model": {key: value for key, value in model.items() if key not in where},
        **plain,
        "name": clip.name,
        "version": {key: value for key, value in versions.items() if key != "platform"},
    }


def _content(clip: Clip) -> str | None:
    """Return a short hash of what a video holds, or None where it can be had only once, as from a camera."""
    if clip.path is not None and not clip.path.exists():
        return None
    if clip.path is not None and clip.path.is_dir():
        files = sorted(path for path in clip.path.iterdir() if path.is_file())
        edges = [of_file(path) for path in (*files[:1], *files[-1:])]
        return of_values([(repr(path.name), path.stat().st_size) for path in files], edges)
    if clip.path is not None:
        return of_file(clip.path)
    images = getattr(clip.frames, "images", None)
    if not isinstance(images, np.ndarray):
        return None
    digest = hashlib.sha256(repr((images.shape, str(images.dtype))).encode())
    for t in np.unique(np.linspace(0, len(images) - 1, _SAMPLES).astype(int)).tolist():
        digest.update(np.ascontiguousarray(images[t]).tobytes())
    return digest.hexdigest()[:16]
