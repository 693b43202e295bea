"""Video files by PyAV: one filter graph turns, crops, scales and converts each frame in a single pass."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from heapq import heappop, heappush
from itertools import chain
from typing import TYPE_CHECKING, Any

from scenewise.errors import InputError
from scenewise.media.container import (
    EXPECTED,
    REMEDY,
    OpenVideo,
    breaks_off,
    codec_name,
    is_encrypted,
    more_layers,
    open_video,
    turns_of,
)
from scenewise.media.files import check_readable, describe, reading
from scenewise.media.hdr import HDR, REFERENCE_WHITE, TRANSFERS, ToneMap
from scenewise.media.pixels import UsedRange
from scenewise.media.reader import MediaFrame, Selection, VideoReader, safe_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np

VIDEO_ENDINGS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif")

_TICK = Fraction(1, 1000)  # the graph must be given some time base; timestamps are read from the frames
_BT2020_NC, _UNSPECIFIED = 9, 2  # matrices of YUV in ITU-T H.273
_JITTER = 4  # frames by which time stamps may fall back by mistake; by more, something else begins there
_LEAST_RISE = 0.001  # seconds
_HIGHLIGHT = 1.1  # of white; what is no brighter may be rounding of the codec
_FRAME_BY_FRAME = {"h264", "hevc", "vp8", "vp9", "av1", "mjpeg", "png", "ffv1", "gif", "prores", "qtrle", "rawvideo"}
"""Codecs of which each packet gives one frame where they are not interlaced: packets count as frames."""
_REORDERED = {"h264", "hevc"}
"""Codecs of which each packet has a frame, but not in the order in which frames are shown."""


@dataclass(frozen=True)
class _Probe:
    """What the header and the first frame tell."""

    size: tuple[int, int]
    turns: tuple[str, ...]
    time_base: Fraction
    first_pts: int | None
    frame_rate: float | None
    total: int | None
    tone_map: ToneMap | None
    interlaced: bool
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Jump:
    """Where to seek for a frame.

    Attributes:
        timestamp: Of the frame, in the stream's time base.
        step: The constant time from frame to frame, in that base.
    """

    timestamp: int
    step: float


class VideoFileReader(VideoReader):
    """Frames of a video file; see `VideoReader`.

    Rotation and mirroring in the metadata are applied, transparency is laid on black, HDR is brought to BT.709,
    timestamps are the file's own as far as they rise. A file that breaks off gives the frames there are, with a warning
    and an entry in `problems`, and so does one that holds more than is read of it.

    Args:
        path: The file.
        selection: What is wanted.

    Raises:
        InputError: The file is missing, empty, no video, or holds no frame that can be decoded.
    """

    def __init__(self, path: Path, selection: Selection) -> None:
        check_readable(path)
        self._probe = _probe(path, selection.stream)
        size, rate, total = self._probe.size, self._probe.frame_rate, self._probe.total
        super().__init__(path, safe_name(path), size, selection, rate, total)
        for note in self._probe.notes:
            self.note(note)

    def frame_count(self) -> int:
        """Return how many frames of the selection there are.

        Packets are counted, which is quick; frames are decoded only where the two may differ in number.
        """
        with reading(self.path, EXPECTED, REMEDY):
            video = open_video(self.path, self.selection.stream)
            with video.container:
                decoding = Decoding(video)
                packets = sum(1 for packet in decoding.packets() if packet is not None and not packet.is_discard)
                alike = codec_name(video.stream) in _FRAME_BY_FRAME and not self._probe.interlaced
                whole = not decoding.error and not self._breaks_off(decoding)
        total = packets if alike and whole else sum(1 for _ in self._decoded(None))
        return len(range(total)[self.selection.start : self.selection.stop : self.selection.every])

    def _read(self) -> Iterator[MediaFrame]:
        convert = _Converter(self._probe, self.selection, self.size)
        clock = _Clock(self._probe)
        for index, frame in self._numbered():
            if self.selection.ends_at(index):
                break
            time_s = clock(frame, index)
            if self.selection.takes(index):
                where = f"{self.path}, frame {index}"
                self.selection.within(_turned((frame.height, frame.width), self._probe.turns), where)
                with reading(where, "pixels that can be converted to RGB", REMEDY):
                    image = convert(frame)
                yield MediaFrame(index, time_s, image)
        for problem in (*convert.problems(), *clock.problems()):
            self.note(problem)

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

    def _first_after(self, jump: Jump, frames: Iterator[Any]) -> Any:
        """Return frame `start`, or None where the seek landed behind it."""
        for frame in frames:
            if frame.pts is None:
                return None
            index = round((frame.pts - (self._probe.first_pts or 0)) / jump.step)
            if index >= self.selection.start:
                return frame if index == self.selection.start else None
        return None

    def _jump(self) -> Jump | None:
        if self.selection.start == 0 or self._probe.first_pts is None:
            return None
        with reading(self.path, EXPECTED, REMEDY):
            video = open_video(self.path, self.selection.stream)
            with video.container:
                return jump_to(video.stream, self.selection.start, self._probe.first_pts)

    def _decoded(self, jump: Jump | None) -> Iterator[Any]:
        with reading(self.path, EXPECTED, REMEDY):
            video = open_video(self.path, self.selection.stream)
        with video.container:
            if jump is not None:
                with reading(self.path, "a video that can be sought", REMEDY):
                    video.container.seek(jump.timestamp, stream=video.stream)
            decoding = Decoding(video)
            yield from decoding
            self._note_problems(decoding, sought=jump is not None)

    def _note_problems(self, decoding: Decoding, sought: bool) -> None:
        cut = decoding.count > 0 and self._breaks_off(decoding, sought)
        if not cut and not decoding.error:
            return
        listed = decoding.indexed >= decoding.packet_count
        expected = decoding.expected if listed else self._probe.total or 0
        read = "the frames there are"
        if not sought:
            missing = f" of {'' if listed else 'about '}{expected}" if expected > decoding.count else ""
            read = f"{decoding.count}{missing} frames"
        reason = f" ({decoding.error})" if decoding.error else ""
        self.note(f"is cut off or damaged{reason}; {read} could be read.")

    def _breaks_off(self, decoding: Decoding, sought: bool = False) -> bool:
        """Return whether frames are missing at the end: those that an index lists, or a part of the file itself."""
        if decoding.indexed and not sought and decoding.packet_count < decoding.indexed:
            return True
        container = decoding.video.container.format.name
        return not decoding.reached_the_last and breaks_off(self.path, container)


class Decoding:
    """All frames of a stream that can be decoded; broken packets are passed over and remembered in `error`.

    Attributes:
        error: What a decoder said last.
        count: Frames so far.
        packet_count: Packets so far, those included that are not to be shown.
        discarded: Packets that are not to be shown.
        layers: Whether the first packet holds pictures of more layers than the one that is read.
    """

    def __init__(self, video: OpenVideo) -> None:
        self.video = video
        self._is_avi = video.container.format.name == "avi"
        self._reorders = codec_name(video.stream) in _REORDERED
        self._slots: list[int] = []  # of packets whose frames have not come yet
        self.error = ""
        self.count = 0
        self.packet_count = 0
        self.discarded = 0
        self.layers = False
        self._last_dts: int | None = None
        self._avi_index = _entries(video.stream) if self._is_avi else 0

    @property
    def indexed(self) -> int:
        """Packets that the file's index lists, 0 where it has none of every packet."""
        if "mp4" in self.video.container.format.name:
            return _entries(self.video.stream)  # of a file in fragments it grows as they are read
        return self._avi_index

    @property
    def expected(self) -> int:
        """Frames that the index lists and that are to be shown."""
        return self.indexed - self.discarded

    @property
    def reached_the_last(self) -> bool:
        """Whether the packet of an AVI was read that is the last by the number of frames in its head."""
        last, frames = self._last_dts, self.video.stream.frames
        return self._is_avi and last is not None and 0 < frames <= last + 1

    def __iter__(self) -> Iterator[Any]:
        for packet in self.packets():
            try:
                frames = self.video.decoder.decode(packet)
            except Exception as error:  # one broken packet does not end the video
                self.error = describe(error)
                continue
            self.count += len(frames)
            for frame in frames:
                self._stamp(frame)
                yield frame

    def _stamp(self, frame: Any) -> None:
        """Give a frame its time stamp where the container has none of its own; what FFmpeg makes up may run back.

        A packet of an AVI has a place in the order of decoding. Frames come in the order in which they are shown, so
        that each takes the first place that is left; but MPEG-4 has packets without a frame, so that there a frame
        takes the place of the packet with which it came.
        """
        if self._is_avi:
            frame.pts = heappop(self._slots) if self._reorders and self._slots else frame.dts
        elif frame.pts is None:
            frame.pts = frame.dts

    def packets(self) -> Iterator[Any]:
        """Yield packets up to the end of what can be read, then None, which flushes the decoder."""
        try:
            for packet in self.video.container.demux(self.video.stream):
                if not packet.size:
                    continue
                if not self.packet_count:
                    self.layers = more_layers(self.video.stream, packet)
                self.packet_count += 1
                self.discarded += bool(packet.is_discard)
                self._last_dts = packet.dts
                if self._is_avi and self._reorders and packet.dts is not None:
                    heappush(self._slots, packet.dts)
                yield packet
        except Exception as error:  # nothing after this can be found; what came before is good
            self.error = describe(error)
        yield None


