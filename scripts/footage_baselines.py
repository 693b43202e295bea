"""What is used today on fixed cameras, on clips with truth, in one table: `python scripts/footage_baselines.py`.

Foreground by OpenCV's MOG2, by the difference from the median over time, or by the difference from the emptiest
picture; its connected components; and SORT, which links their boxes by a Kalman filter and the overlap of boxes. One
setting for all clips. Models that `scenewise train footage` wrote join with `--model CLIP=FOLDER`.

Needs the extra `dev` (OpenCV, motmetrics). The clips are generated; a video of yours comes with its truth:
`--video clip.mp4 --truth truth.npz` (array `ids`, (T, h, w): 0 background, else the object).
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import footage_scenes
import motmetrics
import numpy as np
from footage_scenes import Scene
from scipy.optimize import linear_sum_assignment

from scenewise.data.footage.background import emptiest
from scenewise.media import read_video
from scenewise.metrics.ari import adjusted_rand_index

_DIFFERENCE = 25  # of 255, largest channel; smaller differences from a picture are taken for noise
_LEAST_AREA = 0.002  # of the frame; smaller components are specks
_OVERLAP = 0.3  # least IoU of a box with where its track is expected
_PATIENCE = 5  # frames for which a track waits for its object
_MATCH = 0.5  # least IoU of masks that are the same object, for IDF1 and ID switches

Foreground = Callable[[np.ndarray], np.ndarray]


class Sort:
    """Tracks of boxes: a Kalman filter of centre, area and side ratio, constant velocity, and IoU (Bewley, 2016)."""

    def __init__(self) -> None:
        self.tracks: list[_Track] = []
        self.count = 0

    def update(self, boxes: np.ndarray) -> list[int]:
        """Return the track of every box of the next frame; boxes are (x0, y0, x1, y1), shape (N, 4)."""
        expected = np.array([track.expect() for track in self.tracks]).reshape(-1, 4)
        overlap = box_overlap(expected, boxes)
        pairs = [(i, j) for i, j in zip(*linear_sum_assignment(-overlap), strict=True) if overlap[i, j] >= _OVERLAP]
        numbers = {j: self.tracks[i].see(boxes[j]) for i, j in pairs}
        for j in set(range(len(boxes))) - numbers.keys():
            self.count += 1
            self.tracks.append(_Track(self.count, boxes[j]))
            numbers[j] = self.count
        self.tracks = [track for track in self.tracks if track.unseen <= _PATIENCE]
        return [numbers[j] for j in range(len(boxes))]


class _Track:
    """One object: mean and covariance of (x, y, area, ratio, and the velocities of the first three)."""

    _MOTION = np.eye(7) + np.diag(np.ones(3), 4) * np.array([[1, 1, 1, 0, 0, 0, 0]]).T
    _DRIFT = np.diag([1.0, 1, 1, 1, 0.01, 0.01, 1e-4])
    _ERROR = np.diag([1.0, 1, 10, 10])

    def __init__(self, number: int, box: np.ndarray) -> None:
        self.number, self.unseen = number, 0
        self.mean = np.concatenate([_measured(box), np.zeros(3)])
        self.covariance = np.diag([10.0, 10, 10, 10, 1e4, 1e4, 1e4])

    def expect(self) -> np.ndarray:
        """Go on by one frame and return the box expected there."""
        if self.mean[2] + self.mean[6] <= 0:
            self.mean[6] = 0
        self.mean = self._MOTION @ self.mean
        self.covariance = self._MOTION @ self.covariance @ self._MOTION.T + self._DRIFT
        self.unseen += 1
        width = np.sqrt(max(self.mean[2] * self.mean[3], 1e-6))
        height = max(self.mean[2], 1e-6) / width
        x, y = self.mean[:2]
        return np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])

    def see(self, box: np.ndarray) -> int:
        """Correct by a box that was seen, and return the number of the track."""
        gain = self.covariance[:, :4] @ np.linalg.inv(self.covariance[:4, :4] + self._ERROR)
        self.mean = self.mean + gain @ (_measured(box) - self.mean[:4])
        self.covariance = self.covariance - gain @ self.covariance[:4]
        self.unseen = 0
        return self.number


def _measured(box: np.ndarray) -> np.ndarray:
    width, height = box[2] - box[0], box[3] - box[1]
    return np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2, width * height, width / height])


def box_overlap(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the IoU of every box (x0, y0, x1, y1) with every other, shape (N, M)."""
    low, high = np.maximum(one[:, None, :2], other[None, :, :2]), np.minimum(one[:, None, 2:], other[None, :, 2:])
    both = np.prod(np.maximum(high - low, 0), -1)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], -1) for boxes in (one, other)]
    return both / np.maximum(areas[0][:, None] + areas[1][None] - both, 1e-9)


