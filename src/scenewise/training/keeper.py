"""The best model of a run, as a folder that can be used while the run goes on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from scenewise.checkpoint import Card, Score, Validated, save_model
from scenewise.training.plan import describe_data

if TYPE_CHECKING:
    from pathlib import Path

    from scenewise.models.contract import SceneModel
    from scenewise.training.plan import Plan
    from scenewise.training.validation import Validation


class Keeper:
    """Writes a model folder whenever the validation bound is the highest so far.

    Args:
        folder: Where the model goes.
        plan: What is trained on what.
        hardware: The device in words.
        best: Highest bound so far, nats per frame.
    """

    def __init__(self, folder: Path, plan: Plan, hardware: str, best: float = -math.inf) -> None:
        self.folder, self.plan, self.hardware, self.best = folder, plan, hardware, best

    def offer(self, model: SceneModel, found: Validation, step: int, seconds: float) -> bool:
        """Keep the model if it is the best so far, and say whether it is.

        Args:
            model: Its weights now.
            found: What its validation found.
            step: Steps it was trained.
            seconds: Seconds it was trained.
        """
        if found.bound <= self.best:
            return False
        self.best = found.bound
        save_model(model, self.folder, self._card(found, step, seconds))
        return True

    def _card(self, found: Validation, step: int, seconds: float) -> Card:
        recipe, train = self.plan.recipe, self.plan.train
        where = f"{recipe.data.source}, validation split, {found.frames} frames"
        return Card(
            name=recipe.name,
            summary=recipe.summary,
            recipe=recipe.name,
            data=describe_data(recipe, train),
            data_fingerprint=train.fingerprint(),
            steps=step,
            hours=seconds / 3600,
            hardware=self.hardware,
            seeds=(recipe.training.seed,),
            frames=self.plan.longest,
            validated=Validated(
                mse=float(found.mse.mean()),
                mse_high=float(np.percentile(found.mse, 99)),
                data=where,
                protocol="mean and 99th percentile over frames",
            ),
            scores=_scores(found, where),
            limitations=_limitations(self.plan),
        )


def _scores(found: Validation, where: str) -> tuple[Score, ...]:
    return tuple(
        Score(protocol=s.protocol, metric=name, data=where, value=value, videos=s.videos)
        for s in found.scores
        for name, value in s.values.items()
        if name != "MSE" and math.isfinite(value)
    )


def _limitations(plan: Plan) -> tuple[str, ...]:
    height, width = plan.train.facts.size
    lines = [
        f"Knows only videos like its training data ({plan.recipe.data.source}); others need training of their own.",
        f"Frames are {height} x {width} pixels; clips in training had at most {plan.longest} frames.",
    ]
    objects = plan.train.facts.max_objects
    if objects is not None:
        lines.append(f"Was trained on at most {objects} objects.")
    return tuple(lines)
