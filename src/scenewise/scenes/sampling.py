"""New scenes from a model's prior: drawn by seed, and written as a contact sheet and arrays."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scenewise.errors import InputError
from scenewise.media.contact_sheet import contact_sheet, png, tile
from scenewise.media.files import atomic_file, write_atomically
from scenewise.media.folders import OutputFolder
from scenewise.media.palette import slot_colours
from scenewise.models import MODELS
from scenewise.models.contract import Samples
from scenewise.run_record import versions

if TYPE_CHECKING:
    from pathlib import Path

    from scenewise.decompose.decomposer import Decomposer
    from scenewise.models.contract import SceneModel

MOST = 1024
"""Largest number of scenes drawn at once."""

SHOWN = 32
"""Scenes on the contact sheet; the arrays hold all."""


@dataclass(frozen=True)
class SampleBatch:
    """N scenes that a model made up.

    Attributes:
        masks: float32, shape (N, K, H, W); they sum to 1 over K.
        appearance: float32 in [0, 1], shape (N, K, H, W, C).

    Examples:
        >>> masks = np.array([0.75, 0.25], np.float32).reshape(1, 2, 1, 1)  # a scene of two slots and one pixel
        >>> appearance = np.array([0.0, 0.8], np.float32).reshape(1, 2, 1, 1, 1)
        >>> SampleBatch(masks, appearance).images.tolist()  # 255 * 0.25 * 0.8
        [[[[51]]]]
    """

    masks: np.ndarray
    appearance: np.ndarray

    @property
    def images(self) -> np.ndarray:
        """What the slots compose, uint8, shape (N, H, W, C)."""
        composed = (self.masks[..., None] * self.appearance).sum(1)
        return np.rint(composed.clip(0, 1) * 255).astype(np.uint8)

    def sheet(self) -> np.ndarray:
        """Return a picture of the first scenes, uint8, shape (height, width, 3).

        Two rows a scene: the scene and every slot's mask; below, masks in the slots' colours and every appearance.
        """
        colours = slot_colours(self.masks.shape[1]) / 255
        rows = []
        for image, masks, appearance in zip(self.images[:SHOWN] / 255, self.masks, self.appearance, strict=False):
            rows.append([image, *(mask[..., None] for mask in masks)])
            rows.append([np.einsum("khw,kc->hwc", masks, colours), *appearance])
        return contact_sheet(rows)


def sample_scenes(model: SceneModel, count: int, slots: int | None = None, seed: int = 0) -> SampleBatch:
    """Draw new scenes.

    Args:
        model: In evaluation mode.
        count: N, how many.
        slots: K, the model's own where None.
        seed: Scene i of a seed is the same however many are drawn.

    Raises:
        InputError: The model has no prior over scenes, or a number is out of range.
    """
    if not isinstance(model, Samples):
        able = ", ".join(name for name in MODELS.names() if issubclass(MODELS.get(name), Samples))
        problem = f"{model.registered_name} cannot make up scenes: it has no prior over how slots go together."
        raise InputError("model", problem, f"Use one of these: {able}.")
    if not 1 <= count <= MOST:
        raise InputError("count", f"must be from 1 to {MOST}; found {count}.")
    if seed < 0:
        raise InputError("seed", f"must be at least 0; found {seed}.")
    masks, appearance = model.sample(count, slots, seed)
    return SampleBatch(masks.squeeze(2).cpu().numpy(), appearance.movedim(2, -1).clamp(0, 1).cpu().numpy())


def save_scenes(
    scenes: SampleBatch, folder: Path, decomposer: Decomposer, seed: int, overwrite: bool = False
) -> list[str]:
    """Write scenes: all files or none.

    Args:
        scenes: What was drawn.
        folder: Where to.
        decomposer: The model, whose name and fingerprint are noted.
        seed: Of the scenes.
        overwrite: Replace a folder that holds files.

    Returns:
        The names of the files: `samples.png`, `samples.npz` (images, masks, appearance), `images/`, `run.json`.

    Raises:
        InputError: The folder is taken or cannot be written.
    """
    count, slots = scenes.masks.shape[:2]
    record = {
        "model": {"name": decomposer.name, "path": decomposer.path, "fingerprint": decomposer.fingerprint},
        "count": count,
        "slots": slots,
        "seed": seed,
        "size": list(scenes.masks.shape[2:]),
        "versions": versions(),
    }
    with OutputFolder(folder, overwrite) as output:
        write_atomically(output.path / "samples.png", png(scenes.sheet()))
        with atomic_file(output.path / "samples.npz") as file:
            np.savez(file, images=scenes.images, masks=scenes.masks, appearance=scenes.appearance)
        (output.path / "images").mkdir()
        for i, image in enumerate(scenes.images):
            write_atomically(output.path / "images" / f"{i:05d}.png", png(tile(image / 255)))
        write_atomically(output.path / "run.json", json.dumps(record, indent=1) + "\n")
        output.commit()
    return ["samples.png", "samples.npz", "images/", "run.json"]
