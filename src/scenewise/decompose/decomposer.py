"""A model with its card, ready to take videos apart."""

from __future__ import annotations

import itertools
import tempfile
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from scenewise import hub
from scenewise.checkpoint import Card, load_model, save_model
from scenewise.config import plain
from scenewise.decompose.background import backdrop, picture_of
from scenewise.decompose.clip import Clip, ClipFrame, as_image, check_length, clip_at, in_trained_part
from scenewise.decompose.drawing import SampleSpread, draw, image_size
from scenewise.decompose.engines import RunsOnEngines
from scenewise.decompose.export.run import export
from scenewise.decompose.live_background import LiveBackground
from scenewise.decompose.result import Course, ModelFacts, Past, Request, Result, check_limits, check_takes_videos
from scenewise.errors import InputError
from scenewise.models.contract import Decodes, Predictor, SceneModel, State

if TYPE_CHECKING:
    from scenewise.decomposition import Decomposition, FrameResult, LabelRule


def load(name_or_path: str | Path, device: str = "auto", **overrides: Any) -> Decomposer:
    """Load a model that ships with scenewise, one from a folder that `scenewise train` wrote, or one of the hub.

    Args:
        name_or_path: For example "provide-balls-colour", a model folder, or "org/name" (and "org/name@revision") on the
            Hugging Face Hub, from which settings, weights and card are got and nothing that could run.
        device: "auto" (a GPU where there is one), "cpu", "cuda" or "cuda:N".
        **overrides: Settings of the model to replace, such as `slots=7`.

    Raises:
        InputError: There is no such model or device, or the folder is damaged.

    Examples:
        >>> model = load("provide-balls-colour", device="cpu")
        >>> model
        Decomposer('provide-balls-colour', size=(64, 64), slots=5, device='cpu')
        >>> load("provide-balls-colours")
        Traceback (most recent call last):
        ...
        scenewise.errors.InputError: provide-balls-colours: is neither a model that ships nor a folder. Did you mean ...
    """
    loaded = load_model(name_or_path, device, **overrides)
    name = loaded.card.name or loaded.path.name
    return Decomposer(loaded.model, loaded.card, name, str(loaded.path), loaded.fingerprint)


