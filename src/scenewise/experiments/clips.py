"""Experiments on videos whose claim is to be seen: `comparison`, and a picture of a clip as each model explains it.

The clip is the first of what the cell's first evaluation scores, over its frames and with its slots: PROVIDE's Figures
3, 4 and 7. Only the first seed of a model is drawn.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scenewise.experiments import comparison

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from scenewise.checkpoint import LoadedModel
    from scenewise.experiments.cell_folder import CellFolder
    from scenewise.experiments.experiment import Experiment
    from scenewise.experiments.results import CellResult, Presentation

COLUMNS = 10
"""Frames in a picture, evenly spread over the clip."""

_DRAWN = ("provide", "provide-windows", "seq-iodine")  # models of videos; others have figures of their own


def show(experiment: Experiment, results: Sequence[CellResult]) -> Presentation:
    """Show what `comparison` shows."""
    return comparison.show(experiment, results)


def pictures(folder: CellFolder, model: LoadedModel) -> dict[str, np.ndarray]:
    """Return a clip as the model explains it: frames, what it draws, segments, and each slot over time."""
    from scenewise.experiments.explanations import clip_figure, explain_scenes

    if folder.cell.seed or folder.cell.model not in _DRAWN or not folder.cell.scoring:
        return {}
    scoring = folder.cell.scoring[0]
    source = folder.source(scoring.split, scoring.source, **(scoring.settings if scoring.source else {}))
    length = min(source.length(0), scoring.frames or source.length(0))
    clips = explain_scenes(model.model, source, [0], frames=length, slots=scoring.slots)
    return {"clip": clip_figure(folder.cell.name, clips, 0, math.ceil(length / COLUMNS))}
