"""What holds for all generated sources: bytes that never change, and the same videos made together or alone."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util

import numpy as np
import pytest

from scenewise.data import SOURCES
from scenewise.data.shards.check import same
from scenewise.data.shards.speed import generated

SCENES = ("cle-mv", "clevr", "clevr6", "clevrer", "dolphin", "objects-room")
"""Sources, and beginnings of the names of sources, that MuJoCo's ray caster draws."""

MUJOCO = "4.0.0"
"""The release the hashes below were taken with; others may differ in last bits."""

SHORT = {
    "clevrer": {"frames": 12, "trim": 0, "max_objects": 6},  # as before the test split was trimmed
    "clevrer6": {"trim": 8},
    "cle-mv": {"frames": 3, "min_objects": 3, "max_objects": 6},  # as before the background was one of 3 to 6
    "dolphin": {"frames": 3, "min_objects": 3, "max_objects": 6},
}

TOGETHER = {
    "multi-dsprites": {"min_sprites": 0, "min_visible": 20},
    "multi-dsprites-binarized": {},
    "multi-dsprites-coloured": {"antialias": False},
    "tetrominoes": {"min_pieces": 1},
    "shapes": {"min_shapes": 1, "max_shapes": 5},
    "textured-mnist": {"min_digits": 1, "max_digits": 3},
    "textured-mnist-waves": {},
    "moving-sprites": {"min_visible": 20, "max_spin": 0.1},
    "balls": {"frames": 5, "min_balls": 1, "max_balls": 6},
    "balls-binary": {"frames": 5},
    "balls-binary-678": {"frames": 5},
    "balls-colour": {"frames": 5},
    "balls-colour8": {"frames": 5},
    "balls-colour-678": {"frames": 5},
    "balls-curtain": {"frames": 5},
    "ddpae-balls": {"frames": 5, "size": 32},
    "crowd": {"frames": 3, "min_people": 0, "max_people": 6},
    "avenue": {"frames": 3, "size": 32},
    "moving-mnist": {"frames": 5},
    "moving-mnist-colour": {"frames": 5},
}
"""Sources in two dimensions with settings under which videos of one batch differ in what is there."""


def flat(name):
    return not name.startswith(SCENES)


def test_every_source_is_tested_here():
    assert set(GOLDEN) == set(generated())
    assert set(TOGETHER) == set(filter(flat, generated()))


@pytest.mark.parametrize("name", TOGETHER)
def test_videos_made_together_are_those_made_alone(name):
    source = SOURCES.get(name)("test", **TOGETHER[name])
    indices = [7, 0, 300, *range(10, 80)]
    together = source.samples(indices)
    assert len(together) == len(indices)
    for row in (0, 1, 2, *range(3, len(indices), 6)):  # from all of the parts that are drawn at once
        assert same(together[row], source.sample(indices[row]))
    frames, ids = source.batch(indices)
    assert np.array_equal(frames, np.stack([sample.frames for sample in together]))
    assert np.array_equal(ids, np.stack([sample.ids for sample in together]))
    assert source.samples([]) == []
    with pytest.raises(IndexError):
        source.samples([0, len(source)])


def digest(sample):
    made = hashlib.sha256(sample.frames.tobytes())
    made.update(sample.ids.astype(np.int8).tobytes())
    return made.hexdigest()[:12]


def skip_with_another_mujoco():
    installed = importlib.metadata.version("mujoco") if importlib.util.find_spec("mujoco") else "none"
    if installed != MUJOCO:
        pytest.skip(f"hashes were taken with mujoco {MUJOCO}, installed is {installed}")


@pytest.mark.parametrize(
    ("name", "split", "settings", "expected"),
    [
        ("clevrer", "train", {"frames": 12}, "817bfb663990 5d12650864cf 252a2eb47626"),
        ("clevrer", "test", {}, "47985cb82315 e72421e35d51 2a78893f8259"),
        ("cle-mv", "test", {"frames": 3}, "b13169361b53 f9d7a425e055 cb80cee26c48"),
        ("dolphin", "test", {"frames": 3}, "a31cf0566627 0050ecaa50a0 9862f39b4857"),
    ],
)
def test_ready_sources_that_once_were_others(name, split, settings, expected):
    skip_with_another_mujoco()
    source = SOURCES.get(name)(split, seed=3, **settings)
    assert [digest(source.sample(index)) for index in range(3)] == expected.split()


@pytest.mark.parametrize("name", generated())
def test_videos_never_change(name):
    if not flat(name):
        skip_with_another_mujoco()
    source = SOURCES.get(name)("test", seed=3, **SHORT.get(name, {}))
    assert [digest(source.sample(index)) for index in range(3)] == GOLDEN[name].split()


GOLDEN = {
    "avenue": "ca39becac277 3fea8428d557 f5c4a72b98f8",
    "balls": "3d79091a20bf 35c15ecea191 65ae58d67be8",
    "balls-binary": "123a0da47c15 27da9ccc1dcf 746eeea3a877",
    "balls-binary-678": "ac43cff93614 90b26003f9e7 f4273234bcf8",
    "balls-colour": "3d79091a20bf 35c15ecea191 65ae58d67be8",
    "balls-colour-678": "9459078d042a f074de5eee53 1b7222ed1a2d",
    "balls-colour8": "3d79091a20bf 35c15ecea191 65ae58d67be8",
    "balls-curtain": "976970232e2d dc94ab98bbcf b7085d59cd30",
    "cle-mv": "34a3bcab8b94 2e2d2aed3841 9639b2b13f9f",
    "clevr": "f9be68f24f28 7e15779bb0e4 062d2b0a0bdb",
    "clevr6": "f9be68f24f28 d87dda7019c0 d861486fc281",
    "clevrer": "07629f04962e 29648f253058 3d65ea76f096",
    "clevrer6": "dc4fd6c67ec1 849504ba82d6 8ad305230eec",
    "crowd": "097e454edfe2 fa911d4f640f 22a41b525024",
    "ddpae-balls": "1d7333f95093 a968dc0831d6 d01ecfd59d22",
    "dolphin": "833fd3fc84c1 ea201e9778e9 db49be19463e",
    "moving-mnist": "ab106a8d62de 2bc6c94df951 a37ec3a4c7f2",
    "moving-mnist-colour": "a6f62be5d265 97741b826fdd 8498b1efd95d",
    "moving-sprites": "e43034aa2cf2 2de794776dba 04a37a6a44e1",
    "multi-dsprites": "342e961dfb3e 1ab2d3e82668 e55467010db2",
    "multi-dsprites-binarized": "46edf8a21a18 7c41991d80ca 79209aa0a2fd",
    "multi-dsprites-coloured": "ccd35bf527ff 0b26cc7383af 7cff4561d2c1",
    "objects-room": "ad8099122685 8be034e84a0a 4ab0145af1af",
    "objects-room-empty": "842f1e262414 e07c434b6d27 94fdb7734995",
    "objects-room-identical": "febf89efdbeb 8d5b2fbdafb9 0454847c4812",
    "objects-room-six": "435fca73ec87 5f1b8370c375 d67f299567bf",
    "shapes": "3fb0a117a5b4 f46afa6780a7 04b2d39a8620",
    "tetrominoes": "18c2a3d6426c 37bc1956b9a0 a3018ac95ef1",
    "textured-mnist": "99fcbb48cfb5 f12b4050ba03 cc85bdfad361",
    "textured-mnist-waves": "1f7243d6cabf f0a2e5e00002 0fc5d6e88057",
}
