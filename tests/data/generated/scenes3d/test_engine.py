"""Sources of scenes in three dimensions say what to install where MuJoCo is missing; runs without it, too."""

from __future__ import annotations

import sys

import pytest

from scenewise.data import DESCRIPTIONS, SOURCES
from scenewise.errors import InputError

NAMES = [name for name in SOURCES.names() if "(needs mujoco)" in DESCRIPTIONS[name].what]


def test_all_sources_in_three_dimensions_say_that_they_need_mujoco():
    assert {"clevr", "clevr6", "clevrer", "cle-mv", "dolphin", "objects-room"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_names_the_remedy_where_mujoco_is_missing(monkeypatch, name):
    monkeypatch.setitem(sys.modules, "mujoco", None)
    source = SOURCES.get(name)()
    with pytest.raises(InputError, match=r'mujoco.*not installed.*pip install "scenewise\[scenes3d\]"'):
        source.sample(0)
    with pytest.raises(InputError, match="not installed"):
        source.batch([0, 1])
