"""Whether a slot's code keeps the factors of its object apart: protocol `disentanglement` (mulmon.md 6).

A sample is an object with the slot that shows it. Slots are matched one to one to true segments by IoU (Hungarian, the
background is a segment and then left out); objects whose slot has an IoU below 0.05, or that find none, are left out
and counted. The code is the posterior's mean. Models that take viewpoints observe all views of a scene: their slots
are matched over the pixels of all views, and an object is one sample; of MulMON the code is z, which does not depend
on the view, not what it is projected to for drawing. For all other models every frame is an image by itself.

Factors are what the source tells of objects, those that are the same everywhere left out. The halves to learn from and
to test on are whole scenes or videos. `metrics.dci` says how the numbers are made; beside them stand those of forests
for all factors, since the papers do not say what they used, and those of codes that belong to another object.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from scenewise.errors import InputError
from scenewise.evaluation.batches import viewpoints
from scenewise.evaluation.rows import rows_of
from scenewise.metrics import dci_by
from scenewise.metrics.dci import REGRESSORS
from scenewise.metrics.iou import labelled_sets, overlaps_of
from scenewise.observation import Observation

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from scenewise.data.contract import Sample
    from scenewise.evaluation.request import EvaluationRequest
    from scenewise.evaluation.rows import Rows, Values
    from scenewise.metrics import Dci

LEAST_IOU = 0.05
"""A slot that overlaps less with an object does not show it."""


@dataclass(frozen=True)
class ObjectCodes:
    """N objects with the slots that show them.

    Attributes:
        codes: Posterior means, shape (N, Z).
        factors: By name, shape (N,) each.
        scenes: Number of the scene of each, shape (N,).
        left_out: How many more objects no slot shows.
    """

    codes: np.ndarray
    factors: dict[str, np.ndarray]
    scenes: np.ndarray
    left_out: int

    def varied(self) -> dict[str, np.ndarray]:
        """Return the factors that are not the same for all objects."""
        return {name: column for name, column in self.factors.items() if (column != column[0]).any()}


def score(request: EvaluationRequest) -> Rows:
    """Measure disentanglement, completeness and informativeness of slots' codes (MulMON; mulmon.md 6)."""
    by_seed = [_measure(gather(request, seed), seed) for seed in request.seeds]
    return rows_of("disentanglement", by_seed, request, each=False)


def gather(request: EvaluationRequest, seed: int) -> ObjectCodes:
    """Take scenes apart and return the objects that slots show.

    Raises:
        InputError: The source does not tell factors of objects, or of other objects than its ids show.
    """
    codes, rows, scenes, left_out = [], [], [], 0
    for scene, sample, labels, means in _explanations(request, seed):
        parts: list[tuple[int | None, slice]] = [(t, slice(t, t + 1)) for t in range(len(labels))]
        if request.model.viewpoint_size is not None:  # all views of a scene are matched together
            parts = [(None, slice(0, len(labels)))]
        for frame, views in parts:
            factors = _factors(request, sample, frame)
            slots, missed = slots_of_objects(
                labels[views], np.asarray(sample.ids)[views], request.source.facts.background_ids
            )
            codes += [means[views][0, slot] for slot in slots.values()]
            rows += [_row(factors, name) for name in slots]
            scenes += [scene] * len(slots)
            left_out += missed
    if not rows:
        raise InputError("disentanglement", "no slot shows an object.", "Train the model longer.")
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return ObjectCodes(np.stack(codes), columns, np.array(scenes), left_out)


def slots_of_objects(
    labels: np.ndarray, ids: np.ndarray, background_ids: Collection[int] = (0,)
) -> tuple[dict[int, int], int]:
    """Return which slot shows which object, and how many objects none does.

    Args:
        labels: The slot that owns each pixel, shape (V, H, W).
        ids: The truth, one id per object in all views, same shape.
        background_ids: The true ids that are background.

    Returns:
        Slots by the id of their object, and the number of objects left out.
    """
    from scipy.optimize import linear_sum_assignment

    sets, _ = labelled_sets(labels, ids, "video")
    overlaps = next(overlaps_of(*sets, background_ids))
    objects = np.setdiff1d(sets[1], [-1, *background_ids])
    first = 0 if overlaps.background is None else 1  # the row of the first object
    pairs = zip(*linear_sum_assignment(overlaps.iou, maximize=True), strict=True)
    slots = {int(objects[g - first]): int(k) for g, k in pairs if g >= first and overlaps.iou[g, k] >= LEAST_IOU}
    return slots, len(objects) - len(slots)


def _explanations(request: EvaluationRequest, seed: int) -> Iterator[tuple[int, Sample, np.ndarray, np.ndarray]]:
    """Yield number, sample, labels (T, H, W) and posterior means (T, K, Z) of every scene."""
    model, source = request.model, request.source
    device = next(model.parameters()).device
    for first in range(0, request.videos, request.batch):
        indices = list(range(first, min(first + request.batch, request.videos)))
        samples = [source.sample(index, 0, request.frames) for index in indices]
        frames = torch.from_numpy(np.stack([sample.frames for sample in samples])).float() / 255
        observation = Observation(frames, viewpoints=viewpoints(model, source, indices, request.frames)).to(device)
        with torch.no_grad():
            part = model(observation, request.slots, request.refinements, seed).decomposition
        request.meter(len(indices) * request.frames)
        part = part.labelled(request.labels)
        yield from zip(indices, samples, part.labels.cpu().numpy(), part.mean.cpu().numpy(), strict=True)


def _factors(request: EvaluationRequest, sample: Sample, frame: int | None) -> dict[str, dict[int, object]]:
    """Return the value of every factor by the id of the object."""
    objects = sample.objects
    factors = {} if objects is None else objects.factors(frame)
    if objects is None or not factors:
        origin = request.source.facts.origin
        raise InputError(origin, "does not tell factors of its objects.", "Use data that do, such as cle-mv.")
    return {name: dict(zip(objects.ids.tolist(), column, strict=False)) for name, column in factors.items()}


def _row(factors: dict[str, dict[int, object]], name: int) -> dict[str, object]:
    for factor, values in factors.items():
        if name not in values:
            problem = f"is told of objects {min(values, default=0)} to {max(values, default=0)}; found id {name}."
            raise InputError(factor, problem, "Do ids and factors of the data belong together?")
    return {factor: values[name] for factor, values in factors.items()}


def _measure(objects: ObjectCodes, seed: int) -> Values:
    factors, scenes = objects.varied(), objects.scenes
    scores, forests = dci_by(REGRESSORS, objects.codes, factors, scenes=scenes, seed=seed).values()
    shuffled = objects.codes[np.random.default_rng(seed).permutation(len(objects.codes))]
    values = _scores(scores, "") | _scores(forests, " by forests")
    by_chance, by_forests = dci_by(REGRESSORS, shuffled, factors, scenes=scenes, seed=seed).values()
    values |= _scores(by_chance, " of shuffled codes") | _scores(by_forests, " by forests of shuffled codes")
    for name, information in scores.informativeness.items():
        values[f"{information.metric} of {name}"] = information.value
        if information.metric == "accuracy":
            values[f"accuracy of most frequent {name}"] = information.baseline
        else:
            values[f"normalised RMSE of {name} by forests"] = forests.informativeness[name].value
    values |= {"objects": len(scenes), "objects left out": objects.left_out}
    return {name: np.array([value], np.float64) for name, value in values.items()}


def _scores(dci: Dci, suffix: str) -> dict[str, float]:
    return {f"disentanglement{suffix}": dci.disentanglement, f"completeness{suffix}": dci.completeness}