def _entries(stream: Any) -> int:
    return len(getattr(stream, "index_entries", None) or ())


class _Clock:
    """Times of frames in seconds after the first one, which rise strictly.

    A frame's own time stamp counts. Where it has none, it comes a frame's length after the frame before, also where the
    first ones have none; where time stamps fall back, as where recordings were put together, those after follow.
    """

    def __init__(self, probe: _Probe) -> None:
        self._probe = probe
        self._step = 1 / probe.frame_rate if probe.frame_rate else 1 / 25
        self._first = probe.first_pts
        self._last: float | None = None
        self._shift = 0.0
        self._fallen = 0

    def __call__(self, frame: Any, index: int) -> float | None:
        """Return the time of a frame; frames are given in order."""
        if self._first is None and self._probe.frame_rate is None:
            return None
        if frame.pts is None:
            self._last = index * self._step if self._last is None else self._last + self._step
            return self._last
        if self._first is None:
            self._first = frame.pts
            self._shift = 0.0 if self._last is None else self._last + self._step
        time_s = float((frame.pts - self._first) * self._probe.time_base) + self._shift
        if self._last is not None and time_s <= self._last:
            self._fallen += 1
            begun_anew = self._last - time_s > _JITTER * self._step
            rise = self._step if begun_anew else _LEAST_RISE
            self._shift += self._last + rise - time_s if begun_anew else 0
            time_s = self._last + rise
        self._last = time_s
        return time_s

    def problems(self) -> list[str]:
        """Return what was wrong with the time stamps."""
        if not self._fallen:
            return []
        times = "once" if self._fallen == 1 else f"{self._fallen} times"
        return [f"has time stamps that do not rise ({times}); times go on from the frame before."]


