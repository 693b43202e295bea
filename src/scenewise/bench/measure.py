"""Measure one model: everything that is compared is timed in turn, so that a busy moment hits all of it alike."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from scenewise.bench import floor, memory
from scenewise.bench.clock import Lap, Timing, lap
from scenewise.bench.subject import Spec, Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scenewise.bench.calls import Recorder
    from scenewise.bench.memory import Memory

_STREAMED = 4
"""Streamed frames per repeat."""
FEWEST, MOST, ENOUGH = 3, 15, 20.0
"""Repeats where none are asked for: at least and at most, and the seconds after which it is enough."""


@dataclass(frozen=True)
class Floor:
    """The least time for some work, and how far the model is above it.

    Attributes:
        seconds: Median over the repeats.
        gflop: Of the convolutions and large linear layers in it.
        ratio: Time over floor, of the same repeat.
        cpu_ratio: The same in CPU time.
    """

    seconds: float
    gflop: float
    ratio: Timing
    cpu_ratio: Timing


@dataclass(frozen=True)
class Plain:
    """The plain version of the same model, and how many times more it takes.

    Attributes:
        seconds: Of a step, by the wall clock.
        gflop: Billions of floating point operations of a step.
        memory: What a step holds, None where it was not measured.
        time_ratio: Its wall-clock time over ours.
        cpu_ratio: Its processor time over ours.
        gflop_ratio: Its operations over ours.
        memory_ratio: Its memory over ours, None where it was not measured.
    """

    seconds: Timing
    gflop: float
    memory: Memory | None
    time_ratio: Timing
    cpu_ratio: Timing
    gflop_ratio: float
    memory_ratio: float | None


@dataclass(frozen=True)
class Phase:
    """A training step, or a streamed frame.

    Attributes:
        seconds: Of one.
        cpu_seconds: Of all threads, which busy cores lengthen little.
        frames: Frames in it.
        gflop: Counted, all convolutions and matrix products.
        decodes: How many decodes it makes.
        refined: How many of them are refined.
        rule: By the rule 4 D + 3 E, 2 D + E; None for models it does not fit.
        executed: By what really ran.
        memory: None where it was not asked for.
        naive: None where it was not asked for.
    """

    seconds: Timing
    cpu_seconds: Timing
    frames: int
    gflop: float
    decodes: int
    refined: int
    rule: Floor | None
    executed: Floor
    memory: Memory | None
    naive: Plain | None

    @property
    def frames_per_second(self) -> float:
        """Frames of all videos of the batch per second."""
        return self.frames / self.seconds.median

    @property
    def gflops(self) -> float:
        """GFLOP per second that were reached."""
        return self.gflop / self.seconds.median

    @property
    def floor(self) -> Floor:
        """The floor to compare with."""
        return self.rule or self.executed


@dataclass(frozen=True)
class Measurement:
    """All that was measured of a model.

    Attributes:
        spec: Which model at which sizes.
        settings: Of the model, as nested plain values.
        repeats: How often each step was timed.
        training: A training step.
        streaming: A frame of a video.
    """

    spec: Spec
    settings: dict[str, Any]
    repeats: int
    training: Phase
    streaming: Phase

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        phases = {
            name: asdict(phase) | {"frames_per_second": phase.frames_per_second, "gflop_per_second": phase.gflops}
            for name, phase in (("training", self.training), ("streaming", self.streaming))
        }
        return {
            "name": self.spec.name,
            "spec": self.spec.plain(),
            "settings": self.settings,
            "repeats": self.repeats,
            **phases,
        }


@dataclass
class _Bench:
    """One phase while it is measured: what it computes, and the times of every repeat."""

    subject: Subject
    training: bool
    record: Recorder
    plain_record: Recorder | None
    laps: list[Lap] = field(default_factory=list)
    plain_laps: list[Lap] = field(default_factory=list)
    rule_laps: list[Lap] = field(default_factory=list)
    executed_laps: list[Lap] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rule = floor.ruled(self.record, self.training)
        self.executed = floor.executed(self.record)

    def lap(self, plain: bool) -> Lap:
        """Return the time of one step or frame."""
        count = 1 if self.training else _STREAMED
        run = self.subject.train if self.training else self.subject.stream

        def repeated() -> None:
            for _ in range(count):
                run()

        with self.subject.way(plain):
            seconds = lap(repeated, self.subject.device)
        return Lap(seconds.wall / count, seconds.cpu / count)

    def repeat(self) -> None:
        """Time the model, its convolutions alone, and the plain version, one after the other."""
        self.laps.append(self.lap(False))
        calls = floor.time_calls({**self.rule, **self.executed}, self.subject.device)
        self.rule_laps.append(floor.work_lap(self.rule, calls))
        self.executed_laps.append(floor.work_lap(self.executed, calls))
        if self.plain_record is not None:
            self.plain_laps.append(self.lap(True))

    def phase(self, with_memory: bool) -> Phase:
        """Return what the repeats say; memory is measured now."""
        spec, record = self.subject.spec, self.record
        memory_use = memory.measure(spec, self.training) if with_memory else None
        naive, plain = None, self.plain_record
        if plain is not None:
            its = None if memory_use is None else memory.measure(replace(spec, naive=True), self.training)
            more = its.growth / memory_use.growth if its and memory_use and memory_use.growth > 0 else None
            times, ratios = Timing.of([each.wall for each in self.plain_laps]), _ratios(self.plain_laps, self.laps)
            naive = Plain(times, plain.flops / 1e9, its, *ratios, plain.flops / max(record.flops, 1), more)
        return Phase(
            seconds=Timing.of([each.wall for each in self.laps]),
            cpu_seconds=Timing.of([each.cpu for each in self.laps]),
            frames=spec.batch * spec.frames if self.training else 1,
            gflop=record.flops / 1e9,
            decodes=record.entered["decoder"],
            refined=record.entered["encoder"],
            rule=self._floor(self.rule, self.rule_laps) if self.rule else None,
            executed=self._floor(self.executed, self.executed_laps),
            memory=memory_use,
            naive=naive,
        )

    def _floor(self, work: floor.Work, laps: list[Lap]) -> Floor:
        least = statistics.median(each.wall for each in laps)
        return Floor(least, floor.work_flops(work) / 1e9, *_ratios(self.laps, laps))


def measure(
    spec: Spec,
    repeats: int | None,
    against_naive: bool = False,
    with_memory: bool = True,
    progress: Callable[[str], None] = lambda _: None,
) -> Measurement:
    """Measure a training step and a streamed frame of a model.

    Args:
        spec: What.
        repeats: How often; everything is timed once per repeat, in turn. None: as often as fits into some seconds.
        against_naive: Time the plain version too, where the model is one of iterative inference.
        with_memory: Measure memory too, in processes of its own.
        progress: Is told what is being done.

    Raises:
        InputError: The model cannot be made so, or its plain version is not there.
    """
    progress("counting")
    subject = Subject(spec)
    subject.settle()
    against_naive = against_naive and bool(floor.parts_of(subject.model))
    benches = []
    for training in (True, False):  # what is computed is counted, which warms it up as well
        plain = subject.record(training, plain=True) if against_naive else None
        bench = _Bench(subject, training, subject.record(training), plain)
        bench.lap(False)
        benches.append(bench)
    if spec.engine != "torch":  # after counting: other engines do not tell which layers they run
        progress("preparing")
        subject.engage()
    for number in rounds(repeats):
        progress(f"repeat {number}")
        for bench in benches:
            bench.repeat()
    progress("memory")
    return Measurement(spec, subject.settings(), len(benches[0].laps), *(bench.phase(with_memory) for bench in benches))


def rounds(repeats: int | None) -> Iterator[int]:
    """Count repeats from 1: so many as asked for, or until there are enough to tell and the time is over."""
    began, number = time.perf_counter(), 0
    while number < (repeats or MOST):
        number += 1
        yield number
        if repeats is None and number >= FEWEST and time.perf_counter() - began > ENOUGH:
            return


def _ratios(above: list[Lap], below: list[Lap]) -> tuple[Timing, Timing]:
    """Return above over below, repeat by repeat, in wall and in CPU time."""
    pairs = list(zip(above, below, strict=True))
    wall, cpu = (Timing.of([a[i] / max(b[i], 1e-12) for a, b in pairs]) for i in range(2))
    return wall, cpu
