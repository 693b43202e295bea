"""How well a model does so far, and the best of a run as a folder that can be used while the run goes on."""

from __future__ import annotations

import dataclasses
import math
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from scenewise.checkpoint import Card, Reference, Score, TrainedStage, load_model, save_model
from scenewise.evaluation.batches import viewpoints
from scenewise.evaluation.protocols import Accumulator, default_protocols
from scenewise.media.contact_sheet import contact_sheet
from scenewise.media.palette import SLOT_COLOURS
from scenewise.observation import Observation
from scenewise.training.clips import backgrounds
from scenewise.training.plan import describe_data

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from scenewise.data.contract import Source
    from scenewise.decomposition import Decomposition
    from scenewise.evaluation.protocols import Scores
    from scenewise.models.contract import SceneModel
    from scenewise.training.plan import Plan

_AT_ONCE = 8  # videos explained together; bounds the memory
_SEED = 1  # posterior noise: the same at every validation
_PICTURED_VIDEOS, _PICTURED_FRAMES = 4, 3


@dataclass(frozen=True)
class Validation:
    """What a validation found.

    Attributes:
        bound: log p - (w_KL / w_NLL) KL in nats per frame, with the weights of training: the ELBO that is trained
            (PROVIDE eq. 3, divided by beta); minus the loss of models without an ELBO. Chooses the weights; no ground
            truth enters.
        elbo: log p - KL in nats per frame.
        log_likelihood: Nats per frame.
        kl: Nats per frame.
        mse: Mean squared error of the reconstruction per frame, shape (frames,).
        scores: By protocol; empty where the data have no ground truth.
        videos: How many.
        frames: Frames of each.
    """

    bound: float
    elbo: float
    log_likelihood: float
    kl: float
    mse: np.ndarray
    scores: tuple[Scores, ...]
    videos: int
    frames: int

    def row(self) -> dict[str, float]:
        """Return the numbers by name, as they are logged."""
        row = {"bound": self.bound, "elbo": self.elbo, "log_likelihood": self.log_likelihood, "kl": self.kl}
        row["mse"] = float(self.mse.mean())
        for scores in self.scores:
            row |= {f"{scores.protocol} {name}": value for name, value in scores.values.items() if name != "MSE"}
        return row


def validate(model: SceneModel, plan: Plan, device: torch.device) -> Validation:
    """Explain the first validation videos from their first frame on.

    Args:
        model: On `device`; it is looked at in evaluation mode, and left as it was.
        plan: Which videos.
        device: Where to compute.
    """
    source, training = plan.validation, plan.recipe.training
    videos = min(training.validation_videos, len(source))
    protocols = default_protocols(("labels", "ids", "background_ids"))
    accumulators = [protocol.begin(source.facts.background_ids) for protocol in protocols]
    parts, errors = [], []
    for begin in range(0, videos, _AT_ONCE):
        indices = range(begin, min(begin + _AT_ONCE, videos))
        for observation in clips(model, source, indices, plan.validation_frames, training.frame_step):
            part, error = _explain(model, observation.to(device), accumulators)
            parts.append(part)
            errors.append(error)
    likelihood, kl, bound = np.concatenate(parts, 1).mean(1)
    scores = tuple(a.result() for a in accumulators) if source.facts.has_ids else ()
    return Validation(
        bound=float(bound),
        elbo=float(likelihood - kl),
        log_likelihood=float(likelihood),
        kl=float(kl),
        mse=np.concatenate(errors),
        scores=scores,
        videos=videos,
        frames=plan.validation_frames,
    )


