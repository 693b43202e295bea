"""Latents of slots beside the factors of the objects that they show, over many scenes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scenewise.errors import InputError
from scenewise.experiments.explanations import explain_scenes

if TYPE_CHECKING:
    from scenewise.data.contract import Objects, Source
    from scenewise.models.contract import SceneModel

_BATCH = 32
_ORDER = ("size", "material", "shape", "x", "y")
"""Factors by which objects are ordered where a code is of a whole scene, those that count most first (IODINE 4.2)."""

_CHANNELS = ("red", "green", "blue")
_CORNERS = {
    (False, False, False): "black", (True, False, False): "red", (False, True, False): "green",
    (False, False, True): "blue", (True, True, False): "yellow", (True, False, True): "magenta",
    (False, True, True): "cyan", (True, True, True): "white",
}  # fmt: skip
"""Names of the colours of the colour cube's corners, which are kinds and not numbers."""


@dataclass(frozen=True)
class SlotCodes:
    """N codes, each of up to L objects.

    Attributes:
        codes: Posterior means, shape (N, Z): of one slot and its object, L = 1, or of a scene and all its objects.
        factors: By name, shape (N, L): words, whole numbers or floats.
        present: Which objects there are, shape (N, L).
    """

    codes: np.ndarray
    factors: dict[str, np.ndarray]
    present: np.ndarray

    @property
    def places(self) -> int:
        """L."""
        return self.present.shape[1]

    def column(self, name: str) -> np.ndarray:
        """Return a factor of all objects there are, shape (number of objects,)."""
        return np.asarray(self.factors[name][self.present])

    def is_ordered(self, name: str) -> bool:
        """Say whether a factor is a number with an order, not one of several kinds."""
        return self.factors[name].dtype.kind == "f"


def object_codes(
    model: SceneModel, source: Source, count: int, *, slots: int | None = None, places: int | None = None
) -> SlotCodes:
    """Explain scenes and return the codes of their objects.

    An object is shown by the slot with the largest sum of its mask over the object's visible pixels, as in IODINE's
    code, so that several objects may be shown by one slot. Of a model without slots (K = 1) the code is that of the
    scene, and its objects stand in the order that IODINE's section 4.2 names.

    Args:
        model: In evaluation mode.
        source: Images with ids and factors; the first frames of videos.
        count: How many scenes, the first ones; fewer where there are fewer.
        slots: K; the model's own where None.
        places: L of models without slots; the largest number of objects where None.

    Raises:
        InputError: The source does not tell factors of its objects.
    """
    rows: list[tuple[np.ndarray, list[dict[str, object]]]] = []
    count = min(count, len(source))
    for first in range(0, count, _BATCH):
        scenes = explain_scenes(model, source, range(first, min(first + _BATCH, count)), slots=slots)
        means = np.asarray(scenes.part.mean[:, 0])  # (N, K, Z)
        for n, sample in enumerate(scenes.samples):
            if scenes.ids is None or sample.objects is None:
                raise InputError(source.facts.origin, "does not tell factors of its objects.")
            objects = _objects(sample.objects, scenes.ids[n, 0])
            if means.shape[1] == 1:
                rows.append((means[n, 0], sorted((facts for _, facts in objects), key=_rank)))
            else:
                masks = scenes.masks(n)
                for seen, facts in objects:
                    slot = int((masks * seen).sum((1, 2)).argmax())
                    rows.append((means[n, slot], [facts]))
    return _stacked(rows, places)


def _rank(facts: dict[str, object]) -> tuple[tuple[str, float], ...]:
    """Return what objects are ordered by; words by the alphabet, numbers by their size."""
    values = [facts.get(name, 0) for name in _ORDER]
    return tuple((v, 0.0) if isinstance(v, str) else ("", float(v)) for v in values)  # type: ignore[arg-type]


def _objects(objects: Objects, ids: np.ndarray) -> list[tuple[np.ndarray, dict[str, object]]]:
    """Return the visible pixels and the factors of every object that is seen."""
    columns = {name: column.tolist() for name, column in objects.factors(0).items()}
    channels = [columns[name] for name in _CHANNELS if name in columns]
    if len(channels) == len(_CHANNELS) and {v for values in channels for v in values} <= {0.0, 255.0}:
        columns = {name: values for name, values in columns.items() if name not in _CHANNELS}
        columns["colour"] = [_CORNERS[tuple(v > 0 for v in values)] for values in zip(*channels, strict=True)]
    shown = []
    for place, number in enumerate(objects.ids.tolist()):
        seen = ids == number
        if seen.any():
            shown.append((seen, {name: column[place] for name, column in columns.items()}))
    return shown


def _stacked(rows: list[tuple[np.ndarray, list[dict[str, object]]]], places: int | None) -> SlotCodes:
    if not any(facts for _, facts in rows):
        raise InputError("source", "shows no object.")
    length = places or max(len(facts) for _, facts in rows)
    present = np.array([[place < len(facts) for place in range(length)] for _, facts in rows])
    example = next(facts[0] for _, facts in rows if facts)
    filled = [[*facts, *[example] * (length - len(facts))] for _, facts in rows]
    factors = {name: np.array([[one[name] for one in facts] for facts in filled]) for name in example}
    return SlotCodes(np.stack([code for code, _ in rows]), factors, present)
