"""What every source has without saying it, how one is made from what a user types, and what is known of objects."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from scenewise.config import setting
from scenewise.data import DESCRIPTIONS, SOURCES, Description, Facts, Sample, Source, register_source
from scenewise.data.contract import NoConfig, ObjectKeys, Objects, SourceMaker
from scenewise.data.shards.reader import MadeSource
from scenewise.data.shards.writer import make, make_plan
from scenewise.errors import InputError


@dataclass(frozen=True)
class CountingConfig:
    step: int = setting(1, "what a frame is brighter by than the one before", minimum=0)
    ids: bool = setting(True, "know objects")


class Counting(Source):
    """Six videos of four frames, 2 x 3, whose first frame shows the video's number."""

    config_class = CountingConfig
    default_split: ClassVar[str] = "test"

    def __init__(self, config, split):
        self.config, self.split = config, split
        self.facts = Facts(1, (2, 3), 4, 1, has_ids=config.ids)

    def __len__(self):
        return 6

    def sample(self, index, start=0, frames=None):
        values = (index + self.config.step * np.arange(4))[start : None if frames is None else start + frames]
        drawn = np.broadcast_to(values[:, None, None, None], (len(values), 1, 2, 3)).astype(np.uint8)
        return Sample(drawn, drawn[:, 0] % 2 if self.config.ids else None)

    def fingerprint(self):
        return "counting"


@pytest.fixture
def counting(monkeypatch):
    with SOURCES.trial():
        monkeypatch.setattr("scenewise.data.contract.DESCRIPTIONS", dict(DESCRIPTIONS))
        register_source("counting", Description("numbers", "generated"))(Counting)
        register_source("counting-fast", Description("numbers", "generated"), {"step": 5})(Counting)
        yield SOURCES


def test_many_videos_are_those_made_one_by_one():
    source = Counting(CountingConfig(step=2), "test")
    assert [sample.frames[:, 0, 0, 0].tolist() for sample in source.samples([3, 0])] == [[3, 5, 7, 9], [0, 2, 4, 6]]
    frames, ids = source.batch([3, 0], 1, 2)
    assert frames.shape == (2, 2, 1, 2, 3)
    assert frames[:, :, 0, 0, 0].tolist() == [[5, 7], [2, 4]]
    assert ids.shape == (2, 2, 2, 3)
    assert ids[:, :, 0, 0].tolist() == [[1, 1], [0, 0]]
    assert not source.together
    assert source.at_once == 1


def test_ids_are_background_where_there_are_none():
    _, ids = Counting(CountingConfig(ids=False), "test").batch([3, 0])
    assert ids.shape == (2, 4, 2, 3)
    assert not ids.any()


def test_ready_settings_hold_where_nothing_else_is_said(counting):
    plain, fast = counting.get("counting"), counting.get("counting-fast")
    assert isinstance(plain, SourceMaker)
    assert plain().config.step == 1
    assert fast().config.step == 5
    assert fast("train", step=3).config.step == 3
    assert (fast().split, fast("train").split) == ("test", "train")
    with pytest.raises(InputError, match=r"source counting-fast.*steps.*step.*ids"):
        fast(steps=2, ids=3)


class Plain(Counting):
    """The same without settings."""

    config_class = Source.config_class

    def __init__(self, config, split):
        assert config == NoConfig()
        super().__init__(CountingConfig(), split)


def test_a_source_may_have_no_settings_but_must_be_a_class(counting):
    register_source("plain", Description("numbers", "generated"))(Plain)
    assert len(counting.get("plain")("test")) == 6
    with pytest.raises(InputError, match="unknown key step"):
        counting.get("plain")(step=2)
    with pytest.raises(TypeError, match="expected a class of sources"):
        register_source("made", Description("numbers", "generated"))(lambda split: Plain(None, split))


def test_a_source_recognises_no_path_unless_it_says_so(tmp_path):
    assert not Counting.recognises(tmp_path)


def test_every_source_has_settings_and_a_name_of_its_own():
    for name in SOURCES.names():
        maker = SOURCES.get(name)
        assert maker.name == name
        assert DESCRIPTIONS[name].what
        known = set(maker.source_class.config_class.__dataclass_fields__)
        assert set(maker.ready) <= known, name


def test_names_of_all_sources_become_the_same():
    extras = {
        "shape": ["cube", "sphere"], "color": ["red", "blue"], "3d_coords": [[1.0, 2.0, 0.7], [3.0, 4.0, 0.7]],
        "rotation": [10.0, 20.0], "depth_orders": [[0, 1]],
    }  # fmt: skip
    objects = SOURCES.get("mulmon").source_class.object_keys.read(extras)
    assert objects.ids.tolist() == [1, 2]
    assert objects.orientation.tolist() == [10, 20]
    found = objects.factors()
    assert list(found) == ["shape", "colour", "x", "y"]
    assert found["colour"].tolist() == ["red", "blue"]
    assert found["x"].tolist() == [1, 3]
    assert found["y"].tolist() == [2, 4]