class Decomposer(RunsOnEngines):
    """A model over videos of any length.

    Args:
        model: The model, in evaluation mode from here on.
        card: Its facts; what it reaches on data of its own kind tells known footage from unknown.
        name: For messages and files.
        path: The folder it came from.
        fingerprint: Short hash of settings and weights.
    """

    def __init__(
        self, model: SceneModel, card: Card | None = None, name: str = "", path: str = "", fingerprint: str = ""
    ) -> None:
        self.model = model.eval()
        self.card = card or Card()
        self.name = name or self.card.name or getattr(model, "registered_name", type(model).__name__)
        self.path = path
        self.fingerprint = fingerprint
        self._lock = threading.Lock()
        if self.frame_shape[0] not in (1, 3):
            raise InputError(self.name, f"takes frames of {self.frame_shape[0]} channels; videos have 1 or 3.")

    def __repr__(self) -> str:
        return f"Decomposer({self.name!r}, size={self.size}, slots={self.slots}, device={str(self.device)!r})"

    # -- facts ------------------------------------------------------------------------------------------------------

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the frames it takes."""
        return self.model.frame_shape

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the frames it takes, to be given to `read_video`."""
        return self.frame_shape[1:]

    @property
    def slots(self) -> int:
        """K unless another number is asked for."""
        return int(self.model.config.slots)

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return next(self.model.parameters()).device

    @property
    def recurrent(self) -> bool:
        """Whether slots keep their objects from frame to frame; otherwise each frame is taken apart by itself."""
        return self.model.keeps_slots or self.model.window > 1

    def facts(self) -> ModelFacts:
        """Return what records and verdicts say of the model."""
        return ModelFacts(
            name=self.name,
            kind=getattr(self.model, "registered_name", type(self.model).__name__),
            path=self.path,
            fingerprint=self.fingerprint,
            size=self.size,
            slots=self.slots,
            refinements=getattr(self.model.config, "refinements", None),
            device=str(self.device),
            compiled=self.compiled,
            engine=self.engine,
            keeps_slots=self.recurrent,
            validated=self.card.validated,
            settings=plain(self.model.config),
            window=self.model.window,
        )

    def push_to_hub(self, name: str, *, private: bool = False) -> str:
        """Put the model with its card on the Hugging Face Hub, where `load(name)` gets it from; returns its address.

        Args:
            name: "org/name"; the repository is made where there is none.
            private: Whether one that is made is private.

        Raises:
            InputError: huggingface_hub is not installed, or the hub does not take it.
        """
        with tempfile.TemporaryDirectory() as folder:
            return hub.push(save_model(self.model, Path(folder) / "model", self.card), name, private=private)

    # -- one frame at a time ----------------------------------------------------------------------------------------

    def initial_state(self, batch: int = 1, slots: int | None = None, seed: int = 0, background: Any = None) -> State:
        """Return the state before the first frame.

        Args:
            batch: Number of videos that run side by side.
            slots: K, the model's own where None.
            seed: Seed of the posterior noise.
            background: The empty scene that all of them show, for models that draw over it: an image file, an array
                (H, W, C), or what `sw.background` returns; the picture kept with the model where None.

        Raises:
            InputError: There is no such picture, or the model draws over none.
        """
        check_limits(slots=slots)
        self.check_background(background)
        state = self.model.initial_state(batch, slots, seed)
        if background is None:
            return state
        picture = picture_of(background, state["background"][0])
        return state | {"background": picture.expand(batch, -1, -1, -1).clone()}

    def step(
        self,
        frame: Any,
        state: State | None = None,
        refinements: int | None = None,
        resize: bool = False,
        viewpoints: Any = None,
    ) -> tuple[Decomposition, State]:
        """Take one more frame apart.

        Args:
            frame: A `MediaFrame`, an image (H, W, C) of uint8 or floats in [0, 1], or a tensor (C, H, W) or
                (B, C, H, W) of floats in [0, 1] or uint8; as (B, t, C, H, W) several frames.
            state: What `initial_state` or the last `step` returned; None begins a video.
            refinements: R, the model's own where None.
            resize: Scale a frame of another size; otherwise it is an error. Tensors are never scaled.
            viewpoints: Where it is seen from, (B, D) or (B, t, D), for models of scenes seen from several sides.

        Returns:
            The decomposition, with T = 1 for one frame, and the state for the next.

        Raises:
            InputError: The frame does not fit the model, or holds NaN.
        """
        check_limits(refinements=refinements)
        tensor = self.tensor(frame, resize)
        if state is None:
            state = self.initial_state(len(tensor))
        cameras = () if viewpoints is None else (torch.as_tensor(viewpoints),)
        return self.model.step(tensor, state, refinements, *cameras)

    def tensor(self, frame: Any, resize: bool = False) -> Tensor:
        """Return a frame as the model takes it: floats in [0, 1], shape (B, t, C, H, W), on its device.

        Args:
            frame: As in `step`.
            resize: Scale a frame of another size.

        Raises:
            InputError: It does not fit the model.
        """
        if not isinstance(frame, torch.Tensor):
            image = as_image(frame, self.frame_shape, resize)
            writable = np.require(image, requirements="W")  # torch warns of arrays it could not write to
            frame = torch.from_numpy(writable).permute(2, 0, 1)  # (C, H, W)
        if frame.ndim not in (3, 4, 5):
            problem = f"expected (C, H, W), (B, C, H, W) or (B, t, C, H, W); found {tuple(frame.shape)}."
            raise InputError("frame", problem)
        frame = frame.to(self.device)
        tensor = frame.float() / 255 if frame.dtype == torch.uint8 else frame.float()
        tensor = tensor[None] if tensor.ndim == 3 else tensor
        return tensor if tensor.ndim == 5 else tensor.unsqueeze(1)

    # -- videos -----------------------------------------------------------------------------------------------------

    def decompose(
        self,
        video: Any,
        slots: int | None = None,
        refinements: int | None = None,
        seed: int = 0,
        *,
        size: int | tuple[int, int] | None = None,
        resize: bool = True,
        name: str | None = None,
        background: Any = None,
        labels: LabelRule = "responsibility",
        **reading: Any,
    ) -> Result:
        """Take a video apart; the work is done while the result is iterated or saved, in constant memory.

        Args:
            video: A path, a reader, an array, a `Sample`, or frames one by one; see `open_clip`.
            slots: K, the model's own where None.
            refinements: R, the model's own where None.
            seed: Seed of the posterior noise: the same seed gives the same result on the same machine.
            size: (H, W) of the results, or one number for a square; the model's own where None. The model works at its
                own size all the same, and what it finds is brought to this one.
            resize: Scale frames to the model's size; otherwise frames of another size are an error.
            name: For titles, taken from the video where None.
            background: What the camera shows where nothing stands in the way, for models that draw over it: an image
                file, an array (H, W, C), or what `sw.background` returns. Where None it is the emptiest picture of the
                video, or the one kept with the model where that shows this scene; where frames come one by one, the
                emptiest of those that came so far, see `LiveBackground`.
            labels: Who owns a pixel: "responsibility", the slot that explains what was seen best, or "masks", that with
                the largest mask.
            **reading: Options of `read_video` where `video` is a path: `crop`, `every`, `start`, `stop`, `layout`.

        Raises:
            InputError: The video cannot be read, or an option is out of range.

        Examples:
            >>> model = load("provide-balls-colour", device="cpu")
            >>> result = model.decompose(np.zeros((3, *model.size, 3), np.uint8))
            >>> result.masks.shape == (3, model.slots, *model.size)
            True
            >>> bool(np.allclose(result.masks.sum(1), 1, atol=1e-5))
            True
        """
        request = Request(size, slots, refinements, seed, labels=labels)  # type: ignore[arg-type]  # one number is a square
        return self.answer(request, video, resize=resize, name=name, background=background, **reading)

    def predict(
        self,
        video: Any,
        observe: int,
        steps: int,
        slots: int | None = None,
        refinements: int | None = None,
        seed: int = 0,
        *,
        size: int | tuple[int, int] | None = None,
        resize: bool = True,
        name: str | None = None,
        background: Any = None,
        labels: LabelRule = "responsibility",
        **reading: Any,
    ) -> Result:
        """Take the first frames of a video apart and predict those that follow.

        Args:
            video: As in `decompose`, like `slots`, `refinements`, `seed`, `resize`, `name` and `reading`.
            observe: Number of frames to look at.
            steps: Number of frames to predict; where the video goes on, its frames are kept beside the predicted.
            slots: K.
            refinements: R.
            seed: Seed of the posterior noise.
            size: (H, W) of the results.
            resize: Scale frames to the model's size.
            name: For titles.
            background: The empty scene, as in `decompose`.
            labels: Who owns a pixel that was seen, as in `decompose`.
            **reading: Options of `read_video`.

        Raises:
            InputError: The model cannot predict, the video is shorter than `observe`, or an option is out of range.

        Examples:
            >>> model = load("provide-balls-colour", device="cpu")
            >>> result = model.predict(np.zeros((4, *model.size, 3), np.uint8), observe=2, steps=2)
            >>> [frame.predicted for frame in result]
            [False, False, True, True]
        """
        request = Request(size, slots, refinements, seed, observe, steps, labels)  # type: ignore[arg-type]
        return self.answer(request, video, resize=resize, name=name, background=background, **reading)

    def answer(
        self,
        request: Request,
        video: Any,
        *,
        resize: bool = True,
        name: str | None = None,
        background: Any = None,
        **reading: Any,
    ) -> Result:
        """Take a video apart, and predict how it goes on, as a request has it; see `decompose` and `predict`.

        Args:
            request: Size, slots, refinements, seed, and how much to observe and predict.
            video: As in `decompose`, like `resize`, `name` and `reading`.
            resize: Scale frames to the model's size.
            name: For titles.
            background: The empty scene, as in `decompose`.
            **reading: Options of `read_video`.

        Raises:
            InputError: The model cannot predict, it draws over no background, or the video cannot be read.
        """
        self.check_background(background)
        if request.steps and not isinstance(self.model, Predictor):
            raise InputError(self.name, "cannot predict.", "Use a model of the kind provide.")
        video, reading = in_trained_part(video, reading, self.card)
        clip = clip_at(video, self.frame_shape, request.size, resize=resize, name=name, **reading)
        if request.observe is not None and clip.length_hint is not None:
            clip.length_hint = request.observe + request.steps
        result = Result(clip, request, self.facts(), partial(self.stream, clip, request, background), export)
        result.shared = (self.model, self._lock)
        return result

    def stream(
        self, video: Any, request: Request | None = None, background: Any = None, course: Course | None = None
    ) -> Iterator[FrameResult]:
        """Yield one result per frame, then the predicted ones, in constant memory.

        A model that explains clips as wholes gets the frames to observe together, or else clips of its own length.

        Args:
            video: As in `decompose`.
            request: Slots, refinements, seed, size of the results, and how much to observe and predict.
            background: The empty scene, as in `decompose`.
            course: Moved along; one that has come some way begins after its frames, which are read and passed over.

        Raises:
            InputError: The video cannot be read, or ends before the frames to observe; or the camera moves, or a given
                background shows something else, where the model draws over one.
        """
        self.check_background(background)
        request, course = request or Request(), course or Course()
        clip = clip_at(video, self.frame_shape, request.size)
        check_length(clip, request.observe)
        frames = itertools.islice(iter(clip), course.frames, None)
        past = Past(itertools.islice(frames, request.observe))
        start = self.start(clip, request, background)  # told again where a run goes on from a later state
        live = None if clip.again or course.state is not None else LiveBackground.over(self.model, start, background)
        state = yield from self._explain(past, request, course, start if course.state is None else course.state, live)
        if live is not None:
            clip.reading["background"] = live.origin
            clip.problems += [note for note in live.notes if note not in clip.problems]
        clip.problems += [note for note in (course.remark, self.refusal) if note and note not in clip.problems]
        course.state = None
        check_length(clip, request.observe, past.count)
        for _ in range(request.steps):
            before = state
            with self._turn():
                part, state = self.model.predict(before, 1)  # type: ignore[operator]
            truth = next(frames, None)
            frame = truth or past.following()
            has_truth = truth is not None
            yield self.result_of(frame, part, before, state, request.seed, predicted=True, known=has_truth)
            past.last = [*past.last, frame][-2:]

    def check_background(self, background: Any) -> None:
        """Raise an error where a background is given and the model draws over none.

        Raises:
            InputError: It is, and it does not.
        """
        if background is not None and not self.model.takes_background:
            remedy = "Leave it out, or use a model that `scenewise train footage` made of a fixed camera."
            raise InputError("background", f"{self.name} draws over no background picture.", remedy)

    def start(self, clip: Clip, request: Request, background: Any = None) -> State:
        """Return the state before the first frame of a video, over its background where the model draws over one.

        Args:
            clip: The video; where its background comes from is noted in its `reading` and `problems`.
            request: Slots and seed.
            background: The empty scene, as in `decompose`.

        Raises:
            InputError: The camera moves, a given background shows something else, or the model takes no videos.
        """
        check_takes_videos(self.model, self.name)
        state = self.initial_state(1, request.slots, request.seed)
        if not self.model.takes_background:
            return state
        scene = backdrop(clip, state["background"][0], self.path, background)
        clip.reading["background"] = scene.origin
        clip.problems += [note for note in scene.notes if note not in clip.problems]
        return state | {"background": scene.picture}

    def _explain(
        self, frames: Iterable[ClipFrame], request: Request, course: Course, state: State, live: LiveBackground | None
    ) -> Generator[FrameResult, None, State]:
        """Explain frames, as many together as the model was made for; returns the state after the last.

        What is live is drawn over a background that is learned as frames come.
        """
        length, source = self.model.window, iter(frames)
        if length > 1 and request.observe is not None:
            length = request.observe
        while clip := list(itertools.islice(source, length)):
            tensors = [self.tensor(np.asarray(frame.given)) for frame in clip]
            images = torch.cat(tensors, 1) if len(tensors) > 1 else tensors[0]  # (1, t, C, H, W)
            if live is not None:
                state = live.behind(state, [np.asarray(frame.given) for frame in clip])
            course.remark = course.remark or self.model.remark(images)
            before = state
            with self._turn():
                parts, state = self.model.step(images, before, request.refinements)
            for t, frame in enumerate(clip):
                part = parts.frame(t).labelled(request.labels)
                course.frames, course.state = course.frames + 1, state if t == len(clip) - 1 else None
                yield self.result_of(frame, part, before, state, request.seed)
        return state

    def result_of(
        self,
        frame: ClipFrame,
        part: Decomposition,
        before: State,
        after: State,
        seed: int = 0,
        predicted: bool = False,
        known: bool = True,
    ) -> FrameResult:
        """Return what was found in one frame as plain arrays.

        Args:
            frame: The frame.
            part: What the model says of it, of one video.
            before: The state before the frame, or the clip it was explained in.
            after: The state after it.
            seed: Seed of the noise of its uncertainty.
            predicted: Whether the model did not see it.
            known: Whether anybody did.

        Raises:
            InputError: The model gave NaN or infinite values.
        """
        if not bool(part.reconstruction[0, 0].isfinite().all()) or not bool(part.masks[0, 0].isfinite().all()):
            problem = f"gave NaN or infinite values at frame {frame.index}."
            raise InputError(self.name, problem, "Use fewer refinements or another model.")
        spread = self._spread(part, before, after, seed, frame)
        return draw(frame, part, spread=spread, predicted=predicted, known=known)

    def _spread(
        self, part: Decomposition, before: State, after: State, seed: int, frame: ClipFrame
    ) -> SampleSpread | None:
        """Return what computes a frame's uncertainty, None where the model cannot draw samples."""
        if not isinstance(self.model, Decodes):
            return None
        mean, log_variance = part.mean[0, 0], part.log_variance[0, 0]
        if "order" in after and not self.model.slot_symmetric:  # what a slot draws depends on the model's number of it
            numbers = after["order"][0].argsort()
            mean, log_variance = mean[numbers], log_variance[numbers]
        drawing = self.model.drawing_state(before, after)
        state = {name: tensor for name, tensor in drawing.items() if name != "shown"}
        return SampleSpread(
            self.model, mean, log_variance, state, seed, frame.index, image_size(frame.image), self._turn()
        )

    def _turn(self) -> AbstractContextManager[object]:
        """Return what is held while the model works: graphs are not traced or captured while another thread draws."""
        return nullcontext() if self.engine == "torch" and self.device.type == "cpu" else self._lock
