"""From what a user types to one video or scene under a model, for verbs that look closer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scenewise.cli import options, threads
from scenewise.cli.options import add_source_options, numbered, open_source, source_video
from scenewise.errors import InputError, printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from scenewise.decompose import Decomposer
    from scenewise.explore import Exploration
    from scenewise.explore.moment import Moment


def add_explored(parser: argparse.ArgumentParser) -> None:
    """Add model and input, where figures go, and how the input is read."""
    options.add_model(parser, positional=True)
    parser.add_argument(
        "input",
        metavar="INPUT",
        help="a video, a folder of frames, an array or an image as in `scenewise decompose`, or SOURCE#INDEX; for "
        "models that take viewpoints, a scene as in `scenewise render`",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace results that are there")
    parser.add_argument("--seed", type=int, default=0, help="seed of the posterior noise; default: %(default)s")
    options.add_background(parser)
    options.add_reading(parser, size=None)
    add_source_options(parser)


def add_frames(parser: argparse.ArgumentParser, no_slot: str) -> None:
    """Add which slot and which frames figures are of; `no_slot` says what they show where none is named."""
    parser.add_argument("--slot", type=int, metavar="K", help=f"which slot, from 1; default: {no_slot}")
    parser.add_argument("--frames", metavar="N,N,...", help="frames, or views, from 0; default: the middle one")


@dataclass(frozen=True)
class Frames:
    """Frames that figures are made of.

    Attributes:
        decomposer: The model.
        exploration: The video or scene.
        numbers: The frames, from 0.
        slot: From 0; None where no slot was named.
    """

    decomposer: Decomposer
    exploration: Exploration
    numbers: list[int]
    slot: int | None

    def moments(self) -> Iterator[tuple[int, Moment]]:
        """Yield number and explanation of every frame.

        Raises:
            InputError: A frame has no such slot.
        """
        for number in self.numbers:
            moment = self.exploration.moment(number)
            if self.slot is not None and self.slot >= moment.slots:
                raise InputError("--slot", f"the model has slots 1 to {moment.slots}; found {self.slot + 1}.")
            yield number, moment


def open_frames(args: argparse.Namespace) -> Frames:
    """Load the model and open the frames that were asked for, once it is sure that --out can be written.

    Raises:
        InputError: Something cannot be opened, or an option is wrong.
    """
    if args.slot is not None and args.slot < 1:
        raise InputError("--slot", f"counts from 1; found {args.slot}.")
    options.request(args, "slots", "refinements", "seed")
    import scenewise as sw
    from scenewise.media.folders import check_apart, check_free

    check_free(Path(args.out), args.overwrite)
    check_apart(Path(args.out), args.input, args.model)
    decomposer = sw.load(args.model, args.device)
    options.tell_untried(args, decomposer)
    threads.choose(decomposer)
    exploration = open_exploration(args, decomposer)
    numbers = frame_numbers(args.frames, exploration)
    return Frames(decomposer, exploration, numbers, None if args.slot is None else args.slot - 1)


def open_exploration(args: argparse.Namespace, decomposer: Decomposer, text: str | None = None) -> Exploration:
    """Open the input of a verb.

    Args:
        args: Parsed options.
        decomposer: The model.
        text: What was typed; `args.input` where None.

    Raises:
        InputError: It cannot be opened, holds several videos, or an option is wrong.
    """
    from scenewise.explore import SceneExploration, VideoExploration
    from scenewise.explore.live import is_stream, open_live
    from scenewise.media import read_videos

    text, background = args.input if text is None else text, args.background
    decomposer.check_background(background)
    request, reading = options.request(args, "slots", "refinements", "seed"), options.reading(args)
    if is_stream(text) and not Path(text).exists():
        return open_live(decomposer, text, request, background)
    if decomposer.model.viewpoint_size is not None:
        from scenewise.scenes.rendering import open_scene

        name, index = numbered(text) or (text, 0)
        source = open_source(name, args.split, args.settings)
        scene = open_scene(source, index, f"{Path(name).stem}-{index}", decomposer.model)
        return SceneExploration(decomposer, scene.name, scene.frames, scene.viewpoints, request, scene.ids)
    match = numbered(text)
    if match is not None and (args.settings or args.split != "test"):
        name, index = match
        source = open_source(name, args.split, args.settings)
        if index >= len(source):
            raise InputError(text, f"the source has videos 0 to {len(source) - 1}.", "Give a smaller number.")
        sample, name = source.sample(index), f"{Path(name).stem}-{index}"
        return VideoExploration.of(decomposer, sample, request, name=name, background=background)
    if (video := source_video(text)) is not None:
        return VideoExploration.of(decomposer, video[0], request, name=video[1], background=background)
    readers = read_videos(text, **reading, size=decomposer.size)  # type: ignore[arg-type]
    if len(readers) != 1:
        problem = f"holds {len(readers)} videos."
        raise InputError(printable(text), problem, "Choose one with --key, or give one file.")
    return VideoExploration.of(decomposer, readers[0], request, background=background)


def frame_numbers(text: str | None, exploration: Exploration) -> list[int]:
    """Return the frames that were asked for, the middle one where none was.

    Raises:
        InputError: They are not whole numbers separated by commas, or there is no such frame.
    """
    length = exploration.length
    if text is None:
        return [0 if length is None else (length - 1) // 2]
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        problem = f"expected whole numbers with commas, such as 0,5,10; found {text!r}."
        raise InputError("--frames", problem) from None
    wrong = [n for n in numbers if n < 0 or (length is not None and n >= length)]
    if wrong:
        most = "" if length is None else f" 0 to {length - 1}"
        raise InputError("--frames", f"{exploration.name} has frames{most}; found {wrong[0]}.")
    return list(dict.fromkeys(numbers))
