"""What is seen, as files to keep: latents of a frame, and a film of what the model makes of a stretch of frames."""

from __future__ import annotations

import io
import re
import uuid
from typing import TYPE_CHECKING

import numpy as np

from scenewise.decompose.clip import ClipFrame
from scenewise.decompose.drawing import draw
from scenewise.errors import InputError
from scenewise.explore.exploration import VideoExploration
from scenewise.media.palette import tinted
from scenewise.media.writing import VideoWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scenewise.viewer.desk import Desk

MOST_FRAMES = 600
"""Frames of a film at most."""

_SIDE, _GAP = 192, 6


def save(desk: Desk, kind: str, number: int, first: int, last: int, folder: Path) -> tuple[str, str, bytes]:
    """Return a file's name, media type and content.

    Args:
        desk: What is looked at.
        kind: "latents" of frame `number`; "gif" or "mp4" of frames `first` to `last`.
        number: A frame.
        first: A frame.
        last: A frame, not before it.
        folder: Where a film may lie while it is made.

    Raises:
        InputError: There is nothing of that kind, or too much of it.
    """
    stem = re.sub(r"[^\w.-]+", "_", desk.looking.name, flags=re.ASCII).strip("._") or "frames"
    if kind == "latents":
        return f"{stem}-{number}-latents.npz", "application/octet-stream", _latents(desk, number)
    if kind not in ("gif", "mp4"):
        raise InputError(kind, "is nothing that can be saved.", "Choose latents, gif or mp4.")
    if not 0 <= first <= last or last - first >= MOST_FRAMES:
        raise InputError("frames", f"must be {first} <= last, and at most {MOST_FRAMES}.", "Choose fewer frames.")
    name = f"{stem}-{first}-{last}.{kind}"
    if kind == "gif":
        return name, "image/gif", _gif(desk, first, last)
    return name, "video/mp4", _mp4(desk, first, last, folder)


def _latents(desk: Desk, number: int) -> bytes:
    moment = desk.looking.moment(number)
    std, prior_std = ((0.5 * g.log_variance).exp().cpu().numpy() for g in (moment.posterior, moment.prior))
    part = moment.decomposition
    with io.BytesIO() as buffer:
        np.savez_compressed(
            buffer,
            frame=moment.index,
            mean=moment.posterior.mean.cpu().numpy(),
            std=std,
            prior_mean=moment.prior.mean.cpu().numpy(),
            prior_std=prior_std,
            kl=moment.kl,
            masks=part.masks[0, 0, :, 0].cpu().numpy(),
            labels=part.labels[0, 0].cpu().numpy().astype(np.uint16),
        )
        return buffer.getvalue()


def _panels(desk: Desk, first: int, last: int) -> Iterator[np.ndarray]:
    """Yield frame, slots and reconstruction side by side, uint8, shape (H, W, 3)."""
    for number in range(first, last + 1):
        moment = desk.looking.moment(number)
        frame = draw(ClipFrame(moment.index, moment.time_s, moment.image), moment.decomposition)
        roles = desk.roles(number, moment)
        background = roles.index("background") if "background" in roles else None
        factor = max(1, _SIDE // max(frame.labels.shape))
        images = (frame.image, tinted(frame.image, frame.masks, background), frame.picture)
        large = [image.repeat(factor, 0).repeat(factor, 1) for image in images]
        gap = np.full((large[0].shape[0], _GAP, 3), 24, np.uint8)
        yield np.concatenate([large[0], gap, large[1], gap, large[2]], 1)


def _rate(desk: Desk) -> float:
    rate = desk.looking.clip.frame_rate if isinstance(desk.looking, VideoExploration) else None
    return min(max(rate or 10.0, 1.0), 60.0)


def _gif(desk: Desk, first: int, last: int) -> bytes:
    from PIL import Image

    images = [Image.fromarray(panel) for panel in _panels(desk, first, last)]
    with io.BytesIO() as buffer:
        duration = max(20, round(1000 / _rate(desk)))
        images[0].save(buffer, "GIF", save_all=True, append_images=images[1:], duration=duration, loop=0)
        return buffer.getvalue()


def _mp4(desk: Desk, first: int, last: int, folder: Path) -> bytes:
    path = folder / f"{uuid.uuid4().hex}.mp4"
    panels = _panels(desk, first, last)
    begin = next(panels)
    try:
        with VideoWriter(path, begin.shape[:2], _rate(desk)) as writer:
            writer.write(begin)
            for panel in panels:
                writer.write(panel)
        return path.read_bytes()
    finally:
        path.unlink(missing_ok=True)
