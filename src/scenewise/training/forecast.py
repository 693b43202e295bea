"""Hours and memory of a run, from two trial steps whose effect is discarded."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from scenewise.observation import Observation
from scenewise.training.clips import Clips
from scenewise.training.plan import describe_data
from scenewise.training.recipe import StagePlace, clip_length, work
from scenewise.training.reporter import Forecast

if TYPE_CHECKING:
    from torch import Tensor

    from scenewise.models.contract import SceneModel
    from scenewise.training.plan import Plan

_CPU_CLIPS = 2  # a trial on a CPU takes so many clips and is scaled up
_BACKWARD = 1.25  # peak of a step in units of what the forward pass keeps, measured
_GIB = float(1 << 30)


def cells_of(model: SceneModel, frames: int) -> int:
    """Return the number of decodes of a clip."""
    return sum(model.decodes(t) for t in range(frames))


def forecast(
    plan: Plan,
    model: SceneModel,
    device: torch.device,
    first: int,
    folder: Path,
    place: StagePlace = StagePlace(),  # noqa: B008 - frozen
) -> Forecast:
    """Try two steps of a stage and estimate the rest. The model is left as it was.

    Args:
        plan: The stage.
        model: The model; moved to `device`.
        device: Where the stage will compute.
        first: The first step.
        folder: Named in the result.
        place: Where the stage stands in its run.
    """
    training, motion = plan.recipe.training, plan.recipe.training.motion
    share = training.batch // (training.devices * training.accumulation)
    length = clip_length(training, min(first, training.steps - 1))
    seconds, base, peak, tried = _try(plan, model.to(device), device, first, share)
    cells, longest = cells_of(model, length), cells_of(model, plan.longest)
    per_cell = seconds / (tried * cells)  # seconds per clip and cell
    remaining = work(training, lambda n: cells_of(model, n), first)
    return Forecast(
        place=place,
        recipe=plan.recipe.name,
        data=describe_data(plan.recipe, plan.train),
        videos=len(plan.train),
        parameters=sum(p.numel() for p in model.parameters()),
        device=device_name(device),
        cells=(cells * training.batch, longest * training.batch),
        memory_gib=(base + _BACKWARD * peak * share / tried * longest / cells) / _GIB,
        hours=remaining * per_cell * share * training.accumulation / 3600,
        steps=training.steps - first,
        first=first,
        folder=folder,
        motion="" if motion is None else f"then {motion.steps:,} steps on how objects move in {motion.videos:,} videos",
    )


def device_name(device: torch.device) -> str:
    """Return the device in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}"


def _try(
    plan: Plan, model: SceneModel, device: torch.device, first: int, share: int
) -> tuple[float, float, float, int]:
    """Return seconds of a step, bytes before it, bytes it added, and how many clips it had."""
    buffers = {name: t.clone() for name, t in model.named_buffers()}
    cameras = model.viewpoint_size is not None
    begin_at = min(first, plan.recipe.training.steps - 1)
    seen = {"viewpoints": cameras, "background": model.takes_background}
    source = Clips(plan.train, plan.recipe.training, {}, begin_at, **seen)
    tried = share if device.type == "cuda" else min(share, _CPU_CLIPS)
    base, saved = _memory_now(device), _Saved()
    for trial in range(2):  # the first one warms up and is looked at, the second is timed
        begin = time.perf_counter()
        clip = source[0]
        frames = clip["frames"][:tried].to(device).float() / 255
        viewpoints = clip["viewpoints"][:tried].to(device) if cameras else None
        model.begin_step(first)
        with saved if trial == 0 else contextlib.nullcontext():
            background = clip["background"][:tried].to(device).float() / 255 if clip["background"].numel() else None
            observation = Observation(frames, viewpoints=viewpoints, background=background)
            loss = model.loss(model(observation).terms).mean()
        loss.backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = time.perf_counter() - begin
        model.zero_grad(set_to_none=True)
    for name, tensor in model.named_buffers():
        tensor.copy_(buffers[name])
    gradients_and_moments = 3 * 4 * sum(p.numel() for p in model.parameters())
    return seconds, base + gradients_and_moments, float(saved.bytes), len(frames)


class _Saved(torch.autograd.graph.saved_tensors_hooks):
    """Counts the bytes of all tensors kept for the backward pass, each memory once."""

    def __init__(self) -> None:
        self.bytes = 0
        self._seen: set[int] = set()
        super().__init__(self._pack, lambda tensor: tensor)

    def _pack(self, tensor: Tensor) -> Tensor:
        memory = tensor.untyped_storage()
        if memory.data_ptr() not in self._seen:
            self._seen.add(memory.data_ptr())
            self.bytes += memory.nbytes()
        return tensor


def _memory_now(device: torch.device) -> float:
    """Return the bytes in use: of the GPU, or of this process."""
    if device.type == "cuda":
        return float(torch.cuda.memory_allocated(device))
    try:
        return float(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # not Linux: the most there has been
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return float(peak if sys.platform == "darwin" else peak * 1024)
