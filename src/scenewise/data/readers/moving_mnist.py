"""The fixed test file of Moving MNIST: 10,000 clips of 20 frames, no labels (moving_mnist.md 5).

`mnist_test_seq.npy` is (20, 10000, 64, 64), time first; `bouncing_mnist_test.npy`, of a later release, has the clip
first. The axis of 20 is time; where both are 20 the first is, with a warning. The file is mapped, never read whole.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np

from scenewise.config import setting
from scenewise.data.containers.per_process import PerProcess
from scenewise.data.contract import Description, register_source
from scenewise.data.readers.base import FilesConfig, FilesSource, Record, check_array, mapped_npy, whole_file_is
from scenewise.errors import InputError
from scenewise.media.files import check_readable

_NAME = "moving-mnist-npy"
_TIME = 20
_LAYOUT = "mnist_test_seq.npy, whole numbers of 8 bits (20, clips, 64, 64), or (clips, 20, 64, 64)"
_REMEDY = "It may be incomplete; get or copy it again."


@dataclass(frozen=True)
class MovingMnistFileConfig(FilesConfig):
    """Settings of the reader; papers that train on a part of this file name it by `train` and `test`."""

    axes: Literal["time-first", "clip-first"] | None = setting(
        None, "time-first or clip-first; none: the axis of 20 is time"
    )


@register_source(
    _NAME,
    Description(
        what="the fixed Moving MNIST test file: two digits that bounce and pass through one another, no masks",
        kind="files",
        paper="Srivastava et al. 2015; DDPAE and most work on video prediction",
        size="20 frames, 64 x 64, grey",
        licence="not stated; the digits are MNIST's (CC BY-SA 3.0)",
        obtain="www.cs.toronto.edu/~nitish/unsupervised_video: mnist_test_seq.npy (819 MB), then path=FILE; it is a "
        "test set",
    ),
)
class MovingMnistFileSource(FilesSource):
    """Clips of the file.

    Args:
        config: File and settings.
        split: "test", unless the settings say which clips another split has.

    Raises:
        InputError: The file is missing, damaged or of another layout.
    """

    config_class = MovingMnistFileConfig
    default_split = "test"
    config: MovingMnistFileConfig

    def __init__(self, config: MovingMnistFileConfig, split: str = "test") -> None:
        super().__init__(config, split)
        check_readable(self.path)
        self._opened = PerProcess(mapped_npy, config.path, _LAYOUT, _REMEDY)
        array = self._opened.get()
        check_array(self.path, "array", array, (None, None, None, None), "u", _LAYOUT)
        if array.dtype.itemsize != 1:
            raise InputError(self.path, f"array: expected uint8, found {array.dtype}.", f"Expected is {_LAYOUT}.")
        self._time_first = self._is_time_first(array.shape)
        clips = array.shape[1 if self._time_first else 0]
        span = whole_file_is(config, self.split, clips, "test")
        self._settle(
            span,
            (*array.shape[2:], 1),
            frames=int(array.shape[0 if self._time_first else 1]),
            max_objects=2,
            has_ids=False,
            origin=f"Moving MNIST, {self.path.name}, clips {span.start} to {span.stop - 1}",
        )

    def _is_time_first(self, shape: tuple[int, ...]) -> bool:
        if self.config.axes is not None:
            return self.config.axes == "time-first"
        if _TIME not in shape[:2]:
            problem = f"array: expected {_TIME} frames on the first or second axis, found {shape}."
            raise InputError(self.path, problem, "Set axes=time-first or axes=clip-first if it is such a file.")
        if shape[0] == shape[1]:
            text = f"{self.path}: {shape} can be read both ways; the first axis is taken as time. Set axes to be sure."
            warnings.warn(text, stacklevel=2)
        return shape[0] == _TIME

    def _read(self, record: int, first: int, stop: int) -> Record:
        array = self._opened.get()
        clip = array[first:stop, record] if self._time_first else array[record, first:stop]
        return Record(np.array(clip)[..., None], None, {"clip": record})
