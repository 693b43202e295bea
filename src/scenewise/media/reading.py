"""The one door to footage: files, folders, cameras and streams to readers, by what they are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from scenewise.errors import InputError
from scenewise.media.arrays import ARRAY_ENDINGS, open_arrays
from scenewise.media.content import advice
from scenewise.media.files import check_readable, reading
from scenewise.media.frames import IMAGE_ENDINGS, FolderReader, image_names, natural_order
from scenewise.media.live import CAMERA, SCHEMES, LiveReader
from scenewise.media.pictures import open_image
from scenewise.media.reader import Selection
from scenewise.media.video import VIDEO_ENDINGS, VideoFileReader

if TYPE_CHECKING:
    from scenewise.media.reader import VideoReader

_ANIMATION_ENDING = ".apng"
_ADDRESS = re.compile(r"[A-Za-z][\w+.-]+://")


def read_video(
    path: str | Path,
    *,
    size: tuple[int, int] | int | None = None,
    crop: tuple[int, int, int, int] | None = None,
    every: int = 1,
    start: int = 0,
    stop: int | None = None,
    layout: str | None = None,
    key: str | None = None,
    channels: int = 3,
    stream: int | None = None,
) -> VideoReader:
    """Open one video: a video file, a folder of images, an image, or an array file.

    Args:
        path: An mp4, m4v, mov, mkv, webm, avi or gif file; a folder of png, jpg, bmp, tif, webp or avif images, or one
            such image, of which an animation or a stack is a video of all its pictures; an npy, npz or h5 file; as text
            also a camera, "camera:0", or the address of a stream, "rtsp://host/door".
        size: (H, W) of the frames yielded, in pixels, scaled by area; one number means a square; None keeps them.
        crop: (top, left, height, width) in source pixels as displayed, cut out before scaling.
        every: Take each `every`-th frame.
        start: First frame to take.
        stop: One past the last frame to take.
        layout: Axes of an array file, such as "NTHWC", "TNHWC" or "THW"; never guessed.
        key: Name of the array in an npz or h5 file with several.
        channels: 3 for RGB, 1 for luma.
        stream: Which video of a video file that holds several, from 0; the default or else the largest one where None.

    Returns:
        A lazy reader whose first frame has been checked where that is cheap.

    Raises:
        InputError: The path holds no video or several, or something about it or the options is wrong.

    Examples:
        >>> np.save("clip.npy", np.zeros((6, 48, 64, 3), np.uint8))
        >>> video = read_video("clip.npy", layout="THWC", every=2, size=24)
        >>> [(frame.index, frame.image.shape) for frame in video]
        [(0, (24, 24, 3)), (2, (24, 24, 3)), (4, (24, 24, 3))]
        >>> read_video("clip.npy")
        Traceback (most recent call last):
        ...
        scenewise.errors.InputError: clip.npy: expected to be told what its axes are; found an array of ...
    """
    readers = read_videos(
        path,
        size=size,
        crop=crop,
        every=every,
        start=start,
        stop=stop,
        layout=layout,
        key=key,
        channels=channels,
        stream=stream,
    )
    if len(readers) != 1:
        raise InputError(path, f"expected one video; found {len(readers)}.", "Use read_videos, or give one of them.")
    return readers[0]


def read_videos(
    path: str | Path,
    *,
    size: tuple[int, int] | int | None = None,
    crop: tuple[int, int, int, int] | None = None,
    every: int = 1,
    start: int = 0,
    stop: int | None = None,
    layout: str | None = None,
    key: str | None = None,
    channels: int = 3,
    stream: int | None = None,
) -> list[VideoReader]:
    """Open everything a path holds: as `read_video`, and all N videos of an array file, or all videos in a folder.

    Args:
        path: As `read_video`; or a folder without images, of video files and folders of images.
        size: As `read_video`, and so are the others.
        crop: (top, left, height, width) in source pixels.
        every: Take each `every`-th frame.
        start: First frame to take.
        stop: One past the last frame to take.
        layout: Axes of an array file.
        key: Name of the array in an npz or h5 file.
        channels: 3 for RGB, 1 for luma.
        stream: Which video of a video file.

    Returns:
        At least one reader, in natural order of the names.

    Raises:
        InputError: There is no video, or something about it or the options is wrong.
    """
    selection = Selection((size, size) if isinstance(size, int) else size, crop, every, start, stop, channels, stream)
    if isinstance(path, str) and is_live(path):
        return [LiveReader(path, selection)]
    if isinstance(path, str) and _ADDRESS.match(path) and not Path(path).exists():
        remedy = "Copy it here, or run: scenewise batch ADDRESS --out out"
        raise InputError(path, "expected a file; found an address.", remedy)
    path = Path(path)
    ending = path.suffix.lower()
    with reading(path, "a path that can be looked at", "Check the path."):
        is_folder = path.is_dir()
    if is_folder:
        return _folder(path, selection)
    if ending in VIDEO_ENDINGS:
        return [VideoFileReader(path, selection)]
    _refuse_stream(path, selection)
    if ending in ARRAY_ENDINGS:
        return list(open_arrays(path, layout, key, selection))
    if ending in (*IMAGE_ENDINGS, _ANIMATION_ENDING):
        return [open_image(path, selection)]
    check_readable(path)
    endings = ", ".join((*VIDEO_ENDINGS, *IMAGE_ENDINGS, *ARRAY_ENDINGS))
    kind, remedy = advice(path, "Convert it to one of these.")
    file_kind = f"{ending or 'none'!r}{f', {kind}' if kind else ''}"
    raise InputError(path, f"expected a folder or a file ending in {endings}; found {file_kind}.", remedy)


def is_live(source: object) -> bool:
    """Return whether a word names a camera or a stream, and no file.

    Examples:
        >>> [is_live(text) for text in ("camera:0", "/dev/video1", "rtsp://user:word@host/door", "clip.mp4")]
        [True, True, True, False]
    """
    return isinstance(source, str) and (bool(CAMERA.fullmatch(source)) or urlsplit(source).scheme in SCHEMES)


def _refuse_stream(path: Path, selection: Selection) -> None:
    if selection.stream is not None:
        raise InputError("stream", f"can be chosen in a video file; {path.name} is none.", "Leave it out.")


def _folder(path: Path, selection: Selection) -> list[VideoReader]:
    with reading(path, "a folder that can be listed", "Change its permissions."):
        inside = natural_order([p for p in path.iterdir() if not p.name.startswith(".")])
    if image_names(path):
        _refuse_stream(path, selection)
        reader = FolderReader(path, selection)
        videos = sum(item.suffix.lower() in VIDEO_ENDINGS for item in inside)
        if videos:
            reader.note(f"holds images and {videos} video files, which are left out; give them by name to read them.")
        return [reader]
    readers: list[VideoReader] = []
    for item in inside:
        if item.is_dir() and image_names(item):
            readers.append(FolderReader(item, selection))
        elif item.suffix.lower() in VIDEO_ENDINGS and item.is_file():
            readers.append(VideoFileReader(item, selection))
    return readers or [FolderReader(path, selection)]  # which says that there are no images
