"""Read and write video, images and masks; the heavy libraries are imported when they are first needed."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scenewise.media.annotations import JsonArrayWriter, TracksWriter, decode_rle, encode_rle, mask_box
    from scenewise.media.files import atomic_file, write_atomically
    from scenewise.media.palette import SLOT_COLOURS, read_palette_png, write_palette_png
    from scenewise.media.reader import MediaFrame, Selection, VideoReader
    from scenewise.media.reading import read_video, read_videos
    from scenewise.media.writing import VideoWriter

_PUBLIC = {
    "atomic_file": "files",
    "write_atomically": "files",
    "SLOT_COLOURS": "palette",
    "read_palette_png": "palette",
    "write_palette_png": "palette",
    "MediaFrame": "reader",
    "Selection": "reader",
    "VideoReader": "reader",
    "read_video": "reading",
    "read_videos": "reading",
    "JsonArrayWriter": "annotations",
    "decode_rle": "annotations",
    "encode_rle": "annotations",
    "TracksWriter": "annotations",
    "mask_box": "annotations",
    "VideoWriter": "writing",
}

__all__ = [
    "SLOT_COLOURS",
    "JsonArrayWriter",
    "MediaFrame",
    "Selection",
    "TracksWriter",
    "VideoReader",
    "VideoWriter",
    "atomic_file",
    "decode_rle",
    "encode_rle",
    "mask_box",
    "read_palette_png",
    "read_video",
    "read_videos",
    "write_atomically",
    "write_palette_png",
]

if not TYPE_CHECKING:  # a type checker that sees it takes every misspelt name for Any

    def __getattr__(name: str) -> object:
        """Import a public name when it is first used."""
        if name in _PUBLIC:
            return getattr(importlib.import_module(f"scenewise.media.{_PUBLIC[name]}"), name)
        raise AttributeError(f"module 'scenewise.media' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
