"""Video files by PyAV: one filter graph turns, crops, scales and converts each frame in a single pass."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING, Any

from scenewise.errors import InputError
from scenewise.media.files import check_readable, describe, reading
from scenewise.media.reader import MediaFrame, Selection, VideoReader, safe_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np

VIDEO_ENDINGS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif")

# A playlist posing as a video must not make us read other files or the network.
_OPEN_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": "mov,matroska,webm,avi,gif"}
_EXPECTED = "an mp4, mov, mkv, webm, avi or gif video"
_REMEDY = "Check that it plays, or convert it to mp4."
_LARGEST_FRAME = 1 << 27  # pixels; a corrupt header can claim any size

_TICK = Fraction(1, 1000)  # the graph must be given some time base; timestamps are read from the frames

# Signs of the display matrix's numbers 0, 1, 3, 4 to the filters that carry it out.
_TURNS = {
    (0, 1, -1, 0): ("transpose=clock",),
    (-1, 0, 0, -1): ("hflip", "vflip"),
    (0, -1, 1, 0): ("transpose=cclock",),
    (-1, 0, 0, 1): ("hflip",),
    (1, 0, 0, -1): ("vflip",),
    (0, 1, 1, 0): ("transpose=cclock_flip",),
    (0, -1, -1, 0): ("transpose=clock_flip",),
}


@dataclass(frozen=True)
class _Probe:
    """What the header and the first frame tell."""

    size: tuple[int, int]
    turns: tuple[str, ...]
    time_base: Fraction
    first_pts: int | None
    frame_rate: float | None
    total: int | None


@dataclass(frozen=True)
class _Jump:
    """Where to seek, and the constant time from frame to frame, in the stream's time base."""

    timestamp: int
    step: float


class VideoFileReader(VideoReader):
    """Frames of a video file; see `VideoReader`.

    Rotation and mirroring in the metadata are applied, transparency is laid on black, timestamps are the file's own.
    A file that breaks off gives the frames there are, with a warning and an entry in `problems`.

    Args:
        path: The file.
        selection: What is wanted.

    Raises:
        InputError: The file is missing, empty, no video, or holds no frame that can be decoded.
    """

    def __init__(self, path: Path, selection: Selection) -> None:
        check_readable(path)
        self._probe = _probe(path)
        size, rate, total = self._probe.size, self._probe.frame_rate, self._probe.total
        super().__init__(path, safe_name(path), size, selection, rate, total)

    def _read(self) -> Iterator[MediaFrame]:
        convert = _Converter(self._probe.turns, self.selection, self.size)
        for index, frame in self._numbered():
            if self.selection.ends_at(index):
                return
            if self.selection.takes(index):
                yield MediaFrame(index, self._time(frame), self._image(convert, frame, index))

    def _image(self, convert: _Converter, frame: Any, index: int) -> np.ndarray:
        where = f"{self.path}, frame {index}"
        self.selection.within(_turned((frame.height, frame.width), self._probe.turns), where)
        with reading(where, "pixels that can be converted to RGB", _REMEDY):
            return convert(frame)

    def _time(self, frame: Any) -> float | None:
        if frame.pts is None or self._probe.first_pts is None:
            return None
        return float((frame.pts - self._probe.first_pts) * self._probe.time_base)

    def _numbered(self) -> Iterator[tuple[int, Any]]:
        """Number the frames: from `start` after a seek where that is safe, else from 0."""
        start, jump = self.selection.start, self._jump()
        if jump is not None:
            frames = self._decoded(jump)
            first = self._first_after(jump, frames)
            if first is not None:
                yield from enumerate(chain([first], frames), start)
                return
        yield from enumerate(self._decoded(None))

    def _first_after(self, jump: _Jump, frames: Iterator[Any]) -> Any:
        """Return frame `start`, or None where the seek landed behind it."""
        for frame in frames:
            if frame.pts is None:
                return None
            index = round((frame.pts - (self._probe.first_pts or 0)) / jump.step)
            if index >= self.selection.start:
                return frame if index == self.selection.start else None
        return None

    def _jump(self) -> _Jump | None:
        if self.selection.start == 0 or self._probe.first_pts is None:
            return None
        with reading(self.path, _EXPECTED, _REMEDY):
            container, stream = _open(self.path)
            with container:
                return _jump_to(stream, self.selection.start, self._probe.first_pts)

    def _decoded(self, jump: _Jump | None) -> Iterator[Any]:
        with reading(self.path, _EXPECTED, _REMEDY):
            container, stream = _open(self.path)
        with container:
            if jump is not None:
                with reading(self.path, "a video that can be sought", _REMEDY):
                    container.seek(jump.timestamp, stream=stream)
            decoding = _Decoding(container, stream)
            yield from decoding
            self._note_problems(decoding, sought=jump is not None)

    def _note_problems(self, decoding: _Decoding, sought: bool) -> None:
        expected = decoding.announced - decoding.discarded
        missing = not sought and 0 < decoding.count < expected
        if missing or decoding.error:
            read = f"{decoding.count} of {expected} frames" if missing else "the frames there are"
            reason = f" ({decoding.error})" if decoding.error else ""
            self._note(f"is cut off or damaged{reason}; {read} could be read.")