@contextmanager
def evaluating(model: SceneModel) -> Iterator[None]:
    """Have a model in evaluation mode, without a graph, and put its mode back: batch norms keep running statistics."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)


def clips(model: SceneModel, source: Source, indices: range, frames: int, frame_step: int) -> list[Observation]:
    """Return videos from their first frame on, stacked where their lengths agree.

    Args:
        model: Who is to explain them; it says whether it takes viewpoints.
        source: Where from.
        indices: Which videos.
        frames: Frames of each; fewer where a video is shorter.
        frame_step: Every how many frames one is used.
    """
    span = (frames - 1) * frame_step + 1
    samples = {i: source.sample(i, 0, min(span, source.length(i))) for i in indices}
    together = len({len(s.frames) for s in samples.values()}) == 1
    observations = []
    for stack in [list(indices)] if together else [[i] for i in indices]:
        views = [samples[i] for i in stack]
        images = torch.from_numpy(np.stack([s.frames[::frame_step] for s in views])).float() / 255
        ids = [torch.from_numpy(s.ids[::frame_step].astype(np.int64)) for s in views if s.ids is not None]
        placed = model.viewpoint_size is not None
        cameras = viewpoints(model, source, stack, len(views[0].frames), frame_step) if placed else None
        pictures = backgrounds(source, stack) if model.takes_background else torch.empty(0)
        background = pictures.float() / 255 if pictures.numel() else None
        observations.append(Observation(images, torch.stack(ids) if ids else None, cameras, background))
    return observations


def _explain(
    model: SceneModel, observation: Observation, accumulators: list[Accumulator]
) -> tuple[np.ndarray, np.ndarray]:
    """Return log p, KL and bound of each frame, shape (3, n T), and each frame's squared error, shape (n T)."""
    with evaluating(model):
        output = model(observation, seed=_SEED)
        decomposition = output.decomposition
        if "nll" in output.terms:
            bound = decomposition.log_likelihood - kl_weight(model, output.terms) * decomposition.kl
        else:  # the loss of R-NEM's family, which is no ELBO, is of a mean step
            bound = -model.loss(output.terms).unsqueeze(1).expand_as(decomposition.kl)
    likelihood, kl = decomposition.log_likelihood.flatten(), decomposition.kl.flatten()
    if observation.ids is not None:
        labels, ids = decomposition.labels.cpu().numpy(), observation.ids.cpu().numpy()
        for accumulator in accumulators:
            accumulator.add(labels, ids)
    errors = squared_errors(decomposition, observation.frames)
    return torch.stack([likelihood, kl, bound.flatten()]).cpu().numpy(), errors


def squared_errors(decomposition: Decomposition, frames: torch.Tensor) -> np.ndarray:
    """Return the mean squared error of each frame's reconstruction, shape (B T,)."""
    error = (decomposition.reconstruction - frames).square().mean((2, 3, 4))
    return error.flatten().cpu().numpy()


def kl_weight(model: SceneModel, terms: dict[str, torch.Tensor]) -> float:
    """Return the weight of a nat of KL in units of a nat of NLL, as the model's loss has it; 1 where it adapts."""
    zeros = {name: torch.zeros(1, device=term.device) for name, term in terms.items()}
    if model.adapts_kl_weight or not {"nll", "kl"} <= zeros.keys():
        return 1.0
    one = torch.ones(1, device=zeros["kl"].device)
    rest = float(model.loss(zeros))
    nll, kl = (float(model.loss({**zeros, name: one})) - rest for name in ("nll", "kl"))
    return kl / nll if nll > 0 and math.isfinite(kl / nll) else 1.0


def panel(model: SceneModel, plan: Plan, device: torch.device) -> np.ndarray:
    """Return one picture of a few validation videos, uint8, shape (height, width, 3).

    Rows are frames spread over the clip, one video after another; columns are input, masks, reconstruction, slots.
    """
    count = min(_PICTURED_VIDEOS, len(plan.validation))
    observations = clips(model, plan.validation, range(count), plan.validation_frames, plan.recipe.training.frame_step)
    rows = []
    for observation in observations:
        with evaluating(model):
            decomposition = model(observation.to(device), seed=_SEED).decomposition
        rows += _picture_rows(observation.frames, decomposition)
    return contact_sheet(rows)


def _picture_rows(frames: torch.Tensor, decomposition: Decomposition) -> list[list[np.ndarray]]:
    repeats = 1 + decomposition.slots // len(SLOT_COLOURS)
    colours = torch.tensor(SLOT_COLOURS, dtype=torch.float32).repeat(repeats, 1) / 255
    masks, appearance = decomposition.masks.cpu(), decomposition.appearance.cpu()
    painted = torch.einsum("btkhw,kc->btchw", masks.squeeze(3), colours[: decomposition.slots])
    slots = masks * appearance + (1 - masks)  # white where the slot owns nothing
    columns = [frames, painted, decomposition.reconstruction.cpu(), *slots.unbind(2)]
    times = sorted({round(t) for t in np.linspace(0, frames.shape[1] - 1, _PICTURED_FRAMES)})
    return [[column[b, t].permute(1, 2, 0).numpy() for column in columns] for b in range(len(frames)) for t in times]


