"""Write videos that browsers play and that are readable even when the writing was interrupted."""

from __future__ import annotations

import math
import os
import struct
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.errors import InputError
from scenewise.media.files import writing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

# Fragments are flushed as they fill; the first of these makes the closed file a plain mp4, from this version on.
_MUXING = "hybrid_fragmented"
_MUXING_SINCE = (61, 7, 0)
_MUXING_BEFORE = "frag_keyframe+empty_moov+default_base_moof"
# Without looking ahead, x264 propagates no quality through macroblocks ("mbtree"): with small frames that reads memory
# it has not written, and the same frames give other bytes now and then. Size and error are those of crf 16 with it.
_ENCODERS: dict[str, dict[str, str]] = {
    "libx264": {"crf": "19", "preset": "veryfast", "rc-lookahead": "0"},
    "mpeg4": {"qscale": "3"},
}
_HEAD = struct.Struct("<qqqqi")  # pts, dts, duration, whether a key frame, and how many bytes follow


class VideoWriter:
    """An mp4 file written frame by frame in constant memory (H.264, or MPEG-4 where there is no H.264 encoder).

    Use it as a context manager: it is then a complete file also after Ctrl-C or an error. Even a killed process leaves
    a file that plays up to its last two seconds or so.

    Args:
        path: The file to write; its folder must exist.
        size: (H, W) of the frames in pixels; odd sides are padded by one repeated row or column.
        frame_rate: Frames per second.

    Raises:
        InputError: The folder cannot be written, the disk is full, or a value is out of range.

    Examples:
        >>> from scenewise.media import read_video
        >>> with VideoWriter("clip.mp4", size=(48, 64), frame_rate=10) as writer:
        ...     for level in (0, 100, 200):
        ...         writer.write(np.full((48, 64, 3), level, np.uint8))
        >>> [frame.time_s for frame in read_video("clip.mp4")]
        [0.0, 0.1, 0.2]
    """

    def __init__(self, path: str | Path, size: tuple[int, int], frame_rate: float) -> None:
        self.path = Path(path)
        self.size = size
        self.frames = 0
        if not (math.isfinite(frame_rate) and 0 < frame_rate <= 1000):
            raise InputError(
                "frame_rate", f"expected more than 0 and at most 1000 frames per second; found {frame_rate}."
            )
        if min(size) < 1:
            raise InputError("size", f"expected height and width of at least 1; found {size}.")
        self._container, self._stream = self._open(Fraction(frame_rate).limit_denominator(1001))

    def write(self, image: np.ndarray) -> None:
        """Append one frame.

        Args:
            image: uint8, shape (H, W, 3).

        Raises:
            InputError: The shape or dtype is not that of the video, or the disk is full.
        """
        self._encode(padded_frame(image, self.size, self.path))
        self.frames += 1

    def close(self) -> None:
        """Write what the encoder still holds and finish the file; one without frames is removed."""
        if self._container is None:
            return
        try:
            self._encode(None)
        finally:
            container, self._container = self._container, None
            with writing(self.path):
                container.close()
                if not self.frames:
                    self.path.unlink(missing_ok=True)

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.close()
        except InputError:
            if error is None:  # the first error tells more
                raise

    def _encode(self, frame: Any) -> None:
        if self._container is None:
            raise InputError(self.path, "is closed.", "Open a new writer.")
        with writing(self.path):
            for packet in self._stream.encode(frame):
                self._container.mux(packet)

    def _open(self, rate: Fraction) -> tuple[Any, Any]:
        """Open the file; its header waits for the first packet, as finishing a file that has none can crash."""
        import av

        muxing = _MUXING if av.library_versions["libavformat"] >= _MUXING_SINCE else _MUXING_BEFORE
        with writing(self.path):
            self.path.open("wb").close()
            options = {"movflags": muxing, "flush_packets": "1"}
            container = av.open(f"file:{self.path.absolute()}", "w", format="mp4", options=options)
        return container, add_stream(container, self.size, rate)


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


def padded_frame(image: np.ndarray, size: tuple[int, int], path: Path) -> Any:
    """Return an image as a frame for an encoder, its odd sides padded by one repeated row or column.

    Args:
        image: uint8, shape (H, W, 3).
        size: (H, W) it must have.
        path: The video, for the message.

    Raises:
        InputError: It has another shape or dtype.
    """
    from av import VideoFrame

    if image.shape != (*size, 3) or image.dtype != np.uint8:
        expected, actual = f"uint8 {(*size, 3)}", f"{image.dtype} {image.shape}"
        raise InputError(path, f"expected frames of {expected}; found {actual}.")
    if size[0] % 2 or size[1] % 2:
        image = np.pad(image, ((0, size[0] % 2), (0, size[1] % 2), (0, 0)), mode="edge")
    return VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")


def add_stream(container: Any, size: tuple[int, int], rate: Fraction) -> Any:
    """Add a video of frames (H, W) to an open container."""
    name, options = _encoder_here()
    stream = container.add_stream(name, rate=rate, options=options)
    _settle(stream, size)
    stream.codec_context.gop_size = _key_distance(rate)
    return stream


def encoder(size: tuple[int, int], rate: Fraction) -> Any:
    """Return an encoder of frames (H, W) whose packets suit the stream that `add_stream` makes."""
    from av.codec.codec import Codec
    from av.codec.context import CodecContext, Flags

    name, options = _encoder_here()
    context: Any = CodecContext.create(Codec(name, "w"), "w")
    context.options = options
    _settle(context, size)
    context.framerate, context.time_base = rate, 1 / rate
    context.gop_size = _key_distance(rate)
    context.flags |= Flags.global_header
    return context


def _settle(target: Any, size: tuple[int, int]) -> None:
    target.height, target.width = (side + side % 2 for side in size)
    target.pix_fmt = "yuv420p"


def _key_distance(rate: Fraction) -> int:
    return max(1, min(48, round(2 * rate)))


def _encoder_here() -> tuple[str, dict[str, str]]:
    """Return the name and options of the best encoder that this build has."""
    import av

    for name, options in _ENCODERS.items():
        if name in av.codecs_available:
            return name, options
    raise InputError("av", "this build of PyAV has no encoder for mp4.", "Install a wheel of av from PyPI.")
