"""Fills the hand-written page: escaped text and tables, numbers and pictures as JSON, styles and script inline."""

from __future__ import annotations

import base64
import json
import re
from functools import cache
from html import escape
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.media import SLOT_COLOURS
from scenewise.viewer.sheets import padded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from scenewise.viewer.report import ReportBuilder
    from scenewise.viewer.sheets import Sheets


def render(report: ReportBuilder, summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield the page piece by piece; no piece holds more than one frame's pictures."""
    parts = _parts(report, summary)
    for text, slot in _template():
        yield text
        if slot == "frames":
            yield from _frames(report.kept)
        elif slot:
            yield parts[slot]


def _parts(report: ReportBuilder, summary: Mapping[str, Any]) -> dict[str, str]:
    return {
        "title": escape(report.title),
        "verdict": verdict(report, summary),
        "facts": escape(" · ".join(_facts(report, summary))),
        "warning": _warning(summary.get("warning")),
        "kept": escape(_kept(report)),
        "slots": _slot_table(report, summary),
        "scores": _scores(summary.get("scores") or []),
        "settings": settings_table(report.settings),
        "data": embed(_data(report, summary)),
        "css": source("page.css"),
        "js": "(() => {\n" + source("pictures.js") + "\n" + source("page.js") + "})();\n",
    }


def embed(value: Any) -> str:
    """Return JSON that can stand inside a script element, whatever text it holds."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def verdict(report: ReportBuilder, summary: Mapping[str, Any]) -> str:
    """Return one line of HTML that says in plain language what was found."""
    if not report.frames:
        return "No frame was read."
    where = _where(report, summary)
    if summary.get("warning"):
        return f"No objects are claimed in {where}: the model does not know what it sees."
    found = summary.get("objects")
    if found is None:
        found = len(report.statistics.objects(report.background(summary)))
    if not found:
        return f"The model found <strong>no objects</strong>, only background, in {where}."
    doubt = f" {escape(summary['doubt'])}" if summary.get("doubt") else ""
    return f"The model found <strong>{_many(int(found), 'object')}</strong> in {where}.{doubt}"


def _where(report: ReportBuilder, summary: Mapping[str, Any]) -> str:
    count = int(summary.get("frames") or report.frames)
    if count == 1:
        return "one predicted image" if report.predicted else "one image"
    (_, first), (_, last) = report.span()
    seconds = f" ({last - first:.1f} s)" if first is not None and last is not None and last > first else ""
    tail = f", {report.predicted} of them predicted" if report.predicted else ""
    return f"{_many(count, 'frame')}{seconds}{tail}"


def _facts(report: ReportBuilder, summary: Mapping[str, Any]) -> list[str]:
    height, width = report.size
    model = [f"model {summary['model']}"] if summary.get("model") else []
    return [*model, f"{width} × {height} pixels{_scaling(report)}", _many(report.slots, "slot")]


def _scaling(report: ReportBuilder) -> str:
    own = _model_size(report)
    return f", scaled from the model's {own[1]} × {own[0]}" if own else ""


def _model_size(report: ReportBuilder) -> list[int] | None:
    """Return (H, W) at which the model works, None where that is the size of the results or not known."""
    taken = report.settings.get("input")
    own = taken.get("model_size") if isinstance(taken, dict) else None
    return None if not own or tuple(own) == report.size else [int(side) for side in own]


def _kept(report: ReportBuilder) -> str:
    if report.stride == 1:
        return ""
    every = f"Every {report.stride}th" if report.stride > 3 else "Every other"
    return f"{every} frame is pictured here; the curves and tables count all {report.frames:,}."


def _warning(text: Any) -> str:
    if not text:
        return ""
    body = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(str(text)))
    return f'<aside class="warning" role="alert"><h2>Do not take these slots for objects</h2><p>{body}</p></aside>'


def _slot_table(report: ReportBuilder, summary: Mapping[str, Any]) -> str:
    numbers = report.statistics
    roles = _roles(report, summary)
    rows = [
        [
            f'<span class="swatch" data-slot="{k}"></span>{k + 1}',
            roles[k],
            f"{numbers.active[k]:,} of {numbers.frames:,}",
            f"{numbers.area[k]:.1%}",
            number(numbers.spread[k], 2),
            number(numbers.movement[k], 2),
        ]
        for k in range(report.slots if report.frames else 0)
    ]
    return table(["Slot", "What it is", "Frames active", "Mean area", "Latent spread", "Latent movement"], rows)


def _roles(report: ReportBuilder, summary: Mapping[str, Any]) -> list[str]:
    if summary.get("warning"):
        return ["not judged"] * report.slots
    if summary.get("roles") is not None:
        return [str(role) for role in summary["roles"]]
    background = report.background(summary)
    objects = report.statistics.objects(background)
    return ["background" if k in background else "object" if k in objects else "unused" for k in range(report.slots)]


def _scores(scores: Iterable[Mapping[str, Any]]) -> str:
    rows = [
        [escape(str(s.get("metric", ""))), number(s.get("value")), escape(str(s.get("protocol", ""))), _note(s)]
        for s in scores
    ]
    if not rows:
        return ""
    shown = table(["Score", "Value", "Protocol", "Note"], rows)
    return (
        f'<section class="card" aria-labelledby="scores-heading"><h2 id="scores-heading">Scores</h2>{shown}</section>'
    )


def _note(score: Mapping[str, Any]) -> str:
    return escape(str(score.get("note") or ""))


def settings_table(settings: Mapping[str, Any]) -> str:
    """Return nested settings as a table of HTML."""
    rows = [[f"<code>{escape(k)}</code>", f"<code>{escape(v)}</code>"] for k, v in flatten(settings)]
    return table(["Setting", "Value"], rows, "settings") if rows else "<p>None given.</p>"


def flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield nested settings as (dotted key, text)."""
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value, default=str)


