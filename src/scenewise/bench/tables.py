"""Results as rows of words, and as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scenewise.bench.sweep import AXES, Line, Point

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from scenewise.bench.clock import Timing
    from scenewise.bench.measure import Floor, Measurement, Phase

HEAD = (
    "what",
    "time (quartiles)",
    "frames/s",
    "peak memory",
    "GFLOP",
    "GFLOP/s",
    "floor",
    "time / floor (quartiles)",
    "in CPU time",
)
PLAIN_HEAD = ("what", "plain time", "time x", "CPU time x", "GFLOP x", "memory x")
SWEEP_HEAD = ("axis", "value", "time", "CPU time", "memory growth", "GFLOP")
LINE_HEAD = ("axis", "quantity", "line", "R²")
_DIFFERENT = 0.02
_LETTERS = {axis: "K" if axis == "slots" else "T" for axis in AXES}
_QUANTITIES = {
    "seconds": ("time", "s"),
    "cpu_seconds": ("CPU time", "s"),
    "mib": ("memory growth", "MiB"),
    "gflop": ("work", "GFLOP"),
}


def rows(results: Iterable[Measurement]) -> list[tuple[str, ...]]:
    """Return two rows per model: the training step and a streamed frame."""
    return [_row(title, phase) for title, phase in _phases(results)]


def plain_rows(results: Iterable[Measurement]) -> list[tuple[str, ...]]:
    """Return how much more the plain versions take, where they were measured."""
    rows: list[tuple[str, ...]] = []
    for title, phase in _phases(results):
        if phase.naive is not None:
            more = "" if phase.naive.memory_ratio is None else f"{phase.naive.memory_ratio:.2f}"
            times = (_spread(phase.naive.seconds), _ratio(phase.naive.time_ratio), _ratio(phase.naive.cpu_ratio))
            rows.append((title, *times, f"{phase.naive.gflop_ratio:.2f}", more))
    return rows


def notes(results: Iterable[Measurement]) -> list[str]:
    """Return what a reader must know: which settings, and where what ran is not what the rule asks for."""
    parts = []
    for result in results:
        height, width = result.settings["size"]
        what = f"{height}x{width}, K {result.settings['slots']}, R {result.settings['refinements']}"
        of = f"batch {result.settings['batch']} of {result.settings['frames']} frames"
        more = f"{result.settings['convolutions']}{', recomputed' * result.settings['recompute']}"
        engine = {"torch": "", "compile": ", compiled"}.get(result.spec.engine, f", by {result.spec.engine}")
        video = f"one video{engine}"
        parts.append(f"{result.spec.name}: {what}, {of}, {more}; {result.repeats} repeats; streaming: {video}")
    for title, phase in _phases(results):
        parts += _difference(title, phase)
    return parts


def markdown(results: Sequence[Measurement], machine: dict[str, object]) -> str:
    """Return the table of the README."""
    head = (
        "model",
        "training step",
        "frames/s",
        "over floor",
        "memory",
        "streamed frame",
        "frames/s",
        "over floor",
        "memory",
    )
    body = [(r.spec.name, *_short(r.training), *_short(r.streaming)) for r in results]
    where = f"{machine['device']}, {machine['threads']} threads, torch {machine['torch']}, {str(machine['date'])[:10]}"
    text = [_markdown_table(head, body)]
    if any(r.training.naive for r in results):
        text.append(_markdown_table(PLAIN_HEAD, plain_rows(results)))
    text += ["\n".join(f"- {note}" for note in notes(results)), f"Medians on {where}, load {machine['load']}."]
    return "\n\n".join(text)


def sweep_rows(points: Iterable[Point]) -> list[tuple[str, ...]]:
    """Return a row per point."""
    return [
        (
            AXES[p.axis][0],
            str(p.value),
            duration(p.seconds),
            duration(p.cpu_seconds),
            f"{p.mib:.0f} MiB",
            f"{p.gflop:.2f}",
        )
        for p in points
    ]


def line_rows(lines: Iterable[Line]) -> list[tuple[str, ...]]:
    """Return a row per fitted line."""
    return [
        (
            AXES[line.axis][0],
            _QUANTITIES[line.quantity][0],
            f"{line.start:.3g} + {line.slope:.3g} {_LETTERS[line.axis]} {_QUANTITIES[line.quantity][1]}",
            f"{line.r_squared:.4f}",
        )
        for line in lines
    ]


def sweep_markdown(points: Iterable[Point], lines: Iterable[Line]) -> str:
    """Return the tables of a sweep."""
    return f"{_markdown_table(SWEEP_HEAD, sweep_rows(points))}\n\n{_markdown_table(LINE_HEAD, line_rows(lines))}"


def duration(seconds: float) -> str:
    """Return a time with three digits."""
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s" if seconds < 100 else f"{seconds:.0f} s"


def _phases(results: Iterable[Measurement]) -> list[tuple[str, Phase]]:
    rows = []
    for result in results:
        rows.append((f"{result.spec.name}, training step", result.training))
        rows.append((f"{result.spec.name}, streamed frame", result.streaming))
    return rows


def _row(title: str, phase: Phase) -> tuple[str, ...]:
    memory_text = "" if phase.memory is None else f"+{phase.memory.growth:.0f} of {phase.memory.peak:.0f} MiB"
    times = (
        _spread(phase.seconds),
        f"{phase.frames_per_second:.3g}",
        memory_text,
        f"{phase.gflop:.3g}",
        f"{phase.gflops:.3g}",
    )
    floor = phase.floor
    return (title, *times, duration(floor.seconds), _ratio(floor.ratio), f"{floor.cpu_ratio.median:.2f}")


def _short(phase: Phase) -> tuple[str, ...]:
    memory_text = "" if phase.memory is None else f"+{phase.memory.growth:.0f} MiB"
    time = duration(phase.seconds.median)
    return (time, f"{phase.frames_per_second:.3g}", f"{phase.floor.ratio.median:.2f}", memory_text)


def _difference(title: str, phase: Phase) -> list[str]:
    """Say where the convolutions that ran take another time than those that must."""
    rule, ran = phase.rule, phase.executed
    if rule is None:
        return [f"{title}: no decoder and encoder to count by rule; the floor is that of what ran"]
    if (
        abs(ran.seconds - rule.seconds) <= _DIFFERENT * rule.seconds
        and abs(ran.gflop - rule.gflop) <= _DIFFERENT * rule.gflop
    ):
        return []
    return [f"{title}: what ran has a floor of {_floor(ran)}, what must run {_floor(rule)}"]


def _floor(floor: Floor) -> str:
    return f"{duration(floor.seconds)} and {floor.gflop:.3g} GFLOP (time / floor {floor.ratio.median:.2f})"


def _spread(spread: Timing) -> str:
    return f"{duration(spread.median)} ({duration(spread.low)} to {duration(spread.high)})"


def _ratio(spread: Timing) -> str:
    return f"{spread.median:.2f} ({spread.low:.2f} to {spread.high:.2f})"


def _markdown_table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
