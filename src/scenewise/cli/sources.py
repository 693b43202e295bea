"""From what a user types to a data source or to videos."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenewise.errors import InputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from scenewise.data.contract import Source


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Add the split and the settings of a data source."""
    parser.add_argument("--split", default="test", choices=("train", "validation", "test"), help="default: %(default)s")
    add_settings(parser, "settings of the source, such as frames=20 max_balls=6")


def add_settings(parser: argparse.ArgumentParser, meaning: str) -> None:
    """Add `--set`, which may be given several times."""
    parser.add_argument(
        "--set", dest="settings", action="extend", nargs="+", default=[], metavar="KEY=VALUE", help=meaning
    )


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
