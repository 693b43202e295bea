"""From what a user types to a data source or to videos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenewise.errors import InputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from scenewise.data.contract import Source

_H5 = (".h5", ".hdf5")


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
        text: A registered name, an HDF5 file of the R-NEM layout, a folder that `scenewise data make` wrote, MulMON's
            packaged or raw folder or its JSON file, a folder of frame folders, or a video file.
        settings: Words `key=value`.

    Raises:
        InputError: There is no such source.
    """
    from scenewise.config import nest
    from scenewise.data import SOURCES
    from scenewise.data.readers.mulmon import is_mulmon
    from scenewise.data.shards.reader import is_made_folder

    values: dict[str, Any] = nest(settings, "--set")
    path = Path(text)
    if text in SOURCES.names() or not path.exists():
        SOURCES.get(text)
        return text, values
    if path.suffix.lower() in _H5:
        return "rnem-h5", {"path": text, **values}
    if not is_made_folder(path) and is_mulmon(path):
        return "mulmon", {"path": text, **values}
    if path.is_dir():
        return "made" if is_made_folder(path) else "folders", {"path": text, **values}
    return "footage", {"files": [text], **values}


def open_source(text: str, split: str, settings: Sequence[str] = ()) -> Source:
    """Return a data source.

    Args:
        text: As of `named_source`.
        split: "train", "validation" or "test".
        settings: Words `key=value`.

    Raises:
        InputError: There is no such source, or a setting is wrong.
    """
    from scenewise.data import SOURCES

    name, values = named_source(text, settings)
    source: Source = SOURCES.get(name)(split=split, **values)
    return source


def numbered(text: str) -> tuple[str, int] | None:
    """Return SOURCE and INDEX of `SOURCE#INDEX`, None where it is nothing of the kind."""
    name, mark, number = text.rpartition("#")
    return None if not mark or not number.isdigit() or Path(text).exists() else (name, int(number))


def source_video(text: str, split: str | None = None) -> tuple[Any, str, tuple[int, ...]] | None:
    """Return the sample that `SOURCE#INDEX` names, a name for it, and its background ids; None where it names none.

    Without a split it is that of the folder where SOURCE is the folder of one split, else "test".

    Raises:
        InputError: It names a source that is not there, or an index beyond its end.
    """
    from scenewise.data.shards.reader import made_split

    found = numbered(text)
    if found is None:
        return None
    name, index = found
    source = open_source(name, split or made_split(Path(name)) or "test")
    if index >= len(source):
        raise InputError(text, f"the source has videos 0 to {len(source) - 1}.", "Give a smaller number.")
    return source.sample(index), f"{Path(name).stem}-{index}", source.facts.background_ids
