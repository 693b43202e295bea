"""A first look at footage: does the camera stand still, what is before its background; and the settings that follow."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scenewise.data.footage.cache import make
from scenewise.data.footage.camera import CameraMotion, camera_motion
from scenewise.data.footage.glimpses import neighbours, small_size
from scenewise.data.footage.proposals import FootageSize, Proposal, propose
from scenewise.errors import InputError
from scenewise.media.files import atomic_file
from scenewise.media.reading import read_videos

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from scenewise.media.reader import VideoReader

LEAST_FRAMES = 20
"""A file needs as many frames to be looked at."""

_LOOK_SIDE = 160  # longest side of the frames looked at, in pixels
_MOST_FILES = 8  # files looked at when there are more
_CAMERA_PLACES, _CAMERA_LENGTH = 3, 30  # runs of frames that tell whether a camera moves
_PLACES, _LENGTH = 20, 20  # runs of frames in which things that move are counted
_SEEKING = (".mp4", ".m4v", ".mov")  # videos whose later frames can be read without those before
_EVERYWHERE = 0.5  # mean share of a frame; where more of it differs from the picture, nothing stands out
_FEW = 100  # frames
_MOST_NOISE = 25.0  # of 255; no camera has more


@dataclass(frozen=True)
class FileLook:
    """What one file shows.

    Attributes:
        name: Its name.
        size: (H, W) in pixels.
        frames: Number of frames as far as known.
        frame_rate: Frames per second, or None.
        camera: What neighbouring frames tell of the camera.
        picture: The background picture, uint8, longest side at most 160 pixels; None where the camera moves.
        reasons: Why that picture is not sound; empty where it is.
        noise: Standard deviation of still pixels, of 255.
        changing: Mean share of a frame that is before the background.
        counts: Number of parts before the background in every frame looked at.
        sides: Square root of the area of each part, in source pixels.
        speeds: Source pixels per frame of the parts that move.
        colourful: Share of each part's difference from the background that no change of brightness makes.
        contrasts: Length of each part's difference from the background, root mean square, of [0, 1] per channel.
        limit: What noise leaves of such differences.
        pieces: What hues make of parts; see `Movers`.
        region: Where there are any: top, left, height, width in source pixels, or None.
    """

    name: str
    size: tuple[int, int]
    frames: int
    frame_rate: float | None
    camera: CameraMotion
    picture: np.ndarray | None = None
    reasons: tuple[str, ...] = ()
    noise: float = 0.0
    changing: float = 0.0
    counts: np.ndarray = field(default_factory=lambda: np.zeros(0))
    sides: np.ndarray = field(default_factory=lambda: np.zeros(0))
    speeds: np.ndarray = field(default_factory=lambda: np.zeros(0))
    colourful: np.ndarray = field(default_factory=lambda: np.zeros(0))
    contrasts: np.ndarray = field(default_factory=lambda: np.zeros(0))
    limit: float = 0.0
    pieces: np.ndarray = field(default_factory=lambda: np.zeros((0, 5)))
    region: tuple[int, int, int, int] | None = None

    @property
    def stationary(self) -> bool:
        """Whether the camera stands still."""
        return not self.camera.moves

    @property
    def fixed(self) -> bool:
        """Whether the camera stands still before a background that was seen empty everywhere."""
        return self.stationary and self.picture is not None and not self.reasons

    @property
    def rests(self) -> bool:
        """Whether nothing in it changes but for noise."""
        quiet = not self.camera.moves and not self.camera.restless and self.noise < _MOST_NOISE
        return quiet and not self.sides.size

    def line(self) -> str:
        """Return what it shows in one line."""
        rate = f" at {self.frame_rate:.3g} frames/s" if self.frame_rate else ""
        camera = "camera still" if self.stationary else "camera moves"
        text = f"{self.name}: {self.size[1]}x{self.size[0]}, {self.frames} frames{rate}; {camera}"
        if self.picture is None:
            return text
        return f"{text}, {self.changing:.1%} of a frame is before the background, noise {self.noise:.1f}/255"


@dataclass(frozen=True)
class FootageReport:
    """What footage shows and how to train on it.

    Attributes:
        files: What every file shows.
        objects: Parts before the background in one of the busiest frames (the 98th percentile over frames).
        side: Side of a typical one in source pixels (the median); 0 where there is none.
        smallest: Side of a small one (the 10th percentile).
        speed: Source pixels per frame of a typical one that moves; 0 where nothing does.
        proposals: Settings, each with its reason.
        warnings: What speaks against training on this footage, and what to do.
        hues: Step of hue at which things that touch are told apart, 0 where they are not.
    """

    files: tuple[FileLook, ...]
    objects: int
    side: float
    smallest: float
    speed: float
    proposals: tuple[Proposal, ...]
    warnings: tuple[str, ...]
    hues: float = 0.0

    @property
    def settings(self) -> dict[str, Any]:
        """The proposed values by name: size, crop, slots, frame_step, shares, clip_length."""
        return {proposal.name: proposal.value for proposal in self.proposals}

    @property
    def fixed(self) -> bool:
        """Whether all cameras stand still before sound background pictures."""
        return all(look.fixed for look in self.files)

    def save_pictures(self, folder: Path) -> list[Path]:
        """Write the background picture of each file, and return where.

        Raises:
            InputError: The folder cannot be written.
        """
        from PIL import Image

        paths = []
        for look in self.files:
            if look.picture is not None:
                paths.append(folder / f"{look.name}-background.png")
                make(folder)
                with atomic_file(paths[-1]) as file:
                    Image.fromarray(look.picture).save(file, "PNG")
        return paths

    def facts(self) -> list[str]:
        """Return what was seen as lines of text."""
        counted = (
            f"about {self.objects} objects at a time, {self.side:.0f} px wide, the smallest {self.smallest:.0f}, "
            f"{self.speed:.1f} px per frame where they move"
        )
        return [
            *(look.line() for look in self.files),
            counted if self.side else "nothing stands out from a background",
        ]

    def lines(self) -> list[str]:
        """Return the report as lines of text: facts, proposals, warnings."""
        reasons = [f"{proposal.name} = {proposal.value}: {proposal.reason}" for proposal in self.proposals]
        return [*self.facts(), *reasons] + [f"warning: {text}" for text in self.warnings]


def inspect(
    files: Sequence[str | Path],
    layout: str | None = None,
    key: str | None = None,
    stream: int | None = None,
    notify: Callable[[str], None] | None = None,
    crop: tuple[int, int, int, int] | None = None,
) -> FootageReport:
    """Look at footage and propose how to train on it.

    Args:
        files: Video files, folders of frames, folders of these, or array files.
        layout: Axes of array files.
        key: Name of the array in npz and h5 files.
        stream: Which video of files with several.
        notify: Told what cannot wait for the report: that a camera moves.
        crop: The part (top, left, height, width) in source pixels that is to be shown to a model; all is told of that.

    Raises:
        InputError: There is nothing to look at, a file has fewer than 20 frames, none of them ever changes, or one
            cannot be read.
    """
    options: dict[str, Any] = {"layout": layout, "key": key, "stream": stream, "crop": crop}
    readers = [reader for file in files for reader in read_videos(file, **options)]
    if not readers:
        raise InputError("files", "no footage was given.", "Name video files or folders of frames.")
    few = readers[:: -(-len(readers) // _MOST_FILES)]
    looks = tuple(_look(reader, notify) for reader in few)
    if all(look.rests for look in looks):
        problem = "never changes: no part of any frame looked at differs from the background by more than noise."
        raise InputError(", ".join(look.name for look in looks[:3]), problem, "Give footage in which something moves.")
    counts, sides, speeds = (
        np.concatenate([getattr(look, name) for look in looks]) for name in ("counts", "sides", "speeds")
    )
    hues, parted = _hues(looks)
    objects = max(round(float(np.percentile(counts, 98))), parted) if sides.size else 0
    smallest, side = (float(np.percentile(sides, p)) if sides.size else 0.0 for p in (10, 50))
    speed = float(np.median(speeds)) if speeds.size else 0.0
    sizes = [FootageSize(look.size, look.frames, look.region if crop is None else None) for look in looks]
    proposals = propose(sizes, objects, side, smallest, speed)
    return FootageReport(looks, objects, side, smallest, speed, proposals, _warnings(looks), hues)


def glance(reader: VideoReader) -> CameraMotion:
    """Return what a few frames tell of the camera; it takes a second or two, however long the video is.

    Raises:
        InputError: The video cannot be read.
    """
    seeks = reader.path.is_dir() or reader.path.suffix.lower() in _SEEKING
    places, length = (_CAMERA_PLACES, _CAMERA_LENGTH) if seeks else (1, _CAMERA_PLACES * _CAMERA_LENGTH)
    shown = reader.source_size if reader.crop is None else reader.crop[2:]  # whatever size it is read at
    return camera_motion(neighbours(reader, places, length, small_size(shown, _LOOK_SIDE)))


def _look(reader: VideoReader, notify: Callable[[str], None] | None) -> FileLook:
    """Measure one video."""
    camera = glance(reader)
    if camera.moves and notify is not None:
        notify(_moving_camera(reader.name))
    small = small_size(reader.size, _LOOK_SIDE)
    runs = neighbours(reader, _PLACES, _LENGTH, small, once=True) if not camera.moves else []
    frames = max(reader.length_hint or 0, sum(map(len, runs)))
    if frames < LEAST_FRAMES:
        problem = f"has {frames} frames; a look at it takes at least {LEAST_FRAMES}, and training hundreds."
        raise InputError(reader.path, problem, "Give longer footage.")
    look = FileLook(reader.name, reader.size, frames, reader.frame_rate, camera)
    if not runs:
        return look
    from scenewise.data.footage.background import emptiest
    from scenewise.data.footage.movers import movers

    background, scale = emptiest(np.concatenate(runs)), reader.size[0] / small[0]
    motion = movers(runs, background.picture)
    return replace(
        look,
        picture=np.rint(255 * background.picture).astype(np.uint8),
        reasons=background.reasons,
        noise=255 * motion.noise,
        changing=float(motion.often.mean()),
        counts=motion.counts,
        sides=motion.sides * scale,
        speeds=motion.speeds * scale,
        colourful=motion.colourful,
        contrasts=motion.contrasts,
        limit=motion.limit,
        pieces=motion.pieces,
        region=_region(motion.often, scale),
    )


def _hues(looks: Sequence[FileLook]) -> tuple[float, int]:
    """Return the step of hue at which things that touch are told apart, or 0, and how many there are at a time."""
    from scenewise.data.footage.movers import objects_by_hues

    first, rows = 0.0, []
    for look in looks:
        rows.append(look.pieces + np.array([first, 0, 0, 0, 0]))  # frames are counted through the files
        first += 1 + look.pieces[:, 0].max(initial=0)
    return objects_by_hues(np.concatenate(rows))


def _region(often: np.ndarray, scale: float) -> tuple[int, int, int, int] | None:
    """Return the box in which anything is before the background in at least one frame of a hundred."""
    seen = often >= 0.01
    if not seen.any():
        return None
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    top, left, bottom, right = (round(v * scale) for v in (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1))
    return top, left, bottom - top, right - left


def _moving_camera(name: str) -> str:
    return (
        f"{name}: the camera moves, so there is no background to tell objects from and the settings below are guesses. "
        "Steady the video first (ffmpeg's vidstab filters), or cut out a part in which the camera rests."
    )


def _warnings(looks: tuple[FileLook, ...]) -> tuple[str, ...]:
    texts = []
    for look in looks:
        if not look.stationary:
            texts.append(_moving_camera(look.name))
        elif (look.camera.restless and not look.fixed) or look.changing > _EVERYWHERE:
            texts.append(
                f"{look.name}: texture changes almost everywhere (water, leaves, a crowd?): objects do not stand out. "
                "Give data.settings.crop=[top,left,height,width] around a part that is calm but for them."
            )
        else:
            texts += [
                f"{look.name}: the background picture is not sound: {reason}. "
                "Add footage in which every place is empty now and then."
                for reason in look.reasons
            ]
        if look.frames < _FEW:
            texts.append(f"{look.name}: only {look.frames} frames; a model needs hundreds at least.")
    if all(look.stationary for look in looks) and not any(look.sides.size for look in looks):
        texts.append("nothing moves that could be told from noise; objects are told by motion and appearance.")
    return tuple(texts)
