"""The report of a drawn scene: one page that opens from disk, of pictures and tables alone, without a script."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.media import SLOT_COLOURS, write_atomically
from scenewise.media.contact_sheet import png
from scenewise.report.templates import many, number, template
from scenewise.scenes.files import heat, slots, summary, true_objects, turn
from scenewise.scenes.rendering import SAMPLES, UNCERTAINTY_RANGE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from scenewise.scenes.rendering import Rendering

REPORT = "report.html"
_RATE = 18  # turn, frames per second


def write_page(rendering: Rendering, path: Path, model: str, settings: Mapping[str, Any]) -> None:
    """Write the report.

    Args:
        rendering: What was drawn.
        path: The file.
        model: Name of the model.
        settings: The effective settings, nested mappings of plain values.

    Raises:
        InputError: The file cannot be written.
    """
    write_atomically(path, render_page(rendering, model, settings))


def render_page(rendering: Rendering, model: str, settings: Mapping[str, Any]) -> str:
    """Return the report as HTML."""
    facts, frames, around = summary(rendering), _coloured(rendering.scene.frames), turn(rendering)
    truth, queried = true_objects(rendering), rendering.queried  # columns of pictures, a row per queried view
    columns = {"Truth": frames[list(queried)], "Drawn": rendering.views.pictures, "Slots": slots(rendering)}
    columns |= {} if truth is None else {"True objects": truth}
    columns |= {"Uncertainty": heat(rendering.uncertainty)}
    height, width = rendering.scene.frames.shape[1:3]
    own = rendering.scene.source_size
    scaling = "" if own == (height, width) else f", scaled from {own[1]} × {own[0]}"
    rows = [
        [f"view {r['view']}", "observed" if r["observed"] else "new", number(r["rmse"]), number(r["miou"])]
        for r in facts["views"]
    ]
    shades = (f"rgb({r} {g} {b})" for r, g, b in heat(np.linspace(*UNCERTAINTY_RANGE, 9)).tolist())
    return template("scene.html").render(
        title=rendering.scene.name,
        facts=[f"model {model}", f"{width} × {height} pixels{scaling}", many(len(rendering.mean), "slot")],
        summary=facts,
        observed=[(view, _png(frames[view])) for view in rendering.observed],
        queried=[_column(name, images) for name, images in columns.items()],
        alone=_alone(rendering),
        turn=_gif(around) if len(around) else "",
        turn_views=len(around),
        score_rows=[*rows, ["all new views", "", number(facts["rmse"]), number(facts["miou"])]],
        settings=settings,
        samples=SAMPLES,
        uncertainty_range=UNCERTAINTY_RANGE,
        ramp=f"linear-gradient(90deg,{','.join(shades)})",
    )


def _alone(rendering: Rendering) -> list[dict[str, Any]]:
    """Return every slot that owns a pixel somewhere, cut out, a row per queried view."""
    views = rendering.views
    opacity = (views.masks[..., None] * 255).round().astype(np.uint8)
    pictures = _coloured((views.appearance.clip(0, 1) * 255).round().astype(np.uint8))
    return [
        _column(f"slot {k + 1}", np.concatenate([pictures[:, k], opacity[:, k]], -1), _colour(k))
        for k in np.unique(views.labels).tolist()
    ]


def _column(name: str, images: Iterable[np.ndarray], colour: str = "") -> dict[str, Any]:
    return {"name": name, "colour": colour, "images": [_png(image) for image in images]}


def _colour(slot: int) -> str:
    red, green, blue = SLOT_COLOURS[slot % len(SLOT_COLOURS)]
    return f"rgb({red} {green} {blue})"


def _coloured(frames: np.ndarray) -> np.ndarray:
    return np.repeat(frames, 3, -1) if frames.shape[-1] == 1 else frames


def _png(image: np.ndarray) -> str:
    return "data:image/png;base64," + base64.b64encode(png(image)).decode()


def _gif(frames: np.ndarray) -> str:
    """Return a film (T, H, W, 3) that plays for ever."""
    from PIL import Image

    first, *rest = (Image.fromarray(frame) for frame in frames)
    with io.BytesIO() as buffer:
        first.save(buffer, "GIF", save_all=True, append_images=rest, duration=1000 // _RATE, loop=0)
        return "data:image/gif;base64," + base64.b64encode(buffer.getvalue()).decode()
