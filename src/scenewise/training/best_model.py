"""The best model of a run, as a folder that can be used while the run goes on."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.checkpoint import Card, Reference, Score, TrainedStage, load_model, save_model
from scenewise.training.plan import describe_data

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from scenewise.models.contract import SceneModel
    from scenewise.training.plan import Plan
    from scenewise.training.validation import Validation


_LEAST_FRAMES = 10  # of footage; fewer may all be empty, and every other frame would seem foreign


class BestModel:
    """Writes a model folder whenever the validation bound is the highest so far.

    Args:
        folders: Where the model goes: that of the stage, and that of the run where it has stages.
        plan: What is trained on what.
        hardware: The device in words.
        stage: Name of the stage; "" where the recipe has none.
        earlier: The stages before, as their cards have them.
        lengthened: Steps the stage had been planned with before it was lengthened, oldest first.
        bound: Highest bound so far, nats per frame.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        plan: Plan,
        hardware: str,
        stage: str = "",
        earlier: tuple[TrainedStage, ...] = (),
        lengthened: tuple[int, ...] = (),
        bound: float = -math.inf,
    ) -> None:
        self.folders, self.plan, self.hardware = folders, plan, hardware
        self.stage, self.earlier, self.lengthened, self.bound = stage, earlier, lengthened, bound

    def offer(self, model: SceneModel, validation: Validation, step: int, seconds: float) -> bool:
        """Write the model if it is the best so far, and say whether it is.

        Args:
            model: Its weights now.
            validation: Its validation.
            step: Steps of the stage so far.
            seconds: Seconds of the stage so far.
        """
        if validation.bound <= self.bound:
            return False
        self.bound = validation.bound
        card = self._card(validation, step, seconds)
        for folder in self.folders:
            save_model(model, folder, card)
        return True

    def complete(self, steps: int, seconds: float) -> None:
        """Write into the card how long the stage was trained in all, the steps after the best model included."""
        saved = load_model(self.folders[0])
        card = saved.card
        last = dataclasses.replace(card.stages[-1], steps=steps, hours=seconds / 3600, lengthened=self.lengthened)
        card = dataclasses.replace(card, **_sums((*card.stages[:-1], last)))
        for folder in self.folders:
            save_model(saved.model, folder, card)

    def _card(self, validation: Validation, step: int, seconds: float) -> Card:
        recipe, train = self.plan.recipe, self.plan.train
        where = f"{recipe.data.source}, validation split, {validation.frames} frames"
        scores = tuple(
            Score(protocol=s.protocol, metric=name, data=where, value=value, videos=s.videos)
            for s in validation.scores
            for name, value in s.values.items()
            if name != "MSE" and math.isfinite(value)
        )
        told = train.facts.has_ids or validation.mse.size >= _LEAST_FRAMES
        stage = TrainedStage(
            name=self.stage,
            steps=step,
            best_step=step,
            hours=seconds / 3600,
            seed=recipe.training.seed,
            mse=float(validation.mse.mean()),
            f_ari=next((s.value for s in scores if (s.protocol, s.metric) == ("provide", "F-ARI")), None),
            ari=next((s.value for s in scores if (s.protocol, s.metric) == ("provide", "ARI")), None),
            lengthened=self.lengthened,
        )
        return Card(
            name=recipe.name,
            summary=recipe.summary,
            recipe=recipe.name,
            data=describe_data(recipe, train),
            data_fingerprint=train.fingerprint(),
            hardware=self.hardware,
            frames=self.plan.longest,
            crop=train.crop,
            source_size=train.source_size,
            validated=Reference(
                mse=stage.mse if told else None,
                mse_high=float(np.percentile(validation.mse, 99)) if told else None,
                data=where,
                protocol="mean and 99th percentile over frames" if told else "too few frames to tell",
            ),
            scores=scores,
            limitations=_limitations(self.plan),
            **_sums((*self.earlier, stage)),
        )


def _sums(stages: tuple[TrainedStage, ...]) -> dict[str, Any]:
    """Return what a card says of all stages together."""
    return {
        "stages": stages,
        "steps": sum(stage.steps for stage in stages),
        "hours": sum(stage.hours or 0.0 for stage in stages),
        "seeds": tuple(dict.fromkeys(stage.seed for stage in stages if stage.seed is not None)),
    }


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
