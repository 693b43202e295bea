"""The picture that a model for still cameras draws a video over: the user's, the video's own, or the model's.

A model of one video keeps its picture. Another video is drawn over its own emptiest picture, unless the camera is the
same and the model's picture is the emptier of the two: a long training may have seen a place empty that this video
never shows so.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch.nn import functional

from scenewise.data.footage.background import Background, ShortVideoError, emptiest
from scenewise.data.footage.picture import background
from scenewise.decompose.verdict import first_file
from scenewise.errors import InputError, printable
from scenewise.media.frames import load_image
from scenewise.media.pixels import to_grey, to_rgb, to_uint8
from scenewise.media.reader import Selection, fit
from scenewise.nn.light import light_between

if TYPE_CHECKING:
    from torch import Tensor

    from scenewise.decompose.clip import Clip

_ALIKE = 0.1  # of [0, 1]; a pixel that differs by less, in every channel, shows the same
_FINELY = 0.03  # the same, where a smooth wall or floor is all there is to know a scene by
_SAME_SCENE = 0.5  # of the pixels; objects may hide the rest
_ALL, _MORE = 0.95, 0.1  # of the pixels: that decides by itself, and by how much it must be more than one colour shows
_SAME_CAMERA = 0.8  # of the pixels of two pictures in which nothing should stand
_FEW = 4  # frames that a given picture is compared with
_ASPECT = 0.03  # by which sides may differ in proportion, as rounding to pixels makes them
_TILE = 8  # pixels of a side over which two pictures are compared in detail
_DETAIL = 0.005  # of [0, 1]; standard deviation in a tile from which there is any
_SAME_DETAIL = 0.8  # correlation in the typical tile of two pictures by one camera
_EMPTIER = 0.98  # share of the edges
_LEAST_STEP = 0.02  # of [0, 1]; smaller steps between neighbours are no edges
_MOST_FRAMES = 120  # of an array that are looked at

Origin = Literal["given", "video", "model", "live"]


@dataclass(frozen=True)
class Backdrop:
    """The picture a video is drawn over.

    Attributes:
        picture: Float in [0, 1], shape (1, C, h, w), the model's size.
        origin: Whose it is.
        notes: What a user should know of it, sentence by sentence.
    """

    picture: Tensor
    origin: Origin
    notes: tuple[str, ...] = ()


def backdrop(clip: Clip, kept: Tensor, model: str, given: Any = None) -> Backdrop:
    """Return the picture to draw a video over.

    Args:
        clip: The video.
        kept: The picture kept with the model, (C, h, w); black where there is none.
        model: Folder of the model.
        given: The user's picture: an image file, an array (H, W, C) of uint8 or floats in [0, 1], a `Background`.

    Raises:
        InputError: The picture cannot be read, has another shape than the video, or shows another scene; or the camera
            moves, so that there is none.
    """
    if given is not None:
        return Backdrop(_given(clip, kept, given), "given")
    if clip.path is not None and _is_trained_on(clip, model):
        return Backdrop(kept[None], "model")
    own = _own(clip, (int(kept.shape[-2]), int(kept.shape[-1])))
    if own is None:
        return Backdrop(kept[None], "model", _doubts(clip, kept))
    picture = frame_as_tensor(np.rint(255 * own.picture).astype(np.uint8), kept)
    if emptier(kept, picture[0]):
        return Backdrop(kept[None], "model", ("drawn over the model's background picture, which shows this scene",))
    unsound = tuple(
        f"that picture is not sound: {reason}; give a better one with --background" for reason in own.reasons
    )
    return Backdrop(picture, "video", ("drawn over this video's own background picture, not the model's", *unsound))


def picture_of(given: Any, like: Tensor) -> Tensor:
    """Return a user's picture, whatever holds it, at the size and in the channels of another, (1, C, h, w).

    Args:
        given: An image file, an array (H, W, C) of uint8 or floats in [0, 1], a `Background`.
        like: A picture (C, h, w) as the model takes it.

    Raises:
        InputError: It cannot be read, or is no image.
    """
    return _fitted(_image(given)[0], like)


def agreement(picture: Tensor, frames: Tensor, alike: float = _ALIKE) -> float:
    """Return the share of the pixels of a typical frame (N, C, h, w) that a picture (C, h, w) shows under its light.

    Args:
        picture: What may be shown.
        frames: Where it may be.
        alike: Of [0, 1]; a pixel that differs by less, in every channel, shows the same.

    Examples:
        >>> wall = torch.linspace(0, 1, 256).view(1, 16, 16)
        >>> agreement(wall, 0.9 * wall[None]), agreement(wall, (wall[None] - 0.5).abs()) < 0.7
        (1.0, True)
    """
    images = picture[None].expand_as(frames)
    apart = (light_between(images, frames).on(images) - frames).abs().amax(1)  # (N, h, w)
    return float((apart < alike).float().mean((1, 2)).median())


def shows(picture: Tensor, frames: Tensor) -> bool:
    """Return whether a picture (C, h, w) is of the scene of frames (N, C, h, w).

    It shows most of their pixels, and unless it shows almost all, clearly more than one colour does: pictures of little
    contrast are alike whatever they show. Those of a smooth floor are not, looked at finely.
    """
    colour = frames.flatten(2).median(2).values[..., None, None]
    off = (frames - colour).abs().amax(1)  # (N, h, w)
    for alike in (_ALIKE, _FINELY):
        share, blank = agreement(picture, frames, alike), float((off < alike).float().mean((1, 2)).median())
        if share >= _ALL or share >= max(_SAME_SCENE, blank + _MORE):
            return True
    return False


def _own(clip: Clip, size: tuple[int, int]) -> Background | None:
    """Return the emptiest picture of a whole video, whichever frames are asked for; None where it has none."""
    try:
        if clip.reader is not None:
            return background(clip.reader.whole(), size=size)
        if not clip.again or clip.length_hint is None:
            return None
        step = max(1, clip.length_hint // _MOST_FRAMES)
        return emptiest(np.stack([frame.given for n, frame in enumerate(clip) if n % step == 0]))
    except ShortVideoError:
        return None


def _is_trained_on(clip: Clip, model: str) -> bool:
    """Return whether the picture kept with a model is that of this very file."""
    file = first_file(Path(model)) if model else None
    return file is not None and clip.path is not None and file.exists() and file.samefile(clip.path)


def _doubts(clip: Clip, kept: Tensor) -> tuple[str, ...]:
    """Return why the model's picture may not be that of a video that has none of its own."""
    if not clip.again:
        return ()
    if shows(kept, _first_frames(clip, kept)):
        return ()
    return (
        "the model's background picture shows another scene than these frames, and they are too few for one of their "
        "own: give the picture of the empty scene with --background",
    )


