"""Frames taken apart as they come: the way in for cameras, and for programs that show what is found at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scenewise.decompose.decomposer import Decomposer, load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scenewise.decomposition import FrameResult


def stream(
    source: Any,
    model: str | Path | Decomposer,
    device: str = "auto",
    *,
    slots: int | None = None,
    refinements: int | None = None,
    seed: int = 0,
    size: int | tuple[int, int] | None = None,
    background: Any = None,
    **reading: Any,
) -> Iterator[FrameResult]:
    """Take a camera, a stream or a video apart, and yield what is found in each frame as soon as it is.

    Args:
        source: "camera:0", an address such as "rtsp://host/door", or all that `Decomposer.decompose` takes. Of what is
            live each frame is the newest, however long the one before took.
        model: Name, folder, or a loaded model.
        device: As in `load`.
        slots: K, the model's own where None.
        refinements: R, the model's own where None.
        seed: Seed of the posterior noise.
        size: (H, W) of the results, or one number for a square; the model's own where None.
        background: The empty scene, as in `Decomposer.decompose`, for models that draw over it. Where None, that of a
            camera or a stream is learned as its frames come, and renewed.
        **reading: Options of `read_video`.

    Raises:
        InputError: There is no such model or source, or an option is out of range.

    Examples:
        >>> import numpy as np
        >>> frames = stream(np.zeros((3, 64, 64, 3), np.uint8), "provide-balls-colour", "cpu")
        >>> [frame.labels.shape for frame in frames]
        [(64, 64), (64, 64), (64, 64)]
    """
    decomposer = model if isinstance(model, Decomposer) else load(model, device)
    result = decomposer.decompose(source, slots, refinements, seed, size=size, background=background, **reading)
    result.keep_bytes = 0
    return iter(result)