class _Converter:
    """Frame to uint8 (H, W, 3) by a filter graph, rebuilt only where the frames' size or format changes."""

    def __init__(self, probe: _Probe, selection: Selection, size: tuple[int, int]) -> None:
        self._tone_map = probe.tone_map
        self._filters = list(probe.turns)
        if selection.crop is not None:
            top, left, height, width = selection.crop
            self._filters.append(f"crop={width}:{height}:{left}:{top}:exact=1")
        self._size = size
        self._kind: tuple[Any, ...] = ()
        self._graph: Any = None
        self._range: UsedRange | None = None
        self._light = 0.0

    def __call__(self, frame: Any) -> np.ndarray:
        kind = (frame.width, frame.height, frame.format.name)
        if kind != self._kind:
            self._graph, self._kind = self._build(frame), kind
        self._graph.vpush(frame)
        image: np.ndarray = self._graph.vpull().to_ndarray()
        if self._tone_map is not None:
            image, light = self._tone_map(image)
            self._light = max(self._light, light)
        elif self._range is not None:
            self._range.see(int(image.max()), 255)
        return image

    def problems(self) -> list[str]:
        """Return what of the frames' values could not be shown, or is shown too dark."""
        problems = [] if self._range is None else self._range.problems()
        if self._tone_map is not None and self._light > _HIGHLIGHT * REFERENCE_WHITE:
            problems.append(
                f"is HDR ({TRANSFERS[self._tone_map.transfer]}), read as BT.709: highlights of up to "
                f"{self._light:.0f} cd/m2 became as bright as white, which is {REFERENCE_WHITE:.0f}."
            )
        return problems

    def _build(self, frame: Any) -> Any:
        from av.filter import Graph

        filters = list(self._filters)
        components = frame.format.components
        if _has_alpha(frame):
            filters += ["format=gbrap16", "premultiply=inplace=1"]  # lays it on black; in 8 bits opaque is off by one
        scale = f"scale={self._size[1]}:{self._size[0]}:flags=area"
        if self._tone_map is None:
            filters += [scale, "format=rgb24"]
            if max(component.bits for component in components) == 16:
                self._range = self._range or UsedRange()
        else:
            unnamed = frame.colorspace == _UNSPECIFIED and self._tone_map.transfer in HDR
            matrix = ":in_color_matrix=bt2020" if unnamed else ""
            filters += ["setparams=color_trc=bt709", scale + matrix, "format=rgb48le"]  # FFmpeg knows not all curves
        graph = Graph()
        nodes = [graph.add_buffer(width=frame.width, height=frame.height, format=frame.format.name, time_base=_TICK)]
        for text in filters:
            name, _, arguments = text.partition("=")
            nodes.append(graph.add(name, arguments or None))
        nodes.append(graph.add("buffersink"))
        graph.link_nodes(*nodes).configure()
        return graph


