"""Arrays of HDF5 files, checked before anything is read."""

from __future__ import annotations

from typing import Any

from scenewise.errors import InputError
from scenewise.media.hdf5 import check_filters


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
    check_filters(path, array)
    return array
