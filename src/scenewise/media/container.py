"""Video files as PyAV opens them: the one place that says what of a container is looked at.

Looked at are the packets of one video stream, the frames in them, their times, and of the header only what is needed to
show them. Tags, chapters, other streams and side data of unknown kinds are left alone, so that nothing that stands
beside the pictures stops a file.

Whether a file is all there is told by what its outermost boxes claim to hold, against its length. Headers that count
frames or seconds err, also in whole files; a box that goes on beyond the end of the file does not.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from scenewise.errors import InputError
from scenewise.media.content import advice
from scenewise.media.files import describe

if TYPE_CHECKING:
    from collections.abc import Iterator

EXPECTED = "an mp4, mov, mkv, webm, avi or gif video"
REMEDY = "Check that it plays, or convert it to mp4."
_LOST = "Copy it again; what a recorder never finished takes a program for repair, such as untrunc."

# A playlist posing as a video must not make us read other files or the network.
_OPEN_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": "mov,matroska,webm,avi,gif"}
_TAKES_ANY_TAG = 19  # version of PyAV from which on tags that are no UTF-8 stop nothing by themselves
_HEAD = 4096  # bytes
_DEFAULT, _COVER, _SEEK_BAR = 1, 1 << 10, 1 << 11  # FFmpeg's AV_DISPOSITION_*
_LARGEST_FRAME = 1 << 27  # pixels; a corrupt header can claim any size

# FFmpeg's own decoders of VP8 and VP9 leave transparency out; those of the libvpx project read it.
_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}

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
_TURNS_BY_ANGLE = {90: _TURNS[0, -1, 1, 0], 180: _TURNS[-1, 0, 0, -1], -90: _TURNS[0, 1, -1, 0]}  # counterclockwise


@dataclass(frozen=True)
class OpenVideo:
    """A video stream of an open file.

    Attributes:
        container: PyAV's, to be closed by who opened it.
        stream: PyAV's.
        decoder: What makes frames of its packets.
        notes: What of the file is left out, sentence by sentence.
    """

    container: Any
    stream: Any
    decoder: Any
    notes: tuple[str, ...]


def open_video(path: Path, number: int | None = None) -> OpenVideo:
    """Open a video file.

    Args:
        path: The file.
        number: Which of its videos, from 0; the default or else the largest one where None.

    Raises:
        InputError: It holds no such video. Other errors are PyAV's, over files that it cannot open.
    """
    import av

    with path.open("rb", buffering=0) as file:
        if not any(file.read(_HEAD)):  # in which the reader of gifs would look for a beginning up to the end
            raise InputError(path, f"expected {EXPECTED}; found: zeros.", "Copy or record it again.")
    try:
        version = int(av.__version__.partition(".")[0])
        more_options = {} if version >= _TAKES_ANY_TAG else {"metadata_errors": "replace"}
        container = av.open(f"file:{path.absolute()}", options=_OPEN_OPTIONS, **more_options)  # type: ignore[call-overload]
    except av.FFmpegError as error:
        if isinstance(error, PermissionError):
            raise
        kind, remedy = advice(path, REMEDY)
        if not kind and lacks_index(path):
            raise InputError(path, "is cut off: its index (moov), which comes last, is missing.", _LOST) from error
        other = "a file of another kind" if isinstance(error, av.error.ArgumentError) else describe(error)
        raise InputError(path, f"expected {EXPECTED}; found: {kind or other}.", remedy) from error
    try:
        stream, notes = _chosen(container, path, number)
        decoder, more = _decoder(stream)
        return OpenVideo(container, stream, decoder, (*notes, *more))
    except BaseException:
        container.close()
        raise


def _chosen(container: Any, path: Path, number: int | None) -> tuple[Any, list[str]]:
    """Return the stream to read, and what is to be said of the others."""
    videos = [stream for stream in container.streams.video if not _is_picture(stream)]
    if not videos:
        kinds = {"a cover picture" if stream.type == "video" else str(stream.type) for stream in container.streams}
        listing = " and ".join(sorted(kinds, key=lambda kind: (kind == "a cover picture", kind))) or "nothing"
        raise InputError(path, f"expected a video stream; found {listing}.", "Give a file with moving pictures.")
    if number is None:
        stream = max(videos, key=lambda video: (video.codec_context is not None, _is_default(video), _pixels(video)))
    elif number < len(videos):
        stream = videos[number]
    else:
        remedy = "Choose one of these by --stream (data.settings.stream in training)."
        raise InputError(path, f"expected a video of number {number}; found {_listed(videos)}.", remedy)
    if stream.codec_context is None:
        raise InputError(path, "its video codec is not known here.", "Convert it to H.264 in mp4.")
    if _pixels(stream) > _LARGEST_FRAME:
        problem = f"expected at most {_LARGEST_FRAME} pixels per frame; found {_size(stream)}."
        raise InputError(path, problem, "Scale it down first, as by FFmpeg's filter scale.")
    if len(videos) == 1 or number is not None:
        return stream, []
    why = "the default" if _is_default(stream) else "the largest"
    read = f"{videos.index(stream)}, {why}"
    note = f"holds {len(videos)} videos: {_listed(videos)}; read is {read}. Another can be chosen with --stream."
    return stream, [note]


def _listed(videos: list[Any]) -> str:
    return ", ".join(f"{place} ({_size(stream)})" for place, stream in enumerate(videos))


def _is_picture(stream: Any) -> bool:
    """Return whether a stream is a cover or pictures for a seek bar."""
    return bool(int(stream.disposition) & (_COVER | _SEEK_BAR))


def _is_default(stream: Any) -> bool:
    return bool(int(stream.disposition) & _DEFAULT)


def _pixels(stream: Any) -> int:
    return 0 if stream.codec_context is None else stream.codec_context.width * stream.codec_context.height


def _size(stream: Any) -> str:
    codec = stream.codec_context
    return "of an unknown codec" if codec is None else f"{codec.width}x{codec.height}"


def _decoder(stream: Any) -> tuple[Any, list[str]]:
    """Return what decodes a stream, and what of its pictures it leaves out."""
    import av

    codec = stream.codec_context
    tags = {key.lower(): value for key, value in stream.metadata.items()}
    if tags.get("alpha_mode") == "1" and codec_name(stream) in _WITH_ALPHA:
        name = _WITH_ALPHA[codec_name(stream)]
        if name in av.codecs_available:
            return av.CodecContext.create(name, "r"), []
        return codec, [f"is transparent in parts; without the decoder {name} in PyAV it is read as if it were opaque."]
    return codec, []


def codec_name(stream: Any) -> str:
    """Return the name of a stream's codec, whichever decoder there is for it."""
    codec = stream.codec_context.codec
    return str(getattr(codec, "canonical_name", codec.name))


