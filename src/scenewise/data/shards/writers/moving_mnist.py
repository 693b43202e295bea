"""Writes clips in the layout of the fixed Moving MNIST test file, for other programs and for `moving-mnist-npy`.

`mnist_test_seq.npy` is unsigned bytes (20, clips, 64, 64), time first; it has neither labels nor masks
(moving_mnist.md 5, 6). The clips are put into the file a few at a time, so that it may be larger than the memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.data.shards.writers.base import register_writer
from scenewise.errors import InputError
from scenewise.media.files import atomic_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scenewise.data.contract import Source
    from scenewise.data.shards.writers.base import Progress, Stop, WriteRequest

FRAMES, SIZE, DIGITS = 20, (64, 64), 2
_LAYOUT = f"{FRAMES} frames of {SIZE[0]} x {SIZE[1]} and one channel, with {DIGITS} digits"
_OTHER = "Set it so, or use --format npy, which holds any video."


@register_writer("mnist-test-seq", "one file as mnist_test_seq.npy of Moving MNIST, time first", unit="clips")
def write(request: WriteRequest, out: Path, progress: Progress, stop: Stop) -> None:
    """Write the first clips; see `write_mnist_test_seq`."""
    write_mnist_test_seq(request.open(), out, range(request.samples), request.overwrite, progress)


def write_mnist_test_seq(
    source: Source,
    path: str | Path,
    indices: range,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write clips as one npy file, time first; the file appears only when it is complete.

    Args:
        source: Of clips as `moving-mnist` makes them.
        path: The file to write.
        indices: Which clips.
        overwrite: Replace a file that exists.
        progress: Called now and then with how many clips are written and how many there are to write.

    Raises:
        InputError: The clips do not fit the layout, there are none, or the file exists or cannot be written.
    """
    path = Path(path)
    _check(source, path, indices, overwrite)
    shape = (FRAMES, len(indices), *SIZE)
    with atomic_file(path) as file:
        header: dict[str, Any] = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        begin, step = file.tell(), source.at_once
        file.truncate(begin + int(np.prod(shape)))
        for at in range(0, len(indices), step):
            clips = np.stack([sample.frames[:, 0] for sample in source.samples(indices[at : at + step])])
            for t in range(FRAMES):
                file.seek(begin + (t * len(indices) + at) * clips[0, 0].size)
                file.write(clips[:, t].tobytes())
            if progress is not None:
                progress(at + len(clips), len(indices))
    return path


def _check(source: Source, path: Path, indices: Sequence[int], overwrite: bool) -> None:
    """Raise InputError where the clips do not fit the layout, or cannot be written."""
    facts = source.facts
    sizes = {
        "channels": (facts.channels, 1),
        "frames": (facts.frames, FRAMES),
        "height and width": (facts.size, SIZE),
        "objects at most": (facts.max_objects, DIGITS),
    }
    for name, (actual, expected) in sizes.items():
        if actual != expected:
            problem = f"{name}: mnist_test_seq.npy has {expected}; the source has {actual}. The layout is {_LAYOUT}."
            raise InputError(facts.origin, problem, _OTHER)
    if not indices:
        raise InputError("indices", "names no clip to write.")
    if path.is_dir():
        raise InputError(path, "is a folder.", "Name a file, such as mnist_test_seq.npy.")
    if path.exists() and not overwrite:
        raise InputError(path, "is there already.", "Choose another name, or add --overwrite.")
