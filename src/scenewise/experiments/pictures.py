"""Pictures of experiments: small files that a cell's models made, and figures that were drawn from its numbers.

A cell keeps its pictures in `pictures` in its folder. The package keeps those and the figures of an experiment in
`measured/figures/NAME-SIZE`, and the page of results has copies of them beside it.
"""

from __future__ import annotations

import importlib.util
import io
import shutil
from typing import TYPE_CHECKING, Any

from scenewise.media.contact_sheet import png
from scenewise.media.files import write_atomically, writing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import numpy as np

    Draw = Callable[[Any], None]
    """Draws on a matplotlib Figure."""

FOLDER = "pictures"
"""Folder of a cell's pictures, in its own."""

LARGEST = 150_000
"""Bytes from which on a picture is a JPEG."""

_QUALITIES = (90, 80, 70, 60, 50)


def encoded(picture: np.ndarray) -> tuple[str, bytes]:
    """Return the suffix and the bytes of a picture: PNG, or the best JPEG that is not larger than `LARGEST`.

    Args:
        picture: uint8, shape (h, w, 3).
    """
    from PIL import Image

    exact = png(picture)
    if len(exact) <= LARGEST:
        return ".png", exact
    lossy = b""
    for quality in _QUALITIES:
        with io.BytesIO() as buffer:
            Image.fromarray(picture).save(buffer, "JPEG", quality=quality, optimize=True)
            lossy = buffer.getvalue()
        if len(lossy) <= LARGEST:
            break
    return ".jpg", lossy


def write_pictures(folder: Path, pictures: Mapping[str, np.ndarray]) -> list[str]:
    """Write a cell's pictures in place of those that it had, and return the names of their files.

    Args:
        folder: The cell's.
        pictures: By name, uint8, shape (h, w, 3).

    Raises:
        InputError: They cannot be written.
    """
    place, files = folder / FOLDER, []
    with writing(place):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
    for name, picture in pictures.items():
        suffix, content = encoded(picture)
        files.append(f"{name}{suffix}")
        write_atomically(place / files[-1], content)
    return files


def drawn(draw: Draw) -> bytes | None:
    """Return a figure as PNG, drawn without a display, of the size that `draw` gives it; None without matplotlib."""
    if not importlib.util.find_spec("matplotlib"):
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure, buffer = Figure(figsize=(9, 3.6), dpi=120, layout="constrained"), io.BytesIO()
    FigureCanvasAgg(figure)
    draw(figure)
    figure.savefig(buffer, format="png", metadata={"Software": None})
    if buffer.tell() <= LARGEST:
        return buffer.getvalue()
    from PIL import Image

    buffer.seek(0)
    with Image.open(buffer) as image, io.BytesIO() as small:  # enough for lines and points, and a third of the size
        image.convert("RGB").quantize(256).save(small, "PNG", optimize=True)
        return small.getvalue()


def keep_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Let a folder hold these files and no others.

    Args:
        folder: Made where it is not there, and removed where it would be empty.
        files: Contents by name.

    Raises:
        InputError: It cannot be written.
    """
    with writing(folder):
        for file in sorted(folder.iterdir()) if folder.is_dir() else ():
            if file.is_file() and file.name not in files:
                file.unlink()
        if files:
            folder.mkdir(parents=True, exist_ok=True)
        elif folder.is_dir():
            folder.rmdir()
    for name, content in files.items():
        if not (folder / name).is_file() or (folder / name).read_bytes() != content:
            write_atomically(folder / name, content)