_LEAST_FRAMES = 10  # of footage; fewer may all be empty, and every other frame would seem foreign


class BestModel:
    """Writes a model folder whenever the validation bound is the highest so far.

    Args:
        folders: Where the model goes: that of the stage, and that of the run where it has stages.
        plan: What is trained on what.
        hardware: The device in words.
        stage: Name of the stage; "" where the recipe has none.
        earlier: The stages before, as their cards have them.
        lengthened: Steps the stage had been planned with before it was lengthened, oldest first.
        bound: Highest bound so far, nats per frame.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        plan: Plan,
        hardware: str,
        stage: str = "",
        earlier: tuple[TrainedStage, ...] = (),
        lengthened: tuple[int, ...] = (),
        bound: float = -math.inf,
    ) -> None:
        self.folders, self.plan, self.hardware = folders, plan, hardware
        self.stage, self.earlier, self.lengthened, self.bound = stage, earlier, lengthened, bound

    def offer(self, model: SceneModel, validation: Validation, step: int, seconds: float) -> bool:
        """Write the model if it is the best so far, and say whether it is.

        Args:
            model: Its weights now.
            validation: Its validation.
            step: Steps of the stage so far.
            seconds: Seconds of the stage so far.
        """
        if validation.bound <= self.bound:
            return False
        self.bound = validation.bound
        card = self._card(validation, step, seconds)
        for folder in self.folders:
            save_model(model, folder, card)
        return True

    def complete(self, steps: int, seconds: float) -> None:
        """Write into the card how long the stage was trained in all, the steps after the best model included."""
        saved = load_model(self.folders[0])
        card = saved.card
        last = dataclasses.replace(card.stages[-1], steps=steps, hours=seconds / 3600, lengthened=self.lengthened)
        card = dataclasses.replace(card, **_sums((*card.stages[:-1], last)))
        for folder in self.folders:
            save_model(saved.model, folder, card)

    def _card(self, validation: Validation, step: int, seconds: float) -> Card:
        recipe, train = self.plan.recipe, self.plan.train
        where = f"{recipe.data.source}, validation split, {validation.frames} frames"
        scores = tuple(
            Score(protocol=s.protocol, metric=name, data=where, value=value, videos=s.videos)
            for s in validation.scores
            for name, value in s.values.items()
            if name != "MSE" and math.isfinite(value)
        )
        has_objects = train.facts.has_ids or validation.mse.size >= _LEAST_FRAMES
        stage = TrainedStage(
            name=self.stage,
            steps=step,
            best_step=step,
            hours=seconds / 3600,
            seed=recipe.training.seed,
            mse=float(validation.mse.mean()),
            f_ari=next((s.value for s in scores if (s.protocol, s.metric) == ("provide", "F-ARI")), None),
            ari=next((s.value for s in scores if (s.protocol, s.metric) == ("provide", "ARI")), None),
            lengthened=self.lengthened,
        )
        return Card(
            name=recipe.name,
            summary=recipe.summary,
            recipe=recipe.name,
            data=describe_data(recipe, train),
            data_fingerprint=train.fingerprint(),
            hardware=self.hardware,
            frames=self.plan.longest,
            crop=train.crop,
            source_size=train.source_size,
            validated=Reference(
                mse=stage.mse if has_objects else None,
                mse_high=float(np.percentile(validation.mse, 99)) if has_objects else None,
                data=where,
                protocol="mean and 99th percentile over frames" if has_objects else "too few frames to tell",
            ),
            scores=scores,
            limitations=_limitations(self.plan),
            **_sums((*self.earlier, stage)),
        )


def _sums(stages: tuple[TrainedStage, ...]) -> dict[str, Any]:
    """Return what a card says of all stages together."""
    return {
        "stages": stages,
        "steps": sum(stage.steps for stage in stages),
        "hours": sum(stage.hours or 0.0 for stage in stages),
        "seeds": tuple(dict.fromkeys(stage.seed for stage in stages if stage.seed is not None)),
    }


def _limitations(plan: Plan) -> tuple[str, ...]:
    height, width = plan.train.facts.size
    lines = [
        f"Knows only videos like its training data ({plan.recipe.data.source}); others need training of their own.",
        f"Frames are {height} x {width} pixels; clips in training had at most {plan.longest} frames.",
    ]
    objects = plan.train.facts.max_objects
    if objects is not None:
        lines.append(f"Was trained on at most {objects} objects.")
    return tuple(lines)
