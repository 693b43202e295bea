"""A picture of a stage: colours smoothed at edges, ids of the centre rays."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scenewise.data.generated.scenes3d.shader import encode, shade, touched
from scenewise.data.generated.scenes3d.stage import BACKGROUND, OBJECTS, Hits, RayScene

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scenewise.data.generated.scenes3d.camera import Camera
    from scenewise.data.generated.scenes3d.looks import Look
    from scenewise.data.generated.scenes3d.stage import Body

_BOTH = (OBJECTS, BACKGROUND)
_STEP = 10.0  # levels of 255 in any colour between neighbours above which an edge lies between them


class Picture(NamedTuple):
    """A picture.

    Attributes:
        frame: uint8, shape (3, H, W).
        ids: Owner of what the centre ray of every pixel meets, int64, shape (H, W).
    """

    frame: np.ndarray
    ids: np.ndarray


class Bare(NamedTuple):
    """What a camera sees of the background alone; a clip with a fixed camera needs it once.

    Attributes:
        shown: Display values 0 to 255, float32, shape (H * W, 3).
        places: Points of the background, float32, shape (H * W, 3).
    """

    shown: np.ndarray
    places: np.ndarray


def bare(background: Sequence[Body], camera: Camera, look: Look) -> Bare:
    """Return what a camera sees where nothing but the background stands."""
    stage, rays = RayScene(background), camera.rays()
    hits = stage.cast(camera.place, rays, _BOTH, normals=True)
    places = np.asarray(camera.place) + rays * hits.reach[:, None]
    return Bare(encode(shade(stage, look, camera.place, rays, hits)), places.astype(np.float32))


def paint(stage: RayScene, camera: Camera, look: Look, smooth: bool = True, empty: Bare | None = None) -> Picture:
    """Return the picture a camera takes.

    Args:
        stage: What stands before it.
        camera: The camera.
        look: Lights and surfaces.
        smooth: Whether to cast four rays more through every pixel at an edge. Ids stay those of the centre.
        empty: What this camera sees of the background alone, to save the pixels that no body changes.
    """
    rays = camera.rays()
    hits = stage.cast(camera.place, rays, _BOTH, normals=True)
    pixels = _shown(stage, camera, look, rays, hits, empty)
    if smooth:
        edges = _edges(hits, pixels, camera.size)
        finer = camera.finer_rays(edges)
        colours = shade(stage, look, camera.place, finer, stage.cast(camera.place, finer, _BOTH, normals=True))
        pixels[edges] = encode(colours).reshape(len(edges), 4, 3).mean(1)
    frame = (pixels + 0.5).astype(np.uint8).T.reshape(3, *camera.size)
    ids = stage.owners[hits.geoms].astype(np.int64).reshape(camera.size)
    return Picture(np.ascontiguousarray(frame), ids)


def _shown(stage: RayScene, camera: Camera, look: Look, rays: np.ndarray, hits: Hits, empty: Bare | None) -> np.ndarray:
    """Return the display values of the centre rays, shape (N, 3)."""
    if empty is None:
        return encode(shade(stage, look, camera.place, rays, hits))
    changed = np.flatnonzero(stage.foreground[hits.geoms] | touched(stage, look, empty.places))
    some = Hits(*(values[changed] for values in hits))
    pixels = empty.shown.copy()
    pixels[changed] = encode(shade(stage, look, camera.place, rays[changed], some))
    return pixels


def _edges(hits: Hits, pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return flat indices of the pixels beside an edge of a body, or of a face or a shadow where it shows."""
    geoms, colours = hits.geoms.reshape(size), pixels.reshape(*size, 3)
    beside = np.zeros(size, bool)
    for first, second in (
        ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
    ):
        between = geoms[first] != geoms[second]
        red, green, blue = np.moveaxis(np.abs(colours[first] - colours[second]) > _STEP, 2, 0)
        between |= red | green | blue  # faster than `any` along so short an axis
        beside[first] |= between
        beside[second] |= between
    return np.flatnonzero(beside)
