"""Writes folders for people and other programs: images or films of every video, and its ids as palette images."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from scenewise.data.shards.writers.base import register_writer
from scenewise.media import VideoWriter, write_palette_png
from scenewise.media.folders import OutputFolder

if TYPE_CHECKING:
    from pathlib import Path

    from scenewise.data.contract import Sample
    from scenewise.data.shards.writers.base import Progress, Stop, WriteRequest


def write(kind: str, request: WriteRequest, out: Path, progress: Progress, stop: Stop) -> None:
    """Write a folder of videos, which appears when it is complete; `kind` as of `write_video`."""
    source = request.open()
    with OutputFolder(out, request.overwrite) as output:
        for index in range(request.samples):
            write_video(source.sample(index), output.path, f"{index:05d}", kind)
            progress(index + 1, request.samples)
        output.commit()


def write_video(sample: Sample, folder: Path, name: str, kind: str, frame_rate: float = 12.0) -> None:
    """Write one video below a folder: `images/NAME/%05d.png` or `NAME.mp4`, and ids as `ids/NAME/%05d.png`.

    Args:
        sample: The video.
        folder: Where to; exists.
        name: Its name.
        kind: "png" or "mp4".
        frame_rate: Of an mp4, frames per second.
    """
    images = np.moveaxis(sample.frames, 1, -1)  # (T, H, W, C)
    images = np.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images
    if kind == "mp4":
        with VideoWriter(folder / f"{name}.mp4", images.shape[1:3], frame_rate) as writer:
            for image in images:
                writer.write(image)
    else:
        from PIL import Image

        (folder / "images" / name).mkdir(parents=True)
        for t, image in enumerate(images):
            Image.fromarray(image).save(folder / "images" / name / f"{t:05d}.png")
    if sample.ids is not None:
        (folder / "ids" / name).mkdir(parents=True)
        for t, ids in enumerate(sample.ids):
            write_palette_png(folder / "ids" / name / f"{t:05d}.png", np.where(ids < 0, 255, ids))


register_writer("png", "images of frames and ids")(functools.partial(write, "png"))
register_writer("mp4", "films, and images of ids")(functools.partial(write, "mp4"))