class _Decoding:
    """All frames of a stream that can be decoded; broken packets are passed over and remembered in `error`."""

    def __init__(self, container: Any, stream: Any) -> None:
        self._container, self._stream = container, stream
        self.announced: int = stream.frames
        self.error = ""
        self.count = 0
        self.discarded = 0

    def __iter__(self) -> Iterator[Any]:
        for packet in self._packets():
            self.discarded += bool(packet is not None and packet.is_discard)
            try:
                frames = self._stream.decode(packet)
            except Exception as error:  # one broken packet does not end the video
                self.error = describe(error)
                continue
            self.count += len(frames)
            yield from frames

    def _packets(self) -> Iterator[Any]:
        """Yield packets up to the end of what can be read, then None, which flushes the decoder."""
        try:
            for packet in self._container.demux(self._stream):
                if packet.size:
                    yield packet
        except Exception as error:  # nothing after this can be found; what came before is good
            self.error = describe(error)
        yield None


class _Converter:
    """Frame to uint8 (H, W, 3) by a filter graph, rebuilt only where the frames' size or format changes."""

    def __init__(self, turns: tuple[str, ...], selection: Selection, size: tuple[int, int]) -> None:
        self._filters = list(turns)
        if selection.crop is not None:
            top, left, height, width = selection.crop
            self._filters.append(f"crop={width}:{height}:{left}:{top}:exact=1")
        self._size = size
        self._kind: tuple[Any, ...] = ()
        self._graph: Any = None

    def __call__(self, frame: Any) -> np.ndarray:
        kind = (frame.width, frame.height, frame.format.name)
        if kind != self._kind:
            self._graph, self._kind = self._build(frame), kind
        self._graph.vpush(frame)
        return self._graph.vpull().to_ndarray()  # type: ignore[no-any-return]

    def _build(self, frame: Any) -> Any:
        from av.filter import Graph

        filters = list(self._filters)
        if any(component.is_alpha for component in frame.format.components):
            filters += ["format=gbrap16", "premultiply=inplace=1"]  # lays it on black; in 8 bits opaque is off by one
        filters += [f"scale={self._size[1]}:{self._size[0]}:flags=area", "format=rgb24"]
        graph = Graph()
        nodes = [graph.add_buffer(width=frame.width, height=frame.height, format=frame.format.name, time_base=_TICK)]
        for text in filters:
            name, _, arguments = text.partition("=")
            nodes.append(graph.add(name, arguments or None))
        nodes.append(graph.add("buffersink"))
        graph.link_nodes(*nodes).configure()
        return graph


def _open(path: Path) -> tuple[Any, Any]:
    """Return the open container and its first real video stream."""
    import av

    container = av.open(f"file:{path.absolute()}", options=_OPEN_OPTIONS)
    try:
        return container, _video_stream(container, path)
    except BaseException:
        container.close()
        raise


def _video_stream(container: Any, path: Path) -> Any:
    from av.stream import Disposition

    for stream in container.streams.video:
        if stream.disposition & Disposition.attached_pic:
            continue
        if stream.codec_context is None:
            raise InputError(path, "its video codec is not known here.", "Convert it to H.264 in mp4.")
        if stream.width * stream.height > _LARGEST_FRAME:
            found = f"{stream.width}x{stream.height}"
            raise InputError(path, f"expected at most {_LARGEST_FRAME} pixels per frame; found {found}.", _REMEDY)
        return stream
    kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
    raise InputError(path, f"expected a video stream; found {kinds}.", "Give a file with moving pictures.")


def _probe(path: Path) -> _Probe:
    with reading(path, _EXPECTED, _REMEDY):
        container, stream = _open(path)
        with container:
            decoding = _Decoding(container, stream)
            frame = next(iter(decoding), None)
            if frame is None:
                reason = f" ({decoding.error})" if decoding.error else ""
                raise InputError(path, f"holds no frame that can be decoded{reason}.", _REMEDY)
            turns = _turns(frame)
            rate = float(stream.average_rate or stream.guessed_rate or 0) or None
            size = _turned((frame.height, frame.width), turns)
            return _Probe(size, turns, stream.time_base, frame.pts, rate, _total(stream, rate))


def _total(stream: Any, rate: float | None) -> int | None:
    if stream.frames:
        return int(stream.frames)
    seconds = stream.duration * stream.time_base if stream.duration else (stream.container.duration or 0) / 1_000_000
    return round(float(seconds) * rate) or None if rate and seconds > 0 else None


def _turns(frame: Any) -> tuple[str, ...]:
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return ()
    numbers = struct.unpack("=9i", bytes(matrix)[:36])
    signs = tuple((number > 1 << 15) - (number < -(1 << 15)) for number in (numbers[i] for i in (0, 1, 3, 4)))
    return _TURNS.get(signs, ())


def _turned(size: tuple[int, int], turns: tuple[str, ...]) -> tuple[int, int]:
    return (size[1], size[0]) if any("transpose" in turn for turn in turns) else size


def _jump_to(stream: Any, start: int, first_pts: int) -> _Jump | None:
    """Return the way to frame `start` where the index lists every frame and all are the same time apart."""
    entries = getattr(stream, "index_entries", None)
    if "mp4" not in stream.container.format.name or not entries or len(entries) != stream.frames:
        return None
    times = [entry.timestamp for entry in entries]
    step = (times[-1] - times[0]) / max(1, len(times) - 1)
    if step <= 0 or any(abs(time - times[0] - i * step) > step / 4 for i, time in enumerate(times)):
        return None
    return _Jump(round(first_pts + start * step), step)
