"""Moving sprites: videos of the multi-dSprites objects, like Video Multi-dSprites (arXiv 2006.07034), made on the fly.

One to four sprites move straight on over a background of one colour, hide each other by depth order, and either leave
the image and enter it (`border=leave`) or turn back at its border (`border=bounce`). Ids stay the same over time, also
while a sprite is out of sight.

Where a sprite is follows in closed form from one moment and its velocity: it passes a place drawn uniformly inside the
margins at a moment drawn uniformly from the video. So every sprite is inside at least once, as many enter as leave, and
no frame needs the ones before it.

The public videos cannot be made anew from the paper: their sprites' speeds are not published, and in the three clips
that were looked at velocities change a little from frame to frame. Speeds, constant velocities and the choice of
colours (uniform RGB, background too) are ours.

A video is determined by (seed, split, index); neither the batch nor the span asked for changes it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scenewise.config import setting
from scenewise.data.contract import Description, Facts, ObjectKeys, Sample, register_source
from scenewise.data.generated.base import GeneratedSource
from scenewise.data.generated.sprites.drawing import Sprites, draw, seen
from scenewise.data.generated.sprites.settings import DRAWS, MOST, SpritesConfig, of_draws
from scenewise.data.generated.sprites.still import is_binary, still_extras, visible
from scenewise.data.splits import uniform
from scenewise.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

_LENGTHS = {"train": 10_000, "validation": 1_000, "test": 1_000}  # as many as Video Multi-dSprites has
_TRIES = 200  # videos drawn for one in which enough of every sprite is seen
_MOTION = 4 * MOST  # random numbers for the motion of a video's sprites


@dataclass(frozen=True)
class MovingSpritesConfig(SpritesConfig):
    """Settings of videos of sprites; `min_visible` is for the frame in which most of a sprite is seen."""

    frames: int = setting(10, "frames of a video", minimum=1, maximum=100_000)
    border: Literal["leave", "bounce"] = setting("leave", "leave: sprites leave and enter; bounce: they turn back")
    min_speed: float = setting(1.0, "smallest speed in pixels per frame", minimum=0.0, maximum=256.0)
    max_speed: float = setting(4.0, "largest speed in pixels per frame", minimum=0.0, maximum=256.0)
    max_spin: float = setting(0.0, "largest rotation in radians per frame, either way", minimum=0.0, maximum=3.2)

    def __post_init__(self) -> None:
        """Check what no single field can know; raises InputError."""
        super().__post_init__()
        if self.min_speed > self.max_speed:
            raise InputError("min_speed", f"is {self.min_speed}, more than max_speed = {self.max_speed}.")
        if self.border == "bounce" and self.margin >= 0.5 and self.max_speed:
            raise InputError("margin", "0.5 leaves no room to move between.", "Set a smaller margin or border=leave.")


@dataclass(frozen=True)
class MovingSpritesVideos:
    """N videos of T frames with all that is known of them; n is the largest number of sprites.

    Attributes:
        frames: uint8, shape (N, T, C, H, W).
        ids: uint8, shape (N, T, H, W): 0 background, place of the sprite + 1.
        sprites: Sprites of every frame, video by video, shapes (N * T, ...).
        velocities: Columns and rows per frame in pixels, shape (N, T, n, 2).
        masks: Whole sprites of every frame, bool, shape (N * T, n, H, W); None where they were not asked for.
    """

    frames: np.ndarray
    ids: np.ndarray
    sprites: Sprites
    velocities: np.ndarray
    masks: np.ndarray | None = None


_READY: dict[str, Any] = {
    "min_sprites": 1,
    "max_sprites": 4,
    "colours": "rgb",
    "background": "rgb",
    "margin": 0.125,
}


@register_source(
    "moving-sprites",
    Description(
        what="1 to 4 coloured squares, ellipses and hearts that move, hide each other, enter and leave",
        kind="generated",
        paper="Video Multi-dSprites, Weis et al. (2006.07034)",
        size="10 frames of 64 x 64, or any number of 16 to 256",
        factors=(
            "shape",
            "scale",
            "colour",
            "depth",
            "position",
            "velocity",
            "orientation",
            "visibility",
            "whole mask",
        ),
    ),
    _READY,
)
class MovingSpritesSource(GeneratedSource[MovingSpritesVideos]):
    """Moving sprites, made when asked for.

    Extras hold, per frame and sprite: positions (column and row in pixels), velocities (pixels per frame),
    orientations (radians), visibility (share of its own pixels inside the image that is seen; 0 where it is
    outside) and amodal (whole masks, shape (T, n, H, W)); per sprite: shapes, scales, colours and depths (0 in
    front); and the background's colour.

    Args:
        config: What to make.
        split: Which random streams to use; splits share no video.
    """

    config_class = MovingSpritesConfig
    kind = "moving-sprites"
    lengths = _LENGTHS
    object_keys = ObjectKeys(
        shape="shapes",
        colour="colours",
        size="scales",
        position="positions",
        velocity="velocities",
        orientation="orientations",
        depth="depths",
        visibility="visibility",
        amodal="amodal",
    )

    def __init__(self, config: MovingSpritesConfig, split: str = "train", name: str | None = None) -> None:
        super().__init__(config, split, name)
        self.facts = Facts(
            channels=config.channels,
            size=(config.size, config.size),
            frames=config.frames,
            max_objects=config.max_sprites,
            background_ids=(0,),
            overlap="top",
            binary=is_binary(config),
            origin=f"moving-sprites after arXiv 2006.07034 (VMDS), generated with seed {config.seed}",
        )

    def _samples(self, videos: MovingSpritesVideos) -> list[Sample]:
        masks, time = np.asarray(videos.masks), videos.frames.shape[1]
        visibility = visible(videos.ids.reshape(-1, *videos.ids.shape[2:]), masks)
        samples = []
        for row, ids in enumerate(videos.ids):
            present = videos.sprites.shapes[row * time] >= 0
            part = (slice(row * time, (row + 1) * time), present)
            facts = still_extras(videos.sprites, self.config, row * time)
            extras = {name: facts[name] for name in ("shapes", "scales", "colours", "depths", "background")}
            extras["positions"] = videos.sprites.centres[part]
            extras["velocities"] = videos.velocities[row][:, present]
            extras["orientations"] = videos.sprites.angles[part]
            extras["visibility"] = visibility[part]
            extras["amodal"] = masks[part]
            samples.append(Sample(videos.frames[row], ids.astype(np.int64), extras))
        return samples

    def _make(self, indices: Sequence[int], first: int, stop: int, whole: bool) -> MovingSpritesVideos:
        config = self.config
        moving, velocities = move(config, self._numbers(indices), first, stop)
        masks = np.zeros((*moving.shapes.shape, config.size, config.size), bool) if whole else None
        images, ids = draw(moving, config.size, config.channels, config.antialias, masks)
        shape = (len(indices), stop - first)
        return MovingSpritesVideos(
            frames=images.reshape(*shape, *images.shape[1:]),
            ids=ids.reshape(*shape, *ids.shape[1:]),
            sprites=moving,
            velocities=velocities,
            masks=masks,
        )

    def _numbers(self, indices: Sequence[int]) -> np.ndarray:
        """Return random numbers of videos that show enough of every sprite, shape (N, DRAWS + _MOTION)."""
        draws = self._drawn(indices, 0)
        poor = self._poor(draws)
        for attempt in range(1, _TRIES):
            if not len(poor):
                return draws
            draws[poor] = self._drawn([indices[at] for at in poor], attempt)
            poor = poor[self._poor(draws[poor])]
        raise InputError(
            "min_visible", f"{self.config.min_visible} pixels of every sprite are almost never seen.", "Ask for fewer."
        )

    def _drawn(self, indices: Sequence[int], attempt: int) -> np.ndarray:
        width = DRAWS + _MOTION
        return uniform(self.config.seed, self.split, indices, width, attempt * width)

    def _poor(self, draws: np.ndarray) -> np.ndarray:
        """Return which videos show fewer than `min_visible` pixels of a sprite in every frame."""
        config = self.config
        if not config.min_visible:
            return np.zeros(0, np.intp)
        moving, _ = move(config, draws, 0, config.frames)
        _, ids = draw(moving, config.size, 1, False)
        most = seen(ids, config.max_sprites).reshape(len(draws), config.frames, config.max_sprites).max(1)
        few = (most < config.min_visible) & (moving.shapes[:: config.frames] >= 0)
        return np.flatnonzero(few.any(1))


def move(config: MovingSpritesConfig, draws: np.ndarray, first: int, stop: int) -> tuple[Sprites, np.ndarray]:
    """Return where sprites are in frames `first` to `stop` - 1.

    Args:
        config: Settings.
        draws: Uniform in [0, 1), shape (N, DRAWS + 4 * MOST).
        first: First frame.
        stop: The frame after the last.

    Returns:
        The sprites of all frames, video by video, shapes (N * T, ...), and velocities in pixels per frame, shape
        (N, T, n, 2).
    """
    sprites = of_draws(config, draws[:, :DRAWS])
    each = draws[:, DRAWS:].reshape(len(draws), 4, MOST)[:, :, : config.max_sprites]
    course = 2 * math.pi * each[:, 0]
    speed = config.min_speed + (config.max_speed - config.min_speed) * each[:, 1]
    velocity = speed[..., None] * np.stack([np.cos(course), np.sin(course)], -1)  # (N, n, 2)
    moment = (each[:, 2] * config.frames).astype(np.int64)  # at which a sprite is where it was drawn
    since = np.arange(first, stop)[:, None] - moment[:, None]  # (N, T, n)
    centres = sprites.centres[:, None] + since[..., None] * velocity[:, None]
    velocities = np.broadcast_to(velocity[:, None], centres.shape)
    if config.border == "bounce":  # places are folded back into [low, high], and velocities are turned there
        low, high = config.margin * config.size, (1 - config.margin) * config.size
        width = max(high - low, 1e-9)
        phase = (centres - low) % (2 * width)
        back = phase > width
        centres = low + np.where(back, 2 * width - phase, phase)
        velocities = velocities * np.where(back, -1.0, 1.0)
    angles = sprites.angles[:, None] + since * (config.max_spin * (2 * each[:, 3] - 1))[:, None]
    time = stop - first
    repeated = {
        name: np.repeat(getattr(sprites, name), time, 0) for name in ("shapes", "sizes", "colours", "backgrounds")
    }
    flat = replace(sprites, centres=centres.reshape(-1, *centres.shape[2:]), angles=angles.reshape(-1, angles.shape[2]))
    return replace(flat, **repeated), velocities