def components(foreground: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return labels (H, W) of the parts of a foreground that are no specks, and their boxes (N, 4), largest first."""
    square = np.ones((3, 3), np.uint8)
    clean = cv2.morphologyEx(cv2.morphologyEx(foreground, cv2.MORPH_OPEN, square), cv2.MORPH_CLOSE, np.ones((5, 5)))
    _, parts, facts, _ = cv2.connectedComponentsWithStats(clean, connectivity=8)
    order = 1 + np.argsort(-facts[1:, cv2.CC_STAT_AREA], kind="stable")
    order = order[facts[order, cv2.CC_STAT_AREA] >= _LEAST_AREA * foreground.size]
    numbers = np.zeros(len(facts), np.int32)
    numbers[order] = np.arange(1, len(order) + 1)
    corners = facts[order][:, [cv2.CC_STAT_LEFT, cv2.CC_STAT_TOP]]
    sides = facts[order][:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]]
    return numbers[parts], np.concatenate([corners, corners + sides], 1).astype(float)


def tracked(frames: Sequence[np.ndarray], foreground: Foreground) -> tuple[np.ndarray, float]:
    """Return the track of every pixel, 0 for none, shape (T, H, W), and frames per second of one core."""
    began, sort, labels = time.process_time(), Sort(), []
    for frame in frames:
        parts, boxes = components(foreground(frame))
        labels.append(np.array([0, *sort.update(boxes)], np.int32)[parts])
    return np.stack(labels), len(frames) / (time.process_time() - began)


def difference_from(picture: np.ndarray) -> Foreground:
    """Return what is foreground by the difference from a picture, uint8 (H, W, 3), under its light."""

    def foreground(frame: np.ndarray) -> np.ndarray:
        signed = frame.astype(np.int16) - picture
        signed -= np.median(signed[::4, ::4], axis=(0, 1)).astype(np.int16)
        return (np.abs(signed).max(-1) > _DIFFERENCE).astype(np.uint8)

    return foreground


def mixture_of_gaussians(before: Sequence[np.ndarray]) -> Foreground:
    """Return OpenCV's MOG2, which has seen some frames already; what it takes for shadow is none."""
    model = cv2.createBackgroundSubtractorMOG2(history=500, varThreshold=16, detectShadows=True)
    for frame in before:
        model.apply(frame)
    return lambda frame: (model.apply(frame) == 255).astype(np.uint8)


@dataclass(frozen=True)
class Part:
    """The frames of a scene that are scored.

    Attributes:
        scene: Where they are from.
        numbers: Which.
        name: Which they are, in words; empty for all.
    """

    scene: Scene
    numbers: np.ndarray
    name: str

    @property
    def title(self) -> str:
        """What it is called in the table."""
        return f"{self.scene.name}, {self.name}" if self.name else self.scene.name

    @property
    def frames(self) -> np.ndarray:
        """The frames."""
        return self.scene.frames[self.numbers]

    @property
    def ids(self) -> np.ndarray:
        """Their truth."""
        return self.scene.ids[self.numbers]


def methods(part: Part, empty: np.ndarray) -> dict[str, tuple[np.ndarray, float]]:
    """Return labels and speed of every method; pictures are of the whole video, MOG2 has seen what came before."""
    scene = part.scene
    median = np.median(scene.frames[:: max(1, len(scene.frames) // 120)], axis=0)
    return {
        "MOG2": tracked(part.frames, mixture_of_gaussians(scene.frames[: part.numbers[0]])),
        "median difference": tracked(part.frames, difference_from(median.astype(np.int16))),
        "emptiest-picture difference": tracked(part.frames, difference_from(np.rint(255 * empty).astype(np.int16))),
    }


def by_model(part: Part, folder: str, empty: np.ndarray) -> tuple[np.ndarray, float]:
    """Return tracks (T, H, W) and speed of a model that was trained; 0 is what it takes for background."""
    import torch

    import scenewise as sw
    from scenewise.summary import Geometry, SlotStatistics

    torch.set_num_threads(1)
    size = part.scene.ids.shape[1:]
    decomposer = sw.load(folder, "cpu")
    statistics = SlotStatistics(decomposer.slots, Geometry(size, (0, 0, *size)))
    began, labels, tracks, named = time.process_time(), [], [], False
    for frame in decomposer.decompose(part.frames, size=size, background=empty):
        labels.append(frame.labels)
        tracks.append(frame.track_ids[frame.labels].astype(np.int32))
        named = named or frame.tracks is not None
        statistics.add(frame)
    speed = len(labels) / (time.process_time() - began)
    if named:  # the model says which slots hold an object, and which
        return np.stack(tracks), speed
    return np.where(np.isin(labels, statistics.background()), 0, tracks), speed


def scores(labels: np.ndarray, part: Part) -> dict[str, float]:
    """Return the scores of labels (T, H, W) of some frames."""
    ids, window = part.ids, part.scene.window
    least = part.scene.least * ids[0].size
    video = [
        adjusted_rand_index(labels[None, t : t + window], ids[None, t : t + window], foreground=True, scope="video")
        for t in range(0, len(ids), window)
    ]
    counts = [[(np.bincount(f.ravel())[1:] >= least).sum() for f in frames] for frames in (labels, ids)]
    identity = identities(labels, ids)
    return {
        "F-ARI": adjusted_rand_index(labels, ids, foreground=True).mean,
        "F-ARI video": float(np.nanmean([each.mean for each in video])),
        "ARI": adjusted_rand_index(labels, ids).mean,
        "count error": float(np.abs(np.subtract(*counts)).mean()),
        "IDF1": identity["idf1"],
        "ID switches": identity["num_switches"],
        "MOTA": identity["mota"],
        "HOTA": hota(labels, ids),
    }


def mask_overlap(labels: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return true ids, labels and their IoU in one frame; 0 is nobody in both."""
    (objects, a), (tracks, b) = (np.unique(frame, return_inverse=True) for frame in (ids, labels))
    both = np.bincount(a.ravel() * len(tracks) + b.ravel(), minlength=len(objects) * len(tracks))
    both = both.reshape(len(objects), len(tracks)).astype(float)
    overlap = both / np.maximum(both.sum(1, keepdims=True) + both.sum(0) - both, 1)
    return objects[objects > 0], tracks[tracks > 0], overlap[objects > 0][:, tracks > 0]


def identities(labels: np.ndarray, ids: np.ndarray) -> dict[str, float]:
    """Return IDF1, ID switches and MOTA of masks, as motmetrics counts them."""
    events = motmetrics.MOTAccumulator(auto_id=True)
    for frame, truth in zip(labels, ids, strict=True):
        objects, tracks, overlap = mask_overlap(frame, truth)
        events.update(objects, tracks, np.where(overlap >= _MATCH, 1 - overlap, np.nan))
    host = motmetrics.metrics.create()
    return host.compute(events, metrics=["idf1", "num_switches", "mota"], return_dataframe=False)


def hota(labels: np.ndarray, ids: np.ndarray) -> float:
    """Return HOTA of masks (Luiten et al., 2021, eq. 13 to 19): over IoU .05 to .95, detection times association.

    In each frame objects are matched to tracks by overlap, times how well the two go together over the whole video.
    """
    frames = [mask_overlap(frame, truth) for frame, truth in zip(labels, ids, strict=True)]
    objects, tracks = (Counter(int(n) for frame in frames for n in frame[which]) for which in (0, 1))
    together: Counter[tuple[int, int]] = Counter()
    for here, there, overlap in frames:
        share = overlap / np.maximum(overlap.sum(0) + overlap.sum(1, keepdims=True) - overlap, 1e-9)
        for i, j in zip(*np.nonzero(share), strict=True):
            together[here[i], there[j]] += share[i, j]
    alike = {(i, j): value / (objects[i] + tracks[j] - value) for (i, j), value in together.items()}
    matched: list[tuple[int, int, float]] = []
    for here, there, overlap in frames:
        weight = np.array([[alike.get((i, j), 0.0) for j in there] for i in here]).reshape(overlap.shape)
        rows, columns = linear_sum_assignment(-(weight * overlap))
        matched += [(here[i], there[j], overlap[i, j]) for i, j in zip(rows, columns, strict=True)]
    total = objects.total() + tracks.total()
    return float(np.mean([_hota_at(level / 20, matched, objects, tracks, total) for level in range(1, 20)]))


def _hota_at(
    alpha: float, matched: list[tuple[int, int, float]], objects: Counter[int], tracks: Counter[int], total: int
) -> float:
    """Return the square root of the sum of associations of true positives over TP + FN + FP, at one IoU."""
    counts = Counter((i, j) for i, j, overlap in matched if overlap >= alpha - 1e-9)
    association = sum(n * n / (objects[i] + tracks[j] - n) for (i, j), n in counts.items())
    return float(np.sqrt(association / max(total - counts.total(), 1)))


def video_parts(video: str, truth: str, least: float) -> list[Part]:
    """Return the last tenth of a video, every second frame, and the whole of it, every eighth, at the truth's size."""
    with np.load(truth) as file:
        ids = file["ids"].astype(np.int32)
    frames = np.stack([frame.image for frame in read_video(video, size=ids.shape[1:])])
    scene = Scene(Path(video).stem, frames, ids, least)
    return [
        Part(replace(scene, window=60), np.arange(int(0.9 * len(ids)), len(ids), 2), "last tenth"),
        Part(replace(scene, window=20), np.arange(0, len(ids), 8), "whole"),
    ]


def table(parts: Sequence[Part], models: dict[str, str]) -> str:
    """Return all scores as one Markdown table."""
    rows: list[tuple[str, ...]] = []
    frames = {part.scene.name: part.scene.frames for part in parts}
    pictures = {name: emptiest(images).picture for name, images in frames.items()}
    for part in parts:
        empty = pictures[part.scene.name]
        results = methods(part, empty)
        if part.scene.name in models:
            results["scenewise"] = by_model(part, models[part.scene.name], empty)
        for method, (labels, speed) in results.items():
            values = scores(labels, part)
            rows.append((part.title, method, *map(number, values.values()), f"{speed:.0f}"))
    head = ("clip", "method", *values, "frames/s")
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ("---",) * len(head), *rows))


def number(value: float) -> str:
    """Return a number as the table has it: two digits, and no zero before the point."""
    return str(value) if isinstance(value, (int, np.integer)) else re.sub(r"^(-?)0\.", r"\1.", f"{value:.2f}")


def main(words: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=300, help="length of the generated clips; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="seed of the generated clips; default: %(default)s")
    parser.add_argument("--video", help="a video of yours with --truth")
    parser.add_argument("--truth", help="npz file with ids (T, h, w)")
    parser.add_argument("--least", type=float, default=15 / 960, help="share of a frame that counts as an object there")
    parser.add_argument("--model", action="append", default=[], metavar="CLIP=FOLDER", help="a model trained on a clip")
    parser.add_argument("--save", metavar="DIR", help="write the generated clips as mp4 and their truth as npz there")
    args = parser.parse_args(words)
    cv2.setNumThreads(1)
    made = footage_scenes.scenes(args.frames, args.seed)
    if args.save:
        for scene in made:
            footage_scenes.save(scene, Path(args.save))
    parts = [Part(scene, np.arange(len(scene.frames)), "") for scene in made]
    parts += video_parts(args.video, args.truth, args.least) if args.video else []
    sys.stdout.write(table(parts, dict(word.split("=", 1) for word in args.model)) + "\n")


if __name__ == "__main__":
    main()
