"""HDF5 files and their arrays, checked before anything is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scenewise.errors import InputError
from scenewise.media.files import reading


def open_h5(path: str) -> Any:
    """Open an HDF5 file for reading.

    Raises:
        InputError: It is missing, damaged or no HDF5 file.
    """
    import h5py

    if not Path(path).is_file():
        raise InputError(path, "no such file.", "Check the path.")
    with reading(path, "an HDF5 file", "It may be incomplete; get or copy it again."):
        return h5py.File(path, "r")


def h5_array(path: object, group: Any, name: str, layout: str) -> Any:
    """Return an array of an HDF5 file or group without reading it.

    Raises:
        InputError: There is none of that name; the message lists what there is.
    """
    import h5py

    array = group.get(name)
    if not isinstance(array, h5py.Dataset):
        names = ", ".join(group) or "nothing"
        raise InputError(
            path, f"expected array {group.name.rstrip('/')}/{name}, found {names}.", f"Expected is {layout}."
        )
    return array
