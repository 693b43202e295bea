"""What a file is by its first bytes, whatever its name says, and what to do with one that is not read here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scenewise.errors import shell_word

_HEAD = 1024  # bytes looked at
_TS_PACKET = 188  # bytes; m2ts puts four more before each

_READ_ALIKE = (
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif"},
    {".png", ".apng", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".avif"},
    {".h5", ".hdf5"},
)
"""Endings under which a file is read by what it holds, so that another of the same set changes nothing."""


@dataclass(frozen=True)
class Content:
    """A kind of file.

    Attributes:
        name: As a person calls it.
        ending: The ending under which it is read here; empty where it is not.
        remedy: What to do with it; `{file}` and `{copy}` are its name and a new one as words of a shell.
    """

    name: str
    ending: str = ""
    remedy: str = ""


_CONVERT = "Convert it: ffmpeg -i {file} {copy}.mp4"
_REWRAP = "Put it into mp4: ffmpeg -i {file} -c copy {copy}.mp4"
_UNPACK = "Unpack it first."
_DEVELOP = "Make it PNG or TIFF first, in a program for such pictures."
_OTHER = "Give a video or images."
_FETCH = "Get the file itself: this is what stands for it."

_MAGIC: tuple[tuple[int, bytes, Content], ...] = (
    (4, b"ftypavi", Content("an AVIF image", ".avif")),  # avif, and avis of several pictures
    *((4, b"ftyp" + brand, Content("a HEIF image", remedy=_DEVELOP)) for brand in (b"hei", b"hevc", b"mif1", b"msf1")),
    (4, b"ftypcrx", Content("a camera's raw image", remedy=_DEVELOP)),
    (4, b"ftypM4A", Content("sound", remedy=_OTHER)),
    (4, b"ftyp", Content("an mp4 video", ".mp4")),
    (4, b"moov", Content("a QuickTime video", ".mov")),
    (4, b"mdat", Content("a QuickTime video", ".mov")),
    (0, b"\x1aE\xdf\xa3", Content("a Matroska video", ".mkv")),
    (8, b"AVI ", Content("an AVI video", ".avi")),
    (0, b"GIF8", Content("a GIF", ".gif")),
    (0, b"\x89PNG\r\n\x1a\n", Content("a PNG image", ".png")),
    (0, b"\xff\xd8\xff", Content("a JPEG image", ".jpg")),
    (8, b"WEBP", Content("a WebP image", ".webp")),
    (0, b"II*\0", Content("a TIFF image", ".tiff")),
    (0, b"MM\0*", Content("a TIFF image", ".tiff")),
    (0, b"BM", Content("a BMP image", ".bmp")),
    (0, b"\x93NUMPY", Content("a NumPy array", ".npy")),
    (0, b"\x89HDF\r\n\x1a\n", Content("an HDF5 file", ".h5")),
    (0, b"FLV\x01", Content("a Flash video", remedy=_CONVERT)),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Content("a Windows Media video", remedy=_CONVERT)),
    (0, b"\0\0\x01\xba", Content("an MPEG program stream", remedy=_CONVERT)),
    (0, b"\0\0\x01\xb3", Content("a bare MPEG video", remedy=_CONVERT)),
    (0, b"\0\0\0\x01", Content("a bare H.264 or H.265 stream", remedy=_CONVERT)),
    (0, b"OggS", Content("an Ogg file", remedy=_CONVERT)),
    (0, b".RMF", Content("a RealMedia file", remedy=_CONVERT)),
    (0, b"\x06\x0e\x2b\x34", Content("an MXF video", remedy=_CONVERT)),
    (0, b"DKIF", Content("an IVF video", remedy=_CONVERT)),
    (0, b"YUV4MPEG2", Content("a raw YUV4MPEG video", remedy=_CONVERT)),
    (0, b"\x1f\x07\0", Content("a DV video", remedy=_CONVERT)),
    (0, b"nut/multimedia", Content("a NUT video", remedy=_CONVERT)),
    (0, b"version https://git-lfs", Content("a Git LFS pointer", remedy="Get the file itself: git lfs pull")),
    (0, b"#EXTM3U", Content("a playlist", remedy=_FETCH)),
    (0, b"ffconcat", Content("a playlist", remedy=_FETCH)),
    (0, b"PK\x03\x04", Content("a zip archive", remedy=_UNPACK)),
    (0, b"\x1f\x8b", Content("a gzip archive", remedy=_UNPACK)),
    (0, b"7z\xbc\xaf", Content("a 7z archive", remedy=_UNPACK)),
    (0, b"Rar!", Content("a RAR archive", remedy=_UNPACK)),
    (0, b"BZh", Content("a bzip2 archive", remedy=_UNPACK)),
    (0, b"\xfd7zXZ", Content("an xz archive", remedy=_UNPACK)),
    (0, b"\x28\xb5\x2f\xfd", Content("a zstd archive", remedy=_UNPACK)),
    (257, b"ustar", Content("a tar archive", remedy=_UNPACK)),
    (0, b"%PDF", Content("a PDF document", remedy=_OTHER)),
    (8, b"WAVE", Content("sound", remedy=_OTHER)),
    (0, b"ID3", Content("sound", remedy=_OTHER)),
    (0, b"fLaC", Content("sound", remedy=_OTHER)),
    (0, b"v/1\x01", Content("an OpenEXR image", remedy=_DEVELOP)),
    (0, b"8BPS", Content("a Photoshop image", remedy=_DEVELOP)),
    (4, b"jP  ", Content("a JPEG 2000 image", remedy=_DEVELOP)),
    (4, b"JXL ", Content("a JPEG XL image", remedy=_DEVELOP)),
    (0, b"\xff\x0a", Content("a JPEG XL image", remedy=_DEVELOP)),
    *((0, head, Content("a PNM image", remedy=_DEVELOP)) for head in (b"P5\n", b"P6\n", b"P4\n")),
    (128, b"DICM", Content("a DICOM image", remedy=_DEVELOP)),
    (512, b"\x89HDF\r\n\x1a\n", Content("an HDF5 file", ".h5")),  # as MATLAB writes it, from version 7.3 on
    (0, b"MATLAB 5.0", Content("a MATLAB file", remedy="Save it with -v7.3 and name it .h5, or as .npy.")),
)
_MPEG_TS = Content("MPEG-TS", remedy=_REWRAP)
_BY_ENDING = {
    **dict.fromkeys((".mjpg", ".mjpeg"), ("a JPEG image", Content("a bare Motion JPEG video", remedy=_CONVERT))),
    **dict.fromkeys(
        (".dng", ".nef", ".cr2", ".arw", ".pef", ".srw"),
        ("a TIFF image", Content("a camera's raw image", remedy=_DEVELOP)),
    ),
}
"""What files of some endings are, whose first bytes are those of another kind."""
_WEB_PAGE = Content("a web page", remedy="Download the file itself.")


def content_of(path: Path) -> Content | None:
    """Return what kind of file this is, None where that is not known.

    Examples:
        >>> _ = Path("clip.mp4").write_bytes(b"OggS" + bytes(64))
        >>> content_of(Path("clip.mp4")).name
        'an Ogg file'
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return None
    kind_by_head = next((kind for place, magic, kind in _MAGIC if head[place : place + len(magic)] == magic), None)
    if kind_by_head is not None:
        seems, other = _BY_ENDING.get(path.suffix.lower(), ("", kind_by_head))
        return other if kind_by_head.name == seems else kind_by_head
    if any(_in_packets(head, first, step) for step in (_TS_PACKET, _TS_PACKET + 4) for first in range(step)):
        return _MPEG_TS
    return _WEB_PAGE if head.lstrip()[:16].lower().startswith((b"<!doctype html", b"<html")) else None


