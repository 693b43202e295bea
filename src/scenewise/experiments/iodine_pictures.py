"""Tables of every metric, and what models make of test images or clips: IODINE's Figures 4, 12, 16 to 18, 23.

Slots are drawn where their masks are, the largest first, in a border of their colour; those of models with the
deconvolutional decoder also everywhere, as Figure 23 shows them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scenewise.experiments.comparison import show

if TYPE_CHECKING:
    import numpy as np

    from scenewise.checkpoint import LoadedModel
    from scenewise.experiments.cell_folder import CellFolder

__all__ = ["pictures", "show"]

_IMAGES, _CLIPS = 5, 2
_FRAMES = 16  # of a clip, at most
_COLUMNS = 8  # frames of a clip that are drawn, at most


def pictures(folder: CellFolder, model: LoadedModel) -> dict[str, np.ndarray]:
    """Return figures of the first test images or clips, of the first seed."""
    from scenewise.experiments.explanations import clip_figure, explain_scenes, slot_figure

    if folder.cell.seed:
        return {}
    source, title = folder.source(), f"{folder.cell.model}, {folder.cell.data}, {folder.cell.variant}"
    if source.facts.frames != 1:
        length = min(_FRAMES, source.facts.frames or _FRAMES)
        clips = explain_scenes(model.model, source, range(_CLIPS), frames=length)
        step = -(-length // _COLUMNS)
        return {f"clip{n + 1}": clip_figure(title, clips, n, step) for n in range(_CLIPS)}
    scenes = explain_scenes(model.model, source, range(_IMAGES))
    sheets = {"slots": slot_figure(title, scenes)}
    if getattr(getattr(model.model.config, "decoder", None), "kind", None) == "deconv":
        sheets["unmasked"] = slot_figure(f"{title}, slots not masked", scenes, unmasked=True)
    return sheets
