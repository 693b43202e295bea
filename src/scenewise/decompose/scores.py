"""Scores of one video: against exact ids where there are any, and of predicted frames against the true future."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.evaluation.protocols import default_protocols
from scenewise.metrics import HORIZONS, adjusted_rand_index, over_horizons, squared_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scenewise.decomposition import FrameResult
    from scenewise.evaluation.protocols import Protocol

PREDICTION = "prediction"
"""Name that scores of predicted frames carry: means over the first j predicted frames, as PROVIDE Fig. 5."""

LARGEST_SCORED = 256
"""Longest side, in pixels, at which labels of scaled results are scored; beyond it one pixel in n counts."""

_BASELINE = "the last observed frame, repeated"


class VideoScores:
    """Gathers what scores need; frames without ids and without a future cost nothing.

    Videos with ids come from generators and array files and are in memory already, so keeping their labels until the
    end does not change what a run needs; results of another size than the model's are thinned to `LARGEST_SCORED`.
    Errors are those at the model's own size.

    Args:
        background_ids: True ids that are background.
    """

    def __init__(self, background_ids: tuple[int, ...] = (0,)) -> None:
        self.background_ids = background_ids
        self.mse: list[float] = []
        self.copy_last_mse: list[float] = []
        self._seen: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
        self._ahead: list[tuple[np.ndarray, np.ndarray]] = []
        self._last: np.ndarray | None = None
        self._every = 1

    def add(self, frame: FrameResult) -> None:
        """Take in the next frame."""
        if frame.predicted:
            self._add_predicted(frame)
            return
        self._last, reconstruction = frame.compared
        if frame.ids is not None and self._last is not None:
            channels = reconstruction.shape[-1]
            self._seen.append((*self._scored(frame, frame.ids), reconstruction, self._last[..., :channels]))

    def state(self) -> dict[str, Any]:
        """Return what was gathered of frames that were seen."""
        return {"last": self._last, "every": self._every, "seen": [list(arrays) for arrays in self._seen]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._last, self._every = state["last"], state["every"]
        self._seen = [(labels, ids, image, frame) for labels, ids, image, frame in state["seen"]]

    def rows(self) -> list[dict[str, Any]]:
        """Return all scores, each with the name of its protocol."""
        return [*self._protocols(), *self._predictions()]

    def _add_predicted(self, frame: FrameResult) -> None:
        self.mse.append(frame.mse)
        error = math.nan
        future = frame.compared[0]
        if future is not None and self._last is not None:
            last, truth = (np.moveaxis(image, -1, 0) / 255.0 for image in (self._last, future))  # (C, H, W)
            error = float(squared_error(last, truth))
        self.copy_last_mse.append(error)
        if frame.ids is not None:
            self._ahead.append(self._scored(frame, frame.ids))

    def _scored(self, frame: FrameResult, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the labels and ids that are scored."""
        self._every = n = 1 if frame.own is None else -(-max(ids.shape) // LARGEST_SCORED)
        grid = slice(n // 2, None, n), slice(n // 2, None, n)
        return frame.labels[grid].copy(), ids[grid].copy()  # a view would keep the whole

    def _note(self, *words: str) -> str:
        thinned = f"one pixel in {self._every} of each row and column" if self._every > 1 else ""
        return ", ".join(word for word in (*words, thinned) if word)

    def _protocols(self) -> list[dict[str, Any]]:
        if not self._seen:
            return []
        labels, ids, reconstruction, frames = (np.stack(parts) for parts in zip(*self._seen, strict=True))
        images = np.moveaxis(reconstruction, -1, 1), np.moveaxis(frames, -1, 1) / np.float32(255)  # (T, C, H, W)
        observed = "observed frames" if self.mse else ""
        rows = []
        for protocol in default_protocols(("labels", "ids", "background_ids", "reconstruction", "frames")):
            values = _values(protocol, labels, ids, images, self.background_ids)
            for metric, value in values.items():
                rows.append(_row(protocol.name, metric, value, observed if metric == "MSE" else self._note(observed)))
        return rows

    def _predictions(self) -> list[dict[str, Any]]:
        length = int(np.isfinite(self.mse).sum())  # the future ends somewhere and does not begin again
        if not length:
            return []
        rows = _horizons("MSE", np.array(self.mse[:length]))
        rows += _horizons("MSE", np.array(self.copy_last_mse[:length]), _BASELINE)
        if self._ahead:
            labels, ids = (np.stack(parts) for parts in zip(*self._ahead, strict=True))
            for metric, foreground in (("ARI", False), ("F-ARI", True)):
                each = adjusted_rand_index(labels, ids, foreground=foreground, background_ids=self.background_ids).each
                rows += _horizons(metric, each, self._note())
        return rows


def _values(
    protocol: Protocol,
    labels: np.ndarray,
    ids: np.ndarray,
    images: tuple[np.ndarray, np.ndarray],
    background_ids: tuple[int, ...],
) -> dict[str, float]:
    """Return scores of one video by name; reconstructions and frames (T, C, h, w) may differ from labels in size."""
    if labels.shape[1:] == images[0].shape[2:]:
        return protocol.score(labels, ids, *images, background_ids)
    blank = np.zeros((len(labels), *images[0].shape[2:]), np.uint8)  # errors do not depend on labels
    return {**protocol.score(blank, blank, *images), **protocol.score(labels, ids, background_ids=background_ids)}


def _horizons(metric: str, values: np.ndarray, note: str = "") -> list[dict[str, Any]]:
    """Return means over the first j frames, j as in PROVIDE and all of them."""
    at = sorted({*(j for j in HORIZONS if j <= len(values)), len(values)})
    means = over_horizons(values[None], 0, at=at).cumulative
    return [
        _row(PREDICTION, metric, means[j], f"first {j} predicted frames" + (f": {note}" if note else "")) for j in at
    ]


def _row(protocol: str, metric: str, value: float, note: str = "") -> dict[str, Any]:
    return {
        "protocol": protocol,
        "metric": metric,
        "value": float(value) if math.isfinite(value) else None,
        "note": note,
    }
