"""Videos of fixed cameras with exact truth, made on the fly: sprites on a texture, a conveyor belt, a table.

All have a still, textured background, light that changes a little, and noise. The conveyor's parts throw shadows that
belong to nobody; the table's things stand still for most of the time, so that they are in its median picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from scenewise.data import SOURCES
from scenewise.media import VideoWriter

_NOISE, _LIGHT = 2.0, 0.03  # standard deviation of 255; share by which the light swings


@dataclass(frozen=True)
class Scene:
    """A video and what is in it.

    Attributes:
        name: What it is called in tables.
        frames: uint8, shape (T, H, W, 3).
        ids: 0 background, else the object, the same in all frames, shape (T, H, W).
        least: Share of the frame from which on something counts as an object.
        window: Frames over which identity is scored together.
    """

    name: str
    frames: np.ndarray
    ids: np.ndarray
    least: float = 0.001
    window: int = 60


def scenes(frames: int = 300, seed: int = 0) -> list[Scene]:
    """Return one scene of each kind.

    Args:
        frames: Length of each.
        seed: The same seed gives the same scenes.
    """
    return [make(frames, np.random.default_rng([seed, number])) for number, make in enumerate((sprites, belt, table))]


def sprites(frames: int, rng: np.random.Generator, side: int = 128) -> Scene:
    """Four sprites that turn back at the border and hide each other, on a texture."""
    settings = {"min_sprites": 4, "max_sprites": 4, "border": "bounce", "min_speed": 0.5, "max_speed": 2.5}
    source = SOURCES.get("moving-sprites")("test", frames=frames, size=side, **settings)
    sample = source.sample(int(rng.integers(len(source))))
    ids = sample.ids.astype(np.int32)
    images = np.where(ids[..., None] > 0, np.moveaxis(sample.frames, 1, -1), texture((side, side), rng))
    return Scene("sprites", _filmed(images, rng), ids)


def belt(frames: int, rng: np.random.Generator, size: tuple[int, int] = (96, 160)) -> Scene:
    """Parts that ride through on two lanes of a belt, some of them touching, with shadows."""
    picture = texture(size, rng)
    picture[24:72] = 0.35 * picture[24:72] + 30
    images, ids = np.repeat(picture[None], frames, 0), np.zeros((frames, *size), np.int32)
    speed, number = 1.5, 0
    for lane in (36, 60):
        start = float(-rng.integers(0, 60))
        while start < frames * speed:
            number += 1
            side = (int(rng.integers(12, 20)), int(rng.integers(14, 24)))
            part, colour = _part(side, round_=bool(rng.random() < 0.5)), rng.integers(40, 256, 3)
            for t in range(frames):
                left = round(t * speed - start - side[1])
                _shade(images[t], part, (lane - side[0] // 2 + 3, left + 3))
            for t in range(frames):
                left = round(t * speed - start - side[1])
                _stamp(images[t], ids[t], part, (lane - side[0] // 2, left), colour, number)
            start += side[1] + float(rng.choice([0, 6, 20, 50]))
    return Scene("belt", _filmed(images, rng), ids)


def table(frames: int, rng: np.random.Generator, size: tuple[int, int] = (96, 160)) -> Scene:
    """Three things that stand on a table most of the time; each is lifted away for a while and put back."""
    images, ids = np.repeat(texture(size, rng)[None], frames, 0), np.zeros((frames, *size), np.int32)
    for number in range(3):
        side = (int(rng.integers(36, 48)), int(rng.integers(16, 24)))
        part, colour = _part(side, round_=number == 1), rng.integers(40, 256, 3)
        place = (40 - side[0] // 2 + 8 * number, 20 + 48 * number)
        gone = frames * (2 + 2 * number) // 10, frames * (4 + 2 * number) // 10
        for t in range(frames):
            away = min(t - gone[0], gone[1] - t)  # frames since it was lifted, or until it stands again
            top = place[0] - max(0, 6 * away)
            _stamp(images[t], ids[t], part, (top, place[1]), colour, number + 1)
    return Scene("table", _filmed(images, rng), ids)


def texture(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return a picture of soft spots of several sizes, floats in [40, 200], shape (H, W, 3)."""
    layers = [ndimage.gaussian_filter(rng.normal(size=(*size, 3)), (scale, scale, 0)) * scale for scale in (2, 6, 20)]
    total = np.sum(layers, axis=0)
    return 40 + 160 * (total - total.min()) / np.ptp(total)


def _part(side: tuple[int, int], round_: bool) -> np.ndarray:
    """Return the shape of a part: a box, or the ellipse in it."""
    rows, columns = np.mgrid[: side[0], : side[1]]
    radius = ((rows + 0.5) / side[0] - 0.5) ** 2 + ((columns + 0.5) / side[1] - 0.5) ** 2
    return radius <= 0.25 if round_ else np.ones(side, bool)


def _inside(part: np.ndarray, place: tuple[int, int], size: tuple[int, ...]) -> tuple[tuple[slice, slice], np.ndarray]:
    """Return where a part lies in a frame, and what of it lies there."""
    low = np.clip(place, 0, size)
    high = np.clip(np.add(place, part.shape), 0, size)
    seen = part[tuple(slice(max(a - at, 0), max(b - at, 0)) for a, b, at in zip(low, high, place, strict=True))]
    return (slice(low[0], high[0]), slice(low[1], high[1])), seen


def _stamp(
    image: np.ndarray, ids: np.ndarray, part: np.ndarray, place: tuple[int, int], colour: np.ndarray, number: int
) -> None:
    where, seen = _inside(part, place, ids.shape)
    image[where] = np.where(seen[..., None], colour, image[where])
    ids[where] = np.where(seen, number, ids[where])


def _shade(image: np.ndarray, part: np.ndarray, place: tuple[int, int]) -> None:
    where, seen = _inside(part, place, image.shape[:2])
    image[where] *= np.where(seen, 0.8, 1.0)[..., None]


def _filmed(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return frames as a camera has them: under changing light, with noise, uint8."""
    light = 1 + _LIGHT * np.sin(np.arange(len(images)) / 40)[:, None, None, None]
    noisy = images * light + rng.normal(0, _NOISE, images.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def save(scene: Scene, folder: Path) -> None:
    """Write a scene as an mp4 to train on and an npz with its truth."""
    folder.mkdir(parents=True, exist_ok=True)
    with VideoWriter(folder / f"{scene.name}.mp4", scene.ids.shape[1:], 25) as writer:
        for frame in scene.frames:
            writer.write(frame)
    np.savez_compressed(folder / f"{scene.name}.npz", ids=scene.ids)
