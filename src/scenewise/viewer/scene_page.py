"""The report of a drawn scene: one page that opens from disk, of pictures and tables alone, without a script."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.decompose.rendering import SAMPLES, UNCERTAINTY_RANGE
from scenewise.decompose.rendering_files import heat, slots, summary, true_objects, turn
from scenewise.media import SLOT_COLOURS, write_atomically
from scenewise.media.contact_sheet import png
from scenewise.viewer.page import number, settings_table, source, table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from scenewise.decompose.rendering import Rendering

REPORT = "report.html"
_RATE = 18  # turn, frames per second
_CSS = """
.views { display: grid; gap: 14px; grid-template-columns: repeat(auto-fill, minmax(130px, 1fr)); }
.views img, .turn img { width: 100%; display: block; border-radius: 8px; image-rendering: pixelated; }
.novel { display: grid; gap: 10px; grid-template-columns: 5.5em repeat(var(--pictures), minmax(72px, 160px)); }
.novel img { width: 100%; display: block; border-radius: 6px; image-rendering: pixelated; }
.novel .head { font-size: 0.8125rem; color: var(--muted); align-self: end; }
.novel .who { font-size: 0.8125rem; align-self: center; font-variant-numeric: tabular-nums; color: var(--muted); }
.novel .who b { display: block; color: var(--ink); font-size: 0.9375rem; }
.scroll { overflow-x: auto; }
.turn { max-width: 540px; }
.ramp6 { display: inline-block; width: 120px; height: 9px; border-radius: 4px; vertical-align: 0; }
.alone { background: repeating-conic-gradient(var(--check-a) 0 25%, var(--check-b) 0 50%) 0 0 / 16px 16px; }
"""


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
    facts = summary(rendering)
    parts = [
        _card("Observed views", _observed(rendering)),
        _card("Queried views", _queried(rendering, facts), "What the model drew from the viewpoint alone."),
        _card("Slots", _alone(rendering), "Each slot where it owns something, in every queried view."),
        _turn(rendering),
        _card("Scores", _scores(facts)),
        f'<details class="card"><summary><h2>Settings</h2></summary>{settings_table(settings)}</details>',
        f'<details class="card"><summary><h2>How to read this page</h2></summary>{_READING}</details>',
    ]
    title = escape(rendering.scene.name)
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, '
        'initial-scale=1"><meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        'img-src data:"><link rel="icon" href="data:,">'
        f"<title>{title} · scenewise report</title><style>{source('page.css')}{_CSS}</style></head><body>"
    )
    top = (
        '<header class="page-head"><p class="kicker"><span class="mark" aria-hidden="true"><i></i><i></i><i></i></span>'
        f'scenewise report</p><h1>{title}</h1><p class="verdict">{_verdict(facts)}</p>'
        f'<p class="facts">{escape(_facts(rendering, model))}</p></header>'
    )
    foot = "<footer><p>Made with scenewise. This file is complete: it loads nothing and sends nothing.</p></footer>"
    return f"{head}{top}<main>{''.join(parts)}</main>{foot}</body></html>\n"


_READING = f"""<div class="prose"><p>The model observed a few views of a scene and their viewpoints, one by one.
Slots do not depend on the view: a slot keeps its colour everywhere. Any viewpoint can be drawn then.</p><dl>
<dt>Drawn</dt><dd>What the mean of the posterior looks like from there.</dd>
<dt>True objects</dt><dd>Each has the colour of the one slot that fits it best over all views; grey where none is left.
</dd><dt>Uncertainty</dt><dd>log10 of the variance of a pixel over {SAMPLES} samples of the posterior, summed over
channels: bright is unsure.</dd><dt>RMSE</dt><dd>Root of the squared colour distance, summed over channels, mean over
pixels.</dd><dt>mIoU</dt><dd>How well slots fit true objects and background, matched one to one.</dd></dl></div>"""


def _verdict(facts: Mapping[str, Any]) -> str:
    count, novel = len(facts["observed"]), facts["novel_views"]
    text = f"From <strong>{count} observed view{'s' * (count != 1)}</strong> the model drew "
    text += f"<strong>{novel} view{'s' * (novel != 1)} it had not seen</strong>"
    if facts["rmse"] is None:
        return text + "."
    fit = "" if facts["miou"] is None else f", mIoU {number(facts['miou'], 3)}"
    return f"{text}: RMSE {number(facts['rmse'], 3)}{fit}."


def _facts(rendering: Rendering, model: str) -> str:
    height, width = rendering.scene.frames.shape[1:3]
    own = rendering.scene.source_size
    scaled = "" if own == (height, width) else f", scaled from {own[1]} × {own[0]}"
    return f"model {model} · {width} × {height} pixels{scaled} · {len(rendering.mean)} slots"


def _card(heading: str, body: str, hint: str = "") -> str:
    said = f'<p class="hint">{hint}</p>' if hint else ""
    return f'<section class="card"><div class="card-head"><h2>{heading}</h2>{said}</div>{body}</section>'


def _observed(rendering: Rendering) -> str:
    frames = _colours(rendering.scene.frames)
    figures = (
        f'<figure><img src="{_png(frames[view])}" alt="View {view}">'
        f"<figcaption><b>View {view}</b>{_nth(rank + 1)} to be observed</figcaption></figure>"
        for rank, view in enumerate(rendering.observed)
    )
    return f'<div class="views">{"".join(figures)}</div>'


def _queried(rendering: Rendering, facts: Mapping[str, Any]) -> str:
    frames = _colours(rendering.scene.frames)[list(rendering.queried)]
    columns = {"Truth": frames, "Drawn": rendering.drawn.pictures, "Slots": slots(rendering)}
    truth = true_objects(rendering)
    columns |= {} if truth is None else {"True objects": truth}
    columns |= {"Uncertainty": heat(rendering.uncertainty)}
    low, high = UNCERTAINTY_RANGE
    key = f'<span class="ramp6" style="background:{_ramp()}"></span>'
    legend = f'<p class="hint">Uncertainty: {low:g} {key} {high:g}, log10 of the variance</p>'
    return _grid(columns, facts) + legend


def _alone(rendering: Rendering) -> str:
    """Return every slot that owns a pixel somewhere, cut out, a row per queried view."""
    drawn = rendering.drawn
    cut = (drawn.masks[..., None] * 255).round().astype(np.uint8)  # opacity
    pictures = _colours((drawn.appearance.clip(0, 1) * 255).round().astype(np.uint8))
    owners = np.unique(drawn.labels).tolist()
    columns = {f"{_swatch(k)}slot {k + 1}": np.concatenate([pictures[:, k], cut[:, k]], -1) for k in owners}
    return _grid(columns, None, [f"view {view}" for view in rendering.queried], "alone")


def _grid(
    columns: Mapping[str, np.ndarray], facts: Mapping[str, Any] | None, names: list[str] | None = None, kind: str = ""
) -> str:
    """Return pictures (Q, H, W, 3 or 4) by column, a row per view."""
    who = names if facts is None or names is not None else [_row_name(row) for row in facts["views"]]
    cells = ['<span class="head"></span>', *(f'<span class="head">{name}</span>' for name in columns)]
    for row, name in enumerate(who or []):
        cells.append(f'<span class="who">{name}</span>')
        cells += [f'<img class="{kind}" src="{_png(images[row])}" alt="">' for images in columns.values()]
    return f'<div class="scroll"><div class="novel" style="--pictures:{len(columns)}">{"".join(cells)}</div></div>'


def _row_name(row: Mapping[str, Any]) -> str:
    fit = "" if row["miou"] is None else f"<br>mIoU {number(row['miou'], 3)}"
    seen = "<br>observed" if row["observed"] else ""
    return f"<b>View {row['view']}</b>RMSE {number(row['rmse'], 3)}{fit}{seen}"


def _turn(rendering: Rendering) -> str:
    frames = turn(rendering)
    if not len(frames):
        return ""
    shown = f'<div class="turn"><img src="{_gif(frames)}" alt="A turn around the scene, drawn and as slots"></div>'
    return _card("A turn around the scene", shown, f"{len(frames)} viewpoints, drawn and as slots.")


def _scores(facts: Mapping[str, Any]) -> str:
    rows = [
        [f"view {r['view']}", "observed" if r["observed"] else "new", number(r["rmse"]), number(r["miou"])]
        for r in facts["views"]
    ]
    rows.append(["all new views", "", number(facts["rmse"]), number(facts["miou"])])
    return table(["View", "The model", "RMSE", "mIoU"], rows)


def _nth(count: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(count % 10 if count % 100 not in (11, 12, 13) else 0, "th")
    return f"{count}{ending}"


def _swatch(slot: int) -> str:
    red, green, blue = SLOT_COLOURS[slot % len(SLOT_COLOURS)]
    return f'<span class="swatch" style="--colour:rgb({red} {green} {blue})"></span>'


def _ramp() -> str:
    colours = heat(np.linspace(*UNCERTAINTY_RANGE, 9))
    return f"linear-gradient(90deg,{','.join(f'rgb({r} {g} {b})' for r, g, b in colours.tolist())})"


def _colours(frames: np.ndarray) -> np.ndarray:
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