def turns_of(frame: Any) -> tuple[str, ...]:
    """Return the filters that bring a frame upright, as its display matrix says."""
    matrix = _display_matrix(frame)
    if matrix is None:
        return _TURNS_BY_ANGLE.get(round(frame.rotation / 90) * 90, ())
    numbers = struct.unpack("=9i", matrix[:36])
    signs = tuple((number > 1 << 15) - (number < -(1 << 15)) for number in (numbers[i] for i in (0, 1, 3, 4)))
    return _TURNS.get(signs, ())


def _display_matrix(frame: Any) -> bytes | None:
    """Return the display matrix, None where there is none or the kinds of side data before it are not known to PyAV."""
    with suppress(ValueError):
        matrix = frame.side_data.get("DISPLAYMATRIX")
        return None if matrix is None else bytes(matrix)
    # PyAV names every kind as it lists them and stops at one without a name; those before it are in the list.
    from av.sidedata.sidedata import SideDataContainer, Type

    listed: Any = SideDataContainer.__new__(SideDataContainer)
    with suppress(ValueError):
        listed.__init__(frame)
    with suppress(ValueError):
        return next((bytes(entry) for entry in listed if entry.type is Type.DISPLAYMATRIX), None)
    return None


def more_layers(stream: Any, packet: Any) -> bool:
    """Return whether an H.265 packet holds pictures besides those of the first layer: transparency, or a second eye."""
    head = (stream.codec_context.extradata or b"") if codec_name(stream) == "hevc" else b""
    if len(head) < 23 or head[0] != 1:
        return False
    return any((unit[0] & 1) << 5 | unit[1] >> 3 for unit in _units(bytes(packet), (head[21] & 3) + 1))


def _units(content: bytes, width: int) -> Iterator[bytes]:
    """Yield the heads of the units of a packet, each with its length before it."""
    place = 0
    while place + width + 2 <= len(content):
        size = int.from_bytes(content[place : place + width], "big")
        yield content[place + width : place + width + 2]
        place += width + size


# -- whether it is all there -----------------------------------------------------------------------------------------


_MOV_BOXES = {b"ftyp", b"moov", b"mdat", b"moof", b"mfra", b"free", b"skip", b"wide", b"uuid", b"sidx", b"styp"}
_AROUND_ENTRIES = {b"moov", b"trak", b"mdia", b"minf", b"stbl"}
_SEGMENT = 0x18538067
_MOST_BOXES = 1_000_000  # a walk ends here; files have as many as they have seconds


def breaks_off(path: Path, container: str) -> bool:
    """Return whether a box of the file goes on beyond its end.

    Args:
        path: The file.
        container: FFmpeg's name of its format; others than mov, matroska, avi and gif are taken to be whole.

    Examples:
        >>> box = (16).to_bytes(4, "big") + b"mdat" + bytes(8)
        >>> _ = Path("whole.mp4").write_bytes(box), Path("cut.mp4").write_bytes(box[:-1])
        >>> breaks_off(Path("whole.mp4"), "mov,mp4"), breaks_off(Path("cut.mp4"), "mov,mp4")
        (False, True)
    """
    walks = {"mov": _mov, "matroska": _matroska, "avi": _avi, "gif": _gif}
    walk = next((walk for name, walk in walks.items() if name in container.split(",")), None)
    if walk is None:
        return False
    try:
        with path.open("rb") as file:
            return walk(file, os.fstat(file.fileno()).st_size)
    except OSError:
        return False


