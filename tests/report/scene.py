"""A made-up result: discs that move over a textured ground, with soft masks and a little noise."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from scenewise.decomposition import FrameResult
from scenewise.report import ReportBuilder
from scenewise.summary import KNOWN, Geometry, SlotStatistics, Summary

COLOURS = np.array([[38, 44, 60], [235, 120, 60], [70, 160, 230], [120, 200, 90], [230, 200, 70], [200, 90, 190]])


def discs(
    frames: int,
    slots: int = 5,
    size: tuple[int, int] = (64, 64),
    *,
    predicted: int = 0,
    ids: bool = True,
    noise: int = 6,
) -> Iterator[FrameResult]:
    """Yield frames; slot 0 is the ground, the last slot stays nearly empty where there are more than two."""
    height, width = size
    random = np.random.default_rng(0)
    starts, ways = random.uniform(0.2, 0.8, (slots, 2)), random.uniform(-0.02, 0.02, (slots, 2))
    y, x = np.mgrid[:height, :width]
    for t in range(frames):
        places = (1 - np.abs(1 - (starts + ways * t) % 2)) * 0.8 + 0.1
        scores = np.full((slots, height, width), -4.0)
        scores[0] = 1.0
        for k in range(1, slots if slots < 3 else slots - 1):
            away = np.hypot(y - places[k, 0] * height, x - places[k, 1] * width)
            scores[k] = 1.0 + 3.0 * (min(size) / 8 + k % 3 - away)
        scores += random.normal(0, 0.3, scores.shape)
        yield _frame(t, scores, t >= frames - predicted, ids, random, noise)


def _frame(
    t: int, scores: np.ndarray, predicted: bool, ids: bool, random: np.random.Generator, noise: int
) -> FrameResult:
    slots, height, width = scores.shape
    masks = np.exp(scores - scores.max(0))
    masks /= masks.sum(0)
    shade = np.linspace(0.75, 1.15, width)[None, None, :, None] * np.ones((slots, height, width, 1))
    appearance = shade * COLOURS[np.arange(slots) % len(COLOURS)][:, None, None, :]
    picture = (masks[..., None] * appearance).sum(0)
    noisy = (picture + random.normal(0, noise, picture.shape)).clip(0, 255).astype(np.uint8)
    labels = masks.argmax(0).astype(np.uint8)
    entropy = -(masks * np.log(masks + 1e-9)).sum(0) * (0.05 + 0.05 * predicted) + random.uniform(
        0, 0.004, (height, width)
    )
    return FrameResult(
        index=t,
        time_s=t / 25,
        image=noisy,
        labels=labels,
        masks=masks,
        appearance=appearance.clip(0, 255).astype(np.uint8),
        reconstruction=(picture / 255).astype(np.float32),
        mean=random.normal(0, 0.1, (slots, 8)) + np.sin(t / 9),
        std=np.full((slots, 8), 0.08) * (1 + 0.4 * np.sin(t / 7 + np.arange(slots)))[:, None],
        mse=float(0.0022 + 0.0006 * np.sin(t / 6) + 0.003 * predicted),
        kl=0.0,
        log_likelihood=0.0,
        ids=np.where(labels == 0, 0, labels.astype(np.int64) + 2) if ids else None,
        predicted=predicted,
        truth=noisy if predicted else None,
        spread=lambda: entropy.astype(np.float32),
    )


def empty_report(title="clip.mp4", slots=5, size=(64, 64), settings=None, max_frames=240) -> ReportBuilder:
    """Return a report without frames."""
    statistics = SlotStatistics(slots, Geometry(size, (0, 0, *size)))
    return ReportBuilder(title=title, statistics=statistics, settings=settings or {}, max_frames=max_frames)


def take_in(report: ReportBuilder, frame: FrameResult) -> None:
    """Show a frame to the statistics and to the report."""
    report.statistics.add(frame)
    report.add(frame)


def summary_of(report: ReportBuilder, **changes) -> Summary:
    """Return what would be said of a report's frames."""
    roles = report.statistics.roles() if report.frames else ["unused"] * report.slots
    facts = {"model": "model", "frames": report.frames, "verdict": KNOWN, "message": "", "remedy": "", "roles": roles}
    return Summary(**{**facts, "mse": 0.002, "limit": None, "validated_mse": None, **changes})