def _given(clip: Clip, kept: Tensor, given: Any) -> Tensor:
    """Return the user's picture, (1, C, h, w), after it was held against the first frames."""
    image, where = _image(given)
    parts = [_fitted(part, kept) for part in _parts(image, clip, where)]
    if not clip.again:
        return parts[0]
    frames = _first_frames(clip, kept)
    best = max(parts, key=lambda part: agreement(part[0], frames))
    if not shows(best[0], frames):
        problem = f"shows another scene than the first frames: {1 - agreement(best[0], frames):.0%} of them differ."
        raise InputError(where, problem, "Make one of this camera with `scenewise background`, or leave it out.")
    return best


def _image(given: Any) -> tuple[np.ndarray, str]:
    """Return a picture as uint8 (H, W, 3), and what to call it."""
    if isinstance(given, (str, Path)):
        if not Path(given).is_file():
            raise InputError(given, "is not a picture.", "Give a PNG or JPEG of the empty scene.")
        return load_image(Path(given)), printable(given)
    values = np.asarray(given.picture if isinstance(given, Background) else given)
    if values.ndim != 3 or values.shape[2] not in (1, 3, 4):
        raise InputError("background", f"expected an image of shape (H, W, 1, 3 or 4); found {values.shape}.")
    return to_rgb(to_uint8(values, "background")), "background"


