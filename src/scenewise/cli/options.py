"""Options and words that several verbs share, and what they stand for: models, parts of videos, data sources."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenewise.cli.output import note
from scenewise.documents import shortened
from scenewise.errors import InputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from scenewise.data.contract import Source
    from scenewise.decompose import Decomposer, Request

DEFAULT_MODEL = "provide-balls-colour"

_SIZE = "size of the results, 8 to 2048 a side: the model works at its own, what it finds is scaled to this one"


def add_model(
    parser: argparse.ArgumentParser,
    positional: bool = False,
    default: str | None = DEFAULT_MODEL,
    several: bool = False,
) -> None:
    """Add the model, which must be named where there is no default, where it runs, and numbers that may differ.

    Args:
        parser: Of the verb.
        positional: The model is the verb's first word.
        default: The model where none is named.
        several: Each number that may differ may be a list.
    """
    text = "name of a model that ships (see `scenewise models`), a folder that `scenewise train` wrote, or org/name "
    text += "on the Hugging Face Hub"
    if positional:
        parser.add_argument("model", metavar="MODEL", help=text)
    else:
        text = text if default is None else f"{text}; default: %(default)s"
        parser.add_argument("--model", default=default, required=default is None, metavar="NAME|PATH", help=text)
    parser.add_argument("--device", default="auto", help="auto (a GPU where there is one), cpu, cuda or cuda:N")
    for name, letter, text in (
        ("--slots", "K", "number of slots, background included, 1 to 256"),
        ("--refinements", "R", "refinements of the first frame, 1 to 64"),
    ):
        text = f"{text}; several: one row each" if several else text
        parser.add_argument(name, type=int, nargs="+" if several else None, metavar=letter, help=text)


def tell_untried(args: argparse.Namespace, decomposer: Decomposer) -> None:
    """Print one line for each number of refinements that is asked for and was not validated."""
    values = args.refinements if isinstance(args.refinements, list) else [args.refinements]
    trained = decomposer.model.refinement_range
    if trained is None:
        return
    low, high = decomposer.card.validated.refinements or trained
    numbers = f"{low} to {high}" if low < high else f"{low}"
    done = "its scores were validated" if decomposer.card.validated.refinements else "it was trained"
    for value in values:
        if value is not None and not low <= value <= high:
            note(f"note: {value} refinements: {decomposer.name} may do worse; {done} with {numbers}.")


def add_engine(parser: argparse.ArgumentParser, compiles: bool = True) -> None:
    """Add what explains frames.

    Args:
        parser: Of the verb.
        compiles: Whether decodes can be compiled.
    """
    engines = ["auto", "torch", "openvino", "onnxruntime", "openvino-bfloat16", *(["compile"] if compiles else [])]
    parser.add_argument(
        "--engine",
        choices=engines,
        default="auto",
        help="what explains frames: torch; openvino or onnxruntime, about twice as fast for small models and ready in "
        "seconds, needs pip install 'scenewise[fast]', results are those of torch up to rounding, or else torch is "
        "used; openvino-bfloat16, faster and less exact; auto: for videos of 500 frames and more, the quickest exact "
        "one that is installed" + ("; compile: see --compile" if compiles else ""),
    )
    if compiles:
        parser.add_argument(
            "--compile",
            action="store_const",
            const="compile",
            dest="engine",
            help="compile the model first: minutes the first time, then small iterative models are about 1.4 times as "
            "fast; needs a C++ compiler, pays for long videos",
        )


def add_reading(parser: argparse.ArgumentParser, size: str | None = f"{_SIZE}; default: the model's") -> None:
    """Add what part of a video is read, and how.

    Args:
        parser: Of the verb.
        size: What --size means; no such option where None.
    """
    reading = parser.add_argument_group("which part of the video")
    reading.add_argument("--crop", metavar="T,L,H,W", help="top, left, height, width in pixels of the source")
    if size is not None:
        reading.add_argument("--size", metavar="S|H,W", help=size)
    reading.add_argument("--every", type=int, default=1, metavar="N", help="take each N-th frame")
    reading.add_argument("--start", type=int, default=0, metavar="N", help="first frame, from 0")
    reading.add_argument("--stop", type=int, metavar="N", help="one past the last frame")
    reading.add_argument("--layout", help="axes of npy, npz and h5 files, such as THWC, NTHWC or TNHWC; never guessed")
    reading.add_argument(
        "--stream", type=int, metavar="N", help="which video of a file with several, from 0; default: its default one"
    )
    reading.add_argument("--key", help="name of the array in npz and h5 files with several")


def add_labels(parser: argparse.ArgumentParser) -> None:
    """Add who owns a pixel."""
    parser.add_argument(
        "--labels",
        choices=("responsibility", "masks"),
        default="responsibility",
        help="who owns a pixel that was seen: the slot that explains it best, or that with the largest mask, as most "
        "papers score; pixels of predicted frames, and of models that read masks off the frame, always belong to the "
        "largest mask; default: %(default)s",
    )


def add_background(parser: argparse.ArgumentParser) -> None:
    """Add the picture of the empty scene."""
    parser.add_argument(
        "--background",
        metavar="PICTURE",
        help="the empty scene as `scenewise background` writes it, for models that draw over it; default: the emptiest "
        "picture of each video, of a camera that of what it has shown so far; or the model's where that shows the same "
        "scene",
    )


class FormatNames:
    """What can be written, read from the registry when help is printed and no earlier."""

    def __str__(self) -> str:
        from scenewise.decompose.export.base import FORMATS

        return "; ".join(f"{name} ({FORMATS.get(name).files})" for name in FORMATS.names())


def add_writing(parser: argparse.ArgumentParser) -> None:
    """Add where results go."""
    parser.add_argument("--out", required=True, metavar="DIR", help="results go to DIR/<name of the input>/")
    parser.add_argument("--overwrite", action="store_true", help="replace results that are there")
    add_formats(parser)


def add_formats(parser: argparse.ArgumentParser) -> None:
    """Add what is written, and the seed it depends on."""
    formats = parser.add_argument(
        "--formats", metavar="A,B,...", help="what to write, all by default: %(writers)s; run.json is always written"
    )
    formats.writers = FormatNames()  # type: ignore[attr-defined]  # argparse fills attributes of an option in
    parser.add_argument("--seed", type=int, default=0, help="seed of the posterior noise; default: %(default)s")


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Add the split and the settings of a data source."""
    parser.add_argument("--split", default="test", choices=("train", "validation", "test"), help="default: %(default)s")
    add_settings(parser, "settings of the source, such as frames=20 max_balls=6")


