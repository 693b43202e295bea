"""Videos in segments, each by an encoder of its own, so that another process can go on writing after any of them."""

from __future__ import annotations

import os
import struct
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.errors import InputError
from scenewise.media.files import writing
from scenewise.media.writing import add_stream, encoder, padded_frame

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_HEAD = struct.Struct("<qqqqi")  # pts, dts, duration, whether a key frame, and how many bytes follow


class SegmentedVideoWriter:
    """An mp4 whose packets lie in a store until it is finished; the same frames give the same bytes, broken off or not.

    Args:
        path: The mp4; it appears with `finish`.
        size: (H, W) of the frames in pixels; odd sides are padded by one repeated row or column.
        frame_rate: Frames per second.
        store: File of the packets.
        segment: Frames of a segment.
        begun: What `state` returned in another process, to go on from; the store is cut back to it.

    Raises:
        InputError: The store cannot be read or written, or is shorter than it was.
    """

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        frame_rate: float,
        store: Path,
        segment: int,
        begun: Mapping[str, int] | None = None,
    ) -> None:
        self.path, self.size, self.segment = path, size, segment
        self.rate = Fraction(frame_rate).limit_denominator(1001)
        self.frames = 0 if begun is None else int(begun["frames"])
        self._store = open_store(store, 0 if begun is None else int(begun["bytes"]))
        self._encoder: Any = None

    def write(self, image: np.ndarray) -> None:
        """Append one frame, uint8, shape (H, W, 3).

        Raises:
            InputError: The shape or dtype is not that of the video, or the disk is full.
        """
        frame = padded_frame(image, self.size, self.path)
        if self._encoder is None:
            self._encoder = encoder(self.size, self.rate)
        frame.pts, frame.time_base = self.frames, 1 / self.rate
        self._keep(self._encoder.encode(frame))
        self.frames += 1
        if self.frames % self.segment == 0:
            self._end_segment()

    def state(self) -> dict[str, int]:
        """Return what another process needs to go on; to be asked for only where a segment has ended."""
        if self._encoder is not None:
            raise RuntimeError(f"{self.path}: frame {self.frames} lies within a segment")
        with writing(self.path):
            self._store.flush()
            return {"frames": self.frames, "bytes": self._store.tell()}

    def finish(self) -> None:
        """Write the mp4 of all frames so far; without one there is no file."""
        import av

        self._end_segment()
        if not self.frames:
            return
        with writing(self.path), av.open(f"file:{self.path.absolute()}", "w", format="mp4") as container:
            stream = add_stream(container, self.size, self.rate)
            for packet in self._packets():
                packet.stream = stream
                container.mux(packet)

    def close(self) -> None:
        """Let the store go, which stays where it is."""
        self._encoder = None
        self._store.close()

    def _end_segment(self) -> None:
        if self._encoder is not None:
            self._keep(self._encoder.encode(None))
            self._encoder = None

    def _keep(self, packets: list[Any]) -> None:
        with writing(self.path):
            for packet in packets:
                content = bytes(packet)
                head = _HEAD.pack(packet.pts, packet.dts, packet.duration or 1, packet.is_keyframe, len(content))
                self._store.write(head + content)

    def _packets(self) -> Iterator[Any]:
        """Yield the packets of the store; what is in it afterwards is as before."""
        import av

        end = self._store.seek(0, os.SEEK_END)
        self._store.seek(0)
        while self._store.tell() < end:
            pts, dts, duration, key, length = _HEAD.unpack(self._store.read(_HEAD.size))
            packet = av.Packet(self._store.read(length))
            packet.pts, packet.dts, packet.duration, packet.time_base = pts, dts, duration, 1 / self.rate
            packet.is_keyframe = bool(key)
            yield packet


def open_store(path: Path, length: int) -> Any:
    """Open a file to append to and to read; what it holds beyond a length is cut off.

    Args:
        path: The file; it is made where nothing is to be kept of it.
        length: Bytes to keep.

    Raises:
        InputError: It is no regular file, or shorter.
    """
    if length and not (path.is_file() and path.stat().st_size >= length):
        raise InputError(path, f"should hold {length} bytes, to be gone on from; found fewer.", "Begin anew.")
    with writing(path):
        file = path.open("r+b" if length else "w+b")
        file.truncate(length)
        file.seek(length)
    return file
