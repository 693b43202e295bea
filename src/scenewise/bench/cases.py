"""Which models a bench measures, from what the user names."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scenewise.bench.named import CASES, MAIN
from scenewise.bench.subject import Spec
from scenewise.checkpoint import as_device, shipped
from scenewise.errors import InputError, nearest
from scenewise.models import MODELS

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class BenchRequest:
    """What the user asked for; None leaves a number to the model or the case.

    Attributes:
        models: Registered models, shipped weights or folders.
        presets: Of the registered models.
        cases: Names of cases.
        batch: B of the training step.
        frames: T of the training step.
        slots: K.
        device: auto, cpu, cuda or cuda:N.
        threads: Of the CPU.
        bf16: Convolutions in bfloat16.
        recompute: Recompute decodes in the backward pass.
        engine: What explains the frames of a stream, one of `runtimes.ENGINES`.
    """

    models: Sequence[str] = ()
    presets: Sequence[str] = ("paper",)
    cases: Sequence[str] = ()
    batch: int | None = None
    frames: int | None = None
    slots: int | None = None
    device: str = "auto"
    threads: int | None = None
    bf16: bool = False
    recompute: bool = False
    engine: str = "torch"

    def __post_init__(self) -> None:
        """Raise InputError where a number cannot be."""
        for name in ("batch", "frames", "slots", "threads"):
            at_least_one(f"--{name}", getattr(self, name))
        if not self.presets:
            raise InputError("--presets", "names no preset.", "Write for example --presets paper,fast.")


def at_least_one(option: str, value: int | None) -> None:
    """Raise InputError where a number was given that is below 1."""
    if value is not None and value < 1:
        raise InputError(option, f"must be at least 1; found {value}.", f"Give a larger number, or leave {option} out.")


def specs(request: BenchRequest) -> tuple[list[Spec], list[str]]:
    """Return what to measure, and a line for each case whose model is not there.

    Where neither models nor cases are named, these are the main cases.

    Raises:
        InputError: A model, preset, case or option is not known, or the model cannot do it.
    """
    if not request.models and tuple(request.presets) != BenchRequest.presets:
        problem = f"chooses presets of models, and none is named; found {','.join(request.presets)}."
        raise InputError("--presets", problem, "Name models, as in: scenewise bench provide --presets paper,fast.")
    specs, skipped = [], []
    for name in request.cases or ([] if request.models else MAIN):
        if name not in CASES:
            raise InputError("--case", f"there is no case {name!r}.", nearest(name, CASES))
        if CASES[name].model not in MODELS.names():
            skipped.append(f"{name}: skipped, the model {CASES[name].model!r} is not registered")
            continue
        case = CASES[name]
        fields = {f.name for f in dataclasses.fields(MODELS.get(case.model).config_class)}
        overrides = {key: value for key, value in case.overrides.items() if key in fields}
        specs.append(_spec(Spec(case.model, case.preset, overrides, case.batch, case.frames, case=name), request))
    for name in request.models:
        weights = name in shipped() or ("/" in name and Path(name).is_dir())
        presets = request.presets if name in MODELS.names() and not weights else (None,)
        specs += [_spec(Spec(name, preset), request) for preset in presets]
    return specs, skipped


def _spec(spec: Spec, request: BenchRequest) -> Spec:
    """Return a spec with the numbers that the user gave laid over its own."""
    kind = spec.model_class()
    fields = {f.name for f in dataclasses.fields(kind.config_class)}
    overrides = dict(spec.overrides)
    changes = [
        ("--slots", "slots", request.slots),
        ("--bf16", "bf16_convolutions", request.bf16 or None),
        ("--recompute", "recompute", request.recompute or None),
    ]
    for option, key, value in changes:
        if value is None:
            continue
        if key not in fields:
            raise InputError(option, f"{spec.name} has no setting {key!r}.", f"Leave {option} out.")
        overrides[key] = value
    frames = spec.frames if spec.case or kind.keeps_slots else 1
    return dataclasses.replace(
        spec,
        overrides=overrides,
        batch=request.batch or max(spec.batch, kind.least_batch),
        frames=request.frames or frames,
        device=str(as_device(request.device)),
        threads=request.threads,
        engine=request.engine,
    )
