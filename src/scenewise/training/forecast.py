"""Hours and memory of a run, from two trial steps whose effect is discarded."""

from __future__ import annotations

import resource
import sys
import time
from typing import TYPE_CHECKING, Any

import torch

from scenewise.observation import Observation
from scenewise.training.clips import Clips
from scenewise.training.plan import describe_data
from scenewise.training.reporter import Forecast
from scenewise.training.schedule import clip_length, work

if TYPE_CHECKING:
    from pathlib import Path

    from scenewise.models.contract import SceneModel
    from scenewise.training.plan import Plan

_CPU_CLIPS = 2  # a trial on a CPU takes so many clips and is scaled up
_GIB = float(1 << 30)


def cells_of(model: SceneModel, frames: int) -> int:
    """Return the number of decodes of a clip, or its frames for models without a grid."""
    decodes: Any = getattr(model, "decodes", None)
    return frames if decodes is None else sum(decodes(t) for t in range(frames))


def forecast(plan: Plan, model: SceneModel, device: torch.device, first: int, folder: Path) -> Forecast:
    """Try two steps and estimate the rest. The model is left as it was.

    Args:
        plan: The run.
        model: The model; moved to `device`.
        device: Where the run will compute.
        first: The first step of the run.
        folder: Named in the result.
    """
    training = plan.recipe.training
    share = training.batch // (training.devices * training.accumulation)
    length = clip_length(training, min(first, training.steps - 1))
    seconds, base, used, tried = _try(plan, model.to(device), device, first, share)
    now, longest = cells_of(model, length), cells_of(model, plan.longest)
    per_cell = seconds / (tried * now)  # seconds per clip and cell
    left = work(training, lambda n: cells_of(model, n), first)
    return Forecast(
        recipe=plan.recipe.name,
        data=describe_data(plan.recipe, plan.train),
        videos=len(plan.train),
        parameters=sum(p.numel() for p in model.parameters()),
        device=device_name(device),
        cells=(now * training.batch, longest * training.batch),
        memory_gib=(base + used * share / tried * longest / now) / _GIB,
        hours=left * per_cell * share * training.accumulation / 3600,
        steps=training.steps - first,
        first=first,
        folder=folder,
    )


def device_name(device: torch.device) -> str:
    """Return the device in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"


def _try(
    plan: Plan, model: SceneModel, device: torch.device, first: int, share: int
) -> tuple[float, float, float, int]:
    """Return seconds of a step, bytes before it, bytes it added, and how many clips it had."""
    buffers = {name: t.clone() for name, t in model.named_buffers()}
    source = Clips(plan.train, plan.recipe.training, {}, min(first, plan.recipe.training.steps - 1))
    tried = share if device.type == "cuda" else min(share, _CPU_CLIPS)
    base = _memory(device)
    for _ in range(2):  # the first one warms up
        begin = time.perf_counter()
        frames = source[0]["frames"][:tried].to(device).float() / 255
        tried = len(frames)
        getattr(model, "begin_step", lambda step: None)(first)
        model.loss(model(Observation(frames)).terms).mean().backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = time.perf_counter() - begin
        model.zero_grad(set_to_none=True)
    for name, tensor in model.named_buffers():
        tensor.copy_(buffers[name])
    adam = 3 * 4 * sum(p.numel() for p in model.parameters())
    return seconds, base + adam, max(0.0, _memory(device) - base), tried


def _memory(device: torch.device) -> float:
    """Return the peak memory so far, bytes."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak if sys.platform == "darwin" else peak * 1024)
