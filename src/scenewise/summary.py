"""What is said of a video: what each slot did and seems to be, and the verdict about the whole.

Slots' statistics are gathered frame by frame, in memory that does not grow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scenewise.decomposition import FrameResult

KNOWN, UNKNOWN, NO_OBJECTS, UNVALIDATED = "known footage", "unknown footage", "no objects", "not validated"
UNDECIDED, DOUBTFUL = "undecided", "doubtful footage"
NOT_TAKEN_APART = (UNKNOWN, UNDECIDED)
"""Verdicts under which slots must not be taken for objects."""

SMALLEST_AREA = 0.002
"""Share of the pixels from which on a slot counts as active in a frame."""

PATH_POINTS = 1000
"""Most points of a centroid path; beyond them every other one is dropped and the stride doubles."""

SAME_COLOUR = 0.1
"""Root mean square difference of colours in [0, 1] up to which a slot looks like the background."""

SCATTERED = 0.5
"""Compactness (1 for a filled disc) below which a slot is no one thing."""

BORDER_SHARE = 0.1
"""Share of the frame's border from which on a slot that looks like the background is one."""

SURE = 0.5
"""Mean mask of a slot over the pixels it owns from which on it owns them for sure."""

_SUMS = ("active", "first", "last", "_area", "_border", "_compact", "_colour", "_pixels", "_mask", "_spread")

RULE = (
    "The background is the slot with the largest sum of mean area and mean share of the frame's border. Another slot "
    f"is background too where its mean colour lies within {SAME_COLOUR} (root mean square, frames in [0, 1]) of the "
    f"background's and it is scattered (compactness below {SCATTERED}; a filled disc has 1) or holds at least "
    f"{BORDER_SHARE:.0%} of the border. Of the others, a slot is an object where it owns at least {SMALLEST_AREA:.1%} "
    f"of the pixels in at least a twentieth of the frames with a mean mask of at least {SURE}; one whose mask is lower "
    "shares its pixels with others and is undecided; the rest are unused. Where the model itself says which slots "
    "hold an object, however small and for however short a time, its word stands in place of area, colour and frames."
)
"""How slots are judged, in words; stands in slots.json."""


@dataclass
class Summary:
    """What is said of a video as a whole.

    Attributes:
        model: The model's name.
        frames: Frames taken apart, predicted ones included.
        verdict: "known footage", "doubtful footage" (worse than 99 percent of what the model was validated on),
            "unknown footage", "undecided", "no objects", or "not validated" where the model's card has no figure to
            compare with.
        message: The verdict in a sentence, empty for known footage.
        remedy: A command that helps, or empty.
        roles: For each slot "background", "object", "undecided" or "unused"; all "not judged" on unknown footage.
        mse: Median over frames of the reconstruction error; NaN where no frame was seen.
        limit: Error above which footage counts as unknown, or None.
        validated_mse: The card's figure, or None.
        scores: Rows with `protocol`, `metric`, `value` and `note`.
        interrupted: Whether the video was broken off.
        seconds: Wall-clock seconds in all.
        model_seconds: Of these, in reading frames and running the model.
        problems: What was wrong with the file.
        folder: Where the files are.
        files: Their names.
        tracks: For each slot the numbers of the objects that it held, in their order; more than one where a model
            gives a slot that has lost its object to another.
        resumed: Frames that another process had done before, from which this one went on.
    """

    model: str
    frames: int
    verdict: str
    message: str
    remedy: str
    roles: list[str]
    mse: float
    limit: float | None
    validated_mse: float | None
    scores: list[dict[str, Any]] = field(default_factory=list)
    interrupted: bool = False
    seconds: float = 0.0
    model_seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    folder: str = ""
    files: list[str] = field(default_factory=list)
    tracks: list[list[int]] = field(default_factory=list)
    resumed: int = 0

    @property
    def objects(self) -> int:
        """Number of slots taken for objects."""
        return self.roles.count("object")

    @property
    def background(self) -> list[int]:
        """Slots taken for background."""
        return [k for k, role in enumerate(self.roles) if role == "background"]

    @property
    def track_ids(self) -> list[int]:
        """For each slot the number that its first object has in all files, from 1; 0 where it is no object."""
        tracks = self.tracks or [[k + 1] for k in range(len(self.roles))]
        return [
            numbers[0] if role == "object" and numbers else 0 for role, numbers in zip(self.roles, tracks, strict=True)
        ]

    @property
    def doubt(self) -> str:
        """Why slots may not be objects, a sentence; empty where nothing tells so."""
        return self.message if self.verdict == DOUBTFUL else ""

    @property
    def warning(self) -> str:
        """Why slots must not be taken for objects, with the command in backticks; empty where they may."""
        if self.verdict not in NOT_TAKEN_APART:
            return ""
        return f"{self.message} To train a model on this footage: `{self.remedy}`"


