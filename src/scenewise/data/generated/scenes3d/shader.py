"""Colours of the points that rays meet: lamps with shadow, ambient light kept off by near bodies, highlights, mirrors.

The formulas are the plainest that give the look of the published pictures: Lambert's law, Phong's highlights, lamps
that obey the inverse square law, and for metal one reflection of floor, sky and lamps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scenewise.data.generated.scenes3d.stage import MATTE, METAL, OBJECTS, RUBBER, Hits, RayScene

if TYPE_CHECKING:
    from scenewise.data.generated.scenes3d.looks import Light, Look

_TOUCH = 1e-4  # share of the way to a lamp within which a surface is the one that is lit
_BUMP = 0.03  # world units within which a hollow body does not shade itself
_NEAR = 4.0  # radii of a body within which it keeps ambient light off
_FAR = 60.0  # world units beyond which the floor that metal mirrors is taken as that far


@dataclass
class Points:
    """N points of surfaces.

    Attributes:
        geoms: Index of the geom, shape (N,).
        places: Shape (N, 3), float32.
        normals: Unit vectors, shape (N, 3), float32.
        rays: Unit directions from the camera, shape (N, 3), float32.
    """

    geoms: np.ndarray
    places: np.ndarray
    normals: np.ndarray
    rays: np.ndarray

    def take(self, which: np.ndarray) -> Points:
        """Return some of the points."""
        return Points(*(values.take(which, 0) for values in (self.geoms, self.places, self.normals, self.rays)))


def shade(stage: RayScene, look: Look, origin: tuple[float, float, float], rays: np.ndarray, hits: Hits) -> np.ndarray:
    """Return the colours that come along rays, linear RGB, float32, shape (N, 3)."""
    away = np.flatnonzero(hits.geoms < 0)
    if not len(away):
        return _surfaces(stage, look, _points(stage, look, origin, rays, hits))
    colours = np.empty((len(rays), 3), np.float32)
    colours[away] = sky(look, _unit(rays[away].astype(np.float32)))
    met = np.flatnonzero(hits.geoms >= 0)
    if len(met):
        some = Hits(*(values[met] for values in hits))
        colours[met] = _surfaces(stage, look, _points(stage, look, origin, rays[met], some))
    return colours


def touched(stage: RayScene, look: Look, places: np.ndarray) -> np.ndarray:
    """Return whether bodies change the light at places of the background, bool, shape (N,).

    A body far away keeps less than half a hundredth of the ambient light off, which no display value shows.
    """
    bodies, cores = stage.data.geom_xpos[stage.moving].astype(np.float32), stage.cores[stage.moving]
    squares = _dot(places, places) - 2 * bodies @ places.T + _dot(bodies, bodies)[:, None]  # (n, N)
    changed = (squares < ((_NEAR * cores) ** 2)[:, None]).any(0)
    for lamp in look.lights:
        if lamp.samples:
            changed |= _behind(stage, lamp, places)
    return np.asarray(changed)


def sky(look: Look, rays: np.ndarray) -> np.ndarray:
    """Return the colours that come from beyond the scene along unit directions of shape (N, 3)."""
    up = np.clip(rays[:, 2:], 0, 1)
    return np.asarray(_single(look.sky) * (1 - up) + _single(look.zenith) * up)


_LINEAR = np.linspace(0, 1, 8192)  # steps in which the darkest value shown is off by less than half a level
_SRGB = np.where(_LINEAR <= 0.0031308, 12.92 * _LINEAR, 1.055 * np.maximum(_LINEAR, 1e-9) ** (1 / 2.4) - 0.055)
_CURVE = np.asarray(255 * _SRGB, np.float32)


def encode(linear: np.ndarray) -> np.ndarray:
    """Return display values 0 to 255 (sRGB curve), float32, of linear values."""
    return _CURVE.take((np.clip(linear, 0, 1) * (len(_CURVE) - 1)).astype(np.int32))


def _points(stage: RayScene, look: Look, origin: tuple[float, float, float], rays: np.ndarray, hits: Hits) -> Points:
    """Return the points that rays meet, with edges rounded."""
    ways = rays.astype(np.float32)
    places = _single(origin) + ways * hits.reach[:, None].astype(np.float32)
    points = Points(hits.geoms, places, hits.normals.astype(np.float32), _unit(ways))
    if look.rounding:
        _round_edges(stage, look.rounding, points)
    return points


def _round_edges(stage: RayScene, share: float, points: Points) -> None:
    """Bend the normals near edges of boxes and cylinders as those of rounded ones, in place."""
    for geom in stage.edged:
        rows = np.flatnonzero(points.geoms == geom)
        if not len(rows):
            continue
        axes = stage.data.geom_xmat[geom].reshape(3, 3).astype(np.float32)
        size = _single(stage.bodies[geom].size)
        inner = size - share * size.min()
        local = (points.places[rows] - stage.data.geom_xpos[geom].astype(np.float32)) @ axes
        if stage.bodies[geom].shape == "cylinder":
            radius = np.sqrt((local[:, :2] ** 2).sum(1, keepdims=True))
            flat = local[:, :2] * (np.maximum(radius - inner[0], 0) / np.maximum(radius, 1e-6))
            along = np.sign(local[:, 2:]) * np.maximum(np.abs(local[:, 2:]) - inner[2], 0)
            beyond = np.concatenate([flat, along], 1)
        else:
            beyond = np.sign(local) * np.maximum(np.abs(local) - inner, 0)
        points.normals[rows] = _unit(beyond @ axes.T)  # how far points reach beyond a smaller body, as vectors


def _surfaces(stage: RayScene, look: Look, points: Points) -> np.ndarray:
    kinds = stage.surfaces[points.geoms]
    light, shine = _lit(stage, look, points, kinds)
    light += _single(look.ambient) * _openness(stage, look, points)[:, None]
    colours = stage.colours.take(points.geoms, 0)
    shares = np.array([1.0, look.rubber, 0.15 * look.rubber], np.float32)[kinds]
    colour = colours * light * shares[:, None]
    rubber, metal = np.flatnonzero(kinds == RUBBER), np.flatnonzero(kinds == METAL)
    colour[rubber] += shine[rubber] * look.shine[0]
    colour[metal] += colours[metal] * _mirrored(look, points.take(metal)) * look.metal
    colour[metal] += (0.5 + 0.5 * colours[metal]) * shine[metal] * look.shine[1]
    return colour


def _lit(stage: RayScene, look: Look, points: Points, kinds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the light that falls on points and the highlights they show, both of shape (N, 3)."""
    light = np.zeros((len(points.geoms), 3), np.float32)
    shine = np.zeros_like(light)
    polish = np.array([1.0, look.polish[0], look.polish[1]], np.float32)[kinds]
    for lamp in look.lights:
        strength, ways = _falling(lamp, points.places)
        facing = _dot(points.normals, ways)
        lit = np.flatnonzero((facing > 0) & (strength > 0))
        share = strength[lit]
        if lamp.samples:
            share = share * _unshaded(stage, lamp, points.geoms[lit], points.places.take(lit, 0))
        falls = np.zeros(len(light), np.float32)
        falls[lit] = share * facing[lit]
        light += falls[:, None] * _single(lamp.strength)  # of all points: quicker than picking rows
        glossy = np.flatnonzero(kinds[lit] != MATTE)
        at = lit[glossy]
        back = ways.take(at, 0) - 2 * facing[at, None] * points.normals.take(at, 0)  # the lamp's light after the bounce
        glint = np.clip(_dot(back, points.rays.take(at, 0)), 0, 1) ** polish[at]
        shine[at] += (share[glossy] * glint)[:, None] * _single(lamp.strength)
    return light, shine