def advice(path: Path, otherwise: str) -> tuple[str, str]:
    """Return what a file is, as a part of a sentence that may be empty, and what to do with it.

    Args:
        path: The file.
        otherwise: The remedy where its kind is not known, or its ending is not what is wrong.

    Examples:
        >>> _ = Path("clip.mp4").write_bytes((b"G" + bytes(187)) * 4)
        >>> advice(Path("clip.mp4"), "Check that it plays.")
        ('MPEG-TS', 'Put it into mp4: ffmpeg -i clip.mp4 -c copy clip-2.mp4')
        >>> _ = Path("frame.mp4").write_bytes(b"BM" + bytes(64))
        >>> advice(Path("frame.mp4"), "Check that it plays.")
        ('a BMP image', 'Rename it to end in .bmp.')
    """
    kind, ending = content_of(path), path.suffix.lower()
    if kind is None or any({ending, kind.ending} <= alike for alike in (*_READ_ALIKE, {ending})):
        return "", otherwise
    if kind.ending:
        return kind.name, f"Rename it to end in {kind.ending}."
    return kind.name, kind.remedy.format(file=shell_word(path), copy=shell_word(path.with_name(f"{path.stem}-2")))


def _in_packets(head: bytes, first: int, step: int) -> bool:
    """Return whether a sync byte stands where each packet of MPEG-TS begins, which may be cut anywhere."""
    starts = head[first::step]
    return len(starts) >= 4 and set(starts) == {0x47}
