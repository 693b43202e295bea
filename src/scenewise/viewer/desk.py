"""What the page asks for, answered: frames, refinements, latents, other explanations, futures, comparisons, a run."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from scenewise.decompose.clip import ClipFrame
from scenewise.decompose.drawing import draw
from scenewise.decompose.verdict import Evidence
from scenewise.decomposition import as_picture
from scenewise.errors import InputError
from scenewise.explore.exploration import Exploration, SceneExploration, VideoExploration
from scenewise.explore.figure import diverging
from scenewise.explore.live import LiveExploration
from scenewise.explore.outcomes import again, agreement, tally
from scenewise.explore.prediction import predict
from scenewise.explore.refinements import refinement_pictures
from scenewise.media.palette import SLOT_COLOURS
from scenewise.metrics import adjusted_rand_index
from scenewise.models.contract import Decodes, Predictor
from scenewise.report.tiles import finite, photograph
from scenewise.summary import Geometry, SlotStatistics
from scenewise.viewer.messages import Answer
from scenewise.viewer.start import first_frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scenewise.explore.moment import Moment
    from scenewise.explore.refinements import RefinementPicture

MOST_LATENTS = 64
"""Slots that are drawn at once at most."""

SPREAD_SAMPLES = 4
"""Posterior samples behind a map of uncertainty."""


@dataclass
class Desk:
    """One thing under one or more models; its methods are called in the worker's thread alone.

    Attributes:
        exploration: What is looked at, None where only a run is.
        title: Heading of the page.
        open_other: Returns the same under another model, by its name or folder.
        models: Names that may be compared with.
        run: Folder of a training run, or None.
    """

    exploration: Exploration | None
    title: str
    open_other: Callable[[str], Exploration] | None = None
    models: tuple[str, ...] = ()
    run: Path | None = None
    _evidence: Evidence | None = None
    _refined: tuple[Moment, list[RefinementPicture]] | None = None
    _seen: set[int] = field(default_factory=set)
    _others: OrderedDict[str, Exploration] = field(default_factory=OrderedDict)
    _again: OrderedDict[tuple[Any, ...], Moment] = field(default_factory=OrderedDict)

    @property
    def looking(self) -> Exploration:
        """What is looked at.

        Raises:
            InputError: Only a run is.
        """
        if self.exploration is None:
            raise InputError("view", "shows a training run alone.", "Name a video and a model to look at frames.")
        return self.exploration

    def answer(self, request: dict[str, Any]) -> Answer:
        """Answer a request by its `do`.

        Raises:
            InputError: There is no such request, or it asks for what cannot be had.
        """
        name = request.get("do")
        able: dict[str, Callable[[dict[str, Any]], Answer]] = {
            "hello": self.hello,
            "frame": self.frame,
            "refinement": self.refinement,
            "latents": self.latents,
            "draw": self.draw,
            "again": self.again,
            "tally": self.tally,
            "predict": self.predict,
            "compare": self.compare,
            "training": self.training,
        }
        if not isinstance(name, str) or name not in able:
            raise InputError("do", "names nothing that can be asked for.")
        return able[name](request)

    # -- what there is --------------------------------------------------------------------------------------------

    def hello(self, request: dict[str, Any]) -> Answer:
        """Tell what is looked at, and what can be done with it."""
        facts: dict[str, Any] = {"title": self.title, "run": self.run is not None, "models": list(self.models)}
        if self.exploration is None:
            return Answer({**facts, "frames": 0})
        exploration, decomposer = self.exploration, self.exploration.decomposer
        model, video = decomposer.model, isinstance(self.exploration, VideoExploration)
        height, width = decomposer.size
        crop = exploration.clip.crop if isinstance(exploration, VideoExploration) else (0, 0, height, width)
        slots = decomposer.slots if exploration.request.slots is None else exploration.request.slots
        rate = exploration.clip.frame_rate if isinstance(exploration, VideoExploration) else None
        return Answer(
            {
                **facts,
                "name": exploration.name,
                "model": decomposer.name,
                "kind": model.registered_name,
                "frames": exploration.length,
                "first": first_frame(exploration.length),
                "rate": rate,
                "views": isinstance(exploration, SceneExploration),
                "live": isinstance(exploration, LiveExploration),
                "width": width,
                "height": height,
                "aspect": crop[3] / max(1, crop[2]),
                "slots": slots,
                "refinements": exploration.request.refinements or getattr(model.config, "refinements", None),
                "refines": model.engine is not None,
                "draws": isinstance(model, Decodes),
                "predicts": video and isinstance(model, Predictor),
                "fixed_slots": model.fixed_slots,
                "colours": [SLOT_COLOURS[k % len(SLOT_COLOURS)] for k in range(max(slots, MOST_LATENTS))],
                "validated": decomposer.card.validated.mse,
            }
        )

    # -- frames ---------------------------------------------------------------------------------------------------

    def frame(self, request: dict[str, Any]) -> Answer:
        """Return a frame taken apart; with `spread` its uncertainty too."""
        number = whole(request, "number", 0)
        moment = self.looking.moment(number)
        answer = self._taken_apart(moment, self.looking)
        if request.get("spread") and isinstance(moment.model, Decodes):
            shape = (SPREAD_SAMPLES, *moment.posterior.mean.shape)
            noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
            drawing = moment.draw(moment.posterior.sample(noise.to(moment.posterior.mean)))
            images = (drawing.masks[..., None] * drawing.appearance).sum(1)  # (S, h, w, C)
            spread = np.sqrt(images.var(0, ddof=1).mean(-1))
            peak = float(spread.max(initial=0.0))
            answer.arrays["spread"] = _bytes(spread / (peak or 1.0))
            answer.facts["peak"] = finite(peak)
        shares = moment.decomposition.responsibilities
        if shares is None and moment.decodes:
            mixture = moment.decodes[-1].mixture
            with torch.no_grad():
                shares = mixture.responsibilities.mean(2, keepdim=True)[:, None]
        if shares is not None and shares.shape[-2:] == moment.decomposition.masks.shape[-2:]:
            answer.arrays["responsibilities"] = _bytes(shares[0, 0, :, 0].cpu().numpy())
        if isinstance(self.looking, VideoExploration) and request.get("source"):
            for picture in self.looking.clip.pictures([number], longest=640):
                answer.files["source"] = photograph(picture)
        verdict = None if self._evidence is None else self._evidence.verdict()
        answer.facts |= {"number": number, "roles": self.roles(number, moment)}
        answer.facts |= {"verdict": verdict.name if verdict else "", "message": verdict.message if verdict else ""}
        return answer

    def _taken_apart(self, moment: Moment, exploration: Exploration) -> Answer:
        frame = draw(ClipFrame(moment.index, moment.time_s, moment.image, moment.ids), moment.decomposition)
        area = np.bincount(frame.labels.reshape(-1), minlength=moment.slots)[: moment.slots] / frame.labels.size
        facts: dict[str, Any] = {
            "index": moment.index,
            "time": finite(moment.time_s),
            "mse": finite(frame.mse),
            "nll": finite(-frame.log_likelihood),
            "kl": finite(frame.kl),
            "slot_kl": [finite(float(v)) for v in moment.kl.sum(1)],
            "area": [round(float(v), 5) for v in area],
            "slots": moment.slots,
            "note": moment.note,
            "peak": 0.0,
            "tracks": [int(n) for n in frame.track_ids],
        }
        if moment.ids is not None:
            pair = (frame.labels.astype(np.int64)[None], moment.ids[None])
            scores = {
                "ARI": adjusted_rand_index(*pair).mean,
                "F-ARI": adjusted_rand_index(*pair, foreground=True).mean,
            }
            facts["scores"] = {name: None if finite(v) is None else round(float(v), 4) for name, v in scores.items()}
        arrays = {
            "input": frame.image,
            "reconstruction": frame.picture,
            "labels": frame.labels.astype(np.uint8),
            "masks": _bytes(frame.masks),
            "appearance": frame.appearance,
        }
        if moment.ids is not None:
            arrays["ids"] = np.where(moment.ids < 0, 255, moment.ids).astype(np.uint8)
        return Answer(facts, arrays)

    def roles(self, number: int, moment: Moment) -> list[str]:
        """Return what each slot is, judged by all frames that were looked at so far, of which this is one."""
        decomposer = self.looking.decomposer
        if self._evidence is None or self._evidence.statistics.slots != moment.slots:
            statistics = SlotStatistics(moment.slots, Geometry(decomposer.size, (0, 0, *decomposer.size)))
            self._evidence = Evidence(statistics, decomposer.card.validated, decomposer.name)
            self._seen = set()
        if number not in self._seen and len(self._seen) < 100_000:
            self._seen.add(number)
            self._evidence.add(
                draw(ClipFrame(moment.index, moment.time_s, moment.image, moment.ids), moment.decomposition)
            )
        return self._evidence.verdict().roles

    # -- refinements ----------------------------------------------------------------------------------------------

    def refinement(self, request: dict[str, Any]) -> Answer:
        """Return what was drawn after one of a frame's refinements, and what the refinement network saw then."""
        moment = self.looking.moment(whole(request, "number", 0))
        if self._refined is None or self._refined[0] is not moment:  # one frame's alone: gradients are large
            self._refined = (moment, refinement_pictures(moment))
        pictures = self._refined[1]
        step = min(whole(request, "step", len(pictures) - 1), len(pictures) - 1)
        picture = pictures[step]
        arrays = {
            "reconstruction": picture.image,
            "labels": picture.masks.argmax(0).astype(np.uint8),
            "masks": _bytes(picture.masks),
            "appearance": as_picture(picture.appearance),
        }
        for name, values in picture.gradients.items():
            arrays[f"gradient_{name}"] = np.stack([diverging(slot) for slot in values])
        facts = {
            "step": step,
            "names": [each.name for each in pictures],
            "nll": [finite(each.nll) for each in pictures],
            "kl": [finite(each.kl) for each in pictures],
        }
        return Answer(facts, arrays)

    # -- latents --------------------------------------------------------------------------------------------------

    def latents(self, request: dict[str, Any]) -> Answer:
        """Return posterior and prior of a frame, and for each slot its dimensions by KL."""
        number = whole(request, "number", 0)
        moment = self.looking.moment(number)
        parts = {"mean": moment.posterior.mean, "prior_mean": moment.prior.mean}
        arrays = {name: part.cpu().numpy().astype(np.float32) for name, part in parts.items()}
        arrays["std"] = (0.5 * moment.posterior.log_variance).exp().cpu().numpy().astype(np.float32)
        arrays["prior_std"] = (0.5 * moment.prior.log_variance).exp().cpu().numpy().astype(np.float32)
        arrays["kl"] = moment.kl.astype(np.float32)
        rankings = [moment.ranking(k).tolist() for k in range(moment.slots)]
        arrays = {name: np.nan_to_num(array, posinf=3e38, neginf=-3e38) for name, array in arrays.items()}
        return Answer({"number": number, "rankings": rankings, "most_informed": moment.most_informed}, arrays)

    def draw(self, request: dict[str, Any]) -> Answer:
        """Draw latents that the page chose, each with the other state of a slot of the frame."""
        moment = self.looking.moment(whole(request, "number", 0))
        latents = _numbers(request.get("latents"), moment.posterior.mean.shape[1])
        sources = request.get("sources")
        if not isinstance(sources, list) or len(sources) != len(latents):
            raise InputError("sources", "must name a slot of the frame for each latent.")
        numbers = [whole({"slot": k}, "slot", 0) for k in sources]
        drawing = moment.draw(torch.from_numpy(latents)[None], numbers)
        return Answer(
            {"slots": len(latents)},
            {
                "reconstruction": drawing.images[0],
                "labels": drawing.masks[0].argmax(0).astype(np.uint8),
                "masks": _bytes(drawing.masks[0]),
                "appearance": as_picture(drawing.appearance[0]),
            },
        )

    # -- other explanations ---------------------------------------------------------------------------------------

    def again(self, request: dict[str, Any]) -> Answer:
        """Explain a frame under another seed, K or R."""
        moment = self._explained_again(request, whole(request, "seed", 0))
        answer = self._taken_apart(moment, self.looking)
        answer.facts["agreement"] = round(agreement(self.looking.moment(whole(request, "number", 0)), moment), 4)
        return answer

    def tally(self, request: dict[str, Any]) -> Answer:
        """Count the distinct outcomes of explanations that were asked for before."""
        seeds = request.get("seeds")
        if not isinstance(seeds, list) or not 1 <= len(seeds) <= 64:
            raise InputError("seeds", "must be a list of 1 to 64 whole numbers.")
        seeds = [whole({"seed": seed}, "seed", 0) for seed in seeds]
        outcomes = tally([self._explained_again(request, seed) for seed in seeds], seeds)
        return Answer({"outcomes": [list(outcome.seeds) for outcome in outcomes]})

    def _explained_again(self, request: dict[str, Any], seed: int) -> Moment:
        number = whole(request, "number", 0)
        slots = None if request.get("slots") is None else whole(request, "slots", 1)
        refinements = None if request.get("refinements") is None else whole(request, "refinements", 1)
        key = (number, seed, slots, refinements)
        if key not in self._again:
            self._again[key] = again(self.looking, number, seed, slots, refinements)
            while len(self._again) > 128:
                self._again.popitem(last=False)
        return self._again[key]

    def predict(self, request: dict[str, Any]) -> Answer:
        """Let the model go on from a frame."""
        if not isinstance(self.looking, VideoExploration):
            raise InputError("predict", "is for videos.", "A scene's views can be looked at under Frames.")
        samples = whole(request, "samples", 1)
        future = predict(self.looking, whole(request, "number", 0), whole(request, "steps", 10), samples)
        arrays = {"images": future.images, "labels": future.labels}
        if len(future.truth):
            arrays["truth"] = as_picture(future.truth / np.float32(255))
        return Answer({"mse": [[finite(float(v)) for v in row] for row in future.mse]}, arrays)

    # -- another model, or a run ----------------------------------------------------------------------------------

    def compare(self, request: dict[str, Any]) -> Answer:
        """Return a frame as another model explains it."""
        name = request.get("model")
        if self.open_other is None or not isinstance(name, str) or name not in self.models:
            raise InputError("model", "is none of those that can be compared.", f"Choose of {', '.join(self.models)}.")
        if name not in self._others:
            self._others[name] = self.open_other(name)
            while len(self._others) > 3:
                self._others.popitem(last=False)
        other = self._others[name]
        height, width = other.decomposer.size
        answer = self._taken_apart(other.moment(whole(request, "number", 0)), other)
        answer.facts |= {"model": name, "width": width, "height": height}
        return answer

    def training(self, request: dict[str, Any]) -> Answer:
        """Return the curves of a run and its newest pictures, as they are on disk now."""
        if self.run is None:
            raise InputError("run", "is not what this page was opened on.", "Open it on the folder of a run.")
        from scenewise.viewer.runs import run_now

        facts, picture = run_now(self.run)
        return Answer(facts, {}, {} if picture is None else {"picture": picture})


def whole(request: dict[str, Any], name: str, default: int) -> int:
    """Return a whole number of a request, `default` where there is none.

    Raises:
        InputError: It is something else, negative, or beyond what counts take.
    """
    value = request.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 62:
        raise InputError(name, "must be a whole number, at least 0.")
    return value


def _numbers(values: Any, length: int) -> np.ndarray:
    """Return latents (S, Z) of nested lists.

    Raises:
        InputError: They are something else.
    """
    problem = InputError("latents", f"must be 1 to {MOST_LATENTS} lists of {length} finite numbers.")
    if not isinstance(values, list) or not 1 <= len(values) <= MOST_LATENTS:
        raise problem
    rows = [row for row in values if isinstance(row, list) and len(row) == length]
    plain = all(isinstance(v, (int, float)) and not isinstance(v, bool) and abs(v) < 1e30 for row in rows for v in row)
    if len(rows) != len(values) or not plain:
        raise problem
    return np.array(rows, np.float32)


def _bytes(shares: np.ndarray) -> np.ndarray:
    """Return shares in [0, 1] as bytes."""
    return np.rint(np.nan_to_num(shares).clip(0, 1) * 255).astype(np.uint8)
