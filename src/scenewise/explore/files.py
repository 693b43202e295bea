"""Traversals and refinements as files: a figure to look at and arrays to work with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.explore.refinements import refinement_figure
from scenewise.media.contact_sheet import png
from scenewise.media.files import atomic_file, write_atomically
from scenewise.run_record import versions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from scenewise.decompose.decomposer import Decomposer
    from scenewise.explore.moment import Moment
    from scenewise.explore.refinements import RefinementPicture
    from scenewise.explore.traversal import Traversal


def write_traversal(traversal: Traversal, folder: Path, name: str, title: str) -> list[str]:
    """Write a traversal.

    Args:
        traversal: What was drawn.
        folder: Exists.
        name: What names of its files begin with.
        title: Over the figures.

    Returns:
        The names of the files: two figures and arrays `dimensions` (D,), `kl` (D,), `values` (D, V), `images`
        (D, V, H, W, 3), `masks` (D, V, K, H, W) and `slot`, counted from 0.
    """
    names = [f"{name}.png", f"{name}-alone.png", f"{name}.npz"]
    write_atomically(folder / names[0], png(traversal.figure(title)))
    write_atomically(folder / names[1], png(traversal.figure(f"{title}, alone", alone=True)))
    with atomic_file(folder / names[2]) as file:
        np.savez_compressed(
            file,
            slot=traversal.slot,
            dimensions=traversal.dimensions,
            kl=traversal.kl,
            values=traversal.values,
            own=traversal.own,
            images=np.stack([drawing.images for drawing in traversal.drawings]),
            masks=np.stack([drawing.masks for drawing in traversal.drawings]),
        )
    return names


def write_refinements(
    moment: Moment,
    pictures: Sequence[RefinementPicture],
    folder: Path,
    name: str,
    title: str,
    slots: Sequence[int] | None = None,
) -> list[str]:
    """Write the refinements of a frame.

    Args:
        moment: The frame.
        pictures: Its `refinement_pictures`.
        folder: Exists.
        name: What names of its files begin with.
        title: Over the figure.
        slots: Which are in the figure, from 0; all where None.

    Returns:
        The names of the files: a figure, and arrays of R decodes: `nll` and `kl` (R,), `images` (R, h, w, 3), `masks`
        (R, K, h, w), `means`, the slots' pictures (R, K, h, w, C), and of decodes that were refined `gradient_means`
        and `gradient_masks` at the size at which the network saw them.

    Raises:
        InputError: There is no such slot.
    """
    names = [f"{name}.png", f"{name}.npz"]
    write_atomically(folder / names[0], png(refinement_figure(moment, pictures, title, slots)))
    refined = [picture.gradients for picture in pictures if picture.gradients]
    kinds = list(refined[0]) if refined else []
    arrays = {f"gradient_{kind}": np.stack([gradients[kind] for gradients in refined]) for kind in kinds}
    with atomic_file(folder / names[1]) as file:
        np.savez_compressed(
            file,
            nll=np.array([picture.nll for picture in pictures]),
            kl=np.array([picture.kl for picture in pictures]),
            images=np.stack([picture.image for picture in pictures]),
            masks=np.stack([picture.masks for picture in pictures]),
            means=np.stack([picture.appearance for picture in pictures]),
            **arrays,  # type: ignore[arg-type]  # names of arrays, none is that of an option
        )
    return names


def described(folder: Path, decomposer: Decomposer, facts: dict[str, Any]) -> None:
    """Write run.json: model, versions and what was looked at."""
    model = {"name": decomposer.name, "path": decomposer.path, "fingerprint": decomposer.fingerprint}
    record = {"model": model, **facts, "versions": versions()}
    write_atomically(folder / "run.json", json.dumps(record, indent=1) + "\n")
