"""scenewise view: look at a model at work, and play with it, on a page in the browser."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenewise.cli import exploring, options, output, threads
from scenewise.cli.options import add_source_options, numbered
from scenewise.cli.output import say
from scenewise.errors import InputError, printable
from scenewise.model_folders import CONFIG, find, shipped, written_config

if TYPE_CHECKING:
    from scenewise.decompose import Decomposer
    from scenewise.explore import Exploration
    from scenewise.media.reader import VideoReader
    from scenewise.viewer.desk import Desk
    from scenewise.viewer.opening import Opening

EXAMPLE = """examples:
  scenewise view clip.mp4
  scenewise view balls-colour#3 --model iodine-balls-colour
  scenewise view mulmon-cle-mv                       (a model alone: a video of the kind it was made for)
  scenewise view runs/clip                           (a training run: curves and pictures as they come)
  scenewise view out/clip                            (a folder of results: the same video under the same model)
  scenewise view camera:0                            (or an address, rtsp://HOST/PATH: the newest frame, as it comes)
  scenewise view long.mp4 --engine openvino          (frames about twice as fast; decodes are made when looked at)
  scenewise view clip.mp4 --host 0.0.0.0             (other machines may look: the address holds a token)

The page is for this machine alone unless --host says otherwise. Ctrl-C ends."""

_OF_VIEWS = ("mulmon-cle-mv",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "input",
        metavar="INPUT",
        help="a video, a folder of frames, an array or an image, SOURCE#INDEX, a model, a folder of results or the "
        "folder of a training run",
    )
    options.add_model(parser, default=None)
    for action in parser._actions:
        if action.dest == "model":
            action.required = False
    parser.add_argument("--seed", type=int, default=0, help="seed of the posterior noise; default: %(default)s")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen; default: %(default)s, this machine alone")
    parser.add_argument("--port", type=int, default=8765, help="0 for any that is free; default: %(default)s")
    parser.add_argument("--open", action="store_true", help="open the page in the default browser")
    options.add_background(parser)
    options.add_engine(parser)
    options.add_reading(parser, size=None)
    add_source_options(parser)


def run(args: argparse.Namespace) -> int:
    """Serve the page until interrupted."""
    options.request(args, "slots", "refinements", "seed")
    options.reading(args)
    from scenewise.viewer.server import Place, serve

    place = Place.of(args.host, args.port)
    opening = opening_of(args)
    if opening.video is None:  # nothing can be shown before the model is there, but what is wrong can be said
        opening.desk()

    def ready(address: str) -> None:
        say(f"{opening.title}: {address}")
        output.announce({"title": opening.title, "address": address})
        if place.token is not None:
            say("  Whoever has this address can look; it goes unencrypted. Ctrl-C ends.")
        if args.open:
            import webbrowser

            webbrowser.open(address)

    serve(opening, place, ready)
    return 0


@dataclass(frozen=True)
class Subject:
    """What the words of the command name.

    Attributes:
        title: Heading of the page.
        video: What is looked at: a path, `SOURCE#INDEX` or a stream.
        model: Its name or folder.
        run: Folder of a training run, whose own model and videos are looked at; None where it is none.
    """

    title: str
    video: str
    model: str
    run: Path | None = None

    @classmethod
    def of(cls, text: str, model: str | None) -> Subject:
        """Return what an input names together with a model, where one is named.

        Raises:
            InputError: It is a folder of results that does not say what it is about, or a model of unknown data.
        """
        from scenewise.viewer.runs import is_run

        folder = Path(text)
        if is_run(folder) and model is None:
            return cls(printable(folder.name or text), "", "", folder)
        if (folder / "run.json").is_file():
            text, model = _of_results(folder, model)
        elif model is None and (text in shipped() or (folder / CONFIG).is_file()):
            model, text = text, _example(text)
        title = text if numbered(text) else printable(Path(text).name)
        return cls(title, text, model or options.DEFAULT_MODEL)


def opening_of(args: argparse.Namespace) -> Opening:
    """Check what can be checked without torch, and return what opens the rest.

    Raises:
        InputError: The input or the model cannot be used.
    """
    from scenewise.viewer.opening import Opening

    subject = Subject.of(args.input, args.model)
    return Opening(subject.title, partial(open_desk, args, subject), _source(args, subject))


def _source(args: argparse.Namespace, subject: Subject) -> VideoReader | None:
    """Return what reads the video itself, as the model will; None for what is no file, or no video to the eye."""
    if subject.run is not None:
        return None
    card = written_config(find(subject.model))["card"]
    if not Path(subject.video).exists():
        return None
    from scenewise.decompose.clip import TrainedPart, in_trained_part
    from scenewise.media import read_videos

    try:
        readers = read_videos(subject.video, **options.reading(args))  # type: ignore[arg-type]
        part = TrainedPart.of(card)
        return in_trained_part(readers[0], {}, part)[0] if len(readers) == 1 else None
    except InputError:  # told when the model is there, which may read it otherwise
        return None


def open_desk(args: argparse.Namespace, subject: Subject) -> Desk:
    """Open what was named.

    Raises:
        InputError: It cannot be opened.
    """
    import scenewise as sw
    from scenewise.viewer.desk import Desk

    if subject.run is not None:
        return Desk(_of_run(args, subject.run), subject.title, None, (), subject.run)
    decomposer = _engaged(sw.load(subject.model, args.device), args.engine)
    options.tell_untried(args, decomposer)
    threads.choose(decomposer)

    def under(other: Decomposer) -> Exploration:
        background = args.background if other is decomposer or other.model.takes_background else None
        words = argparse.Namespace(**{**vars(args), "background": background})
        exploration = exploring.open_exploration(words, other, subject.video)
        if args.engine == "auto":
            other.use_for(exploration.length)
        return exploration

    exploration = under(decomposer)

    def open_other(name: str) -> Exploration:
        return under(_engaged(sw.load(name, args.device), args.engine))

    alone = decomposer.model.viewpoint_size is not None or exploration.length is None  # views, or a camera
    others = () if alone else tuple(name for name in shipped() if name not in (decomposer.name, *_OF_VIEWS))
    return Desk(exploration, subject.title, open_other, others, None)


def _engaged(decomposer: Decomposer, engine: str) -> Decomposer:
    """Let the engine that was asked for explain a model's frames; "auto" is chosen once the video's length is known."""
    return decomposer if engine == "auto" else decomposer.use(engine)


def _example(model: str) -> str:
    """Return a sample of the source that a model learned from.

    Raises:
        InputError: That is none that has a name.
    """
    from scenewise.data.contract import DESCRIPTIONS, SOURCES

    source = str(written_config(find(model))["card"].get("data", "")).partition(" ")[0]
    if source not in SOURCES.names() or DESCRIPTIONS[source].kind != "generated":
        remedy = "Add a video: scenewise view VIDEO --model MODEL"
        raise InputError(model, "is a model; what should it look at?", remedy)
    return f"{source}#3"


def _of_run(args: argparse.Namespace, folder: Path) -> Exploration | None:
    """Return the newest model of a run over a validation video of its recipe, None where there is none yet."""
    import scenewise as sw
    from scenewise.training.folder import RunFolder

    models = [path for path in (folder / "model", folder / "best") if (path / "config.json").is_file()]
    if not models:
        return None
    decomposer = _engaged(sw.load(str(models[0]), args.device), args.engine)
    threads.choose(decomposer)
    recipe = RunFolder(folder).recipe().final
    try:
        from scenewise.data import SOURCES
        from scenewise.explore import VideoExploration

        source = SOURCES.get(recipe.data.source).make("validation", dict(recipe.data.settings))
        if decomposer.model.viewpoint_size is not None:
            return None
        return VideoExploration.of(decomposer, source.sample(0), name=folder.name)
    except InputError as error:
        say(f"note: {error.line()}")
        return None


def _of_results(folder: Path, model: str | None) -> tuple[str, str]:
    """Return which video and model a folder of results is about.

    Raises:
        InputError: Its record does not say.
    """
    from scenewise.media.files import read_json

    remedy = "Name both: scenewise view VIDEO --model MODEL"
    record = read_json(folder / "run.json", "the record of a decomposed video", remedy)
    settings = _mapping(_mapping(record).get("settings"))
    facts = _mapping(settings.get("model"))
    origin, name, path = _mapping(settings.get("input")).get("origin"), facts.get("name"), facts.get("path")
    if not isinstance(origin, str) or not isinstance(name, str):
        raise InputError(folder, "does not say which video and model it is about.", remedy)
    return origin, model or (name if name in shipped() else str(path))


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