@dataclass(frozen=True)
class Geometry:
    """From pixels of the model's frames to pixels of the source.

    Attributes:
        size: (H, W) of the model's frames.
        crop: (top, left, height, width) in source pixels that they show.
    """

    size: tuple[int, int]
    crop: tuple[int, int, int, int]

    def point(self, row: float, column: float) -> tuple[float, float]:
        """Return (x, y) in source pixels of a point given by the centre of pixel (row, column).

        Examples:
            >>> Geometry(size=(32, 32), crop=(0, 64, 64, 64)).point(row=0, column=31)  # pixels are 2 x 2 source pixels
            (127.0, 1.0)
        """
        top, left, height, width = self.crop
        return left + (column + 0.5) * width / self.size[1], top + (row + 0.5) * height / self.size[0]


class SlotStatistics:
    """Running sums over frames.

    Args:
        slots: K.
        geometry: Where the frames lie in the source.
    """

    def __init__(self, slots: int, geometry: Geometry) -> None:
        self.slots = slots
        self.geometry = geometry
        self.frames = 0
        self.active = np.zeros(slots, dtype=np.int64)
        self.first = np.full(slots, -1, dtype=np.int64)
        self.last = np.full(slots, -1, dtype=np.int64)
        self.stride = 1
        self.tracks: list[list[int]] = [[] for _ in range(slots)]  # numbers of the objects that a slot has held
        self._named = False  # whether the model says which slots hold an object
        self._paths: list[list[tuple[int, float, float]]] = [[] for _ in range(slots)]
        self._area = np.zeros(slots)
        self._border = np.zeros(slots)
        self._compact = np.zeros(slots)
        self._colour = np.zeros((slots, 3))
        self._pixels = np.zeros(slots)
        self._mask = np.zeros(slots)
        self._spread = np.zeros(slots)
        self._latents: _Moments | None = None
        self._grid = _grid(geometry.size)

    def add(self, frame: FrameResult) -> None:
        """Take in the next frame."""
        labels = frame.labels.reshape(-1).astype(np.intp)
        counts = np.bincount(labels, minlength=self.slots)[: self.slots].astype(float)
        if frame.tracks is not None:
            self._named = True
            active = (counts > 0) & (frame.tracks >= 0)
        else:
            active = counts >= max(1.0, SMALLEST_AREA * labels.size)
        centroids, compact = self._shape(labels, counts)
        self._count(frame, labels, counts, active)
        self._compact += np.where(active, compact, 0.0)
        self._trace(frame.index, active, centroids)
        for k in np.flatnonzero(active):
            number = int(frame.track_ids[k])
            if number and number not in self.tracks[k]:
                self.tracks[k].append(number)
        self.active += active
        self.last[active] = frame.index
        self.first[active & (self.first < 0)] = frame.index
        self.frames += 1

    def state(self) -> dict[str, Any]:
        """Return all running sums, as plain values and arrays."""
        sums = {name: getattr(self, name).copy() for name in _SUMS}
        latents = None if self._latents is None else vars(self._latents)
        return {
            "frames": self.frames,
            "stride": self.stride,
            "tracks": [list(numbers) for numbers in self.tracks],
            "named": self._named,
            "paths": [np.array(path, float).reshape(-1, 3) for path in self._paths],
            "latents": latents,
            **sums,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.frames, self.stride = state["frames"], state["stride"]
        self.tracks = [list(numbers) for numbers in state["tracks"]]
        self._named = state.get("named", False)
        self._paths = [[(int(index), x, y) for index, x, y in path.tolist()] for path in state["paths"]]
        for name in _SUMS:
            getattr(self, name)[:] = state[name]
        if state["latents"] is not None:
            self._latents = _Moments(state["latents"]["mean"].shape)
            for name, values in state["latents"].items():
                getattr(self._latents, name)[:] = values

    def _shape(self, labels: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return centroids (row, column), shape (K, 2), and compactness, shape (K,), of the pixels owned."""
        rows, columns = self._grid
        n = np.maximum(counts, 1)
        sums = [np.bincount(labels, weights=w, minlength=self.slots)[: self.slots] / n for w in (rows, columns)]
        squares = np.bincount(labels, weights=rows**2 + columns**2, minlength=self.slots)[: self.slots] / n
        variance = squares - sums[0] ** 2 - sums[1] ** 2 + 1 / 6  # a pixel is a square, not a point
        return np.stack(sums, 1), counts / (2 * math.pi * np.maximum(variance, 1e-9))

    def _count(self, frame: FrameResult, labels: np.ndarray, counts: np.ndarray, active: np.ndarray) -> None:
        edge = np.concatenate(
            [frame.labels[0], frame.labels[-1], frame.labels[1:-1, 0], frame.labels[1:-1, -1]]
        ).astype(np.intp)
        self._area += counts / labels.size
        self._border += np.bincount(edge, minlength=self.slots)[: self.slots] / edge.size
        image = frame.picture if frame.seen is None else frame.seen
        colours = image.reshape(-1, 3) / 255.0
        for channel in range(3):
            owned = np.bincount(labels, weights=colours[:, channel], minlength=self.slots)
            self._colour[:, channel] += owned[: self.slots]
        self._pixels += counts
        top = frame.masks.max(axis=0).reshape(-1)
        self._mask += np.bincount(labels, weights=top, minlength=self.slots)[: self.slots]
        self._spread += frame.std.mean(axis=-1) if frame.std.shape[-1] else 0.0
        if self._latents is None:
            self._latents = _Moments(frame.mean.shape)
        self._latents.add(frame.mean, active)

    def _trace(self, index: int, active: np.ndarray, centroids: np.ndarray) -> None:
        if self.frames % self.stride:
            return
        for k in np.flatnonzero(active):
            x, y = self.geometry.point(*centroids[k])
            self._paths[k].append((index, round(x, 2), round(y, 2)))
        if max(map(len, self._paths)) > PATH_POINTS:
            self.stride *= 2
            self._paths = [path[::2] for path in self._paths]

    # -- what they seem to be ---------------------------------------------------------------------------------------

    @property
    def area(self) -> np.ndarray:
        """Mean share of the pixels owned, shape (K,)."""
        return self._area / max(self.frames, 1)

    @property
    def certainty(self) -> np.ndarray:
        """Mean mask of each slot over the pixels it owns, shape (K,); 0 where it never owned one."""
        return self._mask / np.maximum(self._pixels, 1)

    @property
    def spread(self) -> np.ndarray:
        """Mean posterior standard deviation of each slot's latent, shape (K,)."""
        return self._spread / max(self.frames, 1)

    @property
    def movement(self) -> np.ndarray:
        """Standard deviation of the posterior mean over active frames, averaged over latent dimensions, shape (K,)."""
        if self._latents is None or not self._latents.mean.shape[1]:
            return np.zeros(self.slots)
        return np.stack([self._latents.of(k)[1].mean() for k in range(self.slots)])

    @property
    def decided(self) -> bool:
        """Whether the largest mask is at least `SURE`, on average over all pixels seen."""
        return float(self._mask.sum()) >= SURE * max(float(self._pixels.sum()), 1.0)

    @property
    def main_background(self) -> int:
        """The slot with the largest sum of mean area and share of the border."""
        return int((self._area + self._border).argmax())

    def background(self) -> list[int]:
        """Return the slots that look like background; see `RULE`."""
        main = self.main_background
        if self._named:
            return [main, *(k for k in range(self.slots) if k != main and self.active[k] and not self.tracks[k])]
        colour = self._colour / np.maximum(self._pixels, 1)[:, None]
        alike = np.sqrt(((colour - colour[main]) ** 2).mean(1)) <= SAME_COLOUR
        compact = self._compact / np.maximum(self.active, 1)
        border = self._border / max(self.frames, 1)
        loose = (compact < SCATTERED) | (border >= BORDER_SHARE)
        return [k for k in range(self.slots) if k == main or (self.active[k] and alike[k] and loose[k])]

    def roles(self) -> list[str]:
        """Return "background", "object", "undecided" or "unused" for each slot; see `RULE`."""
        background, needed = self.background(), 1 if self._named else max(1, self.frames // 20)
        active = ["object" if sure else "undecided" for sure in self.certainty >= SURE]
        return [
            "background" if k in background else active[k] if self.active[k] >= needed else "unused"
            for k in range(self.slots)
        ]

    def rows(self, roles: list[str]) -> list[dict[str, Any]]:
        """Return plain values for each slot, as they stand in slots.json."""
        frames = max(self.frames, 1)
        return [
            {
                "slot": k,
                "track_id": self.tracks[k][0] if roles[k] == "object" and self.tracks[k] else 0,
                "track_ids": self.tracks[k] if roles[k] == "object" else [],
                "role": roles[k],
                "frames_active": int(self.active[k]),
                "first_frame": None if self.first[k] < 0 else int(self.first[k]),
                "last_frame": None if self.last[k] < 0 else int(self.last[k]),
                "mean_area": round(float(self.area[k]), 6),
                "mean_border_share": round(float(self._border[k] / frames), 6),
                "mean_mask": round(float(self.certainty[k]), 4),
                "compactness": round(float(self._compact[k] / max(self.active[k], 1)), 4),
                "mean_colour": [round(float(c), 4) for c in self._colour[k] / max(self._pixels[k], 1)],
                "centroid_path": [list(point) for point in self._paths[k]],
                "latent": self._latent(k),
            }
            for k in range(self.slots)
        ]

    def _latent(self, k: int) -> dict[str, Any]:
        """Mean over active frames, its spread over time, and the posterior's own standard deviation."""
        if self._latents is None:
            return {}
        mean, deviation = self._latents.of(k)
        return {
            "mean": [round(float(v), 5) for v in mean],
            "std_over_time": [round(float(v), 5) for v in deviation],
            "posterior_std": round(float(self.spread[k]), 5),
        }


class _Moments:
    """Mean and variance of rows that come now and then (Welford)."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.count = np.zeros(shape[0])
        self.mean = np.zeros(shape)
        self.squares = np.zeros(shape)

    def add(self, values: np.ndarray, rows: np.ndarray) -> None:
        """Count the values of the rows that come now; both have one entry per row."""
        self.count[rows] += 1
        step = values[rows] - self.mean[rows]
        self.mean[rows] += step / self.count[rows, None]
        self.squares[rows] += step * (values[rows] - self.mean[rows])

    def of(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of a row."""
        return self.mean[row], np.sqrt(self.squares[row] / max(self.count[row], 1))


def _grid(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[: size[0], : size[1]]
    return rows.reshape(-1).astype(float), columns.reshape(-1).astype(float)
