"""HDF5 files are gone over once, and again when they have changed."""

import h5py
import numpy as np
import pytest

from scenewise.errors import InputError
from scenewise.media import hdf5


@pytest.fixture
def file(tmp_path):
    """A file of 40 data sets in groups, two of which are one."""
    with h5py.File(tmp_path / "data.h5", "w") as file:
        for number in range(40):
            file[f"group{number % 3}/part{number}"] = np.full((2, 4), number, np.uint8)
        file["again"] = file["group0/part0"]
        file["soft"] = h5py.SoftLink("/group1/part1")
        file["nowhere"] = h5py.SoftLink("/not/there")
        file["group0/up"] = file["/"]
    return tmp_path / "data.h5"


@pytest.fixture
def checks(monkeypatch):
    """Counts the data sets that are looked at."""
    names, check = [], hdf5.check_handle
    monkeypatch.setattr(hdf5, "check_handle", lambda path, name, *more: (names.append(name), check(path, name, *more)))
    return names


def test_every_data_set_is_looked_at_once(file, checks):
    with hdf5.open_h5(file) as opened:
        assert opened["group2/part5"][0, 0] == 5
    assert {name for name in checks if "part" in name} == {f"group{number % 3}/part{number}" for number in range(40)}
    count = len(checks)
    hdf5.open_h5(file).close()
    assert len(checks) == count


@pytest.mark.parametrize("kind", ["link", "external", "virtual", "empty"])
def test_a_file_that_has_changed_is_looked_at_again(file, tmp_path, kind):
    hdf5.open_h5(file).close()
    (tmp_path / "secret").write_bytes(b"secret bytes" * 10)
    with h5py.File(file, "r+") as opened:
        if kind == "link":
            opened["group1/out"] = h5py.ExternalLink("other.h5", "/frames")
        elif kind == "external":
            place = (str(tmp_path / "secret"), 0, 100)
            opened.create_dataset("group1/out", (100,), "u1", external=[place])
        elif kind == "virtual":
            layout = h5py.VirtualLayout((4,), "u1")
            layout[:] = h5py.VirtualSource("other.h5", "frames", (4,))
            opened.create_virtual_dataset("group1/out", layout)
        else:
            opened["group1/out"] = h5py.Empty("u1")
    for _ in range(2):  # a refusal is not forgotten
        with pytest.raises(InputError, match="/group1/out"):
            hdf5.open_h5(file)