def table(head: list[str], rows: list[list[str]], kind: str = "") -> str:
    """Return cells of HTML as a table that narrow screens turn into cards."""
    heading = "".join(f'<th scope="col">{h}</th>' for h in head)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>'
        + "".join(f'<td data-label="{h}">{c}</td>' for h, c in zip(head[1:], row[1:], strict=True))
        + "</tr>"
        for row in rows
    )
    return f'<table class="{kind}"><thead><tr>{heading}</tr></thead><tbody>{body}</tbody></table>'


def number(value: Any, digits: int = 4) -> str:
    """Return a number as text, a dash where there is none."""
    if isinstance(value, str):
        return escape(value)
    if value is None or not np.isfinite(value):
        return "–"
    return f"{value:.{digits}g}"


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _data(report: ReportBuilder, summary: Mapping[str, Any]) -> dict[str, Any]:
    factor = report.kept[0].factor if report.kept else 1
    height, width = (-(-n // factor) for n in report.size)
    level = summary.get("validated_mse")
    (first, start), (last, end) = report.span()
    return {
        "slots": report.slots,
        "width": width,
        "height": height,
        "tile": padded(height),
        "model": _model_size(report),
        "frames": report.frames,
        "stride": report.stride,
        "first": [first, start],
        "last": [last, end],
        "roles": _roles(report, summary),
        "judged": not summary.get("warning"),
        "validated": None if level is None else float(level),
        "colours": [SLOT_COLOURS[k % len(SLOT_COLOURS)] for k in range(report.slots)],
        "ids": _id_slots(report),
        "timeline": _timeline(report),
    }


def _id_slots(report: ReportBuilder) -> dict[str, int]:
    """True id -> slot whose colour it takes; -1 where no slot is left for it."""
    matches = report.matches()
    return {str(i): matches.get(i, -1) for i in report.true_ids()}


def _timeline(report: ReportBuilder) -> dict[str, Any]:
    means = report.timeline.means()
    slots = report.slots
    return {
        "stretch": report.timeline.stretch,
        "area": [_rounded(means[:, k] * 10_000, 0) for k in range(slots)],
        "spread": [_rounded(means[:, slots + k], 4) for k in range(slots)],
        "mse": _rounded(means[:, 2 * slots], 7),
        "predicted": _rounded(means[:, 2 * slots + 1], 2),
    }


def _rounded(values: np.ndarray, digits: int) -> list[float | int | None]:
    plain = (None if not np.isfinite(v) else round(float(v), digits) for v in values)
    return [int(v) if v is not None and v.is_integer() else v for v in plain]


def _frames(kept: list[Sheets]) -> Iterator[str]:
    for number, sheets in enumerate(kept):
        yield ",\n" if number else ""
        yield embed(
            {
                "position": sheets.position,
                "index": sheets.index,
                "time": sheets.time_s,
                "predicted": sheets.predicted,
                "seen": sheets.seen,
                "truth": sheets.truth,
                "mse": sheets.mse,
                "peak": round(sheets.peak, 6),
                "sheets": [base64.b64encode(s).decode() for s in (sheets.scene, sheets.grey, sheets.appearance)],
            }
        )


def _template() -> list[tuple[str, str]]:
    """Return the page cut at its `<!--=name-->` marks as (text before the mark, name); the last name is empty."""
    cut = re.split(r"<!--=(\w+)-->", source("page.html"))
    return list(zip(cut[0::2], [*cut[1::2], ""], strict=True))


@cache
def source(name: str) -> str:
    """Return a file of the page's parts."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