def lacks_index(path: Path) -> bool:
    """Return whether an mp4 or mov has pictures but not the box that says where they are, which recorders write last.

    Examples:
        >>> box = lambda name: (16).to_bytes(4, "big") + name + bytes(8)
        >>> _ = Path("whole.mp4").write_bytes(box(b"mdat") + box(b"moov")), Path("cut.mp4").write_bytes(box(b"mdat"))
        >>> lacks_index(Path("whole.mp4")), lacks_index(Path("cut.mp4"))
        (False, True)
    """
    with path.open("rb") as file:
        names = {name for name, _, _ in _boxes(file, 0, os.fstat(file.fileno()).st_size)}
    return b"mdat" in names and b"moov" not in names


def is_encrypted(path: Path) -> bool:
    """Return whether the pictures of an mp4 or mov are encrypted: their sample entry is called encv."""
    with path.open("rb") as file:
        return _has_encrypted(file, 0, os.fstat(file.fileno()).st_size)


def _has_encrypted(file: IO[bytes], start: int, stop: int) -> bool:
    for name, body, end in _boxes(file, start, stop):
        if name == b"stsd" and any(entry == b"encv" for entry, _, _ in _boxes(file, body + 8, min(end, stop))):
            return True
        if name in _AROUND_ENTRIES and _has_encrypted(file, body, min(end, stop)):
            return True
        if name == b"moov":  # fragments may follow, one a second
            return False
    return False


def _boxes(file: IO[bytes], start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, place of the content and end of each box; the last may go on beyond `stop`."""
    for _ in range(_MOST_BOXES):
        file.seek(start)
        head = file.read(16)
        if start >= stop or len(head) < 8:
            return
        size, content = int.from_bytes(head[:4], "big"), start + 8
        if size == 1:
            size, content = int.from_bytes(head[8:16], "big"), start + 16
        end = start + size if size else stop  # 0: up to the end
        if end < content:
            return
        yield head[4:8], content, end
        start = end


def _mov(file: IO[bytes], length: int) -> bool:
    for name, _, end in _boxes(file, 0, length):
        if name not in _MOV_BOXES:
            return False  # what some other program wrote behind it
        if end > length:
            return True
    return False


def _matroska(file: IO[bytes], length: int) -> bool:
    place = 0
    for _ in range(_MOST_BOXES):
        file.seek(place)
        head = file.read(16)
        name, first = _varint(head, marked=True)
        size, second = _varint(head[first:])
        if not first or not second or name in (0, (1 << 8 * first) - 1):
            return False
        place += first + second
        if size is None:
            if name != _SEGMENT:
                return False  # a cluster of unknown size: only its blocks tell
            continue  # a segment of unknown size, as it is written live: look at what is in it
        if name == _SEGMENT or place + size > length:
            return place + size > length
        place += size
    return False


def _varint(content: bytes, marked: bool = False) -> tuple[int | None, int]:
    """Return a number of EBML, None for the unknown size, and its length in bytes, 0 where there is none."""
    if not content or not content[0]:
        return 0, 0
    width = 9 - content[0].bit_length()
    number = int.from_bytes(content[:width], "big")
    if len(content) < width:
        return 0, 0
    if marked:
        return number, width
    number -= 1 << 7 * width
    return (None if number == (1 << 7 * width) - 1 else number), width


def _avi(file: IO[bytes], length: int) -> bool:
    place = 0
    for _ in range(_MOST_BOXES):
        file.seek(place)
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:12] not in (b"AVI ", b"AVIX"):
            return False
        size = int.from_bytes(head[4:8], "little")
        place += 8 + size + size % 2
        if place - size % 2 > length:
            return True
    return False


def _gif(file: IO[bytes], length: int) -> bool:
    file.seek(10)
    flags = file.read(3)
    if len(flags) < 3:
        return True
    file.seek(_table(flags[0]), os.SEEK_CUR)
    while kind := file.read(1):
        if kind == b";":
            return False
        if kind == b"!":
            file.seek(1, os.SEEK_CUR)
        elif kind == b",":
            head = file.read(9)
            file.seek(_table(head[8]) + 1 if len(head) == 9 else 0, os.SEEK_CUR)
        else:
            return False  # what some other program wrote behind it
        while (size := file.read(1)) not in (b"", b"\0"):
            file.seek(size[0], os.SEEK_CUR)
        if not size or file.tell() > length:
            return True
    return False


def _table(flags: int) -> int:
    """Return the bytes of a colour table."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