def _parts(image: np.ndarray, clip: Clip, where: str) -> list[np.ndarray]:
    """Return the picture where it has the shape of what is shown of the source, and its part where of the whole."""
    top, left, height, width = clip.crop
    parts = []
    if _similar(image.shape, (height, width)):
        parts.append(image)
    if _similar(image.shape, clip.source_size) and (height, width) != clip.source_size:
        y, x = image.shape[0] / clip.source_size[0], image.shape[1] / clip.source_size[1]
        rows, columns = (
            slice(round(top * y), round((top + height) * y)),
            slice(round(left * x), round((left + width) * x)),
        )
        parts.append(image[rows, columns])
    if not parts:
        problem = f"is {image.shape[1]}x{image.shape[0]}; the frames are {clip.source_size[1]}x{clip.source_size[0]}"
        part = "" if (height, width) == clip.source_size else f", of which {width}x{height} is shown"
        raise InputError(where, f"{problem}{part}.", "Give a picture of the same camera, of the frame's proportions.")
    return parts


def _similar(shape: tuple[int, ...], size: tuple[int, int]) -> bool:
    """Return whether an image has the proportions of a size."""
    return abs(shape[0] * size[1] / (shape[1] * size[0]) - 1) <= _ASPECT


def _first_frames(clip: Clip, like: Tensor) -> Tensor:
    """Return the first frames as the model takes them, (N, C, h, w)."""
    frames = [frame_as_tensor(frame.given, like) for _, frame in zip(range(_FEW), clip, strict=False)]
    return torch.cat(frames)


def _fitted(image: np.ndarray, like: Tensor) -> Tensor:
    """Return an image (H, W, C) at the size of another (C, h, w), as `frame_as_tensor` does."""
    return frame_as_tensor(fit(image, Selection(size=(int(like.shape[-2]), int(like.shape[-1])))), like)


def emptier(kept: Tensor, own: Tensor) -> bool:
    """Return whether a model's picture (C, h, w) is of the camera of a video's own picture, and as empty or emptier."""
    same = shows(kept, own[None]) and agreement(kept, own[None]) >= _SAME_CAMERA
    return same and likeness(kept, own) >= _SAME_DETAIL and _edges(own) > _EMPTIER * _edges(kept)


def likeness(one: Tensor, other: Tensor) -> float:
    """Return how alike the detail of two pictures (C, h, w) is, whatever their light: 1 where it is the same.

    Scenes of one kind, such as two belts or two squares, have the same colours almost everywhere; their scratches and
    stones are in other places. Tiles with an object in one picture do not count for more than their number.

    Returns:
        The median over tiles of the correlation within each; 1 where neither picture has any detail.

    Examples:
        >>> stones = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
        >>> likeness(stones, 0.5 * stones + 0.2) > 0.99, likeness(stones, stones.flip(2)) < 0.3
        (True, True)
    """
    grey = torch.stack([one.mean(0), other.mean(0)])[:, None]  # (2, 1, h, w)
    smooth = functional.avg_pool2d(grey, _TILE + 1, 1, _TILE // 2, count_include_pad=False)
    tiles = functional.unfold(grey - smooth, _TILE, stride=_TILE)  # (2, pixels, tiles)
    tiles = tiles - tiles.mean(1, keepdim=True)
    deviations = tiles.square().mean(1).sqrt()
    alike = (tiles[0] * tiles[1]).mean(0) / deviations.prod(0).clamp_min(1e-12)
    detailed = deviations.amax(0) > _DETAIL
    return float(alike[detailed].median()) if detailed.any() else 1.0


def frame_as_tensor(image: np.ndarray, like: Tensor) -> Tensor:
    """Return uint8 (h, w, C) as floats in [0, 1], (1, C, h, w), in the model's channels and on its device."""
    image = to_grey(image) if like.shape[0] == 1 and image.shape[2] == 3 else image
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, 0)))[None].to(like.device).float() / 255


def _edges(picture: Tensor) -> float:
    """Return the sum of steps between neighbours of a picture (C, h, w)."""
    steps = (picture.diff(dim=axis).abs() - _LEAST_STEP for axis in (1, 2))
    return sum(float(step.clamp_min(0).sum()) for step in steps)
