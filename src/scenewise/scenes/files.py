"""The files of a drawn scene: a sheet of pictures, a film of a turn around it, arrays, and a record."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.config import plain
from scenewise.data.sheets import as_colours, enlarged
from scenewise.media import SLOT_COLOURS, VideoWriter, write_atomically
from scenewise.media.contact_sheet import png
from scenewise.media.files import writing
from scenewise.run_record import RECORD, versions
from scenewise.scenes.rendering import UNCERTAINTY_RANGE, Rendering

if TYPE_CHECKING:
    from pathlib import Path

    from scenewise.decompose.decomposer import Decomposer

SHEET, FILM, ARRAYS = "sheet.png", "turn.mp4", "arrays.npz"
_RATE = 18.0  # a turn in four seconds
_GAP = 4
_TINT = 0.6  # share of a slot's colour over the picture
_NONE = 170  # grey of objects without a slot
# dark to bright with even steps of lightness, after matplotlib's inferno
_HEAT = np.array([[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]], float)


def write_rendering(rendering: Rendering, folder: Path, decomposer: Decomposer, settings: dict[str, Any]) -> list[str]:
    """Write all but the report; the record comes last.

    Args:
        rendering: What was drawn.
        folder: Where to.
        decomposer: Who drew it.
        settings: What was asked for.

    Returns:
        Names of the files.

    Raises:
        InputError: A file cannot be written.
    """
    write_atomically(folder / SHEET, png(sheet(rendering)))
    frames = turn(rendering)
    if len(frames):
        with writing(folder / FILM), VideoWriter(folder / FILM, frames.shape[1:3], _RATE) as film:
            for frame in frames:
                film.write(frame)
    with io.BytesIO() as buffer:
        np.savez_compressed(buffer, **_arrays(rendering))  # type: ignore[arg-type]
        write_atomically(folder / ARRAYS, buffer.getvalue())
    files = sorted([*(path.name for path in folder.iterdir()), RECORD])
    record = {
        "files": files,
        **summary(rendering),
        "settings": settings | described(decomposer),
        "versions": versions(),
    }
    write_atomically(folder / RECORD, json.dumps(record, indent=1) + "\n")
    return files


def described(decomposer: Decomposer) -> dict[str, Any]:
    """Return the model and where it ran as nested plain values."""
    return {
        "device": str(decomposer.device),
        "model": {
            "name": decomposer.name,
            "path": decomposer.path,
            "fingerprint": decomposer.fingerprint,
            "settings": plain(decomposer.model.config),
        },
    }


def summary(rendering: Rendering) -> dict[str, Any]:
    """Return what was drawn, and how well, in plain numbers; means are over the views that were not observed."""
    rows = rendering.scores()
    novel = [row for row in rows if not row["observed"]]
    fits = [row["miou"] for row in novel if row["miou"] is not None]
    return {
        "scene": rendering.scene.name,
        "observed": list(rendering.observed),
        "queried": list(rendering.queried),
        "slots": len(rendering.mean),
        "novel_views": len(novel),
        "rmse": float(np.sqrt(np.mean([row["rmse"] ** 2 for row in novel]))) if novel else None,
        "miou": float(np.mean(fits)) if fits else None,
        "views": rows,
    }


def sheet(rendering: Rendering) -> np.ndarray:
    """Return rows of truth, drawing, slots, true objects and uncertainty, a column per queried view, (H', W', 3)."""
    views = list(rendering.queried)
    rows = [as_colours(np.moveaxis(rendering.scene.frames[views], -1, 1)), rendering.views.pictures, slots(rendering)]
    truth = true_objects(rendering)
    rows += [] if truth is None else [truth]
    tiles = [[framed(image) for image in enlarged(row)] for row in [*rows, heat(rendering.uncertainty)]]
    return np.concatenate([np.concatenate(row, 1) for row in tiles])


def framed(image: np.ndarray) -> np.ndarray:
    """Return a picture with a white gap below and to the right."""
    return np.pad(image, ((0, _GAP), (0, _GAP), (0, 0)), constant_values=255)


def slots(rendering: Rendering) -> np.ndarray:
    """Return the drawn views in the colours of the slots that own their pixels, uint8, shape (Q, H, W, 3)."""
    return tinted(rendering.views.pictures, rendering.views.labels)


def tinted(pictures: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return pictures (..., H, W, 3) under the colours of slots (..., H, W)."""
    colours = np.array(SLOT_COLOURS)[labels % len(SLOT_COLOURS)]
    return np.asarray(_TINT * colours + (1 - _TINT) * pictures).astype(np.uint8)