def add_settings(parser: argparse.ArgumentParser, meaning: str) -> None:
    """Add `--set`, which may be given several times."""
    parser.add_argument(
        "--set", dest="settings", action="extend", nargs="+", default=[], metavar="KEY=VALUE", help=meaning
    )


def numbers(text: str | None, option: str, *counts: int) -> tuple[int, ...] | None:
    """Return whole numbers separated by commas (or x), None where nothing was given.

    Args:
        text: Such as "0,0,64,64".
        option: Its name, for messages.
        *counts: How many there may be.

    Raises:
        InputError: Something else was given.
    """
    if text is None:
        return None
    parts = text.replace("x", ",").split(",")
    counts_text = " or ".join(map(str, counts))
    try:
        values = tuple(int(part) for part in parts)
    except ValueError:
        raise InputError(option, f"expected {counts_text} whole numbers with commas; found {text!r}.") from None
    if len(values) not in counts:
        raise InputError(option, f"expected {counts_text} numbers with commas; found {text!r}.")
    return values


def check_range(option: str, value: int, low: int, high: int) -> None:
    """Check a whole number.

    Raises:
        InputError: It is outside.
    """
    if not low <= value <= high:
        raise InputError(option, f"must lie in [{low}, {high}]; found {shortened(value)}.")


def check_seed(seed: int, option: str = "--seed") -> None:
    """Check that a seed is one that random generators take.

    Raises:
        InputError: It is negative or has more than 63 bits.
    """
    if not 0 <= seed < 1 << 63:
        raise InputError(option, f"must lie in [0, 2**63 - 1]; found {shortened(seed)}.", "Choose one of them.")


def words(text: str | None) -> list[str] | None:
    """Return words separated by commas, None where nothing was given."""
    return None if text is None else [word.strip() for word in text.split(",") if word.strip()]