def test_the_first_key_that_is_there_counts_and_two_arrays_become_one():
    keys = ObjectKeys(size="size|scale", position="columns+rows")
    extras = {"scale": np.array([0.5, 0.25]), "columns": np.array([3, 4]), "rows": np.array([5, 6])}
    objects = keys.read(extras)
    assert objects.size.tolist() == [0.5, 0.25]
    assert objects.position.tolist() == [[3, 5], [4, 6]]
    assert keys.read({**extras, "size": np.array([1, 2])}).size.tolist() == [1, 2]
    assert keys.read({"columns": np.array([3])}) is None
    assert keys.read({}) is None
    assert objects.shape is None


def test_what_is_of_another_form_is_left_out():
    assert ObjectKeys(position="positions").read({"positions": np.zeros(4)}) is None


def test_colours_of_three_numbers_are_ordered_and_numbers_of_kinds_are_not():
    objects = Objects(
        np.array([1]), colour=np.array([[255, 0, 7]], np.uint8), shape=np.array([18]), position=np.array([[0, 3]])
    )
    found = objects.factors()
    assert [found[name].tolist() for name in ("red", "green", "blue")] == [[255], [0], [7]]
    assert found["red"].dtype.kind == found["y"].dtype.kind == "f"
    assert found["shape"].dtype.kind == "i"
    assert Objects(np.array([1]), size=np.array([0.5])).factors()["size"].dtype.kind == "f"
    assert Objects(np.array([1]), size=np.array([2])).factors()["size"].dtype.kind == "i"


def test_places_are_those_of_a_frame_or_of_the_scene():
    objects = Objects(np.array([1]), place=np.array([[1.0, 2.0, 3.0]]), position=np.arange(6.0).reshape(2, 1, 3))
    assert [objects.factors()[axis].item() for axis in "xy"] == [1, 2]
    assert [objects.factors(1)[axis].item() for axis in "xy"] == [3, 4]
    moving = Objects(np.arange(1, 3), position=np.arange(8.0).reshape(2, 2, 2))  # (T, n, 2)
    assert moving.factors(1)["x"].tolist() == [4, 6]
    assert Objects(np.arange(3), visibility=np.ones(3)).factors() == {}


@pytest.mark.parametrize(
    ("extras", "count"),
    [
        ({"shape": np.array(["a", "b"])}, 2),
        ({"visibility": np.ones((5, 3))}, 3),  # (T, n)
        ({"colour": np.zeros((4, 3), np.uint8)}, 4),
        ({"colour": np.zeros((6, 4, 3), np.uint8)}, 4),
        ({"place": np.zeros((6, 2, 3))}, 2),
        ({"amodal": np.zeros((6, 5, 8, 9), bool)}, 5),
        ({"amodal": np.zeros((5, 8, 9), bool)}, 5),
    ],
)
def test_objects_are_counted_whatever_is_known_of_them(extras, count):
    keys = ObjectKeys(**{name: name for name in ("shape", "visibility", "colour", "place", "amodal")})
    assert keys.read(extras).ids.tolist() == list(range(1, count + 1))
    assert keys.read(extras, (0, 1, 2, 3)).ids.tolist() == list(range(4, count + 4))


def test_rows_of_entities_begin_with_the_background():
    keys = ObjectKeys(shape="shape", entities=True)
    assert keys.read({"shape": np.zeros(3, int)}, (0,)).ids.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("name", "known", "place"),
    [
        ("multi-dsprites", ["shape", "size", "red", "green", "blue", "x", "y"], np.mean),
        ("tetrominoes", ["shape", "red", "green", "blue", "x", "y"], np.min),
        ("moving-sprites", ["shape", "size", "red", "green", "blue", "x", "y"], np.mean),
        ("shapes", ["shape", "x", "y"], np.min),
    ],
)
def test_places_of_generated_sources_are_where_ids_are(name, known, place):
    objects = (sample := SOURCES.get(name)(split="test").sample(3)).objects
    found = objects.factors(0)
    assert list(found) == known
    seen = [row for row, i in enumerate(objects.ids) if (sample.ids[0] == i).sum() > 20]
    columns = [place(np.nonzero(sample.ids[0] == objects.ids[row])[1]) for row in seen]
    assert len(seen) > 1
    assert np.argsort(columns).tolist() == np.argsort(found["x"][seen]).tolist()


@pytest.mark.parametrize("name", ["balls", "shapes", "multi-dsprites", "moving-sprites", "moving-mnist"])
def test_made_folders_know_objects_as_their_source_does(tmp_path, name):
    settings = {} if DESCRIPTIONS[name].size.startswith("1 ") else {"frames": 4}
    make(make_plan(name, "test", settings, 3, "npy"), tmp_path)
    source, folder = SOURCES.get(name)("test", **settings), MadeSource(tmp_path, "test")
    for one, other in ((source.sample(2), folder.sample(2)), (source.sample(1, 0, 1), folder.sample(1, 0, 1))):
        assert one.objects is not None
        for field in one.objects.__dataclass_fields__:
            np.testing.assert_array_equal(getattr(one.objects, field), getattr(other.objects, field))


def test_no_source_reads_the_same_key_twice():
    for name in SOURCES.names():
        keys = dataclasses.asdict(SOURCES.get(name).source_class.object_keys)
        named = [key for field, text in keys.items() if field != "entities" for key in text.split("|") if key]
        assert len(named) == len(set(named)), name
