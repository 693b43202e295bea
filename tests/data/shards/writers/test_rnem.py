"""R-NEM's layout as it is written; tests of the reader read it back bit for bit."""

from __future__ import annotations

import h5py
import pytest

from scenewise.data import SOURCES
from scenewise.data.shards.writers.rnem import write_rnem
from scenewise.errors import InputError


def test_written_file_keeps_the_published_layout(tmp_path):
    path = write_rnem(tmp_path / "b.h5", {"train": SOURCES.get("balls-binary")("train")}, {"train": 2})
    with h5py.File(path) as file:
        shapes = {name: array.shape for name, array in file["training"].items()}
        assert file["training/features"].dtype == bool
    image = (51, 2, 64, 64, 1)
    assert shapes == {
        "features": image,
        "groups": image,
        "collisions": image,
        "events": (51, 2, 1, 1, 1),
        "positions": (51, 2, 4, 2),
        "velocities": (51, 2, 4, 2),
    }


def test_writer_leaves_nothing_behind_when_it_cannot_finish(tmp_path, monkeypatch):
    source = SOURCES.get("balls-binary")("test", frames=2)
    kept = tmp_path / "kept.h5"
    kept.write_bytes(b"mine")
    with pytest.raises(InputError, match="exists"):
        write_rnem(kept, {"test": source}, {"test": 1})
    with pytest.raises(InputError, match="folder"):
        write_rnem(tmp_path / "no" / "x.h5", {"test": source}, {"test": 1})
    with pytest.raises(InputError, match="10000"):
        write_rnem(tmp_path / "y.h5", {"test": source}, {"test": 10_001})

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(source), "make", fail)
    with pytest.raises(InputError, match="no space"):
        write_rnem(kept, {"test": source}, {"test": 1}, overwrite=True)
    assert kept.read_bytes() == b"mine"
    assert [p.name for p in tmp_path.iterdir()] == ["kept.h5"]