def _falling(lamp: Light, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how strongly a lamp shines on places, shape (N,), and the unit directions towards it, shape (N, 3)."""
    ways = _single(lamp.place) - places
    squares = _dot(ways, ways)
    ways /= np.sqrt(squares)[:, None]
    if lamp.steady:
        return np.ones(len(places), np.float32), ways
    return np.maximum(-(ways @ lamp.axis.astype(np.float32)), 0) / squares, ways


def _unshaded(stage: RayScene, lamp: Light, geoms: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the share of a lamp that places on geoms see, shape (N,).

    Rays begin at the lamp, since a batch shares one origin; that also rids convex bodies of shading themselves. Where
    two corners of the lamp that face each other are both seen or both hidden, so is the rest of it.
    """
    visibility = np.ones(len(geoms), np.float32)
    doubtful = np.flatnonzero(_behind(stage, lamp, places))
    some = (geoms[doubtful], places.take(doubtful, 0))
    first = _free(stage, lamp.points[0], *some).astype(np.float32)
    if len(lamp.points) > 1:
        last = _free(stage, lamp.points[-1], *some)
        edges = np.flatnonzero(first != last)
        rest = (some[0][edges], some[1].take(edges, 0))
        first[edges] = (1 + sum(_free(stage, point, *rest) for point in lamp.points[1:-1])) / len(lamp.points)
    visibility[doubtful] = first
    return visibility


def _free(stage: RayScene, start: np.ndarray, geoms: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return whether nothing lies between a point of a lamp and places on geoms, bool, shape (N,)."""
    ways = places - start
    hits = stage.cast(start, ways, (OBJECTS,))
    free = (hits.geoms < 0) | (hits.geoms == geoms) | (hits.reach > 1 - _TOUCH)
    hollow = ~stage.convex[geoms]
    if hollow.any():
        free[hollow] &= hits.reach[hollow] > 1 - _BUMP / np.linalg.norm(ways[hollow], axis=1)
    return np.asarray(free)


def _behind(stage: RayScene, lamp: Light, places: np.ndarray) -> np.ndarray:
    """Return whether the way from a lamp to places comes near any body, bool, shape (N,); saves most shadow rays."""
    start = _single(lamp.place)
    ways = places - start
    bodies = stage.data.geom_xpos[stage.moving].astype(np.float32) - start
    reach = 1.01 * stage.model.geom_rbound[stage.moving] + lamp.spread
    squares = (bodies * bodies).sum(1)
    narrow = np.maximum(squares - reach**2, 0).astype(np.float32)
    nearest = np.maximum(squares - reach * np.sqrt(squares), 0).astype(np.float32)
    along = bodies @ ways.T  # (n, N): numpy is quick along the longer axis
    return np.asarray(((along > nearest[:, None]) & (along * along >= _dot(ways, ways) * narrow[:, None])).any(0))


def _openness(stage: RayScene, look: Look, points: Points) -> np.ndarray:
    """Return the share of the ambient light that other bodies, taken as balls, let through to points."""
    bodies, cores = stage.data.geom_xpos[stage.moving].astype(np.float32), stage.cores[stage.moving]
    towards = points.normals @ bodies.T - _dot(points.normals, points.places)[:, None]  # (N, n)
    squares = _dot(points.places, points.places)[:, None] - 2 * points.places @ bodies.T + (bodies * bodies).sum(1)
    squares = np.maximum(squares, cores**2)
    part = np.maximum(towards, 0) * cores**2 / (squares * np.sqrt(squares))
    part[points.geoms[:, None] == stage.moving] = 0
    # Under a body the floor throws back little: what faces down is darker.
    down = 0.3 * np.maximum(-points.normals[:, 2], 0)
    return np.asarray(1 - np.clip(look.occlusion * part.sum(1) + down, 0, 0.9))


def _mirrored(look: Look, points: Points) -> np.ndarray:
    """Return what metal at points mirrors of floor and sky, shape (N, 3); lamps come as highlights."""
    ways = points.rays - 2 * _dot(points.rays, points.normals)[:, None] * points.normals
    colour = sky(look, ways)
    down = np.flatnonzero(ways[:, 2] < -1e-3)
    reach = np.minimum(-points.places[down, 2] / ways[down, 2], _FAR)
    floor = points.places[down] + ways[down] * reach[:, None]
    light = np.tile(_single(look.ambient), (len(down), 1))
    for lamp in look.lights:
        strength, towards = _falling(lamp, floor)
        light += (strength * np.maximum(towards[:, 2], 0))[:, None] * _single(lamp.strength)
    # The floor near a body lies in its shadow.
    colour[down] = light * (0.15 + 0.6 * np.clip(reach / 4, 0, 1))[:, None]
    return colour


def _single(values: tuple[float, float, float]) -> np.ndarray:
    return np.array(values, np.float32)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", a, b)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.maximum(np.sqrt(_dot(vectors, vectors)), 1e-9)[:, None])