def true_objects(rendering: Rendering) -> np.ndarray | None:
    """Return true objects in the colour of the one slot that fits each best over all views, (Q, H, W, 3)."""
    if rendering.scene.ids is None:
        return None
    from scipy.optimize import linear_sum_assignment

    truth, labels = rendering.scene.ids[list(rendering.queried)], rendering.views.labels
    names = [n for n in np.unique(truth).tolist() if n >= 0]
    counts = np.array([np.bincount(labels[truth == n], minlength=len(rendering.mean)) for n in names])
    colours = np.full((len(names) + 1, 3), _NONE)
    for row, slot in zip(*linear_sum_assignment(counts, maximize=True), strict=True):
        colours[row] = SLOT_COLOURS[slot % len(SLOT_COLOURS)]
    index = np.searchsorted(names, truth)
    index = np.where(truth < 0, len(names), index)
    pictures = np.repeat(rendering.scene.frames[list(rendering.queried)], 3 // rendering.scene.frames.shape[-1], -1)
    return np.asarray(_TINT * colours[index] + (1 - _TINT) * pictures).astype(np.uint8)


def heat(values: np.ndarray) -> np.ndarray:
    """Return maps of uncertainty (..., H, W) as colours of the range [-6, -2], uint8, shape (..., H, W, 3)."""
    low, high = UNCERTAINTY_RANGE
    place = ((values - low) / (high - low)).clip(0, 1)
    knots = np.linspace(0, 1, len(_HEAT))
    return np.stack([np.interp(place, knots, _HEAT[:, c]) for c in range(3)], -1).round().astype(np.uint8)


def turn(rendering: Rendering) -> np.ndarray:
    """Return the turn's frames, drawing beside slots, uint8, shape (72, H', W', 3), or none."""
    if rendering.turn is None:
        return np.zeros((0, 1, 1, 3), np.uint8)
    pictures = rendering.turn.pictures
    both = (enlarged(pictures), enlarged(tinted(pictures, rendering.turn.labels)))
    gap = np.full((*both[0].shape[:2], _GAP, 3), 255, np.uint8)
    return np.concatenate([both[0], gap, both[1]], axis=2)


def _arrays(rendering: Rendering) -> dict[str, np.ndarray]:
    views, around = rendering.views, rendering.turn
    arrays = {
        "observed": np.array(rendering.observed),
        "queried": np.array(rendering.queried),
        "viewpoints": rendering.scene.viewpoints,
        "images": views.images.astype(np.float32),
        "labels": views.labels.astype(np.uint8 if len(rendering.mean) <= 256 else np.uint16),
        "masks": views.masks.astype(np.float16),
        "appearance": views.appearance.astype(np.float16),
        "uncertainty": rendering.uncertainty.astype(np.float32),
        "mean": rendering.mean,
        "std": rendering.std,
        "frames": rendering.scene.frames,
    }
    if rendering.scene.ids is not None:
        arrays["ids"] = rendering.scene.ids
    if around is not None:
        arrays |= {"turn_viewpoints": rendering.turn_viewpoints, "turn_images": around.pictures}
        arrays["turn_labels"] = around.labels.astype(arrays["labels"].dtype)
    return arrays