def request(args: argparse.Namespace, *options: str) -> Request:
    """Return what is asked of the model.

    Args:
        args: Parsed options.
        *options: Those that the verb has; a render's `--observe`, for one, is something else than a request's.

    Raises:
        InputError: An option is malformed or out of range.
    """
    from scenewise.decompose.result import Request

    values = {name: getattr(args, name) for name in options}
    sides = numbers(values.pop("size", None), "--size", 1, 2)
    try:
        return Request(None if sides is None else (sides * 2)[:2], **values)  # type: ignore[arg-type]
    except InputError as error:
        raise InputError(f"--{error.subject}", error.problem, error.remedy) from None


def reading(args: argparse.Namespace) -> dict[str, object]:
    """Return the options of `read_videos` that were given, but for the size.

    Raises:
        InputError: One of the options that say what to read is malformed or out of range.
    """
    from scenewise.media.reader import Selection

    crop = numbers(args.crop, "--crop", 4)
    Selection(None, crop, args.every, args.start, args.stop, stream=args.stream)  # type: ignore[arg-type]
    return {
        "crop": crop,
        "every": args.every,
        "start": args.start,
        "stop": args.stop,
        "layout": args.layout,
        "key": args.key,
        "stream": args.stream,
    }


# -- data sources that words name ------------------------------------------------------------------------------------


def named_source(text: str, settings: Sequence[str] = ()) -> tuple[str, dict[str, Any]]:
    """Return the registered name of a data source and its settings.

    Args:
        text: A registered name, or the path of what a registered source recognises (the first by name); any other
            folder is one of frame folders, any other file a video.
        settings: Words `key=value`.

    Raises:
        InputError: There is no such source.
    """
    from scenewise.config import nest
    from scenewise.data import SOURCES

    values: dict[str, Any] = nest(settings, "--set")
    path = Path(text)
    if text in SOURCES.names() or not path.exists():
        SOURCES.get(text)
        return text, values
    source_name = next((name for name in SOURCES.names() if SOURCES.get(name).source_class.recognises(path)), None)
    if source_name is None and path.is_file():
        return "footage", {"files": [text], **values}
    return source_name or "folders", {"path": text, **values}


def open_source(text: str, split: str, settings: Sequence[str] = (), channels: int | None = None) -> Source:
    """Return a data source.

    Args:
        text: As of `named_source`.
        split: "train", "validation" or "test".
        settings: Words `key=value`.
        channels: Channels that frames should have; a source with a setting for them is asked for so many.

    Raises:
        InputError: There is no such source, a setting is wrong, or sets other channels.
    """
    from scenewise.data import SOURCES

    name, values = named_source(text, settings)
    source: Source = SOURCES.get(name).make(split, values)
    if channels is None or source.facts.channels == channels:
        return source
    other: Source | None = None
    if "channels" in {field.name for field in fields(source.config_class)}:
        with suppress(InputError):
            other = SOURCES.get(name).make(split, {**values, "channels": channels})
    fits = other is not None and other.facts.channels == channels
    if other is not None and fits and "channels" not in values:
        return other
    problem = f"its frames have {source.facts.channels} channels; the model takes {channels}."
    remedy = f"Leave out channels={values['channels']}." if fits else "Use other data or another model."
    raise InputError(text, problem, remedy)


def numbered(text: str) -> tuple[str, int] | None:
    """Return SOURCE and INDEX of `SOURCE#INDEX`, None where it is nothing of the kind."""
    name, mark, number = text.rpartition("#")
    is_number = mark and number.isascii() and number.isdecimal() and len(number) < 19
    return (name, int(number)) if is_number and not Path(text).exists() else None


def source_video(text: str, split: str | None = None) -> tuple[Any, str, tuple[int, ...]] | None:
    """Return the sample that `SOURCE#INDEX` names, a name for it, and its background ids; None where it names none.

    Without a split it is that of the folder where SOURCE is the folder of one split, else "test".

    Raises:
        InputError: It names a source that is not there, or an index beyond its end.
    """
    from scenewise.data.shards.reader import made_split

    match = numbered(text)
    if match is None:
        return None
    name, index = match
    if split is None and named_source(name)[0] == "made":
        split = made_split(Path(name))
    source = open_source(name, split or "test")
    if index >= len(source):
        raise InputError(text, f"the source has videos 0 to {len(source) - 1}.", "Give a smaller number.")
    return source.sample(index), f"{Path(name).stem}-{index}", source.facts.background_ids
