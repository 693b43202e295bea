"""The registry of formats: which there are, and which the name of a file says."""

from __future__ import annotations

from pathlib import Path

import pytest

from scenewise.data.shards.layouts import LAYOUTS
from scenewise.data.shards.writers.base import DEFAULT, WRITERS, WriteRequest, format_of
from scenewise.errors import InputError


def test_all_formats_are_registered_with_what_they_write():
    assert set(WRITERS.names()) == {*LAYOUTS, "h5", "png", "mp4", "mulmon", "mulmon-raw", "mnist-test-seq"}
    assert all(WRITERS.get(name).what for name in WRITERS.names())
    assert {name for name in WRITERS.names() if WRITERS.get(name).sharded} == set(LAYOUTS)


@pytest.mark.parametrize(("name", "expected"), [("a.h5", "h5"), ("a.HDF5", "h5"), ("a", "npy"), ("a.npy", "npy")])
def test_the_name_of_a_file_may_say_the_format(name, expected):
    assert format_of(Path(name)) == expected
    assert DEFAULT == "npy"


def test_other_formats_are_refused_with_the_nearest_name():
    with pytest.raises(InputError, match=r"jpg: is not a format"):
        WRITERS.get("jpg")


def test_more_videos_than_there_are():
    request = WriteRequest("balls", "test", 10_001, label="my balls")
    with pytest.raises(InputError, match="my balls has 10000 videos; found 10001"):
        request.open()
    assert WriteRequest("balls", "test", 10_000, {"frames": 2}).open().facts.frames == 2


@pytest.mark.parametrize("name", WRITERS.names())
def test_every_format_tells_how_far_it_is_and_leaves_nothing_hidden(tmp_path, name):
    source = {"mnist-test-seq": "moving-mnist", "mulmon": "cle-mv", "mulmon-raw": "cle-mv"}.get(name, "balls")
    if source == "cle-mv":
        pytest.importorskip("mujoco", reason="needs mujoco: pip install 'scenewise[scenes3d]'")
    settings = {} if source == "moving-mnist" else {"frames": 2, "size": 16 if source == "cle-mv" else 32}
    told = []
    request = WriteRequest(source, "test", 2, settings, source)
    WRITERS.get(name).write(request, tmp_path / "out", lambda done, total: told.append((done, total)), lambda: False)
    assert (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert told[-1] == (2, 2)
