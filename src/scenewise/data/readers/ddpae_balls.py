"""DDPAE's bouncing balls: states in dataset_info.npy, drawn when they are read (datasets.md 4, ddpae.md 8).

`balls_n4_t60_ex50000/dataset_info.npy` (training) and `balls_n4_t60_ex2000/dataset_info.npy` (test) are (clips, 60,
balls, 4): x, y, mass, and the multiplier of the radius, in a world of 800 x 800. A ball is a white disc without soft
edges about its rounded centre; id i + 1 is ball i. How the authors' library rounds at the rim of a disc is not known:
here a pixel belongs to it where its distance from the centre is at most the radius.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scenewise.config import setting
from scenewise.data.containers.per_process import PerProcess
from scenewise.data.contract import Description, ObjectKeys, register_source
from scenewise.data.generated.balls.world import ddpae_discs
from scenewise.data.readers.base import (
    FilesConfig,
    FilesSource,
    Record,
    check_array,
    mapped_npy,
    split_records,
    whole_file_is,
)
from scenewise.errors import InputError
from scenewise.media.files import check_readable

_NAME = "ddpae-balls-npy"
_FILE = "dataset_info.npy"
_SPLITS = {50_000: "train", 2_000: "test"}  # by the number of clips in the folder's name
_CLIPS = re.compile(r"_ex(\d+)$")
_LAYOUT = "dataset_info.npy, numbers (clips, frames, balls, 4): x, y, mass, size"


@dataclass(frozen=True)
class DdpaeBallsConfig(FilesConfig):
    """Settings of the reader of DDPAE's balls."""

    side: int = setting(128, "height and width of the frames", minimum=8, maximum=4096)


@register_source(
    _NAME,
    Description(
        what="DDPAE's bouncing balls: four equal white balls, drawn from stored states",
        kind="files",
        paper="DDPAE (Hsieh et al. 2018)",
        size="60 frames, 128 x 128, binary",
        factors=("position", "mass", "size"),
        licence="not stated",
        obtain="make them by the generator that DDPAE's repository names; then path=balls_n4_t60_ex50000, or the "
        "folder that holds both",
    ),
)
class DdpaeBallsSource(FilesSource):
    """Clips of one split.

    Args:
        config: File and settings.
        split: "train", "validation" or "test".

    Raises:
        InputError: The file is missing, damaged or of another layout.
    """

    config_class = DdpaeBallsConfig
    config: DdpaeBallsConfig
    object_keys = ObjectKeys(
        size="sizes",
        position="positions",
    )

    def __init__(self, config: DdpaeBallsConfig, split: str = "train") -> None:
        super().__init__(config, split)
        self._file = _file(self.path, split)
        self._opened = PerProcess(mapped_npy, str(self._file), _LAYOUT, "It may be incomplete; get or make it again.")
        states = self._opened.get()
        check_array(self._file, "array", states, (None, None, None, 4), "fiu", _LAYOUT)
        split_of_folder = _split_of(self._file.parent)
        if split_of_folder is None:
            records = split_records(config, split, len(states))
        else:
            records = whole_file_is(config, split, len(states), split_of_folder)
        self._settle(
            records,
            (config.side, config.side, 1),
            frames=int(states.shape[1]),
            max_objects=int(states.shape[2]),
            binary=config.size is None,
            origin=f"DDPAE's balls, {self._file.parent.name}, clips {records.start} to {records.stop - 1}",
        )

    def _files(self) -> list[Path]:
        return [self._file]

    def _read(self, record: int, first: int, stop: int) -> Record:
        states = np.array(self._opened.get()[record, first:stop], np.float64)
        if not np.isfinite(states).all():
            raise InputError(f"{self._file}, clip {record}", "expected finite numbers, found others.", f"({_LAYOUT}.)")
        ids = ddpae_discs(states, self.config.side)
        images = (ids > 0)[..., None] * np.uint8(255)
        extras = {"clip": record, "positions": states[..., :2], "masses": states[..., 2], "sizes": states[..., 3]}
        return Record(images, ids, extras)


def _file(path: Path, split: str) -> Path:
    """Return the file: it is given, in the folder given, or in the folder there of the split."""
    if path.is_dir() and not (path / _FILE).is_file():
        folders = sorted(place.parent for place in path.glob(f"*/{_FILE}"))
        matches = [folder for folder in folders if _split_of(folder) == split]
        if not matches:
            listing = ", ".join(folder.name for folder in folders) or "nothing"
            problem = f"expected {_FILE} of split {split}, found {listing}."
            raise InputError(path, problem, "Give balls_n4_t60_ex50000 for training, balls_n4_t60_ex2000 for testing.")
        path = matches[0]
    file = path / _FILE if path.is_dir() else path
    check_readable(file)
    return file


def _split_of(folder: Path) -> str | None:
    clips = _CLIPS.search(folder.name)
    return _SPLITS.get(int(clips[1])) if clips else None