def _has_alpha(frame: Any) -> bool:
    return any(component.is_alpha for component in frame.format.components)


def _probe(path: Path, number: int | None) -> _Probe:
    with reading(path, EXPECTED, REMEDY):
        video = open_video(path, number)
        with video.container:
            decoding, stream = Decoding(video), video.stream
            if "mp4" in video.container.format.name and is_encrypted(path):
                raise InputError(path, "is encrypted; its pictures cannot be read.", "Get a copy without protection.")
            frame = next(iter(decoding), None)
            if frame is None:
                reason = f" ({decoding.error})" if decoding.error else ""
                raise InputError(path, f"holds no frame that can be decoded{reason}.", REMEDY)
            turns = turns_of(frame)
            rate = float(stream.average_rate or stream.guessed_rate or 0) or None
            tone_map, notes = _colours(frame, stream)
            if decoding.layers and not _has_alpha(frame):
                notes.append(
                    "holds pictures in a second layer, transparency or a second view, which are left out; av 19 and "
                    "later read transparency (pip install -U av)."
                )
            return _Probe(
                size=_turned((frame.height, frame.width), turns),
                turns=turns,
                time_base=stream.time_base,
                first_pts=frame.pts,
                frame_rate=rate,
                total=_total(stream, rate),
                tone_map=tone_map,
                interlaced=frame.interlaced_frame,
                notes=(*video.notes, *notes),
            )


def _colours(frame: Any, stream: Any) -> tuple[ToneMap | None, list[str]]:
    """Return how frames become BT.709, None where they are as good as that, and what is wrong with their colours."""
    facts = [
        [int(getattr(teller, name, None) or 0) for teller in (frame, stream.codec_context)]
        for name in ("color_trc", "color_primaries")
    ]
    transfer, primaries = (next((n for n in numbers if n not in (0, _UNSPECIFIED)), _UNSPECIFIED) for numbers in facts)
    if transfer in HDR:
        return ToneMap(transfer, primaries), []
    if transfer in TRANSFERS:
        note = f"has a {TRANSFERS[transfer]} transfer function; its light is shown as BT.709 would show it."
        return ToneMap(transfer, 1 if primaries == _UNSPECIFIED else primaries), [note]
    return None, []


def _total(stream: Any, rate: float | None) -> int | None:
    """Return the number of frames as far as the header tells."""
    entries = getattr(stream, "index_entries", None) or ()
    if stream.frames and entries and "mp4" in stream.container.format.name:
        return sum(not entry.is_discard for entry in entries)  # an edit list may hide some
    if stream.frames:
        return int(stream.frames)
    seconds = _seconds(stream)
    return round(seconds * rate) or None if rate and seconds > 0 else None


def _seconds(stream: Any) -> float:
    """Return the length of a stream, or else of the file, which sound may make longer."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    tag = next((value for key, value in stream.metadata.items() if key.upper() == "DURATION"), "")
    with suppress(ValueError):  # Matroska: hours:minutes:seconds
        hours, minutes, seconds = (float(part) for part in tag.split(":"))
        return hours * 3600 + minutes * 60 + seconds
    return float(stream.container.duration or 0) / 1_000_000


def _turned(size: tuple[int, int], turns: tuple[str, ...]) -> tuple[int, int]:
    return (size[1], size[0]) if any("transpose" in turn for turn in turns) else size


def jump_to(stream: Any, start: int, first_pts: int) -> Jump | None:
    """Return the way to frame `start` where the index lists every frame and all are the same time apart."""
    entries = getattr(stream, "index_entries", None)
    if "mp4" not in stream.container.format.name or not entries or len(entries) != stream.frames:
        return None
    times = [entry.timestamp for entry in entries]
    step = (times[-1] - times[0]) / max(1, len(times) - 1)
    if step <= 0 or any(abs(time - times[0] - i * step) > step / 4 for i, time in enumerate(times)):
        return None
    return Jump(round(first_pts + start * step), step)
